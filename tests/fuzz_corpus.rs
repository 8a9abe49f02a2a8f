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

#[path = "../fuzz/src/checks/mod.rs"]
mod checks;

/// Runs a check over the inputs in a file, base64 a line.
fn replay(text: &str, check: fn(&[u8])) {
    let mut count = 0;
    for line in text.lines() {
        check(&data_encoding::BASE64.decode(line.as_bytes()).unwrap());
        count += 1;
    }
    assert!(count > 20, "{count}");
}

macro_rules! replay {
    ($($target:ident),* $(,)?) => {$(
        #[test]
        fn $target() {
            let kept = include_str!(concat!("data/fuzz_", stringify!($target), ".txt"));
            replay(kept, checks::$target);
        }
    )*};
}

replay!(
    auxpow, config, electrum, engine, evidence, http, names_file, rpc, session, value,
);
