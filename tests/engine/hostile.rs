//! Names with `*` as a label, which hickory does not count.

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use ncprop279::authority::{Outcome, answer};
use ncprop279::isolation::IsolationId;
use ncprop279::snapshot::{Entry, Fetched, NameKey, Snapshot};

fn substitute(name: &str, value: &str) -> String {
    let mut snapshot = Snapshot::new(IsolationId::shared());
    let value = Fetched::Value(value.as_bytes().into());
    snapshot.insert(NameKey::new("d/example").unwrap(), Entry::Known(value));
    let mut message = Message::new(0, MessageType::Query, OpCode::Query);
    let name = Name::from_ascii(name).unwrap();
    message.add_query(Query::query(name, RecordType::A));
    let Outcome::Reply(reply) = answer(&message, &snapshot) else {
        panic!()
    };
    let cname = reply.answers.iter().find_map(|record| match &record.data {
        RData::CNAME(target) => Some(target.0.to_ascii()),
        _ => None,
    });
    format!("{:?} {cname:?}", reply.metadata.response_code)
}

/// authority/mod.rs, `translated`.
#[test]
fn a_star_counts_as_a_label_under_a_dname() {
    let value = r#"{"translate":"target.example.com."}"#;
    assert_eq!(
        substitute("*.example.bit.", value),
        r#"NoError Some("*.target.example.com.")"#
    );
}

#[test]
fn a_star_counts_as_a_label_of_the_owner() {
    let value = r#"{"map":{"*":{"translate":"target.example.com."}}}"#;
    assert_eq!(
        substitute("a.*.example.bit.", value),
        r#"NoError Some("a.target.example.com.")"#
    );
}

/// authority/mod.rs, the guard of `NoDomainObject`.
#[test]
fn below_a_value_that_is_no_object_nothing_exists() {
    assert_eq!(substitute("*.example.bit.", "x"), "NXDomain None");
}
