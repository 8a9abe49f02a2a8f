//! Stream-isolated resolver of Namecoin `.bit` names for Tor's naming clients.

pub mod address;
pub mod authority;
pub mod cache;
pub mod commands;
pub mod config;
pub mod isolation;
pub mod lookup;
pub mod notice;
pub mod onion;
pub mod platform;
pub mod plugin;
pub mod prop279;
pub mod resolve;
pub mod snapshot;
pub mod source;
pub mod text;
pub mod value;
pub mod zone;
