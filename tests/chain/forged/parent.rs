//! The parent block: its chain and its work.

use bitcoin::CompactTarget;
use ncprop279::chain::proof_of_work::AuxPowError;

use super::{changed, check, refused, version};
use crate::support::forge::mine;

#[test]
fn the_parent_is_of_another_chain() {
    for own in [0x0001_0000, 0x0001_0004, 0x0001_0104, 0x0001_ffff] {
        assert_eq!(
            refused(|f| f.parent.version = version(own)),
            AuxPowError::ParentChainId
        );
    }
    for other in [0, 1, 0x0002_0004, 0x2fff_e000, 0x8001_0000, 0xffff_0000] {
        let forge = changed(|f| f.parent.version = version(other));
        assert_eq!(check(&forge), Ok(()), "{other:x}");
    }
}

#[test]
fn the_parent_is_not_merged_mined_itself() {
    for merged in [0x0000_0100, 0x0002_0104, 0x2000_0100, 0xffff_ffff] {
        assert_eq!(
            refused(|f| f.parent.version = version(merged)),
            AuxPowError::ParentMergedMined
        );
    }
}

#[test]
fn the_parent_meets_the_target_of_the_block() {
    assert_eq!(refused(|f| f.is_mined = false), AuxPowError::Hash);
    // The bits of the parent say nothing, and the block's own hash neither.
    for bits in [0, 0x0100_0001, 0x1d00_ffff, u32::MAX] {
        let forge = changed(|f| f.parent.bits = CompactTarget::from_consensus(bits));
        assert_eq!(check(&forge), Ok(()));
    }
    for meets in [false, true] {
        let forge = changed(|f| f.block = mine(f.block, meets));
        assert_eq!(check(&forge), Ok(()));
    }
    let hard = CompactTarget::from_consensus(0x1d00_ffff);
    assert_eq!(refused(|f| f.block.bits = hard), AuxPowError::Hash);
}
