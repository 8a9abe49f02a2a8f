//! The interesting inputs that fuzzing found, run again on every change. The
//! checks are those of the fuzz targets in `fuzz/`; `scripts/fuzz` goes on from
//! these inputs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

include!("../fuzz/src/checks.rs");

/// The inputs in a file, base64 a line.
fn inputs(text: &str) -> Vec<Vec<u8>> {
    let inputs: Vec<_> = text
        .lines()
        .map(|line| data_encoding::BASE64.decode(line.as_bytes()).unwrap())
        .collect();
    assert!(inputs.len() > 100);
    inputs
}

#[test]
fn values() {
    for input in inputs(include_str!("data/fuzz_value.txt")) {
        value(&input);
    }
}

#[test]
fn engine_messages() {
    for input in inputs(include_str!("data/fuzz_engine.txt")) {
        engine(&input);
    }
}
