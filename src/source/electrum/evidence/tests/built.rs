use bitcoin::absolute::LockTime;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::sha256d;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, TxIn, TxOut, Witness};

use super::*;
use crate::source::electrum::name_script::tests as outputs;

fn transaction(scripts: Vec<ScriptBuf>) -> Transaction {
    Transaction {
        version: Version(NAMECOIN_TRANSACTION),
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: scripts
            .into_iter()
            .map(|script_pubkey| TxOut {
                value: Amount::from_sat(1_000_000),
                script_pubkey,
            })
            .collect(),
    }
}

/// Verifies `octets` as the only transaction of a block.
fn verify_alone(tx: &Transaction, octets: Vec<u8>) -> Result<Operation, ProofError> {
    let root = TxMerkleNode::from_byte_array(tx.compute_txid().to_byte_array());
    let claim = Claim {
        txid: None,
        tx: octets,
        height: 7,
        branch: Vec::new(),
        position: 0,
    };
    verify(&key("d/a"), &claim, &|height| (height == 7).then_some(root))
}

fn verify_outputs(scripts: Vec<ScriptBuf>) -> Result<Operation, ProofError> {
    let tx = transaction(scripts);
    verify_alone(&tx, serialize(&tx))
}

fn pay() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x6a])
}

#[test]
fn exactly_one_output_carries_the_name() {
    let update = || outputs::update(b"d/a", b"new");
    let register = || outputs::first_update(b"d/a", b"new");
    for scripts in [
        vec![update()],
        vec![register()],
        vec![pay(), update(), pay()],
        vec![update(), pay()],
    ] {
        let operation = verify_outputs(scripts).unwrap();
        assert_eq!(*operation.value, *b"new");
        assert_eq!(operation.order(), (7, 0));
    }
    for (scripts, error) in [
        (vec![pay()], ProofError::NoName),
        (vec![outputs::name_new()], ProofError::NoName),
        (vec![update(), update()], ProofError::SeveralNames),
        (
            vec![update(), outputs::update(b"d/b", b"")],
            ProofError::SeveralNames,
        ),
        (vec![register(), pay(), update()], ProofError::SeveralNames),
        (vec![outputs::update(b"d/b", b"")], ProofError::OtherName),
        (vec![outputs::update(b"d/", b"")], ProofError::OtherName),
        (vec![outputs::update(b"d/a\0", b"")], ProofError::OtherName),
        (vec![outputs::update(b"D/a", b"")], ProofError::OtherName),
    ] {
        assert_eq!(verify_outputs(scripts), Err(error));
    }
}

#[test]
fn values_may_be_empty_long_and_no_text() {
    for value in [&b""[..], &[0xff; 1_023], &[0; 100_000]] {
        let operation = if value.len() <= 0xffff {
            verify_outputs(vec![outputs::update(b"d/a", value)])
        } else {
            let length = u32::try_from(value.len()).unwrap().to_le_bytes();
            let script = [b"\x53\x03d/a\x4e", &length[..], value, b"\x6d\x75"].concat();
            verify_outputs(vec![ScriptBuf::from_bytes(script)])
        };
        assert_eq!(*operation.unwrap().value, *value);
    }
}

#[test]
fn only_transactions_of_namecoins_version_carry_names() {
    for version in [0, 1, 2, 0x7101, 0x0071, -1] {
        let mut tx = transaction(vec![outputs::update(b"d/a", b"new")]);
        tx.version = Version(version);
        assert_eq!(
            verify_alone(&tx, serialize(&tx)),
            Err(ProofError::Version),
            "{version:x}"
        );
    }
}

#[test]
fn witnesses_are_no_part_of_the_proof() {
    let bare = transaction(vec![outputs::update(b"d/a", b"new")]);
    let mut tx = bare.clone();
    tx.input[0].witness = Witness::from_slice(&[[1_u8; 71].as_slice(), &[2; 33]]);
    let whole = serialize(&tx);
    assert_ne!(whole, serialize(&bare));
    let proven = verify_alone(&bare, serialize(&bare));
    assert_eq!(verify_alone(&bare, whole.clone()), proven);

    // The header does not commit to them by the way that is proven here, so
    // they may be changed; they say nothing about the name. All else binds.
    let witness = whole.len() - 4 - tx.input[0].witness.size()..whole.len() - 4;
    let mut accepted = 0;
    for bit in 0..whole.len() * 8 {
        let mut octets = whole.clone();
        octets[bit / 8] ^= 1 << (bit % 8);
        match verify_alone(&bare, octets) {
            Err(_) => {}
            result => {
                assert_eq!(result, proven);
                assert!(witness.contains(&(bit / 8)), "byte {}", bit / 8);
                accepted += 1;
            }
        }
    }
    assert!(accepted >= (71 + 33) * 8);
}

#[test]
fn what_may_be_an_inner_node_of_the_tree_is_no_transaction() {
    // One input leaves room for a script of 4 bytes.
    let tx = transaction(vec![ScriptBuf::from_bytes(vec![0x51; 4])]);
    assert_eq!(tx.base_size(), 64);
    assert_eq!(
        verify_alone(&tx, serialize(&tx)),
        Err(ProofError::Ambiguous)
    );
    // Without inputs there is room for a name.
    let mut tx = transaction(vec![outputs::update(b"d/a", &[b'v'; 34])]);
    tx.input.clear();
    assert_eq!(tx.base_size(), 64);
    assert_eq!(
        verify_alone(&tx, serialize(&tx)),
        Err(ProofError::Ambiguous)
    );
    let mut tx = transaction(vec![outputs::update(b"d/a", b"new")]);
    tx.input.clear();
    assert_eq!(
        verify_alone(&tx, serialize(&tx)),
        Err(ProofError::Ambiguous)
    );
}

#[test]
fn a_branch_through_a_transaction_is_refused() {
    // An id whose fifth byte is 1 reads as the beginning of a transaction
    // with one input; the sibling makes it complete.
    let tx = (0_u32..)
        .map(|n| transaction(vec![outputs::update(b"d/a", &n.to_le_bytes())]))
        .find(|tx| tx.compute_txid().to_byte_array()[4] == 1)
        .unwrap();
    let mut sibling = [0; 32];
    sibling[14] = 1;
    sibling[23] = 4;
    let leaf = tx.compute_txid().to_byte_array();
    let inner = [leaf, sibling].concat();
    assert!(deserialize::<Transaction>(&inner).is_ok());
    let claim = Claim {
        txid: None,
        tx: serialize(&tx),
        height: 7,
        branch: vec![sibling],
        position: 0,
    };
    let root = TxMerkleNode::from_byte_array(sha256d::Hash::hash(&inner).to_byte_array());
    assert_eq!(
        verify(&key("d/a"), &claim, &|_| Some(root)),
        Err(ProofError::Branch(FoldError::InnerTransaction))
    );
}

fn parent(left: [u8; 32], right: [u8; 32]) -> [u8; 32] {
    sha256d::Hash::hash(&[left, right].concat()).to_byte_array()
}

#[test]
fn the_last_operation_of_a_block_cannot_be_moved_back() {
    // A block of three, the third of which is its own sibling; and a block of
    // six, where that happens a level higher.
    let tx = transaction(vec![outputs::update(b"d/a", b"new")]);
    let leaf = tx.compute_txid().to_byte_array();
    let (first, other) = (parent([1; 32], [2; 32]), [3; 32]);
    let pair = parent(leaf, other);
    let quad = parent(first, parent([4; 32], [5; 32]));
    for (branch, root, place, moved) in [
        (vec![leaf, first], parent(first, parent(leaf, leaf)), 2, 3),
        (
            vec![other, pair, quad],
            parent(quad, parent(pair, pair)),
            4,
            6,
        ),
    ] {
        let at = |position| {
            let claim = Claim {
                txid: None,
                tx: serialize(&tx),
                height: 7,
                branch: branch.clone(),
                position,
            };
            let root = TxMerkleNode::from_byte_array(root);
            verify(&key("d/a"), &claim, &|_| Some(root)).map(|operation| operation.position)
        };
        assert_eq!(at(place), Ok(place));
        assert_eq!(at(moved), Err(ProofError::AmbiguousPosition));
    }
}
