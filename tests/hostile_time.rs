//! The time that hostile values take.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::time::{Duration, Instant};

use ncprop279::isolation::IsolationId;
use ncprop279::resolve::{Query, resolve};
use ncprop279::snapshot::{Entry, Fetched, NameKey, Snapshot};

const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

fn fill(begin: &str, end: &str, piece: impl Fn(usize) -> String) -> String {
    let mut text = begin.to_owned();
    for n in 0.. {
        let piece = piece(n);
        if text.len() + piece.len() + end.len() > 1023 {
            break;
        }
        text += &piece;
    }
    text.trim_end_matches(',').to_owned() + end
}

/// 16 values of legal length: a chain of 15 imports that is begun 8 times,
/// under an alias and a `_tor` alias that lead to themselves. Evaluated by the
/// reader thread for every line, once the values are cached.
#[test]
fn sixteen_hostile_values_take_no_long_time() {
    let mut snapshot = Snapshot::new(IsolationId::parse(b"i").unwrap());
    let mut put = |key: String, value: String| {
        assert!(value.len() <= 1023);
        let value = Fetched::Value(value.as_bytes().into());
        snapshot.insert(NameKey::new(&key).unwrap(), Entry::Known(value));
    };
    let begin = r#"{"alias":"@","map":{"_tor":{"alias":"_tor.@"}},"import":["#;
    put(
        "d/x".into(),
        format!("{begin}{}]}}", [r#"["d/i0"]"#; 8].join(",")),
    );
    for k in 0..15 {
        let begin = match k {
            14 => "{".to_owned(),
            _ => format!(r#"{{"import":"d/i{}","#, k + 1),
        };
        let letter = |n: usize| char::from(LETTERS[n % 36]);
        let value = fill(&begin, "}", |n| {
            format!("\"{}{}{}\":0,", letter(k), letter(n), letter(n / 36))
        });
        put(format!("d/i{k}"), value);
    }
    let query = Query::parse(b"x.bit", false).unwrap();
    let begun = Instant::now();
    let step = resolve(&query, &snapshot);
    let took = begun.elapsed();
    let bound = Duration::from_millis(if cfg!(debug_assertions) { 1000 } else { 100 });
    assert!(took < bound, "{took:?}: {step:?}");
}
