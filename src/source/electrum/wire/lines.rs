//! Bytes to lines: how long a line may be, and how much memory the lines of all
//! servers together may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use thiserror::Error;

use super::message::CallError;

/// Bytes of a line that are not counted. Nearly all replies are shorter, and the
/// number of connections bounds them.
pub const FREE: usize = 64 << 10;

/// What a connection is for. This decides how long a line may be and whether an
/// unknown certificate is acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Headers and other servers' addresses, for no isolation id.
    Headers,
    /// Names, for one isolation id.
    Lookups,
}

impl Purpose {
    /// The longest line that is read, in bytes with its end. Servers send up to
    /// 10 MB; a lookup never needs that much.
    pub(super) const fn max_line(self) -> usize {
        match self {
            Self::Headers => 10 << 20,
            Self::Lookups => 4 << 20,
        }
    }
}

/// Memory that all connections share.
///
/// Without this bound, thousands of servers that each send a long line and never
/// end it could use up all memory.
#[derive(Debug)]
pub struct Budget(AtomicUsize);

impl Budget {
    /// A budget of this many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(bytes)))
    }

    /// Bytes that are left.
    #[cfg(test)]
    pub fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A part of the budget that is in use. Dropping this returns it.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Charge {
    /// Nothing so far.
    pub fn new(budget: &Arc<Budget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            bytes: 0,
        }
    }

    /// Changes the charge to that for a buffer of `capacity` bytes.
    ///
    /// # Errors
    /// The budget does not allow it; the charge is unchanged.
    pub fn resize(&mut self, capacity: usize) -> Result<(), BudgetError> {
        let bytes = capacity.saturating_sub(FREE);
        if bytes > self.bytes {
            let more = bytes - self.bytes;
            self.budget
                .0
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(more)
                })
                .map_err(|_| BudgetError)?;
        } else {
            self.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.budget.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

/// The budget is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the memory for long lines is used up")]
pub struct BudgetError;

/// Assembles lines. A line that comes in one piece is not copied.
#[derive(Debug)]
pub struct Lines {
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    charge: Charge,
    /// The longest line, in bytes with its end.
    max: usize,
}

impl Lines {
    /// Lines of at most `max` bytes, the end included.
    pub fn new(max: usize, budget: &Arc<Budget>) -> Self {
        Self {
            partial: Vec::new(),
            charge: Charge::new(budget),
            max,
        }
    }

    /// Takes bytes and hands each line that they complete to `take`, without
    /// its end.
    ///
    /// # Errors
    /// A line is too long, the budget is used up, or `take` failed. What follows
    /// is ignored.
    pub fn push(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), CallError>,
    ) -> Result<(), CallError> {
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        let rest = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            if self.partial.is_empty() {
                self.require_room(piece.len())?;
                take(piece)?;
            } else {
                self.append(piece)?;
                take(&self.partial)?;
                self.clear();
            }
        }
        self.append(rest)
    }

    /// Whether the unfinished line counts against the budget.
    pub fn is_long(&self) -> bool {
        self.partial.len() > FREE
    }

    /// Whether `more` bytes and the end of the line are within the limit.
    fn require_room(&self, more: usize) -> Result<(), CallError> {
        if self.partial.len().saturating_add(more) < self.max {
            Ok(())
        } else {
            Err(CallError::Protocol("a line that is too long"))
        }
    }

    fn append(&mut self, piece: &[u8]) -> Result<(), CallError> {
        self.require_room(piece.len())?;
        let length = self.partial.len() + piece.len();
        if length > self.partial.capacity() {
            let capacity = length.next_power_of_two();
            self.charge
                .resize(capacity)
                .map_err(|BudgetError| CallError::Memory)?;
            self.partial.reserve_exact(capacity - self.partial.len());
        }
        self.partial.extend_from_slice(piece);
        Ok(())
    }

    /// Prepares for the next line. A large buffer is freed.
    fn clear(&mut self) {
        self.partial.clear();
        if self.partial.capacity() > FREE {
            self.partial = Vec::new();
            // Less is always granted.
            let _ = self.charge.resize(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(lines: &mut Lines, bytes: &[u8]) -> Result<Vec<String>, CallError> {
        let mut taken = Vec::new();
        lines.push(bytes, |line| {
            taken.push(String::from_utf8_lossy(line).into_owned());
            Ok(())
        })?;
        Ok(taken)
    }

    #[test]
    fn lines_come_whole_however_they_were_cut() {
        let text = b"one\ntwo  \n\nthree\n";
        for size in 1..=text.len() {
            let mut lines = Lines::new(10, &Budget::new(0));
            let taken: Vec<_> = text
                .chunks(size)
                .flat_map(|chunk| push(&mut lines, chunk).unwrap())
                .collect();
            assert_eq!(taken, ["one", "two  ", "", "three"], "{size}");
        }
    }

    #[test]
    fn the_longest_line_is_taken_and_one_byte_more_is_not() {
        let too_long = Err(CallError::Protocol("a line that is too long"));
        for size in [1, 3, 20] {
            let mut lines = Lines::new(10, &Budget::new(0));
            for chunk in b"123456789\n".chunks(size) {
                push(&mut lines, chunk).unwrap();
            }
            let result: Result<Vec<_>, _> = b"1234567890\n"
                .chunks(size)
                .map(|chunk| push(&mut lines, chunk))
                .collect();
            assert_eq!(result.map(|_| Vec::<String>::new()), too_long, "{size}");
        }
        // Without an end as well.
        assert_eq!(
            push(&mut Lines::new(10, &Budget::new(0)), &[b'x'; 10]),
            too_long
        );
    }

    #[test]
    fn long_lines_share_a_budget() {
        let budget = Budget::new(FREE);
        let half = vec![b'x'; FREE];
        let (mut first, mut second) = (Lines::new(1 << 20, &budget), Lines::new(1 << 20, &budget));
        // Up to the free part nothing is counted.
        push(&mut first, &half).unwrap();
        push(&mut second, &half).unwrap();
        assert_eq!(budget.left(), FREE);
        push(&mut first, b"x").unwrap();
        assert_eq!(budget.left(), 0);
        assert_eq!(push(&mut second, b"x"), Err(CallError::Memory));
        assert_eq!(push(&mut first, b"\n").unwrap().len(), 1);
        assert_eq!(budget.left(), FREE);
        push(&mut second, b"x\n").unwrap();
        assert_eq!(budget.left(), FREE);
        push(&mut first, &[&half[..], b"x"].concat()).unwrap();
        assert_eq!(budget.left(), 0);
        drop(first);
        assert_eq!(budget.left(), FREE);
    }
}
