//! Synchronisation with servers in memory, on a regtest that the tests mine.

mod bulk;
mod connect;
mod operators;
mod peer;
mod rounds;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard};

use bitcoin::block::Header;
use rand::SeedableRng;

use super::*;
use crate::chain::headers::Headers;
use crate::chain::network::{Checkpoint, Network};
use crate::chain::proof_of_work::FullHeader;
use crate::chain::testing;
use crate::log::Level;
use crate::source::electrum::reply::NamedServer;
use crate::source::electrum::servers::Standing;
use crate::source::electrum::testing as fixtures;

/// Late enough for every header.
fn clock() -> u64 {
    u64::from(u32::MAX)
}

/// A regtest chain of so many blocks on the genesis.
fn trunk(count: usize) -> Vec<FullHeader> {
    let genesis = FullHeader {
        header: testing::recorded()[0],
        auxpow: None,
    };
    grown(&[genesis], count, 0)
}

/// A chain with further blocks on it; `salt` tells branches apart.
fn grown(chain: &[FullHeader], count: usize, salt: u8) -> Vec<FullHeader> {
    let parent = &chain.last().unwrap().header;
    let new = testing::branch(parent, count, salt);
    [chain, &new].concat()
}

/// A chain that goes another way after the block at `fork`.
fn parted(chain: &[FullHeader], fork: usize, count: usize, salt: u8) -> Vec<FullHeader> {
    grown(&chain[..=fork], count, salt)
}

fn height(chain: &[FullHeader]) -> u32 {
    u32::try_from(chain.len()).unwrap() - 1
}

fn server(operator: &str) -> Server {
    fixtures::server(operator, &format!("{operator}.example"))
}

/// What a request for headers gets, if not what it should, by the session, the
/// first height and the number.
type Trick = dyn Fn(&[FullHeader], usize, u32, u32) -> Option<Answer> + Send + Sync;
type Answer = Result<Vec<FullHeader>, PeerError>;
type Prover = dyn Fn(&[FullHeader], u32) -> Result<FullHeader, PeerError> + Send + Sync;

/// A server.
struct Host {
    server: Server,
    chain: Mutex<Vec<FullHeader>>,
    /// What it announces, if not its newest block.
    announced: Mutex<Option<Announced>>,
    trick: Mutex<Option<Box<Trick>>>,
    /// Whether it leaves AuxPoW out.
    omits_auxpow: AtomicBool,
    /// What a request for the proof at a height gets, if not what it should.
    prover: Mutex<Option<Box<Prover>>>,
    /// Session and heights of each request for proofs.
    proofs: Mutex<Vec<(usize, Vec<u32>)>>,
    is_down: AtomicBool,
    /// Whether connections to it neither come about nor fail.
    hangs: AtomicBool,
    /// Whether it takes no further connections.
    refuses: AtomicBool,
    /// Whether it is trusted after two connections only.
    is_stranger: AtomicBool,
    /// The servers that it names.
    names: Mutex<Result<Vec<NamedServer>, PeerError>>,
    /// How often it was asked for those.
    asked: AtomicUsize,
    /// What each header weighs on the connection.
    bytes: AtomicU64,
    opened: AtomicUsize,
    /// Session, first height and number of each request for headers.
    requests: Mutex<Vec<(usize, u32, u32)>>,
}

impl Host {
    fn new(operator: &str, chain: &[FullHeader]) -> Arc<Self> {
        Self::at(server(operator), chain)
    }

    fn at(server: Server, chain: &[FullHeader]) -> Arc<Self> {
        Arc::new(Self {
            server,
            chain: Mutex::new(chain.to_vec()),
            announced: Mutex::default(),
            trick: Mutex::default(),
            omits_auxpow: AtomicBool::new(false),
            prover: Mutex::default(),
            proofs: Mutex::default(),
            is_down: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            is_stranger: AtomicBool::new(false),
            names: Mutex::new(Ok(Vec::new())),
            asked: AtomicUsize::new(0),
            bytes: AtomicU64::new(200),
            opened: AtomicUsize::new(0),
            requests: Mutex::default(),
        })
    }

    fn set(&self, chain: &[FullHeader]) {
        *self.chain.lock().unwrap() = chain.to_vec();
    }

    fn chain(&self) -> MutexGuard<'_, Vec<FullHeader>> {
        self.chain.lock().unwrap()
    }

    /// Announces this instead of its newest block.
    fn announce(&self, height: u32, header: Header) {
        *self.announced.lock().unwrap() = Some(Announced { height, header });
    }

    fn play(
        &self,
        trick: impl Fn(&[FullHeader], usize, u32, u32) -> Option<Answer> + Send + Sync + 'static,
    ) {
        *self.trick.lock().unwrap() = Some(Box::new(trick));
    }

    fn requests(&self) -> Vec<(usize, u32, u32)> {
        self.requests.lock().unwrap().clone()
    }

    fn opened(&self) -> usize {
        self.opened.load(SeqCst)
    }

    fn connect(self: &Arc<Self>) -> Connected {
        self.connect_as(&self.server)
    }

    /// A connection under this name for it.
    fn connect_as(self: &Arc<Self>, server: &Server) -> Connected {
        Connected {
            host: Arc::clone(self),
            server: server.clone(),
            session: self.opened.fetch_add(1, SeqCst),
            is_closed: AtomicBool::new(false),
            received: AtomicU64::new(0),
        }
    }
}

/// Headers as an honest server sends them.
fn honest(chain: &[FullHeader], start: u32, count: u32) -> Answer {
    let from = (start as usize).min(chain.len());
    let to = (from + count as usize).min(chain.len());
    match &chain[from..to] {
        [] => Err(PeerError::Lied("no headers".into())),
        headers => Ok(headers.to_vec()),
    }
}

/// A connection to a server.
struct Connected {
    host: Arc<Host>,
    server: Server,
    session: usize,
    is_closed: AtomicBool,
    received: AtomicU64,
}

impl Peer for Connected {
    fn server(&self) -> &Server {
        &self.server
    }

    fn newest(&self) -> Result<Announced, PeerError> {
        let chain = self.host.chain();
        let newest = Announced {
            height: height(&chain),
            header: chain.last().unwrap().header,
        };
        Ok(self.host.announced.lock().unwrap().unwrap_or(newest))
    }

    fn full_headers(&self, start: u32, count: u32, _: Instant) -> Answer {
        assert!((1..=MAX_BATCH).contains(&count));
        assert!(self.is_alive(), "nothing is asked on a closed connection");
        let mut requests = self.host.requests.lock().unwrap();
        requests.push((self.session, start, count));
        drop(requests);
        let chain = self.host.chain().clone();
        let trick = self.host.trick.lock().unwrap();
        let played = trick
            .as_ref()
            .and_then(|trick| trick(&chain, self.session, start, count));
        let headers = played.unwrap_or_else(|| honest(&chain, start, count))?;
        let bytes = headers.len() as u64 * self.host.bytes.load(SeqCst);
        self.received.fetch_add(bytes, SeqCst);
        Ok(headers)
    }

    fn bare_headers(
        &self,
        start: u32,
        count: u32,
        below: u32,
        deadline: Instant,
    ) -> Result<Vec<Header>, PeerError> {
        assert!(below >= start + count - 1);
        let full = self.full_headers(start, count, deadline)?;
        Ok(full.into_iter().map(|full| full.header).collect())
    }

    fn omits_auxpow(&self) -> bool {
        self.host.omits_auxpow.load(SeqCst)
    }

    fn proofs(&self, heights: &[u32], _: Instant) -> Answer {
        assert!(self.is_alive(), "nothing is asked on a closed connection");
        let mut proofs = self.host.proofs.lock().unwrap();
        proofs.push((self.session, heights.to_vec()));
        drop(proofs);
        let chain = self.host.chain().clone();
        let prover = self.host.prover.lock().unwrap();
        heights
            .iter()
            .map(|&height| match &*prover {
                Some(prover) => prover(&chain, height),
                None => Ok(chain[height as usize].clone()),
            })
            .collect()
    }

    fn peers(&self, _: Instant) -> Result<Vec<NamedServer>, PeerError> {
        assert!(self.is_alive(), "nothing is asked on a closed connection");
        self.host.asked.fetch_add(1, SeqCst);
        self.host.names.lock().unwrap().clone()
    }

    fn received(&self) -> u64 {
        self.received.load(SeqCst)
    }

    fn is_alive(&self) -> bool {
        !self.is_closed.load(SeqCst) && !self.host.is_down.load(SeqCst)
    }

    fn keep_alive(&self) {}

    fn close(&self) {
        self.is_closed.store(true, SeqCst);
    }
}

/// All servers.
struct Net {
    hosts: Vec<Arc<Host>>,
    banned: Mutex<Vec<Server>>,
    backed_off: Mutex<Vec<Server>>,
    /// Operators whose answers lookups compare, if that was changed.
    compared: AtomicUsize,
    /// Discovered servers that lookups may use, and those that are known.
    admitted: Mutex<Vec<Server>>,
    kept: Mutex<Vec<Server>>,
}

impl Peers for Net {
    type Peer = Connected;

    fn open(
        &self,
        server: &Server,
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<Connected, PeerError> {
        let host = self.host(server);
        while host.hangs.load(SeqCst) {
            if cancel.is_set() || Instant::now() >= deadline {
                return Err(PeerError::TimedOut);
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        if host.is_down.load(SeqCst) || host.refuses.load(SeqCst) {
            return Err(PeerError::Broken("it is down".into()));
        }
        Ok(host.connect_as(server))
    }

    fn ban(&self, server: &Server) {
        self.banned.lock().unwrap().push(server.clone());
    }

    fn back_off(&self, server: &Server) {
        self.backed_off.lock().unwrap().push(server.clone());
    }

    fn set_operators(&self, operators: usize) {
        self.compared.store(operators, SeqCst);
    }

    fn is_backed_off(&self, _: &Server) -> bool {
        false
    }

    fn trusts(&self, server: &Server) -> bool {
        let host = self.host(server);
        !host.is_stranger.load(SeqCst) || host.opened() > 1
    }

    fn admit(&self, server: &Server) {
        self.admitted.lock().unwrap().push(server.clone());
    }

    fn keep_discovered(&self, servers: &[Server]) {
        *self.kept.lock().unwrap() = servers.to_vec();
    }
}

impl Net {
    fn host(&self, server: &Server) -> &Arc<Host> {
        let mut hosts = self.hosts.iter();
        hosts
            .find(|host| host.server.address == server.address)
            .unwrap()
    }
}

/// Synchronisation with some servers.
struct Simulation {
    driver: Driver<Net>,
    net: Arc<Net>,
    ledger: Arc<Ledger>,
    sessions: Sessions<Connected>,
    logged: Arc<Mutex<Vec<String>>>,
}

impl Simulation {
    fn new(hosts: &[Arc<Host>]) -> Self {
        Self::from(hosts, Network::Regtest.checkpoint())
    }

    fn from(hosts: &[Arc<Host>], checkpoint: Checkpoint) -> Self {
        let net = Arc::new(Net {
            hosts: hosts.to_vec(),
            banned: Mutex::default(),
            backed_off: Mutex::default(),
            compared: AtomicUsize::default(),
            admitted: Mutex::default(),
            kept: Mutex::default(),
        });
        let headers = Headers::new(Network::Regtest, checkpoint);
        let operators: HashSet<_> = hosts.iter().map(|host| &host.server.operator).collect();
        let ledger = Arc::new(Ledger::new(headers, operators.len().min(2), clock));
        let (log, logged) = fixtures::log(Level::Debug);
        let driver = Driver {
            peers: Arc::clone(&net),
            servers: hosts.iter().map(|host| host.server.clone()).collect(),
            discovery: Discovery::off(),
            ledger: Arc::clone(&ledger),
            file: None,
            cancel: Cancel::new(),
            log,
            random: StdRng::from_seed([7; 32]),
            sampling: Sampling::new(false),
            next_probe: None,
            record: TrackRecord::default(),
            operators: ElectrumOperators::Two,
            short_rounds: 0,
            is_warned: false,
        };
        Self {
            driver,
            net,
            ledger,
            sessions: Sessions::new(),
            logged,
        }
    }

    /// Gathers operators and synchronises, once.
    fn connect_and_compare(&mut self) -> bool {
        self.driver.connect_and_compare(&mut self.sessions)
    }

    fn poll(&mut self) {
        self.driver.poll(&mut self.sessions);
    }

    fn is_at(&self, chain: &[FullHeader]) -> bool {
        let headers = self.ledger.headers();
        headers.tip() == Some((height(chain), &chain.last().unwrap().header))
    }

    fn banned(&self) -> Vec<Server> {
        self.net.banned.lock().unwrap().clone()
    }

    fn has_logged(&self, part: &str) -> bool {
        let logged = self.logged.lock().unwrap();
        logged.iter().any(|line| line.contains(part))
    }
}

/// A ledger that has a chain.
fn ledger_of(chain: &[FullHeader]) -> Ledger {
    let mut headers = testing::regtest(1);
    let new: Vec<Header> = chain[1..].iter().map(|full| full.header).collect();
    testing::extend(&mut headers, &new);
    Ledger::new(headers, 1, clock)
}
