//! The inputs that fuzzing began with, made of recordings, and the interesting
//! ones that it found, run again on every change. The checks are those of the
//! fuzz targets in `fuzz/`; `scripts/fuzz` goes on from these inputs.

#[path = "../../fuzz/src/checks/mod.rs"]
pub mod checks;

/// Runs a check over the inputs in a file, base64 a line.
fn replay(text: &str, check: fn(&[u8])) {
    let mut count = 0;
    for line in text.lines() {
        check(&data_encoding::BASE64.decode(line.as_bytes()).unwrap());
        count += 1;
    }
    assert!(count > 20, "{count}");
}

/// Tests with the inputs in `tests/data`: those that fuzzing began with, and
/// those that it found.
macro_rules! replay {
    ($($target:ident: $($file:literal),+;)*) => {$(
        #[test]
        fn $target() {
            $(replay(include_str!(concat!("../data/", $file, ".txt")), checks::$target);)+
        }
    )*};
}

replay! {
    auxpow: "seeds_auxpow", "fuzz_auxpow";
    config: "seeds_config", "fuzz_config";
    delegation: "seeds_delegation";
    electrum: "seeds_electrum", "fuzz_electrum";
    engine: "fuzz_engine";
    evidence: "seeds_evidence", "fuzz_evidence";
    http: "seeds_http", "fuzz_http";
    names_file: "seeds_names_file", "fuzz_names_file";
    rpc: "seeds_rpc", "fuzz_rpc";
    session: "seeds_session", "fuzz_session";
    value: "fuzz_value";
    work: "seeds_work";
}

#[cfg(unix)]
replay! {
    socks: "seeds_socks", "fuzz_socks";
    tor_control: "seeds_tor_control";
}
