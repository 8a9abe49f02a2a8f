//! The connection to an Electrum server.
//!
//! The protocol is JSON-RPC 2.0, one object a line, over TCP or TLS. A
//! [`Dialer`] opens connections, each through the proxy with credentials of
//! its own, so that Tor gives each a circuit of its own, and each with a TLS
//! session that nothing links to another. A [`Connection`] is used by several
//! threads at once: requests are pipelined, and whoever waits for a reply reads
//! the replies of the others too.
//!
//! Nothing here believes a server. Lines, waiting times and memory are bounded,
//! and whatever breaks the protocol ends that connection and nothing else.

mod calls;
mod connection;
mod dial;
pub(super) mod lines;
pub(super) mod message;

#[cfg(test)]
pub(super) mod tests;

pub use self::connection::{CallError, Connection, Request};
pub use self::dial::{DialError, Dialer};
pub use self::message::{Reply, ServerError};
pub use crate::source::transport::tls::KeyHash;

/// The method whose notifications are kept: new tips of the chain.
pub const HEADERS_SUBSCRIBE: &str = "blockchain.headers.subscribe";

/// What a connection is for, which decides how much is read and whether an
/// unknown certificate may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Headers and the upkeep of the list of servers, on nobody's behalf.
    Headers,
    /// Names, on behalf of one isolation id.
    Lookups,
}

impl Purpose {
    /// The longest line that is read, in bytes with its end. Servers send up
    /// to 10 MB; a lookup never needs as much.
    const fn max_line(self) -> usize {
        match self {
            Self::Headers => 10 << 20,
            Self::Lookups => 4 << 20,
        }
    }
}
