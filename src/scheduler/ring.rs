//! Isolation ids in the order of their turns.

use std::collections::{BTreeMap, HashMap};

use crate::isolation::IsolationId;

/// A queue of isolation ids, each in it once. Leaving it costs as little as
/// joining it, so that it holds nothing for ids that no longer wait.
#[derive(Debug, Default)]
pub struct Ring {
    order: BTreeMap<u64, IsolationId>,
    turns: HashMap<IsolationId, u64>,
    last: u64,
}

impl Ring {
    /// Puts an id at the end, unless it is in the ring already.
    pub fn join(&mut self, isolation: &IsolationId) {
        if !self.turns.contains_key(isolation) {
            self.last += 1;
            self.order.insert(self.last, isolation.clone());
            self.turns.insert(isolation.clone(), self.last);
        }
    }

    /// Takes an id out.
    pub fn leave(&mut self, isolation: &IsolationId) {
        if let Some(turn) = self.turns.remove(isolation) {
            self.order.remove(&turn);
        }
    }

    /// Lets an id be in the ring, or not.
    pub fn set(&mut self, isolation: &IsolationId, is_in: bool) {
        if is_in {
            self.join(isolation);
        } else {
            self.leave(isolation);
        }
    }

    /// Takes out the id whose turn it is.
    pub fn pop(&mut self) -> Option<IsolationId> {
        let (_, isolation) = self.order.pop_first()?;
        self.turns.remove(&isolation);
        Some(isolation)
    }

    /// How many ids wait.
    pub fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> IsolationId {
        IsolationId::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn ids_take_turns_and_hold_nothing_after_they_left() {
        let mut ring = Ring::default();
        for name in ["a", "b", "c", "a"] {
            ring.join(&id(name));
        }
        assert_eq!(ring.len(), 3);
        ring.leave(&id("b"));
        ring.leave(&id("b"));
        assert_eq!(ring.len(), 2);
        assert_eq!(ring.pop(), Some(id("a")));
        ring.join(&id("a"));
        assert_eq!(ring.pop(), Some(id("c")));
        assert_eq!(ring.pop(), Some(id("a")));
        assert_eq!(ring.pop(), None);
        assert_eq!((ring.order.len(), ring.turns.len()), (0, 0));
    }
}
