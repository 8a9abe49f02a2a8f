//! A block's header with its proof of work.

use bitcoin::block::Header;
use thiserror::Error;

use super::network::Network;

/// A header as it comes over the wire: 80 octets and, if its version says so,
/// an AuxPoW behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedHeader {
    /// The block's own header.
    pub header: Header,
}

/// Why a header's proof of work is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WorkError {
    /// The hash is above the target.
    #[error("the hash is above the target")]
    Hash,
}

impl SealedHeader {
    /// Checks the work of a header without AuxPoW.
    ///
    /// # Errors
    /// The hash is above the target.
    pub fn check_work(&self, _: Network, _: u32) -> Result<(), WorkError> {
        if self.header.target().is_met_by(self.header.block_hash()) {
            Ok(())
        } else {
            Err(WorkError::Hash)
        }
    }
}
