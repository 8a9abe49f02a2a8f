//! Claims that were recorded, and claims about transactions built here.

use bitcoin::absolute::LockTime;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::sha256d;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, TxIn, TxOut, Witness};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::source::electrum::name_script::{script_hash, tests as outputs};
use crate::source::electrum::reply;
use crate::source::electrum::testing::{self, bytes, replies, root_at};
use crate::source::electrum::verdict::{NameStatus, Selection, Terms, newest, select};

fn key(name: &str) -> NameKey {
    NameKey::new(name).unwrap()
}

const TERMS: Terms = Terms {
    tip: testing::TIP,
    confirmations: 12,
    expiry: testing::EXPIRY,
};

/// The reply of a server to a request about a transaction.
fn about(method: &str, server: &str, txid: Txid) -> Option<String> {
    replies(method)
        .into_iter()
        .find(|reply| reply.server == server && reply.params[0] == txid.to_string())
        .map(|reply| reply.result.get().to_owned())
}

/// What a server claims of the transaction in a history.
fn claim_about(server: &str, entry: reply::HistoryEntry) -> Option<Claim> {
    let merkle = about("blockchain.transaction.get_merkle", server, entry.txid)?;
    let branch = reply::branch(&merkle, entry.height).unwrap();
    let tx = about("blockchain.transaction.get", server, entry.txid)?;
    Some(Claim {
        txid: Some(entry.txid),
        tx: reply::transaction(&tx).unwrap(),
        height: entry.height,
        branch: branch.hashes,
        position: branch.position,
    })
}

/// All that the server with value proofs claims of a name, newest first.
fn proofs_of(name: &str) -> Vec<Claim> {
    let hash = script_hash(name.as_bytes());
    let exchange = replies("blockchain.name.get_value_proof")
        .into_iter()
        .find(|exchange| {
            exchange.params == [hash.as_str().into(), 0.into()] as [serde_json::Value; 2]
        })
        .unwrap();
    reply::value_proofs(exchange.result.get(), &hash)
        .unwrap()
        .into_iter()
        .map(|proof| proof.claim().unwrap())
        .collect()
}

fn testls() -> Claim {
    proofs_of("d/testls").remove(0)
}

fn check_value(name: &str, operation: Option<Operation>) {
    let recorded = testing::name(name);
    let operation = operation.unwrap();
    assert_eq!(*operation.value, bytes(&recorded.value));
    assert_eq!(operation.height, recorded.height);
}

#[test]
fn lookups_by_history_give_the_recorded_values() {
    let mut lookups = 0;
    for exchange in replies("blockchain.scripthash.get_history") {
        for name in ["d/testls", "d/plain", "d/multi", "d/never-existed"] {
            if exchange.params != [script_hash(name.as_bytes())] {
                continue;
            }
            let history = reply::history(exchange.result.get()).unwrap();
            let entries = match select(&mut { history }, |entry| entry.height, TERMS).unwrap() {
                Selection::Prove(entries) => entries,
                Selection::Settled(status) => {
                    assert_eq!(
                        (name, status),
                        ("d/never-existed", NameStatus::NeverRegistered)
                    );
                    continue;
                }
            };
            assert_eq!(entries[0].txid.to_string(), testing::name(name).txid);
            let Some(claim) = claim_about(&exchange.server, entries[0]) else {
                assert_eq!(name, "d/multi");
                continue;
            };
            let operation = verify(&key(name), &claim, &root_at).unwrap();
            check_value(name, newest([operation]));
            lookups += 1;
        }
    }
    assert_eq!(lookups, 4, "two names at two servers");
}

#[test]
fn lookups_by_value_proof_give_the_recorded_values() {
    let mut lookups = 0;
    for exchange in replies("blockchain.name.get_value_proof") {
        for name in ["d/testls", "d/plain", "d/multi", "d/never-existed"] {
            let hash = script_hash(name.as_bytes());
            if exchange.params[0] != hash {
                continue;
            }
            let proofs = reply::value_proofs(exchange.result.get(), &hash).unwrap();
            match select(&mut { proofs }, |proof| proof.height, TERMS).unwrap() {
                Selection::Settled(status) => {
                    assert_eq!(
                        (name, status),
                        ("d/never-existed", NameStatus::NeverRegistered)
                    );
                }
                Selection::Prove(proofs) => {
                    let operations = proofs
                        .into_iter()
                        .map(|proof| verify(&key(name), &proof.claim().unwrap(), &root_at));
                    check_value(name, newest(operations.map(Result::unwrap)));
                    lookups += 1;
                }
            }
        }
    }
    assert_eq!(lookups, 5);
}

#[test]
fn every_recorded_operation_is_proven() {
    for name in ["d/testls", "d/plain", "d/multi"] {
        let claims = proofs_of(name);
        assert!(claims.len() >= 4);
        let mut operations = Vec::new();
        for claim in claims {
            operations.push(verify(&key(name), &claim, &root_at).unwrap());
            assert_eq!(
                verify(&key("d/other"), &claim, &root_at),
                Err(ProofError::OtherName)
            );
        }
        assert!(operations.is_sorted_by(|a, b| a.order() > b.order()));
    }
}

#[test]
fn no_bit_of_a_claim_can_be_changed() {
    for name in ["d/testls", "d/plain"] {
        let genuine = proofs_of(name).remove(0);
        let refused = |claim: &Claim, what: &str, bit: usize| {
            let result = verify(&key(name), claim, &root_at);
            assert!(result.is_err(), "{name}: bit {bit} of the {what}");
        };
        for bit in 0..genuine.tx.len() * 8 {
            let mut claim = genuine.clone();
            claim.tx[bit / 8] ^= 1 << (bit % 8);
            refused(&claim, "transaction", bit);
        }
        for bit in 0..genuine.branch.len() * 256 {
            let mut claim = genuine.clone();
            claim.branch[bit / 256][bit % 256 / 8] ^= 1 << (bit % 8);
            refused(&claim, "branch", bit);
        }
        for bit in 0..32 {
            let mut claim = genuine.clone();
            claim.position ^= 1 << bit;
            refused(&claim, "position", bit);
            let mut claim = genuine.clone();
            claim.height ^= 1 << bit;
            refused(&claim, "height", bit);
        }
        for length in 0..genuine.branch.len() {
            let mut claim = genuine.clone();
            claim.branch.truncate(length);
            refused(&claim, "branch, cut", length);
        }
        for length in 0..genuine.tx.len() {
            let mut claim = genuine.clone();
            claim.tx.truncate(length);
            refused(&claim, "transaction, cut", length);
        }
    }
}

#[test]
fn the_id_in_the_history_binds() {
    let mut claim = testls();
    let txid: Txid = testing::name("d/testls").txid.parse().unwrap();
    claim.txid = Some(txid);
    assert!(verify(&key("d/testls"), &claim, &root_at).is_ok());
    claim.txid = Some(testing::name("d/plain").txid.parse().unwrap());
    assert_eq!(
        verify(&key("d/testls"), &claim, &root_at),
        Err(ProofError::OtherTransaction)
    );
}

#[test]
fn a_header_that_is_not_there_yet_is_not_the_servers_fault() {
    let claim = testls();
    let missing = verify(&key("d/testls"), &claim, &|_| None).unwrap_err();
    assert_eq!(missing, ProofError::NoHeader);
    assert!(!missing.is_servers_fault());

    // Nor is a transaction of the chain that is no operation on the name.
    let other = verify(&key("d/other"), &claim, &root_at).unwrap_err();
    assert_eq!(other, ProofError::OtherName);
    assert!(other.is_no_operation() && !other.is_servers_fault());

    // That it is one of the chain must be proven too.
    let elsewhere = Claim {
        height: claim.height - 1,
        ..claim
    };
    for name in ["d/testls", "d/other"] {
        let elsewhere = verify(&key(name), &elsewhere, &root_at).unwrap_err();
        assert_eq!(elsewhere, ProofError::OtherRoot);
        assert!(elsewhere.is_servers_fault() && !elsewhere.is_no_operation());
    }
}

#[test]
fn nothing_may_follow_the_transaction() {
    let mut claim = testls();
    claim.tx.push(0);
    assert_eq!(
        verify(&key("d/testls"), &claim, &root_at),
        Err(ProofError::Trailing)
    );
}

#[test]
fn a_position_beyond_the_branch_is_refused() {
    let genuine = testls();
    for beyond in [1 << 4, 1 << 31, u32::MAX << 4] {
        let claim = Claim {
            position: genuine.position | beyond,
            ..genuine.clone()
        };
        assert_eq!(
            verify(&key("d/testls"), &claim, &root_at),
            Err(ProofError::Branch(FoldError::Index))
        );
    }
    let claim = Claim {
        branch: vec![[7; 32]; 100],
        position: u32::MAX,
        ..genuine
    };
    assert_eq!(
        verify(&key("d/testls"), &claim, &root_at),
        Err(ProofError::OtherRoot)
    );
}

#[test]
fn random_claims_do_no_harm() {
    let mut rng = StdRng::seed_from_u64(7);
    let genuine = testls();
    for _ in 0..5_000 {
        let mut claim = genuine.clone();
        match rng.random_range(0..3) {
            0 => {
                let length = rng.random_range(0..200);
                claim.tx = (0..length).map(|_| rng.random()).collect();
            }
            1 => {
                let at = rng.random_range(0..claim.tx.len());
                claim.tx[at] = rng.random();
                claim.tx.truncate(rng.random_range(at..=claim.tx.len()));
            }
            _ => {
                let length = rng.random_range(0..40);
                claim.branch = (0..length).map(|_| rng.random()).collect();
                claim.position = rng.random();
                claim.height = rng.random();
            }
        }
        if let Ok(operation) = verify(&key("d/testls"), &claim, &root_at) {
            assert_eq!(claim.tx, genuine.tx);
            assert_eq!(operation.order(), (genuine.height, genuine.position));
        }
    }
}

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

/// Verifies `bytes` as the only transaction of a block.
fn verify_alone(tx: &Transaction, bytes: Vec<u8>) -> Result<Operation, ProofError> {
    let root = TxMerkleNode::from_byte_array(tx.compute_txid().to_byte_array());
    let claim = Claim {
        txid: None,
        tx: bytes,
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
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match verify_alone(&bare, bytes) {
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
