//! What a hit and a miss cost with full caches of many ids:
//! `cargo bench --bench cache`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::time::{Duration, Instant};

use divan::Bencher;
use ncprop279::cache::{Cache, Limits, Weigh};
use ncprop279::isolation::IsolationId;
use ncprop279::snapshot::{Fetched, NameKey};

const ENTRIES: usize = 100;
const TTL: Duration = Duration::from_secs(600);

#[derive(Clone)]
struct Text(&'static str);

impl Weigh for Text {
    fn weight(&self) -> usize {
        self.0.len()
    }
}

fn id(number: usize) -> IsolationId {
    IsolationId::parse(format!("isolation-{number}").as_bytes()).unwrap()
}

fn key(number: usize) -> NameKey {
    NameKey::new(&format!("d/name{number}")).unwrap()
}

fn value() -> Fetched {
    Fetched::Value(br#"{"ip":"192.0.2.1"}"#.as_slice().into())
}

/// A cache of so many ids, each with as many names and answers as it may have.
fn full(ids: usize, now: Instant) -> Cache<NameKey, Fetched, Text> {
    let mut cache = Cache::new(Limits {
        entries: ENTRIES,
        isolations: ids,
        octets: 1 << 30,
    });
    for number in 0..ids * ENTRIES {
        let (id, key) = (id(number / ENTRIES), key(number % ENTRIES));
        let _ = cache.insert(&id, key.clone(), self::value(), TTL, now);
        let question = key.as_str().as_bytes();
        let value = value();
        let made_of = [(&key, &value)].into_iter();
        let _ = cache.keep_answer(&id, question, Text("192.0.2.1"), made_of, now);
    }
    cache
}

#[divan::bench(args = [1, 1000])]
fn answer(bencher: Bencher, ids: usize) {
    let now = Instant::now();
    let mut cache = full(ids, now);
    let (id, question) = (id(ids / 2), b"d/name50");
    bencher.bench_local(|| cache.answer(id.octets(), question, now).unwrap());
}

#[divan::bench(args = [1, 1000])]
fn value_of_a_name(bencher: Bencher, ids: usize) {
    let now = Instant::now();
    let mut cache = full(ids, now);
    let (id, key) = (id(ids / 2), key(50));
    bencher.bench_local(|| cache.get(&id, &key, now).unwrap());
}

/// Another name for an id whose cache is full.
#[divan::bench(args = [1, 1000])]
fn another_name(bencher: Bencher, ids: usize) {
    let now = Instant::now();
    let mut cache = full(ids, now);
    let id = id(ids / 2);
    let mut number = 0;
    bencher.bench_local(|| {
        number += 1;
        cache.insert(&id, key(number), value(), TTL, now)
    });
}

fn main() {
    divan::main();
}
