//! All that belongs to one isolation id.
//!
//! # Why two activities cannot notice each other
//!
//! Invariant 1 (`spec/isolation.md`, "No shared trace") rests on this type. An
//! [`Activity`] owns what its isolation id has asked for, what is being fetched
//! and evaluated for it, and what is kept of that. Its methods take nothing of
//! another activity and return nothing that one could see: what is common to
//! all comes in as [`Common`], which holds bounds, a counter for numbers that
//! nobody outside sees, and one total. Whoever holds one activity cannot reach
//! another, so that sharing between ids would need code in `Core`,
//! which owns the map of activities and is short.
//!
//! What activities compete for is counted in [`Share`]. The scheduler adds the
//! shares up and lets activities take turns, but looks at nothing else of them.

mod fetches;
mod holdings;
mod lookups;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::limits::Limits;
use crate::isolation::IsolationId;
use crate::policy::{CachedAnswer, Evaluation, Query, Verdict};
use crate::snapshot::{Finding, Key};
use crate::source::Cancel;

use holdings::{Holdings, Room};

pub use fetches::Job;
pub use lookups::Task;

/// Bytes that an activity takes beside its isolation id and what it keeps.
const OVERHEAD: usize = 2048;

/// A query of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    /// Whose it is.
    pub client: u32,
    /// Which of them.
    pub number: u64,
}

pub type LookupId = u64;
pub type FetchId = u64;

/// Answers to give.
pub type Answers = Vec<(Ticket, Verdict)>;

/// What all activities have in common.
#[derive(Debug)]
pub struct Common {
    pub limits: Limits,
    /// The number that was given last to a lookup or a fetch.
    pub last_number: u64,
    /// Lookups of all activities.
    pub lookups: usize,
    /// Whether the name servers of delegated names can be asked.
    pub follows_delegations: bool,
}

impl Common {
    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

/// What an activity takes of what all compete for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Unanswered queries.
    pub queries: usize,
    /// Lookups, those that nobody waits for included.
    pub lookups: usize,
    /// Fetches that lost their slot and have not ended yet.
    pub yielded: usize,
    /// Evaluations under way.
    pub evaluating: usize,
    /// Whether anything is kept, as a number.
    pub keeps: usize,
    /// Bytes of what is kept.
    pub bytes: usize,
    /// When [`Activity::tick`] is due.
    pub due: Option<Instant>,
}

impl Share {
    /// The sum, but for the time.
    pub fn with(self, other: Self) -> Self {
        self.each(other, |one, other| one + other)
    }

    /// The difference, but for the time. What is taken away was added before.
    pub fn without(self, other: Self) -> Self {
        self.each(other, |one, other| one - other)
    }

    fn each(self, other: Self, of: impl Fn(usize, usize) -> usize) -> Self {
        Self {
            queries: of(self.queries, other.queries),
            lookups: of(self.lookups, other.lookups),
            yielded: of(self.yielded, other.yielded),
            evaluating: of(self.evaluating, other.evaluating),
            keeps: of(self.keeps, other.keeps),
            bytes: of(self.bytes, other.bytes),
            due: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Deadline(Ticket),
    GiveUp(LookupId),
    Retry(FetchId),
}

/// All that belongs to one isolation id.
#[derive(Debug)]
pub struct Activity {
    isolation: IsolationId,
    /// Tells it from others, and from earlier ones of the same isolation id.
    number: u64,
    holdings: Holdings,
    /// Whether all that was kept is gone, and nothing was kept since.
    is_evicted: bool,
    /// Whether the client wants nothing of it to remain: nothing is kept any
    /// more, and it ends with its last query.
    is_forgotten: bool,
    /// Counts up when everything kept is dropped, so that what was asked before
    /// is not kept after.
    epoch: u64,
    tickets: HashMap<Ticket, LookupId>,
    lookups: HashMap<LookupId, lookups::Lookup>,
    lookup_of: HashMap<Query, LookupId>,
    /// Lookups that wait for their evaluation.
    ready: VecDeque<LookupId>,
    /// Only one is evaluated at a time: an evaluation takes up to some
    /// milliseconds of a processor, as the owner of the value chose.
    is_evaluating: bool,
    fetches: HashMap<FetchId, fetches::Fetch>,
    fetch_of: HashMap<Key, FetchId>,
    /// Fetches that wait for a slot.
    waiting: VecDeque<FetchId>,
    /// Fetches with a slot.
    running: HashSet<FetchId>,
    /// Fetches that lost their slot and have not ended yet.
    yielded: HashSet<FetchId>,
    /// Fetches under way for which a second request was made.
    lost: HashMap<FetchId, Cancel>,
    timers: BTreeSet<(Instant, Timer)>,
}

impl Activity {
    /// One that nothing was asked for yet.
    pub fn new(isolation: IsolationId, common: &mut Common) -> Self {
        Self {
            isolation,
            number: common.number(),
            holdings: Holdings::default(),
            is_evicted: false,
            is_forgotten: false,
            epoch: 0,
            tickets: HashMap::new(),
            lookups: HashMap::new(),
            lookup_of: HashMap::new(),
            ready: VecDeque::new(),
            is_evaluating: false,
            fetches: HashMap::new(),
            fetch_of: HashMap::new(),
            waiting: VecDeque::new(),
            running: HashSet::new(),
            yielded: HashSet::new(),
            lost: HashMap::new(),
            timers: BTreeSet::new(),
        }
    }

    /// Tells it from others, and from earlier ones of the same isolation id.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// What it takes of what all compete for.
    pub fn share(&self) -> Share {
        Share {
            queries: self.tickets.len(),
            lookups: self.lookups.len(),
            yielded: self.yielded.len(),
            evaluating: self.is_evaluating.into(),
            keeps: (!self.holdings.is_empty()).into(),
            bytes: self.bytes(),
            due: self.timers.first().map(|(due, _)| *due),
        }
    }

    /// Bytes of what is kept.
    pub fn bytes(&self) -> usize {
        match self.holdings.is_empty() {
            true => 0,
            false => fixed_bytes(&self.isolation) + self.holdings.bytes(),
        }
    }

    /// Whether nothing is under way, waiting, or due.
    pub fn is_idle(&self) -> bool {
        let counts = [
            self.tickets.len(),
            self.lookups.len(),
            self.lookup_of.len(),
            self.ready.len(),
            usize::from(self.is_evaluating),
            self.fetches.len(),
            self.fetch_of.len(),
            self.waiting.len(),
            self.running.len(),
            self.yielded.len(),
            self.lost.len(),
            self.timers.len(),
        ];
        counts.iter().all(|count| *count == 0)
    }

    /// Whether all that was kept is gone, and nothing was kept since: the source
    /// is to forget the isolation id once nothing is under way.
    pub fn is_evicted(&self) -> bool {
        self.is_evicted || self.is_forgotten
    }

    /// Takes note of whether something is kept, which was so `before`.
    pub fn note_eviction(&mut self, before: bool) {
        let keeps = !self.holdings.is_empty();
        self.is_evicted = !keeps && (before || self.is_evicted);
    }

    /// Whether nothing is left of it.
    pub fn is_over(&self) -> bool {
        self.holdings.is_empty() && self.is_idle()
    }

    /// Unanswered queries.
    pub fn queries(&self) -> usize {
        self.tickets.len()
    }

    /// What is kept of a key.
    pub fn kept(&mut self, key: &Key, now: Instant) -> Option<&Finding> {
        self.holdings.value(key, now)
    }

    /// The answer that is kept for a question.
    pub fn answer(&mut self, question: &[u8], now: Instant) -> Option<&Arc<CachedAnswer>> {
        self.holdings.answer(question, now)
    }

    /// The source has learned more of a name than what is kept of it, which
    /// this takes the place of; nothing is kept of a name whose time has run
    /// out.
    pub fn learned(&mut self, key: Key, finding: Finding, now: Instant, common: &Common) {
        if self.holdings.value(&key, now).is_some() {
            let ttl = common.limits.ttl(&finding);
            let room = self.room(common);
            self.holdings.keep(key, finding, ttl, now, room);
        }
    }

    /// Drops what is kept and has outlived its time.
    pub fn sweep(&mut self, now: Instant) {
        self.holdings.sweep(now);
    }

    /// Drops what is kept and is to go first.
    pub fn drop_oldest(&mut self) {
        self.holdings.drop_oldest();
    }

    /// Drops everything kept.
    pub fn drop_kept(&mut self) {
        self.holdings = Holdings::default();
    }

    /// Drops everything kept. From now on nothing is kept, until nothing is left
    /// of the activity.
    pub fn forget(&mut self) {
        self.is_forgotten = true;
        self.drop_kept();
    }

    /// Ends what goes on for nobody in an activity that is to be forgotten.
    pub fn end_if_forgotten(&mut self) {
        if !self.is_forgotten || !self.tickets.is_empty() {
            return;
        }
        let lookups: Vec<_> = self.lookups.keys().copied().collect();
        lookups.into_iter().for_each(|id| self.abandon(id));
        self.lost.values().for_each(Cancel::set);
        // What is left are pauses of fetches that nobody waits for.
        self.timers.clear();
    }

    /// Drops everything kept, and what is being fetched for it, because the
    /// source's values have changed.
    pub fn invalidate(&mut self) {
        self.epoch += 1;
        self.drop_kept();
    }

    /// Keeps the answer that a query's evaluation ended with. What cannot be
    /// known for now is not kept, nor what depends on a name that is not kept.
    fn keep_answer(
        &mut self,
        evaluation: &Evaluation,
        verdict: Verdict,
        now: Instant,
        common: &Common,
    ) {
        if self.is_forgotten || matches!(verdict, Verdict::Unknown(_)) {
            return;
        }
        let findings = evaluation.snapshot().findings();
        let made_of: Option<Vec<_>> = findings
            .map(|(key, finding)| Some((key, finding?)))
            .collect();
        let question = evaluation.query().question();
        if let (Some(made_of), Some(question)) = (made_of, question) {
            let (answer, room) = (Arc::new(CachedAnswer::new(verdict)), self.room(common));
            let made_of = made_of.into_iter();
            self.holdings
                .keep_answer(question.as_bytes(), answer, made_of, now, room);
        }
    }

    fn room(&self, common: &Common) -> Room {
        let cache = &common.limits.cache;
        let is_any = cache.isolations > 0;
        Room {
            entries: if is_any { cache.entries } else { 0 },
            bytes: cache.bytes.saturating_sub(fixed_bytes(&self.isolation)),
        }
    }
}

/// Bytes of an activity that keeps something, beside what it keeps.
fn fixed_bytes(isolation: &IsolationId) -> usize {
    isolation.weight() + OVERHEAD
}
