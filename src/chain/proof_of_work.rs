//! A header with its proof of work, which is usually that of another chain.
//!
//! In merged mining, a miner of the *parent* chain (Bitcoin) puts the root of a
//! small Merkle tree into the script of its coinbase transaction. The leaves are
//! blocks of other chains, each in a slot of its own. An AuxPoW leads from such a
//! block to the parent's header: through the *chain branch* to that root, through
//! the coinbase to its transaction id, and through the *coinbase branch* to the
//! Merkle root in the parent's header, whose hash is the work.

use bitcoin::block::Header;
use bitcoin::consensus::{deserialize, deserialize_partial};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, ScriptBuf, Target, Transaction, Txid};
use thiserror::Error;

use super::merkle::{FoldError, fold};
use super::network::{CHAIN_ID, Network};

/// The longest coinbase transaction of the parent, in bytes: what fits into a
/// block of Bitcoin.
const MAX_COINBASE: usize = 1_000_000;

/// The most hashes of a chain branch by Namecoin's rules. They do not limit the
/// coinbase branch, but one of this length suffices for a billion transactions.
const MAX_BRANCH: usize = 30;

/// The marker in front of the root in the coinbase's script.
const MARKER: &[u8] = b"\xfa\xbemm";

/// The greatest offset of a root without a marker.
const MAX_BARE_OFFSET: usize = 20;

/// The bit of a header's version that says that an AuxPoW follows.
const VERSION_BIT: u32 = 0x100;

/// Why bytes are not a header with its proof of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeaderParseError {
    /// They end before the header does.
    #[error("the header is cut off")]
    CutOff,
    /// The parent's coinbase is cut off, longer than a block of Bitcoin, or
    /// no transaction.
    #[error("the parent's coinbase is no transaction")]
    Coinbase,
    /// The parent's coinbase has no input.
    #[error("the parent's coinbase has no input")]
    NoInput,
    /// The branch to the parent's merkle root has more than 30 hashes.
    #[error("the coinbase branch is too long")]
    CoinbaseBranch,
    /// The branch to the root in the coinbase has more than 30 hashes.
    #[error("the chain branch is too long")]
    ChainBranch,
}

/// Which rule of merged mining an AuxPoW breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuxPowError {
    /// The parent block has the chain id of this chain, so that the same work
    /// could count twice.
    #[error("the parent block is one of this chain")]
    ParentChainId,
    /// The parent block is merged mined itself.
    #[error("the parent block is merged mined itself")]
    ParentMergedMined,
    /// The parent block's hash is above the target of this block.
    #[error("the parent block's hash is above the target")]
    Hash,
    /// The transaction is not the first of the parent block.
    #[error("the transaction is not the parent's coinbase")]
    CoinbaseIndex,
    /// The coinbase branch cannot be trusted.
    #[error("coinbase branch: {0}")]
    CoinbaseBranch(FoldError),
    /// The coinbase branch leads to another merkle root than the parent's.
    #[error("the coinbase is not in the parent block")]
    CoinbaseRoot,
    /// The chain branch cannot be trusted.
    #[error("chain branch: {0}")]
    ChainBranch(FoldError),
    /// The root that the chain branch leads to is not in the coinbase's script.
    #[error("the coinbase does not commit to the block")]
    NoCommitment,
    /// The marker occurs more than once.
    #[error("the coinbase has more than one marker of merged mining")]
    ManyMarkers,
    /// The marker is not directly before the first occurrence of the root.
    #[error("the marker of merged mining is not directly before the root")]
    DistantMarker,
    /// There is no marker, and the root begins after offset 20.
    #[error("the root is too late in a coinbase without marker")]
    LateRoot,
    /// Fewer than 8 bytes follow the root.
    #[error("size and nonce are missing behind the root")]
    NoSize,
    /// The size is not that of a tree with such a branch.
    #[error("the size behind the root does not fit the chain branch")]
    Size,
    /// The block is not in the slot that the nonce gives to this chain.
    #[error("the block is not in its chain's slot")]
    Slot,
}

/// A block's proof of work through a parent block.
///
/// Two parts of its serialisation could be changed without anybody noticing: 32
/// bytes that no rule uses, and the coinbase's witness, if it has one. Neither
/// is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuxPow {
    coinbase: Coinbase,
    coinbase_branch: Branch,
    chain_branch: Branch,
    parent: Header,
}

/// What counts of the parent's coinbase transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Coinbase {
    id: Txid,
    /// The script of the first input, in which miners write what they like.
    script: ScriptBuf,
}

/// The siblings on the way from a leaf to a root, and the leaf's index.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Branch {
    /// At most [`MAX_BRANCH`].
    hashes: Vec<[u8; 32]>,
    /// Signed on the wire; a negative one is too large for any branch.
    index: u32,
}

/// The version of a header as bits, which have a meaning in Namecoin.
pub(super) fn version(header: &Header) -> u32 {
    header.version.to_consensus().cast_unsigned()
}

/// The chain that a header says it belongs to.
pub(super) fn chain_id(header: &Header) -> u32 {
    version(header) >> 16
}

/// Whether a header says that an AuxPoW follows it.
pub(super) fn is_merged_mined(header: &Header) -> bool {
    version(header) & VERSION_BIT != 0
}

/// Reads a header without what may follow it, and returns the rest.
pub(super) fn read_header(bytes: &[u8]) -> Result<(Header, &[u8]), HeaderParseError> {
    let (header, rest) = bytes
        .split_at_checked(Header::SIZE)
        .ok_or(HeaderParseError::CutOff)?;
    let header = deserialize(header).map_err(|_| HeaderParseError::CutOff)?;
    Ok((header, rest))
}

impl AuxPow {
    /// Reads an AuxPoW from what follows a header, and returns the rest.
    ///
    /// # Errors
    /// The bytes are no AuxPoW. No rule that takes hashing is checked.
    pub fn read(bytes: &[u8]) -> Result<(Self, &[u8]), HeaderParseError> {
        let (coinbase, rest) = Coinbase::read(bytes)?;
        // Originally the parent's hash, which no rule uses.
        let (_, rest) = rest.split_at_checked(32).ok_or(HeaderParseError::CutOff)?;
        let (coinbase_branch, rest) = Branch::read(rest, HeaderParseError::CoinbaseBranch)?;
        let (chain_branch, rest) = Branch::read(rest, HeaderParseError::ChainBranch)?;
        let (parent, rest) = read_header(rest)?;
        let auxpow = Self {
            coinbase,
            coinbase_branch,
            chain_branch,
            parent,
        };
        Ok((auxpow, rest))
    }

    /// Checks that this is work for `block`, and that it meets `target`.
    ///
    /// # Errors
    /// The first rule found broken. What is hardest to fake is checked first.
    pub fn check(&self, block: BlockHash, target: Target) -> Result<(), AuxPowError> {
        self.check_parent(target)?;
        self.check_coinbase()?;
        self.check_commitment(block)
    }

    fn check_parent(&self, target: Target) -> Result<(), AuxPowError> {
        if chain_id(&self.parent) == CHAIN_ID {
            return Err(AuxPowError::ParentChainId);
        }
        if is_merged_mined(&self.parent) {
            return Err(AuxPowError::ParentMergedMined);
        }
        if !target.is_met_by(self.parent.block_hash()) {
            return Err(AuxPowError::Hash);
        }
        Ok(())
    }

    /// Checks that the coinbase is the parent's.
    fn check_coinbase(&self) -> Result<(), AuxPowError> {
        if self.coinbase_branch.index != 0 {
            return Err(AuxPowError::CoinbaseIndex);
        }
        let root = self
            .coinbase_branch
            .root(self.coinbase.id.to_byte_array())
            .map_err(AuxPowError::CoinbaseBranch)?;
        if root != self.parent.merkle_root.to_byte_array() {
            return Err(AuxPowError::CoinbaseRoot);
        }
        Ok(())
    }

    /// Checks that the coinbase commits to the block, and to no other block of
    /// this chain.
    fn check_commitment(&self, block: BlockHash) -> Result<(), AuxPowError> {
        let mut root = self
            .chain_branch
            .root(block.to_byte_array())
            .map_err(AuxPowError::ChainBranch)?;
        root.reverse();
        let script = self.coinbase.script.as_bytes();
        let (before, behind) = split_once(script, &root).ok_or(AuxPowError::NoCommitment)?;
        check_place(script, before)?;
        self.check_slot(behind)
    }

    /// Checks size and nonce, which follow the root.
    fn check_slot(&self, behind: &[u8]) -> Result<(), AuxPowError> {
        let (size, behind) = behind.split_first_chunk().ok_or(AuxPowError::NoSize)?;
        let (nonce, _) = behind.split_first_chunk().ok_or(AuxPowError::NoSize)?;
        let size = u32::from_le_bytes(*size);
        let nonce = u32::from_le_bytes(*nonce);
        if size != self.chain_branch.leaves() {
            return Err(AuxPowError::Size);
        }
        if Some(self.chain_branch.index) != slot(nonce).checked_rem(size) {
            return Err(AuxPowError::Slot);
        }
        Ok(())
    }
}

/// Checks that the script has no second root: either a single marker is
/// directly before the first one, or there is no marker and the root is near
/// the beginning, as with the first merged miners.
fn check_place(script: &[u8], before: &[u8]) -> Result<(), AuxPowError> {
    match split_once(script, MARKER) {
        Some((_, behind)) if split_once(behind, MARKER).is_some() => Err(AuxPowError::ManyMarkers),
        Some(_) if !before.ends_with(MARKER) => Err(AuxPowError::DistantMarker),
        None if before.len() > MAX_BARE_OFFSET => Err(AuxPowError::LateRoot),
        _ => Ok(()),
    }
}

/// The pseudo-random number that decides this chain's slot, so that no two of
/// its blocks fit into one tree.
fn slot(nonce: u32) -> u32 {
    let step = |number: u32| number.wrapping_mul(1_103_515_245).wrapping_add(12_345);
    step(step(nonce).wrapping_add(CHAIN_ID))
}

/// What is before and after the first occurrence of `needle`, which is not
/// empty.
fn split_once<'a>(bytes: &'a [u8], needle: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes
        .windows(needle.len())
        .position(|window| window == needle)?;
    let (before, rest) = bytes.split_at_checked(at)?;
    Some((before, rest.strip_prefix(needle)?))
}

impl Coinbase {
    fn read(bytes: &[u8]) -> Result<(Self, &[u8]), HeaderParseError> {
        let bounded = bytes.get(..MAX_COINBASE).unwrap_or(bytes);
        let (transaction, length): (Transaction, _) =
            deserialize_partial(bounded).map_err(|_| HeaderParseError::Coinbase)?;
        let (serialised, rest) = bytes
            .split_at_checked(length)
            .ok_or(HeaderParseError::CutOff)?;
        let id = transaction_id(&transaction, serialised);
        let input = transaction.input.into_iter().next();
        let script = input.ok_or(HeaderParseError::NoInput)?.script_sig;
        Ok((Self { id, script }, rest))
    }
}

/// A transaction's id, which does not cover its witnesses.
fn transaction_id(transaction: &Transaction, serialised: &[u8]) -> Txid {
    let has_witness = |input: &bitcoin::TxIn| !input.witness.is_empty();
    if transaction.input.iter().any(has_witness) {
        transaction.compute_txid()
    } else {
        // Serialising again would give the same bytes: a number has only one
        // accepted encoding, and witnesses that are all empty none.
        Txid::hash(serialised)
    }
}

impl Branch {
    fn read(bytes: &[u8], too_long: HeaderParseError) -> Result<(Self, &[u8]), HeaderParseError> {
        // Counts beyond 252, which take more bytes, begin with a greater one.
        let (&count, rest) = bytes.split_first().ok_or(HeaderParseError::CutOff)?;
        let count = usize::from(count);
        if count > MAX_BRANCH {
            return Err(too_long);
        }
        let (hashes, rest) = rest
            .split_at_checked(count * 32)
            .ok_or(HeaderParseError::CutOff)?;
        let (index, rest) = rest.split_first_chunk().ok_or(HeaderParseError::CutOff)?;
        let branch = Self {
            hashes: hashes.as_chunks().0.to_vec(),
            index: u32::from_le_bytes(*index),
        };
        Ok((branch, rest))
    }

    fn root(&self, leaf: [u8; 32]) -> Result<[u8; 32], FoldError> {
        fold(leaf, &self.hashes, self.index)
    }

    /// Leaves of a full tree with branches of this length: 2³⁰ at most, by
    /// [`MAX_BRANCH`].
    fn leaves(&self) -> u32 {
        1 << self.hashes.len()
    }
}

/// The version of blocks from before merged mining, which have no chain id.
const LEGACY_VERSION: u32 = 1;

/// A header as it is transmitted: 80 bytes and, if its version says so, an
/// AuxPoW after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullHeader {
    /// The block's own header.
    pub header: Header,
    /// The work of a parent block, if the header was merged mined.
    pub auxpow: Option<Box<AuxPow>>,
}

/// Why a header's proof of work is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WorkError {
    /// The version announces an AuxPoW that is not there, or the reverse.
    #[error("the header's version does not tell whether it has an AuxPoW")]
    Announcement,
    /// The block at height 0 is another than the network's.
    #[error("the first block is not that of the network")]
    Genesis,
    /// The version is 1, from before merged mining, at a later height.
    #[error("the version is one from before merged mining")]
    Legacy,
    /// The chain id is not Namecoin's.
    #[error("the block is one of another chain")]
    ChainId,
    /// The block is merged mined at a height before merged mining.
    #[error("the block is merged mined before merged mining began")]
    EarlyAuxPow,
    /// The base version is below 4 at a height where it must not be.
    #[error("the block's version is outdated")]
    Outdated,
    /// The target is negative, zero, or easier than the network allows.
    #[error("the bits are no target of the network")]
    Bits,
    /// The block's own hash is above the target.
    #[error("the hash is above the target")]
    Hash,
    /// The AuxPoW breaks a rule.
    #[error(transparent)]
    AuxPow(#[from] AuxPowError),
}

impl FullHeader {
    /// Reads the first of several consecutive headers, and returns the rest.
    ///
    /// # Errors
    /// The bytes do not begin with a header.
    pub fn read(bytes: &[u8]) -> Result<(Self, &[u8]), HeaderParseError> {
        let (header, rest) = read_header(bytes)?;
        let (auxpow, rest) = if is_merged_mined(&header) {
            let (auxpow, rest) = AuxPow::read(rest)?;
            (Some(Box::new(auxpow)), rest)
        } else {
            (None, rest)
        };
        Ok((Self { header, auxpow }, rest))
    }

    /// Checks what is possible without the AuxPoW: that the version is allowed
    /// at `height`, and the work of a header that is not merged mined.
    ///
    /// # Errors
    /// The rule that is broken.
    pub(super) fn check_bare(
        header: &Header,
        network: Network,
        height: u32,
    ) -> Result<(), WorkError> {
        let bare = Self {
            header: *header,
            auxpow: None,
        };
        if is_merged_mined(header) {
            bare.check_version(network, height)
        } else {
            bare.check_work(network, height)
        }
    }

    /// Checks the proof of work of the block at `height`: that its version is
    /// allowed there, and that its own hash, or its parent's if it was merged
    /// mined, meets the target in its bits. The block at height 0 is known by
    /// its hash.
    ///
    /// This does not check whether the bits are those that the chain demands.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn check_work(&self, network: Network, height: u32) -> Result<(), WorkError> {
        if self.auxpow.is_some() != is_merged_mined(&self.header) {
            return Err(WorkError::Announcement);
        }
        let hash = self.header.block_hash();
        if height == 0 {
            return if hash == network.genesis() {
                Ok(())
            } else {
                Err(WorkError::Genesis)
            };
        }
        self.check_version(network, height)?;
        self.check_hash(network, hash)
    }

    fn check_version(&self, network: Network, height: u32) -> Result<(), WorkError> {
        let before_merged_mining = height < network.merged_mining_from();
        let version = version(&self.header);
        if version == LEGACY_VERSION {
            return if before_merged_mining {
                Ok(())
            } else {
                Err(WorkError::Legacy)
            };
        }
        if chain_id(&self.header) != CHAIN_ID {
            return Err(WorkError::ChainId);
        }
        if before_merged_mining && is_merged_mined(&self.header) {
            return Err(WorkError::EarlyAuxPow);
        }
        if height >= network.version_4_from() && version & 0xff < 4 {
            return Err(WorkError::Outdated);
        }
        Ok(())
    }

    fn check_hash(&self, network: Network, hash: BlockHash) -> Result<(), WorkError> {
        let target = network.target(self.header.bits).ok_or(WorkError::Bits)?;
        match &self.auxpow {
            Some(auxpow) => Ok(auxpow.check(hash, target)?),
            None if target.is_met_by(hash) => Ok(()),
            None => Err(WorkError::Hash),
        }
    }
}
