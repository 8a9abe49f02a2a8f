//! What a header has to keep because of the headers before it: its link, its
//! target, its time.

use bitcoin::CompactTarget;
use bitcoin::block::Header;
use bitcoin::consensus::Params;
use thiserror::Error;

use super::network::{Network, RETARGET_INTERVAL};
use super::sealed::WorkError;

/// How far ahead of the clock a header's time may be, in seconds.
pub const MAX_AHEAD: u64 = 2 * 3600;

/// Headers over which the median of times is taken.
pub const MEDIAN_SPAN: u32 = 11;

/// What every header of the regtest has as bits.
const REGTEST_BITS: u32 = 0x207f_ffff;

/// Why a header is not taken.
///
/// [`Missing`](Self::Missing), [`Stale`](Self::Stale) and
/// [`TooLong`](Self::TooLong) say nothing against the header, and
/// [`Ahead`](Self::Ahead) may be the fault of the clock; all others do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// It is not the block of the checkpoint.
    #[error("the header is not that of the checkpoint")]
    Checkpoint,
    /// It does not link to its neighbour.
    #[error("the header does not link to the one next to it")]
    Link,
    /// Its bits are not those that the headers before it demand.
    #[error("the header has the bits {found:08x} instead of {expected:08x}")]
    Bits {
        /// What it has.
        found: u32,
        /// What it should have.
        expected: u32,
    },
    /// Its time is not above the median of the headers before it.
    #[error("the header's time {time} is not above the median {median} of those before it")]
    Early {
        /// Its time, in seconds of Unix time.
        time: u32,
        /// The median.
        median: u32,
    },
    /// Its time is more than [`MAX_AHEAD`] ahead of the clock.
    #[error("the header is {0} s ahead of this computer's clock")]
    Ahead(u64),
    /// Its proof of work is wrong.
    #[error(transparent)]
    Work(#[from] WorkError),
    /// A header that the check needs has not been fetched yet.
    #[error("header {0}, which the check needs, is missing")]
    Missing(u32),
    /// The block after which the branch begins was given up meanwhile.
    #[error("the block after which the headers follow is no longer part of the chain")]
    Stale,
    /// The branch has as many headers as one may have.
    #[error("the headers are too many")]
    TooLong,
}

/// Checks a header's bits and time against the headers before it, which
/// `ancestor` finds by their height. The link is for the caller to check.
///
/// The bits are compared before anything expands them: a header that passes
/// has a target that follows from verified ones.
pub(super) fn check<'a>(
    network: Network,
    height: u32,
    header: &Header,
    ancestor: impl Fn(u32) -> Option<&'a Header>,
) -> Result<(), HeaderError> {
    let ancestor = |height| ancestor(height).ok_or(HeaderError::Missing(height));
    let expected = expected_bits(network, height, ancestor)?;
    if header.bits != expected {
        return Err(HeaderError::Bits {
            found: header.bits.to_consensus(),
            expected: expected.to_consensus(),
        });
    }
    let median = median_time(height, ancestor)?;
    if header.time <= median {
        let time = header.time;
        return Err(HeaderError::Early { time, median });
    }
    Ok(())
}

/// Checks that a header's time is at most [`MAX_AHEAD`] ahead of `now`, in
/// seconds of Unix time.
pub(super) fn check_ahead(header: &Header, now: u64) -> Result<(), HeaderError> {
    let ahead = u64::from(header.time).saturating_sub(now);
    if ahead > MAX_AHEAD {
        return Err(HeaderError::Ahead(ahead));
    }
    Ok(())
}

/// Whether a header may have these bits at all: a positive target within the
/// limit, in the one form that compact notation has for it.
pub(super) fn is_possible(network: Network, bits: CompactTarget) -> bool {
    if !network.keeps_time() {
        return bits.to_consensus() == REGTEST_BITS;
    }
    network
        .target(bits)
        .is_some_and(|target| target.to_compact_lossy() == bits)
}

/// The lowest height that the header above a checkpoint and all later ones
/// need: for the first change of the target, and for the median of times.
pub(super) fn lowest_for_rules(checkpoint: u32) -> u32 {
    let period = checkpoint - checkpoint % RETARGET_INTERVAL;
    period
        .saturating_sub(1)
        .min(checkpoint.saturating_sub(MEDIAN_SPAN))
}

/// The bits of the header at `height`, which is above 0.
fn expected_bits<'a>(
    network: Network,
    height: u32,
    ancestor: impl Fn(u32) -> Result<&'a Header, HeaderError>,
) -> Result<CompactTarget, HeaderError> {
    if !network.keeps_time() {
        return Ok(CompactTarget::from_consensus(REGTEST_BITS));
    }
    let last = ancestor(height.saturating_sub(1))?;
    if !height.is_multiple_of(RETARGET_INTERVAL) {
        return Ok(last.bits);
    }
    // Bitcoin measures one interval less than it counts. Namecoin has
    // measured all of them since merged mining began.
    let back = if height > network.merged_mining_from() {
        RETARGET_INTERVAL + 1
    } else {
        RETARGET_INTERVAL
    };
    let first = ancestor(height.saturating_sub(back))?;
    // A period can end before it began. The crate clamps to a quarter of the
    // wanted span from below, as the rule does with a negative one.
    let span = last.time.saturating_sub(first.time);
    Ok(CompactTarget::from_next_work_required(
        last.bits,
        u64::from(span),
        Params::MAINNET,
    ))
}

/// The median of the times of the [`MEDIAN_SPAN`] headers below `height`, or
/// of as many as there are above the genesis.
fn median_time<'a>(
    height: u32,
    ancestor: impl Fn(u32) -> Result<&'a Header, HeaderError>,
) -> Result<u32, HeaderError> {
    let mut times = (height.saturating_sub(MEDIAN_SPAN)..height)
        .map(|height| ancestor(height).map(|header| header.time))
        .collect::<Result<Vec<_>, _>>()?;
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests;
