//! Values and DNS messages: what the engine makes of them.

use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, Record};
use ncprop279::authority::{self, Outcome, edns};
use ncprop279::isolation::IsolationId;
use ncprop279::policy::{self, Evaluation, Step};
use ncprop279::snapshot::{Absence, Entry, Fetched, NameKey, Snapshot};
use ncprop279::value::EvaluationError;
use ncprop279::value::import::MAX_NAMES;
use ncprop279::zone::{TTL, listing};

/// The names that an input stands for.
pub(super) fn names(data: &[u8]) -> Vec<(NameKey, Fetched)> {
    data.split(|byte| *byte == 0)
        .take(20)
        .enumerate()
        .filter_map(|(place, value)| {
            let key = match place {
                0 => NameKey::new("d/example"),
                place => NameKey::new(&format!("dd/{place}")),
            };
            Some((key?, Fetched::Value(value.into())))
        })
        .collect()
}

fn supply(
    snapshot: &mut Snapshot,
    keys: impl IntoIterator<Item = NameKey>,
    known: &[(NameKey, Fetched)],
) {
    for key in keys {
        assert!(snapshot.get(&key).is_none(), "asked for what is known");
        let found = known.iter().find(|(name, _)| *name == key);
        let absent = Fetched::Absent(Absence::NeverExisted);
        let fetched = found.map_or(absent, |(_, fetched)| fetched.clone());
        snapshot.insert(key, Entry::Known(fetched));
    }
    assert!(snapshot.len() <= MAX_NAMES, "more names than permitted");
}

/// Any bytes as values.
pub fn value(data: &[u8]) {
    let known = names(data);
    let Ok(domain) = Name::from_ascii("example.bit.") else {
        return;
    };
    let mut snapshot = Snapshot::new(IsolationId::shared());
    let listing = loop {
        match listing::list(&domain, &snapshot) {
            Ok(Ok(listing)) => break listing,
            Err(EvaluationError::Need(keys)) => supply(&mut snapshot, keys, &known),
            Ok(Err(_)) | Err(_) => return,
        }
    };
    for (owner, data) in listing.records {
        let line = listing::record(&owner, &data);
        assert!(
            line.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{line}"
        );
        let mut message = Message::query();
        message.add_answer(Record::from_rdata(owner, TTL, data));
        let bytes = message.to_vec().expect("a record can be written");
        let again = Message::from_vec(&bytes).expect("a record can be read");
        assert_eq!(
            again.answers, message.answers,
            "a record changes on the wire"
        );
    }
    for error in listing.errors {
        let line = error.to_string();
        assert!(
            line.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{line}"
        );
    }
}

/// Any bytes as a message. What follows the first 0xFF byte pair is the value
/// of `d/example`.
pub fn engine(data: &[u8]) {
    let (message, values) = super::divide(data);
    let Ok(message) = Message::from_vec(message) else {
        return;
    };
    let known = names(values);
    let isolation = edns::read_isolation(&message).unwrap_or_else(|_| IsolationId::shared());
    let mut snapshot = Snapshot::new(isolation);
    loop {
        match authority::answer(&message, &snapshot) {
            Outcome::Reply(reply) => {
                assert_eq!(reply.metadata.id, message.metadata.id);
                if let Ok(bytes) = reply.to_vec() {
                    Message::from_vec(&bytes).expect("a reply can be read");
                }
                return;
            }
            Outcome::Need(keys) => supply(&mut snapshot, keys, &known),
        }
    }
}

/// The time within which every query is resolved, whatever its values are: five
/// times the 20 ms that hold without a fuzzer's instrumentation
/// (`cargo bench --bench slow_values`).
const LONGEST: Duration = Duration::from_millis(100);

/// A subdomain and values, of which the first is that of `d/example`, and the
/// one at place N that of `dd/N` and of `d/xN`: one query, from the first name
/// it needs to its verdict. Only a fuzzer measures the time.
pub fn work(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0);
    let subdomain = parts.next().unwrap_or_default();
    let values: Vec<&[u8]> = parts.take(20).collect();
    if values.iter().any(|value| value.len() > 1023) {
        return;
    }
    let name = [subdomain, b"example.bit"].concat();
    let Ok(query) = policy::Query::parse(&name, false) else {
        return;
    };
    let fetch = |key: &NameKey| {
        let place = match key.as_str() {
            "d/example" => Some(0),
            key => {
                let place = key.strip_prefix("dd/").or(key.strip_prefix("d/x"));
                place.and_then(|place| place.parse().ok())
            }
        };
        match place.and_then(|place: usize| values.get(place)) {
            Some(value) => Fetched::Value((*value).into()),
            None => Fetched::Absent(Absence::NeverExisted),
        }
    };
    let resolved = || {
        let mut evaluation = Evaluation::new(query.clone(), Snapshot::new(IsolationId::shared()));
        let mut spent = Duration::ZERO;
        loop {
            let begun = Instant::now();
            let step = evaluation.step();
            spent += begun.elapsed();
            match step {
                Step::Done(_) => return spent,
                Step::Need(keys) => {
                    for key in keys {
                        let fetched = key.name().map(&fetch).expect("no delegation is followed");
                        evaluation.learn(key, Ok(fetched.into()));
                    }
                }
            }
        }
    };
    // Other programs on the machine make some runs longer.
    let is_in_time = (0..5).any(|_| resolved() < LONGEST || !cfg!(fuzzing));
    assert!(is_in_time, "a query takes more than {LONGEST:?}");
}
