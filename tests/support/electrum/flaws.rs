//! Headers that break one rule of merged mining each, and no other.

use bitcoin::block::{Header, Version};

use super::auxpow::{Branch, CHAIN_ID, Draft, MARKER, grind, slot};

/// The rule that a header breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The block's version names another chain.
    BlockChainId,
    /// A block of version 1 above the genesis, with work of its own.
    Legacy,
    /// Without the version bit no proof follows; the block's own hash does
    /// not meet the target.
    NoWork,
    /// The parent is a block of Namecoin.
    ParentChainId,
    /// The parent is itself merge-mined.
    ParentVersionBit,
    /// The coinbase is not the parent's first transaction.
    CoinbaseIndex,
    /// The coinbase is not among the parent's transactions.
    MerkleRoot,
    /// The coinbase has no inputs.
    NoInputs,
    /// The chain branch has 31 hashes.
    LongChainBranch,
    /// The coinbase's script does not hold the root.
    RootMissing,
    /// The marker follows the root a second time.
    SecondMarker,
    /// One byte stands between marker and root.
    MarkerApart,
    /// Without marker, the root begins at offset 21.
    LateRoot,
    /// Seven bytes follow the root.
    ShortTail,
    /// The size is twice that of the branch.
    WrongSize,
    /// The index of the chain branch is not the chain's.
    WrongSlot,
    /// The parent's hash is above the target.
    NoParentWork,
    /// The index of the chain branch has a bit beyond the branch.
    LargeIndex,
    /// An inner node of the coinbase branch is a transaction.
    InnerTransaction,
    /// The count of the coinbase branch is 2^32.
    HugeBranch,
}

impl Flaw {
    pub const ALL: [Self; 20] = [
        Self::BlockChainId,
        Self::Legacy,
        Self::NoWork,
        Self::ParentChainId,
        Self::ParentVersionBit,
        Self::CoinbaseIndex,
        Self::MerkleRoot,
        Self::NoInputs,
        Self::LongChainBranch,
        Self::RootMissing,
        Self::SecondMarker,
        Self::MarkerApart,
        Self::LateRoot,
        Self::ShortTail,
        Self::WrongSize,
        Self::WrongSlot,
        Self::NoParentWork,
        Self::LargeIndex,
        Self::InnerTransaction,
        Self::HugeBranch,
    ];

    /// Spoils the block's own header, where the flaw is there.
    pub fn spoil_header(self, header: &mut Header) {
        let version = |number| Version::from_consensus(number);
        match self {
            Self::BlockChainId => header.version = version(0x0002_0104),
            Self::Legacy => {
                header.version = version(1);
                grind(header, header.bits, true);
            }
            Self::NoWork => {
                header.version = version(0x0001_0004);
                grind(header, header.bits, false);
            }
            _ => {}
        }
    }

    /// Spoils the proof behind the header, where the flaw is there.
    pub fn spoil(self, draft: &mut Draft) {
        match self {
            Self::BlockChainId | Self::Legacy | Self::NoWork => {}
            Self::ParentChainId => draft.parent_version = 0x0001_0004,
            Self::ParentVersionBit => draft.parent_version |= 0x100,
            Self::CoinbaseIndex => draft.coinbase = Branch::new(2, 1, 0x11),
            Self::MerkleRoot => draft.merkle_root_mask = 1,
            Self::NoInputs => draft.inputs = false,
            Self::NoParentWork => draft.worked = false,
            Self::InnerTransaction => make_inner_transaction(draft),
            Self::HugeBranch => draft.huge_branch = true,
            Self::LongChainBranch => set_chain_branch(draft, 31, 0),
            Self::WrongSlot => {
                set_chain_branch(draft, 2, 0);
                draft.chain.index ^= 1;
            }
            Self::LargeIndex => set_chain_branch(draft, 2, 4),
            _ => self.spoil_script(draft),
        }
    }

    fn spoil_script(self, draft: &mut Draft) {
        let script = &mut draft.script;
        script.before.clear();
        script.marker = true;
        match self {
            Self::RootMissing => script.root_mask = 1,
            Self::SecondMarker => script.after.extend(MARKER),
            Self::MarkerApart => script.between.push(0),
            Self::LateRoot => {
                script.marker = false;
                script.before = vec![0x51; 21];
            }
            Self::ShortTail => script.tail.truncate(7),
            _ => {
                let size = 2u32 << draft.chain.hashes.len();
                script.tail[..4].copy_from_slice(&size.to_le_bytes());
            }
        }
    }
}

/// Gives the draft a chain branch of this length at the chain's slot, with
/// further bits in the index.
fn set_chain_branch(draft: &mut Draft, length: usize, more: u32) {
    let nonce = u32::from_le_bytes(draft.script.tail[4..8].try_into().unwrap());
    draft.chain = Branch::new(length, slot(nonce, CHAIN_ID, length) | more, 0x22);
    let size = 1u32 << length;
    draft.script.tail[..4].copy_from_slice(&size.to_le_bytes());
}

/// Gives the draft a coinbase branch whose first sibling completes the
/// coinbase's id to a transaction of 64 bytes: version, one input, and 27
/// bytes of an output's hash are the id.
fn make_inner_transaction(draft: &mut Draft) {
    let mut sibling = [0; 32];
    // Behind the rest of the output's hash and its number, a script of 4.
    sibling[9] = 4;
    // Behind the script and the sequence number, one output without script.
    sibling[18] = 1;
    draft.coinbase = Branch::new(2, 0, 0x33);
    draft.coinbase.hashes[0] = sibling;
    draft.inner_transaction = true;
}
