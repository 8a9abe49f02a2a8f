//! Files with names.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use ncprop279::fuzzing::names_file::read;
use ncprop279::snapshot::{Absence, Fetched};
use serde_json::{Value, json};

/// Any bytes as the content of a names file: the errors can be shown, and what
/// was read can be written and read again.
pub fn names_file(data: &[u8]) {
    let names = match read(data) {
        Ok(names) => names,
        Err(why) => {
            assert!(super::is_printable(&why), "{why}");
            // What is a JSON object with no name twice is a names file.
            let object = serde_json::from_slice::<BTreeMap<String, Value>>(data);
            assert!(object.is_err(), "refused: {why}");
            return;
        }
    };
    let mut written = serde_json::Map::new();
    for (name, entry) in &names {
        match entry {
            Ok(fetched) => drop(written.insert(name.to_string(), form(fetched))),
            Err(why) => assert!(super::is_printable(why), "{why}"),
        }
    }
    let again = read(Value::Object(written).to_string().as_bytes()).expect("what was written");
    let good = names.into_iter().filter(|(_, entry)| entry.is_ok());
    assert_eq!(
        again,
        good.collect(),
        "the names change when they are written"
    );
}

/// One of the forms that an entry may have.
fn form(fetched: &Fetched) -> Value {
    match fetched {
        Fetched::Value(value) => match std::str::from_utf8(value) {
            Ok(text) if text.len() % 2 == 0 => text.into(),
            _ => json!({"value": HEXLOWER.encode(value), "value_encoding": "hex"}),
        },
        Fetched::Absent(Absence::Expired) => json!({"value_encoding": "hex", "expired": true}),
        Fetched::Absent(absence) => {
            let message = match absence {
                Absence::NotYetSafe => "name is unconfirmed: 'd/a'",
                Absence::AboutToExpire => "name is semi-expired",
                _ => "name never existed: 'd/expired'",
            };
            json!({"result": null, "error": {"code": -4, "message": message}})
        }
    }
}
