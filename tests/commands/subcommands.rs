//! The subcommands on nodes of every kind, and on hostile values. (Their
//! command lines: commands.rs.)

use std::fs;

use crate::support::node::{Flavour, Node, Reply};
use crate::support::run::{self, Outcome};

const ONION: &str = "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion";

/// Runs the binary on a names file.
fn on(names: &str, arguments: &[&str]) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("names.json");
    fs::write(&path, names).unwrap();
    let source = ["--names-file", path.to_str().unwrap()];
    run::with(&[&source[..], arguments].concat())
}

fn owned(arguments: &[&str], node: &Node) -> Outcome {
    run::run(node.prepare(arguments))
}

#[test]
fn resolve_prints_the_answer_first_and_exits_with_its_status() {
    let names = format!(
        r#"{{"d/a":{{"ip":"192.0.2.1"}},"d/t":{{"map":{{"_tor":{{"txt":"{ONION}"}}}}}},
            "d/h":{{"alias":"example.com."}},"d/s":{{"ip6":"2001:db8::1"}},
            "d/e":"","d/n":{{"ns":["ns.example.com."]}}}}"#
    );
    for (arguments, status, first) in [
        (&["resolve", "t.bit"][..], 0, ONION),
        (&["resolve", "t.bit.onion"], 0, ONION),
        (&["resolve", "h.bit"], 0, "example.com"),
        (&["resolve", "s.bit"], 0, "2001:db8::1"),
        (&["resolve", "--only-onion", "t.bit"], 0, ONION),
        (&["--only-onion", "resolve", "t.bit"], 0, ONION),
        (&["resolve", "t.bit", "--only-onion"], 0, ONION),
    ] {
        let end = on(&names, arguments);
        assert_eq!(end.code, Some(status), "{arguments:?}: {end:#?}");
        assert_eq!(end.stdout[0], first, "{arguments:?}: {end:#?}");
        assert!(!end.says("INIT"), "{end:#?}");
    }
    for (arguments, status, words) in [
        (&["resolve", "e.bit"][..], 3, "domain object"),
        (&["resolve", "a.bit.onion"], 3, "a.bit"),
        (&["resolve", "a.bit", "--only-onion"], 3, "a.bit"),
        (&["--only-onion", "resolve", "a.bit"], 3, "a.bit"),
        (&["resolve", "bit"], 3, "bit"),
    ] {
        let end = on(&names, arguments);
        assert_eq!(end.code, Some(status), "{arguments:?}: {end:#?}");
        assert!(end.says(words), "{arguments:?}: {end:#?}");
    }
}

/// A program reads stdout, whatever came of it, and the exit status is the
/// same.
#[test]
fn resolve_prints_json() {
    let names = format!(
        r#"{{"d/a":{{"ip":"192.0.2.1"}},"d/h":{{"alias":"example.com."}},
            "d/t":{{"tor":"{ONION}","map":{{"_tor":{{"txt":"{ONION}"}}}}}}}}"#
    );
    for (name, status, kind, answer) in [
        ("a.bit", 0, "address", "192.0.2.1"),
        ("d/a", 0, "address", "192.0.2.1"),
        ("t.bit", 0, "onion", ONION),
        ("h.bit", 0, "host", "example.com"),
    ] {
        let end = on(&names, &["resolve", "--json", name]);
        assert_eq!(end.code, Some(status), "{end:#?}");
        let object: serde_json::Value = serde_json::from_str(&end.stdout[0]).unwrap();
        let written = name.replace("d/a", "a.bit");
        let expected = serde_json::json!({"name": written, "isolation": null, "status": status,
            "kind": kind, "answer": answer});
        assert_eq!((object, end.stdout.len()), (expected, 1));
        assert!(end.stderr.is_empty(), "{end:#?}");
    }
    for (name, status, error) in [
        ("none.bit", 3, "none.bit is not registered"),
        ("foo.com", 2, "foo.com is not a Namecoin domain"),
    ] {
        let end = on(&names, &["resolve", "--json", "--isolation=i", name]);
        assert_eq!(end.code, Some(status), "{end:#?}");
        let object: serde_json::Value = serde_json::from_str(&end.stdout[0]).unwrap();
        let expected = serde_json::json!({"name": name, "isolation": "i", "status": status,
            "error": error});
        assert_eq!((object, end.stdout.len()), (expected, 1));
    }
}

/// Whatever an owner wrote does not drive the terminal.
#[test]
fn the_commands_print_printable_ascii_only() {
    let names = r#"{"d/a":{"ip":"192.0.2.1","txt":"\u001b[31m\u0007 \u00fc \" \\ \n x \u009b \u007f",
        "map":{"\u001b[31m":{"ip":"192.0.2.2"}},"alias\u001b":7,"ip6":"\u001b[0m\u202e\u009b",
        "import":"dd/\u001b[31m\u202e"},"d/\u009b\u202e":[]}"#;
    for arguments in [
        &["resolve", "a.bit"][..],
        &["resolve", "--explain", "a.bit"],
        &["resolve", "--json", "a\u{9b}\u{202e}.bit"],
        &["resolve", "a\u{9b}\u{202e}.bit"],
        &["records", "a.bit"],
        &["records", "--json", "a.bit"],
        &["records", "a\u{9b}\u{202e}.bit"],
        &["check"],
        &["check", "--json"],
    ] {
        let command = arguments[0];
        let end = on(names, arguments);
        for line in end.stdout.iter().chain(&end.stderr) {
            assert!(
                line.bytes()
                    .all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\t'),
                "{command}: {line:?}"
            );
        }
    }
}

/// Programs show what they read, and some terminals obey C1 control characters.
#[test]
fn json_is_printable_ascii_and_says_the_same() {
    let hostile = "\u{7f}\u{85}\u{9b}31m\u{fc}\u{202e}\u{2066}\u{feff}\u{1f600}";
    let value = serde_json::json!({
        "ip": ["192.0.2.1", hostile], "ip6": hostile, "txt": hostile, "ns1": hostile,
        "import": format!("dd/{hostile}"), "alias": hostile, hostile: 7, "IP": 1,
        "map": {hostile: {"ip": "192.0.2.2"}, "www": {"ip": hostile}}
    });
    let end = on(
        &serde_json::json!({"d/a": value}).to_string(),
        &["records", "--json", "a.bit"],
    );
    assert_eq!(end.code, Some(0), "{end:#?}");
    assert_eq!(end.stdout.len(), 1, "{end:#?}");
    let line = &end.stdout[0];
    assert!(
        line.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        "{line:?}"
    );
    let json: serde_json::Value = serde_json::from_str(line).unwrap();
    let reasons: Vec<_> = json["errors"].as_array().unwrap().iter().collect();
    let reason = reasons.iter().find(|error| error["item"] == "ip6").unwrap();
    let reason = reason["reason"].as_str().unwrap();
    assert!(reason.contains('\u{fc}'), "{reason:?}");
}

/// Somebody waits at the terminal.
#[test]
fn resolve_does_not_try_again() {
    for (reply, status) in [
        (Reply::Recorded("loading"), 1),
        (Reply::Http("503 Service Unavailable", String::new()), 1),
        (Reply::Hang, 4),
    ] {
        let node = Node::start(Flavour::Core);
        node.script("d/a", [reply.clone()]);
        let seconds = if status == 4 { "0.5" } else { "3600" };
        let end = owned(&["--timeout", seconds, "resolve", "a.bit"], &node);
        assert_eq!(end.code, Some(status), "{reply:?}: {end:#?}");
        assert_eq!(node.count("d/a"), 1, "{reply:?}: {:#?}", node.requests());
        // Whose node it is.
        assert!(end.says(&node.address()), "{reply:?}: {end:#?}");
    }
}

#[test]
fn they_ask_every_kind_of_node_under_the_id() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        node.set("d/a", r#"{"ip":"192.0.2.1"}"#);
        let end = owned(&["resolve", "a.bit", "--isolation=my-id"], &node);
        assert_eq!(end.code, Some(0), "{flavour:?}: {end:#?}");
        assert_eq!(end.stdout[0], "192.0.2.1", "{flavour:?}: {end:#?}");
        assert_eq!(node.streams("d/a"), ["my-id"], "{flavour:?}");
        let end = owned(&["records", "a.bit", "--isolation", "other-id"], &node);
        assert_eq!(end.code, Some(0), "{flavour:?}: {end:#?}");
        assert_eq!(node.streams("d/a"), ["my-id", "other-id"], "{flavour:?}");
    }
}

// records

/// The order does not depend on the order in the value.
#[test]
fn records_are_sorted() {
    let one = on(
        r#"{"d/a":{"ip":["192.0.2.2","192.0.2.1"],"map":{"b":{"ip":"192.0.2.3"},"a":{"ip":"192.0.2.4"}}}}"#,
        &["records", "a.bit"],
    );
    let other = on(
        r#"{"d/a":{"map":{"a":{"ip":"192.0.2.4"},"b":{"ip":"192.0.2.3"}},"ip":["192.0.2.1","192.0.2.2"]}}"#,
        &["records", "a.bit"],
    );
    assert_eq!(one.stdout.len(), 4, "{one:#?}");
    assert_eq!(one.stdout, other.stdout);
}

#[test]
fn records_has_the_other_items_too() {
    let names = r#"{"d/ns":{"ns":["ns1.example.com.","ns2.ns.bit."],
            "ds":[[31381,8,1,"pA1W814Aw0K3nxcBXpIpJKWQaVg="]],"ip":"192.0.2.66"},
        "d/tr":{"translate":"example.com.","ip":"192.0.2.1"},
        "d/im":{"import":"dd/x"},"dd/x":{"ip":"192.0.2.5"}}"#;
    for (name, line) in [
        ("ns.bit", "ns.bit. 600 IN NS ns1.example.com."),
        (
            "ns.bit",
            "ns.bit. 600 IN DS 31381 8 1 a40d56f35e00c342b79f17015e922924a5906958",
        ),
        ("tr.bit", "tr.bit. 600 IN DNAME example.com."),
        ("im.bit", "im.bit. 600 IN A 192.0.2.5"),
    ] {
        let end = on(names, &["records", name]);
        assert_eq!(end.code, Some(0), "{end:#?}");
        let found = end.stdout.iter().any(|one| one.eq_ignore_ascii_case(line));
        assert!(found, "{line}: {end:#?}");
        assert!(!end.says("192.0.2.66"), "ns suppresses it: {end:#?}");
    }
}

/// One line for each error, and none costs the rest.
#[test]
fn errors_in_the_value_are_lines_on_stderr() {
    for (value, errors, records) in [
        (r#"{"ip":"192.0.2.1"}"#, 0, 1),
        (r#"{"ip":"192.0.2.256"}"#, 1, 0),
        (r#"{"ip":["192.0.2.1","x",7]}"#, 2, 1),
        (r#"{"ip":"192.0.2.1","ip6":"x","txt":{}}"#, 2, 1),
        (
            r#"{"ip":"192.0.2.1","map":{"a b":{"ip":"192.0.2.2"}}}"#,
            1,
            1,
        ),
        (r#"{"ip":"192.0.2.1","import":"dd/none"}"#, 1, 1),
        (r#"{"ip":"192.0.2.1","alias":7}"#, 1, 1),
    ] {
        let end = on(&format!(r#"{{"d/a":{value}}}"#), &["records", "a.bit"]);
        assert_eq!(end.code, Some(0), "{value}: {end:#?}");
        assert_eq!(end.stderr.len(), errors, "{value}: {end:#?}");
        assert_eq!(end.stdout.len(), records, "{value}: {end:#?}");
        for line in &end.stderr {
            assert!(line.starts_with("error: "), "{value}: {line}");
        }
    }
}

#[test]
fn records_fails_if_the_value_cannot_be_read() {
    let end = on(r#"{"d/text":"text"}"#, &["records", "text.bit"]);
    assert_eq!(end.code, Some(3), "{end:#?}");
    assert!(end.stdout.is_empty() && !end.stderr.is_empty(), "{end:#?}");
    let node = Node::start(Flavour::Core);
    node.script("d/a", [Reply::Recorded("loading")]);
    let end = owned(&["records", "a.bit", "--timeout", "3600"], &node);
    assert_ne!(end.code, Some(0), "{end:#?}");
    assert!(end.stdout.is_empty(), "{end:#?}");
}

#[test]
fn records_come_from_every_kind_of_node() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        node.set("d/a", r#"{"ip":"192.0.2.1"}"#);
        let end = owned(&["records", "d/a"], &node);
        assert_eq!(end.code, Some(0), "{flavour:?}: {end:#?}");
        assert_eq!(end.stdout, ["a.bit. 600 IN A 192.0.2.1"], "{flavour:?}");
    }
}

#[test]
fn records_as_json_say_the_same_as_the_lines() {
    let names =
        r#"{"d/a":{"ip":["192.0.2.1","bad"],"txt":"x\u001b[31m","map":{"www":"192.0.2.2"}}}"#;
    let lines = on(names, &["records", "a.bit"]);
    let json = on(names, &["records", "a.bit", "--json"]);
    assert_eq!((lines.code, json.code), (Some(0), Some(0)), "{json:#?}");
    assert_eq!(json.stdout.len(), 1, "{json:#?}");
    let json: serde_json::Value = serde_json::from_str(&json.stdout[0]).unwrap();
    let said: Vec<String> = json["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            let text = |key: &str| record[key].as_str().unwrap().to_owned();
            let ttl = record["ttl"].as_u64().unwrap();
            let words = [
                &text("owner"),
                &ttl.to_string(),
                &text("class"),
                &text("type"),
                &text("data"),
            ];
            words.map(String::as_str).join(" ")
        })
        .collect();
    assert_eq!(said, lines.stdout);
    assert_eq!(json["errors"].as_array().unwrap().len(), 1);
    assert_eq!(json["errors"][0]["item"], "ip");
}

/// A program must not take a name that a wildcard matches for an empty one.
#[test]
fn records_as_json_name_the_wildcard() {
    let names = r#"{"d/a":{"map":{"*":{"ip":"192.0.2.2"}}}}"#;
    let of = |name: &str| {
        let end = on(names, &["records", name, "--json"]);
        serde_json::from_str::<serde_json::Value>(&end.stdout[0]).unwrap()
    };
    assert_eq!(of("x.a.bit")["wildcard"], "*.a.bit");
    assert!(of("a.bit").get("wildcard").is_none());
}
