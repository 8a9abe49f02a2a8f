//! When a fetch begins, and what comes of its end.

use std::time::{Duration, Instant};

use crate::snapshot::{Entry, FetchFailure};
use crate::source::{Cancel, Heard, Limit};

use super::{Core, Effects, FetchId, Job, Lookup, State, Timer};

/// The first pause before a failed fetch is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

impl Core {
    /// The next fetch that may begin, if a slot is free or can be yielded.
    pub fn next_job(&mut self, now: Instant) -> Option<Job> {
        let (fetches, lookups) = (&self.fetches, &self.lookups);
        let is_live = |id: FetchId| {
            fetches.get(&id).is_some_and(|fetch| {
                let watched = |id| {
                    lookups
                        .get(id)
                        .is_some_and(|l: &Lookup| !l.waiters.is_empty())
                };
                fetch.lookups.iter().any(watched)
            })
        };
        let turn = self.rota.next(is_live)?;
        if let Some(yielded) = turn.yielded {
            if let Some(cancel) = self.lost.remove(&yielded) {
                cancel.set();
            }
            if let Some(fetch) = self.detach(yielded) {
                for lookup in fetch.lookups {
                    self.abandon(lookup);
                }
            }
        }
        let fetch = self.fetches.get_mut(&turn.fetch)?;
        let cancel = Cancel::new();
        fetch.state = State::Running {
            cancel: cancel.clone(),
            since: now,
        };
        // A queued fetch has lookups; each knows how long it may go on.
        let mut deadline = now;
        let mut due: Option<Instant> = None;
        for lookup in &fetch.lookups {
            if let Some(lookup) = self.lookups.get_mut(lookup) {
                lookup.begun = true;
                deadline = deadline.max(lookup.give_up);
                let waiters = lookup.waiters.iter();
                let dues = waiters.filter_map(|waiter| self.tickets.get(waiter));
                due = due.into_iter().chain(dues.map(|(_, due)| *due)).min();
            }
        }
        let limit = Limit {
            // Nobody waits for what goes on for nobody.
            due: due.unwrap_or(deadline),
            deadline,
            cancel,
        };
        Some(Job {
            id: turn.fetch,
            epoch: self.epoch,
            isolation: fetch.isolation.clone(),
            key: fetch.key.clone(),
            limit,
        })
    }

    /// A fetch has ended. `pause_factor` between 0.5 and 1.0 spreads the
    /// attempts of many fetches.
    pub fn fetched(
        &mut self,
        job: Job,
        result: Result<impl Into<Heard>, FetchFailure>,
        pause_factor: f64,
        now: Instant,
    ) -> Effects {
        let mut effects = Effects::default();
        let (result, keep_at_most) = match result.map(Into::into) {
            Ok(heard) => (Ok(heard.fetched), heard.keep_at_most),
            Err(failure) => (Err(failure), None),
        };
        self.rota.ended(job.id, &job.isolation);
        self.lost.remove(&job.id);
        if let Ok(fetched) = &result
            && job.epoch == self.epoch
        {
            let ttl = self.ttl(fetched);
            let ttl = keep_at_most.map_or(ttl, |most| ttl.min(most));
            let key = job.key.clone();
            let gone = self
                .cache
                .insert(&job.isolation, key, fetched.clone(), ttl, now);
            effects.forgotten = self.idle(gone);
        }
        let failure = match result {
            Err(failure) if failure.kind.is_retried() => failure,
            result => {
                let entry = match result {
                    Ok(fetched) => Entry::Known(fetched),
                    Err(failure) => Entry::Failed(failure),
                };
                // A request that was thought lost supplies the one made for it.
                let name = (job.isolation, job.key);
                let id = match self.fetch_of.get(&name) {
                    Some(second) if matches!(entry, Entry::Known(_)) => *second,
                    _ => job.id,
                };
                self.supply(id, &name.1, &entry);
                return effects;
            }
        };
        let Some(fetch) = self.fetches.get_mut(&job.id) else {
            return effects;
        };
        // Nobody waits, and it has failed: the next query tries again.
        if !fetch.lookups.iter().any(|id| {
            let lookup = self.lookups.get(id);
            lookup.is_some_and(|lookup| !lookup.waiters.is_empty())
        }) {
            for lookup in fetch.lookups.clone() {
                self.abandon(lookup);
            }
            return effects;
        }
        let pause = FIRST_PAUSE * 2u32.saturating_pow(fetch.attempts.min(16));
        let pause = pause
            .min(LONGEST_PAUSE)
            .mul_f64(pause_factor.clamp(0.5, 1.0));
        fetch.attempts = fetch.attempts.saturating_add(1);
        fetch.last = Some(failure);
        fetch.state = State::Resting;
        self.timers.insert((now + pause, Timer::Retry(job.id)));
        effects
    }
}
