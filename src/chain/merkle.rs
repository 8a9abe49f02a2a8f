//! The way from a leaf of a Merkle tree to its root.

use bitcoin::Transaction;
use bitcoin::consensus::deserialize;
use bitcoin::hashes::{Hash, sha256d};
use thiserror::Error;

/// Why a branch is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FoldError {
    /// The index has bits beyond the length of the branch.
    #[error("the index is too large for the branch")]
    Index,
    /// An inner node is also a transaction, so that the leaf may be below a
    /// transaction (CVE-2017-12842).
    #[error("an inner node of the branch reads as a transaction")]
    InnerTransaction,
}

/// Folds a leaf through a branch to the root. Bit `n` of `index` says whether
/// the `n`th sibling is on the left. Hashes are in memory order.
///
/// # Errors
/// The branch is invalid or cannot be trusted.
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
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(left);
        bytes[32..].copy_from_slice(right);
        if is_transaction(&bytes) {
            return Err(FoldError::InnerTransaction);
        }
        node = sha256d::Hash::hash(&bytes).to_byte_array();
        rest >>= 1;
    }
    Ok(node)
}

/// Whether an inner node is a whole transaction.
///
/// One without inputs or outputs does not count, since no chain accepts it.
/// If it did, a random node would read as a transaction with a probability of
/// 2⁻²⁴, and an honest header be refused about once in twenty years.
fn is_transaction(node: &[u8; 64]) -> bool {
    has_one_input(node)
        && deserialize::<Transaction>(node).is_ok_and(|transaction| !transaction.output.is_empty())
}

/// Whether a node has a 1 where a transaction has its number of inputs: after
/// the version, or after version, marker and flag. A transaction of 64 bytes
/// has one input, as two take 82 bytes. This saves parsing most nodes.
fn has_one_input(node: &[u8; 64]) -> bool {
    matches!(node, [_, _, _, _, 1, ..] | [_, _, _, _, 0, 1, 1, ..])
}

#[cfg(test)]
mod tests {
    use bitcoin::consensus::serialize;
    use bitcoin::{OutPoint, ScriptBuf, Sequence, TxIn, TxOut, Txid, Witness};

    use super::*;

    fn hash(bytes: &[u8]) -> [u8; 32] {
        sha256d::Hash::hash(bytes).to_byte_array()
    }

    /// The branch of a leaf in Bitcoin's tree, which repeats the last node of
    /// an odd level.
    fn branch(leaves: &[[u8; 32]], mut index: usize) -> Vec<[u8; 32]> {
        let mut level = leaves.to_vec();
        let mut branch = Vec::new();
        while level.len() > 1 {
            if level.len() % 2 == 1 {
                level.push(*level.last().unwrap());
            }
            branch.push(level[index ^ 1]);
            level = level.chunks(2).map(|pair| hash(&pair.concat())).collect();
            index /= 2;
        }
        branch
    }

    /// A transaction of one input and so many outputs, with scripts of these
    /// lengths.
    fn transaction(script_sig: usize, outputs: usize, script_pubkey: usize) -> Transaction {
        Transaction {
            version: bitcoin::transaction::Version(0x7100),
            input: vec![TxIn {
                previous_output: OutPoint {
                    txid: Txid::from_byte_array([0xa5; 32]),
                    vout: 3,
                },
                script_sig: ScriptBuf::from_bytes(vec![0xb6; script_sig]),
                sequence: Sequence::MAX,
                witness: Witness::new(),
            }],
            output: vec![
                TxOut {
                    value: bitcoin::Amount::from_sat(7),
                    script_pubkey: ScriptBuf::from_bytes(vec![0xc7; script_pubkey]),
                };
                outputs
            ],
            lock_time: bitcoin::absolute::LockTime::ZERO,
        }
    }

    /// Every shape of a transaction of 64 bytes with an input and an output.
    fn transactions() -> Vec<[u8; 64]> {
        let plain = (0..=4).map(|length| transaction(length, 1, 4 - length));
        let mut witnessed = transaction(0, 1, 0);
        witnessed.input[0].witness = Witness::from_slice(&[[]; 1]);
        plain
            .chain([witnessed])
            .map(|transaction| serialize(&transaction).try_into().unwrap())
            .collect()
    }

    #[test]
    fn every_leaf_of_a_tree_leads_to_its_root() {
        for count in 1..=9_u8 {
            let leaves: Vec<_> = (0..count).map(|number| hash(&[number])).collect();
            let ids = leaves.iter().copied().map(sha256d::Hash::from_byte_array);
            let root = bitcoin::merkle_tree::calculate_root(ids).unwrap();
            for (index, leaf) in leaves.iter().enumerate() {
                let branch = branch(&leaves, index);
                let index = u32::try_from(index).unwrap();
                assert_eq!(fold(*leaf, &branch, index), Ok(root.to_byte_array()));
                assert_ne!(fold([0xee; 32], &branch, index), Ok(root.to_byte_array()));
            }
        }
    }

    #[test]
    fn an_index_beyond_the_branch_is_refused() {
        let leaf = [1; 32];
        assert_eq!(fold(leaf, &[], 0), Ok(leaf));
        for length in 0..31 {
            let branch = vec![[2; 32]; length];
            assert!(fold(leaf, &branch, (1 << length) - 1).is_ok());
            for index in [1 << length, (1 << length) + 1, 1 << 31, u32::MAX] {
                assert_eq!(fold(leaf, &branch, index), Err(FoldError::Index));
            }
        }
        for length in [32, 33, 64] {
            assert!(fold(leaf, &vec![[2; 32]; length], u32::MAX).is_ok());
        }
    }

    #[test]
    fn the_bits_of_the_index_say_which_side_the_sibling_is_on() {
        let [leaf, first, second] = [[1; 32], [2; 32], [3; 32]];
        let pair = |left: [u8; 32], right: [u8; 32]| hash(&[left, right].concat());
        let inner = pair(first, leaf);
        assert_eq!(fold(leaf, &[first, second], 0b01), Ok(pair(inner, second)));
        let inner = pair(leaf, first);
        assert_eq!(fold(leaf, &[first, second], 0b10), Ok(pair(second, inner)));
    }

    #[test]
    fn an_inner_node_that_is_a_transaction_is_refused() {
        for node in transactions() {
            let (left, right) = node.split_first_chunk::<32>().unwrap();
            let right: [u8; 32] = right.try_into().unwrap();
            let refused = Err(FoldError::InnerTransaction);
            assert_eq!(fold(*left, &[right], 0), refused);
            assert_eq!(fold(right, &[*left], 1), refused);
            assert_eq!(fold(*left, &[right, [0; 32]], 0b10), refused);
            // The other way round it is none.
            assert!(fold(*left, &[right], 1).is_ok());
        }
    }

    #[test]
    fn a_transaction_further_up_is_found_too() {
        // The second node begins with the hash of the first one, which has
        // the 1 in its place; the rest of the transaction is the sibling.
        let first = (0_u64..)
            .map(|number| {
                let mut sibling = [0; 32];
                sibling[..8].copy_from_slice(&number.to_le_bytes());
                sibling
            })
            .find(|sibling| hash(&[[9; 32], *sibling].concat())[4] == 1)
            .unwrap();
        let second: [u8; 32] = transactions()[0][32..].try_into().unwrap();
        assert!(fold([9; 32], &[first], 0).is_ok());
        let refused = Err(FoldError::InnerTransaction);
        assert_eq!(fold([9; 32], &[first, second], 0), refused);
    }

    #[test]
    fn without_inputs_or_outputs_it_is_no_transaction() {
        let without_outputs: [u8; 64] = serialize(&transaction(13, 0, 0)).try_into().unwrap();
        assert!(deserialize::<Transaction>(&without_outputs).is_ok());
        assert!(!is_transaction(&without_outputs));
        // Version, marker, flag, no inputs, one output, no lock time.
        let mut without_inputs = [0; 64];
        without_inputs[5] = 1;
        without_inputs[7] = 1;
        without_inputs[16] = 43;
        assert!(deserialize::<Transaction>(&without_inputs).is_ok());
        assert!(!is_transaction(&without_inputs));
    }

    #[test]
    fn the_quick_look_misses_no_transaction() {
        let whole = |node: &[u8; 64]| {
            deserialize::<Transaction>(node)
                .is_ok_and(|read| !read.input.is_empty() && !read.output.is_empty())
        };
        let mut found = 0;
        for node in transactions() {
            // Every value of every byte that tells how the rest is read.
            for place in (4..7).chain(40..64) {
                for value in 0..=u8::MAX {
                    let mut node = node;
                    node[place] = value;
                    assert_eq!(is_transaction(&node), whole(&node), "{node:02x?}");
                    found += usize::from(whole(&node));
                }
            }
        }
        assert!(found > 1000);
    }
}
