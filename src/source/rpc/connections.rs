//! Which connections carry whose requests: on the loopback interface they are
//! shared by all, and through a proxy each isolation id has its own, and so have
//! questions about the node itself.
//!
//! A proxy such as Tor's puts connections with different credentials on
//! different circuits. Each connection gets a fresh random pair, so that no
//! two share a circuit and nothing in the pair tells whose it is.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use ureq::Agent;
use ureq::config::Config;

use super::connection::{NoResolver, NodeConnector};
use crate::config::settings::NodeAddress;
use crate::isolation::IsolationId;
use crate::platform;

/// The same for everybody, and without a version: it tells the node nothing.
const USER_AGENT: &str = "ncprop279";

/// The longest header of an answer, in bytes.
const MAX_HEADER: usize = 16 << 10;

/// Bytes of a connection's buffer for what is sent: more than the longest
/// line of a header, which must fit; a body is sent in pieces.
const OUTPUT: usize = 8 << 10;

/// Idle connections kept to a node that is reached straight: one for each
/// fetch that the program runs at the same time.
const MAX_SHARED: usize = 64;

/// Idle connections kept for one purpose through a proxy.
const MAX_OWN: usize = 2;

/// How many of those whom a request can be made for keep connections through a
/// proxy, those that were forgotten included. With two connections each, and 128
/// fetches under way, they stay below 256, the smallest usual limit of open
/// files.
const MAX_KEPT: usize = 60;

/// Connections that were idle for longer are not used again. Namecoin Core
/// closes them after 30 seconds.
pub(super) const MAX_IDLE_AGE: Duration = Duration::from_secs(25);

/// When connections close, in milliseconds: after the last request that was made
/// on them, and after their isolation id was forgotten. It is drawn for each id,
/// so that no beat shows which connections belong to one user.
const LINGER: Range<u64> = 25_000..85_000;
const FORGOTTEN: Range<u64> = 0..60_000;

/// For whom a request is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// For an isolation id's lookup.
    Lookup(IsolationId),
    /// For nobody: it is about the node itself.
    Node,
}

/// The connections to one node.
#[derive(Debug)]
pub(super) enum Connections {
    /// Straight to it.
    Direct(Agent),
    /// Through a proxy.
    Proxied(Arc<Proxied>),
}

/// What carries one request. Its connections are not closed while it is held.
#[derive(Debug)]
pub(super) struct Carrier {
    /// Makes the request.
    pub agent: Agent,
    hold: Hold,
}

/// One for each set of connections, and one for each request on them.
type Hold = Arc<()>;

/// Connections through a proxy.
#[derive(Debug)]
pub(super) struct Proxied {
    node: NodeAddress,
    proxy: NodeAddress,
    linger: Range<u64>,
    state: Mutex<State>,
    /// Something may be due earlier than it was.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    kept: LruCache<Purpose, Kept>,
    /// Those of forgotten ids, oldest first.
    forgotten: Vec<Kept>,
    is_watched: bool,
    ended: bool,
}

/// The connections of one purpose.
#[derive(Debug)]
struct Kept {
    agent: Agent,
    hold: Hold,
    closes: Instant,
}

impl Kept {
    /// Whether they are to be closed. Those that carry a request close after it.
    fn is_over(&self, now: Instant) -> bool {
        self.closes <= now && !self.is_busy()
    }

    fn is_busy(&self) -> bool {
        Arc::strong_count(&self.hold) > 1
    }
}

impl Connections {
    /// Nothing is opened yet.
    pub fn new(node: &NodeAddress, proxy: Option<&NodeAddress>) -> Self {
        match proxy {
            None => Self::Direct(agent(MAX_SHARED, node, None)),
            Some(proxy) => Self::Proxied(Arc::new(Proxied::new(node, proxy, LINGER))),
        }
    }

    /// What carries a request; to be given back to [`Connections::carried`].
    pub fn of(&self, purpose: &Purpose) -> Carrier {
        match self {
            Self::Direct(agent) => Carrier {
                agent: agent.clone(),
                hold: Hold::default(),
            },
            Self::Proxied(proxied) => {
                Proxied::watch(proxied);
                proxied.of(purpose, Instant::now())
            }
        }
    }

    /// The request has ended.
    pub fn carried(&self, purpose: &Purpose, carrier: Carrier) {
        if let Self::Proxied(proxied) = self {
            proxied.carried(purpose, carrier, Instant::now());
        }
    }

    /// Takes an isolation id's connections away. They are used no more, and
    /// close after a while.
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
    fn new(node: &NodeAddress, proxy: &NodeAddress, linger: Range<u64>) -> Self {
        Self {
            node: node.clone(),
            proxy: proxy.clone(),
            linger,
            state: Mutex::new(State {
                kept: LruCache::unbounded(),
                forgotten: Vec::new(),
                is_watched: false,
                ended: false,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, purpose: &Purpose, now: Instant) -> Carrier {
        let mut state = self.lock();
        let kept = state.kept.get_or_insert_mut(purpose.clone(), || Kept {
            agent: agent(MAX_OWN, &self.node, Some(&self.proxy)),
            hold: Hold::default(),
            closes: now,
        });
        let carrier = Carrier {
            agent: kept.agent.clone(),
            hold: Arc::clone(&kept.hold),
        };
        // Requests under way hold their agent and end undisturbed.
        if state.kept.len() + state.forgotten.len() > MAX_KEPT {
            if state.forgotten.is_empty() {
                state.kept.pop_lru();
            } else {
                state.forgotten.remove(0);
            }
        }
        carrier
    }

    fn carried(&self, purpose: &Purpose, carrier: Carrier, now: Instant) {
        let Carrier { agent, hold } = carrier;
        let closes = after(&self.linger, now);
        let mut state = self.lock();
        // The id may have been forgotten meanwhile, and have come back.
        if let Some(kept) = state.kept.peek_mut(purpose)
            && Arc::ptr_eq(&kept.hold, &hold)
        {
            kept.closes = closes;
        }
        drop((agent, hold));
        drop(state);
        self.changed.notify_one();
    }

    fn forget(&self, isolation: &IsolationId, now: Instant) {
        let closes = after(&FORGOTTEN, now);
        let mut state = self.lock();
        if let Some(mut kept) = state.kept.pop(&Purpose::Lookup(isolation.clone())) {
            if kept.is_busy() || closes < kept.closes {
                kept.closes = closes;
            }
            state.forgotten.push(kept);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Starts the thread that closes connections when they are due.
    fn watch(proxied: &Arc<Self>) {
        let mut state = proxied.lock();
        if !state.is_watched {
            let watcher = Arc::clone(proxied);
            // Without it they stay until their other end closes them, and the
            // next request tries again.
            state.is_watched = platform::thread("linger")
                .spawn(move || watcher.close_in_time())
                .is_ok();
        }
    }

    fn close_in_time(&self) {
        let mut state = self.lock();
        while !state.ended {
            let now = Instant::now();
            state.close(now);
            state = match state.next_due() {
                None => self.changed.wait(state),
                Some(due) => {
                    let left = due.saturating_duration_since(now);
                    let waited = self.changed.wait_timeout(state, left);
                    waited
                        .map(|(state, _)| state)
                        .map_err(|error| PoisonError::new(error.into_inner().0))
                }
            }
            .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl State {
    /// Closes what is due.
    fn close(&mut self, now: Instant) {
        self.forgotten.retain(|kept| !kept.is_over(now));
        let over = self.kept.iter().filter(|(_, kept)| kept.is_over(now));
        let over: Vec<_> = over.map(|(purpose, _)| purpose.clone()).collect();
        for purpose in over {
            self.kept.pop(&purpose);
        }
    }

    /// When something is to be closed next. What carries a request is looked at
    /// when that has ended.
    fn next_due(&self) -> Option<Instant> {
        let kept = self.kept.iter().map(|(_, kept)| kept);
        let idle = kept
            .chain(&self.forgotten)
            .filter(|kept| !kept.is_busy())
            .map(|kept| kept.closes);
        idle.min()
    }
}

/// A moment after now, drawn from a range of milliseconds.
fn after(range: &Range<u64>, now: Instant) -> Instant {
    now + Duration::from_millis(rand::random_range(range.clone()))
}

/// What makes requests to a node, and keeps so many idle connections.
fn agent(idle: usize, node: &NodeAddress, proxy: Option<&NodeAddress>) -> Agent {
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

#[cfg(test)]
mod tests;
