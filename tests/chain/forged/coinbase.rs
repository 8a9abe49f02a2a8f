//! The parent's coinbase transaction.

use bitcoin::consensus::serialize;
use bitcoin::{Amount, ScriptBuf, TxOut, Witness};
use ncprop279::chain::proof_of_work::AuxPowError;
use ncprop279::chain::proof_of_work::HeaderParseError;

use super::{changed, check, malformed, refusal, refused};
use crate::support::forge::{self, Forge};

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
        HeaderParseError::Coinbase
    );
    // The same with marker and flag.
    let none = b"\x01\0\0\0\0\x01\0\0\0\0\0\0";
    assert_eq!(
        malformed(&changed(|f| f.raw_coinbase = Some(none.to_vec()))),
        HeaderParseError::NoInput
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
        let bytes = forge.seal();
        // Marker and flag.
        assert_eq!(bytes[84..86], [0, 1]);
        assert_eq!(check(&forge), Ok(()));
        // So nothing commits to the witness, as nothing commits to the bytes
        // that are ignored.
        let plain = serialize(&forge.committed_coinbase());
        let mut other = plain.clone();
        other[plain.len() - 5] ^= 1;
        forge.raw_coinbase = Some(other);
        assert_eq!(check(&forge), Ok(()));
    }
}

#[test]
fn a_coinbase_with_empty_witnesses_is_no_transaction() {
    let plain = serialize(&Forge::default().committed_coinbase());
    let (body, lock_time) = plain[4..].split_at(plain.len() - 8);
    let empty = [&plain[..4], b"\0\x01", body, b"\0", lock_time].concat();
    let forge = changed(|f| f.raw_coinbase = Some(empty));
    assert_eq!(malformed(&forge), HeaderParseError::Coinbase);
    for flag in [0, 2, 3, 0xff] {
        let flagged = [&plain[..4], &[0, flag], body, b"\x01\0", lock_time].concat();
        let forge = changed(|f| f.raw_coinbase = Some(flagged));
        assert_eq!(malformed(&forge), HeaderParseError::Coinbase);
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
    assert_eq!(malformed(&above), HeaderParseError::Coinbase);
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
        assert_eq!(malformed(&forge), HeaderParseError::Coinbase);
    }
}
