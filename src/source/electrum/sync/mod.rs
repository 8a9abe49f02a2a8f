//! The header thread: downloads block headers, verifies them, and chooses the chain
//! with the most work that any of several operators has.
//!
//! It runs on a clock of its own, and before anybody needs the headers. Nothing
//! that lookups do, or that their connections report, makes it act: a header
//! fetched because of a lookup would tell a server the height of the name.
//!
//! The thread repeats rounds (`rounds`). In each it
//!
//! 1. connects to servers of two operators, several attempts at a time
//!    (`connect`);
//! 2. fetches the checkpoint's header and what the rules need below it
//!    (`catch_up`);
//! 3. downloads a long stretch, if one is missing: without AuxPoW, verifying the
//!    work of a random sample (`sampling`), or in full over several connections
//!    (`bulk`);
//! 4. compares its chain with each server's, from the fork on (`catch_up`), and
//!    adopts the one with more work;
//! 5. waits for new blocks.
//!
//! `ledger` holds the result and decides when lookups may rely on it; it is all
//! that they see. `driver` is the thread's state and what all of its parts use.
//! `peer` is what the thread needs of a connection, so that tests can run it
//! against servers in memory.
//!
//! Read `peer`, `ledger`, `catch_up`, `driver` and `rounds`, then the rest.

mod bulk;
mod catch_up;
mod connect;
mod driver;
mod ledger;
mod peer;
mod rounds;
mod sampling;
#[cfg(test)]
mod tests;

pub(super) use driver::Sampling;
pub(super) use driver::TrackRecord;
pub(super) use driver::{Driver, needed};
pub(super) use ledger::UnprovenHeaders;
pub(super) use ledger::{Ledger, NotReadyError, Status};
pub(super) use peer::{Announced, Peer, PeerError, Peers};
pub(super) use sampling::NEWEST;
