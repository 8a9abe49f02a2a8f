//! A stream between a client and Tor, both ways at once.

use std::io;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::socket::{Socket, wait};
use super::tor::TorReply;

/// The bytes of the buffer while little comes.
const SMALL: usize = 4 << 10;

/// The bytes of the buffer once a read has filled it.
const LARGE: usize = 64 << 10;

/// How long a stream is quiet before its buffer is given up.
const QUIET: Duration = Duration::from_secs(1);

/// One direction of a stream.
#[derive(Default)]
struct Direction {
    /// What was read and does not fit into the receiver yet.
    pending: Vec<u8>,
    /// Whether the sender has ended.
    ended: bool,
    /// Whether that was passed on to the receiver.
    closed: bool,
}

/// Passes bytes on until both sides have ended, or one of them breaks. `early`
/// is what the client sent before Tor replied; Tor's reply, translated, is the
/// first that the client gets, by `reply_by`.
///
/// # Errors
/// A connection broke, or there was no reply in time.
pub fn relay(
    client: &Socket,
    tor: &Socket,
    early: Vec<u8>,
    reply: TorReply,
    reply_by: Instant,
) -> io::Result<()> {
    let mut reply = Some(reply);
    let mut up = Direction {
        pending: early,
        ..Direction::default()
    };
    let mut down = Direction::default();
    let mut buffer = Vec::new();
    loop {
        up.flush(tor)?;
        down.flush(client)?;
        if up.closed && down.closed {
            return Ok(());
        }
        let mut watched = Vec::with_capacity(2);
        let from_client = watch(&mut watched, client, &up, &down);
        let from_tor = watch(&mut watched, tor, &down, &up);
        let limit = match (&reply, buffer.is_empty()) {
            (Some(_), _) => Some(reply_by.saturating_duration_since(Instant::now())),
            (None, true) => None,
            (None, false) => Some(QUIET),
        };
        let is_ready = wait(&mut watched, limit)?;
        let ready = |index: Option<usize>| {
            let events = index
                .and_then(|index| watched.get(index))
                .map(PollFd::revents);
            events.is_some_and(|events| {
                events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR)
            })
        };
        let (client_sends, tor_sends) = (ready(from_client), ready(from_tor));
        if !is_ready {
            match reply {
                Some(reply) => {
                    client.write_by(&reply.missing(), Instant::now() + QUIET)?;
                    return Ok(());
                }
                None => buffer = Vec::new(),
            }
            continue;
        }
        if client_sends && up.can_read() {
            let count = up.read(client, &mut buffer)?;
            up.send(buffer.get(..count).unwrap_or_default(), tor)?;
            grow(&mut buffer, count);
        }
        if tor_sends && down.can_read() {
            let count = down.read(tor, &mut buffer)?;
            let bytes = buffer.get(..count).unwrap_or_default();
            match &mut reply {
                None => down.send(bytes, client)?,
                Some(_) if down.ended => {
                    let missing = reply.take().map(|reply| reply.missing());
                    return client.write_by(&missing.unwrap_or_default(), Instant::now() + QUIET);
                }
                Some(waiting) => {
                    if let Some(translated) = waiting.feed(bytes) {
                        if !translated.is_open {
                            return client.write_by(&translated.bytes, Instant::now() + QUIET);
                        }
                        reply = None;
                        down.send(&translated.bytes, client)?;
                    }
                }
            }
            grow(&mut buffer, count);
        }
    }
}

/// Watches a socket for what it is wanted for; gives its place if it is to be
/// read. One that is wanted for nothing is not watched, because the end of the
/// other side would be reported again and again.
fn watch<'a>(
    watched: &mut Vec<PollFd<'a>>,
    socket: &'a Socket,
    sends: &Direction,
    receives: &Direction,
) -> Option<usize> {
    let mut wanted = PollFlags::empty();
    wanted.set(PollFlags::IN, sends.can_read());
    wanted.set(PollFlags::OUT, !receives.pending.is_empty());
    if wanted.is_empty() {
        return None;
    }
    watched.push(PollFd::new(socket, wanted));
    Some(watched.len() - 1)
}

/// A read that fills a small buffer suggests that more comes.
fn grow(buffer: &mut Vec<u8>, count: usize) {
    if count == buffer.len() && count < LARGE {
        buffer.resize(LARGE, 0);
    }
}

impl Direction {
    fn can_read(&self) -> bool {
        !self.ended && self.pending.is_empty()
    }

    /// Reads from the sender into the buffer; gives how much came.
    fn read(&mut self, from: &Socket, buffer: &mut Vec<u8>) -> io::Result<usize> {
        if buffer.is_empty() {
            buffer.resize(SMALL, 0);
        }
        let count = from.read(buffer)?;
        self.ended = count == Some(0);
        Ok(count.unwrap_or(0))
    }

    /// Writes what fits, and keeps the rest.
    fn send(&mut self, bytes: &[u8], to: &Socket) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match to.write(rest)? {
                Some(count) => rest = rest.get(count..).unwrap_or_default(),
                None => break,
            }
        }
        self.pending.extend(rest);
        Ok(())
    }

    /// Writes what was kept, and passes the end on once nothing is.
    fn flush(&mut self, to: &Socket) -> io::Result<()> {
        if !self.pending.is_empty() {
            let pending = std::mem::take(&mut self.pending);
            self.send(&pending, to)?;
        }
        if self.ended && self.pending.is_empty() && !self.closed {
            to.shut_down(Shutdown::Write);
            self.closed = true;
        }
        Ok(())
    }
}
