//! The scripted Electrum server itself: it answers as the recorded servers
//! did, what it mines keeps the rules, and each lie breaks one of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod support;

#[path = "electrum_server/client.rs"]
mod client;
#[path = "electrum_server/lies.rs"]
mod lies;
#[path = "electrum_server/mining.rs"]
mod mining;
#[path = "electrum_server/replay.rs"]
mod replay;
#[path = "electrum_server/routes.rs"]
mod routes;
#[path = "electrum_server/rules.rs"]
mod rules;
#[path = "electrum_server/sessions.rs"]
mod sessions;
