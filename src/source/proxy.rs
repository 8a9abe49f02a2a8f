//! Trying the proxy out, before anything behind it is blamed.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use super::diagnosis::Finding;
use super::{Bounds, socks};
use crate::config::settings::NodeAddress;
use crate::platform;

/// How long a proxy may take to answer. Tor's is on this machine and answers
/// before it has any circuit.
const PATIENCE: Duration = Duration::from_secs(2);

const REMEDY: &str = "start Tor, and set --proxy to its SOCKS port: 127.0.0.1:9050, or \
                      127.0.0.1:9150 while Tor Browser is open";

/// What keeps the proxy from being used; `None` if it takes credentials. The
/// proxy is asked for no connection.
pub(super) fn obstacle(proxy: &NodeAddress, bounds: &Bounds) -> Option<Finding> {
    let left = bounds.deadline.saturating_duration_since(Instant::now());
    let patience = left.clamp(Duration::from_millis(1), PATIENCE);
    // Neither the system's resolver nor the whole of several reads has a time
    // limit of its own. The thread may outlive the caller's patience.
    let (sender, receiver) = sync_channel(1);
    let address = proxy.clone();
    let tried = platform::thread("proxy")
        .spawn(move || sender.send(greet(&address, patience)))
        .and_then(|_| {
            receiver
                .recv_timeout(patience)
                .unwrap_or_else(|error| match error {
                    RecvTimeoutError::Timeout => Err(ErrorKind::TimedOut.into()),
                    RecvTimeoutError::Disconnected => Err(ErrorKind::Other.into()),
                })
        });
    let what = match tried {
        Ok(()) => return None,
        Err(error) => match error.kind() {
            ErrorKind::ConnectionRefused => format!("nothing listens at {proxy}"),
            ErrorKind::TimedOut | ErrorKind::WouldBlock => {
                format!("{proxy} does not answer in time")
            }
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => {
                format!("what listens at {proxy} closed the connection")
            }
            // The texts of these are constants of ours.
            ErrorKind::InvalidData | ErrorKind::PermissionDenied => format!("{proxy}: {error}"),
            kind => format!("{proxy} cannot be reached: {kind}"),
        },
    };
    Some(Finding::fail("proxy", what, REMEDY))
}

/// Connects to the proxy and offers it credentials.
fn greet(proxy: &NodeAddress, patience: Duration) -> io::Result<()> {
    let mut last = ErrorKind::NotFound.into();
    for address in addresses(proxy)? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
                return socks::offer(&mut stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn addresses(proxy: &NodeAddress) -> io::Result<Vec<SocketAddr>> {
    let known = proxy.known();
    if known.is_empty() {
        return Ok((proxy.host.as_str(), proxy.port)
            .to_socket_addrs()?
            .collect());
    }
    Ok(known)
}
