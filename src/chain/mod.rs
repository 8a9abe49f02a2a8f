//! Namecoin's block chain, as far as a light client needs it: headers, their
//! proof of work, and the way from a transaction to a header.
//!
//! Nothing here knows I/O or the clock; what arrives from a server is judged
//! as a value. The rules are those of `spec/electrum.md`.

mod arithmetic;
pub mod auxpow;
pub mod candidate;
pub mod currency;
pub mod headers;
pub mod merkle;
pub mod network;
pub mod rules;
pub mod sample;
pub mod sealed;
#[cfg(test)]
pub(crate) mod testing;
