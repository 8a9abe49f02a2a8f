//! The servers that lookups may use, and drawing one at random.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use crate::source::electrum::servers::{Server, Standing};

/// Servers that are not to be used for a while, and until when.
#[derive(Debug, Clone, Default)]
pub(super) struct BackOff(HashMap<Server, Instant>);

impl BackOff {
    /// Keeps a server from being used until then, or longer if that was decided
    /// before.
    pub fn put(&mut self, server: &Server, until: Instant) {
        let entry = self.0.entry(server.clone()).or_insert(until);
        *entry = until.max(*entry);
    }

    /// Until when a server is not to be used, if so.
    fn until(&self, server: &Server, now: Instant) -> Option<Instant> {
        self.0.get(server).copied().filter(|&until| until > now)
    }

    /// Whether a server is not to be used for now.
    pub fn holds(&self, server: &Server, now: Instant) -> bool {
        self.until(server, now).is_some()
    }

    /// Forgets servers that may be used again.
    pub fn tidy(&mut self, now: Instant) {
        self.0.retain(|_, until| *until > now);
    }
}

/// The servers, and which of them may be asked about names: those that can
/// prove who they are, as far as is known (`spec/electrum.md`, 2.4). Most of the
/// listed ones are dead, so that those which are seen to work come first.
#[derive(Debug)]
pub(super) struct Roster {
    servers: Vec<Server>,
    trusted: HashSet<Server>,
    /// Those that answered on a connection for headers, and have not failed
    /// everybody since.
    working: HashSet<Server>,
    /// Those that are likely to work, and have not failed everybody.
    expected: HashSet<Server>,
}

impl Roster {
    /// None is trusted yet.
    pub fn new(servers: Vec<Server>) -> Self {
        Self {
            servers,
            trusted: HashSet::new(),
            working: HashSet::new(),
            expected: HashSet::new(),
        }
    }

    /// Takes a discovered server in.
    pub fn take_in(&mut self, server: &Server) {
        if !self.has(server) {
            self.servers.push(server.clone());
        }
    }

    /// Whether a server is among these.
    pub fn has(&self, server: &Server) -> bool {
        self.servers.contains(server)
    }

    /// Drops discovered servers that are not among these.
    pub fn keep_discovered(&mut self, servers: &[Server]) {
        let is_kept = |server: &Server| is_listed(server) || servers.contains(server);
        self.servers.retain(&is_kept);
        self.trusted.retain(&is_kept);
        self.working.retain(&is_kept);
        self.expected.retain(&is_kept);
    }

    /// A server is likely to work: the user named it, or it answered in an
    /// earlier run.
    pub fn expect(&mut self, server: &Server) {
        self.expected.insert(server.clone());
    }

    /// A server can prove who it is.
    pub fn trust(&mut self, server: &Server) {
        if self.has(server) {
            self.trusted.insert(server.clone());
        }
    }

    /// A trusted server works. Whether that is news.
    pub fn works(&mut self, server: &Server) -> bool {
        self.trusted.contains(server) && self.working.insert(server.clone())
    }

    /// A server has failed for everybody.
    pub fn fails(&mut self, server: &Server) {
        self.working.remove(server);
        self.expected.remove(server);
    }

    /// How many operators there are.
    pub fn operators(&self) -> usize {
        let all: HashSet<_> = self.servers.iter().map(|one| &one.operator).collect();
        all.len()
    }

    /// Whether an operator other than this server's has servers whose keys may
    /// still become known.
    pub fn has_untrusted(&self, taken: Option<&Server>) -> bool {
        self.servers
            .iter()
            .any(|server| fits(server, taken) && !self.trusted.contains(server))
    }

    /// Whether a trusted server of another operator than that of this one works,
    /// or is likely to.
    pub fn has_working(&self, taken: Option<&Server>) -> bool {
        self.trusted().any(|server| {
            fits(server, taken) && (self.working.contains(server) || self.expected.contains(server))
        })
    }

    fn trusted(&self) -> impl Iterator<Item = &Server> {
        let servers = self.servers.iter();
        servers.filter(|server| self.trusted.contains(*server))
    }
}

/// Draws a trusted, working server for a ready connection: of an operator with
/// fewer than `most` of those already there, if possible not one of them, and
/// if possible an onion service.
pub(super) fn for_pool<'a>(
    roster: &'a Roster,
    there: &[&Server],
    most: usize,
    backed_off: &BackOff,
    now: Instant,
    random: &mut impl Rng,
) -> Option<&'a Server> {
    let of = |operator: &str| {
        let same = there.iter().filter(|server| server.operator == operator);
        same.count()
    };
    let mut fit: Vec<&Server> = roster
        .trusted()
        .filter(|server| roster.working.contains(*server))
        .filter(|server| !backed_off.holds(server, now) && of(&server.operator) < most)
        .collect();
    prefer(&mut fit, is_listed);
    prefer(&mut fit, |server| !there.contains(&server));
    prefer(&mut fit, |server| server.address.is_onion());
    fit.choose(random).copied()
}

/// Draws a trusted server for an isolation id: of another operator than that of
/// `taken`; if there is one, one that failed neither this id (`own`) nor everybody
/// (`all`), and one that works or is likely to. If all have failed, it is the one
/// that stops backing off first.
pub(super) fn for_id<'a>(
    roster: &'a Roster,
    taken: Option<&Server>,
    own: &BackOff,
    all: &BackOff,
    now: Instant,
    random: &mut impl Rng,
) -> Option<&'a Server> {
    let mut fit: Vec<&Server> = roster
        .trusted()
        .filter(|server| fits(server, taken))
        .collect();
    let failed = |server: &Server| own.until(server, now).max(all.until(server, now));
    if fit.iter().all(|server| failed(server).is_some()) {
        return fit.into_iter().min_by_key(|server| failed(server));
    }
    fit.retain(|server| failed(server).is_none());
    let works = |server: &Server| roster.working.contains(server);
    if fit.iter().any(|server| works(server)) {
        fit.retain(|server| works(server));
    } else {
        prefer(&mut fit, |server| roster.expected.contains(server));
    }
    prefer(&mut fit, is_listed);
    // Of most onion services nothing is known but that they need no certificate.
    prefer(&mut fit, |server| {
        works(server) && server.address.is_onion()
    });
    fit.choose(random).copied()
}

/// Whether a server may have a slot beside one that is taken.
pub(super) fn fits(server: &Server, taken: Option<&Server>) -> bool {
    taken.is_none_or(|taken| server.counts_beside(taken))
}

/// Whether a server is one of the list, or named by the user.
fn is_listed(server: &Server) -> bool {
    server.standing != Standing::Discovered
}

/// An exponentially distributed number with mean 1.
///
/// Von Neumann's method: a first draw counts if the draws after it fall an even
/// number of times before one does not; each that does not count adds 1. Unlike
/// a logarithm, it needs no mathematical library.
pub(super) fn exponential(random: &mut impl Rng) -> f64 {
    let mut whole = 0.0;
    loop {
        let first: f64 = random.random();
        let mut last = first;
        let mut counts = true;
        loop {
            let next = random.random();
            if next >= last {
                break;
            }
            last = next;
            counts = !counts;
        }
        if counts {
            return whole + first;
        }
        whole += 1.0;
    }
}

/// Keeps only the better ones, if there are any.
fn prefer(servers: &mut Vec<&Server>, is_better: impl Fn(&Server) -> bool) {
    if servers.iter().any(|server| is_better(server)) {
        servers.retain(|server| is_better(server));
    }
}
