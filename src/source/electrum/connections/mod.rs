//! The connections of `wire`, as `pool` and `sync` need them.
//!
//! [`LookupDialer`] opens connections for lookups. [`HeaderPeers`] opens those for
//! headers, tells the pool and `availability` what it learns about servers, and
//! [`HeaderPeer`] fetches headers on them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::consensus::deserialize;
use rand::RngExt;
use serde_json::value::RawValue;

use super::availability::Availability;
use super::pins::Pins;
use super::pool::{Dial, Link, Pool};
use super::reply::{self, NamedServer, ReplyError};
use super::servers::{Server, Standing};
use super::sync::{Announced, Peer, PeerError, Peers};
use super::wire::Protocol;
use super::wire::{
    CallError, Connection, DialError, Dialer, HEADERS_SUBSCRIBE, Purpose, Reply, Request,
};
use crate::chain::proof_of_work::{FullHeader, HeaderParseError};
use crate::log::Log;
use crate::snapshot::{FailureKind, FetchFailure};
use crate::source::Cancel;
use crate::source::transport::lock;

/// Seconds between pings, drawn at random. Servers close a session after ten
/// silent minutes.
const PINGS: std::ops::Range<u64> = 60..240;

/// Opens connections for headers.
pub(super) struct HeaderPeers {
    pub dialer: Arc<Dialer>,
    pub pins: Arc<Pins>,
    pub availability: Availability,
    pub log: Log,
    pub pool: Arc<Pool<LookupDialer>>,
    /// The first block of our chain.
    pub genesis: BlockHash,
    /// Servers whose changed keys were already reported.
    pub changed: Mutex<BTreeSet<String>>,
    /// Cancels waiting on the connections.
    pub cancel: Cancel,
}

impl HeaderPeers {
    /// Warns of a changed key, once for each server.
    fn warn(&self, server: &Server, error: &DialError) {
        let mut changed = lock(&self.changed);
        let is_changed = matches!(
            error,
            DialError::PinChanged(_) | DialError::OtherIdentity(_)
        );
        if is_changed && changed.insert(server.to_string()) {
            self.log.warn(error);
        }
    }

    /// Notes that a server has failed.
    fn failed(&self, server: &Server) {
        self.availability
            .failed(&server.address, unix_time(), &mut rand::rng());
    }
}

impl Peers for HeaderPeers {
    type Peer = HeaderPeer;

    fn open(
        &self,
        server: &Server,
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<HeaderPeer, PeerError> {
        let connection = self
            .dialer
            .dial(server, Purpose::Headers, deadline, cancel)
            .map_err(|error| {
                self.warn(server, &error);
                if error.is_of_server() && !cancel.is_set() {
                    self.failed(server);
                }
                PeerError::Broken(error.to_string())
            })?;
        if let Some(trouble) = self.pins.trouble() {
            self.log.warn(trouble);
        }
        // Listed servers are known to serve our chain.
        let genesis = (server.standing == Standing::Discovered).then_some(self.genesis);
        let peer = HeaderPeer::new(connection, genesis, self.cancel.clone(), deadline, cancel);
        match &peer {
            Ok(_) => {
                self.pool.met(server);
                self.availability.answered(&server.address, unix_time());
            }
            // An attempt that is not wanted any more has not failed.
            Err(_) if cancel.is_set() => {}
            Err(_) => self.failed(server),
        }
        if let Some(trouble) = self.availability.trouble() {
            self.log.warn(trouble);
        }
        peer
    }

    fn admit(&self, server: &Server) {
        self.pool.admit(server);
    }

    fn keep_discovered(&self, servers: &[Server]) {
        self.pool.keep_discovered(servers);
    }

    fn ban(&self, server: &Server) {
        self.pool.ban(server);
    }

    fn back_off(&self, server: &Server) {
        self.pool.back_off(server);
    }

    fn set_operators(&self, operators: usize) {
        self.pool.set_slots(operators);
    }

    fn is_backed_off(&self, server: &Server) -> bool {
        self.pool.is_backed_off(server)
            || self
                .availability
                .is_backed_off(&server.address, unix_time())
    }

    fn answered_before(&self, server: &Server) -> bool {
        self.availability.answered_before(&server.address)
    }

    fn trusts(&self, server: &Server) -> bool {
        self.dialer.trusts(server)
    }
}

/// A connection for headers.
pub(super) struct HeaderPeer {
    connection: Connection,
    cancel: Cancel,
    newest: Mutex<Announced>,
    /// Whether the server omits AuxPoW where it should.
    omits_auxpow: AtomicBool,
    next_ping: Mutex<Instant>,
}

impl HeaderPeer {
    /// Asks what the server supports and for its newest block, and fetches that
    /// block's header the way later ones are fetched: a server that does not
    /// send it is found out before anything depends on it. `opening` cancels
    /// this, `cancel` everything later. A server whose chain begins with a
    /// block other than `genesis` is refused.
    fn new(
        connection: Connection,
        genesis: Option<BlockHash>,
        cancel: Cancel,
        deadline: Instant,
        opening: &Cancel,
    ) -> Result<Self, PeerError> {
        let call = |method, params: &str| {
            let request = Request::new(method, params);
            call(&connection, request, deadline, opening)
        };
        let features = call("server.features", "[]")?;
        if genesis.is_some_and(|ours| reply::genesis(features.get()) != Ok(ours)) {
            return Err(PeerError::Broken("it serves another block chain".into()));
        }
        let omits_auxpow = connection.protocol() >= Protocol::V1_4_1
            && reply::newest_protocol(features.get()).is_ok_and(|newest| newest < Protocol::V1_6);
        let tip = reply::tip(call(HEADERS_SUBSCRIBE, "[]")?.get()).map_err(lied)?;
        let newest = format!("[{},1]", tip.height);
        let header = call("blockchain.block.headers", &newest)?;
        reply::headers(header.get(), 1).map_err(lied)?;
        Ok(Self {
            newest: Mutex::new(announced(tip)?),
            connection,
            cancel,
            omits_auxpow: AtomicBool::new(omits_auxpow),
            next_ping: Mutex::new(next_ping()),
        })
    }

    /// The bytes of `count` consecutive headers from `start` on.
    fn bytes(
        &self,
        start: u32,
        count: u32,
        below: Option<u32>,
        deadline: Instant,
    ) -> Result<Vec<u8>, PeerError> {
        let params = match below {
            Some(below) => format!("[{start},{count},{below}]"),
            None => format!("[{start},{count}]"),
        };
        let request = Request::new("blockchain.block.headers", params);
        let text = call(&self.connection, request, deadline, &self.cancel)?;
        Ok(reply::headers(text.get(), count).map_err(lied)?.bytes)
    }

    /// One header without its AuxPoW. This works on every server.
    fn single(&self, height: u32, deadline: Instant) -> Result<Header, PeerError> {
        let request = Request::new("blockchain.block.header", format!("[{height}]"));
        let text = call(&self.connection, request, deadline, &self.cancel)?;
        bare(&reply::header(text.get()).map_err(lied)?)
    }
}

/// How many of `count` are still missing, if any.
fn left(count: u32, came: usize) -> Option<u32> {
    let came = u32::try_from(came).unwrap_or(u32::MAX);
    count.checked_sub(came).filter(|&left| left > 0)
}

impl Peer for HeaderPeer {
    fn server(&self) -> &Server {
        self.connection.server()
    }

    fn newest(&self) -> Result<Announced, PeerError> {
        let mut newest = lock(&self.newest);
        if let Some(news) = self.connection.news() {
            *newest = announced(reply::tip_notification(news.get()).map_err(lied)?)?;
        }
        Ok(*newest)
    }

    fn full_headers(
        &self,
        start: u32,
        count: u32,
        deadline: Instant,
    ) -> Result<Vec<FullHeader>, PeerError> {
        let bytes = self.bytes(start, count, None, deadline)?;
        let mut rest = bytes.as_slice();
        let mut headers = Vec::new();
        while !rest.is_empty() {
            let (header, behind) = FullHeader::read(rest).map_err(unreadable)?;
            headers.push(header);
            rest = behind;
        }
        if headers.is_empty() || headers.len() > count as usize {
            return Err(PeerError::Lied("another number of headers".into()));
        }
        Ok(headers)
    }

    fn bare_headers(
        &self,
        start: u32,
        count: u32,
        below: u32,
        deadline: Instant,
    ) -> Result<Vec<Header>, PeerError> {
        if count == 1 {
            return Ok(vec![self.single(start, deadline)?]);
        }
        if self.omits_auxpow.load(Ordering::Relaxed) {
            let bytes = self.bytes(start, count, Some(below), deadline)?;
            if let Some(headers) = linked(&bytes, count) {
                return Ok(headers);
            }
            self.omits_auxpow.store(false, Ordering::Relaxed);
        }
        let mut headers = Vec::new();
        while let Some(left) = left(count, headers.len()) {
            let next = start.saturating_add(count.saturating_sub(left));
            let full = self.full_headers(next, left, deadline)?;
            headers.extend(full.into_iter().map(|full| full.header));
        }
        Ok(headers)
    }

    fn omits_auxpow(&self) -> bool {
        self.omits_auxpow.load(Ordering::Relaxed)
    }

    fn proofs(&self, heights: &[u32], deadline: Instant) -> Result<Vec<FullHeader>, PeerError> {
        let requests: Vec<Request> = heights
            .iter()
            .map(|height| Request::new("blockchain.block.header", format!("[{height}]")))
            .collect();
        let tickets = self.connection.send(&requests).map_err(failed)?;
        let replies = tickets.into_iter().map(|ticket| {
            let reply = self.connection.receive(ticket, deadline, &self.cancel);
            let text = result(reply.map_err(failed)?)?;
            let bytes = reply::header(text.get()).map_err(lied)?;
            match FullHeader::read(&bytes) {
                Ok((header, [])) => Ok(header),
                Ok(_) => Err(PeerError::Lied("more than a header".into())),
                Err(error) => Err(unreadable(error)),
            }
        });
        replies.collect()
    }

    fn peers(&self, deadline: Instant) -> Result<Vec<NamedServer>, PeerError> {
        let request = Request::new("server.peers.subscribe", "[]");
        let text = call(&self.connection, request, deadline, &self.cancel)?;
        reply::peers(text.get()).map_err(lied)
    }

    fn received(&self) -> u64 {
        self.connection.received()
    }

    fn is_alive(&self) -> bool {
        self.connection.is_alive()
    }

    fn keep_alive(&self) {
        // A failure shows as the end of the connection, here and below.
        let _ = self.connection.drain();
        let mut next = lock(&self.next_ping);
        if Instant::now() >= *next {
            *next = next_ping();
            let _ = self.connection.ping();
        }
    }

    fn close(&self) {
        self.connection.close();
    }
}

fn next_ping() -> Instant {
    Instant::now() + Duration::from_secs(rand::rng().random_range(PINGS))
}

/// `count` headers of 80 bytes that link to each other; `None` if they are not.
fn linked(bytes: &[u8], count: u32) -> Option<Vec<Header>> {
    let headers: Vec<Header> = bytes
        .chunks(Header::SIZE)
        .map(|bytes| deserialize(bytes).ok())
        .collect::<Option<_>>()?;
    let links = headers
        .iter()
        .zip(headers.iter().skip(1))
        .all(|(one, next)| next.prev_blockhash == one.block_hash());
    (headers.len() == count as usize && links).then_some(headers)
}

fn announced(tip: reply::Tip) -> Result<Announced, PeerError> {
    Ok(Announced {
        height: tip.height,
        header: bare(&tip.bytes)?,
    })
}

/// A header without the AuxPoW behind it.
fn bare(bytes: &[u8]) -> Result<Header, PeerError> {
    let bytes = bytes.get(..Header::SIZE).unwrap_or_default();
    deserialize(bytes).map_err(|_| PeerError::Lied("a header that is too short".into()))
}

fn call(
    connection: &Connection,
    request: Request,
    deadline: Instant,
    cancel: &Cancel,
) -> Result<Box<RawValue>, PeerError> {
    let reply = connection.call(request, deadline, cancel);
    result(reply.map_err(failed)?)
}

fn result(reply: Reply) -> Result<Box<RawValue>, PeerError> {
    reply
        .result()
        .map_err(|error| PeerError::Broken(format!("it answered with {error}")))
}

fn failed(error: CallError) -> PeerError {
    match error {
        CallError::TimedOut { .. } | CallError::Cancelled => PeerError::TimedOut,
        CallError::Protocol(what) => PeerError::Lied(what.to_owned()),
        error => PeerError::Broken(format!("it {error}")),
    }
}

fn unreadable(error: HeaderParseError) -> PeerError {
    PeerError::Lied(format!("headers that cannot be read: {error}"))
}

fn lied(error: ReplyError) -> PeerError {
    PeerError::Lied(error.to_string())
}

/// Opens connections for lookups.
pub(super) struct LookupDialer(pub Arc<Dialer>);

impl Dial for LookupDialer {
    type Link = Connection;

    fn trusts(&self, server: &Server) -> bool {
        self.0.trusts(server)
    }

    fn dial(
        &self,
        server: &Server,
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<Connection, FetchFailure> {
        self.0
            .dial(server, Purpose::Lookups, deadline, cancel)
            .map_err(|error| FetchFailure::new(kind(&error), error.to_string()))
    }
}

fn kind(error: &DialError) -> FailureKind {
    match error {
        DialError::TimedOut(_) | DialError::Cancelled(_) => FailureKind::TimedOut,
        DialError::NotElectrum(_) | DialError::Version(_) => FailureKind::BadReply,
        _ => FailureKind::Unreachable,
    }
}

impl Link for Connection {
    fn server(&self) -> &Server {
        self.server()
    }

    fn is_alive(&self) -> bool {
        self.is_alive()
    }

    fn keep_alive(&self) {
        // A failure shows as the end of the connection.
        let _ = self.drain();
        let _ = self.ping();
    }

    fn close(&self) {
        self.close();
    }
}

/// The time, in seconds of Unix time.
pub(super) fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests;
