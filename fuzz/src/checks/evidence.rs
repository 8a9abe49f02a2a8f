//! Proofs that an operation on a name is in the chain.

use bitcoin::Txid;
use bitcoin::hashes::{Hash, sha256d};
use ncprop279::fuzzing::electrum::{Claim, Hash32, name_output, prove, script_hash};
use ncprop279::snapshot::NameKey;

const HEIGHT: u32 = 100;

/// A branch of the length of the first byte, a position of the next four, and
/// any bytes behind as a transaction: it proves nothing that a check by other
/// means does not find in it, and nothing under another root.
pub fn evidence(data: &[u8]) {
    let _ = name_output(data);
    let hash = script_hash(&data[..data.len().min(255)]);
    assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let Some(((length, position), tx)) = data
        .split_first()
        .and_then(|(length, rest)| Some((*length, rest.split_first_chunk::<4>()?)))
        .map(|(length, (position, tx))| ((length, u32::from_le_bytes(*position)), tx))
    else {
        return;
    };
    let Some(said) = said(tx) else {
        return;
    };
    let Some(key) = std::str::from_utf8(&said.0).ok().and_then(NameKey::new) else {
        return;
    };
    let mut claim = Claim {
        txid: None,
        tx: tx.to_vec(),
        height: HEIGHT,
        branch: (0..length % 34).map(|level| [level; 32]).collect(),
        position,
    };
    let root = root(tx, &claim.branch, position);
    let root_at = |height| (height == HEIGHT).then_some(root);
    match prove(&key, &claim, &root_at) {
        Ok((height, at, value)) => {
            assert_eq!((height, at, &value), (HEIGHT, position, &said.1));
            let other = |_| Some([0x5a; 32]);
            prove(&key, &claim, &other).expect_err("proven under another root");
            let other = NameKey::new(&format!("{key}x"));
            if let Some(other) = other {
                prove(&other, &claim, &root_at).expect_err("proven of another name");
            }
            prove(&key, &claim, &|_| None).expect_err("proven without a header");
            claim.txid = Some(Txid::from_byte_array([0x5a; 32]));
            prove(&key, &claim, &root_at).expect_err("proven with another id");
        }
        Err(why) => assert!(super::is_printable(&why), "{why}"),
    }
}

/// The name and value of the one output that has them.
fn said(tx: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let transaction: bitcoin::Transaction = bitcoin::consensus::deserialize(tx).ok()?;
    let scripts = transaction
        .output
        .iter()
        .map(|output| output.script_pubkey.as_bytes());
    let mut said = scripts.filter_map(name_output);
    let (name, value) = said.next()?;
    Some((name.to_vec(), value.to_vec()))
}

/// The root that a branch leads to, whatever it may be.
fn root(tx: &[u8], branch: &[Hash32], position: u32) -> Hash32 {
    let transaction: bitcoin::Transaction =
        bitcoin::consensus::deserialize(tx).expect("a transaction");
    let leaf = transaction.compute_txid().to_byte_array();
    let step = |(node, rest): (Hash32, u32), sibling: &Hash32| {
        let pair = match rest % 2 {
            0 => [node, *sibling],
            _ => [*sibling, node],
        };
        (
            sha256d::Hash::hash(&pair.concat()).to_byte_array(),
            rest / 2,
        )
    };
    branch.iter().fold((leaf, position), step).0
}
