//! A client's lines: every usable request is answered once, and every answer is
//! one that Tor accepts.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| ncprop279_fuzz::session(data));
