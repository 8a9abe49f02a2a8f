//! `ncprop279 check` against nodes of every kind and in every state, and the
//! warning about nodes that ignore isolation ids.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod support;

use support::node::{Flavour, Node, Reply, value};
use support::run::{self, Outcome};

/// The health of each label, such as `reachable ok`.
fn findings(end: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    for line in &end.stdout {
        assert!(line.len() <= 80, "{line:?} is wider than a terminal");
        if !line.starts_with(' ') {
            let (label, rest) = line.split_at(12);
            let health = rest.split(' ').next().unwrap();
            found.push(format!("{} {health}", label.trim()));
        }
    }
    found
}

fn check(node: &Node, more: &[&str]) -> Outcome {
    run::run(node.prepare(&[&["check"], more].concat()))
}

#[test]
fn a_good_core_node_is_ok_throughout() {
    let node = Node::start(Flavour::Core);
    let end = check(&node, &[]);
    let found = findings(&end);
    for label in ["reachable", "credentials", "dialect", "isolation", "proxy"] {
        assert!(found.contains(&format!("{label} ok")), "{label}: {end:#?}");
    }
    assert_eq!(end.code, Some(0), "{end:#?}");
    // No name of the user's is asked, and none under an isolation id.
    for request in node.name_requests() {
        assert_eq!(request.key.as_deref(), Some("d/ncprop279-check"));
    }
}

#[test]
fn the_lines_of_electrum_are_told_apart() {
    for (flavour, isolation) in [
        (Flavour::Electrum406, "isolation ok"),
        (Flavour::Electrum410, "isolation warn"),
    ] {
        let node = Node::start(flavour);
        node.set_heights(Some((250, 250)));
        let end = check(&node, &[]);
        let found = findings(&end);
        assert!(found.contains(&isolation.to_owned()), "{end:#?}");
        assert!(found.contains(&"chain ok".to_owned()), "{end:#?}");
        assert_eq!(end.code, Some(0), "a warning is no failure: {end:#?}");
        assert_eq!(end.says("->"), isolation.ends_with("warn"), "{end:#?}");
    }
}

#[test]
fn what_keeps_lookups_from_working_fails_with_a_remedy() {
    let syncing = Node::start(Flavour::Electrum406);
    syncing.set_heights(Some((-1, 250)));
    let end = check(&syncing, &[]);
    assert!(
        findings(&end).contains(&"chain FAIL".to_owned()),
        "{end:#?}"
    );
    assert_eq!(end.code, Some(1));

    let node = Node::start(Flavour::Core);
    node.set_credentials(Some("other:secret"));
    let end = check(&node, &[]);
    assert!(
        findings(&end).contains(&"credentials FAIL".to_owned()),
        "{end:#?}"
    );
    assert!(end.says("->"), "{end:#?}");
    assert_eq!(end.code, Some(1));

    let node = Node::start(Flavour::Core);
    let end = check(&node, &["--rpc-dialect", "electrum-nmc"]);
    assert!(
        findings(&end).contains(&"dialect FAIL".to_owned()),
        "{end:#?}"
    );
    assert_eq!(end.code, Some(1));

    let arguments = ["check", "--rpc-address", "127.0.0.1:1"];
    let end = run::with(&arguments);
    assert_eq!(end.code, Some(1), "{end:#?}");
    let end = run::with(&["check"]);
    assert_eq!(
        end.stdout[0],
        "source      ok    the node at 127.0.0.1:8336"
    );
    assert!(
        findings(&end).contains(&"credentials FAIL".to_owned()),
        "{end:#?}"
    );
    let text: Vec<_> = end.stdout.iter().map(|line| line.trim()).collect();
    assert!(
        text.join(" ").contains("without a node set --backend"),
        "{end:#?}"
    );
    let end = run::with(&["check", "--names-file", "no-such-file.json"]);
    assert!(
        findings(&end).contains(&"names file FAIL".to_owned()),
        "{end:#?}"
    );
    assert_eq!(end.code, Some(1));
}

/// A node that answers everything but lookups is of no use.
#[test]
fn a_node_that_refuses_lookups_fails() {
    for (code, words) in [(-1, "too many parameters"), (-32603, "internal error")] {
        let node = Node::start(Flavour::Core);
        let refused = std::iter::repeat_with(|| Reply::Error(code, words)).take(9);
        node.script("d/ncprop279-check", refused);
        let end = check(&node, &[]);
        assert!(
            findings(&end).contains(&"lookups FAIL".to_owned()),
            "{end:#?}"
        );
        assert!(end.says(words), "{end:#?}");
        assert_eq!(end.code, Some(1), "{end:#?}");
    }
}

#[test]
fn a_node_that_ignores_isolation_ids_is_told_about_once() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        for name in ["d/a", "d/b", "d/c"] {
            node.script(name, [value(r#"{"ip":"192.0.2.1"}"#)]);
        }
        let mut plugin = node.plugin(&[]);
        for name in ["a.bit", "b.bit", "c.bit"] {
            assert_eq!(plugin.ask(name, name), "0 192.0.2.1");
        }
        if flavour == Flavour::Electrum410 {
            // It is found out beside the answers, and may come after them.
            plugin.complaint("ignores isolation ids");
        }
        plugin.close_stdin();
        assert_eq!(plugin.wait().code(), Some(0));
        let complaints = plugin.all_complaints();
        let told = complaints
            .iter()
            .filter(|line| line.contains("ignores isolation ids"));
        assert_eq!(
            told.count(),
            usize::from(flavour == Flavour::Electrum410),
            "{complaints:?}"
        );
    }
}

#[test]
fn members_of_a_names_file_that_are_of_no_use_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("names.json");
    for (names, found, words) in [
        (
            r#"{"d/b":5,"d/a":{},"d/c":6}"#,
            "warn",
            r#"3 names, 2 of them with a bad entry; one is "d/b""#,
        ),
        (
            r#"{"a.bit":{},"d/b":{}}"#,
            "warn",
            r#"2 names, 1 of them with a key that no name leads to; one is "a.bit""#,
        ),
        (r#"{"d/a.bit":{}}"#, "warn", r#"one is "d/a.bit""#),
        (r#"{"d/Bar":{}}"#, "warn", r#"one is "d/Bar""#),
        (r#"{"/x":{},"d/":{}}"#, "warn", "2 of them"),
        (r#"{"id/a":{}}"#, "ok", "one name"),
        (r#"{"d/xn--a":{},"dd/A b":{}}"#, "ok", "2 names"),
    ] {
        std::fs::write(&path, names).unwrap();
        let end = run::with(&["check", "--names-file", path.to_str().unwrap()]);
        let found = format!("names file {found}");
        assert_eq!(findings(&end), ["source ok", &found], "{end:#?}");
        assert!(end.stdout[0].contains("names.json"), "{end:#?}");
        let text: Vec<_> = end.stdout.iter().map(|line| line.trim()).collect();
        assert!(text.join(" ").contains(words), "{end:#?}");
        assert_eq!(end.code, Some(0), "the others work: {end:#?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told() {
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let end = std::process::Command::new(env!("CARGO_BIN_EXE_ncprop279"))
        .args([
            "resolve",
            "example.bit",
            "--names-file",
            "examples/names.json",
        ])
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(end.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&end.stderr).contains("stdout cannot be written"));
}
