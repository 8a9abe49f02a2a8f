//! Transactions with their merkle branches: nothing else than what they say is
//! proven.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| ncprop279_fuzz::evidence(data));
