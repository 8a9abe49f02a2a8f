//! HTTP answers of a node on the wire, over a loopback connection: each fetch
//! ends, and no message tells what was asked.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| ncprop279_fuzz::http(data));
