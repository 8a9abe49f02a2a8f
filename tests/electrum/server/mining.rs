//! What the miner makes: valid chains, forks, names with proofs, and headers
//! that break one rule.

use std::collections::HashSet;

use bitcoin::consensus::deserialize;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Transaction, Txid};

use super::rules::broken;
use crate::support::electrum::auxpow::Shape;
use crate::support::electrum::chain::{Block, Chain};
use crate::support::electrum::flaws::Flaw;
use crate::support::electrum::lies::Lie;
use crate::support::electrum::merkle::fold;
use crate::support::electrum::miner::BITS;
use crate::support::electrum::names::{name_of, script_hash};

const NONE: [usize; 0] = [];

fn blocks(chain: &Chain) -> impl Iterator<Item = &Block> {
    (1..=chain.tip()).map(|height| chain.block(height).unwrap())
}

/// The heights whose headers break a rule, or do not link.
fn bad_heights(chain: &Chain) -> Vec<usize> {
    let mut bad = Vec::new();
    let mut last: BlockHash = chain.block(0).unwrap().hash;
    for (at, block) in blocks(chain).enumerate() {
        let height = at + 1;
        let linked = block.header.prev_blockhash == last;
        let in_time = block.header.time > chain.median_time(height - 1);
        let bits = block.header.bits.to_consensus() == BITS;
        if !linked || !in_time || !bits || !broken(&block.bytes).is_empty() {
            bad.push(height);
        }
        last = block.hash;
    }
    bad
}

#[test]
fn the_recorded_chain_keeps_the_rules() {
    let chain = Chain::recorded();
    assert_eq!(chain.tip(), 250);
    assert_eq!(
        chain.tip_block().hash.to_string(),
        "5e1a9e8d3e405734ae06ea02ba202302310504dc127abc928da9e00acaae1fbc"
    );
    assert_eq!(
        chain.block(0).unwrap().hash.to_string(),
        "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
    );
    assert_eq!(bad_heights(&chain), NONE);
}

#[test]
fn what_is_mined_keeps_the_rules() {
    let mut chain = Chain::new();
    chain.mine(40);
    chain.register("d/example", "{}");
    chain.plain = true;
    chain.mine(4);
    chain.plain = false;
    chain.shape = Some(Shape::REAL);
    chain.mine(4);
    assert_eq!(chain.tip(), 49);
    assert_eq!(bad_heights(&chain), NONE);
    // Without proof, with a small one, with one as of the real network.
    assert_eq!(chain.block(43).unwrap().bytes.len(), 80);
    assert!(chain.block(3).unwrap().bytes.len() < 500);
    assert!((1900..2300).contains(&chain.tip_block().bytes.len()));
}

#[test]
fn branches_of_forks_differ_and_keep_the_rules() {
    let mut chain = Chain::new();
    chain.mine(5);
    chain.register("d/kept", "{}");
    chain.register("d/lost", "{}");
    let mut forks = [chain.fork_at(6), chain.fork_at(6)];
    let mut tips = HashSet::from([chain.tip_block().hash]);
    for fork in &mut forks {
        assert_eq!(fork.history(&script_hash("d/kept")).len(), 1);
        assert_eq!(fork.history(&script_hash("d/lost")).len(), 0);
        fork.mine(1);
        assert_eq!(fork.tip(), 7);
        assert_eq!(bad_heights(fork), NONE);
        tips.insert(fork.tip_block().hash);
    }
    assert_eq!(tips.len(), 3);
}

/// Every operation folds to its header's root, carries its name, and is found
/// under its script hash; between them they have branches of 1 to 4 hashes and
/// both serialisations.
#[test]
fn names_are_mined_with_proofs() {
    let mut chain = Chain::new();
    let (mut lengths, mut witnesses) = (HashSet::new(), HashSet::new());
    for number in 0..30 {
        let name = format!("d/name{number}");
        let long = "x".repeat(number * 17);
        let first = chain.register(&name, "{}");
        let second = chain.update(&name, &long);
        let history = chain.history(&script_hash(&name));
        let txids: Vec<Txid> = history.iter().map(|entry| entry.txid).collect();
        assert_eq!(txids, [first, second]);
        for entry in history {
            let placed = chain.transaction(&entry.txid).unwrap();
            let transaction: Transaction = deserialize(&placed.raw).unwrap();
            assert_eq!(transaction.version.0, 0x7100);
            let names = transaction.output.iter();
            let names = names.filter_map(|output| name_of(output.script_pubkey.as_bytes()));
            assert_eq!(names.collect::<Vec<_>>(), [name.as_bytes()]);
            let leaf = transaction.compute_txid();
            assert_eq!(leaf, entry.txid);
            let position = u32::try_from(placed.position).unwrap();
            let root = fold(leaf.to_byte_array(), &placed.branch, position);
            let header = chain.block(entry.height).unwrap().header;
            assert_eq!(root, header.merkle_root.to_byte_array());
            lengths.insert(placed.branch.len());
            witnesses.insert(!transaction.input[0].witness.is_empty());
        }
    }
    assert_eq!(lengths, HashSet::from([1, 2, 3, 4]));
    assert_eq!(witnesses.len(), 2);
    assert_eq!(
        script_hash("d/testls"),
        "b519574e96740a4b3627674a0708e71a73e654a95117fc828b8e177a0579ab42"
    );
}

/// A header breaks the one rule, and no other header breaks any.
#[test]
fn each_flaw_breaks_its_rule_alone() {
    let mut mined = Chain::new();
    mined.mine(8);
    for chain in [mined, Chain::recorded().fork_at(12)] {
        for flaw in Flaw::ALL {
            let forged = Lie::Flaw { height: 5, flaw }.forge(&chain).unwrap();
            assert_eq!(broken(&forged.block(5).unwrap().bytes), [flaw]);
            assert_eq!(bad_heights(&forged), [5], "{flaw:?}");
            assert_eq!(forged.tip(), chain.tip());
        }
    }
}

#[test]
fn lies_about_headers_change_one_header() {
    let mut chain = Chain::new();
    chain.mine(30);
    for bit in [0, 300, 639] {
        // The header above does not link to a changed one.
        let forged = Lie::HeaderBit { height: 5, bit }.forge(&chain).unwrap();
        assert!(bad_heights(&forged).starts_with(&[5]), "{bit}");
    }
    for lie in [Lie::Bits(20), Lie::OldTime(20)] {
        let forged = lie.forge(&chain).unwrap();
        assert_eq!(bad_heights(&forged), [20], "{lie:?}");
    }
    let forged = Lie::FutureTime(20).forge(&chain).unwrap();
    assert_eq!(bad_heights(&forged), NONE);
    let lead = forged.block(20).unwrap().header.time - chain.block(20).unwrap().header.time;
    assert!(lead > 86_400 + 7200);
}

#[test]
fn lies_about_the_tip_shorten_the_chain() {
    let mut chain = Chain::new();
    chain.mine(30);
    let fork = Lie::LowerWork(6).forge(&chain).unwrap();
    assert_eq!(fork.tip(), 29);
    assert_eq!(fork.block(24).unwrap().hash, chain.block(24).unwrap().hash);
    assert_ne!(fork.block(25).unwrap().hash, chain.block(25).unwrap().hash);
    assert_eq!(bad_heights(&fork), NONE);
    let short = Lie::WithheldTip(6).forge(&chain).unwrap();
    assert_eq!(short.tip_block().hash, chain.block(24).unwrap().hash);
}
