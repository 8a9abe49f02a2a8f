//! Which streams were handled. Tor never uses an id twice, and an id that was
//! handled once is never acted upon again, whatever is said of it.

use std::collections::VecDeque;

/// How far back is remembered exactly. Ids are given to all connections of Tor,
/// and a client has two minutes between its connection and its request.
const WINDOW: u64 = 1 << 20;

const BITS: u64 = u64::BITS as u64;

/// A set of ids that forgets none: what is far behind the greatest counts as
/// handled.
#[derive(Debug, Default)]
pub struct Handled {
    /// The id of the first bit, a multiple of 64.
    first: u64,
    words: VecDeque<u64>,
}

impl Handled {
    /// Adds an id. Only ids of streams that exist may be added, as the set moves
    /// with them.
    pub fn insert(&mut self, id: u64) {
        if self.words.is_empty() {
            self.first = (id / BITS * BITS).saturating_sub(WINDOW / 2);
        }
        let Some(offset) = id.checked_sub(self.first) else {
            return;
        };
        let mut word = offset / BITS;
        let excess = word.saturating_sub(WINDOW / BITS - 1);
        if excess > 0 {
            let count = usize::try_from(excess).unwrap_or(usize::MAX);
            self.words.drain(..count.min(self.words.len()));
            self.first += excess * BITS;
            word -= excess;
        }
        let Ok(word) = usize::try_from(word) else {
            return;
        };
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        if let Some(bits) = self.words.get_mut(word) {
            *bits |= 1 << (id % BITS);
        }
    }

    /// Whether an id was handled.
    pub fn contains(&self, id: u64) -> bool {
        let Some(offset) = id.checked_sub(self.first) else {
            return !self.words.is_empty();
        };
        let word = usize::try_from(offset / BITS).ok();
        let bits = word.and_then(|word| self.words.get(word));
        bits.is_some_and(|bits| bits & (1 << (id % BITS)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_handled_and_others_do_not_become_so() {
        let mut handled = Handled::default();
        assert!(!handled.contains(0) && !handled.contains(17));
        for id in [100, 17, 163, 64, 63] {
            handled.insert(id);
        }
        for id in 0..400 {
            let is_handled = [100, 17, 163, 64, 63].contains(&id);
            assert_eq!(handled.contains(id), is_handled, "{id}");
        }
    }

    #[test]
    fn the_set_moves_with_the_ids_in_bounded_memory() {
        let mut handled = Handled::default();
        for id in (0..40 * WINDOW).step_by(1013) {
            handled.insert(id);
            assert!(handled.contains(id) && !handled.contains(id + 1));
            assert!(handled.words.len() as u64 <= WINDOW / BITS);
        }
        // Long ago.
        assert!(handled.contains(5));
        let mut handled = Handled::default();
        handled.insert(u64::MAX);
        handled.insert(0);
        assert!(handled.contains(u64::MAX) && handled.contains(0));
        assert!(!handled.contains(u64::MAX - 1));
        let mut handled = Handled::default();
        handled.insert(3);
        handled.insert(u64::MAX);
        assert!(handled.contains(3) && handled.contains(u64::MAX));
    }
}
