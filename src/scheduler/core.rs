//! Activities side by side: whose turn it is, and what all of them take.
//!
//! It has no threads, does no I/O, and evaluates nothing. Events go in
//! ([`Core::ask`], [`Core::cancel`], [`Core::evaluated`], [`Core::fetched`],
//! [`Core::tick`]); what is to be done comes out as [`Answers`], as tasks from
//! [`Core::next_task`], as jobs from [`Core::next_job`], and as isolation ids
//! that the source is to forget from [`Core::take_forgotten`]. Time is an
//! argument.
//!
//! What belongs to one isolation id is in its [`Activity`]. Here are the map of
//! them, the turns that they take, and the bounds on what they take together.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use lru::LruCache;

use super::activity::{Activity, Answers, Common, FetchId, Job, Share, Task, Ticket};
use super::limits::Limits;
use super::ring::Ring;
use super::upstreams::FetchReply;
use crate::isolation::IsolationId;
use crate::policy::{CachedAnswer, Query, Step, Verdict};
use crate::snapshot::{FetchError, FetchErrorKind, Fetched, Finding, NameKey};

/// The scheduler's state.
pub struct Core {
    common: Common,
    /// The least recently used first: when a client asked for something, or a
    /// value came.
    activities: LruCache<IsolationId, Activity>,
    /// The sum of all shares, but for the time.
    total: Share,
    /// Whose query a ticket is.
    tickets: HashMap<Ticket, IsolationId>,
    /// The fetches that have a slot.
    slots: HashMap<FetchId, IsolationId>,
    /// Activities that wait for a slot.
    fetching: Ring,
    /// Activities of which a lookup may be evaluated.
    evaluating: Ring,
    /// Isolation ids of which nothing is left since [`Core::take_forgotten`].
    forgotten: Vec<IsolationId>,
    /// When the time of activities has come. What has to be done then is with
    /// them.
    due: Due,
}

/// Moments, and whose each is. Those of one moment are told apart by a number.
type Due = BTreeMap<(Instant, u64), IsolationId>;

impl Core {
    /// A scheduler with nothing to do.
    pub fn new(limits: Limits) -> Self {
        Self {
            common: Common {
                limits,
                last_number: 0,
                lookups: 0,
                follows_delegations: false,
            },
            activities: LruCache::unbounded(),
            total: Share::default(),
            tickets: HashMap::new(),
            slots: HashMap::new(),
            fetching: Ring::default(),
            evaluating: Ring::default(),
            forgotten: Vec::new(),
            due: Due::new(),
        }
    }

    /// Sets whether the name servers of delegated names can be asked. The default
    /// is no.
    #[must_use]
    pub fn following_delegations(mut self, follows: bool) -> Self {
        self.common.follows_delegations = follows;
        self
    }

    /// Takes a query that is to be answered by `deadline`.
    pub fn ask(
        &mut self,
        ticket: Ticket,
        isolation: &IsolationId,
        query: Query,
        deadline: Instant,
        now: Instant,
    ) -> Answers {
        let limits = &self.common.limits;
        let of_id = self.activities.peek(isolation).map_or(0, Activity::queries);
        if of_id >= limits.queries_per_isolation || self.total.queries >= limits.queries {
            let message = "too many queries are waiting for an answer";
            let failure = FetchError::new(FetchErrorKind::Overloaded, message);
            return vec![(ticket, Verdict::Unknown(failure))];
        }
        self.tickets.insert(ticket, isolation.clone());
        let common = &mut self.common;
        self.activities.get_or_insert(isolation.clone(), || {
            Activity::new(isolation.clone(), common)
        });
        self.with(isolation, |activity, common| {
            activity.ask(ticket, query, deadline, now, common);
        });
        Answers::new()
    }

    /// The client is no longer interested. Unknown tickets are ignored.
    pub fn cancel(&mut self, ticket: Ticket) {
        if let Some(isolation) = self.tickets.remove(&ticket) {
            self.with(&isolation, |activity, common| {
                activity.cancel(ticket, common)
            });
        }
    }

    /// A client is gone, and with it its interest in all of its queries.
    pub fn cancel_all(&mut self, client: u32) {
        let tickets = self.tickets.keys().copied();
        let all: Vec<_> = tickets.filter(|one| one.client == client).collect();
        all.into_iter().for_each(|ticket| self.cancel(ticket));
    }

    /// The next lookup to evaluate, if one may be.
    pub fn next_task(&mut self) -> Option<Task> {
        if self.total.evaluating >= self.common.limits.evaluations {
            return None;
        }
        let isolation = self.evaluating.pop()?;
        self.with(&isolation, |activity, _| activity.next_task())?
    }

    /// A lookup was evaluated.
    pub fn evaluated(&mut self, task: Task, step: Step, now: Instant) -> Answers {
        let isolation = task.isolation().clone();
        let answers = self.with(&isolation, |activity, common| {
            activity.evaluated(task, step, now, common)
        });
        self.evict();
        self.given(answers.unwrap_or_default())
    }

    /// The next fetch that may begin, if a slot is free or can be yielded.
    ///
    /// Those that somebody waits for go first, and may take the slot of one
    /// that nobody does. As many again as there are slots may run on without
    /// one; beyond that everybody waits for a fetch to end.
    pub fn next_job(&mut self, now: Instant) -> Option<Job> {
        let slots = self.common.limits.slots;
        let is_full = self.slots.len() >= slots;
        let may_yield = self.total.yielded < slots;
        // With every slot taken, most calls end here: looking through all who
        // wait would take longer the more there are.
        if is_full && !(may_yield && self.unwatched().is_some()) {
            return None;
        }
        for is_watched in [true, false] {
            if is_full && !is_watched {
                return None;
            }
            for _ in 0..self.fetching.len() {
                let isolation = self.fetching.pop()?;
                let may_yield = may_yield && is_watched;
                let begun = self.begin(&isolation, is_watched, may_yield, now);
                // It goes to the end, with whatever else it waits for.
                self.with(&isolation, |_, _| ());
                if begun.is_some() {
                    return begun;
                }
            }
        }
        None
    }

    /// Begins a fetch of an activity whose turn it is.
    fn begin(
        &mut self,
        isolation: &IsolationId,
        is_watched: bool,
        may_yield: bool,
        now: Instant,
    ) -> Option<Job> {
        let activity = self.activities.peek(isolation)?;
        let fetch = activity.next_waiting(is_watched)?;
        let is_full = self.slots.len() >= self.common.limits.slots;
        let yielding = if activity.is_full(&self.common) {
            // At its own bound it must free a slot of its own.
            Some(activity.unwatched().map(|fetch| (fetch, isolation.clone())))
        } else if is_full {
            Some(self.unwatched())
        } else {
            None
        };
        if let Some(yielding) = yielding {
            let (fetch, owner) = yielding.filter(|_| may_yield)?;
            self.slots.remove(&fetch);
            self.with(&owner, |activity, _| activity.yield_slot(fetch));
        }
        let job = self.with(isolation, |activity, _| activity.begin(fetch, now))??;
        self.slots.insert(fetch, isolation.clone());
        Some(job)
    }

    /// A fetch that has a slot though no query waits for it, and whose it is.
    fn unwatched(&self) -> Option<(FetchId, IsolationId)> {
        let mut slots = self.slots.iter();
        let found = slots.find(|(fetch, isolation)| {
            let activity = self.activities.peek(*isolation);
            !activity.is_some_and(|activity| activity.is_watched(**fetch))
        });
        found.map(|(fetch, isolation)| (*fetch, isolation.clone()))
    }

    /// A fetch has ended. `pause_factor` between 0.5 and 1.0 spreads the
    /// attempts of many fetches.
    pub fn fetched(
        &mut self,
        job: Job,
        result: Result<impl Into<FetchReply>, FetchError>,
        pause_factor: f64,
        now: Instant,
    ) {
        let isolation = job.isolation.clone();
        self.slots.remove(&job.number());
        self.activities.promote(&isolation);
        self.with(&isolation, |activity, common| {
            activity.fetched(job, result.map(Into::into), pause_factor, now, common);
        });
        self.evict();
    }

    /// Lets the time pass: deadlines, pauses and the end of lookups.
    pub fn tick(&mut self, now: Instant) -> Answers {
        let mut answers = Answers::new();
        while let Some(entry) = self.due.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let isolation = entry.get().clone();
            let given = self.with(&isolation, |activity, common| activity.tick(now, common));
            answers.extend(given.into_iter().flatten());
        }
        self.given(answers)
    }

    /// When [`Core::tick`] is due next.
    pub fn next_tick(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((due, _), _)| *due)
    }

    /// What is kept of a name under an isolation id.
    pub fn cached(
        &mut self,
        isolation: &IsolationId,
        key: &NameKey,
        now: Instant,
    ) -> Option<Fetched> {
        let activity = self.activities.get_mut(isolation)?;
        match activity.kept(&key.clone().into(), now)? {
            Finding::Name(fetched) => Some(fetched.clone()),
            Finding::Delegated(_) => None,
        }
    }

    /// The answer to a question ([`crate::policy::Question::as_bytes`]) that
    /// was kept for an isolation id, given as bytes, which need not be those of
    /// a valid one, if all that it was made of is still kept.
    pub fn answer(
        &mut self,
        isolation: &[u8],
        question: &[u8],
        now: Instant,
    ) -> Option<Arc<CachedAnswer>> {
        let activity = self.activities.get_mut(isolation)?;
        let before = activity.bytes();
        let answer = activity.answer(question, now).cloned();
        // One that holds no more is dropped.
        self.total.bytes = self.total.bytes + activity.bytes() - before;
        answer
    }

    /// The source has learned more of a name than what is kept of it under an
    /// isolation id, which this takes the place of; nothing is kept of a name
    /// whose time has run out.
    pub fn learned(
        &mut self,
        isolation: &IsolationId,
        key: NameKey,
        fetched: Fetched,
        now: Instant,
    ) {
        self.with(isolation, |activity, common| {
            activity.learned(key.into(), fetched.into(), now, common);
        });
        self.evict();
    }

    /// Drops what is kept and has outlived its time.
    pub fn sweep(&mut self, now: Instant) {
        for isolation in self.isolations() {
            self.with(&isolation, |activity, _| activity.sweep(now));
        }
    }

    /// The isolation ids of which nothing is kept and for which nothing is under
    /// way any more: the source is to forget them too, before anything else
    /// begins for them.
    #[must_use]
    pub fn take_forgotten(&mut self) -> Vec<IsolationId> {
        std::mem::take(&mut self.forgotten)
    }

    /// Drops everything kept, because the source's values have changed.
    pub fn invalidate(&mut self) {
        for isolation in self.isolations() {
            self.with(&isolation, |activity, _| activity.invalidate());
        }
    }

    /// Drops everything that is kept for an isolation id, and its activity once
    /// no query is under way; until then nothing more is kept. The source is to
    /// forget the id even if nothing is known of it here, as its connections may
    /// outlive an activity that keeps nothing.
    pub fn forget(&mut self, isolation: &IsolationId) {
        let found = self.with(isolation, |activity, _| activity.forget());
        if found.is_none() {
            self.forgotten.push(isolation.clone());
        }
    }

    fn isolations(&self) -> Vec<IsolationId> {
        self.activities.iter().map(|(id, _)| id.clone()).collect()
    }

    /// Queries that are not answered yet.
    pub fn unanswered(&self) -> usize {
        self.total.queries
    }

    /// Lookups, those that nobody waits for included.
    pub fn lookups(&self) -> usize {
        self.total.lookups
    }

    /// Fetches that have begun and not ended.
    pub fn under_way(&self) -> usize {
        self.slots.len() + self.total.yielded
    }

    /// Isolation ids of which something is kept.
    pub fn keeping(&self) -> usize {
        self.total.keeps
    }

    /// Bytes of what is kept, as counted against the bound.
    pub fn kept_bytes(&self) -> usize {
        self.total.bytes
    }

    /// Whether nothing is under way, waiting, or due.
    pub fn is_idle(&self) -> bool {
        let activities = self.activities.iter();
        let busy = activities.filter(|(_, activity)| !activity.is_idle());
        let counts = [
            busy.count(),
            // Those that keep nothing.
            self.activities.len().abs_diff(self.total.keeps),
            self.tickets.len(),
            self.slots.len(),
            self.fetching.len(),
            self.evaluating.len(),
            self.due.len(),
            self.total.queries,
            self.total.lookups,
            self.total.yielded,
            self.total.evaluating,
        ];
        counts.iter().all(|count| *count == 0)
    }

    /// Does something with an activity, and takes note of what it takes now and
    /// waits for. One of which nothing is left is dropped. `None` if there is
    /// none of this isolation id.
    fn with<T>(
        &mut self,
        isolation: &IsolationId,
        act: impl FnOnce(&mut Activity, &mut Common) -> T,
    ) -> Option<T> {
        let activity = self.activities.peek_mut(isolation)?;
        let before = activity.share();
        let result = act(activity, &mut self.common);
        activity.end_if_forgotten();
        activity.note_eviction(before.keeps > 0);
        let after = activity.share();
        self.total = self.total.with(after).without(before);
        self.common.lookups = self.total.lookups;
        if before.due != after.due {
            if let Some(due) = before.due {
                self.due.remove(&(due, activity.number()));
            }
            if let Some(due) = after.due {
                self.due.insert((due, activity.number()), isolation.clone());
            }
        }
        self.fetching.set(isolation, activity.wants_slot());
        self.evaluating.set(isolation, activity.wants_evaluation());
        if activity.is_over() {
            if activity.is_evicted() {
                self.forgotten.push(isolation.clone());
            }
            self.activities.pop(isolation);
        }
        Some(result)
    }

    /// Queries have been answered.
    fn given(&mut self, answers: Answers) -> Answers {
        for (ticket, _) in &answers {
            self.tickets.remove(ticket);
        }
        answers
    }

    /// Drops what is kept until the bounds hold.
    fn evict(&mut self) {
        let limits = self.common.limits.cache;
        loop {
            let has_too_many = self.total.keeps > limits.isolations;
            if !has_too_many && self.total.bytes <= limits.bytes {
                return;
            }
            let Some((isolation, activity)) = self.activities.peek_lru() else {
                return;
            };
            let isolation = isolation.clone();
            if activity.share().keeps == 0 {
                // Not to be looked at again before it has kept something.
                self.activities.promote(&isolation);
                continue;
            }
            self.with(&isolation, |activity, _| match has_too_many {
                true => activity.drop_kept(),
                false => activity.drop_oldest(),
            });
        }
    }
}

#[cfg(test)]
mod tests;
