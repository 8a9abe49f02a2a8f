//! Connections for headers, as `sync` needs them.
//!
//! [`HeaderPeers`] opens them, and passes what it learns about servers to the pool and
//! `availability`. [`HeaderPeer`] fetches headers on them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::consensus::deserialize;
use rand::RngExt;
use serde_json::value::RawValue;

use super::availability::Availability;
use super::lookup::LookupDialer;
use super::pool::Pool;
use super::reply::{self, NamedServer, ReplyError};
use super::servers::{Server, Standing};
use super::sync::{Announced, Peer, PeerError, Peers, unix_time};
use super::wire::{
    CallError, Connection, DialError, Dialer, HEADERS_SUBSCRIBE, Protocol, Purpose, Reply, Request,
};
use crate::chain::proof_of_work::{FullHeader, HeaderParseError};
use crate::log::Log;
use crate::source::Cancel;
use crate::source::transport::lock;

/// Seconds between pings, drawn at random. Servers close a session after ten
/// silent minutes.
const PINGS: std::ops::Range<u64> = 60..240;

/// Opens connections for headers.
pub(super) struct HeaderPeers {
    pub dialer: Arc<Dialer>,
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
        let sent = self.connection.send(&requests).map_err(failed)?;
        let replies = sent.into_iter().map(|request| {
            let reply = self.connection.receive(request, deadline, &self.cancel);
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

#[cfg(test)]
mod tests {
    use bitcoin::consensus::serialize;
    use data_encoding::HEXLOWER;

    use super::*;
    use crate::chain::network::Network;
    use crate::chain::testing;
    use crate::source::electrum::wire::tests::{Peer as Scripted, connect};

    #[test]
    fn stripped_headers_are_taken_if_all_are_there_and_link() {
        let chain = testing::recorded();
        let bytes = |headers: &[Header]| headers.iter().flat_map(serialize).collect::<Vec<_>>();
        let three = bytes(&chain[4..7]);
        assert_eq!(linked(&three, 3).as_deref(), Some(&chain[4..7]));
        assert_eq!(linked(&three, 2), None);
        assert_eq!(linked(&three, 4), None);
        assert_eq!(linked(&three[..239], 3), None);
        let gap = bytes(&[chain[4], chain[5], chain[7]]);
        assert_eq!(linked(&gap, 3), None);
    }

    /// A server with these features that names one other server.
    fn server(features: &'static str) -> Scripted {
        let tip = HEXLOWER.encode(&serialize(&testing::recorded()[9]));
        Scripted::start(move |guest| {
            guest.greet()?;
            loop {
                let request = guest.hear()?;
                let result = match request["method"].as_str().unwrap() {
                    HEADERS_SUBSCRIBE => format!("{{\"hex\":\"{tip}\",\"height\":9}}"),
                    "server.features" => features.to_owned(),
                    "server.peers.subscribe" => {
                        r#"[["9.9.9.9","a.example",["v1.4","s50002"]],7]"#.to_owned()
                    }
                    "blockchain.block.headers" => {
                        format!("{{\"hex\":\"{tip}\",\"count\":1,\"max\":2016}}")
                    }
                    _ => "null".to_owned(),
                };
                guest.say(format!(
                    "{{\"result\":{result},\"id\":{}}}\n",
                    request["id"]
                ))?;
            }
        })
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    fn open(server: &Scripted, genesis: Option<BlockHash>) -> Result<HeaderPeer, PeerError> {
        let never = Cancel::new();
        HeaderPeer::new(connect(server), genesis, never.clone(), soon(), &never)
    }

    /// How many pings a server has heard once it has answered what came after them.
    fn pings(peer: &HeaderPeer, server: &Scripted) -> usize {
        let request = Request::new("x", "[]");
        call(&peer.connection, request, soon(), &peer.cancel).unwrap();
        let heard = server.heard().concat();
        let pings = heard.iter().filter(|one| one["method"] == "server.ping");
        pings.count()
    }

    #[test]
    fn a_connection_is_kept_alive_by_pings_one_to_four_minutes_apart() {
        let server = server(r#"{"protocol_max":"1.4.2"}"#);
        let peer = open(&server, None).unwrap();
        for count in 1..4 {
            peer.keep_alive();
            assert_eq!(pings(&peer, &server), count - 1, "it is not time yet");
            let now = Instant::now();
            *lock(&peer.next_ping) = now;
            peer.keep_alive();
            assert_eq!(pings(&peer, &server), count);
            let gap = *lock(&peer.next_ping) - now;
            assert!((60..241).contains(&gap.as_secs()), "{gap:?}");
        }
        assert!(peer.is_alive());
        let [named] = peer.peers(soon()).unwrap().try_into().unwrap();
        assert_eq!(named.host, "a.example");
    }

    /// What a server says of itself is no proof, but one that says it serves another
    /// chain needs not be tried.
    #[test]
    fn a_discovered_server_has_to_serve_our_chain() {
        let genesis = Network::Regtest.genesis();
        let ours = r#"{"genesis_hash":"0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"}"#;
        let theirs = r#"{"genesis_hash":"000000000062b72c5e2ceb45fbc8587e807c155b0da735e6483dfba2f0a9c770"}"#;
        for (features, wanted, fits) in [
            (ours, Some(genesis), true),
            (theirs, Some(genesis), false),
            ("{}", Some(genesis), false),
            (theirs, None, true),
        ] {
            let peer = open(&server(features), wanted);
            assert_eq!(peer.is_ok(), fits, "{features}");
            if let Err(error) = peer {
                assert!(error.to_string().contains("another block chain"), "{error}");
            }
        }
    }
}
