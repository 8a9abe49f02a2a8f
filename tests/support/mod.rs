//! What the tests through the real binary share.

pub mod circuits;
pub mod electrum;
pub mod electrum_plugin;
pub mod forge;
pub mod name_server;
pub mod node;
pub mod plugin;
pub mod run;
#[cfg(unix)]
pub mod serve;
pub mod signed_zone;
pub mod socks;
pub mod state;
#[cfg(unix)]
pub mod terminal;
#[cfg(unix)]
pub mod tor;
#[cfg(unix)]
pub mod tor_control;

use std::time::Duration;

/// How long a test waits for what must come. Only a failing test waits so
/// long.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Whether an answer says that nothing is known for the moment.
pub fn is_transient(answer: &str) -> bool {
    answer.starts_with("1 ") || answer.starts_with("4 ")
}
