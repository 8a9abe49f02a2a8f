//! Stream-isolated resolver of Namecoin `.bit` names for Tor's naming clients.

pub mod isolation;
pub mod snapshot;
pub mod source;
