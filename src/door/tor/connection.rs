//! The connection with a Tor's control port.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use thiserror::Error;

use super::authentication::{AuthenticationError, authenticate};
use super::line::Lines;
use crate::config::settings::{ControlAddress, NodeAddress, ProxyAddress};
use crate::source::Cancel;
use crate::source::transport::tcp::Bounded;
use crate::source::transport::{self, Until};

/// The control socket of Debian's Tor.
const DEBIAN: &str = "/run/tor/control";

/// The control ports of a Tor on its own, and of Tor Browser.
const PORTS: [u16; 2] = [9051, 9151];

/// How many bytes may wait for Tor to read them. Its answers wait as well, so
/// that it has hung.
const MAX_OUTPUT: usize = 4 << 20;

/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// Why a Tor cannot be controlled.
#[derive(Debug, Error)]
pub enum ControlError {
    /// Nothing listens at any of the usual places.
    #[error(
        "no Tor is found at {DEBIAN}, 127.0.0.1:9051 or 127.0.0.1:9151; start Tor with \
         ControlPort 9051 in torrc, or set --tor-control to its control port"
    )]
    NotFound,
    /// There is no connection.
    #[error("there is no connection ({}){}", .0.kind(), advice(.0))]
    Connect(io::Error),
    /// Tor does not let us control it.
    #[error("{0}")]
    Authentication(#[from] AuthenticationError),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            "; run this program as a member of the group that may use it (debian-tor on Debian)"
        }
        ErrorKind::ConnectionRefused | ErrorKind::NotFound => "; is Tor running?",
        _ => "",
    }
}

/// Connects and proves who we are; gives where that was.
///
/// # Errors
/// See [`ControlError`].
pub fn connect(
    control: &ControlAddress,
    password: Option<&str>,
    deadline: Instant,
    cancel: &Cancel,
) -> Result<(TcpStream, ProxyAddress), ControlError> {
    let until = Until { deadline, cancel };
    let candidates = match control {
        ControlAddress::At(address) => vec![address.clone()],
        ControlAddress::Auto => {
            let ports = PORTS.map(|port| ProxyAddress::Tcp(NodeAddress::local(port)));
            std::iter::once(ProxyAddress::Unix(DEBIAN.into()))
                .chain(ports)
                .collect()
        }
    };
    let mut first_error = None;
    for address in candidates {
        match connect_to(&address, password, until) {
            Ok(tcp) => return Ok((tcp, address)),
            // At the usual places, nothing need be.
            Err(ControlError::Connect(error))
                if *control == ControlAddress::Auto
                    && matches!(
                        error.kind(),
                        ErrorKind::NotFound | ErrorKind::ConnectionRefused
                    ) => {}
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.unwrap_or(ControlError::NotFound))
}

fn connect_to(
    address: &ProxyAddress,
    password: Option<&str>,
    until: Until<'_>,
) -> Result<TcpStream, ControlError> {
    let tcp = transport::connect(address, until).map_err(ControlError::Connect)?;
    if matches!(address, ProxyAddress::Tcp(_)) {
        tcp.set_nodelay(true).map_err(ControlError::Connect)?;
    }
    authenticate(&mut Bounded { tcp: &tcp, until }, password)?;
    Ok(tcp)
}

/// An open connection that blocks nobody.
pub struct Connection {
    tcp: TcpStream,
    is_tcp: bool,
    lines: Lines,
    output: Vec<u8>,
}

/// What [`Connection::wait`] waited for.
pub struct Ready {
    /// Tor has sent something, or the connection is over.
    pub can_read: bool,
    /// Somebody wrote to the waker.
    pub is_woken: bool,
}

impl Connection {
    /// With a socket.
    ///
    /// # Errors
    /// The socket cannot be used without blocking.
    pub fn new(tcp: TcpStream, address: &ProxyAddress) -> io::Result<Self> {
        tcp.set_nonblocking(true)?;
        Ok(Self {
            tcp,
            is_tcp: matches!(address, ProxyAddress::Tcp(_)),
            lines: Lines::default(),
            output: Vec::new(),
        })
    }

    /// Waits until Tor or another thread has something, or until `deadline`.
    ///
    /// # Errors
    /// The system cannot wait.
    pub fn wait(&self, waker: Option<&UnixStream>, deadline: Instant) -> io::Result<Ready> {
        let left = deadline.saturating_duration_since(Instant::now());
        // A poll that ends early would be repeated at once.
        let timeout = Timespec::try_from(left + Duration::from_micros(500)).ok();
        let wanted = match self.output.is_empty() {
            true => PollFlags::IN,
            false => PollFlags::IN | PollFlags::OUT,
        };
        let mut watched = vec![PollFd::new(&self.tcp, wanted)];
        watched.extend(waker.map(|waker| PollFd::new(waker, PollFlags::IN)));
        match poll(&mut watched, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = watched.iter().map(PollFd::revents);
        let tor = ready.next().unwrap_or(PollFlags::empty());
        let waker = ready.next().unwrap_or(PollFlags::empty());
        Ok(Ready {
            can_read: tor.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR),
            is_woken: !waker.is_empty(),
        })
    }

    /// Reads once, and calls `each` with every line.
    ///
    /// # Errors
    /// The connection is over.
    pub fn read(&mut self, each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        let count = match self.tcp.read(&mut chunk) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if is_passing(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.acknowledge();
        self.lines
            .feed(chunk.get(..count).unwrap_or_default(), each);
        Ok(())
    }

    /// Has the system acknowledge at once what arrives. Tor writes an event in
    /// small pieces, and does not send one before the last was acknowledged
    /// (Nagle's algorithm). The system forgets the option again by itself.
    #[cfg(target_os = "linux")]
    fn acknowledge(&self) {
        if self.is_tcp {
            let _ = rustix::net::sockopt::set_tcp_quickack(&self.tcp, true);
        }
    }

    /// Other systems have no such option.
    #[cfg(not(target_os = "linux"))]
    fn acknowledge(&self) {
        let _ = self.is_tcp;
    }

    /// Sends, as far as Tor takes it; the rest later.
    ///
    /// # Errors
    /// The connection is over, or Tor does not read.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.extend_from_slice(bytes);
        while !self.output.is_empty() {
            match self.tcp.write(&self.output) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        match self.output.len() > MAX_OUTPUT {
            true => Err(ErrorKind::TimedOut.into()),
            false => Ok(()),
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
