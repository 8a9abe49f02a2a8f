//! Which lookup is evaluated next.
//!
//! An evaluation takes up to some milliseconds of a processor, as the owner of
//! the value chose. Ids take turns for them, and of one id only one is under
//! way, so that what one id is made to evaluate delays another's by no more
//! than the evaluation that ends next.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::isolation::IsolationId;

use super::LookupId;
use super::ring::Ring;

/// The lookups that wait for their evaluation, by isolation id.
pub struct Evaluations {
    slots: usize,
    queues: HashMap<IsolationId, VecDeque<LookupId>>,
    /// The ids that have a queue.
    ring: Ring,
    running: HashSet<IsolationId>,
}

impl Evaluations {
    /// Nothing to evaluate, and so many at once.
    pub fn new(slots: usize) -> Self {
        Self {
            slots,
            queues: HashMap::new(),
            ring: Ring::default(),
            running: HashSet::new(),
        }
    }

    /// Puts a lookup at the end of its id's queue.
    pub fn queue(&mut self, lookup: LookupId, isolation: &IsolationId) {
        let queue = self.queues.entry(isolation.clone()).or_default();
        queue.push_back(lookup);
        self.ring.join(isolation);
    }

    /// Takes a lookup out of its id's queue.
    pub fn unqueue(&mut self, lookup: LookupId, isolation: &IsolationId) {
        if let Some(queue) = self.queues.get_mut(isolation) {
            queue.retain(|queued| *queued != lookup);
            if queue.is_empty() {
                self.queues.remove(isolation);
                self.ring.leave(isolation);
            }
        }
    }

    /// The next lookup to evaluate, if one may be, and its id.
    pub fn next(&mut self) -> Option<(LookupId, IsolationId)> {
        if self.running.len() >= self.slots {
            return None;
        }
        // No more ids are passed over than there are slots.
        let is_free = |isolation: &&IsolationId| !self.running.contains(*isolation);
        let isolation = self.ring.iter().find(is_free)?.clone();
        self.ring.leave(&isolation);
        let queue = self.queues.get_mut(&isolation)?;
        let lookup = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&isolation);
        } else {
            self.ring.join(&isolation);
        }
        self.running.insert(isolation.clone());
        Some((lookup, isolation))
    }

    /// An id's evaluation has ended.
    pub fn ended(&mut self, isolation: &IsolationId) {
        self.running.remove(isolation);
    }

    /// Whether something of the id is evaluated or waits for it.
    pub fn is_busy(&self, isolation: &IsolationId) -> bool {
        self.running.contains(isolation) || self.queues.contains_key(isolation)
    }

    /// Whether nothing is evaluated or waits for it.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty() && self.queues.is_empty() && self.ring.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> IsolationId {
        IsolationId::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn ids_take_turns_and_have_one_each() {
        let mut evaluations = Evaluations::new(2);
        for lookup in 0..5 {
            evaluations.queue(lookup, &id("many"));
        }
        evaluations.queue(10, &id("one"));
        evaluations.queue(20, &id("two"));
        let mut next = |ended: Option<&str>| {
            if let Some(ended) = ended {
                evaluations.ended(&id(ended));
            }
            evaluations.next().map(|(lookup, _)| lookup)
        };
        assert_eq!(next(None), Some(0));
        assert_eq!(next(None), Some(10));
        assert_eq!(next(None), None, "both slots are taken");
        assert_eq!(next(Some("one")), Some(20), "not a second of the same id");
        assert_eq!(next(Some("many")), Some(1));
        assert_eq!(next(Some("two")), None);
        evaluations.ended(&id("many"));
        for lookup in 2..5 {
            evaluations.unqueue(lookup, &id("many"));
        }
        assert!(evaluations.is_empty());
    }
}
