//! A node's RPC interface as a source of values, against scripted nodes on
//! loopback that replay what real ones answered (`tests/data/name_show.json`).

// The permission for tests does not reach their helper functions.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod answers;
mod credentials;
mod dialects;
mod node;
mod transport;
