//! Whose turn it is: slots for fetches, fair between isolation ids.
//!
//! Ids take turns, so that an id with a thousand fetches delays another id's
//! single one by no more than the slot that becomes free next.

use std::collections::{HashMap, VecDeque};

use crate::isolation::IsolationId;

use super::FetchId;
use super::ring::Ring;

/// Slots and the queues before them.
pub struct Rota {
    slots: usize,
    slots_per_isolation: usize,
    queues: HashMap<IsolationId, VecDeque<FetchId>>,
    /// The ids that have a queue.
    ring: Ring,
    running: HashMap<FetchId, IsolationId>,
    running_of: HashMap<IsolationId, usize>,
    /// Fetches that lost their slot and have not ended yet.
    yielded: HashMap<FetchId, IsolationId>,
}

/// A fetch that may begin.
#[derive(Debug, PartialEq, Eq)]
pub struct Turn {
    /// The fetch.
    pub fetch: FetchId,
    /// The fetch that loses its slot for it.
    pub yielded: Option<FetchId>,
}

impl Rota {
    /// Empty queues before free slots.
    pub fn new(slots: usize, slots_per_isolation: usize) -> Self {
        Self {
            slots,
            slots_per_isolation,
            queues: HashMap::new(),
            ring: Ring::default(),
            running: HashMap::new(),
            running_of: HashMap::new(),
            yielded: HashMap::new(),
        }
    }

    /// Puts a fetch at the end of its id's queue.
    pub fn queue(&mut self, fetch: FetchId, isolation: &IsolationId) {
        let queue = self.queues.entry(isolation.clone()).or_default();
        queue.push_back(fetch);
        self.ring.join(isolation);
    }

    /// Takes a fetch out of its id's queue.
    pub fn unqueue(&mut self, fetch: FetchId, isolation: &IsolationId) {
        if let Some(queue) = self.queues.get_mut(isolation) {
            queue.retain(|queued| *queued != fetch);
            if queue.is_empty() {
                self.queues.remove(isolation);
                self.ring.leave(isolation);
            }
        }
    }

    /// Takes the next fetch that may begin. Those that somebody waits for
    /// (`is_live`) go first, and may take the slot of one that nobody does.
    pub fn next(&mut self, is_live: impl Fn(FetchId) -> bool) -> Option<Turn> {
        if self.queues.is_empty() {
            return None;
        }
        // As many again as there are slots may run on without one; beyond
        // that everybody waits for a fetch to end.
        let may_yield = self.yielded.len() < self.slots;
        let full = self.running.len() >= self.slots;
        // With every slot taken, most calls end here: looking through all who
        // wait would take longer the more there are.
        if full && !(may_yield && self.running.keys().any(|fetch| !is_live(*fetch))) {
            return None;
        }
        for want_live in [true, false] {
            if full && !want_live {
                return None;
            }
            for _ in 0..self.ring.len() {
                let isolation = self.ring.pop()?;
                let turn = self.turn_of(&isolation, want_live, full, may_yield, &is_live);
                if self.queues.get(&isolation).is_some_and(|q| !q.is_empty()) {
                    self.ring.join(&isolation);
                } else {
                    self.queues.remove(&isolation);
                }
                if turn.is_some() {
                    return turn;
                }
            }
        }
        None
    }

    fn turn_of(
        &mut self,
        isolation: &IsolationId,
        want_live: bool,
        full: bool,
        may_yield: bool,
        is_live: &impl Fn(FetchId) -> bool,
    ) -> Option<Turn> {
        let queue = self.queues.get_mut(isolation)?;
        let at = queue
            .iter()
            .position(|fetch| is_live(*fetch) == want_live)?;
        let id_full =
            self.running_of.get(isolation).copied().unwrap_or(0) >= self.slots_per_isolation;
        let yielded = if full || id_full {
            if !want_live || !may_yield {
                return None;
            }
            // An id at its own bound must free a slot of its own.
            let (fetch, _) = self
                .running
                .iter()
                .filter(|(_, of)| !id_full || *of == isolation)
                .find(|(fetch, _)| !is_live(**fetch))?;
            Some(*fetch)
        } else {
            None
        };
        let fetch = queue.remove(at)?;
        if let Some(yielded) = yielded
            && let Some(of) = self.running.remove(&yielded)
        {
            self.leave(&of);
            self.yielded.insert(yielded, of);
        }
        self.running.insert(fetch, isolation.clone());
        *self.running_of.entry(isolation.clone()).or_default() += 1;
        Some(Turn { fetch, yielded })
    }

    /// A fetch has ended; its slot is free.
    pub fn ended(&mut self, fetch: FetchId, isolation: &IsolationId) {
        if self.running.remove(&fetch).is_some() {
            self.leave(isolation);
        } else {
            self.yielded.remove(&fetch);
        }
    }

    /// Fetches that have begun and not ended, with a slot or without.
    pub fn under_way(&self) -> usize {
        self.running.len() + self.yielded.len()
    }

    /// Whether a fetch of the id is under way.
    pub fn is_busy(&self, isolation: &IsolationId) -> bool {
        self.running_of.contains_key(isolation) || self.queues.contains_key(isolation)
    }

    /// Whether nothing is queued or under way.
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
            && self.ring.len() == 0
            && self.running.is_empty()
            && self.running_of.is_empty()
            && self.yielded.is_empty()
    }

    fn leave(&mut self, isolation: &IsolationId) {
        if let Some(count) = self.running_of.get_mut(isolation) {
            *count -= 1;
            if *count == 0 {
                self.running_of.remove(isolation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> IsolationId {
        IsolationId::parse(text.as_bytes()).unwrap()
    }

    fn begin(rota: &mut Rota) -> Option<FetchId> {
        rota.next(|_| true).map(|turn| turn.fetch)
    }

    #[test]
    fn ids_take_turns() {
        let mut rota = Rota::new(100, 100);
        for fetch in 0..50 {
            rota.queue(fetch, &id("many"));
        }
        rota.queue(99, &id("one"));
        assert_eq!(begin(&mut rota), Some(0));
        assert_eq!(begin(&mut rota), Some(99));
        assert_eq!(begin(&mut rota), Some(1));
    }

    #[test]
    fn slots_are_bounded_in_all_and_for_each_id() {
        let mut rota = Rota::new(3, 2);
        for fetch in 0..10 {
            rota.queue(fetch, &id("a"));
        }
        assert_eq!(begin(&mut rota), Some(0));
        assert_eq!(begin(&mut rota), Some(1));
        assert_eq!(begin(&mut rota), None);
        rota.queue(20, &id("b"));
        rota.queue(21, &id("b"));
        assert_eq!(begin(&mut rota), Some(20));
        assert_eq!(begin(&mut rota), None);
        rota.ended(1, &id("a"));
        // Both want the one slot; it is b's turn or a's, and only one begins.
        let next = begin(&mut rota);
        assert!(next == Some(2) || next == Some(21), "{next:?}");
        assert_eq!(begin(&mut rota), None);
    }

    #[test]
    fn what_nobody_waits_for_yields_its_slot() {
        let mut rota = Rota::new(1, 1);
        rota.queue(1, &id("a"));
        assert_eq!(begin(&mut rota), Some(1));
        rota.queue(2, &id("b"));
        let live = |fetch: FetchId| fetch != 1;
        assert_eq!(
            rota.next(live),
            Some(Turn {
                fetch: 2,
                yielded: Some(1)
            })
        );
        // As many may have yielded as there are slots, no more.
        rota.queue(3, &id("b"));
        assert_eq!(rota.next(|fetch| fetch == 3), None);
        rota.ended(1, &id("a"));
        assert_eq!(
            rota.next(|fetch| fetch == 3).map(|turn| turn.fetch),
            Some(3)
        );
        assert!(rota.is_busy(&id("b")));
    }

    #[test]
    fn background_begins_only_in_free_slots_and_after_the_live() {
        let mut rota = Rota::new(2, 2);
        rota.queue(1, &id("a"));
        rota.queue(2, &id("b"));
        let live = |fetch: FetchId| fetch == 2;
        assert_eq!(rota.next(live).map(|turn| turn.fetch), Some(2));
        assert_eq!(rota.next(live).map(|turn| turn.fetch), Some(1));
        rota.queue(3, &id("c"));
        assert_eq!(rota.next(live), None);
        rota.unqueue(3, &id("c"));
        assert!(!rota.is_busy(&id("c")));
    }
}
