//! The header thread: downloads block headers, verifies them, and chooses the chain
//! with the most work that any of several operators has.
//!
//! It runs on a clock of its own, and before anybody needs the headers. Nothing
//! that lookups do, or that their connections report, makes it act: a header
//! fetched because of a lookup would reveal the height of the name to a server.
//!
//! The thread repeats rounds (`rounds`). In each it
//!
//! 1. connects to servers of two operators, several attempts at a time
//!    (`connect`);
//! 2. fetches the checkpoint's header and what the rules need below it (`peer`);
//! 3. downloads a long stretch, if one is missing: without AuxPoW, verifying the
//!    work of a random sample (`sampling`), or in full over several connections
//!    (`bulk`);
//! 4. compares its chain with each server's, from the fork on (`peer`), and adopts
//!    the one with more work;
//! 5. waits for new blocks.
//!
//! `ledger` holds the result and decides when lookups may rely on it; it is all
//! that they see. `peer` says what the thread needs of a connection, so that tests
//! can run it against servers in memory, and follows one server's chain. This file
//! has the thread's state, and what all of its parts use.
//!
//! Read `ledger`, `peer`, this file and `rounds`, then the rest.

mod bulk;
mod connect;
mod ledger;
mod peer;
mod rounds;
mod sampling;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

pub(super) use self::ledger::{Ledger, NotReadyError, Status, UnprovenHeaders, unix_time};
pub(super) use self::peer::{Announced, Peer, PeerError, Peers};
use self::peer::{Caught, MAX_BATCH};
use crate::chain::sample::{LinkedHeaders, Sample};
use crate::config::settings::ElectrumOperators;
use crate::log::Log;
use crate::source::Cancel;
use crate::source::electrum::discovery::{DISCOVERED, Discovery};
use crate::source::electrum::header_file::HeaderFile;
use crate::source::electrum::servers::Server;
use crate::source::electrum::state_dir::SET_STATE_DIRECTORY;

/// Operators whose chains are compared.
const OPERATORS: usize = 2;

/// How many operators must be heard.
pub fn needed(servers: &[Server], wanted: ElectrumOperators) -> usize {
    let all: BTreeSet<_> = servers.iter().map(|server| &server.operator).collect();
    match wanted {
        ElectrumOperators::One => all.len().min(1),
        _ => all.len().min(OPERATORS),
    }
}

/// How often progress is logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Lets progress be logged at once, and then at intervals.
pub(super) struct RateLimit(Option<Instant>);

impl RateLimit {
    pub fn new() -> Self {
        Self(None)
    }

    pub fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|last| last.elapsed() >= REPORT_INTERVAL);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }
}

/// The newest headers of a server's chain, which are always verified in full.
pub const NEWEST: u32 = 144;

/// Connections to each server while there is much to fetch. Two circuits also
/// show whether a server has the same key for everybody.
pub(super) const SESSIONS: usize = 2;

/// Keeps the headers of a [`Ledger`] up to date until it is cancelled.
pub struct Driver<P: Peers> {
    pub peers: Arc<P>,
    pub servers: Vec<Server>,
    /// Servers that those name.
    pub discovery: Discovery,
    pub ledger: Arc<Ledger>,
    pub file: Option<HeaderFile>,
    pub cancel: Cancel,
    pub log: Log,
    /// A source of randomness for draws and pauses.
    pub random: StdRng,
    /// Chains that are accepted by a sample of their proofs of work.
    pub sampling: Sampling,
    /// When the next server is probed that is not trusted yet.
    pub next_probe: Option<Instant>,
    /// How servers have fared.
    pub record: TrackRecord,
    /// How many operators the user wants.
    pub operators: ElectrumOperators,
    /// Rounds since enough operators answered.
    pub short_rounds: u32,
    /// Whether the user was warned that one operator answers alone.
    pub is_warned: bool,
}

impl<P: Peers> Driver<P> {
    /// How many operators must be heard.
    pub(super) fn needed(&self) -> usize {
        needed(&self.servers, self.operators)
    }

    /// Sets the target to the greatest height that a connected server
    /// announces: one that is gone may have lied.
    pub(super) fn update_target(&self, sessions: &Sessions<P::Peer>) {
        let open = sessions.open.iter().filter(|one| one.peer.is_alive());
        let heights = open.filter_map(|one| Some(one.peer.newest().ok()?.height));
        if let Some(greatest) = heights.max() {
            self.ledger.set_target(greatest);
        }
    }

    /// Logs what a server did, and keeps it from being used for a while. The
    /// user is warned of a lie.
    pub(super) fn blame(
        &mut self,
        liars: &mut HashSet<Server>,
        server: &Server,
        error: &PeerError,
    ) {
        if self.cancel.is_set() {
            return;
        }
        self.record.failed(server);
        let text = format!("{server}: {error}");
        match error {
            PeerError::Lied(_) => {
                self.peers.ban(server);
                liars.insert(server.clone());
                self.log.warn(&text);
            }
            _ => {
                self.peers.back_off(server);
                self.log.info(&text);
            }
        }
        self.ledger.trouble(text);
    }

    /// Writes new headers to the file. Returns how many that it held were
    /// replaced.
    pub(super) fn save(&mut self) -> u32 {
        let Some(file) = &mut self.file else { return 0 };
        file.save(&self.ledger.headers()).unwrap_or_else(|error| {
            self.log.warn(format_args!(
                "block headers cannot be kept in the state directory: {error}; {SET_STATE_DIRECTORY}"
            ));
            self.file = None;
            0
        })
    }

    pub(super) fn log_status(&self) {
        let status = self.ledger.status();
        match status.obstacle {
            Some(obstacle) => self.log.info(obstacle),
            None => self.log.info(format_args!(
                "block headers are verified up to {}",
                status.tip.unwrap_or_default()
            )),
        }
    }
}

/// How long a server's announcements are ignored after a comparison that
/// brought nothing: at first, and at most. Somebody may extend a branch with
/// less work than ours for as long as they like.
const SHORTEST_QUIET: Duration = Duration::from_secs(2);

const LONGEST_QUIET: Duration = Duration::from_secs(600);

/// An open connection for headers.
pub(super) struct Session<P> {
    pub peer: P,
    /// The newest block of its server's chain when that was last compared with
    /// ours.
    compared: Option<Announced>,
    /// Its announcements are ignored until then.
    quiet_until: Instant,
    quiet: Duration,
    /// Whether its server was asked which others it knows.
    pub is_asked: bool,
}

impl<P: Peer> Session<P> {
    pub fn new(peer: P) -> Self {
        Self {
            peer,
            compared: None,
            quiet_until: Instant::now(),
            quiet: SHORTEST_QUIET,
            is_asked: false,
        }
    }

    /// Whether its server's chain was ever compared with ours.
    pub fn is_compared(&self) -> bool {
        self.compared.is_some()
    }

    /// Notes what a comparison brought.
    pub fn note(&mut self, caught: &Caught) {
        self.compared = Some(caught.newest);
        if caught.was_useless {
            self.quiet_until = Instant::now() + self.quiet;
            self.quiet = (self.quiet * 2).min(LONGEST_QUIET);
        } else if caught.count > 0 {
            self.quiet = SHORTEST_QUIET;
        }
    }

    /// Whether the server has announced a block that was not compared yet.
    pub fn has_news(&self, ledger: &Ledger) -> bool {
        let now = Instant::now();
        match self.peer.newest() {
            Ok(newest) if self.compared == Some(newest) => false,
            Ok(newest) => {
                now >= self.quiet_until
                    && ledger.headers().get(newest.height) != Some(&newest.header)
            }
            Err(_) => self.compared.is_none(),
        }
    }
}

/// The open connections for headers, and what was learned on them.
pub(super) struct Sessions<P> {
    pub open: Vec<Session<P>>,
    /// Servers that lied: they are asked again only if no other is left.
    pub liars: HashSet<Server>,
    /// How many headers are requested at once: fewer if they come slowly.
    pub batch: u32,
}

impl<P: Peer> Sessions<P> {
    pub fn new() -> Self {
        Self {
            open: Vec::new(),
            liars: HashSet::new(),
            batch: MAX_BATCH,
        }
    }

    /// The operators of connected servers.
    pub fn operators(&self) -> BTreeSet<String> {
        self.open
            .iter()
            .map(|session| session.peer.server().operator.clone())
            .collect()
    }

    /// Those of them that are in the list.
    pub fn listed(&self) -> BTreeSet<String> {
        let mut operators = self.operators();
        operators.remove(DISCOVERED);
        operators
    }

    /// Whether a server's word counts beside the connected ones.
    pub fn needs(&self, server: &Server) -> bool {
        let mut open = self.open.iter();
        open.all(|session| server.counts_beside(session.peer.server()))
    }

    /// Closes connections to all servers but these.
    pub fn keep(&mut self, mut is_kept: impl FnMut(&Server) -> bool) {
        self.open.retain(|session| {
            let is_kept = is_kept(session.peer.server());
            if !is_kept {
                session.peer.close();
            }
            is_kept
        });
    }

    /// Connections to a server.
    pub fn count(&self, server: &Server) -> usize {
        let same = self.open.iter().filter(|one| one.peer.server() == server);
        same.count()
    }

    /// Drops connections that have ended, and closes all to servers that lied.
    pub fn drop_lost(&mut self) {
        let liars = &self.liars;
        self.open.retain(|session| {
            if liars.contains(session.peer.server()) {
                session.peer.close();
            }
            session.peer.is_alive()
        });
    }

    /// Closes all but one connection to each server.
    pub fn keep_one_per_server(&mut self) {
        let mut kept = HashSet::new();
        self.keep(|server| kept.insert(server.clone()));
    }

    pub fn close_all(&mut self) {
        for session in self.open.drain(..) {
            session.peer.close();
        }
    }
}

/// How long the first attempt to reach a server may take; twice as long after
/// each that has failed, up to the longest.
const FIRST_LIMIT: Duration = Duration::from_secs(15);

const LONGEST_LIMIT: Duration = Duration::from_secs(60);

/// How attempts to connect to servers for headers have gone.
#[derive(Debug, Default)]
pub struct TrackRecord(HashMap<Server, LastOutcome>);

/// The last outcome with one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastOutcome {
    /// It worked the last time.
    Worked,
    /// It has failed this many times since it worked.
    Failed(u32),
}

impl TrackRecord {
    /// A connection to a server was opened and brought headers.
    pub fn worked(&mut self, server: &Server) {
        self.0.insert(server.clone(), LastOutcome::Worked);
    }

    /// A server could not be reached, or its connection failed.
    pub fn failed(&mut self, server: &Server) {
        let failures = self.failures(server).saturating_add(1);
        self.0.insert(server.clone(), LastOutcome::Failed(failures));
    }

    /// Whether a server worked the last time it was tried.
    pub fn worked_last(&self, server: &Server) -> bool {
        self.0.get(server) == Some(&LastOutcome::Worked)
    }

    /// How often a server has failed since it worked.
    pub fn failures(&self, server: &Server) -> u32 {
        match self.0.get(server) {
            Some(LastOutcome::Failed(failures)) => *failures,
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
            let is_good_onion = server.address.is_onion() && self.worked_last(server);
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

/// The operators' chains that are accepted by a sample.
#[derive(Debug, Default)]
pub struct Sampling {
    /// Every header is verified.
    pub is_off: bool,
    /// How far each operator's chain has been fetched.
    pub pending: BTreeMap<String, Pending>,
    /// Operators whose headers are all verified: a sample of theirs has
    /// failed.
    pub refused: BTreeSet<String>,
}

/// How far an operator's chain is.
#[derive(Debug)]
pub enum Pending {
    Linked(LinkedHeaders),
    Drawn(Drawn),
}

/// A chain that does not change any more, and its sample.
#[derive(Debug)]
pub struct Drawn {
    pub sampled: Sample,
    /// How many headers were drawn.
    pub count: usize,
    /// Other operators that cannot prove it.
    pub unhelpful: BTreeSet<String>,
    /// Connections of its own operator that failed to prove it.
    pub withheld: u32,
}

impl Sampling {
    /// Nothing is known yet. With `is_off` every header is verified.
    pub fn new(is_off: bool) -> Self {
        Self {
            is_off,
            ..Self::default()
        }
    }

    /// Whether a sample of this operator's headers is enough.
    pub fn uses(&self, operator: &str) -> bool {
        !self.is_off && !self.refused.contains(operator)
    }
}
