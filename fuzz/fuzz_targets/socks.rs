//! Clients of the SOCKS door, and Tor's replies: nothing depends on how they are
//! cut, and no name of ours is asked for.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| ncprop279_fuzz::socks(data));
