//! A stream socket, TCP or Unix, that never blocks without a limit.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use crate::config::settings::ProxyAddress;
use crate::source::Cancel;
use crate::source::transport::{self, Until};

/// A non-blocking stream socket.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// Takes a TCP connection over.
    ///
    /// # Errors
    /// The socket cannot be set up.
    pub fn from_tcp(tcp: TcpStream) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        tcp.set_nonblocking(true)?;
        Ok(Self(tcp.into()))
    }

    /// Takes a connection on a Unix socket over.
    ///
    /// # Errors
    /// The socket cannot be set up.
    pub fn from_unix(unix: UnixStream) -> io::Result<Self> {
        unix.set_nonblocking(true)?;
        Ok(Self(unix.into()))
    }

    /// Connects to Tor's port.
    ///
    /// # Errors
    /// There is no connection by the deadline.
    pub fn connect(proxy: &ProxyAddress, deadline: Instant) -> io::Result<Self> {
        let cancel = &Cancel::new();
        let stream = transport::connect(proxy, Until { deadline, cancel })?;
        stream.set_nonblocking(true)?;
        Ok(Self(stream.into()))
    }

    /// Reads what is there; `None` if nothing is.
    ///
    /// # Errors
    /// The connection broke.
    pub fn read(&self, bytes: &mut [u8]) -> io::Result<Option<usize>> {
        again(|| rustix::io::read(&self.0, &mut *bytes))
    }

    /// Writes what fits; `None` if nothing does.
    ///
    /// # Errors
    /// The connection broke.
    pub fn write(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        again(|| send(&self.0, bytes, SendFlags::NOSIGNAL))
    }

    /// Reads at least one byte by the deadline; 0 at the end of the stream.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`], or the connection broke.
    pub fn read_by(&self, bytes: &mut [u8], deadline: Instant) -> io::Result<usize> {
        loop {
            if let Some(count) = self.read(bytes)? {
                return Ok(count);
            }
            self.wait(PollFlags::IN, deadline)?;
        }
    }

    /// Writes everything by the deadline.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`], or the connection broke.
    pub fn write_by(&self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write(bytes)? {
                Some(count) => bytes = bytes.get(count..).unwrap_or_default(),
                None => self.wait(PollFlags::OUT, deadline)?,
            }
        }
        Ok(())
    }

    fn wait(&self, wanted: PollFlags, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut watched = [PollFd::new(self, wanted)];
        match wait(&mut watched, Some(left))? {
            true => Ok(()),
            false => Err(ErrorKind::TimedOut.into()),
        }
    }

    /// Whether the other side has closed the connection, or its half of it.
    pub fn is_closed(&self) -> bool {
        #[cfg(target_os = "linux")]
        const CLOSED: PollFlags = PollFlags::RDHUP;
        #[cfg(not(target_os = "linux"))]
        const CLOSED: PollFlags = PollFlags::HUP;
        let mut watched = [PollFd::new(self, CLOSED)];
        let now = Timespec::default();
        poll(&mut watched, Some(&now)).is_ok_and(|count| count > 0)
    }

    /// Ends one direction or both.
    pub fn shut_down(&self, how: Shutdown) {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        // It may have ended already.
        let _ = rustix::net::shutdown(&self.0, how);
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until one of the sockets is ready, for ever without a limit; whether
/// one is.
///
/// # Errors
/// The system cannot wait.
pub fn wait(watched: &mut [PollFd<'_>], limit: Option<Duration>) -> io::Result<bool> {
    let limit = limit.map(|limit| Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    match poll(watched, limit.as_ref()) {
        Ok(count) => Ok(count > 0),
        // Whoever waits looks again, and at its deadline.
        Err(Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn again(mut attempt: impl FnMut() -> Result<usize, Errno>) -> io::Result<Option<usize>> {
    loop {
        match attempt() {
            Ok(count) => return Ok(Some(count)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}
