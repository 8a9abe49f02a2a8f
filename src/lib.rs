//! Stream-isolated resolver of Namecoin `.bit` names for Tor's naming clients.

pub mod address;
pub mod config;
pub mod isolation;
pub mod onion;
pub mod prop279;
pub mod snapshot;
pub mod source;
