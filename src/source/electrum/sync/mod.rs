//! Keeps the block headers: fetches them, verifies them, and chooses the chain
//! with the most work that any of several operators knows.
//!
//! All of it happens by a clock of its own and before it is needed. Nothing
//! that lookups do, or that their connections report, moves it: a header
//! fetched because of a lookup would tell a server the height of the name.

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
pub(super) use ledger::{Ledger, Obstacle, Status};
pub(super) use peer::{Announced, Peer, PeerError, Peers};
pub(super) use sampling::NEWEST;
