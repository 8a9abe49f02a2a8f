//! The time that the values of `tests/data/slow-values.json` take, which make as
//! much work as they can: `cargo bench --bench slow_values`. Every query starts
//! with nothing known and learns one name after the other, as the scheduler has
//! it; the bound that must hold is 20 ms for a whole query.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::collections::BTreeMap;

use ncprop279::isolation::IsolationId;
use ncprop279::policy::{Evaluation, Query, Step, Verdict};
use ncprop279::snapshot::{Absence, Fetched, Snapshot};

struct Case {
    title: String,
    name: String,
    names: BTreeMap<String, String>,
}

fn cases() -> Vec<Case> {
    let text = include_str!("../tests/data/slow-values.json");
    let cases: serde_json::Value = serde_json::from_str(text).unwrap();
    let read = |case: &serde_json::Value| Case {
        title: case["title"].as_str().unwrap().to_owned(),
        name: case["name"].as_str().unwrap().to_owned(),
        names: serde_json::from_value(case["names"].clone()).unwrap(),
    };
    cases.as_array().unwrap().iter().map(read).collect()
}

fn resolve(case: &Case) -> Verdict {
    let query = Query::parse(case.name.as_bytes(), false).unwrap();
    let mut evaluation = Evaluation::new(query, Snapshot::new(IsolationId::shared()));
    loop {
        let keys = match evaluation.step() {
            Step::Done(verdict) => return verdict,
            Step::Need(keys) => keys,
        };
        for key in keys {
            let fetched = match key.name().and_then(|key| case.names.get(key.as_str())) {
                Some(value) => Fetched::Value(value.as_bytes().into()),
                None => Fetched::Absent(Absence::NeverExisted),
            };
            evaluation.learn(key, Ok(fetched.into()));
        }
    }
}

#[divan::bench(args = cases().into_iter().map(|case| case.title))]
fn query(bencher: divan::Bencher, title: &str) {
    let case = cases().into_iter().find(|case| case.title == title);
    let case = case.unwrap();
    bencher.bench(|| resolve(divan::black_box(&case)));
}

fn main() {
    for case in cases() {
        println!("{}: {:?}", case.title, resolve(&case));
    }
    divan::main();
}
