//! TCP with a deadline for everything.
//!
//! A socket's own time limits are for one read or write. A peer that sends one
//! byte a second keeps within them for ever, so each read and write here gets
//! what is left until the deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use super::error::CallError;
use crate::config::settings::NodeAddress;
use crate::platform;
use crate::source::Cancel;

/// How soon a flag that was set is noticed.
pub(super) const POLL: Duration = Duration::from_millis(100);

/// How long something may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Until<'a> {
    pub deadline: Instant,
    pub cancel: &'a Cancel,
}

impl Until<'_> {
    /// The time that is left, more than none.
    ///
    /// # Errors
    /// [`CallError::Cancelled`], or [`CallError::TimedOut`] with `is_silent`
    /// false.
    pub fn left(&self) -> Result<Duration, CallError> {
        if self.cancel.is_set() {
            return Err(CallError::Cancelled);
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(CallError::TimedOut { is_silent: false });
        }
        Ok(left)
    }

    /// The time that one operation on a socket may take; none is an error of
    /// the kind [`ErrorKind::TimedOut`].
    fn slice(&self) -> io::Result<Duration> {
        let left = self
            .left()
            .map_err(|_| io::Error::from(ErrorKind::TimedOut))?;
        // Shorter ones than a millisecond may be rounded to none, which means
        // no limit.
        Ok(left.clamp(Duration::from_millis(1), POLL))
    }
}

/// A socket whose every operation ends in time. At the end of the time it is
/// an error of the kind [`ErrorKind::TimedOut`].
pub(super) struct Bounded<'a> {
    pub tcp: &'a TcpStream,
    pub until: Until<'a>,
}

impl Bounded<'_> {
    fn repeat(&self, mut attempt: impl FnMut(Duration) -> io::Result<usize>) -> io::Result<usize> {
        loop {
            match attempt(self.until.slice()?) {
                Err(error) if is_passing(error.kind()) => {}
                result => return result,
            }
        }
    }
}

/// Whether only a slice of the time is over.
fn is_passing(kind: ErrorKind) -> bool {
    // Which of the two a time limit is depends on the platform.
    matches!(
        kind,
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

impl Read for Bounded<'_> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        self.repeat(|slice| {
            self.tcp.set_read_timeout(Some(slice))?;
            let mut tcp = self.tcp;
            tcp.read(octets)
        })
    }
}

impl Write for Bounded<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.repeat(|slice| {
            self.tcp.set_write_timeout(Some(slice))?;
            let mut tcp = self.tcp;
            tcp.write(octets)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Connects, to one address after the other. DNS is asked only for a host name
/// that is not `localhost`.
///
/// # Errors
/// [`ErrorKind::TimedOut`] at the end of the time, else the last address's
/// error. The flag is not looked at while an address is being tried.
pub(super) fn connect(address: &NodeAddress, until: Until<'_>) -> io::Result<TcpStream> {
    let addresses = addresses(address, until)?;
    let mut last = io::Error::from(ErrorKind::NotFound);
    for (tried, address) in addresses.iter().enumerate() {
        let left = until
            .left()
            .map_err(|_| io::Error::from(ErrorKind::TimedOut))?;
        // One address that swallows packets leaves time for the others.
        let share = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let patience = (left / share).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(address, patience) {
            Ok(tcp) => {
                // Requests are small and wait for nothing.
                tcp.set_nodelay(true)?;
                return Ok(tcp);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn addresses(address: &NodeAddress, until: Until<'_>) -> io::Result<Vec<SocketAddr>> {
    let known = address.known();
    if known.is_empty() {
        return resolve(address, until);
    }
    Ok(known)
}

/// Asks the system. It knows no time limits, so a thread waits for it and may
/// outlive the caller's patience.
fn resolve(address: &NodeAddress, until: Until<'_>) -> io::Result<Vec<SocketAddr>> {
    if address.is_onion() {
        let what = "an onion service is reached through a proxy only";
        return Err(io::Error::new(ErrorKind::Unsupported, what));
    }
    let (sender, receiver) = sync_channel(1);
    let (host, port) = (address.host.clone(), address.port);
    platform::thread("resolve").spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs();
        let _ = sender.send(found.map(Iterator::collect::<Vec<_>>));
    })?;
    loop {
        match receiver.recv_timeout(until.slice()?) {
            Ok(found) => return found,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(ErrorKind::NotFound.into()),
        }
    }
}
