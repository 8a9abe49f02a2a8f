//! Namecoin's block chain, as far as a light client needs it: headers, their proof
//! of work, and the way from a transaction to a header.
//!
//! Nothing here does I/O or looks at the clock. `spec/electrum.md`, section 3, has
//! the rules.
//!
//! - [`headers`] is the chain that we believe in, and branches that may replace
//!   part of it: the one with more work wins.
//! - [`rules`] checks a header against those before it: its target and its time.
//! - [`proof_of_work`] checks a header's work, which is usually that of a Bitcoin
//!   block (AuxPoW, merged mining).
//! - [`merkle`] leads from a transaction to a header.
//! - [`sample`] verifies the work of a random sample of many headers.
//! - [`freshness`] decides whether the chain is recent and costly enough to be the
//!   real one.
//! - [`network`] has the parameters of each network and its checkpoint.
//!
//! Read `network`, `proof_of_work`, `rules`, `headers`, then the rest.

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
