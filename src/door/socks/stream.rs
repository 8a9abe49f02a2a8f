//! The life of one stream: the client's request, the lookup if the name is ours,
//! and what Tor makes of it.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::isolation::{Distinction, Isolation, Origin};
use super::reader::{Reader, Step};
use super::relay::{End, relay};
use super::reply::{self, Refusal};
use super::request::{Command, Host, Request};
use super::socket::Socket;
use super::tor::{TorReply, TorRequest};
use super::waiting::WaitingLookups;
use crate::config::settings::ProxyAddress;
use crate::log::Log;
use crate::naming::{Answer, Naming};

/// How long a client may take for its request.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// How long Tor may take to take a request.
const TOR_GREETING: Duration = Duration::from_secs(30);

/// How long Tor may take to answer one. It gives up by itself after two minutes.
const TOR_REPLY: Duration = Duration::from_secs(180);

/// How long a client may take to read a refusal.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How many bytes are read from a client that is refused, so that it gets the
/// refusal.
const MAX_UNREAD: usize = 64 << 10;

/// The least time between two warnings of one kind.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// What the streams of a process share.
pub struct Shared {
    /// The ids and credentials of streams.
    pub isolation: Isolation,
    /// Which names are ours.
    pub naming: Arc<Naming>,
    /// The lookups of names that are ours.
    pub lookups: WaitingLookups,
    /// Tor's SOCKS port.
    pub tor: ProxyAddress,
    log: Log,
    /// When each warning was logged last.
    warned: Mutex<HashMap<&'static str, Instant>>,
}

impl Shared {
    /// What streams to Tor's SOCKS port share.
    pub fn new(
        isolation: Isolation,
        naming: Arc<Naming>,
        lookups: WaitingLookups,
        tor: ProxyAddress,
        log: Log,
    ) -> Self {
        Self {
            isolation,
            naming,
            lookups,
            tor,
            log,
            warned: Mutex::default(),
        }
    }

    /// Logs a warning, unless it was logged a short time ago: clients decide how
    /// often its cause recurs.
    pub fn warn(&self, what: &'static str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let last = warned.get(what);
        if last.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL) {
            warned.insert(what, Instant::now());
            self.log.warn(what);
        }
    }
}

/// A stream.
pub struct Stream {
    /// The client's connection.
    pub client: Socket,
    /// Where it came in.
    pub origin: Origin,
    /// What all streams share.
    pub shared: Arc<Shared>,
}

/// What becomes of a request.
enum Next {
    /// The client is sent this, and that is all.
    Answer(Vec<u8>),
    /// Tor is asked for this.
    Ask(Host),
}

impl Stream {
    /// Serves the client to its end.
    ///
    /// # Errors
    /// The client or Tor went away.
    pub fn run(self) -> io::Result<()> {
        let mut early = Vec::new();
        let request = match self.request(&mut early)? {
            Ok(request) => request,
            Err(reply) => return self.part(&reply),
        };
        let distinction = Distinction {
            origin: self.origin,
            protocol: request.protocol,
            credentials: request.credentials.as_ref(),
        };
        let host = match self.decide(&request, distinction) {
            Some(Next::Ask(host)) => host,
            Some(Next::Answer(reply)) => return self.part(&reply),
            None => return Ok(()),
        };
        let to_tor = TorRequest {
            command: request.command,
            credentials: self.shared.isolation.toward_tor(distinction),
            host,
            port: request.port,
        };
        let sent = to_tor.send(&self.shared.tor, Instant::now() + TOR_GREETING);
        let protocol = request.protocol;
        let reply = TorReply::new(protocol, request.command);
        // Nothing that the client showed is kept while the stream lasts.
        drop((request, to_tor));
        let end = match sent {
            Ok(tor) => relay(&self.client, &tor, early, reply, Instant::now() + TOR_REPLY)?,
            Err(why) => End::NoTor(why),
        };
        match end {
            End::Closed => Ok(()),
            End::Answer(answer) => self.part(&answer),
            End::NoTor(why) => {
                self.shared.warn(why);
                self.part(&Refusal::NoTor(why).reply(protocol))
            }
        }
    }

    /// Refuses the client in its own protocol, for a reason that does not depend
    /// on its request.
    ///
    /// # Errors
    /// The client went away.
    pub fn refuse(self, refusal: &Refusal) -> io::Result<()> {
        let mut early = Vec::new();
        let reply = match self.request(&mut early)? {
            Ok(request) => refusal.reply(request.protocol),
            Err(reply) => reply,
        };
        self.part(&reply)
    }

    /// Reads the request, or what to answer if it is none. What follows it stays
    /// in `early`.
    fn request(&self, early: &mut Vec<u8>) -> io::Result<Result<Request, Vec<u8>>> {
        let deadline = Instant::now() + HANDSHAKE;
        let mut reader = Reader::default();
        let mut buffer = [0; 2 << 10];
        loop {
            match reader.step(early) {
                Step::Done(request) => return Ok(Ok(request)),
                Step::Refuse(reply) => return Ok(Err(reply)),
                Step::Say(bytes) => self.client.write_by(&bytes, deadline)?,
                Step::More => match self.client.read_by(&mut buffer, deadline)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    count => early.extend(buffer.iter().take(count)),
                },
            }
        }
    }

    /// Resolves a name that is ours; everything else goes to Tor as it is.
    /// `None` if the client went away.
    fn decide(&self, request: &Request, distinction: Distinction<'_>) -> Option<Next> {
        let name = match &request.host {
            Host::Name(name) if self.shared.naming.is_ours(name) => name,
            other => return Some(Next::Ask(other.clone())),
        };
        let refuse = |refusal: Refusal| Some(Next::Answer(refusal.reply(request.protocol)));
        if request.command == Command::ResolvePtr {
            return refuse(Refusal::NoSuchName("a name has no name".to_owned()));
        }
        let isolation = self.shared.isolation.id(distinction);
        let is_gone = || self.client.is_closed();
        let answer = self.shared.lookups.resolve(name, &isolation, is_gone)?;
        match (answer, request.command) {
            (Answer::Onion(_), Command::Resolve) => {
                let why = "the name leads to an onion service, which has no address";
                refuse(Refusal::NoSuchName(why.to_owned()))
            }
            (Answer::Address(address), Command::Resolve) => {
                Some(Next::Answer(reply::resolved(request.protocol, address)))
            }
            (Answer::Address(address), _) => Some(Next::Ask(Host::Address(address))),
            (Answer::Onion(host) | Answer::Host(host), _) => {
                Some(Next::Ask(Host::Name(host.into_bytes())))
            }
            (Answer::NotNow(why), _) => refuse(Refusal::NotNow(why)),
            (Answer::NoSuchName(why), _) => refuse(Refusal::NoSuchName(why)),
        }
    }

    /// Sends the last bytes and closes the connection, in a way that lets the
    /// client read them: unread input would have the system discard them.
    fn part(&self, reply: &[u8]) -> io::Result<()> {
        let deadline = Instant::now() + LAST_WORDS;
        self.client.write_by(reply, deadline)?;
        self.client.shut_down(std::net::Shutdown::Write);
        let mut buffer = [0; 2 << 10];
        let mut left = MAX_UNREAD;
        while left > 0 {
            match self.client.read_by(&mut buffer, deadline)? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        Ok(())
    }
}
