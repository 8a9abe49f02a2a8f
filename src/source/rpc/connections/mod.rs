//! Which connections carry whose requests: all share direct ones, and through a
//! proxy each isolation id has its own, and so have questions about the node
//! itself.
//!
//! A proxy such as Tor's puts connections with different credentials on
//! different circuits. Each connection has a random pair of its own, so that no
//! two share a circuit and nothing in the pair tells whose it is.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use crate::config::settings::{NodeAddress, ProxyAddress};
use crate::isolation::IsolationId;
use crate::platform;
use crate::source::Cancel;
use crate::source::transport::tcp::{Bounded, is_quiet};
use crate::source::transport::{self, Until};

/// The same for everybody, and without a version: it tells the node nothing.
const USER_AGENT: &str = "ncprop279";

/// The longest header of a reply, in bytes.
const MAX_HEADER: usize = 16 << 10;

/// The size of a connection's output buffer, in bytes: the longest line of a
/// header must fit; a body is sent in pieces.
const OUTPUT: usize = 8 << 10;

/// Idle direct connections that are kept: one for each fetch that the program
/// runs at the same time.
const MAX_SHARED: usize = 64;

/// Idle connections through a proxy that are kept for one purpose.
const MAX_OWN: usize = 2;

/// How many purposes keep connections through a proxy, forgotten ones included.
/// With two connections each, and 128 fetches under way, they stay below 256,
/// the smallest usual limit of open files.
const MAX_KEPT: usize = 60;

/// Connections that were idle for longer are not used again. Namecoin Core
/// closes them after 30 seconds.
pub(super) const MAX_IDLE_AGE: Duration = Duration::from_secs(25);

/// When connections close, in milliseconds: after their last request, and after
/// their isolation id was forgotten. The time is random for each id, so that no
/// rhythm shows which connections belong to one user.
const LINGER: Range<u64> = 25_000..85_000;
const FORGOTTEN: Range<u64> = 0..60_000;

/// For whom a request is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// For a lookup of an isolation id.
    Lookup(IsolationId),
    /// For nobody: it is about the node itself.
    Node,
}

/// The connections to one node.
#[derive(Debug)]
pub(super) enum Connections {
    /// Directly.
    Direct(Agent),
    /// Through a proxy.
    Proxied(Arc<Proxied>),
}

/// The agent for one request. Its connections stay open while this exists.
#[derive(Debug)]
pub(super) struct Carrier {
    /// Makes the request.
    pub agent: Agent,
    in_use: InUse,
}

/// Shared by a set of connections and each request on them.
type InUse = Arc<()>;

/// Connections through a proxy.
#[derive(Debug)]
pub(super) struct Proxied {
    node: NodeAddress,
    proxy: ProxyAddress,
    linger: Range<u64>,
    sets: Mutex<ConnectionSets>,
    /// Something may be due earlier than before.
    changed: Condvar,
}

#[derive(Debug)]
struct ConnectionSets {
    active: LruCache<Purpose, ConnectionSet>,
    /// Those of forgotten ids, oldest first.
    forgotten: Vec<ConnectionSet>,
    is_watched: bool,
    ended: bool,
}

/// The connections of one purpose.
#[derive(Debug)]
struct ConnectionSet {
    agent: Agent,
    in_use: InUse,
    closes: Instant,
}

impl ConnectionSet {
    /// Whether they must close now. Those that carry a request close after it.
    fn is_over(&self, now: Instant) -> bool {
        self.closes <= now && !self.is_busy()
    }

    fn is_busy(&self) -> bool {
        Arc::strong_count(&self.in_use) > 1
    }
}

impl Connections {
    /// Nothing is opened yet.
    pub fn new(node: &NodeAddress, proxy: Option<&ProxyAddress>) -> Self {
        match proxy {
            None => Self::Direct(agent(MAX_SHARED, node, None)),
            Some(proxy) => Self::Proxied(Arc::new(Proxied::new(node, proxy, LINGER))),
        }
    }

    /// The agent for a request; hand it back to [`Connections::give_back`].
    pub fn borrow(&self, purpose: &Purpose) -> Carrier {
        match self {
            Self::Direct(agent) => Carrier {
                agent: agent.clone(),
                in_use: InUse::default(),
            },
            Self::Proxied(proxied) => {
                Proxied::watch(proxied);
                proxied.borrow(purpose, Instant::now())
            }
        }
    }

    /// The request has ended.
    pub fn give_back(&self, purpose: &Purpose, carrier: Carrier) {
        if let Self::Proxied(proxied) = self {
            proxied.give_back(purpose, carrier, Instant::now());
        }
    }

    /// Stops using the connections of an isolation id. They close after a while.
    pub fn forget(&self, isolation: &IsolationId) {
        if let Self::Proxied(proxied) = self {
            proxied.forget(isolation, Instant::now());
        }
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        if let Self::Proxied(proxied) = self {
            proxied.lock().ended = true;
            proxied.changed.notify_one();
        }
    }
}

impl Proxied {
    fn new(node: &NodeAddress, proxy: &ProxyAddress, linger: Range<u64>) -> Self {
        Self {
            node: node.clone(),
            proxy: proxy.clone(),
            linger,
            sets: Mutex::new(ConnectionSets {
                active: LruCache::unbounded(),
                forgotten: Vec::new(),
                is_watched: false,
                ended: false,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionSets> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn borrow(&self, purpose: &Purpose, now: Instant) -> Carrier {
        let mut sets = self.lock();
        let kept = sets
            .active
            .get_or_insert_mut(purpose.clone(), || ConnectionSet {
                agent: agent(MAX_OWN, &self.node, Some(&self.proxy)),
                in_use: InUse::default(),
                closes: now,
            });
        let carrier = Carrier {
            agent: kept.agent.clone(),
            in_use: Arc::clone(&kept.in_use),
        };
        // Requests under way in_use their agent and end undisturbed.
        if sets.active.len() + sets.forgotten.len() > MAX_KEPT {
            if sets.forgotten.is_empty() {
                sets.active.pop_lru();
            } else {
                sets.forgotten.remove(0);
            }
        }
        carrier
    }

    fn give_back(&self, purpose: &Purpose, carrier: Carrier, now: Instant) {
        let Carrier { agent, in_use } = carrier;
        let closes = after(&self.linger, now);
        let mut sets = self.lock();
        // The id may have been forgotten meanwhile, and may have returned.
        if let Some(kept) = sets.active.peek_mut(purpose)
            && Arc::ptr_eq(&kept.in_use, &in_use)
        {
            kept.closes = closes;
        }
        drop((agent, in_use));
        drop(sets);
        self.changed.notify_one();
    }

    fn forget(&self, isolation: &IsolationId, now: Instant) {
        let closes = after(&FORGOTTEN, now);
        let mut sets = self.lock();
        if let Some(mut kept) = sets.active.pop(&Purpose::Lookup(isolation.clone())) {
            if kept.is_busy() || closes < kept.closes {
                kept.closes = closes;
            }
            sets.forgotten.push(kept);
        }
        drop(sets);
        self.changed.notify_one();
    }

    /// Starts the thread that closes connections when they are due.
    fn watch(proxied: &Arc<Self>) {
        let mut sets = proxied.lock();
        if !sets.is_watched {
            let watcher = Arc::clone(proxied);
            // Without it they stay until the other side closes them, and the
            // next request tries again.
            sets.is_watched = platform::thread("linger")
                .spawn(move || watcher.close_in_time())
                .is_ok();
        }
    }

    fn close_in_time(&self) {
        let mut sets = self.lock();
        while !sets.ended {
            let now = Instant::now();
            sets.close(now);
            sets = match sets.next_due() {
                None => self.changed.wait(sets),
                Some(due) => {
                    let left = due.saturating_duration_since(now);
                    let waited = self.changed.wait_timeout(sets, left);
                    waited
                        .map(|(sets, _)| sets)
                        .map_err(|error| PoisonError::new(error.into_inner().0))
                }
            }
            .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl ConnectionSets {
    /// Closes what is due.
    fn close(&mut self, now: Instant) {
        self.forgotten.retain(|kept| !kept.is_over(now));
        let over = self.active.iter().filter(|(_, kept)| kept.is_over(now));
        let over: Vec<_> = over.map(|(purpose, _)| purpose.clone()).collect();
        for purpose in over {
            self.active.pop(&purpose);
        }
    }

    /// When the next connections close. Those that carry a request count when it
    /// has ended.
    fn next_due(&self) -> Option<Instant> {
        let kept = self.active.iter().map(|(_, kept)| kept);
        let idle = kept
            .chain(&self.forgotten)
            .filter(|kept| !kept.is_busy())
            .map(|kept| kept.closes);
        idle.min()
    }
}

/// A random moment after now, from a range of milliseconds.
fn after(range: &Range<u64>, now: Instant) -> Instant {
    now + Duration::from_millis(rand::random_range(range.clone()))
}

/// An agent for requests to a node that keeps so many idle connections.
fn agent(idle: usize, node: &NodeAddress, proxy: Option<&ProxyAddress>) -> Agent {
    let connector = NodeConnector {
        node: node.clone(),
        proxy: proxy.cloned(),
    };
    Agent::with_parts(config(idle), connector, NoResolver)
}

/// The settings of an agent; `idle` is how many idle connections it keeps.
fn config(idle: usize) -> Config {
    Agent::config_builder()
        .http_status_as_error(false)
        // Credentials go to the configured address and nowhere else.
        .max_redirects(0)
        .max_redirects_will_error(false)
        // Otherwise ureq takes a proxy from the environment.
        .proxy(None)
        .user_agent(USER_AGENT)
        .accept("application/json")
        .max_response_header_size(MAX_HEADER)
        .input_buffer_size(2 * MAX_HEADER)
        .output_buffer_size(OUTPUT)
        .max_idle_connections(idle)
        .max_idle_connections_per_host(idle)
        .max_idle_age(MAX_IDLE_AGE)
        .build()
}

//------------ How ureq opens and uses them -----------------------------------

/// What happened to the connection of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Trace {
    /// It was opened for this request, or there was none.
    pub opened: bool,
    /// At least one byte of a reply came.
    pub answered: bool,
}

thread_local! {
    // A request runs from beginning to end on the thread that makes it, and
    // ureq reports neither in another way.
    static TRACE: Cell<Trace> = const { Cell::new(Trace { opened: false, answered: false }) };
}

impl Trace {
    /// Begins a new trace on this thread.
    pub fn begin() {
        TRACE.set(Self::default());
    }

    /// What happened on this thread since [`Trace::begin`].
    pub fn taken() -> Self {
        TRACE.get()
    }

    fn update(change: impl FnOnce(&mut Self)) {
        let mut trace = TRACE.get();
        change(&mut trace);
        TRACE.set(trace);
    }
}

/// Opens connections to one node in one way and no other, so that no proxy can
/// be slipped in, or omitted, through the environment.
#[derive(Debug)]
struct NodeConnector {
    /// The node.
    pub node: NodeAddress,
    /// The proxy in front of it.
    pub proxy: Option<ProxyAddress>,
}

impl Connector<()> for NodeConnector {
    type Out = NodeTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        Trace::update(|trace| trace.opened = true);
        let tcp = within(details.timeout, |until| {
            transport::open(&self.node, self.proxy.as_ref(), until)
        })
        // Http::failure unwraps it.
        .map_err(|error| ureq::Error::Other(Box::new(error)))?;
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(NodeTransport { tcp, buffers }))
    }
}

/// A time that is long enough where a request has no limit.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs an operation with what is left of the request's time.
fn within<T>(timeout: NextTimeout, run: impl FnOnce(Until<'_>) -> T) -> T {
    let left = match timeout.after.is_not_happening() {
        true => FOREVER,
        false => *timeout.after,
    };
    run(Until {
        deadline: Instant::now() + left,
        cancel: &Cancel::new(),
    })
}

/// A TCP connection that notes when a reply begins.
#[derive(Debug)]
struct NodeTransport {
    tcp: TcpStream,
    buffers: LazyBuffers,
}

impl Transport for NodeTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        let tcp = &self.tcp;
        within(timeout, |until| Bounded { tcp, until }.write_all(output))
            .map_err(|error| failure(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let input = self.buffers.input_append_buf();
        let tcp = &self.tcp;
        let count = within(timeout, |until| Bounded { tcp, until }.read(input))
            .map_err(|error| failure(error, timeout))?;
        self.buffers.input_appended(count);
        if count > 0 {
            Trace::update(|trace| trace.answered = true);
        }
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        is_quiet(&self.tcp)
    }
}

fn failure(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    match error.kind() {
        ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => ureq::Error::Io(error),
    }
}

/// Resolves nothing: the connector knows its node.
#[derive(Debug)]
struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

#[cfg(test)]
mod tests;
