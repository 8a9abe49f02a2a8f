//! A block's header with its proof of work.

use bitcoin::block::Header;

/// A header as it comes over the wire: 80 octets and, if its version says so,
/// an AuxPoW behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedHeader {
    /// The block's own header.
    pub header: Header,
}
