//! Whether the chain is fresh: neither withheld from us nor a cheap private one.
//!
//! A server can hide the newest blocks, and a Bitcoin pool can mine a branch of its
//! own on the side. Unless the attacker pays for it, either shows in the ages of
//! the newest blocks and in their work.

use thiserror::Error;

use super::headers::Headers;
use super::rules::MAX_AHEAD;
use super::work;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// The age, in seconds, that the newest header must not reach.
const MAX_AGE: u64 = 6 * HOUR;

/// Spans back from now, in seconds, and how many headers each must contain: a
/// third of what one block every ten minutes would give.
const WINDOWS: [(u64, u64); 3] = [(12 * HOUR, 24), (3 * DAY, 144), (14 * DAY, 672)];

/// Seconds that a block takes on average.
const SPACING: u64 = 600;

/// The work since the checkpoint must be the expected work at the checkpoint's
/// target divided by this.
const WORK_DIVISOR: u64 = 3;

/// Why the chain does not count as fresh. Spans are in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FreshnessError {
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
    /// Checks that the chain is fresh at `now`, in seconds of Unix time. On a
    /// private network any chain is.
    ///
    /// # Errors
    /// It is not: names cannot be answered for now.
    pub fn check_freshness(&self, now: u64) -> Result<(), FreshnessError> {
        let (_, tip) = self.tip().ok_or(FreshnessError::Empty)?;
        if !self.network().keeps_time() {
            return Ok(());
        }
        let time = u64::from(tip.time);
        let ahead = time.saturating_sub(now);
        if ahead > MAX_AHEAD {
            return Err(FreshnessError::Clock(ahead));
        }
        let age = now.saturating_sub(time);
        if age >= MAX_AGE {
            return Err(FreshnessError::Old(age));
        }
        let elapsed = self.elapsed(now);
        for (span, wanted) in WINDOWS {
            self.check_window(now, span, wanted, elapsed)?;
        }
        self.check_total(elapsed)
    }

    /// Seconds from the checkpoint's time to `now`.
    fn elapsed(&self, now: u64) -> u64 {
        self.checkpoint_header()
            .map_or(0, |header| now.saturating_sub(u64::from(header.time)))
    }

    /// Counts the headers of the last `full` seconds. A window that begins
    /// before the checkpoint is cut there, and must contain proportionally
    /// fewer.
    fn check_window(
        &self,
        now: u64,
        full: u64,
        wanted: u64,
        elapsed: u64,
    ) -> Result<(), FreshnessError> {
        let span = full.min(elapsed);
        let wanted = (wanted * span).div_ceil(full);
        let start = now.saturating_sub(span);
        let mut found = 0;
        for header in self.above_checkpoint().iter().rev() {
            if found == wanted {
                break;
            }
            found += u64::from(u64::from(header.time) >= start);
        }
        if found < wanted {
            return Err(FreshnessError::Sparse {
                span,
                found,
                wanted,
            });
        }
        Ok(())
    }

    /// Compares the work since the checkpoint with a third of what is expected
    /// at its target in that time.
    fn check_total(&self, elapsed: u64) -> Result<(), FreshnessError> {
        let block = self
            .checkpoint_header()
            .ok_or(FreshnessError::Empty)?
            .work();
        // Both sides times 1800, so that nothing is rounded.
        let done = work::product(self.work(), WORK_DIVISOR * SPACING);
        if done < work::product(block, elapsed) {
            return Err(FreshnessError::Work);
        }
        Ok(())
    }
}

/// A span of seconds in words, rounded down.
fn words(seconds: u64) -> String {
    match seconds {
        0..7200 => format!("{} min", seconds / 60),
        7200..259_200 => format!("{} h", seconds / HOUR),
        _ => format!("{} d", seconds / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::testing::*;

    /// When the checkpoint was, some blocks after a change of the target.
    const START: u32 = 1_700_000_000;
    const HEIGHT: u32 = 42_340;

    /// A chain whose blocks above the checkpoint have these times.
    fn chain(times: impl IntoIterator<Item = u32>) -> Headers {
        let mut headers = mainnet(HEIGHT, 0x1803_1abc, |height| START + height - HEIGHT);
        extend_times(&mut headers, times);
        headers
    }

    /// So many blocks as evenly as can be, the last one `end` seconds after the
    /// checkpoint.
    fn even(count: u32, end: u32) -> Headers {
        chain((1..=count).map(|n| {
            START + u32::try_from(u64::from(end) * u64::from(n) / u64::from(count)).unwrap()
        }))
    }

    fn at(headers: &Headers, after: u64) -> Result<(), FreshnessError> {
        headers.check_freshness(u64::from(START) + after)
    }

    #[test]
    fn a_chain_at_its_usual_pace_is_current() {
        // Fifteen days.
        let headers = even(1900, 1_296_000);
        assert_eq!(at(&headers, 1_296_000), Ok(()));
        assert_eq!(at(&headers, 1_296_600), Ok(()));
    }

    #[test]
    fn nothing_is_not_current() {
        let network = crate::chain::network::Network::Mainnet;
        let headers = Headers::new(network, network.checkpoint());
        assert_eq!(headers.check_freshness(0), Err(FreshnessError::Empty));
    }

    #[test]
    fn the_regtest_is_current_at_any_age() {
        assert_eq!(regtest(251).check_freshness(u64::MAX), Ok(()));
        assert_eq!(regtest(251).check_freshness(0), Ok(()));
    }

    #[test]
    fn the_tip_is_under_six_hours_old() {
        let headers = even(1900, 1_296_000);
        assert_eq!(at(&headers, 1_296_000 + 6 * HOUR - 1), Ok(()));
        assert_eq!(
            at(&headers, 1_296_000 + 6 * HOUR),
            Err(FreshnessError::Old(6 * HOUR))
        );
    }

    #[test]
    fn the_clock_is_behind_the_tip_by_two_hours_at_most() {
        let headers = even(1900, 1_296_000);
        assert_eq!(at(&headers, 1_296_000 - 7200), Ok(()));
        assert_eq!(
            at(&headers, 1_296_000 - 7201),
            Err(FreshnessError::Clock(7201))
        );
        assert_eq!(
            headers.check_freshness(0),
            Err(FreshnessError::Clock(u64::from(START) + 1_296_000))
        );
        // Only the checkpoint, and a clock before it.
        assert_eq!(
            chain([]).check_freshness(u64::from(START) - 7201),
            Err(FreshnessError::Clock(7201))
        );
    }

    #[test]
    fn each_window_holds_its_headers() {
        let end = START + 1_400_000;
        let now = u64::from(end);
        // A window, how many it wants, and an age at which blocks count for the
        // longer windows and for the work only.
        for (span, wanted, older) in [
            (43_200, 24, 100_000),
            (259_200, 144, 800_000),
            (1_209_600, 672, 1_300_000),
        ] {
            let build = |count: u32, oldest: u32| {
                let before = (0..800).map(|n| end - older + n);
                let recent = (1..count).map(|n| end - 1000 + n);
                chain(before.chain([end - oldest]).chain(recent))
            };
            assert_eq!(build(wanted, span).check_freshness(now), Ok(()));
            let sparse = FreshnessError::Sparse {
                span: u64::from(span),
                found: u64::from(wanted) - 1,
                wanted: u64::from(wanted),
            };
            assert_eq!(build(wanted, span + 1).check_freshness(now), Err(sparse));
            assert_eq!(build(wanted - 1, span).check_freshness(now), Err(sparse));
        }
    }

    #[test]
    fn windows_are_cut_where_the_checkpoint_is() {
        let only = chain([]);
        assert_eq!(at(&only, 0), Ok(()));
        let (span, found, wanted) = (1, 0, 1);
        assert_eq!(
            at(&only, 1),
            Err(FreshnessError::Sparse {
                span,
                found,
                wanted
            })
        );
        // Every window wants one block for each half hour.
        let two = chain([START + 1800, START + 3600]);
        assert_eq!(at(&two, 3600), Ok(()));
        let (span, found, wanted) = (3601, 2, 3);
        assert_eq!(
            at(&two, 3601),
            Err(FreshnessError::Sparse {
                span,
                found,
                wanted
            })
        );
        // Here the shortest is whole; the others reach back to the dense blocks.
        let recent = |count: u32| {
            let dense = (1..=200).map(|n| START + n);
            chain(dense.chain((0..count).map(|n| START + 86_400 + n)))
        };
        assert_eq!(at(&recent(24), 86_400 + 21_000), Ok(()));
        let (span, found, wanted) = (43_200, 23, 24);
        assert_eq!(
            at(&recent(23), 86_400 + 21_000),
            Err(FreshnessError::Sparse {
                span,
                found,
                wanted
            })
        );
    }

    #[test]
    fn the_work_is_a_third_of_what_the_time_lets_expect() {
        // 700 blocks carry a third of the work of 1,260,000 s, all of them new.
        let end = START + 1_260_000;
        let headers = chain((1..=700).map(|n| end - 700 + n));
        assert_eq!(at(&headers, 1_260_000), Ok(()));
        assert_eq!(at(&headers, 1_260_001), Err(FreshnessError::Work));
    }

    #[test]
    fn blocks_that_were_cheap_count_for_less() {
        // The period before the change at 44,352 was slow, so that a block after
        // it has a quarter of the checkpoint's work.
        let build = |end: u32| {
            let mut headers = mainnet(44_340, 0x1803_1abc, |height| {
                if height == 42_335 {
                    START - 4_838_400
                } else {
                    START + height - 44_340
                }
            });
            extend_times(&mut headers, (1..12).map(|n| START + n));
            let (_, tip) = headers.tip().unwrap();
            let mut cheap = after(tip, end - 2000);
            cheap.bits = bitcoin::CompactTarget::from_consensus(0x180c_6af0);
            extend(&mut headers, &[cheap]);
            extend_times(&mut headers, (1..2000).map(|n| end - 2000 + n));
            headers
        };
        // 11 blocks of full work and 2,000 of a quarter are as good as 511.
        let at_end = |elapsed: u32| at(&build(START + elapsed), u64::from(elapsed));
        assert_eq!(at_end(1800 * 510), Ok(()));
        assert_eq!(at_end(1800 * 512), Err(FreshnessError::Work));
    }

    #[test]
    fn errors_are_told_in_words() {
        let told = |error: FreshnessError| error.to_string();
        assert_eq!(
            told(FreshnessError::Old(7 * HOUR + 5)),
            "the newest block header is 7 h old"
        );
        assert_eq!(
            told(FreshnessError::Clock(7200 - 1)),
            "this computer's clock is 119 min behind the newest block header"
        );
        assert_eq!(
            told(FreshnessError::Old(400 * DAY)),
            "the newest block header is 400 d old"
        );
        for (span, words) in [(12 * HOUR, "12 h"), (3 * DAY, "3 d"), (14 * DAY, "14 d")] {
            let (found, wanted) = (3, 24);
            let error = FreshnessError::Sparse {
                span,
                found,
                wanted,
            };
            assert_eq!(
                told(error),
                format!(
                    "the last {words} brought 3 block headers, and should have brought at least 24"
                )
            );
        }
    }
}
