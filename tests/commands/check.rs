//! `ncprop279 check` against nodes of every kind and in every state, and the
//! warning about nodes that ignore isolation ids.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::node::{Flavour, Node, Reply, value};
use crate::support::plugin::Start;
use crate::support::run::{self, Outcome};
use crate::support::socks::{self, ONION};
use serde_json::{Value, json};

/// The health of each label, such as `reachable ok`. The last line is the
/// result, which says the same as the exit status.
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
    let works = end.code == Some(0);
    let result = if works { "result ok" } else { "result FAIL" };
    assert_eq!(found.pop().as_deref(), Some(result), "{end:#?}");
    let words = match works {
        true => "names are looked up in ",
        false => "names cannot be looked up: ",
    };
    assert!(end.text().contains(words), "{end:#?}");
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
fn check_prints_json() {
    let node = Node::start(Flavour::OldCore);
    for node in [&Node::start(Flavour::Core), &node] {
        let lines = check(node, &[]);
        let end = check(node, &["--json"]);
        assert_eq!((end.code, end.stdout.len()), (lines.code, 1), "{end:#?}");
        let object: Value = serde_json::from_str(&end.stdout[0]).unwrap();
        assert_eq!(object["works"], lines.code == Some(0), "{object}");
        let said = object["findings"].as_array().unwrap().iter().map(|one| {
            assert!(one["what"].is_string() && one["remedy"].is_string());
            let health = one["health"].as_str().unwrap().replace("fail", "FAIL");
            format!("{} {health}", one["label"].as_str().unwrap())
        });
        let mut expected = findings(&lines);
        let result = if lines.code == Some(0) { "ok" } else { "FAIL" };
        expected.push(format!("result {result}"));
        assert_eq!(said.collect::<Vec<_>>(), expected, "{object}");
    }
}

/// Colours are for people, and not for all of them.
#[cfg(unix)]
#[test]
fn a_terminal_shows_colours_unless_they_are_unwanted() {
    use crate::support::terminal::Terminal;

    for (variables, is_colored) in [
        (&[("TERM", "xterm")][..], true),
        (&[("TERM", "xterm"), ("NO_COLOR", "")], true),
        (&[("TERM", "xterm"), ("NO_COLOR", "1")], false),
        (&[("TERM", "dumb")], false),
    ] {
        let (terminal, stdout) = Terminal::new(80);
        let mut command = Command::new(env!("CARGO_BIN_EXE_ncprop279"));
        command
            .args(["check", "--names-file", "examples/names.json"])
            .env_remove("NO_COLOR")
            .envs(variables.iter().copied())
            .stdout(stdout);
        assert!(command.status().unwrap().success());
        drop(command);
        let written = terminal.shown().written;
        assert_eq!(
            written.contains("\u{1b}[32mok\u{1b}[0m"),
            is_colored,
            "{written:?}"
        );
        assert_eq!(written.contains('\u{1b}'), is_colored, "{written:?}");
    }
    // Whatever asks for colours: a pipe gets none.
    let start = Start::new(&["check", "--names-file", "examples/names.json"]);
    let end = run::run(start.env("CLICOLOR_FORCE", "1").env("TERM", "xterm"));
    assert!(!end.says("\u{1b}"), "{end:#?}");
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

#[test]
fn the_result_says_where_names_are_looked_up() {
    let result = |node: &Node, more: &[&str]| {
        let end = check(node, more);
        let text = end.text();
        let (_, result) = text.split_once("result ").unwrap();
        let address = node.address();
        let (before, behind) = result.split_once(&address).unwrap();
        format!("{before}NODE{behind}")
    };
    let node = Node::start(Flavour::Core);
    let more = ["--rpc-dialect", "consensusj"];
    assert_eq!(
        result(&node, &more),
        "ok names are looked up in ConsensusJ-Namecoin at NODE, without isolation ids"
    );
    let core = result(&node, &[]);
    let words = "ok names are looked up in Namecoin Core of unknown version at NODE";
    assert_eq!(core, words);
    let node = electrum(Flavour::Electrum406, &[]);
    node.set_heights(Some((250, 250)));
    assert_eq!(
        result(&node, &[]),
        "ok names are looked up in Electrum-NMC 4.0.6 at NODE, whose newest block is 250; it asks \
         Electrum servers for each isolation id separately"
    );
    node.set_heights(Some((-1, 250)));
    let end = check(&node, &[]);
    let last = "names cannot be looked up: the node has header -1 of 250";
    assert!(end.text().ends_with(last), "{end:#?}");
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
fn a_core_too_old_for_ids_fails_with_a_way_out() {
    let node = Node::start(Flavour::OldCore);
    let end = check(&node, &[]);
    assert!(
        findings(&end).contains(&"isolation FAIL".to_owned()),
        "{end:#?}"
    );
    let text = end.text();
    assert!(text.contains("too old for isolation ids"), "{text}");
    assert!(text.contains("--rpc-dialect consensusj"), "{text}");
    assert!(!text.contains("a lookup needs no network"), "{text}");
    assert_eq!(end.code, Some(1), "{end:#?}");
    let end = check(&node, &["--rpc-dialect", "consensusj"]);
    assert_eq!(end.code, Some(0), "{end:#?}");
}

/// A node with settings, and what is said of them if it does not isolate.
type Case = (Flavour, Vec<(&'static str, Value)>, Option<&'static str>);

/// Settings of Electrum-NMC. 4.1.0 does not isolate whatever they are.
fn settings() -> Vec<Case> {
    use Flavour::{Electrum406, Electrum410};
    let socks = || ("proxy", json!("socks5:127.0.0.1:9050"));
    vec![
        (Electrum406, vec![socks()], None),
        (
            Electrum406,
            vec![socks(), ("oneserver", json!(false))],
            None,
        ),
        (
            Electrum406,
            vec![socks(), ("oneserver", json!(true))],
            Some("asks one server only"),
        ),
        (
            Electrum406,
            vec![("proxy", json!(null))],
            Some("has no proxy"),
        ),
        (
            Electrum406,
            vec![("proxy", json!("none"))],
            Some("has no proxy"),
        ),
        (
            Electrum406,
            vec![("proxy", json!(null)), ("oneserver", json!(true))],
            Some("has no proxy"),
        ),
        (
            Electrum406,
            vec![("proxy", json!({"unheard": "of"}))],
            Some("does not say"),
        ),
        (
            Electrum410,
            vec![socks()],
            Some("(4.1.0) ignores isolation ids"),
        ),
    ]
}

fn electrum(flavour: Flavour, settings: &[(&'static str, Value)]) -> Node {
    let node = Node::start(flavour);
    for (key, value) in settings {
        node.set_config(key, value.clone());
    }
    node
}

#[test]
fn check_says_whether_electrum_isolates_with_its_settings() {
    for (flavour, settings, words) in settings() {
        let node = electrum(flavour, &settings);
        let end = check(&node, &[]);
        let health = if words.is_some() { "warn" } else { "ok" };
        let found = format!("isolation {health}");
        assert!(findings(&end).contains(&found), "{settings:?} {end:#?}");
        assert!(end.text().contains(words.unwrap_or_default()), "{end:#?}");
        assert_eq!(end.code, Some(0), "a warning is no failure: {end:#?}");
        assert!(!end.says("9050::"), "a proxy may have a password: {end:#?}");
    }
}

#[test]
fn a_node_that_ignores_isolation_ids_is_reported_once() {
    let core = (Flavour::Core, Vec::new(), None);
    for (flavour, settings, words) in settings().into_iter().chain([core]) {
        let node = electrum(flavour, &settings);
        for name in ["d/a", "d/b", "d/c"] {
            node.script(name, [value(r#"{"ip":"192.0.2.1"}"#)]);
        }
        let mut plugin = node.plugin(&["-v"]);
        for name in ["a.bit", "b.bit", "c.bit"] {
            assert_eq!(plugin.ask(name, name), "0 192.0.2.1");
        }
        // It is found out beside the answers, and may come after them.
        match words {
            Some(words) => drop(plugin.complaint(words)),
            None if flavour.is_electrum() => {
                let told = plugin.complaint("a server connection of its own");
                assert!(told.contains(" info: "), "{told}");
            }
            None => {}
        }
        plugin.close_stdin();
        assert_eq!(plugin.wait().code(), Some(0));
        let complaints = plugin.all_complaints();
        let told = complaints
            .iter()
            .filter(|line| line.contains("warning: ") && line.contains("ignores isolation ids"));
        assert_eq!(told.count(), usize::from(words.is_some()), "{complaints:?}");
        // It is about the node, and carries no id.
        for request in node.requests() {
            let is_asked_for = request.key.is_some();
            assert_eq!(request.stream.is_some(), is_asked_for, "{request:?}");
        }
    }
}

#[test]
fn useless_members_of_a_names_file_are_reported() {
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
        (
            r#"{"d/a":{},"d/a":{},"d/b":{},"d/a":{}}"#,
            "warn",
            r#"2 names, 2 of its entries replaced by a later one with the same key; one is "d/a""#,
        ),
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
        assert!(end.text().contains("in the file"), "{end:#?}");
        assert_eq!(end.code, Some(0), "the others work: {end:#?}");
    }
}

/// One kind of mistake does not hide another.
#[test]
fn every_kind_of_mistake_in_a_names_file_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("names.json");
    let names = r#"{"d/a":5,"d/B":{},"d/c":{},"d/c":{},"d/D":[]}"#;
    std::fs::write(&path, names).unwrap();
    let end = run::with(&["check", "--names-file", path.to_str().unwrap()]);
    let warning = "names file warn";
    assert_eq!(
        findings(&end),
        ["source ok", warning, warning, warning],
        "{end:#?}"
    );
    let text: Vec<_> = end.stdout.iter().map(|line| line.trim()).collect();
    for words in [
        r#"has 4 names, 2 of them with a bad entry; one is "d/D""#,
        r#"has 4 names, 2 of them with a key that no name leads to; one is "d/B""#,
        r#"has 4 names, 1 of its entries replaced by a later one with the same key; one is "d/c""#,
    ] {
        assert!(text.join(" ").contains(words), "{end:#?}");
    }
    assert_eq!(end.code, Some(0), "the others work: {end:#?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_reported() {
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let end = Command::new(env!("CARGO_BIN_EXE_ncprop279"))
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

/// A proxy that serves delegations only: without it all other names are looked up.
#[test]
fn a_proxy_for_delegations_is_tried_and_no_lookup_depends_on_it() {
    let node = Node::start(Flavour::Core);
    let proxy = socks::Socks::start(socks::nobody(), socks::Manner::Honest).address();
    let file = |more: &[&str]| {
        let words = ["check", "--names-file", "examples/names.json"];
        run::with(&[&words, more].concat())
    };
    for check in [
        &(|more: &[&str]| check(&node, more)) as &dyn Fn(&[&str]) -> _,
        &file,
    ] {
        let end = check(&["--proxy", &proxy]);
        let found = findings(&end);
        assert_eq!(found.last().unwrap(), "delegations ok", "{end:#?}");
        assert!(end.text().contains(&proxy), "{end:#?}");
        for (useless, words) in socks::useless() {
            let end = check(&["--proxy", &useless]);
            let found = findings(&end);
            assert_eq!(found.last().unwrap(), "delegations warn", "{end:#?}");
            assert!(end.text().contains(words), "{words}: {end:#?}");
            assert!(end.text().contains("127.0.0.1:9050"), "{end:#?}");
            assert_eq!(end.code, Some(0), "{end:#?}");
        }
        assert!(!check(&[]).says("delegations"));
    }
    let end = file(&["--proxy", &proxy, "--delegations=off"]);
    assert!(!end.says("delegations"), "{end:#?}");
}

/// Whatever is wrong with the proxy is found out at the proxy, soon, and nothing
/// is said about the node behind it.
#[test]
fn a_proxy_that_is_none_fails_within_two_seconds() {
    let node = Node::start(Flavour::Core);
    let config = node.path("config.toml");
    for (proxy, words) in socks::useless() {
        let arguments = [
            "check",
            "--proxy",
            &proxy,
            "--rpc-address",
            ONION,
            "--config",
            &config,
        ];
        let begun = Instant::now();
        let end = run::run(Start::new(&arguments));
        let time = begun.elapsed();
        assert_eq!(findings(&end), ["source ok", "proxy FAIL"], "{end:#?}");
        let text = end.text();
        assert!(text.contains(words), "{words}: {end:#?}");
        assert!(text.contains("127.0.0.1:9050"), "{end:#?}");
        assert!(text.contains("127.0.0.1:9150"), "{end:#?}");
        assert!(time < Duration::from_secs(4), "{time:?}: {end:#?}");
        assert_eq!(end.code, Some(1), "{end:#?}");
    }
}
