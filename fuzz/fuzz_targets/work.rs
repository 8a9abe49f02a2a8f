//! A name and values that make as much work as they can: no query takes longer
//! than the bound.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| ncprop279_fuzz::work(data));
