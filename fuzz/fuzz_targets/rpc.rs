//! HTTP answers of a node, whole: what is made of them is in them, and no message
//! tells what was asked.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| ncprop279_fuzz::rpc(data));
