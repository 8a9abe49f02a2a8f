//! Headers of the real chains: the whole regtest chain that an ElectrumX
//! server sent, and headers of mainnet and testnet
//! (`data/electrum/chain_*`, a regtest header a line).

use std::ops::Range;

use bitcoin::Transaction;
use bitcoin::consensus::encode::deserialize_partial;
use data_encoding::HEXLOWER;
use ncprop279::chain::network::Network;
use ncprop279::chain::proof_of_work::{FullHeader, HeaderParseError, WorkError};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde::Deserialize;

#[derive(Deserialize)]
struct Recorded {
    network: String,
    height: Option<u32>,
    header: String,
}

fn recorded() -> Vec<Recorded> {
    serde_json::from_str(include_str!("../data/electrum/chain_mainnet.json")).unwrap()
}

fn decode(hex: &str) -> Vec<u8> {
    HEXLOWER.decode(hex.as_bytes()).unwrap()
}

/// The headers of mainnet with their heights.
fn mainnet() -> Vec<(u32, Vec<u8>)> {
    let headers = recorded().into_iter();
    headers
        .filter(|header| header.network == "mainnet")
        .map(|header| (header.height.unwrap(), decode(&header.header)))
        .collect()
}

/// The headers of regtest from the genesis.
fn regtest() -> Vec<Vec<u8>> {
    let lines = include_str!("../data/electrum/chain_regtest.hex").lines();
    lines.map(decode).collect()
}

/// Whether the bytes are one header and nothing else, with its work.
fn is_accepted(bytes: &[u8], network: Network, height: u32) -> bool {
    FullHeader::read(bytes)
        .is_ok_and(|(sealed, rest)| rest.is_empty() && sealed.check_work(network, height).is_ok())
}

/// Where the 32 bytes are that nobody looks at.
fn ignored(bytes: &[u8]) -> Range<usize> {
    let (_, length) = deserialize_partial::<Transaction>(&bytes[80..]).unwrap();
    80 + length..80 + length + 32
}

/// The bits, counted from the beginning, whose change is accepted. Those in
/// `left_out` are not tried.
fn accepted_changes(
    bytes: &[u8],
    network: Network,
    height: u32,
    left_out: impl Fn(usize) -> bool,
) -> Vec<usize> {
    let mut bytes = bytes.to_vec();
    let mut accepted = Vec::new();
    for place in (0..bytes.len()).filter(|place| !left_out(*place)) {
        for bit in 0..8 {
            bytes[place] ^= 1 << bit;
            if is_accepted(&bytes, network, height) {
                accepted.push(8 * place + bit);
            }
            bytes[place] ^= 1 << bit;
        }
    }
    accepted
}

#[test]
fn the_whole_regtest_chain_verifies() {
    let stream = regtest().concat();
    let mut rest = stream.as_slice();
    let mut previous = None;
    for height in 0..251 {
        let (sealed, behind) = FullHeader::read(rest).unwrap();
        assert_eq!(sealed.check_work(Network::Regtest, height), Ok(()));
        assert_eq!(sealed.auxpow.is_some(), height > 0);
        let hash = sealed.header.block_hash();
        if let Some(previous) = previous {
            assert_eq!(sealed.header.prev_blockhash, previous);
        }
        previous = Some(hash);
        rest = behind;
    }
    assert!(rest.is_empty());
}

#[test]
fn real_mainnet_headers_verify_at_their_heights() {
    let headers = mainnet();
    assert_eq!(headers.len(), 3);
    for (height, bytes) in headers {
        assert!(is_accepted(&bytes, Network::Mainnet, height), "{height}");
        // Base version 1 is outdated later.
        let (sealed, _) = FullHeader::read(&bytes).unwrap();
        assert_eq!(
            sealed.check_work(Network::Mainnet, 335_000),
            Err(WorkError::Outdated)
        );
    }
}

#[test]
fn the_testnet_header_is_refused_on_mainnet() {
    let headers = recorded();
    let testnet = headers.iter().find(|one| one.network == "testnet").unwrap();
    let bytes = decode(&testnet.header);
    let (sealed, rest) = FullHeader::read(&bytes).unwrap();
    assert!(rest.is_empty());
    for height in [19_200, 335_000, 815_001] {
        assert_eq!(
            sealed.check_work(Network::Mainnet, height),
            Err(WorkError::Bits)
        );
    }
    // Nothing but its target is wrong: its coinbase has no outputs.
    assert_eq!(sealed.check_work(Network::Regtest, 233_281), Ok(()));
}

#[test]
fn regtest_headers_are_refused_on_mainnet() {
    for (height, bytes) in (0..).zip(regtest()) {
        assert!(!is_accepted(&bytes, Network::Mainnet, height));
        assert!(!is_accepted(&bytes, Network::Mainnet, 815_001));
    }
}

/// Of a merged-mined header exactly the 256 bits that nobody looks at can be
/// changed.
#[test]
fn every_other_bit_of_a_mainnet_header_counts() {
    let merged_mined = mainnet().into_iter().filter(|(_, bytes)| bytes.len() > 80);
    let mut headers = 0;
    for (height, bytes) in merged_mined {
        let ignored = ignored(&bytes);
        let expected: Vec<_> = (8 * ignored.start..8 * ignored.end).collect();
        let accepted = accepted_changes(&bytes, Network::Mainnet, height, |_| false);
        assert_eq!(accepted, expected, "{height}");
        headers += 1;
    }
    assert_eq!(headers, 2);
}

#[test]
fn every_bit_of_a_mainnet_header_without_auxpow_counts() {
    let (height, bytes) = mainnet().remove(0);
    assert_eq!(bytes.len(), 80);
    let accepted = accepted_changes(&bytes, Network::Mainnet, height, |_| false);
    assert!(accepted.is_empty(), "{accepted:?}");
}

/// At the target of regtest every other hash is good enough, so that half of
/// the changes to the parent's header give another valid one. They are left
/// out, except in its merkle root; what is refused of the rest is refused for
/// sure.
#[test]
fn every_bit_of_a_regtest_header_up_to_the_parent_counts() {
    for (height, bytes) in (0..).zip(regtest()).skip(1).step_by(31) {
        let parent = bytes.len() - 80;
        let merkle_root = parent + 36..parent + 68;
        let ignored = ignored(&bytes);
        let expected: Vec<_> = (8 * ignored.start..8 * ignored.end).collect();
        let left_out = |place| place >= parent && !merkle_root.contains(&place);
        let accepted = accepted_changes(&bytes, Network::Regtest, height, left_out);
        assert_eq!(accepted, expected, "{height}");
    }
}

#[test]
fn a_header_that_is_cut_off_is_refused() {
    let headers = mainnet().into_iter().map(|(_, bytes)| bytes);
    for bytes in headers.chain(regtest().into_iter().step_by(25)) {
        for length in 0..bytes.len() {
            let error = FullHeader::read(&bytes[..length]).unwrap_err();
            assert!(matches!(
                error,
                HeaderParseError::CutOff | HeaderParseError::Coinbase
            ));
        }
        assert!(FullHeader::read(&bytes).is_ok());
    }
}

/// Reads whatever comes, and checks what could be read.
fn survive(bytes: &[u8]) {
    if let Ok((sealed, rest)) = FullHeader::read(bytes) {
        assert!(bytes.ends_with(rest) && rest.len() + 80 <= bytes.len());
        for height in [0, 1, 19_200, 815_001, u32::MAX] {
            for network in [Network::Mainnet, Network::Regtest] {
                let _ = sealed.check_work(network, height);
            }
        }
    }
}

#[test]
fn random_bytes_do_no_harm() {
    let mut random = StdRng::seed_from_u64(279);
    let mut bytes = vec![0; 2048];
    for _ in 0..5_000 {
        let length = random.random_range(0..bytes.len());
        let bytes = &mut bytes[..length];
        random.fill_bytes(bytes);
        if let [_, flags, ..] = bytes {
            // An AuxPoW follows.
            *flags |= 1;
        }
        survive(bytes);
    }
}

#[test]
fn random_changes_of_real_headers_do_no_harm() {
    let mut random = StdRng::seed_from_u64(279);
    let headers: Vec<_> = mainnet()
        .into_iter()
        .map(|(_, bytes)| bytes)
        .chain(regtest().into_iter().take(5))
        .collect();
    for _ in 0..20_000 {
        let mut bytes = headers[random.random_range(0..headers.len())].clone();
        for _ in 0..random.random_range(1..4) {
            let place = random.random_range(0..bytes.len());
            match random.random_range(0..4) {
                0 => bytes[place] = random.random(),
                1 => bytes[place] = [0xfd, 0xfe, 0xff][random.random_range(0..3)],
                2 => drop(bytes.drain(place..bytes.len().min(place + 33))),
                _ => bytes.insert(place, random.random()),
            }
            if bytes.is_empty() {
                break;
            }
        }
        survive(&bytes);
    }
}
