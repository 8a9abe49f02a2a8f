//! What differs between Namecoin's networks.

use std::fmt;
use std::str::FromStr;

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, Target, Work};
use thiserror::Error;

/// Namecoin's chain id in merged mining.
pub const CHAIN_ID: u32 = 1;

/// The number of blocks between two changes of the target.
pub const RETARGET_INTERVAL: u32 = 2016;

/// One of Namecoin's block chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The real one.
    Mainnet,
    /// A private one for tests, where work costs almost nothing.
    Regtest,
}

/// A block that is trusted without proof, by its height and hash; in text
/// `HEIGHT:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The block's height.
    pub height: u32,
    /// The block's hash.
    pub hash: BlockHash,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.height, self.hash)
    }
}

/// A text is not `HEIGHT:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a checkpoint is HEIGHT:HASH")]
pub struct CheckpointError;

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let (height, hash) = text.split_once(':').ok_or(CheckpointError)?;
        if !height.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(CheckpointError);
        }
        Ok(Self {
            height: height.parse().map_err(|_| CheckpointError)?,
            hash: hash.parse().map_err(|_| CheckpointError)?,
        })
    }
}

impl Network {
    /// The network's name in settings and file names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mainnet => "mainnet",
            Self::Regtest => "regtest",
        }
    }

    /// The hash of the block at height 0.
    pub fn genesis(self) -> BlockHash {
        hash(match self {
            Self::Mainnet => GENESIS_MAINNET,
            Self::Regtest => GENESIS_REGTEST,
        })
    }

    /// The block from which verification starts unless the user names one.
    pub fn checkpoint(self) -> Checkpoint {
        let genesis = Checkpoint {
            height: 0,
            hash: self.genesis(),
        };
        match self {
            // A test reads the constant, so it can be read.
            Self::Mainnet => CHECKPOINT_MAINNET.parse().unwrap_or(genesis),
            Self::Regtest => genesis,
        }
    }

    /// The work of the chain up to and including a block, if that is the one
    /// from which verification starts unless the user names another.
    pub fn work_up_to(self, checkpoint: Checkpoint) -> Option<Work> {
        if checkpoint != self.checkpoint() {
            return None;
        }
        match self {
            Self::Mainnet => Work::from_unprefixed_hex(CHECKPOINT_WORK_MAINNET).ok(),
            // The genesis has the easiest target.
            Self::Regtest => Some(self.easiest_target().to_work()),
        }
    }

    /// Blocks after which a name expires: an operation at height `h` is
    /// expired when `h` + this ≤ the tip's height.
    pub fn expiry(self) -> u32 {
        match self {
            Self::Mainnet => 36_000,
            Self::Regtest => 30,
        }
    }

    /// The height from which blocks may be merged mined and legacy versions
    /// are refused.
    pub fn merged_mining_from(self) -> u32 {
        match self {
            Self::Mainnet => 19_200,
            Self::Regtest => 0,
        }
    }

    /// The height from which a block's base version is at least 4.
    pub fn version_4_from(self) -> u32 {
        match self {
            Self::Mainnet => 335_000,
            // Version 4 from the first block that is not the genesis is what
            // the recorded chain has, but no rule.
            Self::Regtest => u32::MAX,
        }
    }

    /// The easiest target that a block may have.
    pub fn easiest_target(self) -> Target {
        match self {
            Self::Mainnet => Target::MAX_ATTAINABLE_MAINNET,
            Self::Regtest => Target::MAX_ATTAINABLE_REGTEST,
        }
    }

    /// The target that a header's bits encode, unless it is negative, zero or
    /// easier than the network allows.
    pub fn target(self, bits: CompactTarget) -> Option<Target> {
        const SIGN: u32 = 0x0080_0000;
        // The size of the target in bytes; larger ones would wrap when they are
        // expanded.
        let size = bits.to_consensus() >> 24;
        if size > 32 || bits.to_consensus() & SIGN != 0 {
            return None;
        }
        let target = Target::from_compact(bits);
        let is_allowed = target != Target::ZERO && target <= self.easiest_target();
        is_allowed.then_some(target)
    }

    /// Whether the target adapts to the time that blocks take, and the age of
    /// the newest block says whether the chain is fresh.
    pub fn keeps_time(self) -> bool {
        self == Self::Mainnet
    }
}

// In the usual notation, which reverses the order in memory.
const GENESIS_MAINNET: &str = "000000000062b72c5e2ceb45fbc8587e807c155b0da735e6483dfba2f0a9c770";
const GENESIS_REGTEST: &str = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206";

// What `ncprop279 checkpoint` prints for a release. This is the block that
// Namecoin Core assumes to be valid.
const CHECKPOINT_MAINNET: &str =
    "815000:46c38b14b25fef782cc454cac284b720f58ad414d2c323a980ede420da6affcf";
const CHECKPOINT_WORK_MAINNET: &str = "a88f4530bb8eaceaffde5c50";

/// A hash from its usual notation, most significant byte first.
fn hash(hex: &str) -> BlockHash {
    let mut bytes = [0; 32];
    // The constants above are checked by a test.
    if data_encoding::HEXLOWER
        .decode_mut(hex.as_bytes(), &mut bytes)
        .is_ok()
    {
        bytes.reverse();
    }
    BlockHash::from_byte_array(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_networks() {
        assert_eq!(Network::Mainnet.genesis().to_string(), GENESIS_MAINNET);
        assert_eq!(Network::Regtest.genesis().to_string(), GENESIS_REGTEST);
        let checkpoint = Network::Mainnet.checkpoint();
        assert_eq!(checkpoint.to_string(), CHECKPOINT_MAINNET);
        assert!(checkpoint.height >= 815_000);
    }

    #[test]
    fn the_work_up_to_the_own_checkpoint_is_known_and_no_other() {
        let work = |network: Network, checkpoint| {
            let work = network.work_up_to(checkpoint)?;
            Some(format!("{work:x}").trim_start_matches('0').to_owned())
        };
        for (network, expected) in [
            (Network::Mainnet, CHECKPOINT_WORK_MAINNET),
            (Network::Regtest, "2"),
        ] {
            let own = network.checkpoint();
            assert_eq!(work(network, own).as_deref(), Some(expected));
            let other = Checkpoint {
                height: own.height + 1,
                ..own
            };
            assert_eq!(work(network, other), None);
        }
    }

    #[test]
    fn a_checkpoint_is_height_and_hash() {
        let hash = "ab".repeat(32);
        let text = format!("12:{hash}");
        assert_eq!(text.parse::<Checkpoint>().unwrap().to_string(), text);
        for text in [
            "",
            "12",
            "12:",
            &format!("+12:{hash}"),
            &format!(":{hash}"),
            &format!("-1:{hash}"),
            &format!("4294967296:{hash}"),
            &format!("12:{hash}0"),
            &format!("12: {hash}"),
            &format!("12:{}", &hash[1..]),
        ] {
            assert_eq!(text.parse::<Checkpoint>(), Err(CheckpointError), "{text}");
        }
    }

    #[test]
    fn bits_are_expanded_up_to_the_limit() {
        let target = |network: Network, bits| network.target(CompactTarget::from_consensus(bits));
        for (network, easiest) in [
            (Network::Mainnet, 0x1d00_ffff),
            (Network::Regtest, 0x207f_ffff),
        ] {
            assert_eq!(target(network, easiest), Some(network.easiest_target()));
            assert_eq!(
                network.easiest_target().to_compact_lossy().to_consensus(),
                easiest
            );
        }
        assert_eq!(
            target(Network::Mainnet, 0x1b00_b269).unwrap().to_be_bytes()[..12],
            [0, 0, 0, 0, 0, 0, 0xb2, 0x69, 0, 0, 0, 0]
        );
        assert_eq!(
            target(Network::Mainnet, 0x0312_3456).unwrap().to_be_bytes()[29..],
            [0x12, 0x34, 0x56]
        );
    }

    #[test]
    fn bits_that_are_no_target_are_refused() {
        let refused = [
            // Zero, by the mantissa and by shifting it away.
            0,
            0x1d00_0000,
            0x0100_00ff,
            0x0012_3456,
            // Negative.
            0x1d80_ffff,
            0x0180_0000,
            0x0380_0001,
            0x1cff_ffff,
            // Easier than allowed; the last ones wrap when they are expanded.
            0x1d01_0000,
            0x1d0f_ffff,
            0x207f_ffff,
            0x2100_0001,
            0x2200_ffff,
            0x2300_0001,
            0xff00_0001,
            0xff7f_ffff,
            u32::MAX,
        ];
        for bits in refused {
            let bits = CompactTarget::from_consensus(bits);
            assert_eq!(Network::Mainnet.target(bits), None, "{bits:?}");
        }
        for bits in [0, 0x2080_0000, 0x2100_8000, 0x2200_00ff, 0xff00_0001] {
            let bits = CompactTarget::from_consensus(bits);
            assert_eq!(Network::Regtest.target(bits), None, "{bits:?}");
        }
    }
}
