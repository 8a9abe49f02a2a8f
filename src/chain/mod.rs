//! Namecoin's block chain, as far as a light client needs it: headers, their
//! proof of work, and the way from a transaction to a header.
//!
//! Nothing here knows I/O or the clock; what arrives from a server is judged
//! as a value. The rules are those of `spec/electrum.md`.

mod work;

pub mod freshness;
pub mod headers;
pub mod merkle;
pub mod network;
pub mod proof_of_work;
pub mod rules;
pub mod sample;

#[cfg(test)]
pub(crate) mod testing;
