//! Any bytes as a DNS message to the engine: no panic, and the reply survives
//! the wire.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| ncprop279_fuzz::engine(data));
