//! Whether the chain is current: that it is not withheld from us, nor a
//! private one that cost little.
//!
//! A server can hide the newest blocks, and a Bitcoin pool can mine a branch
//! of its own on the side. Either shows in the ages of the newest blocks and
//! in the work that they carry, unless it is paid for.

use thiserror::Error;

use super::arithmetic;
use super::headers::Headers;
use super::rules::MAX_AHEAD;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// The age, in seconds, that the newest header must not reach.
const MAX_AGE: u64 = 6 * HOUR;

/// Spans back from now, in seconds, and the headers that each must hold: a
/// third of what one block every ten minutes makes.
const WINDOWS: [(u64, u64); 3] = [(12 * HOUR, 24), (3 * DAY, 144), (14 * DAY, 672)];

/// Seconds that a block takes on average.
const SPACING: u64 = 600;

/// The divisor of the work that the time since the checkpoint should have
/// brought at the checkpoint's target.
const WORK_DIVISOR: u64 = 3;

/// Why the chain does not count as current. Spans are in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotCurrent {
    /// There is none.
    #[error("no block header is known yet")]
    Empty,
    /// The newest header is ahead of the clock by more than any header may be.
    #[error("this computer's clock is {} behind the newest block header", words(*.0))]
    Clock(u64),
    /// The newest header has this age.
    #[error("the newest block header is {} old", words(*.0))]
    Old(u64),
    /// Too few headers are new.
    #[error("the last {} brought {found} block headers, and should have brought at least {wanted}",
        words(*.span))]
    Sparse {
        /// How far back they were counted.
        span: u64,
        /// How many there are.
        found: u64,
        /// How many there should be at least.
        wanted: u64,
    },
    /// The chain was cheap to make.
    #[error("the block headers since the checkpoint carry too little work")]
    Work,
}

impl Headers {
    /// Whether the chain counts as current at `now`, in seconds of Unix time.
    /// On a private network it does as soon as there is one.
    ///
    /// # Errors
    /// It does not: names cannot be answered for now.
    pub fn currency(&self, now: u64) -> Result<(), NotCurrent> {
        let (_, tip) = self.tip().ok_or(NotCurrent::Empty)?;
        if !self.network().keeps_time() {
            return Ok(());
        }
        let time = u64::from(tip.time);
        let ahead = time.saturating_sub(now);
        if ahead > MAX_AHEAD {
            return Err(NotCurrent::Clock(ahead));
        }
        let age = now.saturating_sub(time);
        if age >= MAX_AGE {
            return Err(NotCurrent::Old(age));
        }
        let elapsed = self.elapsed(now);
        for (span, wanted) in WINDOWS {
            self.check_window(now, span, wanted, elapsed)?;
        }
        self.check_total(elapsed)
    }

    /// Seconds from the checkpoint's time to `now`.
    fn elapsed(&self, now: u64) -> u64 {
        self.anchored()
            .map_or(0, |header| now.saturating_sub(u64::from(header.time)))
    }

    /// Counts the headers of the last `full` seconds. Before the checkpoint
    /// there are none to count, so that a window that begins there is cut, and
    /// holds as much less as it is shorter.
    fn check_window(
        &self,
        now: u64,
        full: u64,
        wanted: u64,
        elapsed: u64,
    ) -> Result<(), NotCurrent> {
        let span = full.min(elapsed);
        let wanted = (wanted * span).div_ceil(full);
        let start = now.saturating_sub(span);
        let mut found = 0;
        for header in self.proven().iter().rev() {
            if found == wanted {
                break;
            }
            found += u64::from(u64::from(header.time) >= start);
        }
        if found < wanted {
            return Err(NotCurrent::Sparse {
                span,
                found,
                wanted,
            });
        }
        Ok(())
    }

    /// Compares the work since the checkpoint with a third of what its target
    /// and the time let expect.
    fn check_total(&self, elapsed: u64) -> Result<(), NotCurrent> {
        let block = self.anchored().ok_or(NotCurrent::Empty)?.work();
        // Both sides times 1800, so that nothing is rounded.
        let done = arithmetic::product(self.work(), WORK_DIVISOR * SPACING);
        if done < arithmetic::product(block, elapsed) {
            return Err(NotCurrent::Work);
        }
        Ok(())
    }
}

/// A span of seconds in words, rounded down to what tells it.
fn words(seconds: u64) -> String {
    match seconds {
        0..7200 => format!("{} min", seconds / 60),
        7200..259_200 => format!("{} h", seconds / HOUR),
        _ => format!("{} d", seconds / DAY),
    }
}

#[cfg(test)]
mod tests;
