//! Random values, from a fixed seed: whatever a value holds, nothing panics,
//! the bounds hold, and every record can be read by others, from its wire form
//! and from its text.
//!
//! `NCPROP279_TEST_ROUNDS` multiplies the number of values.

use std::collections::BTreeMap;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinEncodable;
use ncprop279::authority::{self, Outcome, edns};
use ncprop279::isolation::IsolationId;
use ncprop279::snapshot::{Absence, Entry, Fetched, NameKey, Snapshot};
use ncprop279::value::EvaluationError;
use ncprop279::value::import::MAX_NAMES;
use ncprop279::zone::listing;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Answers what is missing from a fixed set of values.
fn fetch(
    keys: impl IntoIterator<Item = NameKey>,
    known: &BTreeMap<&str, Vec<u8>>,
    snapshot: &mut Snapshot,
) {
    for key in keys {
        let entry = match known.get(key.as_str()) {
            Some(value) => Fetched::Value(value.as_slice().into()),
            None => Fetched::Absent(Absence::NeverExisted),
        };
        snapshot.insert(key, Entry::Known(entry));
    }
    assert!(snapshot.len() <= MAX_NAMES);
}

fn check(owner: &Name, data: &RData) {
    let mut message = Message::new(0, MessageType::Response, OpCode::Query);
    message.add_answer(Record::from_rdata(owner.clone(), 600, data.clone()));
    let read = Message::from_vec(&message.to_vec().unwrap()).unwrap();
    assert_eq!(read.answers, message.answers, "{owner} {data:?}");

    let line = listing::record(owner, data);
    assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "{line}");
    let (name, kind, bytes) = super::zone_file::read(&line).unwrap_or_else(|| panic!("{line}"));
    assert_eq!(name, owner.to_ascii());
    assert_eq!(kind, u16::from(data.record_type()));
    assert_eq!(bytes, data.to_bytes().unwrap(), "{line}");
}

fn ask(question: &str, kind: RecordType, known: &BTreeMap<&str, Vec<u8>>) {
    let mut message = Message::new(1, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(question).unwrap(), kind));
    edns::write_isolation(&mut message, &IsolationId::shared());
    let mut snapshot = Snapshot::new(IsolationId::shared());
    loop {
        match authority::answer(&message, &snapshot) {
            Outcome::Need(keys) => fetch(keys, known, &mut snapshot),
            Outcome::Reply(reply) => {
                let read = Message::from_vec(&reply.to_vec().unwrap()).unwrap();
                assert_eq!(read.answers, reply.answers, "{question} {kind}");
                assert_eq!(read.authorities, reply.authorities, "{question} {kind}");
                return;
            }
        }
    }
}

#[test]
fn no_value_does_harm() {
    let mut rng = StdRng::seed_from_u64(279);
    let rounds: usize = std::env::var("NCPROP279_TEST_ROUNDS")
        .map_or(1, |rounds| rounds.parse().expect("a number"));
    let domain = Name::from_ascii("example.bit.").unwrap();
    let (mut records, mut listings) = (0, 0);
    for _ in 0..4000 * rounds {
        let names = ["d/example", "dd/a", "dd/b"];
        let known: BTreeMap<&str, Vec<u8>> = names
            .into_iter()
            .map(|name| (name, super::generate::value(&mut rng)))
            .collect();
        let mut snapshot = Snapshot::new(IsolationId::shared());
        loop {
            match listing::list(&domain, &snapshot) {
                Err(EvaluationError::Need(keys)) => fetch(keys, &known, &mut snapshot),
                Err(_) | Ok(Err(_)) => break,
                Ok(Ok(listing)) => {
                    assert!(listing.errors.len() <= 1000);
                    listings += 1;
                    for (owner, data) in &listing.records {
                        records += 1;
                        check(owner, data);
                    }
                    break;
                }
            }
        }
        for question in [
            "example.bit.",
            "www.example.bit.",
            "_443._tcp.a.example.bit.",
            "b.a.example.bit.",
        ] {
            let kinds = [1, 15, 16, 43, 52, 255, 65280];
            let kind = kinds[rng.random_range(0..kinds.len())];
            ask(question, RecordType::from(kind), &known);
        }
    }
    // The generator is worth something only while it hits real items.
    assert!(
        listings > 2000 * rounds && records > 3000 * rounds,
        "{listings} {records}"
    );
}
