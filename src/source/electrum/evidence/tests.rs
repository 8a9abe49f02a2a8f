//! Claims that were recorded, and claims about transactions built here.

use bitcoin::absolute::LockTime;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::sha256d;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, Sequence, TxIn, TxOut, Witness};

use super::*;
use crate::source::electrum::reply;
use crate::source::electrum::testing::{self, bytes, replies, root_at};

fn key(name: &str) -> NameKey {
    NameKey::new(name).unwrap()
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

fn verify_testls(claim: &Claim) -> Result<Operation, ProofError> {
    verify(&key("d/testls"), claim, &root_at)
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
        let recorded = testing::name(name);
        assert_eq!(*operations[0].value, bytes(&recorded.value));
        assert_eq!(operations[0].height, recorded.height);
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
fn the_id_in_the_history_binds_and_nothing_follows_the_transaction() {
    let mut claim = testls();
    claim.tx.push(0);
    assert_eq!(verify_testls(&claim), Err(ProofError::Trailing));
    claim.tx.pop();
    let txid: Txid = testing::name("d/testls").txid.parse().unwrap();
    claim.txid = Some(txid);
    assert!(verify_testls(&claim).is_ok());
    claim.txid = Some(testing::name("d/plain").txid.parse().unwrap());
    assert_eq!(verify_testls(&claim), Err(ProofError::OtherTransaction));
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
fn a_position_beyond_the_branch_is_refused() {
    let genuine = testls();
    for beyond in [1 << 4, 1 << 31, u32::MAX << 4] {
        let claim = Claim {
            position: genuine.position | beyond,
            ..genuine.clone()
        };
        assert_eq!(
            verify_testls(&claim),
            Err(ProofError::Branch(FoldError::Index))
        );
    }
    let claim = Claim {
        branch: vec![[7; 32]; 100],
        position: u32::MAX,
        ..genuine
    };
    assert_eq!(verify_testls(&claim), Err(ProofError::OtherRoot));
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
fn verify_as(tx: &Transaction, bytes: Vec<u8>) -> Result<Operation, ProofError> {
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

fn verify_alone(tx: &Transaction) -> Result<Operation, ProofError> {
    verify_as(tx, serialize(tx))
}

fn verify_outputs(scripts: Vec<ScriptBuf>) -> Result<Operation, ProofError> {
    verify_alone(&transaction(scripts))
}

fn pay() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x6a])
}

#[test]
fn exactly_one_output_carries_the_name() {
    let updated = || update(b"d/a", b"new");
    let registered = || first_update(b"d/a", b"new");
    for scripts in [
        vec![updated()],
        vec![registered()],
        vec![pay(), updated(), pay()],
        vec![updated(), pay()],
    ] {
        let operation = verify_outputs(scripts).unwrap();
        assert_eq!(*operation.value, *b"new");
        assert_eq!(operation.order(), (7, 0));
    }
    for (scripts, error) in [
        (vec![pay()], ProofError::NoName),
        (vec![name_new()], ProofError::NoName),
        (vec![updated(), updated()], ProofError::SeveralNames),
        (
            vec![updated(), update(b"d/b", b"")],
            ProofError::SeveralNames,
        ),
        (
            vec![registered(), pay(), updated()],
            ProofError::SeveralNames,
        ),
        (vec![update(b"d/b", b"")], ProofError::OtherName),
        (vec![update(b"d/", b"")], ProofError::OtherName),
        (vec![update(b"d/a\0", b"")], ProofError::OtherName),
        (vec![update(b"D/a", b"")], ProofError::OtherName),
    ] {
        assert_eq!(verify_outputs(scripts), Err(error));
    }
}

#[test]
fn values_may_be_empty_long_and_no_text() {
    for value in [&b""[..], &[0xff; 1_023], &[0; 100_000]] {
        let operation = if value.len() <= 0xffff {
            verify_outputs(vec![update(b"d/a", value)])
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
        let mut tx = transaction(vec![update(b"d/a", b"new")]);
        tx.version = Version(version);
        assert_eq!(verify_alone(&tx), Err(ProofError::Version), "{version:x}");
    }
}

#[test]
fn witnesses_are_no_part_of_the_proof() {
    let bare = transaction(vec![update(b"d/a", b"new")]);
    let mut tx = bare.clone();
    tx.input[0].witness = Witness::from_slice(&[[1_u8; 71].as_slice(), &[2; 33]]);
    let whole = serialize(&tx);
    assert_ne!(whole, serialize(&bare));
    let proven = verify_alone(&bare);
    assert_eq!(verify_as(&bare, whole.clone()), proven);

    // The header does not commit to them by the way that is proven here, so
    // they may be changed; they say nothing about the name. All else binds.
    let witness = whole.len() - 4 - tx.input[0].witness.size()..whole.len() - 4;
    let mut accepted = 0;
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match verify_as(&bare, bytes) {
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
    assert_eq!(verify_alone(&tx), Err(ProofError::Ambiguous));
    // Without inputs there is room for a name.
    let mut tx = transaction(vec![update(b"d/a", &[b'v'; 34])]);
    tx.input.clear();
    assert_eq!(tx.base_size(), 64);
    assert_eq!(verify_alone(&tx), Err(ProofError::Ambiguous));
    let mut tx = transaction(vec![update(b"d/a", b"new")]);
    tx.input.clear();
    assert_eq!(verify_alone(&tx), Err(ProofError::Ambiguous));
}

#[test]
fn a_branch_through_a_transaction_is_refused() {
    // An id whose fifth byte is 1 reads as the beginning of a transaction
    // with one input; the sibling makes it complete.
    let tx = (0_u32..)
        .map(|n| transaction(vec![update(b"d/a", &n.to_le_bytes())]))
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
    let tx = transaction(vec![update(b"d/a", b"new")]);
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

/// The beginning of a pay-to-public-key-hash output.
const REST: &[u8] = &[0x76, 0xa9, 0x14];

/// An output that gives a name a value.
fn update(name: &[u8], value: &[u8]) -> ScriptBuf {
    build(0x53, &[name, value], &[0x6d, 0x75])
}

/// An output that registers a name.
fn first_update(name: &[u8], value: &[u8]) -> ScriptBuf {
    build(0x52, &[name, &[7; 20], value], &[0x6d, 0x6d])
}

/// An output that commits to a name.
fn name_new() -> ScriptBuf {
    build(0x51, &[&[7; 20]], &[0x6d])
}

fn build(operation: u8, pushes: &[&[u8]], clears: &[u8]) -> ScriptBuf {
    let mut script = vec![operation];
    for bytes in pushes {
        push(&mut script, bytes);
    }
    script.extend(clears);
    script.extend(REST);
    ScriptBuf::from_bytes(script)
}

#[test]
fn recorded_names_have_the_recorded_hashes() {
    let chain = testing::chain();
    assert_eq!(chain.names.len(), 14);
    for name in chain.names {
        let script = index_script(&testing::bytes(&name.name));
        assert_eq!(HEXLOWER.encode(script.as_bytes()), name.script);
        assert_eq!(script_hash(&testing::bytes(&name.name)), name.scripthash);
    }
}

#[test]
fn pushes_have_the_shortest_form_for_their_length() {
    for (length, head) in [
        (0, &[0][..]),
        (1, &[1]),
        (75, &[75]),
        (76, &[0x4c, 76]),
        (255, &[0x4c, 255]),
        (256, &[0x4d, 0, 1]),
        (65_535, &[0x4d, 255, 255]),
    ] {
        let mut script = Vec::new();
        push(&mut script, &vec![1; length]);
        assert_eq!(script, [head, &vec![1; length]].concat(), "{length}");
    }
    let script = index_script(&[b'n'; 255]);
    assert_eq!(script.as_bytes()[..3], [0x53, 0x4c, 255]);
    assert_eq!(script.as_bytes()[258..], [0, 0x6d, 0x75, 0x6a]);
}

#[test]
fn operations_are_read_whatever_form_their_pushes_have() {
    let named = Some(NameOutput {
        name: b"d/a",
        value: b"v",
    });
    let whole = |bytes: &[u8]| [bytes, REST].concat();
    for script in [
        update(b"d/a", b"v").into_bytes(),
        first_update(b"d/a", b"v").into_bytes(),
        whole(b"\x53\x4c\x03d/a\x4d\x01\x00v\x6d\x75"),
        whole(b"\x53\x4e\x03\x00\x00\x00d/a\x01v\x6d\x75"),
        whole(b"\x52\x03d/a\x00\x01v\x6d\x6d"),
        b"\x53\x03d/a\x01v\x6d\x75".to_vec(),
    ] {
        let script = ScriptBuf::from_bytes(script);
        assert_eq!(name_output(&script), named, "{script:?}");
    }
}

#[test]
fn everything_else_carries_no_name() {
    for script in [
        &b""[..],
        b"\x53",
        b"\x53\x03d/a",
        b"\x53\x03d/a\x01v",
        b"\x53\x03d/a\x01v\x6d",
        b"\x53\x03d/a\x01v\x6d\x6d",
        b"\x53\x03d/a\x01v\x75\x6d",
        b"\x53\x03d/a\x51\x6d\x75",
        b"\x53\x03d/a\x4f\x6d\x75",
        b"\x53\x03d/a\x05v\x6d\x75",
        b"\x53\x4e\xff\xff\xff\xffd/a\x01v\x6d\x75",
        b"\x52\x03d/a\x01v\x6d\x6d",
        b"\x52\x03d/a\x00\x01v\x6d\x75",
        b"\x54\x03d/a\x01v\x6d\x75",
        b"\x03d/a\x01v\x6d\x75",
        b"\x76\xa9\x14",
    ] {
        assert_eq!(name_output(Script::from_bytes(script)), None, "{script:x?}");
    }
    assert_eq!(name_output(&name_new()), None);
}
