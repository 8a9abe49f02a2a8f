//! Runs the cases in `tests/values/*.toml`: a value, and the records that it
//! means. `tests/values/README.md` tells how to write one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::collections::{BTreeMap, HashSet};

use hickory_proto::rr::Name;
use ncprop279::isolation::IsolationId;
use ncprop279::snapshot::{Absence, Entry, Fetched, NameKey, Snapshot};
use ncprop279::zone::{listing, present};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What the case shows.
    title: String,
    /// The section of the specification that it comes from.
    section: String,
    /// The value of `d/example`.
    value: String,
    /// The values of other names.
    #[serde(default)]
    names: BTreeMap<String, String>,
    /// Zone-file lines in their order; names may leave out `.example.bit.`.
    #[serde(default)]
    records: Vec<String>,
    /// How many errors are found.
    #[serde(default)]
    errors: usize,
    /// Instead of records: what the name leads to.
    #[serde(default)]
    outcome: Option<String>,
}

fn files() -> Vec<(String, File)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/values");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let file = toml::from_str(&text).unwrap_or_else(|e| panic!("{path:?}: {e}"));
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                file,
            )
        })
        .collect();
    files.sort_by(|a: &(String, File), b| a.0.cmp(&b.0));
    assert!(!files.is_empty());
    files
}

/// What a case yields: sorted lines, errors, or the outcome in a word.
fn run(case: &Case) -> Result<(Vec<String>, Vec<String>), String> {
    let mut snapshot = Snapshot::new(IsolationId::shared());
    let mut known = case.names.clone();
    known.insert("d/example".to_owned(), case.value.clone());
    for (name, value) in &known {
        let value = Fetched::Value(value.as_bytes().into());
        snapshot.insert(NameKey::new(name).unwrap(), Entry::Known(value));
    }
    let domain = Name::from_ascii("example.bit.").unwrap();
    loop {
        match listing::list(&domain, &snapshot) {
            Ok(Ok(mut listing)) => {
                listing::sort(&mut listing.records);
                let records = listing.records.iter();
                let lines = records
                    .map(|(owner, data)| present::record(owner, data))
                    .collect();
                let errors = listing.errors.iter().map(ToString::to_string).collect();
                return Ok((lines, errors));
            }
            Ok(Err(_)) => return Err("no domain object".to_owned()),
            // What a case does not mention is not registered.
            Err(ncprop279::zone::Unanswered::Need(keys)) => {
                for key in keys {
                    snapshot.insert(key, Entry::Known(Fetched::Absent(Absence::NeverExisted)));
                }
            }
            Err(ncprop279::zone::Unanswered::Stop(_)) => return Err("too many imports".to_owned()),
        }
    }
}

#[test]
fn values_mean_these_records() {
    let mut failures = Vec::new();
    let mut count = 0;
    for (file, cases) in files() {
        for case in cases.case {
            count += 1;
            let at = format!("{file}: {}", case.title);
            match (run(&case), &case.outcome) {
                (Ok((records, errors)), None) => {
                    let expected: Vec<String> = case
                        .records
                        .iter()
                        .map(|line| line.trim().to_owned())
                        .collect();
                    if records != expected {
                        failures.push(format!(
                            "{at}\n  expected {expected:#?}\n  got {records:#?}\n  errors {errors:#?}"
                        ));
                    } else if errors.len() != case.errors {
                        failures.push(format!(
                            "{at}\n  expected {} errors, got {errors:#?}",
                            case.errors
                        ));
                    }
                }
                (Err(outcome), Some(expected)) if outcome == *expected => {}
                (result, expected) => {
                    failures.push(format!("{at}\n  expected {expected:?}, got {result:?}"));
                }
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {count} cases fail:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn no_two_cases_are_alike() {
    let mut seen = HashSet::new();
    for (file, cases) in files() {
        for case in cases.case {
            assert!(!case.section.is_empty(), "{file}: {}", case.title);
            assert!(
                seen.insert((case.value.clone(), case.names.clone())),
                "{file}: {} stands twice",
                case.title
            );
        }
    }
}
