//! Replies of name servers: nothing is believed that the owner of a signed zone did
//! not sign, and no server is asked that Tor may not be asked for.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| ncprop279_fuzz::delegation(data));
