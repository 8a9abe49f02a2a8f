//! What the header thread needs of a server.

use std::time::Instant;

use thiserror::Error;

use crate::chain::proof_of_work::FullHeader;
use crate::source::Cancel;
use crate::source::electrum::reply::NamedServer;
use crate::source::electrum::servers::Server;
use bitcoin::block::Header;

/// The most headers in one request. A mainnet header with its AuxPoW is about
/// 4 kB as text, and a server that has sent megabytes nobody reads gives up.
pub const MAX_BATCH: u32 = 500;

/// The fewest headers that are asked for in one request of many, and that are
/// worth having.
pub(super) const MIN_BATCH: u32 = 25;

/// Why a request to a server failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PeerError {
    /// The connection broke or could not be opened.
    #[error("{0}")]
    Broken(String),
    /// Nothing came in time, though the connection is open.
    #[error("it did not answer in time")]
    TimedOut,
    /// It sent what no honest server sends.
    #[error("it sent {0}")]
    Lied(String),
}

/// A server's newest block, as it announced it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// The height that the server gives the block.
    pub height: u32,
    /// The block's header, without its AuxPoW.
    pub header: Header,
}

/// A connection on which headers are fetched, and nothing else.
pub trait Peer: Send + Sync {
    /// The server at its other end.
    fn server(&self) -> &Server;

    /// The newest block that the server has announced. This sends no request.
    fn newest(&self) -> Result<Announced, PeerError>;

    /// At most `count` headers from `start` on, with their AuxPoW. At least
    /// one, or an error.
    fn full_headers(
        &self,
        start: u32,
        count: u32,
        deadline: Instant,
    ) -> Result<Vec<FullHeader>, PeerError>;

    /// Exactly `count` headers from `start` on, without AuxPoW where the
    /// server can leave it out: `below` is a height that the server has at or
    /// above them. They are judged by their hashes alone.
    fn bare_headers(
        &self,
        start: u32,
        count: u32,
        below: u32,
        deadline: Instant,
    ) -> Result<Vec<Header>, PeerError>;

    /// Whether the server leaves AuxPoW out in the right places, as far as is
    /// known.
    fn omits_auxpow(&self) -> bool;

    /// The headers at exactly these heights, in their order, with their
    /// AuxPoW.
    fn proofs(&self, heights: &[u32], deadline: Instant) -> Result<Vec<FullHeader>, PeerError>;

    /// The other servers that the server names. That it does not is no fault.
    fn peers(&self, _deadline: Instant) -> Result<Vec<NamedServer>, PeerError> {
        Ok(Vec::new())
    }

    /// Bytes that came in on the connection.
    fn received(&self) -> u64;

    /// Whether the connection is still open, as far as is known.
    fn is_alive(&self) -> bool;

    /// Reads what has come without waiting, and keeps the connection from
    /// being closed as idle.
    fn keep_alive(&self);

    /// Ends the connection.
    fn close(&self);
}

/// Opens connections for headers.
pub trait Peers: Send + Sync {
    /// The connections it opens.
    type Peer: Peer;

    /// Opens a connection to a server, over a circuit of its own, and makes
    /// sure that headers come on it. That ends at `deadline`, or when it is
    /// cancelled; the connection does not.
    fn open(
        &self,
        server: &Server,
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<Self::Peer, PeerError>;

    /// The chain of a discovered server was compared with ours: lookups may use
    /// it from now on, if it can prove who it is.
    fn admit(&self, _server: &Server) {}

    /// Discovered servers that are not among these are not used any more.
    fn keep_discovered(&self, _servers: &[Server]) {}

    /// A server lied: nobody is to use it for a while.
    fn ban(&self, server: &Server);

    /// A server could not be reached, or its connection failed: others are to
    /// be used for a while.
    fn back_off(&self, server: &Server);

    /// Lookups compare the answers of so many operators from now on.
    fn set_operators(&self, operators: usize);

    /// Whether other servers are to be preferred for now.
    fn is_backed_off(&self, server: &Server) -> bool;

    /// Whether a server answered in an earlier run, and was not tried in this
    /// one.
    fn answered_before(&self, _server: &Server) -> bool {
        false
    }

    /// Whether a server can prove who it is, as far as is known.
    fn trusts(&self, server: &Server) -> bool;
}
