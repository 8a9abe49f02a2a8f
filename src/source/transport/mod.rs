//! Connections to nodes and servers: one TCP, one SOCKS5 client, one TLS.
//!
//! Sources open their connections with [`open`] and in no other way:
//!
//! - every operation ends at a deadline ([`Until`]), however slowly the other
//!   side speaks;
//! - behind a proxy, each connection has random credentials of its own, so that
//!   Tor gives it a circuit of its own, and the proxy resolves the host name;
//! - proxy variables of the environment are ignored;
//! - nothing links one TLS session to another.

pub mod socks;
pub mod stream;
pub mod tcp;
pub mod tls;

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;

use self::socks::SocksError;
use self::tcp::Bounded;
use super::Cancel;
use crate::config::settings::NodeAddress;

/// How soon a read, write or wait notices that it was cancelled.
pub const CANCEL_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// When an operation ends at the latest.
#[derive(Debug, Clone, Copy)]
pub struct Until<'a> {
    /// The latest moment.
    pub deadline: Instant,
    /// Set when nobody waits any more.
    pub cancel: &'a Cancel,
}

impl Until<'_> {
    /// The time that is left, more than none.
    ///
    /// # Errors
    /// [`StreamError::Cancelled`] or [`StreamError::TimedOut`].
    pub fn left(&self) -> Result<Duration, StreamError> {
        if self.cancel.is_set() {
            return Err(StreamError::Cancelled);
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(StreamError::TimedOut);
        }
        Ok(left)
    }

    /// The time that one operation of the system may take. At the end, an error
    /// of the kind [`ErrorKind::TimedOut`].
    fn slice(&self) -> io::Result<Duration> {
        let left = self
            .left()
            .map_err(|_| io::Error::from(ErrorKind::TimedOut))?;
        // The system may round less than a millisecond to none, which means
        // no limit.
        Ok(left.clamp(Duration::from_millis(1), CANCEL_CHECK_INTERVAL))
    }
}

/// Why nothing could be read from a connection, or written to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StreamError {
    /// The time is up. The connection is as it was.
    #[error("timed out")]
    TimedOut,
    /// Nobody waits any more. The connection is as it was.
    #[error("cancelled")]
    Cancelled,
    /// One of the two sides closed the connection.
    #[error("closed")]
    Closed,
    /// The connection broke.
    #[error("{0}")]
    Lost(ErrorKind),
    /// The other side broke the TLS protocol.
    #[error("broken TLS")]
    BrokenTls,
}

impl From<&io::Error> for StreamError {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof
            | ErrorKind::BrokenPipe
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
            | ErrorKind::WriteZero => Self::Closed,
            kind => Self::Lost(kind),
        }
    }
}

/// Why there is no connection. Only [`SocksError`] has texts that may be shown;
/// of an [`io::Error`], show the kind.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The target itself cannot be reached. [`ErrorKind::NotFound`] means that
    /// its host name has no address.
    #[error("the target cannot be reached ({})", .0.kind())]
    Target(io::Error),
    /// The proxy cannot be reached.
    #[error("the proxy cannot be reached ({})", .0.kind())]
    Proxy(io::Error),
    /// The proxy did not connect to the target.
    #[error(transparent)]
    Socks(#[from] SocksError),
}

/// Connects to `target`, through `proxy` if there is one.
///
/// # Errors
/// See [`OpenError`]; once the time is up, [`Until::left`] fails as well.
pub fn open(
    target: &NodeAddress,
    proxy: Option<&NodeAddress>,
    until: Until<'_>,
) -> Result<TcpStream, OpenError> {
    let Some(proxy) = proxy else {
        return tcp::connect(target, until).map_err(OpenError::Target);
    };
    let tcp = tcp::connect(proxy, until).map_err(OpenError::Proxy)?;
    socks::handshake(&mut Bounded { tcp: &tcp, until }, target)?;
    Ok(tcp)
}

/// Connects to a proxy and offers it credentials, without asking it for a
/// connection.
///
/// # Errors
/// The proxy cannot be used.
pub fn try_proxy(proxy: &NodeAddress, until: Until<'_>) -> Result<(), OpenError> {
    let tcp = tcp::connect(proxy, until).map_err(OpenError::Proxy)?;
    Ok(socks::offer(&mut Bounded { tcp: &tcp, until })?)
}

/// Locks, also after a panic elsewhere. What these locks guard is consistent at
/// every moment.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
