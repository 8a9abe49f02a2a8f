use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

impl Listed for u32 {
    fn height(&self) -> u32 {
        *self
    }
}

const TERMS: Terms = Terms {
    tip: 250,
    confirmations: 12,
    expiry: 30,
};

fn prove(heights: &[u32]) -> Result<Selection<u32>, TooManyOperations> {
    Ok(Selection::Prove(heights.to_vec()))
}

fn settled(account: Account) -> Result<Selection<u32>, TooManyOperations> {
    Ok(Selection::Settled(account))
}

#[test]
fn the_newest_operation_that_is_deep_and_young_enough_counts() {
    for (list, expected) in [
        (&[][..], settled(Account::Nothing)),
        (&[236], prove(&[236])),
        (&[230, 236, 233], prove(&[236])),
        // 12 confirmations, and 11.
        (&[239], prove(&[239])),
        (&[240], settled(Account::Unsettled)),
        (&[250], settled(Account::Unsettled)),
        // A newer one that is not deep enough does not hide an older one.
        (&[236, 240, 250], prove(&[236])),
        (&[236, 251], prove(&[236])),
        // Above the tip.
        (&[251], settled(Account::Unsettled)),
        (&[u32::MAX], settled(Account::Unsettled)),
        // The last block before it expires, and the first after.
        (&[221], prove(&[221])),
        (&[220], settled(Account::Expired)),
        (&[1, 0, 220], settled(Account::Expired)),
        // Registered anew.
        (&[220, 240], settled(Account::Unsettled)),
        (&[240, 220], settled(Account::Unsettled)),
        (&[220, 239], prove(&[239])),
        // Several in one block.
        (&[236, 230, 236, 250, 236], prove(&[236, 236, 236])),
        (&[236; 4], prove(&[236; 4])),
        (&[236; 5], Err(TooManyOperations)),
        (&[230, 230, 230, 230, 230, 236], prove(&[236])),
    ] {
        let mut rest = list.to_vec();
        let selection = select(&mut rest, TERMS);
        assert_eq!(selection, expected, "{list:?}");
        if let Ok(Selection::Prove(taken)) = selection {
            let others = list.iter().filter(|height| !taken.contains(height));
            assert_eq!(rest, others.copied().collect::<Vec<_>>(), "{list:?}");
        }
    }
}

#[test]
fn terms_have_no_corner_in_which_they_fail() {
    let extremes = [0, 1, 2, 11, 12, 30, 250, u32::MAX - 1, u32::MAX];
    for tip in extremes {
        for confirmations in extremes {
            for expiry in extremes {
                let terms = Terms {
                    tip,
                    confirmations,
                    expiry,
                };
                for height in extremes {
                    let wide = |n: u32| u64::from(n);
                    let is_expired = wide(height) + wide(expiry) <= wide(tip);
                    let is_deep = wide(height) + wide(confirmations) <= wide(tip) + 1;
                    let expected = if height > tip {
                        State::Unsettled
                    } else if is_expired {
                        State::Expired
                    } else if is_deep {
                        State::Usable
                    } else {
                        State::Unsettled
                    };
                    assert_eq!(terms.state(height), expected, "{terms:?} {height}");
                }
                let cp_height = value_proof_height(tip, confirmations);
                assert_eq!(cp_height % 144, 0);
                assert!(is_complete(cp_height, tip, confirmations));
                assert!(cp_height <= tip.saturating_sub(11));
            }
        }
    }
}

#[test]
fn the_height_for_value_proofs_moves_once_a_day() {
    for (tip, confirmations, expected) in [
        (0, 12, 0),
        (154, 12, 0),
        (155, 12, 144),
        (155, 1, 144),
        (155, 0, 144),
        (155, 13, 0),
        (250, 12, 144),
        (298, 12, 144),
        (299, 12, 288),
        (852_000, 12, 851_904),
        (852_000, 200, 851_760),
        (250, u32::MAX, 0),
    ] {
        assert_eq!(
            value_proof_height(tip, confirmations),
            expected,
            "{tip} {confirmations}"
        );
    }
}

/// What ElectrumX lists of a history, newest first.
fn listed(history: &[u32], cp_height: u32, expiry: u32) -> Vec<u32> {
    let mut list = Vec::new();
    let mut newer: Option<u32> = None;
    for &height in history.iter().rev() {
        if newer.is_some_and(|newer| height + expiry < newer) {
            break;
        }
        list.push(height);
        if height <= cp_height {
            break;
        }
        newer = Some(height);
    }
    list
}

#[test]
fn a_list_of_value_proofs_says_what_the_whole_history_says() {
    let mut rng = StdRng::seed_from_u64(8);
    let mut outcomes = [0; 4];
    for _ in 0..50_000 {
        let tip = rng.random_range(0..2_000);
        let terms = Terms {
            tip,
            confirmations: rng.random_range(0..400),
            expiry: rng.random_range(1..1_500),
        };
        let mut history: Vec<u32> = (0..rng.random_range(0..6))
            .map(|_| rng.random_range(0..=tip))
            .collect();
        history.sort_unstable();
        history.dedup();
        let cp_height = value_proof_height(tip, terms.confirmations);
        let whole = select(&mut history.clone(), terms).unwrap();
        let mut list = listed(&history, cp_height, terms.expiry);
        assert_eq!(
            select(&mut list, terms).unwrap(),
            whole,
            "{terms:?} {history:?}"
        );

        // The client may ask for another height, or the chain become shorter.
        let other = rng.random_range(0..=tip);
        let list = select(&mut listed(&history, other, terms.expiry), terms).unwrap();
        if is_complete(other, tip, terms.confirmations) || matches!(list, Selection::Prove(_)) {
            assert_eq!(list, whole, "{terms:?} {history:?} {other}");
        }
        outcomes[match whole {
            Selection::Prove(_) => 0,
            Selection::Settled(Account::Unsettled) => 1,
            Selection::Settled(Account::Expired) => 2,
            Selection::Settled(_) => 3,
        }] += 1;
    }
    assert!(outcomes.iter().all(|&n| n > 2_000), "{outcomes:?}");
}

#[test]
fn a_list_may_fall_short_when_the_chain_has() {
    // Asked at height 155, answered for 144; then the chain lost a block.
    assert_eq!(value_proof_height(155, 12), 144);
    assert!(is_complete(144, 155, 12));
    assert!(!is_complete(144, 154, 12));
    assert!(is_complete(0, 154, 12));
    // More confirmations than the height allows for.
    assert!(!is_complete(144, 250, 200));
    assert!(!is_complete(144, 100, 200));
}

fn operation(height: u32, position: u32, value: &[u8]) -> Operation {
    Operation {
        height,
        position,
        value: value.into(),
    }
}

#[test]
fn the_newest_operation_is_the_last_in_the_last_block() {
    assert_eq!(newest([]), None);
    let (early, late) = (operation(236, 9, b"1"), operation(237, 1, b"2"));
    let last = operation(237, 2, b"3");
    for order in [
        [&early, &late, &last],
        [&last, &late, &early],
        [&late, &last, &early],
    ] {
        assert_eq!(newest(order.map(Clone::clone)), Some(last.clone()));
    }
}

#[test]
fn the_newest_proven_operation_wins_and_absence_is_graded() {
    use Account::{Expired, Nothing, Unsettled, Value};
    let value = |height, position| Value(operation(height, position, b"v"));
    for (first, second, expected) in [
        (value(236, 1), value(235, 9), value(236, 1)),
        (value(236, 1), value(236, 2), value(236, 2)),
        (value(236, 2), value(236, 2), value(236, 2)),
        (value(1, 0), Unsettled, value(1, 0)),
        (value(1, 0), Expired, value(1, 0)),
        (value(1, 0), Nothing, value(1, 0)),
        (Unsettled, Unsettled, Unsettled),
        (Unsettled, Expired, Unsettled),
        (Unsettled, Nothing, Unsettled),
        (Expired, Expired, Expired),
        (Expired, Nothing, Expired),
        (Nothing, Nothing, Nothing),
    ] {
        assert_eq!(judge(first.clone(), second.clone()), expected);
        assert_eq!(judge(second, first), expected);
    }
}

#[test]
fn accounts_become_answers() {
    for (account, fetched) in [
        (
            Account::Value(operation(1, 2, b"v")),
            Fetched::Value(b"v".as_slice().into()),
        ),
        (Account::Unsettled, Fetched::Absent(Absence::NotYetSafe)),
        (Account::Expired, Fetched::Absent(Absence::Expired)),
        (Account::Nothing, Fetched::Absent(Absence::NeverExisted)),
    ] {
        assert_eq!(Fetched::from(account), fetched);
    }
}
