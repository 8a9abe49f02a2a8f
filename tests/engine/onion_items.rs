//! `tor` of IFA-0002 in the answer policy: after TXT at `_tor`, before
//! addresses.

use ncprop279::isolation::IsolationId;
use ncprop279::policy::{Query, Step, Verdict, explain};
use ncprop279::snapshot::{Absence, Entry, Fetched, Key, Snapshot};

const ONE: &str = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion";
const OTHER: &str = "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion";

/// The answer for `example.bit`, or for what is below it, in a word.
fn answer(name: &str, only_onion: bool, value: &str) -> String {
    let query = Query::parse(name.as_bytes(), only_onion).unwrap();
    let mut snapshot = Snapshot::new(IsolationId::shared());
    loop {
        match explain(&query, &snapshot, &mut Vec::new()) {
            Step::Need(keys) => {
                for key in keys.iter().filter_map(Key::name).cloned() {
                    let entry = match key.as_str() {
                        "d/example" => Fetched::Value(value.as_bytes().into()),
                        _ => Fetched::Absent(Absence::NeverExisted),
                    };
                    snapshot.insert(key, Entry::Known(entry));
                }
            }
            Step::Done(Verdict::Onion(onion)) => return onion.into_string(),
            Step::Done(Verdict::Address(address)) => return address.to_string(),
            Step::Done(Verdict::Host(host)) => return host,
            Step::Done(_) => return "none".to_owned(),
        }
    }
}

fn with_onions(value: &str) -> String {
    value.replace("ONE", ONE).replace("OTHER", OTHER)
}

#[test]
fn onion_items_come_after_tor_texts_and_before_all_else() {
    for (value, expected) in [
        (r#"{"tor":"ONE"}"#, ONE),
        (r#"{"tor":["ONE","OTHER"],"ip":"192.0.2.1"}"#, ONE),
        (r#"{"tor":["OTHER","ONE"]}"#, OTHER),
        (r#"{"tor":["x.onion",7,"OTHER"]}"#, OTHER),
        (r#"{"tor":"ONE","map":{"_tor":{"txt":"OTHER"}}}"#, OTHER),
        (r#"{"tor":"ONE","map":{"_tor":{"txt":"none"}}}"#, ONE),
        (r#"{"tor":"ONE","alias":"example.com."}"#, ONE),
        (r#"{"tor":"ONE","translate":"example.com."}"#, ONE),
        (r#"{"tor":"ONE","ns":"ns.example.com."}"#, ONE),
        (r#"{"alias":"www","map":{"www":{"tor":"ONE"}}}"#, ONE),
        (r#"{"tor":[],"ip":"8.8.8.8"}"#, "8.8.8.8"),
        (r#"{"tor":"ONE.","ip":"8.8.8.8"}"#, "8.8.8.8"),
        (r#"{"tor":null,"alias":"example.com."}"#, "example.com"),
        (r#"{"ns":"ns.example.com."}"#, "none"),
    ] {
        assert_eq!(
            answer("example.bit", false, &with_onions(value)),
            expected,
            "{value}"
        );
    }
}

#[test]
fn onion_items_stand_at_their_own_name_only() {
    let wild = with_onions(r#"{"tor":"ONE","map":{"*":{"tor":"OTHER"},"a":{"ip":"8.8.8.8"}}}"#);
    assert_eq!(answer("x.example.bit", false, &wild), OTHER);
    assert_eq!(answer("a.example.bit", false, &wild), "8.8.8.8");
    assert_eq!(answer("a.example.bit.onion", false, &wild), "none");
    assert_eq!(answer("example.bit.onion", false, &wild), ONE);
    let cut = with_onions(r#"{"ns":"ns.com.","map":{"www":{"tor":"ONE"}}}"#);
    assert_eq!(answer("www.example.bit", true, &cut), "none");
}
