//! Which servers are tried for headers, and when: no threads, no I/O, and time
//! is an argument (`spec/electrum.md`, section 3.9).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use rand::Rng;
use rand::seq::SliceRandom;

use super::super::servers::Server;

/// Connections that are opened at the same time. Most of the public servers
/// are dead, and dead ones hang until their time is up.
const MOST: usize = 12;

/// The time between two attempts while none has ended.
const STAGGER: Duration = Duration::from_millis(250);

/// How long the first attempt to reach a server may take; twice as long after
/// each that has failed, up to the longest.
const FIRST_LIMIT: Duration = Duration::from_secs(15);
const LONGEST_LIMIT: Duration = Duration::from_secs(60);

/// How servers have fared on connections for headers.
#[derive(Debug, Default)]
pub struct Record(HashMap<Server, Fared>);

/// How one server has fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fared {
    /// It worked the last time.
    Well,
    /// It has failed so many times since it worked.
    Badly(u32),
}

impl Record {
    /// A connection to a server came about, and brought headers.
    pub fn worked(&mut self, server: &Server) {
        self.0.insert(server.clone(), Fared::Well);
    }

    /// A server could not be reached, or was of no use.
    pub fn failed(&mut self, server: &Server) {
        let failures = self.failures(server).saturating_add(1);
        self.0.insert(server.clone(), Fared::Badly(failures));
    }

    /// Whether a server worked the last time it was tried.
    pub fn is_good(&self, server: &Server) -> bool {
        self.0.get(server) == Some(&Fared::Well)
    }

    /// How often a server has failed since it worked.
    pub fn failures(&self, server: &Server) -> u32 {
        match self.0.get(server) {
            Some(Fared::Badly(failures)) => *failures,
            _ => 0,
        }
    }

    /// How long the next attempt to reach a server may take.
    pub fn limit(&self, server: &Server) -> Duration {
        let factor = 1_u32 << self.failures(server).min(8);
        (FIRST_LIMIT * factor).min(LONGEST_LIMIT)
    }

    /// Servers in the order in which they are tried: those that failed least
    /// first, and among them those that answered in an earlier run and those
    /// that the list has as alive; one of each operator after the other. Onion
    /// services come first among an operator's servers that worked; it is not
    /// known of the others whether they are alive.
    pub fn order(
        &self,
        servers: &[Server],
        is_shunned: impl Fn(&Server) -> bool,
        is_good: impl Fn(&Server) -> bool,
        random: &mut impl Rng,
    ) -> Vec<Server> {
        let mut all: Vec<_> = servers
            .iter()
            .map(|server| {
                let standing = (!is_good(server)).then_some(server.standing);
                let promise = (is_shunned(server), self.failures(server), standing);
                (promise, server)
            })
            .collect();
        all.shuffle(random);
        all.sort_by_key(|&(promise, server)| {
            let is_good_onion = server.address.is_onion() && self.is_good(server);
            (promise, !is_good_onion)
        });
        let mut turns: BTreeMap<&str, usize> = BTreeMap::new();
        let mut taking_turns: Vec<_> = all
            .into_iter()
            .map(|(promise, server)| {
                let turn = turns.entry(server.operator.as_str()).or_default();
                *turn += 1;
                (promise, *turn, server)
            })
            .collect();
        // A stable sort: whose turn it is first is left to the shuffling.
        taking_turns.sort_by_key(|&(promise, turn, _)| (promise, turn));
        let servers = taking_turns.into_iter();
        servers.map(|(_, _, server)| server.clone()).collect()
    }
}

/// Attempts to reach servers, several at once.
#[derive(Debug)]
pub(super) struct Race {
    waiting: VecDeque<Server>,
    running: usize,
    next: Instant,
}

impl Race {
    /// Attempts to reach these servers, in this order.
    pub fn new(servers: Vec<Server>, now: Instant) -> Self {
        Self {
            waiting: servers.into(),
            running: 0,
            next: now,
        }
    }

    /// The server to be tried now, if there is one.
    pub fn due(&mut self, now: Instant) -> Option<Server> {
        if self.running >= MOST || now < self.next {
            return None;
        }
        let server = self.waiting.pop_front()?;
        self.running += 1;
        self.next = now + STAGGER;
        Some(server)
    }

    /// An attempt has ended: the next one need not wait.
    pub fn ended(&mut self, now: Instant) {
        self.running = self.running.saturating_sub(1);
        self.next = now;
    }

    /// Servers that are not tried after all, as others of them are not needed.
    pub fn skip(&mut self, is_needless: impl Fn(&Server) -> bool) {
        self.waiting.retain(|server| !is_needless(server));
    }

    /// Whether every server has been tried.
    pub fn is_over(&self) -> bool {
        self.running == 0 && self.waiting.is_empty()
    }

    /// When the next attempt may start, if that does not wait for the end of
    /// another.
    pub fn next_start(&self) -> Option<Instant> {
        (self.running < MOST && !self.waiting.is_empty()).then_some(self.next)
    }
}
