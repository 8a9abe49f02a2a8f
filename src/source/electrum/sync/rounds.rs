//! The header thread's main loop: connect to enough operators, fetch, compare, wait
//! for new blocks.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use rand::RngExt;

use super::bulk::fewer;
use super::peer::{
    DEEP_REORG, MAX_BATCH, Peer, PeerError, Peers, catch_up, fetch_below, fetch_checkpoint,
};
use super::{Driver, RateLimit, Sessions};
use crate::config::settings::ElectrumOperators;
use crate::log::Log;
use crate::source::electrum::discovery::DISCOVERED;
use crate::source::electrum::servers::Standing;

/// After this many rounds without a second operator the first one counts alone,
/// even if two had answered before.
const SHORT_ROUNDS: u32 = 2;

/// How long a server may take to name others.
const PEERS_TIMEOUT: Duration = Duration::from_secs(10);

/// How often connections are checked for new blocks.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Operators are drawn anew after about a day, in seconds.
const REDRAW_INTERVAL: std::ops::Range<u64> = 20 * 3600..28 * 3600;

/// The pause between rounds, in seconds: drawn at random up to a maximum that
/// grows while attempts fail or operators are soon lost.
const SHORTEST_PAUSE: u64 = 2;

const LONGEST_PAUSE: u64 = 60;

/// The same while one operator is connected and only a second is missing.
const LONGEST_SEARCH_PAUSE: u64 = 600;

/// Logs how far the headers below the checkpoint have been fetched.
fn depth_logger(log: &Log) -> impl FnMut(u32, u32) {
    let mut rate = RateLimit::new();
    move |lowest, needed| {
        if rate.is_due() {
            log.info(format_args!(
                "block headers below the checkpoint are there down to {lowest}; they are needed \
                 down to {needed}"
            ));
        }
    }
}

impl<P: Peers> Driver<P> {
    /// Runs until cancelled.
    pub fn run(mut self) {
        let mut sessions = Sessions::new();
        while !self.cancel.is_set() {
            let until = Instant::now() + self.day();
            self.run_until(&mut sessions, until);
            self.redraw(&mut sessions);
        }
        sessions.close_all();
    }

    /// Draws operators anew, over new circuits. The old ones stay until the
    /// new ones' chains have been compared, so that new blocks are never
    /// without somebody who reports them.
    pub(super) fn redraw(&mut self, sessions: &mut Sessions<P::Peer>) {
        let old = std::mem::take(&mut sessions.open);
        let is_enough = self.connect_and_compare(sessions) && self.has_listed(sessions);
        for session in old {
            let server = session.peer.server();
            if is_enough || !sessions.needs(server) || !self.discovery.permits(server) {
                session.peer.close();
            } else {
                sessions.open.push(session);
            }
        }
    }

    /// Runs until then, with the operators that were drawn first as long as
    /// they can be reached.
    fn run_until(&mut self, sessions: &mut Sessions<P::Peer>, until: Instant) {
        sessions.batch = MAX_BATCH;
        let mut pause = SHORTEST_PAUSE;
        while !self.cancel.is_set() && Instant::now() < until {
            let is_enough = self.connect_and_compare(sessions);
            if is_enough && self.has_listed(sessions) {
                let begun = Instant::now();
                self.follow(sessions, self.needed(), until);
                if begun.elapsed() >= Duration::from_secs(LONGEST_PAUSE) {
                    pause = SHORTEST_PAUSE;
                }
            }
            let begun = Instant::now();
            let end = begun + Duration::from_secs(self.random.random_range(1..=pause));
            let soon = begun + Duration::from_secs(LONGEST_PAUSE);
            // Connections that are left are still followed. If they are lost
            // too, the long pause ends; at once, if there were enough.
            let there = sessions.operators().len();
            let least = if is_enough { there } else { 0 };
            self.follow(sessions, least, soon.min(end).min(until));
            self.follow(sessions, there, end.min(until));
            // Where one operator works, the others are most likely dead.
            let longest = match sessions.listed().is_empty() {
                true => LONGEST_PAUSE,
                false => LONGEST_SEARCH_PAUSE,
            };
            pause = (pause * 2).min(longest);
        }
    }

    /// Connects to enough operators and compares our chain with theirs. A
    /// server whose chain cannot be compared is replaced at once, as long as
    /// others have not been tried. Returns whether enough operators answered.
    pub(super) fn connect_and_compare(&mut self, sessions: &mut Sessions<P::Peer>) -> bool {
        let mut tried = HashSet::new();
        self.connect_enough(sessions, &mut tried);
        loop {
            self.synchronise(sessions);
            self.drop_needless_discovered(sessions);
            let heard = sessions.operators();
            if heard.len() >= self.needed() {
                self.ledger.keep_only(&heard);
                self.short_rounds = 0;
                self.warn_of_discovered(&heard);
                if self.ledger.clear_single() {
                    self.peers.set_operators(self.needed());
                    self.log
                        .info(format_args!("enough Electrum operators answer again"));
                }
                self.discover(sessions);
                return true;
            }
            if self.cancel.is_set() {
                return false;
            }
            self.discover(sessions);
            if !self.connect_enough(sessions, &mut tried) {
                self.note_shortfall(&heard);
                return false;
            }
        }
    }

    /// Whether enough listed operators are connected.
    fn has_listed(&self, sessions: &Sessions<P::Peer>) -> bool {
        sessions.listed().len() >= self.needed()
    }

    /// A discovered server counts beside one listed operator: not beside two, and
    /// not by itself. Where it does not count, lookups do not use any.
    fn drop_needless_discovered(&self, sessions: &mut Sessions<P::Peer>) {
        if sessions.listed().is_empty() || self.has_listed(sessions) {
            sessions.keep(|server| server.standing != Standing::Discovered);
        }
        if !sessions.operators().contains(DISCOVERED) {
            self.peers.keep_discovered(&[]);
        }
    }

    /// Warns, once, that a discovered server is one of the two.
    fn warn_of_discovered(&mut self, heard: &BTreeSet<String>) {
        if heard.contains(DISCOVERED) && !std::mem::replace(&mut self.discovery.has_warned, true) {
            self.log.warn(
                "one of the two Electrum operators is a discovered server, which the other might \
                 run: they cannot make values up, but could hide a name or its newest value",
            );
        }
    }

    /// Asks servers whose chains have been compared which others they know,
    /// once on each connection.
    fn discover(&mut self, sessions: &mut Sessions<P::Peer>) {
        let now = self.ledger.now();
        for session in &mut sessions.open {
            let server = session.peer.server();
            let is_due = session.is_compared() && !session.is_asked && self.discovery.asks(server);
            if !is_due || self.cancel.is_set() {
                continue;
            }
            session.is_asked = true;
            match session.peer.peers(Instant::now() + PEERS_TIMEOUT) {
                Ok(named) => {
                    self.discovery.learn(server, &named, now, &mut self.random);
                    self.log
                        .debug(format_args!("{server} names {} other servers", named.len()));
                }
                // That is no failure of the server.
                Err(error) => self
                    .log
                    .debug(format_args!("{server} names no other servers: {error}")),
            }
        }
        if self.discovery.refresh(now) {
            let servers = self.discovery.servers();
            self.log.info(format_args!(
                "{} Electrum servers are known that are not in the list",
                servers.len()
            ));
            self.peers.keep_discovered(servers);
            sessions.keep(|server| self.discovery.permits(server));
        }
    }

    /// Every server was tried, and only these operators answer: fewer than
    /// needed.
    fn note_shortfall(&mut self, heard: &BTreeSet<String>) {
        self.short_rounds = self.short_rounds.saturating_add(1);
        let Some(operator) = heard.first() else {
            // What was compared may hold for as long as it is current.
            return;
        };
        if self.ledger.has_enough() && self.short_rounds < SHORT_ROUNDS {
            return;
        }
        let is_believed = self.operators == ElectrumOperators::Auto;
        self.ledger.keep_only(heard);
        let is_news = self.ledger.set_single(operator, is_believed);
        if is_believed {
            self.peers.set_operators(1);
        }
        if is_news {
            let text = match is_believed {
                true => format!(
                    "only {operator} of the known Electrum operators answers: it cannot make \
                     values up, but it could hide a name or its newest value"
                ),
                false => format!(
                    "only {operator} of the known Electrum operators answers: names cannot be \
                     looked up, as electrum-operators is 2"
                ),
            };
            match std::mem::replace(&mut self.is_warned, true) {
                false => self.log.warn(text),
                true => self.log.info(text),
            }
        }
    }

    fn day(&mut self) -> Duration {
        Duration::from_secs(self.random.random_range(REDRAW_INTERVAL))
    }

    /// Brings the headers up to what the sessions' servers have.
    fn synchronise(&mut self, sessions: &mut Sessions<P::Peer>) {
        if !self.fetch_base(sessions) {
            return;
        }
        self.fetch_sampled(sessions);
        self.fetch_many(sessions);
        self.compare(sessions);
        self.fetch_below_checkpoint(sessions);
    }

    /// Fetches the checkpoint's own header and what is needed below it to
    /// verify those above. Returns whether that succeeded.
    fn fetch_base(&mut self, sessions: &mut Sessions<P::Peer>) -> bool {
        while let Some(session) = sessions.open.first() {
            let (ledger, batch, log) = (&self.ledger, sessions.batch, depth_logger(&self.log));
            match fetch_checkpoint(ledger, &session.peer, batch, &self.cancel, log) {
                Ok(()) => {
                    self.save();
                    return true;
                }
                Err(error) => {
                    let server = session.peer.server().clone();
                    session.peer.close();
                    self.blame(&mut sessions.liars, &server, &error);
                }
            }
            sessions.drop_lost();
        }
        // Each server has been blamed for what it did.
        false
    }

    /// Compares our chain with each server's.
    fn compare(&mut self, sessions: &mut Sessions<P::Peer>) {
        for session in &mut sessions.open {
            if !session.peer.is_alive()
                || (session.is_compared() && !session.has_news(&self.ledger))
            {
                continue;
            }
            let caught = catch_up(&self.ledger, &session.peer, sessions.batch, &self.cancel);
            // After a restart the newest blocks are in the file only.
            let replaced = self.save();
            match caught {
                Ok(caught) => {
                    session.note(&caught);
                    let depth = caught.depth.max(replaced);
                    if depth > DEEP_REORG {
                        self.log.warn(format_args!(
                            "{depth} blocks of the chain were replaced by others with more work, \
                             which {} sent",
                            session.peer.server(),
                        ));
                    }
                    let server = session.peer.server();
                    self.ledger.answered(&server.operator);
                    if server.standing == Standing::Discovered && self.discovery.permits(server) {
                        self.peers.admit(server);
                    }
                }
                Err(error) => {
                    if error == PeerError::TimedOut {
                        sessions.batch = fewer(sessions.batch);
                    }
                    session.peer.close();
                    self.blame(&mut sessions.liars, session.peer.server(), &error);
                }
            }
        }
        sessions.drop_lost();
        self.update_target(sessions);
        // One session for each server is enough from here on.
        sessions.keep_one_per_server();
    }

    /// Fetches what is still missing below the checkpoint.
    fn fetch_below_checkpoint(&mut self, sessions: &mut Sessions<P::Peer>) {
        let log = self.log.clone();
        let mut log_depth = depth_logger(&log);
        for session in &sessions.open {
            if self.ledger.headers().is_complete() {
                break;
            }
            let peer = &session.peer;
            let completed = fetch_below(
                &self.ledger,
                peer,
                sessions.batch,
                &self.cancel,
                &mut log_depth,
            );
            if let Err(error) = completed {
                peer.close();
                self.blame(&mut sessions.liars, peer.server(), &error);
            }
        }
        self.save();
        sessions.drop_lost();
        self.log_status();
    }

    /// Follows new blocks until fewer than `needed` operators are left or the
    /// time is up.
    pub(super) fn follow(
        &mut self,
        sessions: &mut Sessions<P::Peer>,
        needed: usize,
        until: Instant,
    ) {
        while !self.cancel.is_set() && Instant::now() < until {
            self.cancel
                .sleep_until((Instant::now() + POLL_INTERVAL).min(until));
            self.poll(sessions);
            if sessions.operators().len() < needed {
                return;
            }
            self.probe();
        }
    }

    /// Looks for new blocks.
    pub(super) fn poll(&mut self, sessions: &mut Sessions<P::Peer>) {
        for session in &sessions.open {
            session.peer.keep_alive();
        }
        sessions.drop_lost();
        self.update_target(sessions);
        let mut open = sessions.open.iter();
        if open.any(|session| session.has_news(&self.ledger)) {
            self.compare(sessions);
            // A branch with more work may have fewer blocks, and so need more
            // of those below the checkpoint.
            if !self.ledger.headers().is_complete() {
                self.fetch_below_checkpoint(sessions);
            }
        }
    }
}
