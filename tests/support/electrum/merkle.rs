//! Merkle trees over raw hashes.

use bitcoin::hashes::{Hash, sha256d};

/// A hash in the order in which it is hashed, the reverse of the written one.
pub type Raw = [u8; 32];

/// Hashes two nodes into the one above.
pub fn parent(left: Raw, right: Raw) -> Raw {
    let mut both = [0; 64];
    both[..32].copy_from_slice(&left);
    both[32..].copy_from_slice(&right);
    sha256d::Hash::hash(&both).to_byte_array()
}

/// Folds a leaf through a branch; a set bit of the index puts the sibling on
/// the left.
pub fn fold(leaf: Raw, branch: &[Raw], index: u32) -> Raw {
    branch
        .iter()
        .enumerate()
        .fold(leaf, |node, (level, other)| {
            if index
                .checked_shr(u32::try_from(level).unwrap())
                .unwrap_or(0)
                & 1
                == 0
            {
                parent(node, *other)
            } else {
                parent(*other, node)
            }
        })
}

/// All levels of a tree, from the leaves to the root.
#[derive(Debug, Clone)]
pub struct Tree(Vec<Vec<Raw>>);

impl Tree {
    /// Panics without leaves.
    pub fn new(leaves: Vec<Raw>) -> Self {
        let mut levels = vec![leaves];
        while levels.last().unwrap().len() > 1 {
            let above = levels
                .last()
                .unwrap()
                .chunks(2)
                .map(|pair| parent(pair[0], *pair.last().unwrap()))
                .collect();
            levels.push(above);
        }
        Self(levels)
    }

    pub fn root(&self) -> Raw {
        self.0.last().unwrap()[0]
    }

    /// The siblings on the way from a leaf to the root; the last of an odd
    /// number is its own sibling.
    pub fn branch(&self, mut index: usize) -> Vec<Raw> {
        let mut branch = Vec::new();
        for level in &self.0[..self.0.len() - 1] {
            branch.push(*level.get(index ^ 1).unwrap_or(&level[index]));
            index /= 2;
        }
        branch
    }
}
