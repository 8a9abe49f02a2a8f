//! The scripted Electrum server itself: it answers as the recorded servers
//! did, what it mines keeps the rules, and each lie breaks one of them.

mod client;
mod lies;
mod mining;
mod replay;
mod rules;
mod sessions;
