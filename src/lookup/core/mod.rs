//! The scheduler's state: who waits for what, what is being fetched, and whose
//! turn it is.
//!
//! It has no threads, does no I/O, and evaluates nothing. Events go in
//! ([`Core::ask`], [`Core::cancel`], [`Core::evaluated`], [`Core::fetched`],
//! [`Core::tick`]); what is to be done comes out as [`Effects`], as tasks from
//! [`Core::next_task`] and as jobs from [`Core::next_job`]. Time is an argument.
//!
//! Three kinds of things are kept. A *ticket* is one query of the client, with
//! its deadline. A *lookup* is shared by all tickets of the same name, mode
//! and isolation id. A *fetch* is shared by all lookups of one isolation id
//! that need the same name key. Nothing is shared between isolation ids.
//! Values, and the answers made of them, are kept in a cache of the id.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::{self, Cache};
use crate::isolation::IsolationId;
use crate::resolve::{Answer, Evaluation, Query, Step, Verdict};
use crate::snapshot::{FailureKind, FetchFailure, Fetched, NameKey};
use crate::source::{Cancel, Limit};

use evaluations::Evaluations;
use rota::Rota;

mod cached;
mod evaluations;
mod fetches;
mod ring;
mod rota;
mod shared;

/// A query of the client, unique in the life of the process.
pub type Ticket = u64;

/// How much may be under way and waiting (`spec/isolation.md`).
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Fetches under way.
    pub slots: usize,
    /// Fetches under way for one isolation id.
    pub slots_per_isolation: usize,
    /// Evaluations under way.
    pub evaluations: usize,
    /// Unanswered queries.
    pub queries: usize,
    /// Unanswered queries of one isolation id.
    pub queries_per_isolation: usize,
    /// How long a lookup goes on after its last query's deadline.
    pub background: Duration,
    /// How long a value is kept.
    pub ttl: Duration,
    /// How long an absence is kept.
    pub negative_ttl: Duration,
    /// Bounds of the cache.
    pub cache: cache::Limits,
}

/// After this time a request may have got lost with its connection. If the
/// client then asks again, so do we, while the first request goes on.
const SUSPECT: Duration = Duration::from_secs(3);

type LookupId = u64;
type FetchId = u64;

/// A fetch to be carried out.
#[derive(Debug)]
pub struct Job {
    id: FetchId,
    epoch: u64,
    /// On whose behalf.
    pub isolation: IsolationId,
    /// Which name.
    pub key: NameKey,
    /// How long it may take.
    pub limit: Limit,
}

impl Job {
    /// The number of the fetch, unique in the life of the process.
    pub fn number(&self) -> u64 {
        self.id
    }
}

/// A lookup to be evaluated, outside the lock.
#[derive(Debug)]
pub struct Task {
    lookup: LookupId,
    isolation: IsolationId,
    /// What is asked, and what is known.
    pub evaluation: Evaluation,
}

/// What an event brings about.
#[derive(Debug, Default)]
pub struct Effects {
    /// Answers to give.
    pub answers: Vec<(Ticket, Verdict)>,
    /// Isolation ids of which nothing is kept any more.
    pub forgotten: Vec<IsolationId>,
}

impl Effects {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.forgotten.is_empty()
    }
}

#[derive(Debug)]
struct Lookup {
    isolation: IsolationId,
    query: Query,
    /// Away while the lookup is being evaluated.
    evaluation: Option<Evaluation>,
    /// Whether it waits for its evaluation.
    ready: bool,
    waiters: Vec<Ticket>,
    /// Fetches that it waits for.
    fetches: BTreeSet<FetchId>,
    /// Whether any of its fetches was begun.
    begun: bool,
    /// Whether a query's deadline passed, so that it may end unwatched.
    outlived: bool,
    give_up: Instant,
}

#[derive(Debug)]
struct Fetch {
    isolation: IsolationId,
    key: NameKey,
    lookups: BTreeSet<LookupId>,
    state: State,
    attempts: u32,
    last: Option<FetchFailure>,
}

#[derive(Debug)]
enum State {
    Queued,
    Running { cancel: Cancel, since: Instant },
    Resting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Deadline(Ticket),
    GiveUp(LookupId),
    Retry(FetchId),
}

/// The scheduler's state.
pub struct Core {
    limits: Limits,
    cache: Cache<NameKey, Fetched, Arc<Answer>>,
    /// Counts up when everything cached is dropped, so that what was asked
    /// before is not kept after.
    epoch: u64,
    last_id: u64,
    tickets: HashMap<Ticket, (LookupId, Instant)>,
    lookups: HashMap<LookupId, Lookup>,
    lookup_of: HashMap<(IsolationId, Query), LookupId>,
    fetches: HashMap<FetchId, Fetch>,
    fetch_of: HashMap<(IsolationId, NameKey), FetchId>,
    /// Fetches under way for which a second request was made.
    lost: HashMap<FetchId, Cancel>,
    queries_of: HashMap<IsolationId, usize>,
    rota: Rota,
    evaluations: Evaluations,
    timers: BTreeSet<(Instant, Timer)>,
}

impl Core {
    /// A scheduler with nothing to do.
    pub fn new(limits: Limits) -> Self {
        Self {
            cache: Cache::new(limits.cache),
            rota: Rota::new(limits.slots, limits.slots_per_isolation),
            evaluations: Evaluations::new(limits.evaluations),
            limits,
            epoch: 0,
            last_id: 0,
            tickets: HashMap::new(),
            lookups: HashMap::new(),
            lookup_of: HashMap::new(),
            fetches: HashMap::new(),
            fetch_of: HashMap::new(),
            lost: HashMap::new(),
            queries_of: HashMap::new(),
            timers: BTreeSet::new(),
        }
    }

    /// Takes a query that is to be answered by `deadline`.
    pub fn ask(
        &mut self,
        ticket: Ticket,
        isolation: &IsolationId,
        query: Query,
        deadline: Instant,
        now: Instant,
    ) -> Effects {
        let mut effects = Effects::default();
        let of_id = self.queries_of.get(isolation).copied().unwrap_or(0);
        if of_id >= self.limits.queries_per_isolation || self.tickets.len() >= self.limits.queries {
            let message = "too many queries are waiting for an answer";
            let failure = FetchFailure::new(FailureKind::Overloaded, message);
            effects.answers.push((ticket, Verdict::Unknown(failure)));
            return effects;
        }
        *self.queries_of.entry(isolation.clone()).or_default() += 1;
        self.timers.insert((deadline, Timer::Deadline(ticket)));
        let give_up = deadline + self.limits.background;
        let name = (isolation.clone(), query);
        if let Some(id) = self.lookup_of.get(&name).copied()
            && let Some(lookup) = self.lookups.get_mut(&id)
        {
            lookup.waiters.push(ticket);
            self.timers.remove(&(lookup.give_up, Timer::GiveUp(id)));
            lookup.give_up = lookup.give_up.max(give_up);
            self.timers.insert((lookup.give_up, Timer::GiveUp(id)));
            self.tickets.insert(ticket, (id, deadline));
            // While its first query waits, a slow answer is only slow.
            let suspects = if lookup.outlived {
                lookup.fetches.clone()
            } else {
                BTreeSet::new()
            };
            for fetch in suspects {
                self.repeat_if_lost(fetch, now);
            }
            return effects;
        }
        let id = self.fresh();
        self.tickets.insert(ticket, (id, deadline));
        self.timers.insert((give_up, Timer::GiveUp(id)));
        let lookup = Lookup {
            isolation: isolation.clone(),
            query: name.1.clone(),
            evaluation: Some(Evaluation::new(name.1.clone(), isolation.clone())),
            ready: false,
            waiters: vec![ticket],
            fetches: BTreeSet::new(),
            begun: false,
            outlived: false,
            give_up,
        };
        // Nothing can be said before that is known, so there is nothing to
        // evaluate yet.
        let first = name.1.key();
        self.lookups.insert(id, lookup);
        self.lookup_of.insert(name, id);
        self.supply_or_fetch(id, first.into_iter().collect(), now);
        effects
    }

    /// The client is no longer interested. Unknown tickets are ignored.
    pub fn cancel(&mut self, ticket: Ticket) {
        if let Some(id) = self.release(ticket)
            && let Some(lookup) = self.lookups.get(&id)
            && lookup.waiters.is_empty()
            && !lookup.outlived
        {
            self.abandon(id);
        }
    }

    /// The next lookup to evaluate, if one may be.
    pub fn next_task(&mut self) -> Option<Task> {
        while let Some((id, isolation)) = self.evaluations.next() {
            if let Some(lookup) = self.lookups.get_mut(&id)
                && let Some(evaluation) = lookup.evaluation.take()
            {
                lookup.ready = false;
                return Some(Task {
                    lookup: id,
                    isolation,
                    evaluation,
                });
            }
            self.evaluations.ended(&isolation);
        }
        None
    }

    /// A lookup was evaluated.
    pub fn evaluated(&mut self, task: Task, step: Step, now: Instant) -> Effects {
        let mut effects = Effects::default();
        let id = task.lookup;
        self.evaluations.ended(&task.isolation);
        let Some(lookup) = self.lookups.get_mut(&id) else {
            return effects;
        };
        match step {
            Step::Done(verdict) => {
                self.finish(id, &verdict, &mut effects);
                effects.forgotten =
                    self.keep(&task.evaluation, &Arc::new(Answer::new(verdict)), now);
            }
            Step::Need(keys) => {
                lookup.evaluation = Some(task.evaluation);
                self.supply_or_fetch(id, keys, now);
            }
        }
        effects
    }

    /// Lets the time pass: deadlines, pauses and the end of lookups.
    pub fn tick(&mut self, now: Instant) -> Effects {
        let mut effects = Effects::default();
        while let Some(&(due, timer)) = self.timers.first() {
            if due > now {
                break;
            }
            self.timers.pop_first();
            match timer {
                Timer::Deadline(ticket) => self.expire(ticket, &mut effects),
                Timer::GiveUp(id) => {
                    if self.lookups.get(&id).is_some_and(|l| l.waiters.is_empty()) {
                        self.abandon(id);
                    }
                }
                Timer::Retry(id) => {
                    if let Some(fetch) = self.fetches.get_mut(&id)
                        && matches!(fetch.state, State::Resting)
                    {
                        fetch.state = State::Queued;
                        self.rota.queue(id, &fetch.isolation);
                    }
                }
            }
        }
        effects
    }

    /// When [`Core::tick`] is due next.
    pub fn next_tick(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Queries that are not answered yet.
    pub fn unanswered(&self) -> usize {
        self.tickets.len()
    }

    /// Fetches that have begun and not ended.
    pub fn under_way(&self) -> usize {
        self.rota.under_way()
    }

    /// Whether nothing is under way, waiting, or due.
    pub fn is_idle(&self) -> bool {
        self.tickets.is_empty()
            && self.lookups.is_empty()
            && self.lookup_of.is_empty()
            && self.fetches.is_empty()
            && self.fetch_of.is_empty()
            && self.lost.is_empty()
            && self.queries_of.is_empty()
            && self.rota.is_empty()
            && self.evaluations.is_empty()
            && self.timers.is_empty()
    }
}
