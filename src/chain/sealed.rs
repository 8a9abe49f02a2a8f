//! A block's header with its proof of work.

use bitcoin::BlockHash;
use bitcoin::block::Header;
use thiserror::Error;

pub use super::auxpow::Malformed;
use super::auxpow::{AuxPow, AuxPowError, chain_id, is_merged_mined, read_header, version};
use super::network::{CHAIN_ID, Network};

/// The version of blocks from before merged mining, which have no chain id.
const LEGACY_VERSION: u32 = 1;

/// A header as it comes over the wire: 80 bytes and, if its version says so,
/// an AuxPoW behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedHeader {
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

impl SealedHeader {
    /// Reads the first of headers that follow each other without a border, and
    /// returns the rest.
    ///
    /// # Errors
    /// The bytes do not begin with a header.
    pub fn read(octets: &[u8]) -> Result<(Self, &[u8]), Malformed> {
        let (header, rest) = read_header(octets)?;
        let (auxpow, rest) = if is_merged_mined(&header) {
            let (auxpow, rest) = AuxPow::read(rest)?;
            (Some(Box::new(auxpow)), rest)
        } else {
            (None, rest)
        };
        Ok((Self { header, auxpow }, rest))
    }

    /// Checks what a header of 80 bytes shows without its AuxPoW: that its
    /// version is allowed at `height`, and its work if it is not merged mined.
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
    /// Whether the bits are those that the chain demands is another question.
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
