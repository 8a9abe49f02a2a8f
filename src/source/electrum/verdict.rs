//! From what servers list and prove to what is known of a name.
//!
//! The newest operation counts that has enough confirmations and has not expired. A
//! newer one with too few confirmations hides nothing: until then the name keeps
//! its older value. No server can prove that there is no newer operation, which is
//! why two are asked and the newest proven one wins.

use thiserror::Error;

use super::evidence::Operation;
use crate::snapshot::{Absence, Fetched};

/// The most operations on a name in one block that are looked at. Nodes relay
/// one; each costs two requests.
pub(super) const MAX_OPERATIONS_OF_A_BLOCK: usize = 4;

/// Blocks below the tip at which an operation has the 12 confirmations that
/// are usual. Above that, honest servers' chains may differ for a while.
pub(super) const USUAL_DEPTH: u32 = 11;

/// Heights in requests are multiples of this, so that they say little about us.
const STEP: u32 = 144;

/// Which operations count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// The height of the newest verified header.
    pub tip: u32,
    /// How many confirmations an operation needs; the block that holds it is
    /// the first.
    pub confirmations: u32,
    /// After how many blocks an operation expires.
    pub expiry: u32,
}

/// Whether an operation counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OperationStatus {
    Usable,
    Unconfirmed,
    Expired,
}

impl Terms {
    fn status(self, height: u32) -> OperationStatus {
        let Some(depth) = self.tip.checked_sub(height) else {
            // The server may know blocks that we do not have yet.
            return OperationStatus::Unconfirmed;
        };
        if depth >= self.expiry {
            OperationStatus::Expired
        } else if depth < self.confirmations.saturating_sub(1) {
            OperationStatus::Unconfirmed
        } else {
            OperationStatus::Usable
        }
    }
}

/// What is known of a name, after proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NameStatus {
    /// The newest usable operation, proven.
    Value(Operation),
    /// There are only operations with too few confirmations. Nothing is
    /// proven, here and below.
    Unconfirmed,
    /// The newest operation has expired.
    Expired,
    /// There is no operation.
    NeverRegistered,
}

/// What follows from a list of operations.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Selection<T> {
    /// These operations of one block are to be proven, all of them; then
    /// [`newest`] says which one counts.
    Prove(Vec<T>),
    /// Nothing is to be proven.
    Settled(NameStatus),
}

/// A list has too many operations in one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the name has more than {MAX_OPERATIONS_OF_A_BLOCK} operations in one block")]
pub(super) struct TooManyOperationsError;

/// Takes off a server's list what has to be proven: all operations at the
/// greatest height that is usable. The order of the list does not matter. If
/// none of them turns out to be one, the rest of the list is looked at.
///
/// # Errors
/// There are more than [`MAX_OPERATIONS_OF_A_BLOCK`].
pub(super) fn select<T>(
    list: &mut Vec<T>,
    height_of: impl Fn(&T) -> u32,
    terms: Terms,
) -> Result<Selection<T>, TooManyOperationsError> {
    let mut chosen = None;
    let mut otherwise = NameStatus::NeverRegistered;
    for height in list.iter().map(&height_of) {
        match terms.status(height) {
            OperationStatus::Usable => chosen = chosen.max(Some(height)),
            OperationStatus::Unconfirmed => otherwise = NameStatus::Unconfirmed,
            OperationStatus::Expired if otherwise == NameStatus::NeverRegistered => {
                otherwise = NameStatus::Expired
            }
            OperationStatus::Expired => {}
        }
    }
    let Some(height) = chosen else {
        return Ok(Selection::Settled(otherwise));
    };
    let all = std::mem::take(list).into_iter();
    let (operations, rest): (Vec<T>, Vec<T>) =
        all.partition(|operation| height_of(operation) == height);
    *list = rest;
    if operations.len() > MAX_OPERATIONS_OF_A_BLOCK {
        return Err(TooManyOperationsError);
    }
    Ok(Selection::Prove(operations))
}

/// The operation that took effect last.
pub(super) fn newest(operations: impl IntoIterator<Item = Operation>) -> Option<Operation> {
    operations.into_iter().max_by_key(Operation::order)
}

/// The `cp_height` for `blockchain.name.get_value_proof`: the greatest
/// multiple of 144 at which the server may stop listing without leaving out
/// what counts; 0, which asks for all operations, if there is none.
///
/// With a `cp_height` above 0 the list ends with the newest operation at or
/// below that height. It then holds the newest usable operation, or there is
/// none: usable ones are at `tip − (confirmations − 1)` or below. If
/// `cp_height` is not above that, the newest usable one is either above
/// `cp_height`, where the list holds everything, or it is the newest at or
/// below `cp_height`, with which the list ends. For the same reason an empty
/// list means that there is no operation at all. (At 0 a server leaves out
/// what had expired when the name was registered anew.)
///
/// For fewer than 12 confirmations the height is that for 12, so that it does
/// not reveal what the user has set; and all clients that are up to date ask
/// for the same height for a day.
pub(super) fn value_proof_height(tip: u32, confirmations: u32) -> u32 {
    let depth = confirmations.saturating_sub(1).max(USUAL_DEPTH);
    tip.saturating_sub(depth) / STEP * STEP
}

/// Whether a list asked for with `cp_height` may be believed when nothing in
/// it is usable. That fails if the chain has become shorter since
/// [`value_proof_height`] was taken. What is usable in a list counts anyway:
/// everything that the list leaves out is older than everything in it.
pub(super) fn is_complete(cp_height: u32, tip: u32, confirmations: u32) -> bool {
    cp_height == 0
        || tip
            .checked_sub(confirmations.saturating_sub(1))
            .is_some_and(|newest| cp_height <= newest)
}

/// What two servers' accounts amount to: the newest proven operation, whatever
/// the other server says; without one, the absence that says most.
pub(super) fn judge(first: NameStatus, second: NameStatus) -> NameStatus {
    use NameStatus::{Expired, NeverRegistered, Unconfirmed, Value};
    match (first, second) {
        (Value(first), Value(second)) if second.order() > first.order() => Value(second),
        (Value(operation), _) | (_, Value(operation)) => Value(operation),
        (Unconfirmed, _) | (_, Unconfirmed) => Unconfirmed,
        (Expired, _) | (_, Expired) => Expired,
        (NeverRegistered, NeverRegistered) => NeverRegistered,
    }
}

impl From<NameStatus> for Fetched {
    fn from(status: NameStatus) -> Self {
        match status {
            NameStatus::Value(operation) => Self::Value(operation.value),
            NameStatus::Unconfirmed => Self::Absent(Absence::NotYetSafe),
            NameStatus::Expired => Self::Absent(Absence::Expired),
            NameStatus::NeverRegistered => Self::Absent(Absence::NeverExisted),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// A list of heights alone.
    fn select(list: &mut Vec<u32>, terms: Terms) -> Result<Selection<u32>, TooManyOperationsError> {
        super::select(list, |height| *height, terms)
    }

    const TERMS: Terms = Terms {
        tip: 250,
        confirmations: 12,
        expiry: 30,
    };

    fn prove(heights: &[u32]) -> Result<Selection<u32>, TooManyOperationsError> {
        Ok(Selection::Prove(heights.to_vec()))
    }

    fn settled(status: NameStatus) -> Result<Selection<u32>, TooManyOperationsError> {
        Ok(Selection::Settled(status))
    }

    #[test]
    fn the_newest_operation_that_is_deep_and_young_enough_counts() {
        for (list, expected) in [
            (&[][..], settled(NameStatus::NeverRegistered)),
            (&[236], prove(&[236])),
            (&[230, 236, 233], prove(&[236])),
            // 12 confirmations, and 11.
            (&[239], prove(&[239])),
            (&[240], settled(NameStatus::Unconfirmed)),
            (&[250], settled(NameStatus::Unconfirmed)),
            // A newer one that is not deep enough does not hide an older one.
            (&[236, 240, 250], prove(&[236])),
            (&[236, 251], prove(&[236])),
            // Above the tip.
            (&[251], settled(NameStatus::Unconfirmed)),
            (&[u32::MAX], settled(NameStatus::Unconfirmed)),
            // The last block before it expires, and the first after.
            (&[221], prove(&[221])),
            (&[220], settled(NameStatus::Expired)),
            (&[1, 0, 220], settled(NameStatus::Expired)),
            // Registered anew.
            (&[220, 240], settled(NameStatus::Unconfirmed)),
            (&[240, 220], settled(NameStatus::Unconfirmed)),
            (&[220, 239], prove(&[239])),
            // Several in one block.
            (&[236, 230, 236, 250, 236], prove(&[236, 236, 236])),
            (&[236; 4], prove(&[236; 4])),
            (&[236; 5], Err(TooManyOperationsError)),
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
                            OperationStatus::Unconfirmed
                        } else if is_expired {
                            OperationStatus::Expired
                        } else if is_deep {
                            OperationStatus::Usable
                        } else {
                            OperationStatus::Unconfirmed
                        };
                        assert_eq!(terms.status(height), expected, "{terms:?} {height}");
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
                Selection::Settled(NameStatus::Unconfirmed) => 1,
                Selection::Settled(NameStatus::Expired) => 2,
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
        use NameStatus::{Expired, NeverRegistered, Unconfirmed, Value};
        let value = |height, position| Value(operation(height, position, b"v"));
        for (first, second, expected) in [
            (value(236, 1), value(235, 9), value(236, 1)),
            (value(236, 1), value(236, 2), value(236, 2)),
            (value(236, 2), value(236, 2), value(236, 2)),
            (value(1, 0), Unconfirmed, value(1, 0)),
            (value(1, 0), Expired, value(1, 0)),
            (value(1, 0), NeverRegistered, value(1, 0)),
            (Unconfirmed, Unconfirmed, Unconfirmed),
            (Unconfirmed, Expired, Unconfirmed),
            (Unconfirmed, NeverRegistered, Unconfirmed),
            (Expired, Expired, Expired),
            (Expired, NeverRegistered, Expired),
            (NeverRegistered, NeverRegistered, NeverRegistered),
        ] {
            assert_eq!(judge(first.clone(), second.clone()), expected);
            assert_eq!(judge(second, first), expected);
        }
    }
}
