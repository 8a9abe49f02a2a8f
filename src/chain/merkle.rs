//! The way from a leaf of a merkle tree to its root.

use bitcoin::Transaction;
use bitcoin::consensus::deserialize;
use bitcoin::hashes::{Hash, HashEngine, sha256d};
use thiserror::Error;

/// Why a branch leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FoldError {
    /// The index has bits beyond the length of the branch.
    #[error("the index is too large for the branch")]
    Index,
    /// An inner node is a transaction at the same time, so that the leaf may
    /// stand below a transaction (CVE-2017-12842).
    #[error("an inner node of the branch reads as a transaction")]
    InnerTransaction,
}

/// Folds a leaf through a branch to the root. Bit `n` of `index` says whether
/// the `n`th sibling stands on the left. Hashes are in the order of memory.
///
/// # Errors
/// The branch is none, or cannot be trusted.
pub fn fold(leaf: [u8; 32], branch: &[[u8; 32]], index: u32) -> Result<[u8; 32], FoldError> {
    let levels = u32::try_from(branch.len()).unwrap_or(u32::MAX);
    if index.checked_shr(levels).unwrap_or(0) != 0 {
        return Err(FoldError::Index);
    }
    let mut node = leaf;
    let mut rest = index;
    for sibling in branch {
        let (left, right) = if rest & 1 == 1 {
            (sibling, &node)
        } else {
            (&node, sibling)
        };
        let mut octets = [0; 64];
        octets[..32].copy_from_slice(left);
        octets[32..].copy_from_slice(right);
        if deserialize::<Transaction>(&octets).is_ok() {
            return Err(FoldError::InnerTransaction);
        }
        let mut engine = sha256d::Hash::engine();
        engine.input(&octets);
        node = sha256d::Hash::from_engine(engine).to_byte_array();
        rest >>= 1;
    }
    Ok(node)
}
