//! Tor's control port between a victim and an attacker: streams go where their
//! own names lead.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| ncprop279_fuzz::tor_control(data));
