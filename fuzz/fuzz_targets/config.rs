//! Settings from all places, new and old: no message holds a password, and no
//! node elsewhere is asked without a proxy unless the user says so.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| ncprop279_fuzz::config(data));
