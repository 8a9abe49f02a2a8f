//! The commitment in the coinbase's script.

use ncprop279::chain::proof_of_work::AuxPowError;

use super::{changed, check, refusal, refused};
use crate::support::forge::{self, MARKER, NONCE, slot};

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
