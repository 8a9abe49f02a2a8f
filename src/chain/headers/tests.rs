use bitcoin::CompactTarget;

use super::*;
use crate::chain::network::Checkpoint;
use crate::chain::proof_of_work::WorkError;
use crate::chain::rules::MAX_AHEAD;
use crate::chain::testing::*;

/// Pushes every header of a branch with its proof of work.
fn offer(headers: &Headers, fork: u32, count: usize, salt: u8) -> Candidate {
    let mut candidate = headers.candidate(fork).unwrap();
    for full in branch(headers.get(fork).unwrap(), count, salt) {
        candidate.push(headers, &full, u64::from(u32::MAX)).unwrap();
    }
    candidate
}

fn is_linked(headers: &Headers) -> bool {
    let (tip, header) = headers.tip().unwrap();
    headers.hash(tip) == Some(header.block_hash())
        && (headers.lowest().unwrap() + 1..=tip).all(|height| {
            let parent = headers.get(height - 1).unwrap().block_hash();
            headers.get(height).unwrap().prev_blockhash == parent
                && headers.hash(height - 1) == Some(parent)
        })
}

#[test]
fn the_recorded_chain_is_taken() {
    let headers = regtest(251);
    let recorded = recorded();
    assert_eq!(headers.tip(), Some((250, &recorded[250])));
    assert_eq!(
        headers.hash(250).unwrap().to_string(),
        "5e1a9e8d3e405734ae06ea02ba202302310504dc127abc928da9e00acaae1fbc"
    );
    assert_eq!(headers.lowest(), Some(0));
    assert!((0..251).all(|height| headers.get(height) == recorded.get(height as usize)));
    assert_eq!(headers.get(251), None);
    assert_eq!(headers.hash(251), None);
    assert!(is_linked(&headers));
    // A block of the regtest is two hashes of work.
    assert_eq!(headers.work().to_string(), "500");
    let work = |height| headers.work_up_to(height).map(|work| work.to_string());
    assert_eq!(work(250).as_deref(), Some("500"));
    assert_eq!(work(1).as_deref(), Some("2"));
    assert_eq!((work(0), work(251), work(u32::MAX)), (None, None, None));
    let total = headers.total_work_up_to(250).unwrap();
    assert_eq!(total.to_string(), "502", "with the genesis");
    assert!(headers.is_complete());
}

#[test]
fn nothing_is_known_before_the_checkpoint() {
    let mut headers = Headers::new(Network::Regtest, Network::Regtest.checkpoint());
    assert_eq!(headers.tip(), None);
    assert_eq!(headers.lowest(), None);
    assert_eq!(headers.get(0), None);
    assert_eq!(headers.hash(0), None);
    assert!(!headers.is_complete());
    assert!(headers.candidate(0).is_none());
    let recorded = recorded();
    assert_eq!(headers.prepend(recorded[0]), Err(HeaderError::Missing(0)));
    assert_eq!(headers.anchor(recorded[1]), Err(HeaderError::Checkpoint));
    headers.anchor(recorded[0]).unwrap();
    headers.anchor(recorded[0]).unwrap();
    assert_eq!(headers.tip(), Some((0, &recorded[0])));
    assert_eq!(headers.work(), work::zero());
}

#[test]
fn a_checkpoint_with_impossible_bits_is_refused() {
    for bits in [
        0,
        0x1d01_0000,
        0xff12_3456,
        0x1c80_0001,
        0x1c00_0012,
        0x2100_ffff,
    ] {
        let anchor = first(1, bits);
        let checkpoint = Checkpoint {
            height: 100,
            hash: anchor.block_hash(),
        };
        let mut headers = Headers::new(Network::Mainnet, checkpoint);
        assert_eq!(headers.anchor(anchor), Err(HeaderError::Checkpoint));
    }
}

#[test]
fn headers_below_are_taken_by_their_links_alone() {
    let recorded = recorded();
    let checkpoint = Checkpoint {
        height: 200,
        hash: recorded[200].block_hash(),
    };
    let mut headers = Headers::new(Network::Regtest, checkpoint);
    headers.anchor(recorded[200]).unwrap();
    assert_eq!(headers.prepend(recorded[198]), Err(HeaderError::Link));
    assert_eq!(headers.prepend(recorded[200]), Err(HeaderError::Link));
    for height in (0..200).rev() {
        assert!(!headers.is_complete());
        assert_eq!(headers.get(height), None);
        headers.prepend(recorded[height as usize]).unwrap();
        assert_eq!(headers.lowest(), Some(height));
    }
    assert_eq!(headers.prepend(recorded[0]), Err(HeaderError::Link));
    // The start of the period is the genesis.
    assert!(headers.is_complete());
    extend(&mut headers, &recorded[201..]);
    assert!(is_linked(&headers));
    assert_eq!(headers.work().to_string(), "100");
    assert!(headers.candidate(199).is_none());
    assert!(headers.candidate(200).is_some());
    assert!(headers.candidate(251).is_none());
}

#[test]
fn nothing_is_taken_below_height_0() {
    // As happens with a checkpoint whose height is wrong.
    let recorded = recorded();
    let checkpoint = Checkpoint {
        height: 1,
        hash: recorded[200].block_hash(),
    };
    let mut headers = Headers::new(Network::Regtest, checkpoint);
    headers.anchor(recorded[200]).unwrap();
    headers.prepend(recorded[199]).unwrap();
    assert_eq!(headers.prepend(recorded[198]), Err(HeaderError::Link));
    assert_eq!(headers.lowest(), Some(0));
}

#[test]
fn what_is_needed_below_follows_the_tip() {
    let headers = Headers::new(Network::Mainnet, Network::Mainnet.checkpoint());
    assert_eq!(headers.lowest_needed(815_000), 779_000);
    assert_eq!(headers.lowest_needed(850_462), 814_462);
    assert_eq!(headers.lowest_needed(850_464), 814_463);
    assert_eq!(headers.lowest_needed(900_000), 814_463);
    let at = |height| {
        let hash = Network::Mainnet.genesis();
        Headers::new(Network::Mainnet, Checkpoint { height, hash })
    };
    // The median needs more than the period where that has just begun.
    assert_eq!(at(20_160).lowest_needed(90_000), 20_149);
    assert_eq!(at(20_171).lowest_needed(90_000), 20_159);
    assert_eq!(at(5).lowest_needed(90_000), 0);
    assert_eq!(at(5).lowest_needed(7), 0);
}

#[test]
fn most_work_wins_at_any_depth() {
    for depth in [1, 50, 150] {
        let fork = 250 - depth;
        for (count, wins) in [(depth - 1, false), (depth, false), (depth + 1, true)] {
            let mut headers = regtest(251);
            let candidate = offer(&headers, fork, count as usize, 1);
            assert_eq!(candidate.work().to_string(), (2 * count).to_string());
            let adoption = headers.adopt(&candidate);
            if wins {
                assert_eq!(adoption, Adoption::Replaced { depth, count });
                assert_eq!(headers.tip().unwrap().0, 251);
                assert_eq!(headers.hash(251), Some(candidate.tip_hash()));
                assert_eq!(headers.work().to_string(), "502");
            } else {
                assert_eq!(adoption, Adoption::Kept);
                assert_eq!(headers.tip(), regtest(251).tip());
                assert_eq!(headers.work().to_string(), "500");
            }
            assert!(is_linked(&headers));
        }
    }
}

#[test]
fn blocks_in_common_are_neither_given_up_nor_new() {
    let recorded = recorded();
    let mut headers = regtest(200);
    let mut candidate = headers.candidate(100).unwrap();
    for header in &recorded[101..251] {
        candidate.push_recorded(&headers, *header).unwrap();
    }
    assert_eq!(headers.adopt(&candidate), Adoption::Extended { count: 51 });
    assert_eq!(headers.tip(), regtest(251).tip());
    assert_eq!(headers.adopt(&candidate), Adoption::Kept);

    let mut candidate = headers.candidate(100).unwrap();
    for header in &recorded[101..231] {
        candidate.push_recorded(&headers, *header).unwrap();
    }
    for full in branch(&recorded[230], 21, 1) {
        candidate
            .push(&headers, &full, u64::from(u32::MAX))
            .unwrap();
    }
    let (depth, count) = (20, 21);
    assert_eq!(
        headers.adopt(&candidate),
        Adoption::Replaced { depth, count }
    );
    assert!(is_linked(&headers));
}

#[test]
fn an_empty_branch_changes_nothing() {
    let mut headers = regtest(251);
    for fork in [0, 100, 250] {
        let candidate = headers.candidate(fork).unwrap();
        assert_eq!(headers.adopt(&candidate), Adoption::Kept);
    }
    assert_eq!(headers.tip(), regtest(251).tip());
}

#[test]
fn a_branch_whose_beginning_was_given_up_is_refused() {
    let mut headers = regtest(251);
    let winner = offer(&headers, 240, 20, 1);
    let mut stale = offer(&headers, 245, 100, 2);
    let fresh = offer(&headers, 240, 100, 3);
    let _ = headers.adopt(&winner);
    assert_eq!(headers.adopt(&stale), Adoption::Stale);
    assert_eq!(headers.hash(260), Some(winner.tip_hash()));
    let next = branch(stale.headers().last().unwrap(), 1, 2);
    assert_eq!(
        stale.push(&headers, &next[0], u64::from(u32::MAX)),
        Err(HeaderError::Stale)
    );
    assert_eq!(
        headers.adopt(&fresh),
        Adoption::Replaced {
            depth: 20,
            count: 100
        }
    );
}

#[test]
fn the_newest_are_given_up_down_to_the_checkpoint() {
    let mut headers = regtest(251);
    headers.give_up_newest(100);
    assert_eq!(headers.tip(), regtest(151).tip());
    assert_eq!(headers.work(), regtest(151).work());
    assert!(is_linked(&headers));
    headers.give_up_newest(100);
    headers.give_up_newest(100);
    assert_eq!(headers.tip().unwrap().0, 0);
    assert_eq!(headers.hash(0), Some(Network::Regtest.genesis()));
    let mut empty = Headers::new(Network::Regtest, Network::Regtest.checkpoint());
    empty.give_up_newest(100);
    assert_eq!(empty.tip(), None);
}

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
