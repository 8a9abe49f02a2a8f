//! What the headers before it demand of a header: its link, its target, its
//! time.

use bitcoin::CompactTarget;
use bitcoin::block::Header;
use bitcoin::consensus::Params;
use thiserror::Error;

use super::network::{Network, RETARGET_INTERVAL};
use super::proof_of_work::WorkError;

/// How far ahead of the clock a header's time may be, in seconds.
pub const MAX_AHEAD: u64 = 2 * 3600;

/// Headers over which the median of times is taken.
pub const MEDIAN_SPAN: u32 = 11;

/// The bits of every header on the regtest.
const REGTEST_BITS: u32 = 0x207f_ffff;

/// Why a header is refused.
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
    /// The block that the branch follows was replaced in the meantime.
    #[error("the block after which the headers follow is no longer part of the chain")]
    Stale,
    /// The branch has the most headers that one may have.
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

/// Whether any header may have these bits: a positive target within the limit,
/// in its only compact form.
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
    // A period can end before it began. The crate raises the span to at least a
    // quarter of the wanted one, as the rule does with a negative one.
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
mod tests {
    use super::*;
    use crate::chain::headers::Headers;
    use crate::chain::testing::*;

    /// The rule, worked out by school arithmetic on bytes.
    fn retarget(bits: u32, span: i64) -> u32 {
        let span = span.clamp(302_400, 4_838_400) as u64;
        let size = (bits >> 24) as usize;
        // Most significant first, with room for the product.
        let mut target = [0u8; 40];
        target[40 - size..43 - size].copy_from_slice(&bits.to_be_bytes()[1..]);
        let mut carry = 0;
        for byte in target.iter_mut().rev() {
            let product = u64::from(*byte) * span + carry;
            *byte = product as u8;
            carry = product >> 8;
        }
        assert_eq!(carry, 0);
        let mut rest = 0;
        for byte in &mut target {
            let dividend = rest * 256 + u64::from(*byte);
            *byte = (dividend / 1_209_600) as u8;
            rest = dividend % 1_209_600;
        }
        let mut limit = [0u8; 40];
        limit[12..].fill(0xff);
        target = target.min(limit);
        let zeros = target.iter().take_while(|byte| **byte == 0).count();
        // A leading bit would read as a sign.
        let start = zeros - usize::from(target[zeros] >= 0x80);
        let mantissa = [0, target[start], target[start + 1], target[start + 2]];
        u32::from_be_bytes(mantissa) | ((40 - start as u32) << 24)
    }

    /// Offers a header at a change of the target: the wanted bits pass, others do
    /// not.
    fn step(headers: &mut Headers, time: u32, wanted: u32) {
        let (tip, parent) = headers.tip().map(|(tip, header)| (tip, *header)).unwrap();
        assert!((tip + 1).is_multiple_of(RETARGET_INTERVAL));
        let mut header = after(&parent, time);
        for wrong in [wanted + 1, wanted - 1, 0, 0xffff_ffff, 0x2100_0001] {
            header.bits = CompactTarget::from_consensus(wrong);
            let error = headers
                .candidate(tip)
                .unwrap()
                .push_recorded(headers, header)
                .unwrap_err();
            let (found, expected) = (wrong, wanted);
            assert_eq!(error, HeaderError::Bits { found, expected });
        }
        header.bits = CompactTarget::from_consensus(wanted);
        extend(headers, &[header]);
    }

    #[test]
    fn school_arithmetic_knows_published_changes() {
        // Bitcoin's first ones: heights 32,256, 68,544 and 46,368.
        assert_eq!(
            retarget(0x1d00_ffff, 1_262_152_739 - 1_261_130_161),
            0x1d00_d86a
        );
        assert_eq!(
            retarget(0x1c05_a3f4, 1_279_297_671 - 1_279_008_237),
            0x1c01_68fd
        );
        assert_eq!(
            retarget(0x1c38_7f6f, 1_269_211_443 - 1_263_163_443),
            0x1d00_e1fd
        );
        assert_eq!(retarget(0x1d00_ffff, i64::MAX), 0x1d00_ffff);
    }

    #[test]
    fn targets_follow_the_spans_across_two_periods() {
        const START: u32 = 1_700_000_000;
        // Initial bits; seconds of the first period; seconds between the blocks
        // of the second; seconds by which its last block is late besides.
        let cases: [(u32, i64, u32, u32); 9] = [
            (0x1803_1abc, 1_209_600, 600, 0),
            (0x1803_1abc, 1_814_400, 900, 1),
            (0x1700_8000, 806_400, 400, 17),
            (0x1b7f_ffff, 302_400, 150, 0),
            (0x1803_1abc, 302_399, 149, 5_000_000),
            (0x1803_1abc, 4_838_400, 2400, 0),
            (0x1d00_ffff, 4_838_401, 2401, 0),
            (0x1d00_ffff, 20, 1, 1_000_000),
            (0x1c00_9abc, -1_000_000, 1, 0),
        ];
        for (bits, first, spacing, late) in cases {
            // The first change, at 42,336, measures from 40,319 to 42,335, the
            // second, at 44,352, from there to 44,351.
            let measured = START + 15;
            let mut headers = mainnet(42_320, bits, |height| {
                if height == 40_319 {
                    u32::try_from(i64::from(measured) - first).unwrap()
                } else {
                    START + height - 42_320
                }
            });
            extend_times(&mut headers, START + 1..=measured);
            let bits = retarget(bits, first);
            step(&mut headers, measured + spacing, bits);

            let mut times: Vec<u32> = (2..=2016).map(|n| measured + n * spacing).collect();
            *times.last_mut().unwrap() += late;
            extend_times(&mut headers, times);
            let span = 2016 * spacing + late;
            let time = measured + span + 1;
            step(&mut headers, time, retarget(bits, i64::from(span)));
            assert_eq!(headers.tip().unwrap().0, 44_352);
        }
    }

    #[test]
    fn a_period_above_the_checkpoint_can_end_before_it_began() {
        const START: u32 = 1_700_000_000;
        // The block before the period is far ahead; those after it follow the
        // median.
        let mut headers = mainnet(42_334, 0x1803_1abc, |height| START + height - 42_334);
        let far = START + 5_000_000;
        extend_times(&mut headers, [far]);
        let first = far - headers.get(40_319).unwrap().time;
        let bits = retarget(0x1803_1abc, i64::from(first));
        step(&mut headers, START + 600, bits);
        extend_times(&mut headers, (2..=2016).map(|n| START + n * 600));
        let (_, tip) = headers.tip().unwrap();
        let span = i64::from(tip.time) - i64::from(far);
        assert!(span < 0);
        let time = tip.time + 600;
        step(&mut headers, time, retarget(bits, span));
        assert_eq!(headers.tip().unwrap().0, 44_352);
    }

    #[test]
    fn targets_of_every_size_follow_every_span() {
        for bits in [
            0x0600_8000,
            0x0412_3456,
            0x1000_8001,
            0x1703_0ecd,
            0x187f_ffff,
            0x1c00_8000,
            0x1d00_8000,
            0x1d00_ffff,
        ] {
            for span in [
                -2_000_000_000,
                -1,
                0,
                1,
                302_401,
                604_801,
                1_209_599,
                3_333_333,
                9_999_999,
            ] {
                let first = first(u32::try_from((1_i64 << 31) - span.min(0)).unwrap(), bits);
                let mut last = first;
                last.time = u32::try_from(i64::from(first.time) + span).unwrap();
                let found = expected_bits(Network::Mainnet, 42_336, |height| match height {
                    40_319 => Ok(&first),
                    42_335 => Ok(&last),
                    other => panic!("{other}"),
                });
                assert_eq!(
                    found.unwrap().to_consensus(),
                    retarget(bits, span),
                    "{bits:x} {span}"
                );
            }
        }
    }

    #[test]
    fn early_periods_are_measured_without_the_block_before_them() {
        // Before merged mining the span is that of Bitcoin.
        for (change, first) in [(18_144, 16_128), (20_160, 18_143), (2016, 0)] {
            let start = 1_400_000_000;
            let bits = 0x1c12_3456;
            let time = |height: u32| match height {
                height if height == first => start - 800_000,
                height if height + 1 == first || height == first + 1 => start - 1_600_000,
                height => start + height,
            };
            let mut headers = mainnet(change - 1, bits, time);
            let last = headers.tip().unwrap().1.time;
            let span = i64::from(last) - i64::from(start - 800_000);
            step(&mut headers, last + 1, retarget(bits, span));
        }
    }

    #[test]
    fn within_a_period_bits_stay() {
        let mut headers = mainnet(42_320, 0x1803_1abc, |height| height * 600);
        let (tip, parent) = headers.tip().unwrap();
        let mut header = after(parent, parent.time + 600);
        header.bits = CompactTarget::from_consensus(0x1803_1abd);
        assert_eq!(
            headers
                .candidate(tip)
                .unwrap()
                .push_recorded(&headers, header),
            Err(HeaderError::Bits {
                found: 0x1803_1abd,
                expected: 0x1803_1abc
            })
        );
        header.bits = CompactTarget::from_consensus(0x1803_1abc);
        extend(&mut headers, &[header]);
    }

    #[test]
    fn a_change_needs_the_block_before_the_period() {
        let full = mainnet(42_335, 0x1803_1abc, |height| height * 600);
        let (_, tip) = full.tip().unwrap();
        let mut headers = Headers::new(Network::Mainnet, full.checkpoint());
        headers.anchor(*tip).unwrap();
        for height in (40_320..42_335).rev() {
            headers.prepend(*full.get(height).unwrap()).unwrap();
        }
        let next = after(tip, tip.time + 600);
        let mut candidate = headers.candidate(42_335).unwrap();
        assert_eq!(
            candidate.push_recorded(&headers, next),
            Err(HeaderError::Missing(40_319))
        );
        headers.prepend(*full.get(40_319).unwrap()).unwrap();
        assert_eq!(candidate.push_recorded(&headers, next), Ok(()));
    }
}
