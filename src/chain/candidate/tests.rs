use bitcoin::CompactTarget;

use super::super::network::Checkpoint;
use super::super::rules::MAX_AHEAD;
use super::super::sealed::WorkError;
use super::super::testing::*;
use super::*;

const NOW: u64 = u32::MAX as u64;

/// What a sound header after the recorded ones is taken as when `change` was
/// made to it and it was mined again.
fn result(change: impl Fn(&mut Header), now: u64) -> Result<(), HeaderError> {
    let ours = regtest(251);
    let mut candidate = ours.candidate(250).unwrap();
    let (_, tip) = ours.tip().unwrap();
    let mut header = after(tip, tip.time + 1);
    change(&mut header);
    let result = candidate.push(&ours, &mine(header, true), now);
    let added = usize::from(result.is_ok());
    assert_eq!(candidate.headers().len(), added);
    assert_eq!(candidate.tip(), 250 + added as u32);
    result
}

/// Times of the eleven newest recorded headers, in order.
fn newest_times() -> Vec<u32> {
    let mut times: Vec<u32> = recorded()[240..].iter().map(|h| h.time).collect();
    times.sort_unstable();
    times
}

#[test]
fn each_rule_broken_gives_its_error() {
    assert_eq!(result(|_| {}, NOW), Ok(()));

    let other = recorded()[249].block_hash();
    assert_eq!(
        result(|header| header.prev_blockhash = other, NOW),
        Err(HeaderError::Link)
    );
    assert_eq!(
        result(
            |header| header.bits = CompactTarget::from_consensus(0x207f_fffe),
            NOW
        ),
        Err(HeaderError::Bits {
            found: 0x207f_fffe,
            expected: 0x207f_ffff
        })
    );
    let median = newest_times()[5];
    assert_eq!(result(|header| header.time = median + 1, NOW), Ok(()));
    for time in [median, 0] {
        assert_eq!(
            result(|header| header.time = time, NOW),
            Err(HeaderError::Early { time, median })
        );
    }
}

#[test]
fn a_header_is_two_hours_ahead_at_most() {
    let time = u64::from(recorded()[250].time + 1);
    assert_eq!(result(|_| {}, time - MAX_AHEAD), Ok(()));
    assert_eq!(
        result(|_| {}, time - MAX_AHEAD - 1),
        Err(HeaderError::Ahead(MAX_AHEAD + 1))
    );
    assert_eq!(
        result(|header| header.time = u32::MAX, 0),
        Err(HeaderError::Ahead(NOW))
    );
}

#[test]
fn work_is_demanded_unless_the_header_was_recorded() {
    let ours = regtest(251);
    let (_, tip) = ours.tip().unwrap();
    let idle = mine(after(tip, tip.time + 1), false);
    let mut candidate = ours.candidate(250).unwrap();
    assert!(matches!(
        candidate.push(&ours, &idle, NOW),
        Err(HeaderError::Work(WorkError::Hash))
    ));
    assert!(candidate.headers().is_empty());
    candidate.push_recorded(&ours, idle.header).unwrap();
    assert_eq!(candidate.tip_hash(), idle.header.block_hash());
}

#[test]
fn a_recorded_header_keeps_all_other_rules() {
    let ours = regtest(251);
    let (_, tip) = ours.tip().unwrap();
    let mut candidate = ours.candidate(250).unwrap();
    let sound = after(tip, tip.time + 1);
    let mut push = |change: &dyn Fn(&mut Header)| {
        let mut header = sound;
        change(&mut header);
        candidate.push_recorded(&ours, header).unwrap_err()
    };
    let other = recorded()[0].block_hash();
    assert_eq!(push(&|h| h.prev_blockhash = other), HeaderError::Link);
    assert!(matches!(
        push(&|h| h.bits = CompactTarget::from_consensus(0xff7f_ffff)),
        HeaderError::Bits { .. }
    ));
    assert!(matches!(push(&|h| h.time = 1), HeaderError::Early { .. }));
}

#[test]
fn the_median_is_over_those_that_there_are() {
    // At height `n` the median is over min(n, 11) headers.
    let genesis = recorded()[0];
    let start = genesis.time;
    let mut headers = regtest(1);
    let offsets = [9, 3, 8, 20, 2, 7, 6, 5, 30, 31, 4, 32, 33, 9, 34, 35];
    let mut times = vec![start];
    for offset in offsets {
        let mut last: Vec<u32> = times.iter().rev().take(11).copied().collect();
        last.sort_unstable();
        let median = last[last.len() / 2];
        let (tip, parent) = headers.tip().unwrap();
        let mut candidate = headers.candidate(tip).unwrap();
        assert_eq!(
            candidate.push_recorded(&headers, after(parent, median)),
            Err(HeaderError::Early {
                time: median,
                median
            })
        );
        let time = (start + offset).max(median + 1);
        let lowest = after(parent, median + 1);
        assert_eq!(candidate.push_recorded(&headers, lowest), Ok(()));
        let next = after(parent, time);
        extend(&mut headers, &[next]);
        times.push(time);
    }
}

#[test]
fn what_the_check_needs_must_be_there() {
    let recorded = recorded();
    let checkpoint = Checkpoint {
        height: 100,
        hash: recorded[100].block_hash(),
    };
    let mut ours = Headers::new(Network::Regtest, checkpoint);
    ours.anchor(recorded[100]).unwrap();
    for height in (90..100).rev() {
        let mut candidate = ours.candidate(100).unwrap();
        assert_eq!(
            candidate.push_recorded(&ours, recorded[101]),
            Err(HeaderError::Missing(90))
        );
        ours.prepend(recorded[height]).unwrap();
    }
    let mut candidate = ours.candidate(100).unwrap();
    assert_eq!(candidate.push_recorded(&ours, recorded[101]), Ok(()));
}

#[test]
fn a_branch_does_not_grow_without_bound() {
    let ours = regtest(251);
    let (_, tip) = ours.tip().unwrap();
    let mut candidate = ours.candidate(250).unwrap();
    let next = after(tip, tip.time + 1);
    candidate.headers = vec![next; MAX_LENGTH];
    assert_eq!(
        candidate.push_recorded(&ours, next),
        Err(HeaderError::TooLong)
    );
}
