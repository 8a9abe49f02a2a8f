//! Any bytes as values: no panic, bounds kept, and every record survives the
//! wire.
//!
//! The input is split at zero bytes: the first part is the value of
//! `d/example`, the others those of `dd/1`, `dd/2` and so on.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| ncprop279_fuzz::value(data));
