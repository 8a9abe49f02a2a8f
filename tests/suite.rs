//! Tests through the real binary and the public interface: one program, because
//! linking dozens took longer than running them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod chain;
mod commands;
mod conformance;
mod delegations;
mod electrum;
mod engine;
mod library;
mod names_file;
#[cfg(unix)]
mod naming;
mod node;
mod project;
#[cfg(unix)]
mod socks;
mod stdio;
mod support;
#[cfg(unix)]
mod tor;
