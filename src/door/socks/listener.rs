//! Listeners: TCP ports and Unix sockets, and how many streams there may be.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

use super::isolation::Origin;
use super::reply::Refusal;
use super::socket::Socket;
use super::stream::{Shared, Stream};
use crate::config::settings::ListenAddress;
use crate::platform;

/// The stack of a stream's thread: it evaluates nothing.
const STACK: usize = 256 << 10;

/// Descriptors that streams leave to lookups, files and the standard streams.
const RESERVED: usize = 200;

/// Bytes of address space that streams leave to everything else, which has some
/// 150 threads at most.
const RESERVED_SPACE: usize = 200 << 20;

/// Bytes of address space for each stream: its stack, with as much for the rest.
const STREAM_SPACE: usize = 2 * STACK;

/// The most streams, whatever the limits.
const MAX_STREAMS: usize = 16_384;

/// The least, whatever the limits.
const MIN_STREAMS: usize = 16;

/// Streams beyond the most that get a refusal in words. Others are closed.
const REFUSALS: usize = 16;

/// How long to wait after the system could not accept a connection.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How many streams there are, and may be.
pub struct Slots {
    most: usize,
    taken: AtomicUsize,
}

/// A stream's place among them, given back when it is dropped.
struct Slot(Arc<Slots>);

impl Slots {
    /// As many as the limit of open files permits, which is raised as far as the
    /// system lets us: a stream has two descriptors. And no more than a limit of
    /// address space permits, as a process that has none left aborts.
    pub fn within_limits() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: maximum,
            maximum,
        };
        let limit = match setrlimit(Resource::Nofile, raised) {
            Ok(()) => maximum,
            Err(_) => current,
        };
        let count = |limit: Option<u64>| {
            limit.map_or(usize::MAX, |limit| {
                usize::try_from(limit).unwrap_or(usize::MAX)
            })
        };
        let by_descriptors = count(limit).saturating_sub(RESERVED) / 2;
        let space = count(getrlimit(Resource::As).current);
        let by_space = space.saturating_sub(RESERVED_SPACE) / STREAM_SPACE;
        let most = by_descriptors.min(by_space);
        Self {
            most: most.clamp(MIN_STREAMS, MAX_STREAMS),
            taken: AtomicUsize::new(0),
        }
    }

    /// A place; whether it is one of those that are refused. `None` if there is
    /// not even such a place.
    fn take(slots: &Arc<Self>) -> Option<(Slot, bool)> {
        let before = slots.taken.fetch_add(1, Ordering::Relaxed);
        let slot = Slot(Arc::clone(slots));
        match before {
            _ if before < slots.most => Some((slot, true)),
            _ if before < slots.most + REFUSALS => Some((slot, false)),
            _ => None,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// One listener.
pub struct Listener {
    kind: Kind,
    number: u32,
    address: ListenAddress,
    /// Device and inode of our Unix socket.
    file: Option<(u64, u64)>,
    is_closed: AtomicBool,
}

impl Listener {
    /// Begins to listen. A Unix socket that nobody listens on any more is
    /// replaced; only the user can connect to ours.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn bind(address: &ListenAddress, number: u32) -> io::Result<Self> {
        let (kind, address) = match address {
            ListenAddress::Tcp(address) => {
                let listener = TcpListener::bind(address)?;
                let bound = listener.local_addr()?;
                (Kind::Tcp(listener), ListenAddress::Tcp(bound))
            }
            ListenAddress::Unix(path) => (Kind::Unix(bind_unix(path)?), address.clone()),
        };
        let file = match &address {
            ListenAddress::Tcp(_) => None,
            ListenAddress::Unix(path) => identity(path),
        };
        Ok(Self {
            kind,
            number,
            address,
            file,
            is_closed: AtomicBool::new(false),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> ListenAddress {
        self.address.clone()
    }

    /// Accepts clients in a thread.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(self: &Arc<Self>, shared: Arc<Shared>, slots: Arc<Slots>) -> io::Result<()> {
        let listener = Arc::clone(self);
        let accept = move || {
            while !listener.is_closed.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((client, origin)) => serve(client, origin, &shared, &slots),
                    Err(error) if is_of_one_client(&error) => {}
                    Err(_) => {
                        shared.warn(
                            "a connection cannot be accepted; raise the limits on open files \
                             and memory",
                        );
                        thread::sleep(ACCEPT_AGAIN);
                    }
                }
            }
        };
        platform::thread("listen").spawn(accept).map(drop)
    }

    fn accept(&self) -> io::Result<(Socket, Origin)> {
        let (socket, client) = match &self.kind {
            Kind::Tcp(listener) => {
                let (tcp, client) = listener.accept()?;
                (Socket::from_tcp(tcp)?, Some(client))
            }
            Kind::Unix(listener) => (Socket::from_unix(listener.accept()?.0)?, None),
        };
        let bound = match &self.address {
            ListenAddress::Tcp(address) => Some(*address),
            ListenAddress::Unix(_) => None,
        };
        let origin = Origin {
            listener: self.number,
            bound: bound.map(canonical),
            client: client.map(canonical),
        };
        Ok((socket, origin))
    }

    /// Stops listening. A thread that waits for a client ends with the process.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        if let ListenAddress::Unix(path) = &self.address
            && self.file.is_some()
            && identity(path) == self.file
        {
            let _ = fs::remove_file(path);
        }
    }
}

/// Device and inode of a socket, if there is one: somebody may have put another
/// in the place of ours.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = fs::symlink_metadata(path).ok()?;
    let is_socket = found.file_type().is_socket();
    is_socket.then(|| (found.dev(), found.ino()))
}

/// The client's or our address, IPv4 in its own form.
fn canonical(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}

/// Errors that concern a client that went away before it was accepted.
fn is_of_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::NotConnected
            | ErrorKind::Interrupted
            | ErrorKind::InvalidInput
    )
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    if let Ok(found) = fs::symlink_metadata(path) {
        // One whose queue is full lives.
        let full = || Err(ErrorKind::WouldBlock.into());
        let is_dead = platform::connect_unix(path, full)
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
        if found.file_type().is_socket() && is_dead {
            fs::remove_file(path)?;
        }
    }
    // Nobody else can connect at any moment. What other threads create meanwhile
    // is closed to others, too, which does no harm.
    let before = umask(Mode::RWXG | Mode::RWXO);
    let listener = UnixListener::bind(path);
    umask(before);
    listener
}

/// Starts the thread of a stream.
fn serve(client: Socket, origin: Origin, shared: &Arc<Shared>, slots: &Arc<Slots>) {
    let Some((slot, is_served)) = Slots::take(slots) else {
        return;
    };
    if !is_served {
        shared.warn("a stream was refused, as too many are open; raise the limit on open files");
    }
    let stream = Stream {
        client,
        origin,
        shared: Arc::clone(shared),
    };
    let run = move || {
        let _slot = slot;
        // A client or Tor that goes away is no event.
        let _ = match is_served {
            true => stream.run(),
            false => stream.refuse(&Refusal::TooMany),
        };
    };
    let spawned = platform::thread("stream").stack_size(STACK).spawn(run);
    if spawned.is_err() {
        shared.warn(
            "a stream was closed, as no thread can be started; raise the limits on processes \
             and memory",
        );
    }
}
