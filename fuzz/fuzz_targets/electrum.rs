//! Lines of an Electrum server: cut in any way they are the same, and what is
//! read can be written and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| ncprop279_fuzz::electrum(data));
