//! From a query and the values it needs to its verdict, by way of the
//! authoritative engine: `cargo bench --bench engine`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use ncprop279::isolation::IsolationId;
use ncprop279::policy::{Query, Step, resolve};
use ncprop279::snapshot::{Entry, Fetched, NameKey, Snapshot};

const ONION: &str =
    r#"{"map":{"_tor":{"txt":"7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion"}}}"#;

/// A title, the name that is asked, and the values that it leads to.
type Case = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const CASES: [Case; 5] = [
    ("address", "a.bit", &[("d/a", r#"{"ip":"192.0.2.1"}"#)]),
    ("onion", "a.bit", &[("d/a", ONION)]),
    (
        "subdomain",
        "x.y.a.bit",
        &[("d/a", r#"{"map":{"y":{"map":{"*":{"ip":"192.0.2.1"}}}}}"#)],
    ),
    (
        "import",
        "a.bit",
        &[
            ("d/a", r#"{"import":"dd/b"}"#),
            ("dd/b", r#"{"ip":"192.0.2.1"}"#),
        ],
    ),
    (
        "hop",
        "a.bit",
        &[
            ("d/a", r#"{"alias":"b.bit."}"#),
            ("d/b", r#"{"ip":"192.0.2.1"}"#),
        ],
    ),
];

#[divan::bench(args = CASES.map(|case| case.0))]
fn verdict(bencher: divan::Bencher, case: &str) {
    let (_, name, values) = CASES
        .into_iter()
        .find(|(title, ..)| *title == case)
        .unwrap();
    let query = Query::parse(name.as_bytes(), false).unwrap();
    let mut snapshot = Snapshot::new(IsolationId::shared());
    for (key, value) in values {
        let value = Fetched::Value(value.as_bytes().into());
        snapshot.insert(NameKey::new(key).unwrap(), Entry::Known(value));
    }
    bencher.bench(|| match resolve(divan::black_box(&query), &snapshot) {
        Step::Done(verdict) => verdict,
        Step::Need(keys) => panic!("{keys:?}"),
    });
}

fn main() {
    divan::main();
}
