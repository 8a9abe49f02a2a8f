//! What the events of the scheduler have in common: who waits for which lookup,
//! which lookup for which fetch, and how each of them ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use crate::isolation::IsolationId;
use crate::resolve::Verdict;
use crate::snapshot::{Entry, FailureKind, FetchFailure, NameKey};

use super::{Core, Effects, Fetch, FetchId, LookupId, SUSPECT, State, Ticket, Timer};

impl Core {
    pub(super) fn fresh(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Of ids that lost their cache, those that nothing is under way for.
    pub(super) fn idle(&self, ids: Vec<IsolationId>) -> Vec<IsolationId> {
        ids.into_iter()
            .filter(|id| {
                let is_busy = self.rota.is_busy(id) || self.evaluations.is_busy(id);
                !is_busy && !self.queries_of.contains_key(id)
            })
            .collect()
    }

    /// Lets a lookup be evaluated if all that it needs is known; otherwise it
    /// waits for what has to be fetched.
    pub(super) fn supply_or_fetch(&mut self, id: LookupId, keys: BTreeSet<NameKey>, now: Instant) {
        let Some(lookup) = self.lookups.get_mut(&id) else {
            return;
        };
        let isolation = lookup.isolation.clone();
        let mut missing = Vec::new();
        for key in keys {
            match (
                &mut lookup.evaluation,
                self.cache.get(&isolation, &key, now),
            ) {
                (Some(evaluation), Some(fetched)) => evaluation.learn(key, Entry::Known(fetched)),
                _ => missing.push(key),
            }
        }
        if missing.is_empty() {
            self.ready(id);
            return;
        }
        let fetches = missing
            .into_iter()
            .map(|key| self.join(id, &isolation, key));
        let fetches: BTreeSet<FetchId> = fetches.collect();
        let begun = fetches
            .iter()
            .filter_map(|id| self.fetches.get(id))
            .any(|fetch| fetch.attempts > 0 || matches!(fetch.state, State::Running { .. }));
        if let Some(lookup) = self.lookups.get_mut(&id) {
            lookup.begun |= begun;
            lookup.fetches = fetches;
            if lookup.waiters.is_empty() && !lookup.begun {
                self.abandon(id);
            }
        }
    }

    /// Queues a lookup for its evaluation.
    fn ready(&mut self, id: LookupId) {
        if let Some(lookup) = self.lookups.get_mut(&id)
            && lookup.evaluation.is_some()
            && !lookup.ready
        {
            lookup.ready = true;
            self.evaluations.queue(id, &lookup.isolation);
        }
    }

    /// Lets a lookup wait for a fetch, which is made if there is none.
    pub(super) fn join(
        &mut self,
        lookup: LookupId,
        isolation: &IsolationId,
        key: NameKey,
    ) -> FetchId {
        let name = (isolation.clone(), key);
        if let Some(id) = self.fetch_of.get(&name).copied()
            && let Some(fetch) = self.fetches.get_mut(&id)
        {
            fetch.lookups.insert(lookup);
            return id;
        }
        let id = self.fresh();
        let fetch = Fetch {
            isolation: isolation.clone(),
            key: name.1.clone(),
            lookups: BTreeSet::from([lookup]),
            state: State::Queued,
            attempts: 0,
            last: None,
        };
        self.fetches.insert(id, fetch);
        self.fetch_of.insert(name, id);
        self.rota.queue(id, isolation);
        id
    }

    /// Makes a second request for a name whose first one has been under way for
    /// suspiciously long. The first keeps its slot until it ends, and what it
    /// brings is taken all the same.
    pub(super) fn repeat_if_lost(&mut self, id: FetchId, now: Instant) {
        let Some(fetch) = self.fetches.get_mut(&id) else {
            return;
        };
        match &fetch.state {
            State::Running { since, cancel }
                if now.saturating_duration_since(*since) >= SUSPECT =>
            {
                self.lost.insert(id, cancel.clone());
            }
            _ => return,
        }
        fetch.state = State::Queued;
        let (isolation, key) = (fetch.isolation.clone(), fetch.key.clone());
        let Some(mut fetch) = self.fetches.remove(&id) else {
            return;
        };
        let second = self.fresh();
        fetch.attempts = fetch.attempts.saturating_add(1);
        for lookup in &fetch.lookups {
            if let Some(lookup) = self.lookups.get_mut(lookup) {
                lookup.fetches.remove(&id);
                lookup.fetches.insert(second);
            }
        }
        self.fetches.insert(second, fetch);
        self.rota.queue(second, &isolation);
        self.fetch_of.insert((isolation, key), second);
    }

    /// Gives what a fetch brought to the lookups that wait for it.
    pub(super) fn supply(&mut self, id: FetchId, key: &NameKey, entry: &Entry) {
        let Some(fetch) = self.detach(id) else {
            return;
        };
        for waiting in fetch.lookups {
            let Some(lookup) = self.lookups.get_mut(&waiting) else {
                continue;
            };
            lookup.fetches.remove(&id);
            if let Some(evaluation) = &mut lookup.evaluation {
                evaluation.learn(key.clone(), entry.clone());
            }
            // A failure that is not tried again decides the query, whatever
            // else is still missing.
            if lookup.fetches.is_empty() || matches!(entry, Entry::Failed(_)) {
                self.ready(waiting);
            }
        }
    }

    /// Ends a lookup with a verdict.
    pub(super) fn finish(&mut self, id: LookupId, verdict: &Verdict, effects: &mut Effects) {
        let waiters = match self.lookups.get(&id) {
            Some(lookup) => lookup.waiters.clone(),
            None => return,
        };
        for ticket in waiters {
            self.release(ticket);
            effects.answers.push((ticket, verdict.clone()));
        }
        self.abandon(id);
    }

    /// Takes a ticket out of everything. Returns its lookup.
    pub(super) fn release(&mut self, ticket: Ticket) -> Option<LookupId> {
        let (id, deadline) = self.tickets.remove(&ticket)?;
        self.timers.remove(&(deadline, Timer::Deadline(ticket)));
        let lookup = self.lookups.get_mut(&id)?;
        lookup.waiters.retain(|waiter| *waiter != ticket);
        if let Some(count) = self.queries_of.get_mut(&lookup.isolation) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.queries_of.remove(&lookup.isolation);
            }
        }
        Some(id)
    }

    /// A ticket's deadline has come.
    pub(super) fn expire(&mut self, ticket: Ticket, effects: &mut Effects) {
        let Some(id) = self.release(ticket) else {
            return;
        };
        let Some(lookup) = self.lookups.get_mut(&id) else {
            return;
        };
        let failed = lookup
            .fetches
            .iter()
            .find_map(|id| self.fetches.get(id)?.last.clone());
        let failure = failed.unwrap_or_else(|| {
            let message: Arc<str> = Arc::from("no answer came in time");
            FetchFailure::new(FailureKind::TimedOut, message)
        });
        effects.answers.push((ticket, Verdict::Unknown(failure)));
        lookup.outlived = true;
        // Only what is under way goes on for nobody; there are no more of these
        // than there may be queries.
        let under_way = lookup.fetches.iter().any(|id| {
            let fetch = self.fetches.get(id);
            fetch.is_some_and(|fetch| matches!(fetch.state, State::Running { .. }))
        });
        let goes_on = under_way && self.lookups.len() <= self.limits.queries;
        if self.lookups.get(&id).is_some_and(|l| l.waiters.is_empty()) && !goes_on {
            self.abandon(id);
        }
    }

    /// Removes a lookup, and the fetches that only it waited for.
    pub(super) fn abandon(&mut self, id: LookupId) {
        let Some(lookup) = self.lookups.remove(&id) else {
            return;
        };
        self.timers.remove(&(lookup.give_up, Timer::GiveUp(id)));
        if lookup.ready {
            self.evaluations.unqueue(id, &lookup.isolation);
        }
        self.lookup_of.remove(&(lookup.isolation, lookup.query));
        for fetch_id in lookup.fetches {
            let Some(fetch) = self.fetches.get_mut(&fetch_id) else {
                continue;
            };
            fetch.lookups.remove(&id);
            if !fetch.lookups.is_empty() {
                continue;
            }
            self.detach(fetch_id);
        }
    }

    /// Forgets a fetch. One under way cannot be called back: it is asked to
    /// stop, ends when it notices, and what it brings all the same is kept.
    pub(super) fn detach(&mut self, id: FetchId) -> Option<Fetch> {
        let fetch = self.fetches.remove(&id)?;
        match &fetch.state {
            State::Running { cancel, .. } => cancel.set(),
            State::Queued | State::Resting => self.rota.unqueue(id, &fetch.isolation),
        }
        let name = (fetch.isolation.clone(), fetch.key.clone());
        self.fetch_of.remove(&name);
        Some(fetch)
    }
}
