//! From a name's value to its records, for values of several sizes:
//! `cargo bench --bench values`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use divan::Bencher;
use divan::counter::BytesCount;
use hickory_proto::rr::Name;
use ncprop279::isolation::IsolationId;
use ncprop279::snapshot::{Entry, Fetched, NameKey, Snapshot};
use ncprop279::zone::listing;

/// A domain object with so many subdomains, each with two addresses; the
/// longest that the chain takes (520 bytes) has about 8.
#[divan::bench(args = [0, 1, 8])]
fn records(bencher: Bencher, subdomains: usize) {
    let map =
        (0..subdomains).map(|n| format!(r#""s{n}":{{"ip":"192.0.2.{n}","ip6":"2001:db8::{n}"}}"#));
    let map = map.collect::<Vec<_>>().join(",");
    let value = format!(r#"{{"ip":"192.0.2.1","map":{{{map}}}}}"#);
    assert!(value.len() <= 520, "{}", value.len());
    let mut snapshot = Snapshot::new(IsolationId::shared());
    let fetched = Fetched::Value(value.as_bytes().into());
    snapshot.insert(NameKey::new("d/example").unwrap(), Entry::Known(fetched));
    let domain = Name::from_ascii("example.bit.").unwrap();
    bencher.counter(BytesCount::of_str(&value)).bench(|| {
        let listing = listing::list(divan::black_box(&domain), &snapshot);
        let records = listing.unwrap().unwrap().records;
        assert_eq!(records.len(), 1 + 2 * subdomains);
        records
    });
}

fn main() {
    divan::main();
}
