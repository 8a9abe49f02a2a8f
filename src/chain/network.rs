//! What differs between Namecoin's networks.

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;

/// The chain id by which merged mining tells Namecoin from other chains.
pub const CHAIN_ID: u32 = 1;

/// Blocks between two changes of the target.
pub const RETARGET_INTERVAL: u32 = 2016;

/// One of Namecoin's block chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The one that names in use are on.
    Mainnet,
    /// A private one for tests, where work costs nothing.
    Regtest,
}

/// A block that is taken for granted, by its height and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The block's height.
    pub height: u32,
    /// The block's hash.
    pub hash: BlockHash,
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
        match self {
            // The block that Namecoin Core assumes to be valid.
            Self::Mainnet => Checkpoint {
                height: 815_000,
                hash: hash(CHECKPOINT_MAINNET),
            },
            Self::Regtest => Checkpoint {
                height: 0,
                hash: self.genesis(),
            },
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

    /// Whether the target follows the time that blocks take, and whether the
    /// age of the chain says that it is current.
    pub fn keeps_time(self) -> bool {
        self == Self::Mainnet
    }
}

// In the usual notation, which is the reverse of the order in memory.
const GENESIS_MAINNET: &str = "000000000062b72c5e2ceb45fbc8587e807c155b0da735e6483dfba2f0a9c770";
const GENESIS_REGTEST: &str = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206";
const CHECKPOINT_MAINNET: &str = "46c38b14b25fef782cc454cac284b720f58ad414d2c323a980ede420da6affcf";

/// A hash from its usual notation, most significant octet first.
fn hash(hex: &str) -> BlockHash {
    let mut octets = [0; 32];
    // The constants above are checked by a test.
    if data_encoding::HEXLOWER
        .decode_mut(hex.as_bytes(), &mut octets)
        .is_ok()
    {
        octets.reverse();
    }
    BlockHash::from_byte_array(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_networks() {
        assert_eq!(Network::Mainnet.genesis().to_string(), GENESIS_MAINNET);
        assert_eq!(Network::Regtest.genesis().to_string(), GENESIS_REGTEST);
        let checkpoint = Network::Mainnet.checkpoint();
        assert_eq!(checkpoint.hash.to_string(), CHECKPOINT_MAINNET);
        assert_eq!(checkpoint.height, 815_000);
    }
}
