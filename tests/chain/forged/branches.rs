//! The two branches.

use bitcoin::consensus::serialize;
use ncprop279::chain::merkle::FoldError;
use ncprop279::chain::proof_of_work::AuxPowError;
use ncprop279::chain::proof_of_work::HeaderParseError;

use super::{changed, check, malformed, read, refusal, refused};
use crate::support::forge::{Forge, NONCE, hashes, slot};

#[test]
fn branches_have_at_most_30_hashes() {
    for count in [31, 32, 64, 252] {
        let forge = changed(|f| {
            f.chain_branch = hashes(count);
            f.chain_index = Some(0);
            f.tail = Some(vec![0; 8]);
        });
        assert_eq!(malformed(&forge), HeaderParseError::ChainBranch);
        let forge = changed(|f| f.coinbase_branch = hashes(count));
        assert_eq!(malformed(&forge), HeaderParseError::CoinbaseBranch);
    }
}

#[test]
fn the_count_of_a_branch_has_one_encoding() {
    let forge = changed(|f| f.coinbase_branch = hashes(3));
    let bytes = forge.seal();
    let count = 80 + serialize(&forge.committed_coinbase()).len() + 32;
    assert_eq!(bytes[count], 3);
    for long in [
        &b"\xfd\x03\0"[..],
        b"\xfe\x03\0\0\0",
        b"\xff\x03\0\0\0\0\0\0\0",
    ] {
        let bytes = [&bytes[..count], long, &bytes[count + 1..]].concat();
        assert_eq!(read(&bytes), Err(HeaderParseError::CoinbaseBranch));
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

/// A node's second half, which makes a transaction of it if the fifth byte
/// of the first half is 1: the end of an outpoint, an empty script, sequence,
/// and an output with a script of 4 bytes.
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
    // The first slot of two.
    let mut forge = changed(|f| f.chain_branch = vec![SECOND_HALF]);
    assert_eq!(slot(NONCE, 1), 0);
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
