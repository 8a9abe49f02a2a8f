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

use std::io;
use std::net::TcpStream;

use thiserror::Error;

use self::socks::SocksError;
use self::tcp::Bounded;
pub use self::tcp::{CANCEL_CHECK_INTERVAL, StreamError, Until, lock};
use crate::config::settings::{NodeAddress, ProxyAddress};
use crate::platform;

/// Why there is no connection. Only [`SocksError`] has texts that may be shown;
/// of an [`io::Error`], show the kind.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The target itself cannot be reached. [`io::ErrorKind::NotFound`] means that
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
    proxy: Option<&ProxyAddress>,
    until: Until<'_>,
) -> Result<TcpStream, OpenError> {
    let Some(proxy) = proxy else {
        return tcp::connect(target, until).map_err(OpenError::Target);
    };
    let tcp = connect(proxy, until).map_err(OpenError::Proxy)?;
    socks::handshake(&mut Bounded { tcp: &tcp, until }, target)?;
    Ok(tcp)
}

/// Connects to a proxy.
///
/// # Errors
/// There is no connection by the deadline.
pub fn connect(proxy: &ProxyAddress, until: Until<'_>) -> io::Result<TcpStream> {
    match proxy {
        ProxyAddress::Tcp(address) => tcp::connect(address, until),
        // The type means any stream socket; what is done with it below does not
        // depend on the family of its address.
        ProxyAddress::Unix(path) => platform::connect_unix(path, || until.slice().map(drop)),
    }
}

/// Connects to a proxy and offers it credentials, without asking it for a
/// connection.
///
/// # Errors
/// The proxy cannot be used.
pub fn try_proxy(proxy: &ProxyAddress, until: Until<'_>) -> Result<(), OpenError> {
    let tcp = connect(proxy, until).map_err(OpenError::Proxy)?;
    Ok(socks::offer(&mut Bounded { tcp: &tcp, until })?)
}
