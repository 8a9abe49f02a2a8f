//! Headers with their proof of work: each takes what is its own, and its work
//! counts for no other.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| ncprop279_fuzz::auxpow(data));
