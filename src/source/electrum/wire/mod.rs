//! The connection to an Electrum server.
//!
//! The protocol is JSON-RPC 2.0, one object a line, over TCP or TLS. A
//! [`Dialer`] opens connections with [`transport`](crate::source::transport).
//! Several threads use a [`Connection`] at once: requests are pipelined, and a
//! thread that waits for a reply reads the replies of the others too.
//!
//! Nothing here trusts a server. Lines, waiting times and memory are bounded,
//! and what breaks the protocol ends that connection and nothing else.

mod calls;
mod connection;
mod dial;
pub(super) mod lines;
pub(super) mod message;

#[cfg(test)]
pub(super) mod tests;

pub use self::connection::{CallError, Connection, Request};
pub use self::dial::{DialError, Dialer};
pub use self::message::{Protocol, Reply, ServerError};
pub use crate::source::transport::tls::KeyHash;

/// The only method whose notifications are kept: new tips of the chain.
pub const HEADERS_SUBSCRIBE: &str = "blockchain.headers.subscribe";

/// What a connection is for. This decides how long a line may be and whether an
/// unknown certificate is acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Headers and other servers' addresses, for no isolation id.
    Headers,
    /// Names, for one isolation id.
    Lookups,
}

impl Purpose {
    /// The longest line that is read, in bytes with its end. Servers send up to
    /// 10 MB; a lookup never needs that much.
    const fn max_line(self) -> usize {
        match self {
            Self::Headers => 10 << 20,
            Self::Lookups => 4 << 20,
        }
    }
}
