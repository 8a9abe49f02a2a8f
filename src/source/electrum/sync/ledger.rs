//! The verified headers, shared between the thread that fetches them and the
//! lookups that rely on them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bitcoin::TxMerkleNode;

use crate::chain::freshness::FreshnessError;
use crate::chain::headers::{Adoption, Candidate, Headers};
use crate::snapshot::{FetchError, FetchErrorKind};
use crate::source::Bounds;
use crate::source::transport::lock;

/// How long an operator's answer counts. Operators are drawn anew every day.
const ANSWER_LIFETIME: Duration = Duration::from_secs(30 * 3600);

/// After this long an operator that has not answered is reported as silent.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// How often a waiting lookup checks whether it is still wanted.
const WAITER_POLL: Duration = Duration::from_millis(100);

/// The chain of headers, and how far it can be relied on.
#[derive(Debug)]
pub struct Ledger {
    headers: RwLock<Headers>,
    state: Mutex<SyncState>,
    changed: Condvar,
    /// Operators that must have answered before the chain counts.
    needed: usize,
    clock: fn() -> u64,
    /// Whether some headers were verified by a sample of their proofs of work.
    is_sampled: AtomicBool,
}

#[derive(Debug, Default)]
struct SyncState {
    /// Operators whose newest block is known to lie on a chain with no more
    /// work than ours.
    /// With the moment at which that was found.
    answered: BTreeMap<String, Instant>,
    /// Operators to one of whose servers there was a connection.
    met: BTreeSet<String>,
    /// Other operators that were tried: since when, or none if that has failed.
    tried: BTreeMap<String, Option<Instant>>,
    /// The height that servers say their chain has.
    target: u32,
    /// What went wrong last, if not enough operators have answered since.
    trouble: Option<String>,
    /// Whether headers have come since.
    has_progressed: bool,
    /// The operator that alone answers, though every server was tried.
    single_operator: Option<SingleOperator>,
    /// Only for those who show progress.
    unproven: UnprovenHeaders,
}

impl SyncState {
    /// What went wrong last, as far as it still matters: while headers come and
    /// nobody's chain has been compared yet, it does not. If somebody's has, it
    /// says why others' have not.
    fn trouble(&self) -> Option<String> {
        let matters = !self.has_progressed || !self.answered.is_empty();
        self.trouble.clone().filter(|_| matters)
    }
}

/// An operator that alone answers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SingleOperator {
    operator: String,
    /// Whether its word is enough.
    is_believed: bool,
}

/// Headers that have been fetched but are no part of the ledger until a sample
/// of their proofs of work is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnprovenHeaders {
    /// There are none.
    #[default]
    None,
    /// Headers up to this height.
    Fetched {
        /// The height of the newest.
        tip: u32,
    },
    /// All have been fetched, and their sample is being verified.
    Sampled {
        /// Proofs that are verified.
        proven: usize,
        /// Proofs that were drawn.
        drawn: usize,
    },
}

/// How far synchronisation has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The height of the newest verified header, if there is one.
    pub tip: Option<u32>,
    /// The height that servers say their chain has; 0 if none has said.
    pub target: u32,
    /// Operators that have answered.
    pub operators: Vec<String>,
    /// Operators to one of whose servers there was a connection.
    pub met: Vec<String>,
    /// Operators that must answer.
    pub needed: usize,
    /// Operators that were tried, and do not answer.
    pub silent: Vec<String>,
    /// What went wrong last, if not enough operators have answered since.
    pub trouble: Option<String>,
    /// What keeps lookups from relying on the headers.
    pub obstacle: Option<NotReadyError>,
}

/// What keeps lookups from relying on the headers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReadyError {
    /// Servers cannot be reached, or tell lies.
    #[error("no Electrum server gives block headers: {0}")]
    Trouble(String),
    /// The first synchronisation is under way.
    #[error("block headers are still being fetched ({})", progress(*tip, *target))]
    Fetching {
        /// The newest verified height.
        tip: u32,
        /// The height that servers have.
        target: u32,
    },
    /// Too few operators have been heard.
    #[error("block headers are still being compared ({answered} of {needed} operators answered)")]
    Comparing {
        /// Operators that have answered.
        answered: usize,
        /// Operators that must.
        needed: usize,
    },
    /// Every server was tried, and two operators are wanted.
    #[error("only {0} of the known Electrum operators answers, and electrum-operators is 2")]
    SingleOperator(String),
    /// The chain ends too early, or is too thin, to be the newest.
    #[error("{0}")]
    NotFresh(FreshnessError),
}

fn progress(tip: u32, target: u32) -> String {
    match target {
        0 => format!("{tip} of a number that no server has told"),
        _ => format!("{tip} of {target}"),
    }
}

impl Ledger {
    /// A ledger of these headers, which counts once `needed` operators have
    /// answered. `clock` gives the seconds of Unix time.
    pub fn new(headers: Headers, needed: usize, clock: fn() -> u64) -> Self {
        Self {
            headers: RwLock::new(headers),
            state: Mutex::default(),
            changed: Condvar::new(),
            needed,
            clock,
            is_sampled: AtomicBool::new(false),
        }
    }

    /// Notes that headers are there, or come now, which were verified by a
    /// sample.
    pub fn note_sample(&self) {
        self.is_sampled.store(true, Ordering::Relaxed);
    }

    /// Whether some headers were verified by a sample of their proofs of work.
    pub fn is_sampled(&self) -> bool {
        self.is_sampled.load(Ordering::Relaxed)
    }

    /// Notes how far headers are that wait for the verification of a sample.
    pub fn set_unproven(&self, unproven: UnprovenHeaders) {
        self.state().unproven = unproven;
    }

    /// How far those headers are.
    pub fn unproven(&self) -> UnprovenHeaders {
        self.state().unproven
    }

    /// The headers, to be looked at for a short time.
    pub fn headers(&self) -> RwLockReadGuard<'_, Headers> {
        self.headers.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The seconds of Unix time.
    pub fn now(&self) -> u64 {
        (self.clock)()
    }

    /// Changes the headers: only synchronisation does.
    pub fn change<T>(&self, change: impl FnOnce(&mut Headers) -> T) -> T {
        let mut headers = self.headers.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut headers);
        drop(headers);
        self.notify();
        result
    }

    /// Takes a candidate over if it has more work.
    pub fn adopt(&self, candidate: &Candidate) -> Adoption {
        let adoption = self.change(|headers| headers.adopt(candidate));
        if matches!(
            adoption,
            Adoption::Extended { .. } | Adoption::Replaced { .. }
        ) {
            self.state().has_progressed = true;
        }
        adoption
    }

    /// An operator's chain has been compared with ours.
    pub fn answered(&self, operator: &str) {
        let mut state = self.state();
        state.answered.insert(operator.to_owned(), Instant::now());
        if state.answered.len() >= self.needed {
            state.trouble = None;
        }
        drop(state);
        self.notify();
    }

    /// A server of an operator is being connected to.
    pub fn tries(&self, operator: &str) {
        let mut state = self.state();
        if !state.met.contains(operator) {
            let since = state.tried.entry(operator.to_owned());
            since.or_insert_with(|| Some(Instant::now()));
        }
    }

    /// There is a connection to a server of an operator.
    pub fn met(&self, operator: &str) {
        let mut state = self.state();
        state.tried.remove(operator);
        state.met.insert(operator.to_owned());
    }

    /// A server of an operator could not be connected to.
    pub fn missed(&self, operator: &str) {
        if let Some(since) = self.state().tried.get_mut(operator) {
            *since = None;
        }
    }

    /// Forgets all operators but these, which were drawn anew.
    pub fn keep_only(&self, operators: &BTreeSet<String>) {
        self.state()
            .answered
            .retain(|operator, _| operators.contains(operator));
    }

    /// Whether enough operators have answered, with no regard to who is lost.
    pub fn has_enough(&self) -> bool {
        self.state().answered.len() >= self.needed
    }

    /// Every server was tried, and those of this operator alone answer; whether
    /// that is news.
    pub fn set_single(&self, operator: &str, is_believed: bool) -> bool {
        let single_operator = Some(SingleOperator {
            operator: operator.to_owned(),
            is_believed,
        });
        let mut state = self.state();
        let is_news = state.single_operator != single_operator;
        state.single_operator = single_operator;
        drop(state);
        self.notify();
        is_news
    }

    /// Enough operators have answered; whether one was alone before.
    pub fn clear_single(&self) -> bool {
        self.state().single_operator.take().is_some()
    }

    /// A server announces that its chain has this height.
    pub fn raise_target(&self, target: u32) {
        let mut state = self.state();
        state.target = state.target.max(target);
    }

    /// No connected server announces a greater height.
    pub fn set_target(&self, target: u32) {
        self.state().target = target;
    }

    /// Something went wrong; lookups report it until enough operators have
    /// answered.
    pub fn trouble(&self, what: String) {
        let mut state = self.state();
        state.trouble = Some(what);
        state.has_progressed = false;
        drop(state);
        self.notify();
    }

    /// The height of the newest header, if lookups may rely on the chain now.
    pub fn usable_tip(&self) -> Result<u32, NotReadyError> {
        let (answered, target, trouble, single) = {
            let mut state = self.state();
            state
                .answered
                .retain(|_, at| at.elapsed() < ANSWER_LIFETIME);
            let single = state.single_operator.clone();
            (state.answered.len(), state.target, state.trouble(), single)
        };
        let needed = match &single {
            Some(single) if single.is_believed => 1,
            _ => self.needed,
        };
        let headers = self.headers();
        let tip = headers.tip().map(|(height, _)| height);
        if answered < needed {
            return Err(match (single, trouble) {
                (Some(single), _) if answered > 0 => NotReadyError::SingleOperator(single.operator),
                (_, Some(what)) if answered == 0 => NotReadyError::Trouble(what),
                _ if answered == 0 => NotReadyError::Fetching {
                    tip: tip.unwrap_or_default(),
                    target,
                },
                _ => NotReadyError::Comparing { answered, needed },
            });
        }
        let Some(tip) = tip.filter(|_| headers.is_complete()) else {
            return Err(NotReadyError::Fetching {
                tip: tip.unwrap_or_default(),
                target,
            });
        };
        headers
            .check_freshness(self.now())
            .map_err(NotReadyError::NotFresh)?;
        Ok(tip)
    }

    /// Waits until lookups may rely on the chain; returns its height.
    ///
    /// # Errors
    /// They may not in time. That is never the fault of the name asked for.
    pub fn wait(&self, bounds: &Bounds) -> Result<u32, FetchError> {
        loop {
            let obstacle = match self.usable_tip() {
                Ok(tip) => return Ok(tip),
                Err(obstacle) => obstacle,
            };
            let left = bounds.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || bounds.cancel.is_set() {
                let kind = match obstacle {
                    NotReadyError::Trouble(_) => FetchErrorKind::Unreachable,
                    _ => FetchErrorKind::NotReady,
                };
                return Err(FetchError::new(kind, obstacle.to_string()));
            }
            let state = self.state();
            // Waking only makes it faster: the condition is checked again each
            // time.
            drop(self.changed.wait_timeout(state, left.min(WAITER_POLL)));
        }
    }

    /// The merkle root of a verified block.
    pub fn merkle_root(&self, height: u32) -> Option<TxMerkleNode> {
        self.headers().get(height).map(|header| header.merkle_root)
    }

    /// How far synchronisation has come.
    pub fn status(&self) -> Status {
        let obstacle = self.usable_tip().err();
        let tip = self.headers().tip().map(|(height, _)| height);
        let state = self.state();
        let silent = state.tried.iter();
        let silent =
            silent.filter(|(_, since)| since.is_none_or(|at| at.elapsed() >= SILENT_AFTER));
        Status {
            tip,
            needed: self.needed,
            target: state.target,
            operators: state.answered.keys().cloned().collect(),
            met: state.met.iter().cloned().collect(),
            silent: silent.map(|(operator, _)| operator.clone()).collect(),
            trouble: state.trouble(),
            obstacle,
        }
    }

    fn state(&self) -> MutexGuard<'_, SyncState> {
        lock(&self.state)
    }

    fn notify(&self) {
        // Locked, so that no waiter misses the call between checking and
        // waiting.
        drop(self.state());
        self.changed.notify_all();
    }
}

/// The time, in seconds of Unix time.
pub fn unix_time() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}
