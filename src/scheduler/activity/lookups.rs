//! What is asked for an activity: each name once, for all queries that ask it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::{Activity, Answers, Common, FetchId, LookupId, Ticket, Timer, fetches};
use crate::isolation::IsolationId;
use crate::policy::{Evaluation, Query, Step, Verdict};
use crate::snapshot::{FetchError, FetchErrorKind, Key, Snapshot};

/// A lookup to be evaluated, outside the lock.
#[derive(Debug)]
pub struct Task {
    lookup: LookupId,
    isolation: IsolationId,
    /// What is asked, and what is known.
    pub evaluation: Evaluation,
}

impl Task {
    /// On whose behalf.
    pub fn isolation(&self) -> &IsolationId {
        &self.isolation
    }
}

/// What is asked, for all queries of the same name and mode.
#[derive(Debug)]
pub(super) struct Lookup {
    query: Query,
    /// Away while the lookup is being evaluated.
    pub evaluation: Option<Evaluation>,
    /// Whether it waits for its evaluation.
    is_ready: bool,
    /// The queries that wait for it, and when each is to be answered.
    pub waiters: Vec<(Ticket, Instant)>,
    /// Fetches that it waits for.
    pub fetches: BTreeSet<FetchId>,
    /// Whether a query's deadline passed, so that it may end unwatched.
    is_outlived: bool,
    pub gives_up: Instant,
}

impl Activity {
    /// Takes a query that is to be answered by `deadline`.
    pub fn ask(
        &mut self,
        ticket: Ticket,
        query: Query,
        deadline: Instant,
        now: Instant,
        common: &mut Common,
    ) {
        let gives_up = deadline + common.limits.background;
        self.timers.insert((deadline, Timer::Deadline(ticket)));
        if let Some(id) = self.lookup_of.get(&query).copied()
            && let Some(lookup) = self.lookups.get_mut(&id)
        {
            lookup.waiters.push((ticket, deadline));
            self.timers.remove(&(lookup.gives_up, Timer::GiveUp(id)));
            lookup.gives_up = lookup.gives_up.max(gives_up);
            self.timers.insert((lookup.gives_up, Timer::GiveUp(id)));
            self.tickets.insert(ticket, id);
            // While its first query waits, a slow answer is only slow.
            if lookup.is_outlived {
                for fetch in lookup.fetches.clone() {
                    self.repeat_if_lost(fetch, now, common);
                }
            }
            return;
        }
        let id = common.number();
        // Nothing can be said before that is known, so there is nothing to
        // evaluate yet.
        let first = query.key().map(Key::Name);
        let snapshot =
            Snapshot::new(self.isolation.clone()).following_delegations(common.follows_delegations);
        let lookup = Lookup {
            query: query.clone(),
            evaluation: Some(Evaluation::new(query.clone(), snapshot)),
            is_ready: false,
            waiters: vec![(ticket, deadline)],
            fetches: BTreeSet::new(),
            is_outlived: false,
            gives_up,
        };
        self.tickets.insert(ticket, id);
        self.timers.insert((gives_up, Timer::GiveUp(id)));
        self.lookups.insert(id, lookup);
        self.lookup_of.insert(query, id);
        self.supply_or_fetch(id, first.into_iter().collect(), now, common);
    }

    /// The client is no longer interested.
    pub fn cancel(&mut self, ticket: Ticket, common: &Common) {
        if let Some(id) = self.release(ticket) {
            self.abandon_if_idle(id, common);
        }
    }

    /// Whether a lookup may be evaluated.
    pub fn wants_evaluation(&self) -> bool {
        !self.is_evaluating && !self.ready.is_empty()
    }

    /// The next lookup to evaluate.
    pub fn next_task(&mut self) -> Option<Task> {
        let id = self.ready.pop_front()?;
        let lookup = self.lookups.get_mut(&id)?;
        let evaluation = lookup.evaluation.take()?;
        lookup.is_ready = false;
        self.is_evaluating = true;
        Some(Task {
            lookup: id,
            isolation: self.isolation.clone(),
            evaluation,
        })
    }

    /// A lookup was evaluated.
    pub fn evaluated(
        &mut self,
        task: Task,
        step: Step,
        now: Instant,
        common: &mut Common,
    ) -> Answers {
        self.is_evaluating = false;
        let id = task.lookup;
        let Some(lookup) = self.lookups.get_mut(&id) else {
            return Answers::new();
        };
        match step {
            Step::Done(verdict) => {
                let answers = self.finish(id, &verdict);
                self.keep_answer(&task.evaluation, verdict, now, common);
                answers
            }
            Step::Need(keys) => {
                lookup.evaluation = Some(task.evaluation);
                self.supply_or_fetch(id, keys, now, common);
                Answers::new()
            }
        }
    }

    /// Lets the time pass: deadlines, pauses and the end of lookups.
    pub fn tick(&mut self, now: Instant, common: &Common) -> Answers {
        let mut answers = Answers::new();
        while let Some(&(due, timer)) = self.timers.first() {
            if due > now {
                break;
            }
            self.timers.pop_first();
            match timer {
                Timer::Deadline(ticket) => answers.extend(self.expire(ticket, common)),
                Timer::GiveUp(id) => {
                    if self.lookups.get(&id).is_some_and(|l| l.waiters.is_empty()) {
                        self.abandon(id);
                    }
                }
                Timer::Retry(id) => self.retry(id),
            }
        }
        answers
    }

    /// Lets a lookup be evaluated if all that it needs is known; otherwise it
    /// waits for what has to be fetched.
    fn supply_or_fetch(
        &mut self,
        id: LookupId,
        keys: BTreeSet<Key>,
        now: Instant,
        common: &mut Common,
    ) {
        let Some(lookup) = self.lookups.get_mut(&id) else {
            return;
        };
        let mut missing = Vec::new();
        for key in keys {
            match (&mut lookup.evaluation, self.holdings.value(&key, now)) {
                (Some(evaluation), Some(finding)) => {
                    evaluation.learn(key, Ok(finding.clone()));
                }
                _ => missing.push(key),
            }
        }
        if missing.is_empty() {
            self.make_ready(id);
            return;
        }
        let fetches: BTreeSet<FetchId> = missing
            .into_iter()
            .map(|key| self.join(id, key, common))
            .collect();
        if let Some(lookup) = self.lookups.get_mut(&id) {
            lookup.fetches = fetches;
        }
    }

    /// Queues a lookup for its evaluation.
    pub(super) fn make_ready(&mut self, id: LookupId) {
        if let Some(lookup) = self.lookups.get_mut(&id)
            && lookup.evaluation.is_some()
            && !lookup.is_ready
        {
            lookup.is_ready = true;
            self.ready.push_back(id);
        }
    }

    /// Ends a lookup with a verdict.
    fn finish(&mut self, id: LookupId, verdict: &Verdict) -> Answers {
        let Some(lookup) = self.lookups.get(&id) else {
            return Answers::new();
        };
        let tickets: Vec<_> = lookup.waiters.iter().map(|(ticket, _)| *ticket).collect();
        for ticket in &tickets {
            self.release(*ticket);
        }
        self.abandon(id);
        let answers = tickets.into_iter().map(|ticket| (ticket, verdict.clone()));
        answers.collect()
    }

    /// Takes a ticket out of everything. Returns its lookup.
    fn release(&mut self, ticket: Ticket) -> Option<LookupId> {
        let id = self.tickets.remove(&ticket)?;
        let lookup = self.lookups.get_mut(&id)?;
        let at = lookup.waiters.iter().position(|(one, _)| *one == ticket)?;
        let (_, deadline) = lookup.waiters.remove(at);
        self.timers.remove(&(deadline, Timer::Deadline(ticket)));
        Some(id)
    }

    /// A ticket's deadline has come.
    fn expire(&mut self, ticket: Ticket, common: &Common) -> Option<(Ticket, Verdict)> {
        let id = self.release(ticket)?;
        let lookup = self.lookups.get_mut(&id)?;
        lookup.is_outlived = true;
        let mut fetches = lookup.fetches.iter().filter_map(|id| self.fetches.get(id));
        let failed = fetches.find_map(|fetch| fetch.last.clone());
        let failure = failed.unwrap_or_else(|| {
            let message: Arc<str> = Arc::from("no answer came in time");
            FetchError::new(FetchErrorKind::TimedOut, message)
        });
        self.abandon_if_idle(id, common);
        Some((ticket, Verdict::Unknown(failure)))
    }

    /// Removes a lookup that no query waits for. It goes on for nobody only if
    /// a query's deadline has passed and a request is under way; there are no
    /// more of these than there may be queries.
    fn abandon_if_idle(&mut self, id: LookupId, common: &Common) {
        let Some(lookup) = self.lookups.get(&id) else {
            return;
        };
        let mut fetches = lookup.fetches.iter().filter_map(|id| self.fetches.get(id));
        let goes_on = lookup.is_outlived
            && fetches.any(fetches::Fetch::is_running)
            && common.lookups <= common.limits.queries;
        if lookup.waiters.is_empty() && !goes_on {
            self.abandon(id);
        }
    }

    /// Removes a lookup, and the fetches that only it waited for.
    pub(super) fn abandon(&mut self, id: LookupId) {
        let Some(lookup) = self.lookups.remove(&id) else {
            return;
        };
        self.timers.remove(&(lookup.gives_up, Timer::GiveUp(id)));
        if lookup.is_ready {
            self.ready.retain(|ready| *ready != id);
        }
        self.lookup_of.remove(&lookup.query);
        for fetch in lookup.fetches {
            self.leave(id, fetch);
        }
    }
}
