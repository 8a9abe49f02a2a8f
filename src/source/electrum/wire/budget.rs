//! How much memory the lines of all servers together may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a line may take without being counted, in bytes. Nearly all replies
/// are shorter, and the number of connections bounds them.
pub(super) const FREE: usize = 64 << 10;

/// An amount of memory that all connections share.
///
/// Without it, thousands of servers that each send a long line and never end it
/// could take all memory.
#[derive(Debug)]
pub(super) struct Budget(AtomicUsize);

impl Budget {
    /// A budget of so many bytes.
    pub fn new(octets: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(octets)))
    }

    /// Bytes that are left.
    #[cfg(test)]
    pub fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A part of the budget that is in use. It is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Arc<Budget>,
    octets: usize,
}

impl Charge {
    /// Nothing so far.
    pub fn new(budget: &Arc<Budget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            octets: 0,
        }
    }

    /// Makes this the charge for a buffer of `capacity` bytes.
    ///
    /// # Errors
    /// The budget does not allow it; nothing has changed.
    pub fn resize(&mut self, capacity: usize) -> Result<(), Exhausted> {
        let octets = capacity.saturating_sub(FREE);
        if octets > self.octets {
            let more = octets - self.octets;
            self.budget
                .0
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(more)
                })
                .map_err(|_| Exhausted)?;
        } else {
            self.give_back(self.octets - octets);
        }
        self.octets = octets;
        Ok(())
    }

    fn give_back(&self, octets: usize) {
        self.budget.0.fetch_add(octets, Ordering::Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.give_back(self.octets);
    }
}

/// The budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_the_free_part_is_counted_and_given_back() {
        let budget = Budget::new(1000);
        let mut first = Charge::new(&budget);
        first.resize(FREE).unwrap();
        assert_eq!(budget.left(), 1000);
        first.resize(FREE + 600).unwrap();
        assert_eq!(budget.left(), 400);
        let mut second = Charge::new(&budget);
        assert_eq!(second.resize(FREE + 401), Err(Exhausted));
        second.resize(FREE + 400).unwrap();
        assert_eq!(budget.left(), 0);
        first.resize(FREE + 500).unwrap();
        assert_eq!(budget.left(), 100);
        drop(first);
        assert_eq!(budget.left(), 600);
        drop(second);
        assert_eq!(budget.left(), 1000);
    }
}
