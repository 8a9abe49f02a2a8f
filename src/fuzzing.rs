//! The entry of the fuzz targets in `fuzz/`. Not for use elsewhere: it is no part
//! of the library's interface and may change at any time.
//!
//! What they call needs private items, so it lies in the room that it tests.

/// Replies of name servers.
pub mod delegation {
    pub use crate::delegation::fuzzing::*;
}

/// Replies of Electrum servers, and proofs.
pub mod electrum {
    pub use crate::source::electrum::fuzzing::*;
}

/// Names files.
pub mod names_file {
    pub use crate::source::names_file::fuzzing::*;
}

/// Replies of a node.
pub mod rpc {
    pub use crate::source::rpc::fuzzing::*;
}

/// Clients of the SOCKS door, and Tor's replies.
#[cfg(unix)]
pub mod socks {
    pub use crate::door::socks::fuzzing::*;
}

/// Tor's control port: what is decided there, without I/O.
#[cfg(all(unix, feature = "cli"))]
pub mod tor_control {
    pub use crate::door::tor::fuzzing::*;
}
