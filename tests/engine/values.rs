//! Runs the cases in `tests/values/*.toml`: a value, and the records that it
//! means. `tests/values/README.md` tells how to write one.

use std::collections::{BTreeMap, HashSet};

use data_encoding::HEXLOWER;
use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::rr::{Name, RData, Record};
use hickory_proto::serialize::binary::BinEncodable;
use ncprop279::isolation::IsolationId;
use ncprop279::snapshot::{Absence, Entry, Fetched, NameKey, Snapshot};
use ncprop279::value::EvaluationError;
use ncprop279::zone::listing;
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
    /// The value of the name.
    #[serde(default)]
    value: String,
    /// The value in hexadecimal digits, for bytes that no text holds.
    #[serde(default)]
    value_hex: Option<String>,
    /// The owner name, if it is not `example.bit.`.
    #[serde(default)]
    domain: Option<String>,
    /// The values of other names.
    #[serde(default)]
    names: BTreeMap<String, String>,
    /// Zone-file lines in their order.
    #[serde(default)]
    records: Vec<String>,
    /// How many errors are found.
    #[serde(default)]
    errors: usize,
    /// Instead of records: what the name leads to.
    #[serde(default)]
    outcome: Option<String>,
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        match &self.value_hex {
            Some(digits) => HEXLOWER.decode(digits.as_bytes()).unwrap(),
            None => self.value.as_bytes().to_vec(),
        }
    }
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
    let domain = case.domain.as_deref().unwrap_or("example.bit.");
    let own = format!("d/{}", domain.trim_end_matches(".bit."));
    let names = case.names.iter();
    let known = names.map(|(name, value)| (name.clone(), value.as_bytes().to_vec()));
    for (name, value) in known.chain([(own, case.bytes())]) {
        let value = Fetched::Value(value.as_slice().into());
        snapshot.insert(NameKey::new(&name).unwrap(), Entry::Known(value));
    }
    let domain = Name::from_ascii(domain).unwrap();
    loop {
        match listing::list(&domain, &snapshot) {
            Ok(Ok(mut listing)) => {
                listing::sort(&mut listing.records);
                for (owner, data) in &listing.records {
                    survives_a_message(owner, data);
                }
                let records = listing.records.iter();
                let lines = records
                    .map(|(owner, data)| listing::record(owner, data))
                    .collect();
                let errors = listing.errors.iter().map(ToString::to_string).collect();
                return Ok((lines, errors));
            }
            Ok(Err(None)) => return Err("cannot be registered".to_owned()),
            Ok(Err(Some(_))) => return Err("no domain object".to_owned()),
            // What a case does not mention is not registered.
            Err(EvaluationError::Need(keys)) => {
                for key in keys {
                    snapshot.insert(key, Entry::Known(Fetched::Absent(Absence::NeverExisted)));
                }
            }
            Err(_) => return Err("too many imports".to_owned()),
        }
    }
}

/// What goes over a wire, or into a zone file, is read there as the same record.
fn survives_a_message(owner: &Name, data: &RData) {
    let mut message = Message::new(0, MessageType::Response, OpCode::Query);
    message.add_answer(Record::from_rdata(owner.clone(), 600, data.clone()));
    let bytes = message.to_vec().unwrap();
    let read = Message::from_vec(&bytes).unwrap();
    assert_eq!(read.answers, message.answers, "{owner} {data:?}");

    let line = listing::record(owner, data);
    let (name, kind, bytes) = super::zone_file::read(&line).expect("a line of a zone file");
    assert_eq!(name, owner.to_ascii(), "{line}");
    assert_eq!(kind, u16::from(data.record_type()), "{line}");
    assert_eq!(bytes, data.to_bytes().unwrap(), "{line}");
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

/// A case's values with the names that it imports numbered, so that mere
/// renaming makes no new case.
fn renamed(case: &Case) -> (Vec<u8>, Vec<String>) {
    let mut texts = vec![String::from_utf8_lossy(&case.bytes()).into_owned()];
    texts.extend(case.names.values().cloned());
    // Longer names first, so that none is replaced inside another.
    let mut names: Vec<&String> = case.names.keys().collect();
    let first = |name: &String| texts.iter().position(|text| text.contains(name));
    names.sort_by_key(|name| (std::cmp::Reverse(name.len()), first(name)));
    let numbered = |text: &String| {
        let mut text = text.clone();
        for (number, name) in names.iter().enumerate() {
            text = text.replace(&format!("\"{name}\""), &format!("\"<{number}>\""));
        }
        text
    };
    let texts = texts.iter().map(numbered).collect();
    let bytes = match &case.value_hex {
        Some(_) => case.bytes(),
        None => Vec::new(),
    };
    (bytes, texts)
}

#[test]
fn no_two_cases_are_alike() {
    let mut seen = HashSet::new();
    let mut titles = HashSet::new();
    for (file, cases) in files() {
        for case in cases.case {
            assert!(!case.section.is_empty(), "{file}: {}", case.title);
            assert!(
                seen.insert((case.domain.clone(), renamed(&case))),
                "{file}: {} stands twice",
                case.title
            );
            assert!(
                titles.insert((file.clone(), case.title.clone())),
                "{file}: two cases are called {}",
                case.title
            );
        }
    }
    assert!(seen.len() >= 200, "{} cases", seen.len());
}

/// The sections of IFA-0001 that say what an implementation MUST or SHALL do.
const BINDING: [&str; 26] = [
    "Keys",
    "Values",
    "Notes on JSON",
    "The Domain Name Object Schema",
    "map",
    "import",
    "ip",
    "ip6",
    "alias",
    "translate",
    "ns",
    "ds",
    "srv",
    "tls",
    "txt",
    "MX",
    "loc",
    "sshfp",
    "info",
    "o",
    "Interpretation of DNS Names",
    "Definitions of Valid Names",
    "Item Suppression Rules",
    "Error Recovery Considerations",
    "Definition of Base64",
    "Newly Deprecated Item Types",
];

#[test]
fn every_binding_section_has_a_case() {
    let cases = files().into_iter().flat_map(|(_, file)| file.case);
    let sections: HashSet<String> = cases.map(|case| case.section).collect();
    for section in BINDING {
        let section = format!("IFA-0001 {section}");
        let traced = sections
            .iter()
            .any(|s| *s == section || s.starts_with(&format!("{section} (")));
        assert!(traced, "no case for {section}");
    }
}
