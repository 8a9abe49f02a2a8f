//! A stream between a client and Tor, both ways at once.

use std::io;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::socket::{Socket, wait};
use super::tor::{Outcome, TorReply};

/// The bytes of the buffer while little comes.
const SMALL: usize = 4 << 10;

/// The bytes of the buffer once a read has filled it.
const LARGE: usize = 64 << 10;

/// How long a stream is quiet before its buffer is freed.
const QUIET: Duration = Duration::from_secs(1);

/// How long a stream whose one side has ended may be quiet before it is closed.
/// Tor closes both directions at once, so that mostly nothing more comes.
const HALF_OPEN: Duration = Duration::from_secs(600);

const NO_REPLY: &str = "Tor closed a connection without a reply";

/// How a stream ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// Both sides are done.
    Closed,
    /// Tor answered and opened no stream. The client is to be sent this.
    Answer(Vec<u8>),
    /// Tor did not answer. Holds the reason.
    NoTor(&'static str),
}

/// One direction of a stream.
#[derive(Default)]
struct Direction {
    /// What was read and does not fit into the receiver yet.
    pending: Vec<u8>,
    /// Whether the sender has ended.
    ended: bool,
    /// Whether the receiver knows that, or takes nothing any more.
    closed: bool,
    /// Whether the sender hung up while something was pending. That would be
    /// reported again and again.
    hung_up: bool,
}

/// Passes bytes on until both sides have ended, or one of them breaks. `early`
/// is what the client sent before Tor replied; Tor's reply, translated, is the
/// first that the client gets. It must arrive by `reply_by`.
///
/// # Errors
/// A connection broke.
pub fn relay(
    client: &Socket,
    tor: &Socket,
    early: Vec<u8>,
    reply: TorReply,
    reply_by: Instant,
) -> io::Result<End> {
    let mut reply = Some(reply);
    let mut up = Direction {
        pending: early,
        ..Direction::default()
    };
    let mut down = Direction::default();
    let mut buffer = Vec::new();
    loop {
        up.flush(tor);
        down.flush(client);
        if up.closed && down.closed {
            return Ok(End::Closed);
        }
        let limit = match &reply {
            Some(_) => Some(reply_by.saturating_duration_since(Instant::now())),
            None if !buffer.is_empty() => Some(QUIET),
            None => (up.closed || down.closed).then_some(HALF_OPEN),
        };
        if reply.is_some() && limit == Some(Duration::ZERO) {
            return Ok(End::NoTor("Tor took too long to answer a request"));
        }
        let mut watched = Vec::with_capacity(2);
        let from_client = watch(&mut watched, client, &up, &down);
        let from_tor = watch(&mut watched, tor, &down, &up);
        if !wait(&mut watched, limit)? {
            if limit == Some(HALF_OPEN) {
                return Ok(End::Closed);
            }
            buffer = Vec::new();
            continue;
        }
        let events = |index: Option<usize>| {
            let found = index.and_then(|index| watched.get(index));
            found.map_or(PollFlags::empty(), PollFd::revents)
        };
        let (client_events, tor_events) = (events(from_client), events(from_tor));
        if !up.pending.is_empty() && client_events.contains(PollFlags::ERR) {
            // It is gone, and Tor takes nothing of what it said.
            return Ok(End::Closed);
        }
        for (direction, events) in [(&mut up, client_events), (&mut down, tor_events)] {
            let waits = !direction.pending.is_empty();
            direction.hung_up |= waits && events.intersects(PollFlags::HUP | PollFlags::ERR);
        }
        let any = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        let (client_is_ready, tor_is_ready) =
            (client_events.intersects(any), tor_events.intersects(any));
        if (client_is_ready && up.closed) || (tor_is_ready && down.closed) {
            // It has ended, and now takes nothing either.
            return Ok(End::Closed);
        }
        if client_is_ready && up.can_read() {
            let count = up.read(client, &mut buffer)?;
            up.send(buffer.get(..count).unwrap_or_default(), tor);
            grow(&mut buffer, count);
        }
        if tor_is_ready && down.can_read() {
            let count = match down.read(tor, &mut buffer) {
                Ok(count) => count,
                Err(_) if reply.is_some() => return Ok(End::NoTor(NO_REPLY)),
                Err(error) => return Err(error),
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            match &mut reply {
                None => down.send(bytes, client),
                Some(_) if down.ended => return Ok(End::NoTor(NO_REPLY)),
                Some(waiting) => match waiting.feed(bytes) {
                    None => {}
                    Some(Outcome::Open(first)) => {
                        reply = None;
                        down.send(&first, client);
                    }
                    Some(Outcome::Answer(answer)) => return Ok(End::Answer(answer)),
                    Some(Outcome::NoTor(why)) => return Ok(End::NoTor(why)),
                },
            }
            grow(&mut buffer, count);
        }
    }
}

/// Watches a socket for what it is needed for; gives its place among the
/// watched. One that has ended is watched only for its failure, and not at all
/// while that would be reported again and again.
fn watch<'a>(
    watched: &mut Vec<PollFd<'a>>,
    socket: &'a Socket,
    sends: &Direction,
    receives: &Direction,
) -> Option<usize> {
    let mut wanted = PollFlags::empty();
    wanted.set(PollFlags::IN, sends.can_read());
    wanted.set(PollFlags::OUT, !receives.pending.is_empty());
    let waits = !sends.pending.is_empty() && !sends.hung_up;
    let may_fail = (sends.closed || waits) && !receives.closed;
    if wanted.is_empty() && !may_fail {
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

    /// Writes what fits, and keeps the rest. A receiver that takes nothing any
    /// more ends this direction only: it may have said something before.
    fn send(&mut self, bytes: &[u8], to: &Socket) {
        let mut rest = bytes;
        while !rest.is_empty() {
            match to.write(rest) {
                Ok(Some(count)) => rest = rest.get(count..).unwrap_or_default(),
                Ok(None) => break,
                Err(_) => {
                    (self.ended, self.closed) = (true, true);
                    return;
                }
            }
        }
        self.pending.extend(rest);
    }

    /// Writes what was kept, and passes the end on once nothing is.
    fn flush(&mut self, to: &Socket) {
        let pending = std::mem::take(&mut self.pending);
        self.send(&pending, to);
        if self.ended && self.pending.is_empty() && !self.closed {
            to.shut_down(Shutdown::Write);
            self.closed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::thread::{self, JoinHandle};

    use super::super::request::{Command, Protocol};
    use super::*;

    const OPENED: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

    /// A relay under way, and the far ends of its sockets.
    struct Running {
        client: TcpStream,
        tor: TcpStream,
        end: JoinHandle<io::Result<End>>,
    }

    fn tcp() -> (TcpStream, Socket) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (far, Socket::from_tcp(listener.accept().unwrap().0).unwrap())
    }

    /// The far end is a Unix socket, which the type of TCP streams holds as well.
    fn unix() -> (TcpStream, Socket) {
        let (far, near) = UnixStream::pair().unwrap();
        let far = std::os::fd::OwnedFd::from(far);
        (far.into(), Socket::from_unix(near).unwrap())
    }

    fn start(make: fn() -> (TcpStream, Socket), early: &[u8], reply_in: Duration) -> Running {
        let ((client, near_client), (tor, near_tor)) = (make(), make());
        for far in [&client, &tor] {
            far.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        }
        let early = early.to_vec();
        let reply = TorReply::new(Protocol::Socks5, Command::Connect);
        let end = thread::spawn(move || {
            let reply_by = Instant::now() + reply_in;
            relay(&near_client, &near_tor, early, reply, reply_by)
        });
        Running { client, tor, end }
    }

    fn opened(make: fn() -> (TcpStream, Socket)) -> Running {
        let mut running = start(make, b"", Duration::from_secs(20));
        running.tor.write_all(&OPENED).unwrap();
        expect(&mut running.client, &OPENED);
        running
    }

    #[track_caller]
    fn expect(from: &mut TcpStream, bytes: &[u8]) {
        let mut got = vec![0; bytes.len()];
        from.read_exact(&mut got).unwrap();
        assert_eq!(got, bytes);
    }

    #[track_caller]
    fn expect_end(from: &mut TcpStream) {
        assert_eq!(from.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn either_side_may_end_first_and_still_listen() {
        for make in [tcp, unix] {
            for client_is_first in [true, false] {
                let mut running = opened(make);
                let (first, second) = match client_is_first {
                    true => (&mut running.client, &mut running.tor),
                    false => (&mut running.tor, &mut running.client),
                };
                first.write_all(b"last words").unwrap();
                first.shutdown(Shutdown::Write).unwrap();
                expect(second, b"last words");
                expect_end(second);
                second.write_all(b"an answer").unwrap();
                expect(first, b"an answer");
                second.shutdown(Shutdown::Write).unwrap();
                expect_end(first);
                assert_eq!(running.end.join().unwrap().unwrap(), End::Closed);
            }
        }
    }

    #[test]
    fn what_comes_before_the_reply_goes_to_tor_and_back_with_it() {
        let mut running = start(tcp, b"early ", Duration::from_secs(20));
        expect(&mut running.tor, b"early ");
        running.client.write_all(b"and later").unwrap();
        expect(&mut running.tor, b"and later");
        let both = [&OPENED[..], b"first"].concat();
        running.tor.write_all(&both).unwrap();
        expect(&mut running.client, &both);
    }

    #[test]
    fn a_reply_that_does_not_come_ends_the_stream() {
        // Also while the client keeps sending.
        let mut running = start(tcp, b"", Duration::from_millis(50));
        while running.client.write_all(b"more").is_ok() && !running.end.is_finished() {
            let _ = running.tor.read(&mut [0; 64]).unwrap();
        }
        let end = running.end.join().unwrap().unwrap();
        assert!(matches!(end, End::NoTor(_)), "{end:?}");

        // With unread data, a connection that is closed is reset.
        for early in [&b""[..], b"early"] {
            for make in [tcp, unix] {
                let running = start(make, early, Duration::from_secs(20));
                if !early.is_empty() {
                    running.tor.peek(&mut [0]).unwrap();
                }
                drop(running.tor);
                let end = running.end.join().unwrap().unwrap();
                assert_eq!(end, End::NoTor(NO_REPLY));
            }
        }
    }

    /// A client's early data may meet a Tor that has refused and closed. The
    /// refusal arrives all the same.
    #[test]
    fn a_refusal_arrives_although_tor_takes_no_more() {
        let refused = [5, 4, 0, 1, 0, 0, 0, 0, 0, 0];
        for make in [tcp, unix] {
            let ((_client, near_client), (mut tor, near_tor)) = (make(), make());
            tor.write_all(&refused).unwrap();
            drop(tor);
            let reply = TorReply::new(Protocol::Socks5, Command::Connect);
            let early = vec![0; 1 << 20];
            let by = Instant::now() + Duration::from_secs(20);
            let end = relay(&near_client, &near_tor, early, reply, by).unwrap();
            assert_eq!(end, End::Answer(refused.to_vec()));
        }
    }

    /// One that has sent its last and then dies is waited for no longer.
    #[test]
    fn a_side_that_dies_after_its_end_ends_the_stream() {
        let mut running = opened(unix);
        running.client.shutdown(Shutdown::Write).unwrap();
        expect_end(&mut running.tor);
        drop(running.client);
        assert_eq!(running.end.join().unwrap().unwrap(), End::Closed);
        expect_end(&mut running.tor);
    }

    /// A client that was reset takes its place no longer, although Tor still has not
    /// taken what it sent.
    #[test]
    fn a_client_that_is_reset_while_tor_takes_nothing_ends_the_stream() {
        let mut running = opened(tcp);
        running.tor.write_all(b"unread").unwrap();
        running.client.peek(&mut [0]).unwrap();
        running.client.set_nonblocking(true).unwrap();
        let bytes = vec![0; 1 << 20];
        let mut stuck = 0_usize;
        while stuck < 20 {
            match running.client.write(&bytes) {
                Ok(count) => stuck = usize::from(count == 0),
                Err(_) => {
                    stuck += 1;
                    thread::sleep(Duration::from_millis(10));
                }
            }
        }
        // With unread data, closing resets.
        drop(running.client);
        assert_eq!(running.end.join().unwrap().unwrap(), End::Closed);
    }

    #[test]
    fn much_goes_both_ways_at_once_unchanged() {
        const SIZE: usize = 8 << 20;
        let data = |seed: u8| -> Vec<u8> {
            (0..SIZE)
                .map(|at| (at / 251) as u8 ^ at as u8 ^ seed)
                .collect()
        };
        let running = opened(tcp);
        thread::scope(|scope| {
            for (mine, theirs, far) in [(1, 2, &running.client), (2, 1, &running.tor)] {
                scope.spawn(move || {
                    let mut far = far;
                    far.write_all(&data(mine)).unwrap();
                    far.shutdown(Shutdown::Write).unwrap();
                });
                scope.spawn(move || {
                    let (mut far, mut got) = (far, Vec::new());
                    far.read_to_end(&mut got).unwrap();
                    assert!(got == data(theirs));
                });
            }
        });
        assert_eq!(running.end.join().unwrap().unwrap(), End::Closed);
    }
}
