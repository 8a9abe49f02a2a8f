//! Connecting to servers: enough for the headers, several attempts at a time
//! (`spec/electrum.md`, section 3.9), and now and then one more, to learn whether it
//! works and which key it has, so that lookups have more servers to choose from.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::seq::{IndexedRandom, IteratorRandom};

use super::peer::{Peer, PeerError, Peers};
use super::{Driver, SESSIONS, Session, Sessions, TrackRecord};
use crate::platform;
use crate::source::Cancel;
use crate::source::electrum::servers::{Server, Standing};

/// The most connections opened at the same time. Most public servers are dead,
/// and an attempt to reach a dead one hangs until it times out.
const MAX_DIALS: usize = 12;

/// The time between two attempts while none has ended.
const STAGGER: Duration = Duration::from_millis(250);

/// Attempts to reach servers, several at once.
#[derive(Debug)]
pub(super) struct DialSchedule {
    waiting: VecDeque<Server>,
    running: usize,
    next: Instant,
}

impl DialSchedule {
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
        if self.running >= MAX_DIALS || now < self.next {
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

    /// Removes servers that are no longer needed.
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
        (self.running < MAX_DIALS && !self.waiting.is_empty()).then_some(self.next)
    }
}

/// How often the thread checks whether servers are still wanted.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The most discovered servers tried in one round.
const MAX_DISCOVERED: usize = 6;

/// The outcome of an attempt to reach a server.
type Reached<P> = (Server, Result<P, PeerError>);

impl<P: Peers> Driver<P> {
    /// Opens connections until enough listed operators are connected, trying
    /// each server at most once: `tried` holds those already tried. If all have
    /// been tried and one operator is connected, a discovered server may be the
    /// second. Returns whether any was opened.
    pub(super) fn connect_enough(
        &mut self,
        sessions: &mut Sessions<P::Peer>,
        tried: &mut HashSet<Server>,
    ) -> bool {
        sessions.drop_lost();
        if sessions.listed().len() >= self.needed() {
            return false;
        }
        let before = sessions.open.len();
        let left = self.servers.iter().cloned();
        let left = left.filter(|server| sessions.needs(server) && !tried.contains(server));
        // Servers that lied are the last resort; otherwise their being quick
        // could win.
        let (lied, others): (Vec<Server>, Vec<Server>) =
            left.partition(|server| sessions.liars.contains(server));
        for servers in [others, lied] {
            let is_shunned = |server: &Server| self.peers.is_backed_off(server);
            let is_good = |server: &Server| self.peers.answered_before(server);
            let order = self
                .record
                .order(&servers, is_shunned, is_good, &mut self.random);
            self.dial_until(order, sessions, tried, Sessions::listed);
        }
        if sessions.listed().len() == 1 && sessions.operators().len() < self.needed() {
            let drawn = self.draw_discovered(sessions, tried);
            self.dial_until(drawn, sessions, tried, Sessions::operators);
        }
        sessions.open.len() > before
    }

    /// Discovered servers to be tried: a few at random, so that none of them can
    /// keep it open for long whether the listed operator is alone.
    fn draw_discovered(
        &mut self,
        sessions: &Sessions<P::Peer>,
        tried: &HashSet<Server>,
    ) -> Vec<Server> {
        let is_discovered = |server: &&Server| server.standing == Standing::Discovered;
        let most = MAX_DISCOVERED.saturating_sub(tried.iter().filter(is_discovered).count());
        let fit = self.discovery.servers().iter().filter(|server| {
            sessions.needs(server)
                && !tried.contains(*server)
                && !sessions.liars.contains(*server)
                && !self.peers.is_backed_off(server)
        });
        fit.cloned().sample(&mut self.random, most)
    }

    /// Tries servers until enough operators are `heard`.
    fn dial_until(
        &mut self,
        servers: Vec<Server>,
        sessions: &mut Sessions<P::Peer>,
        tried: &mut HashSet<Server>,
        heard: fn(&Sessions<P::Peer>) -> BTreeSet<String>,
    ) {
        let mut schedule = DialSchedule::new(servers, Instant::now());
        let peers = self.peers.clone();
        // Set when enough are there: the others are not waited for.
        let enough = Cancel::new();
        let (sender, reached) = mpsc::channel::<Reached<P::Peer>>();
        let mut running = HashSet::new();
        thread::scope(|scope| {
            while !schedule.is_over() && !self.cancel.is_set() {
                if heard(sessions).len() >= self.needed() {
                    break;
                }
                schedule.skip(|server| !sessions.needs(server));
                while let Some(server) = schedule.due(Instant::now()) {
                    running.insert(server.clone());
                    tried.insert(server.clone());
                    self.ledger.tries(&server.operator);
                    let deadline = Instant::now() + self.record.limit(&server);
                    let (sender, peers, enough) = (sender.clone(), &peers, &enough);
                    let trying = platform::thread("reach").spawn_scoped(scope, move || {
                        let peer = peers.open(&server, deadline, enough);
                        drop(sender.send((server, peer)));
                    });
                    if let Err(error) = trying {
                        schedule.ended(Instant::now());
                        self.ledger
                            .trouble(format!("no thread can be started: {error}"));
                    }
                }
                let now = Instant::now();
                let wait = schedule.next_start().map_or(POLL_INTERVAL, |next| {
                    next.saturating_duration_since(now).min(POLL_INTERVAL)
                });
                match reached.recv_timeout(wait) {
                    Ok((server, peer)) => {
                        schedule.ended(Instant::now());
                        running.remove(&server);
                        self.reached(&server, peer, sessions);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            enough.set();
        });
        // Attempts that were cut short count as not made: the server may still
        // be needed.
        tried.retain(|server| !running.contains(server));
        // Connections opened at the last moment are not needed.
        for peer in reached.try_iter().filter_map(|(_, peer)| peer.ok()) {
            peer.close();
        }
    }

    /// Notes the outcome of an attempt. One connection to each operator is
    /// kept.
    pub(super) fn reached(
        &mut self,
        server: &Server,
        peer: Result<P::Peer, PeerError>,
        sessions: &mut Sessions<P::Peer>,
    ) {
        match peer {
            Ok(peer) => {
                self.record.worked(server);
                self.ledger.met(&server.operator);
                self.log
                    .debug(format_args!("{server}: connected for block headers"));
                if let Ok(newest) = peer.newest() {
                    self.ledger.raise_target(newest.height);
                }
                if sessions.needs(server) {
                    sessions.liars.remove(server);
                    sessions.open.push(Session::new(peer));
                } else {
                    peer.close();
                }
            }
            Err(error) => {
                self.ledger.missed(&server.operator);
                self.blame(&mut sessions.liars, server, &error);
            }
        }
    }
}

/// With this many trusted servers that worked the last time no more are probed.
/// An onion service needs no certificate, but it may be dead.
const ENOUGH_TRUSTED: usize = 8;

/// The time between two probes, in seconds, drawn at random: while lookups are
/// short of operators, and later.
const PROBE_SOON: std::ops::Range<u64> = 5..30;
const PROBE_LATER: std::ops::Range<u64> = 120..600;

impl<P: Peers> Driver<P> {
    /// Probes a server that is not trusted yet, if it is time to. Times and
    /// draws are the header thread's own: no lookup affects them.
    pub(super) fn probe(&mut self) {
        let now = Instant::now();
        if self.next_probe.is_some_and(|next| now < next) {
            return;
        }
        let is_first = self.next_probe.is_none();
        let (trusted, untrusted): (Vec<&Server>, Vec<&Server>) = self
            .servers
            .iter()
            .partition(|server| self.record.worked_last(server) && self.peers.trusts(server));
        let operators: HashSet<&str> = trusted.iter().map(|one| one.operator.as_str()).collect();
        let is_short = operators.len() < self.needed();
        let drawn = (trusted.len() < ENOUGH_TRUSTED)
            .then(|| {
                draw(
                    &untrusted,
                    &operators,
                    is_short,
                    &self.record,
                    &mut self.random,
                )
            })
            .flatten()
            .cloned();
        let gap = if is_short { PROBE_SOON } else { PROBE_LATER };
        self.next_probe = Some(now + Duration::from_secs(self.random.random_range(gap)));
        if let Some(server) = drawn.filter(|_| !is_first || is_short) {
            self.probe_server(&server);
        }
    }

    /// Opens connections over as many circuits as it takes for a key to count,
    /// one after the other.
    fn probe_server(&mut self, server: &Server) {
        for _ in 0..SESSIONS {
            if self.cancel.is_set() {
                return;
            }
            let deadline = Instant::now() + self.record.limit(server);
            match self.peers.open(server, deadline, &self.cancel) {
                Ok(peer) => {
                    self.record.worked(server);
                    peer.close();
                }
                Err(error) => {
                    // Nothing depends on it.
                    self.record.failed(server);
                    self.log.debug(format_args!("{server}: {error}"));
                    return;
                }
            }
        }
    }
}

/// Draws a server of those that failed least; if operators are missing, one of
/// another operator.
fn draw<'a>(
    untrusted: &[&'a Server],
    operators: &HashSet<&str>,
    is_short: bool,
    record: &TrackRecord,
    random: &mut impl rand::Rng,
) -> Option<&'a Server> {
    let mut fit: Vec<&Server> = untrusted
        .iter()
        .copied()
        .filter(|server| !is_short || !operators.contains(server.operator.as_str()))
        .collect();
    let least = fit.iter().map(|server| record.failures(server)).min();
    fit.retain(|server| Some(record.failures(server)) == least);
    fit.choose(random).copied()
}
