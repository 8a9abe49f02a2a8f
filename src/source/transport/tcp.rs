//! TCP with a deadline for everything.
//!
//! A socket's own time limits are for one read or write. A peer that sends one
//! byte a second keeps within them for ever, so each read and write here gets
//! what is left until the deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::config::settings::NodeAddress;
use crate::platform;
use crate::source::Cancel;

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
    pub(super) fn slice(&self) -> io::Result<Duration> {
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

/// Locks, also after a panic elsewhere. What these locks guard is consistent at
/// every moment.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A socket whose every operation ends in time. At the end of the time it
/// fails with [`ErrorKind::TimedOut`].
pub struct Bounded<'a> {
    /// The socket.
    pub tcp: &'a TcpStream,
    /// When each operation ends at the latest.
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

/// Whether only a slice of the time has passed.
fn is_passing(kind: ErrorKind) -> bool {
    // The platform decides which of the first two the end of a slice is.
    matches!(
        kind,
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

impl Read for Bounded<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.repeat(|slice| {
            self.tcp.set_read_timeout(Some(slice))?;
            let mut tcp = self.tcp;
            tcp.read(bytes)
        })
    }
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.repeat(|slice| {
            self.tcp.set_write_timeout(Some(slice))?;
            let mut tcp = self.tcp;
            tcp.write(bytes)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Connects, trying one address after the other. The system's resolver is asked
/// only for a host name other than `localhost`.
///
/// # Errors
/// [`ErrorKind::TimedOut`] at the end of the time, [`ErrorKind::NotFound`] for a
/// host name without an address, else the last address's error. An attempt at
/// one address cannot be cancelled.
pub(super) fn connect(address: &NodeAddress, until: Until<'_>) -> io::Result<TcpStream> {
    let known = address.known();
    let addresses = match known.is_empty() {
        true => resolve(address, until)?,
        false => known,
    };
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

/// Asks the system's resolver. It has no time limit, so a thread waits for it,
/// and may go on after the caller has given up.
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
            // What kind of error it is says nothing more.
            Ok(found) => return found.map_err(|_| ErrorKind::NotFound.into()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(ErrorKind::NotFound.into()),
        }
    }
}

/// Whether an idle connection can still be used: the other side has neither
/// closed it nor sent anything.
pub fn is_quiet(mut tcp: &TcpStream) -> bool {
    if tcp.set_nonblocking(true).is_err() {
        return false;
    }
    let came = tcp.read(&mut [0]);
    tcp.set_nonblocking(false).is_ok()
        && came.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (ours, listener.accept().unwrap().0)
    }

    /// What was sent arrives a moment later, also on the loopback interface.
    fn becomes_unusable(ours: &TcpStream) -> bool {
        (0..500).any(|_| {
            thread::sleep(Duration::from_millis(10));
            !is_quiet(ours)
        })
    }

    #[test]
    fn an_idle_connection_is_quiet_until_the_other_side_speaks_or_closes() {
        let (ours, mut theirs) = pair();
        assert!(is_quiet(&ours));
        theirs.write_all(b"x").unwrap();
        assert!(becomes_unusable(&ours));
        let (ours, theirs) = pair();
        assert!(is_quiet(&ours));
        drop(theirs);
        assert!(becomes_unusable(&ours));
    }

    #[test]
    fn reading_ends_at_the_deadline_and_when_cancelled() {
        let (ours, _theirs) = pair();
        let cancel = Cancel::new();
        let begun = Instant::now();
        let read = |time: Duration| {
            let deadline = begun + time;
            let cancel = &cancel;
            let until = Until { deadline, cancel };
            Bounded { tcp: &ours, until }.read(&mut [0]).unwrap_err()
        };
        assert_eq!(read(Duration::from_millis(250)).kind(), ErrorKind::TimedOut);
        assert!(begun.elapsed() >= Duration::from_millis(250));
        cancel.set();
        assert_eq!(read(Duration::from_secs(600)).kind(), ErrorKind::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}
