//! What is being fetched for an activity: each name once, for all lookups that
//! need it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{Activity, Common, FetchId, LookupId, Timer};
use crate::isolation::IsolationId;
use crate::scheduler::upstreams::FetchReply;
use crate::snapshot::{FetchError, Finding, Key};
use crate::source::{Bounds, Cancel};

/// The first pause before a failed fetch is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// After this time a request may have got lost with its connection. If the
/// client then asks again, so do we, while the first request goes on.
const SUSPECT: Duration = Duration::from_secs(3);

/// A fetch to be carried out.
#[derive(Debug)]
pub struct Job {
    id: FetchId,
    epoch: u64,
    /// On whose behalf.
    pub isolation: IsolationId,
    /// What for.
    pub key: Key,
    /// How long it may take.
    pub limit: Bounds,
}

impl Job {
    /// The number of the fetch, unique in the life of the process.
    pub fn number(&self) -> u64 {
        self.id
    }
}

#[derive(Debug)]
pub(super) struct Fetch {
    key: Key,
    lookups: BTreeSet<LookupId>,
    progress: Progress,
    attempts: u32,
    /// Why the last attempt failed.
    pub last: Option<FetchError>,
}

#[derive(Debug)]
enum Progress {
    /// It waits for a slot.
    Waiting,
    Running {
        cancel: Cancel,
        since: Instant,
    },
    /// It has failed, and pauses.
    Resting,
}

impl Fetch {
    pub fn is_running(&self) -> bool {
        matches!(self.progress, Progress::Running { .. })
    }
}

impl Activity {
    /// Whether a fetch waits for a slot.
    pub fn wants_slot(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether it has as many slots as one activity may have.
    pub fn is_full(&self, common: &Common) -> bool {
        self.running.len() >= common.limits.slots_per_isolation
    }

    /// Whether a query waits for a fetch.
    pub fn is_watched(&self, fetch: FetchId) -> bool {
        self.fetches.get(&fetch).is_some_and(|fetch| {
            let mut lookups = fetch.lookups.iter().filter_map(|id| self.lookups.get(id));
            lookups.any(|lookup| !lookup.waiters.is_empty())
        })
    }

    /// The next fetch that waits for a slot and that a query waits for, or does
    /// not.
    pub fn next_waiting(&self, is_watched: bool) -> Option<FetchId> {
        let mut waiting = self.waiting.iter().copied();
        waiting.find(|fetch| self.is_watched(*fetch) == is_watched)
    }

    /// A fetch that has a slot though no query waits for it.
    pub fn unwatched(&self) -> Option<FetchId> {
        let mut running = self.running.iter().copied();
        running.find(|fetch| !self.is_watched(*fetch))
    }

    /// Takes the slot of a fetch. It cannot be called back: it is asked to
    /// stop, ends when it notices, and what it brings all the same is kept.
    pub fn yield_slot(&mut self, id: FetchId) {
        if self.running.remove(&id) {
            self.yielded.insert(id);
        }
        if let Some(cancel) = self.lost.remove(&id) {
            cancel.set();
        }
        if let Some(fetch) = self.detach(id) {
            for lookup in fetch.lookups {
                self.abandon(lookup);
            }
        }
    }

    /// Begins a fetch that waits for a slot, and now has one.
    pub fn begin(&mut self, id: FetchId, now: Instant) -> Option<Job> {
        self.waiting.retain(|waiting| *waiting != id);
        let fetch = self.fetches.get_mut(&id)?;
        self.running.insert(id);
        let cancel = Cancel::new();
        fetch.progress = Progress::Running {
            cancel: cancel.clone(),
            since: now,
        };
        // A waiting fetch has lookups; each knows how long it may go on.
        let mut deadline = now;
        let mut due: Option<Instant> = None;
        for lookup in &fetch.lookups {
            if let Some(lookup) = self.lookups.get(lookup) {
                deadline = deadline.max(lookup.gives_up);
                let dues = lookup.waiters.iter().map(|(_, due)| *due);
                due = due.into_iter().chain(dues).min();
            }
        }
        let limit = Bounds {
            // Nobody waits for what goes on for nobody.
            due: due.unwrap_or(deadline),
            deadline,
            cancel,
        };
        Some(Job {
            id,
            epoch: self.epoch,
            isolation: self.isolation.clone(),
            key: fetch.key.clone(),
            limit,
        })
    }

    /// A fetch has ended. `pause_factor` between 0.5 and 1.0 spreads the
    /// attempts of many fetches.
    pub fn fetched(
        &mut self,
        job: Job,
        result: Result<FetchReply, FetchError>,
        pause_factor: f64,
        now: Instant,
        common: &Common,
    ) {
        self.running.remove(&job.id);
        self.yielded.remove(&job.id);
        self.lost.remove(&job.id);
        let result = match result {
            Ok(reply) => {
                self.keep(&job, &reply, now, common);
                Ok(reply.finding)
            }
            Err(failure) if failure.kind.is_retried() => {
                return self.failed(job.id, failure, pause_factor, now);
            }
            Err(failure) => Err(failure),
        };
        // A request that was thought lost supplies the one made for it.
        let id = match self.fetch_of.get(&job.key) {
            Some(second) if result.is_ok() => *second,
            _ => job.id,
        };
        self.supply(id, &job.key, &result);
    }

    fn keep(&mut self, job: &Job, reply: &FetchReply, now: Instant, common: &Common) {
        if job.epoch == self.epoch && !self.is_forgotten {
            let ttl = common.limits.ttl(&reply.finding);
            let ttl = reply.keep_at_most.map_or(ttl, |most| ttl.min(most));
            let (finding, room) = (reply.finding.clone(), self.room(common));
            self.holdings.keep(job.key.clone(), finding, ttl, now, room);
        }
    }

    /// A fetch is tried again after a pause, as long as anybody waits.
    fn failed(&mut self, id: FetchId, failure: FetchError, pause_factor: f64, now: Instant) {
        let is_watched = self.is_watched(id);
        let Some(fetch) = self.fetches.get_mut(&id) else {
            return;
        };
        if !is_watched {
            for lookup in fetch.lookups.clone() {
                self.abandon(lookup);
            }
            return;
        }
        let pause = FIRST_PAUSE * 2u32.saturating_pow(fetch.attempts.min(16));
        let pause = pause
            .min(LONGEST_PAUSE)
            .mul_f64(pause_factor.clamp(0.5, 1.0));
        fetch.attempts = fetch.attempts.saturating_add(1);
        fetch.last = Some(failure);
        fetch.progress = Progress::Resting;
        self.timers.insert((now + pause, Timer::Retry(id)));
    }

    /// A pause is over.
    pub(super) fn retry(&mut self, id: FetchId) {
        if let Some(fetch) = self.fetches.get_mut(&id)
            && matches!(fetch.progress, Progress::Resting)
        {
            fetch.progress = Progress::Waiting;
            self.waiting.push_back(id);
        }
    }

    /// Lets a lookup wait for a fetch, which is made if there is none.
    pub(super) fn join(&mut self, lookup: LookupId, key: Key, common: &mut Common) -> FetchId {
        if let Some(id) = self.fetch_of.get(&key).copied()
            && let Some(fetch) = self.fetches.get_mut(&id)
        {
            fetch.lookups.insert(lookup);
            return id;
        }
        let id = common.number();
        let fetch = Fetch {
            key: key.clone(),
            lookups: BTreeSet::from([lookup]),
            progress: Progress::Waiting,
            attempts: 0,
            last: None,
        };
        self.fetches.insert(id, fetch);
        self.fetch_of.insert(key, id);
        self.waiting.push_back(id);
        id
    }

    /// A lookup waits for a fetch no more, which ends if no other does.
    pub(super) fn leave(&mut self, lookup: LookupId, id: FetchId) {
        if let Some(fetch) = self.fetches.get_mut(&id) {
            fetch.lookups.remove(&lookup);
            if fetch.lookups.is_empty() {
                self.detach(id);
            }
        }
    }

    /// Makes a second request for a name whose first one has been under way for
    /// suspiciously long. The first keeps its slot until it ends, and what it
    /// brings is taken all the same.
    pub(super) fn repeat_if_lost(&mut self, id: FetchId, now: Instant, common: &mut Common) {
        let Some(fetch) = self.fetches.get(&id) else {
            return;
        };
        let Progress::Running { since, cancel } = &fetch.progress else {
            return;
        };
        // Name servers are asked on several connections as it is.
        let is_delegated = matches!(fetch.key, Key::Delegated(_));
        if is_delegated || now.saturating_duration_since(*since) < SUSPECT {
            return;
        }
        self.lost.insert(id, cancel.clone());
        let Some(mut fetch) = self.fetches.remove(&id) else {
            return;
        };
        let second = common.number();
        fetch.progress = Progress::Waiting;
        fetch.attempts = fetch.attempts.saturating_add(1);
        for lookup in &fetch.lookups {
            if let Some(lookup) = self.lookups.get_mut(lookup) {
                lookup.fetches.remove(&id);
                lookup.fetches.insert(second);
            }
        }
        self.fetch_of.insert(fetch.key.clone(), second);
        self.fetches.insert(second, fetch);
        self.waiting.push_back(second);
    }

    /// Gives what a fetch brought to the lookups that wait for it.
    fn supply(&mut self, id: FetchId, key: &Key, result: &Result<Finding, FetchError>) {
        let Some(fetch) = self.detach(id) else {
            return;
        };
        for waiting in fetch.lookups {
            let Some(lookup) = self.lookups.get_mut(&waiting) else {
                continue;
            };
            lookup.fetches.remove(&id);
            if let Some(evaluation) = &mut lookup.evaluation {
                evaluation.learn(key.clone(), result.clone());
            }
            // A failure that is not tried again decides the query, whatever
            // else is still missing.
            if lookup.fetches.is_empty() || result.is_err() {
                self.make_ready(waiting);
            }
        }
    }

    /// Forgets a fetch. One under way is asked to stop.
    fn detach(&mut self, id: FetchId) -> Option<Fetch> {
        let fetch = self.fetches.remove(&id)?;
        match &fetch.progress {
            Progress::Running { cancel, .. } => cancel.set(),
            Progress::Waiting => self.waiting.retain(|waiting| *waiting != id),
            Progress::Resting => {}
        }
        self.fetch_of.remove(&fetch.key);
        Some(fetch)
    }
}
