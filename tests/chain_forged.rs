//! Each rule of merged mining by itself: a header that is valid but for that
//! rule is refused, and for that rule's reason.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "support/forge.rs"]
mod forge;

use bitcoin::block::Version;
use bitcoin::consensus::serialize;
use bitcoin::{Amount, CompactTarget, ScriptBuf, TxOut, Witness};
use forge::{Forge, MARKER, NONCE, hashes, mine, slot};
use ncprop279::chain::auxpow::AuxPowError;
use ncprop279::chain::merkle::FoldError;
use ncprop279::chain::network::Network;
use ncprop279::chain::sealed::{Malformed, SealedHeader, WorkError};

fn read(octets: &[u8]) -> Result<SealedHeader, Malformed> {
    let (sealed, rest) = SealedHeader::read(octets)?;
    assert!(rest.is_empty());
    Ok(sealed)
}

fn malformed(forge: &Forge) -> Malformed {
    read(&forge.seal()).unwrap_err()
}

fn check(forge: &Forge) -> Result<(), WorkError> {
    read(&forge.seal()).unwrap().check_work(Network::Regtest, 1)
}

fn refusal(forge: &Forge) -> AuxPowError {
    match check(forge) {
        Err(WorkError::AuxPow(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// The error of a header with one thing changed.
fn refused(change: impl FnOnce(&mut Forge)) -> AuxPowError {
    refusal(&changed(change))
}

fn changed(change: impl FnOnce(&mut Forge)) -> Forge {
    let mut forge = Forge::default();
    change(&mut forge);
    forge
}

fn version(version: u32) -> Version {
    Version::from_consensus(version.cast_signed())
}

#[test]
fn what_is_forged_is_valid_unless_something_is_changed() {
    assert_eq!(check(&Forge::default()), Ok(()));
    for levels in 0..=30 {
        assert_eq!(check(&changed(|f| f.chain_branch = hashes(levels))), Ok(()));
        let coinbase_branch = hashes(levels);
        assert_eq!(
            check(&changed(|f| f.coinbase_branch = coinbase_branch)),
            Ok(())
        );
    }
    assert_eq!(check(&changed(|f| f.ignored = [0xff; 32])), Ok(()));
}

#[test]
fn the_rest_behind_a_header_is_returned() {
    let octets = Forge::default().seal();
    let (first, rest) = SealedHeader::read(&octets).unwrap();
    assert!(rest.is_empty());
    let twice = [octets.as_slice(), &octets, b"rest"].concat();
    let (_, rest) = SealedHeader::read(&twice).unwrap();
    let (second, rest) = SealedHeader::read(rest).unwrap();
    assert_eq!(rest, b"rest");
    assert_eq!(first, second);
}

//------------ The version of the block ---------------------------------------

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
            let octets = if flags & 0x100 == 0 {
                serialize(&forge.block)
            } else {
                forge.seal()
            };
            let sealed = read(&octets).unwrap();
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
    let check = |sealed: &SealedHeader| sealed.check_work(Network::Regtest, 1);
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

//------------ The work -------------------------------------------------------

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

//------------ The parent -----------------------------------------------------

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

//------------ The coinbase ---------------------------------------------------

#[test]
fn the_coinbase_is_the_first_transaction() {
    for index in [1, 2, 4096, 0x8000_0000, u32::MAX] {
        assert_eq!(
            refused(|f| f.coinbase_index = index),
            AuxPowError::CoinbaseIndex
        );
    }
}

#[test]
fn the_coinbase_is_in_the_parent() {
    assert_eq!(
        refused(|f| f.parent_root = Some([0x77; 32])),
        AuxPowError::CoinbaseRoot
    );
    let other = forge::coinbase(1);
    assert_eq!(
        refused(|f| f.raw_coinbase = Some(serialize(&other))),
        AuxPowError::CoinbaseRoot
    );
}

#[test]
fn the_coinbase_may_have_no_outputs_and_more_inputs() {
    assert_eq!(
        check(&changed(|f| f.coinbase.output.clear())),
        Ok(()),
        "no outputs"
    );
    let more = changed(|f| {
        f.coinbase.input.push(f.coinbase.input[0].clone());
    });
    assert_eq!(check(&more), Ok(()));
    // The commitment counts in the first input only.
    let mut second = Forge::default();
    second
        .coinbase
        .input
        .push(second.committed_coinbase().input[0].clone());
    second.script = |_, _| Vec::new();
    assert_eq!(refusal(&second), AuxPowError::NoCommitment);
}

#[test]
fn the_coinbase_has_an_input() {
    // As Bitcoin serialises it without witnesses, which reads as a marker.
    let none = b"\x01\0\0\0\0\0\0\0\0\0";
    assert_eq!(
        malformed(&changed(|f| f.raw_coinbase = Some(none.to_vec()))),
        Malformed::Coinbase
    );
    // The same with marker and flag.
    let none = b"\x01\0\0\0\0\x01\0\0\0\0\0\0";
    assert_eq!(
        malformed(&changed(|f| f.raw_coinbase = Some(none.to_vec()))),
        Malformed::NoInput
    );
}

#[test]
fn the_id_of_the_coinbase_is_without_witness() {
    for outputs in [0, 1, 3] {
        let mut forge = Forge {
            coinbase: forge::coinbase(outputs),
            ..Forge::default()
        };
        forge.coinbase.input[0].witness = Witness::from_slice(&[[0; 32]]);
        let octets = forge.seal();
        // Marker and flag.
        assert_eq!(octets[84..86], [0, 1]);
        assert_eq!(check(&forge), Ok(()));
    }
}

#[test]
fn a_coinbase_with_empty_witnesses_is_no_transaction() {
    let plain = serialize(&Forge::default().committed_coinbase());
    let (body, lock_time) = plain[4..].split_at(plain.len() - 8);
    let empty = [&plain[..4], b"\0\x01", body, b"\0", lock_time].concat();
    let forge = changed(|f| f.raw_coinbase = Some(empty));
    assert_eq!(malformed(&forge), Malformed::Coinbase);
    for flag in [0, 2, 3, 0xff] {
        let flagged = [&plain[..4], &[0, flag], body, b"\x01\0", lock_time].concat();
        let forge = changed(|f| f.raw_coinbase = Some(flagged));
        assert_eq!(malformed(&forge), Malformed::Coinbase);
    }
}

#[test]
fn a_coinbase_takes_a_megabyte_at_most() {
    let sized = |length| {
        changed(|f| {
            f.coinbase.output = vec![TxOut {
                value: Amount::ZERO,
                script_pubkey: ScriptBuf::from_bytes(vec![0; length]),
            }];
        })
    };
    let overhead = serialize(&sized(100_000).committed_coinbase()).len() - 100_000;
    assert_eq!(check(&sized(1_000_000 - overhead)), Ok(()));
    let above = sized(1_000_001 - overhead);
    assert_eq!(malformed(&above), Malformed::Coinbase);
}

#[test]
fn counts_that_promise_too_much_are_refused() {
    let head = b"\x01\0\0\0";
    let input = [&[0; 36][..], b"\0", &[0xff; 4]].concat();
    let huge = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff";
    for coinbase in [
        // Inputs, the length of a script, outputs, witnesses.
        [&head[..], huge].concat(),
        [&head[..], b"\x01", &[0; 36], huge].concat(),
        [&head[..], b"\x01", &input, huge].concat(),
        [&head[..], b"\0\x01\x01", &input, b"\0", huge].concat(),
        [&head[..], b"\0\x01\x01", &input, b"\0\x01", huge].concat(),
    ] {
        let forge = changed(|f| f.raw_coinbase = Some(coinbase));
        assert_eq!(malformed(&forge), Malformed::Coinbase);
    }
}

//------------ The branches ---------------------------------------------------

#[test]
fn branches_have_at_most_30_hashes() {
    for count in [31, 32, 64, 252] {
        let forge = changed(|f| {
            f.chain_branch = hashes(count);
            f.chain_index = Some(0);
            f.tail = Some(vec![0; 8]);
        });
        assert_eq!(malformed(&forge), Malformed::ChainBranch);
        let forge = changed(|f| f.coinbase_branch = hashes(count));
        assert_eq!(malformed(&forge), Malformed::CoinbaseBranch);
    }
}

#[test]
fn the_count_of_a_branch_has_one_encoding() {
    let forge = changed(|f| f.coinbase_branch = hashes(3));
    let octets = forge.seal();
    let count = 80 + serialize(&forge.committed_coinbase()).len() + 32;
    assert_eq!(octets[count], 3);
    for long in [
        &b"\xfd\x03\0"[..],
        b"\xfe\x03\0\0\0",
        b"\xff\x03\0\0\0\0\0\0\0",
    ] {
        let octets = [&octets[..count], long, &octets[count + 1..]].concat();
        assert_eq!(read(&octets), Err(Malformed::CoinbaseBranch));
    }
}

#[test]
fn the_index_fits_the_chain_branch() {
    let slot = slot(NONCE, 3);
    for index in [slot + 8, slot + 0x8000_0000, 8, 0x8000_0000, u32::MAX] {
        assert_eq!(
            refused(|f| f.chain_index = Some(index)),
            AuxPowError::ChainBranch(FoldError::Index)
        );
    }
}

/// A node's second half, which makes a transaction of it if the fifth octet
/// of the first half is 1: the end of an outpoint, an empty script, sequence,
/// and an output with a script of 4 octets.
const SECOND_HALF: [u8; 32] = {
    let mut half = [0; 32];
    half[14] = 1;
    half[23] = 4;
    half
};

#[test]
fn no_node_below_the_merkle_root_is_a_transaction() {
    let mut forge = Forge::default();
    forge.coinbase_branch[0] = SECOND_HALF;
    assert_eq!(check(&forge), Ok(()));
    while serialize(&forge.committed_coinbase().compute_txid())[4] != 1 {
        forge.coinbase.version.0 += 1;
    }
    assert_eq!(
        refusal(&forge),
        AuxPowError::CoinbaseBranch(FoldError::InnerTransaction)
    );
}

#[test]
fn no_node_below_the_chain_root_is_a_transaction() {
    let mut forge = Forge::default();
    // The first slot of two.
    forge.chain_branch = vec![SECOND_HALF];
    assert_eq!(slot(NONCE, 1), 0);
    forge.block.nonce = 0;
    while serialize(&forge.block.block_hash())[4] != 1 {
        forge.block.nonce += 1;
    }
    assert_eq!(
        refusal(&forge),
        AuxPowError::ChainBranch(FoldError::InnerTransaction)
    );
    forge.block = Forge::default().block;
    assert_eq!(check(&forge), Ok(()));
}

//------------ The commitment -------------------------------------------------

#[test]
fn the_script_holds_the_reversed_root() {
    for script in [
        (|_, _| Vec::new()) as fn(&[u8], &[u8]) -> Vec<u8>,
        |_, tail| forge::marked(&[0x42; 32], tail),
        |root, tail| {
            let root: Vec<_> = root.iter().rev().copied().collect();
            forge::marked(&root, tail)
        },
        |root, tail| forge::marked(&root[..31], tail),
        |root, _| root[..31].to_vec(),
    ] {
        assert_eq!(refused(|f| f.script = script), AuxPowError::NoCommitment);
    }
}

#[test]
fn there_is_one_marker_at_most() {
    for script in [
        (|root, tail| [MARKER, root, tail, MARKER].concat()) as fn(&[u8], &[u8]) -> Vec<u8>,
        |root, tail| [MARKER, MARKER, root, tail].concat(),
        |root, tail| [MARKER, b"-", MARKER, root, tail].concat(),
        |root, tail| [MARKER, root, tail, MARKER, root, tail].concat(),
        |root, tail| [root, tail, MARKER, MARKER].concat(),
    ] {
        assert_eq!(refused(|f| f.script = script), AuxPowError::ManyMarkers);
    }
}

#[test]
fn a_marker_is_directly_before_the_first_root() {
    for script in [
        (|root, tail| [MARKER, b"-", root, tail].concat()) as fn(&[u8], &[u8]) -> Vec<u8>,
        |root, tail| [root, tail, MARKER].concat(),
        // Before the second root only.
        |root, tail| [root, tail, MARKER, root, tail].concat(),
        |root, tail| [b"-", root, MARKER, root, tail].concat(),
    ] {
        assert_eq!(refused(|f| f.script = script), AuxPowError::DistantMarker);
    }
    // A later root does no harm, and a marker may stand anywhere.
    let twice = |root: &[u8], tail: &[u8]| [MARKER, root, tail, root].concat();
    assert_eq!(check(&changed(|f| f.script = twice)), Ok(()));
    let late = |root: &[u8], tail: &[u8]| [&[0; 60], MARKER, root, tail].concat();
    assert_eq!(check(&changed(|f| f.script = late)), Ok(()));
}

#[test]
fn without_a_marker_the_root_begins_at_20_at_most() {
    let at_0 = |root: &[u8], tail: &[u8]| [root, tail].concat();
    assert_eq!(check(&changed(|f| f.script = at_0)), Ok(()));
    let at_20 = |root: &[u8], tail: &[u8]| [&[0; 20], root, tail].concat();
    assert_eq!(check(&changed(|f| f.script = at_20)), Ok(()));
    let at_21 = |root: &[u8], tail: &[u8]| [&[0; 21], root, tail].concat();
    assert_eq!(refused(|f| f.script = at_21), AuxPowError::LateRoot);
    // Part of a marker is none.
    let part = |root: &[u8], tail: &[u8]| [&[0; 18], &MARKER[..3], root, tail].concat();
    assert_eq!(refused(|f| f.script = part), AuxPowError::LateRoot);
}

#[test]
fn size_and_nonce_follow_the_first_root() {
    for length in 0..8 {
        let forge = changed(|f| {
            f.script = |root, tail| [MARKER, root, tail].concat();
            f.tail = Some(vec![0; length]);
        });
        assert_eq!(refusal(&forge), AuxPowError::NoSize);
    }
    // Nothing need follow them.
    let end = |root: &[u8], tail: &[u8]| [MARKER, root, tail].concat();
    assert_eq!(check(&changed(|f| f.script = end)), Ok(()));
    let second = |root: &[u8], tail: &[u8]| [root, b"\x01\0\0\0\0\0\0\0", root, tail].concat();
    assert_eq!(refused(|f| f.script = second), AuxPowError::Size);
}

#[test]
fn the_size_is_that_of_the_tree() {
    for size in [0, 1, 4, 7, 9, 16, 8 << 24, u32::MAX] {
        let tail = [size.to_le_bytes(), NONCE.to_le_bytes()].concat();
        assert_eq!(refused(|f| f.tail = Some(tail)), AuxPowError::Size);
    }
    // Neither is it turned round.
    let tail = [8_u32.to_be_bytes(), NONCE.to_le_bytes()].concat();
    assert_eq!(refused(|f| f.tail = Some(tail)), AuxPowError::Size);
}

#[test]
fn the_block_is_in_its_slot() {
    let right = slot(NONCE, 3);
    for index in (0..8).filter(|index| *index != right) {
        assert_eq!(
            refused(|f| f.chain_index = Some(index)),
            AuxPowError::Slot,
            "{index}"
        );
    }
    let tail = |nonce: u32| Some([8_u32.to_le_bytes(), nonce.to_le_bytes()].concat());
    for nonce in [
        0,
        1,
        2,
        NONCE,
        0x7fff_ffff,
        0x8000_0000,
        0xdead_beef,
        u32::MAX,
    ] {
        let forge = changed(|f| {
            f.tail = tail(nonce);
            f.chain_index = Some(slot(nonce, 3));
        });
        assert_eq!(check(&forge), Ok(()), "{nonce:x}");
        let forge = changed(|f| {
            f.tail = tail(nonce);
            f.chain_index = Some(slot(nonce, 3) ^ 4);
        });
        assert_eq!(refusal(&forge), AuxPowError::Slot, "{nonce:x}");
    }
}
