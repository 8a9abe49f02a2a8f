//! Chains for tests: the recorded regtest, and made ones.

use bitcoin::block::{Header, Version};
use bitcoin::consensus::deserialize;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode};
use data_encoding::HEXLOWER;

use super::headers::{Adoption, Headers};
use super::network::{Checkpoint, Network};
use super::proof_of_work::FullHeader;

/// The headers of the recorded regtest chain, 0 to 250, without AuxPoW.
pub(crate) fn recorded() -> Vec<Header> {
    include_str!("../../tests/data/electrum/headers_regtest.hex")
        .lines()
        .map(|line| deserialize(&HEXLOWER.decode(line.as_bytes()).unwrap()).unwrap())
        .collect()
}

/// The regtest with the first of the recorded headers.
pub(crate) fn regtest(count: usize) -> Headers {
    let recorded = recorded();
    let mut headers = Headers::new(Network::Regtest, Network::Regtest.checkpoint());
    headers.anchor(recorded[0]).unwrap();
    extend(&mut headers, &recorded[1..count]);
    headers
}

/// Puts recorded headers on top of a chain.
pub(crate) fn extend(headers: &mut Headers, new: &[Header]) {
    let (tip, _) = headers.tip().unwrap();
    replace(headers, tip, new);
}

/// Puts recorded headers in the place of those above `fork`.
pub(crate) fn replace(headers: &mut Headers, fork: u32, new: &[Header]) {
    let mut candidate = headers.candidate(fork).unwrap();
    for header in new {
        candidate.push_recorded(headers, *header).unwrap();
    }
    let adoption = headers.adopt(&candidate);
    assert!(new.is_empty() || !matches!(adoption, Adoption::Kept | Adoption::Stale));
}

/// A header after another, with the same bits.
pub(crate) fn after(parent: &Header, time: u32) -> Header {
    let mut header = first(time, parent.bits.to_consensus());
    header.prev_blockhash = parent.block_hash();
    header
}

/// A header after none.
pub(crate) fn first(time: u32, bits: u32) -> Header {
    Header {
        // The chain id of Namecoin, no AuxPoW, base version 4.
        version: Version::from_consensus(0x0001_0004),
        prev_blockhash: BlockHash::all_zeros(),
        merkle_root: TxMerkleNode::all_zeros(),
        time,
        bits: CompactTarget::from_consensus(bits),
        nonce: 0,
    }
}

/// Sets the nonce so that the hash meets its target, or just does not.
pub(crate) fn mine(mut header: Header, is_met: bool) -> FullHeader {
    while header.target().is_met_by(header.block_hash()) != is_met {
        header.nonce += 1;
    }
    FullHeader {
        header,
        auxpow: None,
    }
}

/// Mined headers after another, a second apart. `salt` tells branches apart.
pub(crate) fn branch(parent: &Header, count: usize, salt: u8) -> Vec<FullHeader> {
    let mut parent = *parent;
    (0..count)
        .map(|_| {
            let mut header = after(&parent, parent.time + 1);
            header.merkle_root = TxMerkleNode::from_byte_array([salt; 32]);
            let full = mine(header, true);
            parent = full.header;
            full
        })
        .collect()
}

/// A made mainnet with a checkpoint at `height`, and the headers below it
/// that its rules need. `time` says each header's time by its height.
pub(crate) fn mainnet(height: u32, bits: u32, time: impl Fn(u32) -> u32) -> Headers {
    let lowest = super::rules::lowest_for_rules(height);
    let mut chain = vec![first(time(lowest), bits)];
    for height in lowest + 1..=height {
        chain.push(after(chain.last().unwrap(), time(height)));
    }
    let anchor = chain.pop().unwrap();
    let checkpoint = Checkpoint {
        height,
        hash: anchor.block_hash(),
    };
    let mut headers = Headers::new(Network::Mainnet, checkpoint);
    headers.anchor(anchor).unwrap();
    for header in chain.into_iter().rev() {
        headers.prepend(header).unwrap();
    }
    headers
}

/// Puts headers with these times, and the bits of the tip, on top of a chain.
pub(crate) fn extend_times(headers: &mut Headers, times: impl IntoIterator<Item = u32>) {
    let (_, tip) = headers.tip().unwrap();
    let new = with_times(tip, times);
    extend(headers, &new);
}

/// Headers with these times after another, with the same bits.
pub(crate) fn with_times(parent: &Header, times: impl IntoIterator<Item = u32>) -> Vec<Header> {
    let mut parent = *parent;
    times
        .into_iter()
        .map(|time| {
            parent = after(&parent, time);
            parent
        })
        .collect()
}
