//! The rules of merged mining, written down a second time, to tell what a
//! header breaks.

use bitcoin::block::Header;
use bitcoin::consensus::encode::VarInt;
use bitcoin::consensus::{Decodable, deserialize};
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::{CompactTarget, Target, Transaction};

use crate::support::electrum::flaws::Flaw;

/// A branch as it stands in a proof.
struct Branch {
    hashes: Vec<[u8; 32]>,
    index: u32,
}

/// What follows the 80 bytes.
struct Proof {
    coinbase: Transaction,
    coinbase_branch: Branch,
    chain_branch: Branch,
    parent: Header,
}

fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (front, rest) = bytes.split_at(N);
    *bytes = rest;
    front.try_into().unwrap()
}

/// `None` if it claims more hashes than any branch has.
fn take_branch(bytes: &mut &[u8]) -> Option<Branch> {
    let count = VarInt::consensus_decode(bytes).unwrap().0;
    if count > 64 {
        return None;
    }
    Some(Branch {
        hashes: (0..count).map(|_| take(bytes)).collect(),
        index: u32::from_le_bytes(take(bytes)),
    })
}

fn read(mut bytes: &[u8]) -> Option<Proof> {
    let coinbase = Transaction::consensus_decode(&mut bytes).unwrap();
    let _ignored: [u8; 32] = take(&mut bytes);
    let proof = Proof {
        coinbase,
        coinbase_branch: take_branch(&mut bytes)?,
        chain_branch: take_branch(&mut bytes)?,
        parent: deserialize(&take::<80>(&mut bytes)).unwrap(),
    };
    assert!(bytes.is_empty(), "bytes behind the proof");
    Some(proof)
}

/// Folds a branch, and says whether a node on the way is a transaction.
fn fold(leaf: [u8; 32], branch: &Branch) -> ([u8; 32], bool) {
    let (mut node, mut transaction) = (leaf, false);
    for (level, sibling) in branch.hashes.iter().enumerate() {
        let right = u64::from(branch.index) >> level & 1 == 1;
        let both = if right {
            [*sibling, node].concat()
        } else {
            [node, *sibling].concat()
        };
        transaction |= deserialize::<Transaction>(&both).is_ok();
        node = sha256d::Hash::hash(&both).to_byte_array();
    }
    (node, transaction)
}

/// The places where `part` stands.
fn places(script: &[u8], part: &[u8]) -> Vec<usize> {
    let windows = script.windows(part.len()).enumerate();
    windows
        .filter(|(_, window)| *window == part)
        .map(|(at, _)| at)
        .collect()
}

fn script_flaws(script: &[u8], mut root: [u8; 32], branch: &Branch) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    root.reverse();
    let Some(&at) = places(script, &root).first() else {
        return vec![Flaw::RootMissing];
    };
    match places(script, &[0xfa, 0xbe, 0x6d, 0x6d])[..] {
        [] if at > 20 => flaws.push(Flaw::LateRoot),
        [marker] if marker + 4 != at => flaws.push(Flaw::MarkerApart),
        [_, _, ..] => flaws.push(Flaw::SecondMarker),
        _ => {}
    }
    let tail = &script[at + 32..];
    if tail.len() < 8 {
        flaws.push(Flaw::ShortTail);
        return flaws;
    }
    let number = |at| u32::from_le_bytes(tail[at..at + 4].try_into().unwrap());
    let size = 1u64 << branch.hashes.len();
    if u64::from(number(0)) != size {
        flaws.push(Flaw::WrongSize);
    }
    let step = |x: u64| (x * 1_103_515_245 + 12345) & 0xffff_ffff;
    let slot = step(step(u64::from(number(4))) + 1) % size;
    if u64::from(branch.index) >= size {
        flaws.push(Flaw::LargeIndex);
    } else if slot != u64::from(branch.index) {
        flaws.push(Flaw::WrongSlot);
    }
    flaws
}

fn proof_flaws(header: &Header, proof: &Proof) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let version = proof.parent.version.to_consensus();
    if version >> 16 == 1 {
        flaws.push(Flaw::ParentChainId);
    }
    if version & 0x100 != 0 {
        flaws.push(Flaw::ParentVersionBit);
    }
    if !meets(&proof.parent, header.bits) {
        flaws.push(Flaw::NoParentWork);
    }
    if proof.coinbase_branch.index != 0 {
        flaws.push(Flaw::CoinbaseIndex);
    }
    let txid = proof.coinbase.compute_txid().to_byte_array();
    let (merkle_root, inner) = fold(txid, &proof.coinbase_branch);
    if merkle_root != proof.parent.merkle_root.to_byte_array() {
        flaws.push(Flaw::MerkleRoot);
    }
    if proof.chain_branch.hashes.len() > 30 {
        flaws.push(Flaw::LongChainBranch);
    }
    let (root, chain_inner) = fold(header.block_hash().to_byte_array(), &proof.chain_branch);
    if inner || chain_inner {
        flaws.push(Flaw::InnerTransaction);
    }
    match proof.coinbase.input.first() {
        None => flaws.push(Flaw::NoInputs),
        Some(input) => flaws.extend(script_flaws(
            input.script_sig.as_bytes(),
            root,
            &proof.chain_branch,
        )),
    }
    flaws
}

fn meets(header: &Header, bits: CompactTarget) -> bool {
    Target::from_compact(bits).is_met_by(header.block_hash())
}

/// All rules that a header above the genesis breaks.
pub fn broken(bytes: &[u8]) -> Vec<Flaw> {
    let header: Header = deserialize(&bytes[..80]).unwrap();
    let version = header.version.to_consensus();
    if version == 1 {
        return vec![Flaw::Legacy];
    }
    let mut flaws = Vec::new();
    if version >> 16 != 1 {
        flaws.push(Flaw::BlockChainId);
    }
    if version & 0x100 == 0 {
        assert_eq!(bytes.len(), 80);
        if !meets(&header, header.bits) {
            flaws.push(Flaw::NoWork);
        }
        return flaws;
    }
    match read(&bytes[80..]) {
        Some(proof) => flaws.extend(proof_flaws(&header, &proof)),
        None => flaws.push(Flaw::HugeBranch),
    }
    flaws
}
