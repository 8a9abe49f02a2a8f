//! The block itself: its version and its own target.

use bitcoin::CompactTarget;
use bitcoin::consensus::serialize;
use ncprop279::chain::network::Network;
use ncprop279::chain::proof_of_work::AuxPowError;
use ncprop279::chain::proof_of_work::{FullHeader, WorkError};

use super::{changed, check, read, version};
use crate::support::forge::{Forge, mine};

#[test]
fn the_block_is_of_chain_1() {
    for chain in [0, 2, 3, 0x2000, 0x7fff, 0x8000, 0x8001, 0xffff] {
        let forge = changed(|f| f.block.version = version(chain << 16 | 0x104));
        assert_eq!(check(&forge), Err(WorkError::ChainId), "{chain:x}");
    }
    // Without an AuxPoW too.
    let mut header = Forge::default().block;
    header.version = version(0x0002_0004);
    let sealed = read(&serialize(&mine(header, true))).unwrap();
    assert_eq!(
        sealed.check_work(Network::Regtest, 1),
        Err(WorkError::ChainId)
    );
}

#[test]
fn a_legacy_version_ends_where_merged_mining_begins() {
    let mut header = Forge::default().block;
    header.version = version(1);
    let sealed = read(&serialize(&mine(header, true))).unwrap();
    assert_eq!(
        sealed.check_work(Network::Regtest, 1),
        Err(WorkError::Legacy)
    );
    header.bits = CompactTarget::from_consensus(0x1d00_ffff);
    let sealed = read(&serialize(&header)).unwrap();
    let at = |height| sealed.check_work(Network::Mainnet, height);
    assert_eq!(at(19_200), Err(WorkError::Legacy));
    assert_eq!(at(815_001), Err(WorkError::Legacy));
    // What is missing below is only the work.
    assert_eq!(at(19_199), Err(WorkError::Hash));
    assert_eq!(at(1), Err(WorkError::Hash));
    // Other versions without a chain id are none of Namecoin's.
    header.version = version(2);
    let sealed = read(&serialize(&header)).unwrap();
    let at_2 = |height| sealed.check_work(Network::Mainnet, height);
    assert_eq!(at_2(19_199), Err(WorkError::ChainId));
}

#[test]
fn the_base_version_is_4_from_height_335_000_of_mainnet() {
    for base in [0, 1, 2, 3, 4, 5, 0xff] {
        for flags in [0x000, 0x100, 0x200, 0xff00] {
            let mut forge = Forge::default();
            forge.block.version = version(0x0001_0000 | flags | base);
            forge.block.bits = CompactTarget::from_consensus(0x1d00_ffff);
            let bytes = if flags & 0x100 == 0 {
                serialize(&forge.block)
            } else {
                forge.seal()
            };
            let sealed = read(&bytes).unwrap();
            let is_outdated =
                |height| sealed.check_work(Network::Mainnet, height) == Err(WorkError::Outdated);
            assert_eq!(is_outdated(335_000), base < 4, "{flags:x} {base}");
            assert_eq!(is_outdated(900_000), base < 4, "{flags:x} {base}");
            assert!(!is_outdated(334_999));
        }
    }
    assert_eq!(
        check(&changed(|f| f.block.version = version(0x0001_0101))),
        Ok(())
    );
}

#[test]
fn nothing_is_merged_mined_before_merged_mining() {
    let mut forge = Forge::default();
    forge.block.bits = CompactTarget::from_consensus(0x1d00_ffff);
    let sealed = read(&forge.seal()).unwrap();
    let at = |height| sealed.check_work(Network::Mainnet, height);
    assert_eq!(at(19_199), Err(WorkError::EarlyAuxPow));
    assert_eq!(at(19_200), Err(WorkError::AuxPow(AuxPowError::Hash)));
}

#[test]
fn the_version_announces_the_auxpow() {
    let mut sealed = read(&Forge::default().seal()).unwrap();
    sealed.header.version = version(0x0001_0004);
    let check = |sealed: &FullHeader| sealed.check_work(Network::Regtest, 1);
    assert_eq!(check(&sealed), Err(WorkError::Announcement));
    sealed.auxpow = None;
    sealed.header = mine(sealed.header, true);
    assert_eq!(check(&sealed), Ok(()));
    sealed.header.version = version(0x0001_0104);
    sealed.header = mine(sealed.header, true);
    assert_eq!(check(&sealed), Err(WorkError::Announcement));
}

#[test]
fn the_first_block_is_known_by_its_hash() {
    let sealed = read(&Forge::default().seal()).unwrap();
    assert_eq!(
        sealed.check_work(Network::Regtest, 0),
        Err(WorkError::Genesis)
    );
}

#[test]
fn the_bits_are_a_target() {
    for bits in [0, 0x2080_0001, 0x2100_ffff, 0x2200_0080, 0xff7f_ffff] {
        let forge = changed(|f| f.block.bits = CompactTarget::from_consensus(bits));
        assert_eq!(check(&forge), Err(WorkError::Bits), "{bits:x}");
    }
    let sealed = read(&Forge::default().seal()).unwrap();
    assert_eq!(
        sealed.check_work(Network::Mainnet, 815_001),
        Err(WorkError::Bits)
    );
}

#[test]
fn a_block_without_auxpow_meets_its_own_target() {
    let mut header = Forge::default().block;
    header.version = version(0x0001_0004);
    let check = |header| {
        let sealed = read(&serialize(&header)).unwrap();
        sealed.check_work(Network::Regtest, 1)
    };
    assert_eq!(check(mine(header, true)), Ok(()));
    assert_eq!(check(mine(header, false)), Err(WorkError::Hash));
}
