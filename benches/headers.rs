//! Headers verified in a second on one core, from the text of a server's reply
//! to the judgement on each header's proof of work, and what the steps cost:
//! `cargo bench --bench headers`.
//!
//! A reply holds 500 merged-mined headers, as many as are asked for at once,
//! of the size that those of mainnet have today (about 2,050 bytes). They are
//! made for regtest, whose target can be met here; the work of checking them
//! is the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "../tests/support/forge.rs"]
mod forge;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use forge::{Forge, hashes};
use ncprop279::chain::network::Network;
use ncprop279::chain::proof_of_work::FullHeader;

/// Headers in a reply.
const COUNT: usize = 500;

/// The bytes of a reply: headers that differ from each other.
fn octets() -> Vec<u8> {
    let mut forge = Forge {
        coinbase: forge::coinbase(34),
        coinbase_branch: hashes(12),
        chain_branch: hashes(5),
        ..Forge::default()
    };
    let headers = (0..COUNT).map(|number| {
        let mut previous = [0; 32];
        previous[..8].copy_from_slice(&number.to_le_bytes());
        forge.block.prev_blockhash = BlockHash::from_byte_array(previous);
        forge.seal()
    });
    let octets = headers.collect::<Vec<_>>().concat();
    assert!((2_000..2_100).contains(&(octets.len() / COUNT)));
    octets
}

/// The text of a reply.
fn text() -> String {
    HEXLOWER.encode(&octets())
}

/// Decoding hexadecimal alone.
fn decode(text: &str) -> Vec<u8> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).unwrap()
}

/// Reading alone.
fn read(mut octets: &[u8]) -> Vec<FullHeader> {
    let mut headers = Vec::with_capacity(COUNT);
    while !octets.is_empty() {
        let (header, rest) = FullHeader::read(octets).unwrap();
        headers.push(header);
        octets = rest;
    }
    headers
}

/// Checking alone.
fn check(headers: &[FullHeader]) {
    for header in headers {
        header.check_work(Network::Regtest, 1).unwrap();
    }
}

#[divan::bench]
fn all_steps(bencher: Bencher) {
    let text = text();
    bencher
        .counter(ItemsCount::new(COUNT))
        .bench(|| check(&read(&decode(divan::black_box(&text)))));
}

#[divan::bench]
fn step_1_decode_hex(bencher: Bencher) {
    let text = text();
    bencher
        .counter(ItemsCount::new(COUNT))
        .counter(BytesCount::of_str(&text))
        .bench(|| decode(divan::black_box(&text)));
}

#[divan::bench]
fn step_2_read(bencher: Bencher) {
    let octets = octets();
    bencher
        .counter(ItemsCount::new(COUNT))
        .bench(|| read(divan::black_box(&octets)));
}

#[divan::bench]
fn step_3_check_work(bencher: Bencher) {
    let headers = read(&octets());
    bencher
        .counter(ItemsCount::new(COUNT))
        .bench(|| check(divan::black_box(&headers)));
}

fn main() {
    divan::main();
}
