//! Asking a second operator, when only one has answered in time
//! (`spec/electrum.md`, 4.10).
//!
//! A value that one operator alone has given is kept for a minute. Meanwhile the
//! isolation id's other slot is asked again in the background, a few times at
//! growing intervals, until another operator has answered. The result replaces the
//! value in the cache, if it is still there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::fetch::{Asking, Backend, Times, ask};
use super::verdict::{NameStatus, judge};
use crate::isolation::IsolationId;
use crate::platform;
use crate::snapshot::{Fetched, NameKey};
use crate::source::transport::lock;
use crate::source::{Bounds, Cancel, Learned};

/// How long to keep asking: no longer than the value is kept.
const RETRY_PERIOD: Duration = Duration::from_secs(60);

/// The mean pause before the first attempt; it doubles after each failure. By
/// then the first operator's value is in the cache.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// How long one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);

/// The most names of one isolation id that are asked for at a time.
const MAX_NAMES: usize = 8;

/// The most isolation ids with such names: each has a thread.
const MAX_IDS: usize = 32;

/// A value that one operator alone has given.
#[derive(Debug, Clone)]
pub(super) struct SingleAnswer {
    pub key: NameKey,
    pub status: NameStatus,
    pub operator: String,
}

/// The values for which a second operator is still to be asked.
#[derive(Default)]
pub(super) struct SecondOpinions {
    ids: Mutex<HashMap<IsolationId, Queue>>,
    /// Receives what the second operator says.
    learned: OnceLock<Learned>,
}

/// The values of one isolation id.
#[derive(Debug, Default)]
struct Queue {
    /// With the time at which each is given up, in the order in which they are
    /// asked for.
    names: Vec<(SingleAnswer, Instant)>,
    /// Ends the thread that asks.
    cancel: Cancel,
}

impl SecondOpinions {
    /// Hands what second operators say to `learned`. Without it none is asked.
    pub fn on_learned(&self, learned: Learned) {
        let _ = self.learned.set(learned);
    }

    /// Asks a second operator in the background.
    pub fn ask(
        self: &Arc<Self>,
        backend: &Arc<Backend>,
        isolation: &IsolationId,
        first: SingleAnswer,
    ) {
        if self.learned.get().is_none() {
            return;
        }
        let Some(cancel) = self.add(isolation, first, Instant::now()) else {
            return;
        };
        let (this, backend, id) = (Arc::clone(self), Arc::clone(backend), isolation.clone());
        let spawned =
            platform::thread("second").spawn(move || this.keep_asking(&backend, &id, &cancel));
        if spawned.is_err() {
            // The value soon leaves the cache anyway, and the next query asks both.
            self.forget(isolation);
        }
    }

    /// Asks until the isolation id's queue is empty.
    fn keep_asking(&self, backend: &Backend, isolation: &IsolationId, cancel: &Cancel) {
        let mut pause = FIRST_PAUSE;
        loop {
            cancel.sleep_until(Instant::now() + pause.mul_f64(rand::random_range(0.5..1.5)));
            if cancel.is_set() {
                return;
            }
            let Some((first, until)) = self.next(isolation, Instant::now()) else {
                return;
            };
            let Some(slot) = backend.pool.slot_beside(isolation, &first.operator) else {
                // The id has lost its connections; none is opened for this.
                self.forget(isolation);
                return;
            };
            match attempt(backend, isolation, slot, &first, until, cancel) {
                Some(status) => {
                    self.done(isolation, &first.key);
                    if let Some(learned) = self.learned.get() {
                        learned(isolation, first.key, Fetched::from(status));
                    }
                    pause = FIRST_PAUSE;
                }
                None => pause *= 2,
            }
        }
    }

    /// Adds a value, if there is room. If the isolation id has no thread yet,
    /// returns the handle that cancels the one to be started.
    fn add(&self, isolation: &IsolationId, first: SingleAnswer, now: Instant) -> Option<Cancel> {
        let mut ids = lock(&self.ids);
        let is_new = !ids.contains_key(isolation);
        if is_new && ids.len() >= MAX_IDS {
            return None;
        }
        let queue = ids.entry(isolation.clone()).or_default();
        queue.names.retain(|(other, _)| other.key != first.key);
        if queue.names.len() < MAX_NAMES {
            queue.names.push((first, now + RETRY_PERIOD));
        }
        is_new.then(|| queue.cancel.clone())
    }

    /// The value to be asked for next, which moves to the end of the queue. If
    /// there is none, removes the isolation id.
    fn next(&self, isolation: &IsolationId, now: Instant) -> Option<(SingleAnswer, Instant)> {
        let mut ids = lock(&self.ids);
        let queue = ids.get_mut(isolation)?;
        queue.names.retain(|(_, until)| *until > now);
        if queue.names.is_empty() {
            ids.remove(isolation);
            return None;
        }
        queue.names.rotate_left(1);
        queue.names.last().cloned()
    }

    /// A second operator has answered.
    fn done(&self, isolation: &IsolationId, key: &NameKey) {
        if let Some(queue) = lock(&self.ids).get_mut(isolation) {
            queue.names.retain(|(first, _)| first.key != *key);
        }
    }

    /// Stops asking for an isolation id.
    pub fn forget(&self, isolation: &IsolationId) {
        if let Some(queue) = lock(&self.ids).remove(isolation) {
            queue.cancel.set();
        }
    }

    /// Stops asking for all isolation ids.
    pub fn end(&self) {
        lock(&self.ids)
            .drain()
            .for_each(|(_, queue)| queue.cancel.set());
    }
}

/// Asks once. The result of both operators' answers, if the second answers.
fn attempt(
    backend: &Backend,
    isolation: &IsolationId,
    slot: usize,
    first: &SingleAnswer,
    until: Instant,
    cancel: &Cancel,
) -> Option<NameStatus> {
    let now = Instant::now();
    let deadline = until.min(now + ATTEMPT_TIMEOUT);
    let bounds = Bounds {
        due: deadline,
        deadline,
        cancel: cancel.clone(),
    };
    let times = Times::new(now, &bounds);
    let asking = Asking {
        attempts: 1,
        times,
        bounds: &bounds,
        overdue: &Cancel::new(),
    };
    let said = ask(backend, isolation, slot, &first.key, &asking);
    let (second, operator) = said.ok()?;
    (operator != first.operator).then(|| judge(first.status.clone(), second))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(name: &str) -> SingleAnswer {
        SingleAnswer {
            key: NameKey::new(name).unwrap(),
            status: NameStatus::NeverRegistered,
            operator: "a".to_owned(),
        }
    }

    fn id(text: &str) -> IsolationId {
        IsolationId::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn there_is_one_thread_for_an_id_and_a_bound_on_both() {
        let (waiting, now) = (SecondOpinions::default(), Instant::now());
        let is_new = |isolation: &str, name: &str| {
            let cancel = waiting.add(&id(isolation), first(name), now);
            cancel.is_some()
        };
        assert!(is_new("0", "d/0"));
        for name in 0..2 * MAX_NAMES {
            assert!(!is_new("0", &format!("d/{name}")));
        }
        let names = || {
            lock(&waiting.ids)
                .get(&id("0"))
                .map(|queue| queue.names.len())
        };
        assert_eq!(names(), Some(MAX_NAMES));
        for isolation in 1..MAX_IDS {
            assert!(is_new(&isolation.to_string(), "d/0"));
        }
        assert!(!is_new("more", "d/0"));
        waiting.forget(&id("0"));
        assert!(is_new("more", "d/0"));
        waiting.end();
        assert!(lock(&waiting.ids).is_empty());
    }

    #[test]
    fn names_are_asked_for_in_turn_until_they_are_answered_or_over() {
        let (waiting, now) = (SecondOpinions::default(), Instant::now());
        let cancel = waiting.add(&id("x"), first("d/a"), now).unwrap();
        let later = now + RETRY_PERIOD / 2;
        waiting.add(&id("x"), first("d/b"), later);
        let next = |now| {
            let next = waiting.next(&id("x"), now);
            next.map(|(first, _)| first.key.as_str().to_owned())
        };
        let names = [(); 3].map(|()| next(later).unwrap());
        assert_eq!(names, ["d/a", "d/b", "d/a"]);
        assert_eq!(next(now + RETRY_PERIOD).as_deref(), Some("d/b"));
        waiting.done(&id("x"), &NameKey::new("d/b").unwrap());
        assert_eq!(next(now + RETRY_PERIOD), None);
        assert!(lock(&waiting.ids).is_empty() && !cancel.is_set());
        let cancel = waiting.add(&id("x"), first("d/a"), now).unwrap();
        waiting.forget(&id("x"));
        assert!(cancel.is_set());
    }
}
