//! From what servers list and prove to what is known of a name.
//!
//! The newest operation counts that has enough confirmations and is not
//! expired. A newer one that is not yet deep enough hides nothing: the name
//! keeps its older value until then. No server can prove that there is no
//! newer operation, which is why two are asked and the newest proven one wins.

use thiserror::Error;

use super::evidence::Operation;
use super::reply::{HistoryEntry, ValueProof};
use crate::snapshot::{Absence, Fetched};

/// The most operations on a name in one block that are looked at. Nodes relay
/// one; each costs two requests.
pub(super) const MAX_OPERATIONS_OF_A_BLOCK: usize = 4;

/// Blocks below the tip at which an operation has the 12 confirmations that
/// are usual. Above that, honest servers' chains may differ for a while.
pub(super) const USUAL_DEPTH: u32 = 11;

/// The step in which heights are told to servers.
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

/// In which state an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Usable,
    Unsettled,
    Expired,
}

impl Terms {
    fn state(self, height: u32) -> State {
        let Some(depth) = self.tip.checked_sub(height) else {
            // The server may know blocks that we do not have yet.
            return State::Unsettled;
        };
        if depth >= self.expiry {
            State::Expired
        } else if depth < self.confirmations.saturating_sub(1) {
            State::Unsettled
        } else {
            State::Usable
        }
    }
}

/// Something that a server lists at a height.
pub(super) trait Listed {
    /// The height of the block that it is in, on the server's word.
    fn height(&self) -> u32;
}

impl Listed for HistoryEntry {
    fn height(&self) -> u32 {
        self.height
    }
}

impl Listed for ValueProof<'_> {
    fn height(&self) -> u32 {
        self.height
    }
}

/// What one server's reply amounts to, after proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Account {
    /// The newest usable operation, proven.
    Value(Operation),
    /// There are only operations with too few confirmations. Nothing is
    /// proven, here and below.
    Unsettled,
    /// The newest operation has expired.
    Expired,
    /// There is no operation.
    Nothing,
}

/// What follows from a list of operations.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Selection<T> {
    /// These operations of one block are to be proven, all of them; then
    /// [`newest`] says which one counts.
    Prove(Vec<T>),
    /// Nothing is to be proven.
    Settled(Account),
}

/// A list has too many operations in one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the name has more than {MAX_OPERATIONS_OF_A_BLOCK} operations in one block")]
pub(super) struct TooManyOperations;

/// Takes off a server's list what has to be proven: all operations at the
/// greatest height that is usable. The order of the list does not matter. If
/// none of them turns out to be one, the rest of the list is looked at.
///
/// # Errors
/// There are more than [`MAX_OPERATIONS_OF_A_BLOCK`].
pub(super) fn select<T: Listed>(
    list: &mut Vec<T>,
    terms: Terms,
) -> Result<Selection<T>, TooManyOperations> {
    let mut chosen = None;
    let mut otherwise = Account::Nothing;
    for height in list.iter().map(T::height) {
        match terms.state(height) {
            State::Usable => chosen = chosen.max(Some(height)),
            State::Unsettled => otherwise = Account::Unsettled,
            State::Expired if otherwise == Account::Nothing => otherwise = Account::Expired,
            State::Expired => {}
        }
    }
    let Some(height) = chosen else {
        return Ok(Selection::Settled(otherwise));
    };
    let all = std::mem::take(list).into_iter();
    let (operations, rest): (Vec<T>, Vec<T>) =
        all.partition(|operation| operation.height() == height);
    *list = rest;
    if operations.len() > MAX_OPERATIONS_OF_A_BLOCK {
        return Err(TooManyOperations);
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
/// not tell what the user has set; and all clients that are up to date ask
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
pub(super) fn judge(first: Account, second: Account) -> Account {
    use Account::{Expired, Nothing, Unsettled, Value};
    match (first, second) {
        (Value(first), Value(second)) if second.order() > first.order() => Value(second),
        (Value(operation), _) | (_, Value(operation)) => Value(operation),
        (Unsettled, _) | (_, Unsettled) => Unsettled,
        (Expired, _) | (_, Expired) => Expired,
        (Nothing, Nothing) => Nothing,
    }
}

impl From<Account> for Fetched {
    fn from(account: Account) -> Self {
        match account {
            Account::Value(operation) => Self::Value(operation.value),
            Account::Unsettled => Self::Absent(Absence::NotYetSafe),
            Account::Expired => Self::Absent(Absence::Expired),
            Account::Nothing => Self::Absent(Absence::NeverExisted),
        }
    }
}

#[cfg(test)]
mod tests;
