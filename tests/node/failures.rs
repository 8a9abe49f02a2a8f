//! Not knowing for now: retried, never answered as absence or in part
//! (promise 7 of SECURITY.md; spec/resolution.md, "Failures that pass").

use std::time::{Duration, Instant};

use crate::support::node::{Flavour, Node, Reply, value};
use crate::support::plugin::Plugin;
use crate::support::run;
use serde_json::json;

const IP: &str = r#"{"ip":"192.0.2.1"}"#;
const ONION: &str = "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion";

/// Everything that passes, with its server.
fn passing() -> Vec<(Flavour, &'static str, Reply)> {
    use Flavour::{Core, Electrum406, Electrum410};
    let mut all = vec![
        (Core, "warming up", Reply::Recorded("warming up")),
        (Core, "loading", Reply::Recorded("loading")),
        (Core, "verifying", Reply::Recorded("verifying")),
        (Core, "downloading", Reply::Recorded("downloading")),
        (Core, "stopping", Reply::Recorded("stopping")),
        (
            Core,
            "busy",
            Reply::Http(
                "503 Service Unavailable",
                "Work queue depth exceeded".into(),
            ),
        ),
        (
            Core,
            "an error unheard of",
            Reply::Error(-32603, "Internal error"),
        ),
        (
            Core,
            "our fault",
            Reply::Error(-1000, "Name/value is invalid for encoding hex"),
        ),
        (Electrum406, "syncing", Reply::Recorded("syncing")),
        (Electrum406, "no interface", Reply::Recorded("no interface")),
        (
            Electrum410,
            "no clean interface",
            Reply::Error(1, "No clean interface is ready"),
        ),
        (
            Electrum410,
            "syncing",
            Reply::Error(
                1,
                "The blockchain is still syncing (latest purported transaction height 189)",
            ),
        ),
        (
            Electrum406,
            "invalid request",
            Reply::Http("500 Internal Server Error", "Invalid Request".into()),
        ),
    ];
    for flavour in Flavour::RECORDED {
        all.extend([
            (flavour, "closed", Reply::Close),
            (flavour, "half an answer", Reply::Half),
            (flavour, "no JSON", Reply::Http("200 OK", "<html>".into())),
            (flavour, "nothing", Reply::Http("200 OK", String::new())),
            (flavour, "a bare value", Reply::Http("200 OK", IP.into())),
            (
                flavour,
                "null",
                Reply::Http("200 OK", r#"{"result":null,"error":null,"id":1}"#.into()),
            ),
            (
                flavour,
                "nested",
                Reply::Http("200 OK", "[".repeat(100_000)),
            ),
            (
                flavour,
                "not found",
                Reply::Http("404 Not Found", String::new()),
            ),
            (flavour, "no value", Reply::Spoilt("value", json!(null))),
            (flavour, "odd hex", Reply::Spoilt("value", json!("7b7"))),
            (flavour, "no hex", Reply::Spoilt("value", json!("zz"))),
            (flavour, "a number", Reply::Spoilt("value", json!(7))),
            (
                flavour,
                "a redirection",
                Reply::Http("302 Found", String::new()),
            ),
        ]);
    }
    all
}

#[test]
fn what_passes_is_tried_again() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        let mut plugin = node.plugin(&[]);
        let mut count = 0;
        for (_, what, reply) in passing().into_iter().filter(|row| row.0 == flavour) {
            let key = format!("d/a{count}");
            node.script(&key, [reply.clone(), reply, value(IP)]);
            plugin.send(&format!("RESOLVE {count} a{count}.bit a{count}"));
            eprintln!("{count} is {what}");
            count += 1;
        }
        for id in 0..count {
            let answer = plugin.answer(&id.to_string());
            assert_eq!(answer, "0 192.0.2.1", "{flavour:?}, {id}");
        }
        plugin.finish();
    }
}

/// Status 1, never 3: and when the node is well again, the answer is there.
#[test]
fn what_does_not_pass_in_time_is_status_1_and_is_not_kept() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        let mut plugin = node.plugin(&["--timeout", "0.7"]);
        let mut rows = Vec::new();
        for (_, what, reply) in passing().into_iter().filter(|row| row.0 == flavour) {
            let n = rows.len();
            node.script(&format!("d/a{n}"), [reply]);
            plugin.send(&format!("RESOLVE {n} a{n}.bit a{n}"));
            rows.push(what);
        }
        for (n, what) in rows.iter().enumerate() {
            let answer = plugin.answer(&n.to_string());
            assert!(answer.starts_with("1 \""), "{flavour:?}, {what}: {answer}");
        }
        // A node that begins to answer must not be a node of the past.
        for n in 0..rows.len() {
            node.set(&format!("d/a{n}"), IP);
        }
        for (n, what) in rows.iter().enumerate() {
            let mut answer = plugin.ask(&format!("a{n}.bit"), &format!("a{n}"));
            // As the client does. Pauses grow with the first lookup, which
            // goes on in the background.
            for _ in 0..10 {
                if answer.starts_with("0 ") {
                    break;
                }
                answer = plugin.ask(&format!("a{n}.bit"), &format!("a{n}"));
            }
            assert_eq!(answer, "0 192.0.2.1", "{flavour:?}, {what}");
        }
        plugin.finish();
    }
}

/// Refusals of the request, whatever the name: asking again would be refused
/// again. The node's words are its help text, or worse.
#[test]
fn a_node_that_refuses_for_good_is_asked_once() {
    for (code, words) in [
        (-3, "does not take our requests (error -3)"),
        (-8, "does not take our requests (error -8)"),
        (-32600, "does not take our requests (error -32600)"),
        (-32601, "knows no names"),
        (-32602, "does not take our requests (error -32602)"),
    ] {
        let node = Node::start(Flavour::Core);
        node.script("d/a", [Reply::Error(code, "d/a under me")]);
        let mut plugin = node.plugin(&[]);
        let begun = Instant::now();
        let answer = plugin.ask("a.bit", "me");
        assert!(answer.starts_with("1 \""), "{answer}");
        assert!(answer.contains(words), "{answer}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{answer}");
        plugin.complaint(words);
        assert_eq!(node.requests().len(), 1);
        // It may have been replaced: the next query asks.
        node.set("d/a", IP);
        assert_eq!(plugin.ask("a.bit", "me"), "0 192.0.2.1");
        plugin.finish();
    }
}

/// It could not be told the id, and is not asked without it.
#[test]
fn a_core_too_old_for_ids_is_recognised_at_once() {
    let node = Node::start(Flavour::OldCore);
    node.set("d/a", IP);
    let mut plugin = node.plugin(&[]);
    let begun = Instant::now();
    for name in ["a.bit", "b.bit"] {
        let answer = plugin.ask(name, "me");
        assert!(answer.starts_with("1 \""), "{answer}");
        assert!(answer.contains("too old for isolation ids"), "{answer}");
        assert!(answer.contains("--rpc-dialect consensusj"), "{answer}");
        assert!(!answer.contains("name_show"), "{answer}");
    }
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(node.requests().len(), 2);
    for request in node.requests() {
        assert_eq!(request.stream.as_deref(), Some("me"), "{request:#?}");
    }
    plugin.close_stdin();
    assert_eq!(plugin.wait().code(), Some(0));
    let complaints = plugin.all_complaints();
    assert_eq!(complaints.len(), 1, "{complaints:#?}");
    assert!(complaints[0].contains("too old for isolation ids"));

    // What the message says, it does.
    let mut plugin = node.plugin(&["--rpc-dialect", "consensusj"]);
    assert_eq!(plugin.ask("a.bit", "me"), "0 192.0.2.1");
    plugin.finish();
}

/// Hours may pass until it has the chain. The node's words might repeat a name.
#[test]
fn a_node_that_is_not_ready_is_warned_about_once() {
    for (flavour, reply) in [
        (Flavour::Core, Reply::Recorded("downloading")),
        (Flavour::Core, Reply::Recorded("verifying")),
        (Flavour::Core, Reply::Error(-10, "d/a0 is not there")),
        (Flavour::Electrum406, Reply::Recorded("syncing")),
        (Flavour::Electrum410, Reply::Recorded("never existed")),
    ] {
        let node = Node::start(flavour);
        if flavour == Flavour::Electrum410 {
            node.set_heights(Some((-1, 250)));
        }
        let mut plugin = node.plugin(&["--timeout", "0.3"]);
        for n in 0..3 {
            node.script(&format!("d/a{n}"), [reply.clone()]);
            let answer = plugin.ask(&format!("a{n}.bit"), "me");
            assert!(crate::support::is_transient(&answer), "{answer}");
        }
        plugin.close_stdin();
        assert_eq!(plugin.wait().code(), Some(0));
        let complaints = plugin.all_complaints();
        assert_eq!(complaints.len(), 1, "{flavour:?} {complaints:#?}");
        let text = &complaints[0];
        assert!(text.contains("warning: lookups fail for now"), "{text}");
        assert!(text.contains("starting or synchronising"), "{text}");
        assert!(!text.contains("d/a"), "{text}");
    }
}

#[test]
fn the_last_error_is_told_with_its_place() {
    let node = Node::start(Flavour::Core);
    let mut plugin = node.plugin(&["--timeout", "0.5"]);
    let busy = Reply::Http(
        "503 Service Unavailable",
        "Work queue depth exceeded".into(),
    );
    let mut answers = Vec::new();
    for (key, first, last) in [
        ("a", busy.clone(), Reply::Recorded("loading")),
        ("b", Reply::Recorded("loading"), busy),
        ("c", Reply::Recorded("loading"), Reply::Recorded("loading")),
    ] {
        node.script(&format!("d/{key}"), [first, last]);
        let answer = plugin.ask(&format!("{key}.bit"), key);
        assert!(answer.starts_with("1 \""), "{answer}");
        assert!(answer.contains(&node.address()), "{answer}");
        assert!(answer.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        answers.push(answer);
    }
    assert_eq!(answers[0], answers[2], "the last counts");
    assert_ne!(answers[0], answers[1], "it says what happened");
    plugin.finish();
}

#[test]
fn an_unreachable_node_is_status_1() {
    let mut plugin = Plugin::start(&[
        "--rpc-address",
        "127.0.0.1:1",
        "--rpc-user",
        "u",
        "--rpc-password",
        "p",
        "--timeout",
        "0.5",
    ]);
    let answer = plugin.ask("a.bit", "a");
    assert!(answer.starts_with("1 \""), "{answer}");
    assert!(answer.contains("127.0.0.1:1"), "{answer}");
    // Who reads the log knows too, before the first time is over and once.
    assert!(plugin.ask("b.bit", "b").starts_with("1 \""));
    plugin.complaint("warning: lookups fail for now: the node at 127.0.0.1:1 refuses");
    plugin.close_stdin();
    plugin.wait();
    let told = plugin.all_complaints();
    let told: Vec<_> = told
        .iter()
        .filter(|line| line.contains("lookups fail"))
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        !told[0].contains(".bit") && !told[0].contains("d/"),
        "{told:?}"
    );
}

/// No attempt ended, so there is no error to tell.
#[test]
fn a_silent_node_is_status_4() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        node.script("d/a", [Reply::Hang]);
        let mut plugin = node.plugin(&["--timeout", "0.5"]);
        let answer = plugin.ask("a.bit", "a");
        assert!(answer.starts_with("4 \""), "{flavour:?}: {answer}");
        drop(node);
        plugin.finish();
    }
}

#[test]
fn a_node_that_falls_silent_after_an_error_is_status_1() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        let error = Reply::Error(-28, "Loading wallet…");
        node.script("d/a", [error, Reply::Hang]);
        let mut plugin = node.plugin(&["--timeout", "0.7"]);
        let answer = plugin.ask("a.bit", "a");
        assert!(answer.starts_with("1 \""), "{flavour:?}: {answer}");
        assert_eq!(node.count("d/a"), 2, "it was tried again");
        drop(node);
        plugin.finish();
    }
}

/// A connection made for the attempt that breaks is an attempt that failed. It
/// is not like one that the node closed while it was idle. (An Electrum-NMC
/// node has refused Core's dialect on the connection before.)
#[test]
fn a_fresh_connection_that_breaks_is_a_failed_attempt() {
    let node = Node::start(Flavour::Core);
    node.script("d/a", [Reply::Close, Reply::Hang]);
    let mut plugin = node.plugin(&["--timeout", "0.7"]);
    let answer = plugin.ask("a.bit", "a");
    assert!(answer.starts_with("1 \""), "{answer}");
    drop(node);
    plugin.finish();
}

/// What the client was told as 4 is there when it asks again.
#[test]
fn a_late_answer_is_kept_for_the_client_that_asks_again() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        node.set("d/a", IP);
        node.hold("d/a");
        let mut plugin = node.plugin(&["--timeout", "0.5"]);
        assert!(plugin.ask("a.bit", "a").starts_with("4 \""), "{flavour:?}");
        plugin.send("RESOLVE 1 a.bit a");
        node.release("d/a");
        assert_eq!(plugin.answer("1"), "0 192.0.2.1", "{flavour:?}");
        assert_eq!(node.count("d/a"), 1, "{flavour:?}: {:#?}", node.requests());
        plugin.finish();
    }
}

// Values of several names.

/// Each key with a value, or a reply that is none.
fn node_with(names: &[(&str, &str)], missing: &str, reply: Reply) -> Node {
    let node = Node::start(Flavour::Core);
    for (key, text) in names {
        node.set(key, text);
    }
    node.script(missing, [reply]);
    node
}

#[test]
fn a_value_is_never_answered_in_part() {
    let failures = [
        (Reply::Close, "1 \""),
        (Reply::Recorded("loading"), "1 \""),
        (Reply::Http("200 OK", "{}".into()), "1 \""),
        (Reply::Hang, "4 \""),
    ];
    for (reply, status) in failures {
        for (names, missing) in [
            // An onion must not become an address.
            (
                &[("d/a", r#"{"ip":"192.0.2.1","import":"dd/b"}"#)][..],
                "dd/b",
            ),
            (
                &[(
                    "d/a",
                    r#"{"ip":"192.0.2.1","import":[["dd/none"],["dd/b"]]}"#,
                )],
                "dd/b",
            ),
            (
                &[
                    ("d/a", r#"{"ip":"192.0.2.1","import":"dd/b"}"#),
                    ("dd/b", r#"{"import":"dd/c"}"#),
                ],
                "dd/c",
            ),
            (
                &[("d/a", r#"{"ip":"192.0.2.1","delegate":"dd/b"}"#)],
                "dd/b",
            ),
            (
                &[(
                    "d/a",
                    r#"{"ip":"192.0.2.1","map":{"_tor":{"import":"dd/b"}}}"#,
                )],
                "dd/b",
            ),
            (&[("d/a", r#"{"alias":"b.bit.","ip":"192.0.2.1"}"#)], "d/b"),
        ] {
            let node = node_with(names, missing, reply.clone());
            let mut plugin = node.plugin(&["--timeout", "0.4"]);
            let answer = plugin.ask("a.bit", "a");
            assert!(answer.starts_with(status), "{names:?}, {reply:?}: {answer}");
            drop(node);
            plugin.finish();
        }
    }
}

#[test]
fn the_whole_value_is_answered_when_its_last_part_comes() {
    let node = Node::start(Flavour::Core);
    node.set("d/a", r#"{"ip":"192.0.2.1","import":"dd/b"}"#);
    node.script(
        "dd/b",
        [
            Reply::Recorded("warming up"),
            Reply::Close,
            value(&format!(r#"{{"map":{{"_tor":{{"txt":"{ONION}"}}}}}}"#)),
        ],
    );
    let mut plugin = node.plugin(&[]);
    assert_eq!(plugin.ask("a.bit", "a"), format!("0 {ONION}"));
    // The part that was there is not asked for again.
    assert_eq!(node.count("d/a"), 1);
    plugin.finish();
}

/// Only what is on the way to the name matters.
#[test]
fn an_import_beside_the_way_may_fail() {
    let node = node_with(
        &[("d/a", r#"{"ip":"192.0.2.1","map":{"x":{"import":"dd/b"}}}"#)],
        "dd/b",
        Reply::Hang,
    );
    let mut plugin = node.plugin(&["--timeout", "0.5"]);
    assert_eq!(plugin.ask("a.bit", "a"), "0 192.0.2.1");
    assert_eq!(node.count("dd/b"), 0);
    assert!(plugin.ask("x.a.bit", "a").starts_with("4 \""));
    drop(node);
    plugin.finish();
}

/// It is a fact about the name, which trying again does not change.
#[test]
fn a_permanently_broken_import_costs_itself_only() {
    for broken in [
        Reply::Recorded("never existed"),
        Reply::Recorded("expired"),
        Reply::ExpiredValue(r#"{"ip6":"2001:db8::66"}"#.into()),
        value("no object"),
        value(""),
        value("[]"),
        value(r#"{"import":"d/a"}"#),
    ] {
        let node = node_with(
            &[("d/a", r#"{"import":"dd/b","ip6":"2001:db8::1"}"#)],
            "dd/b",
            broken.clone(),
        );
        let mut plugin = node.plugin(&[]);
        assert_eq!(plugin.ask("a.bit", "a"), "0 2001:db8::1", "{broken:?}");
        assert_eq!(plugin.ask("a.bit", "a"), "0 2001:db8::1", "{broken:?}");
        assert_eq!(node.count("dd/b"), 1, "{broken:?}");
        plugin.finish();
    }
}

// The end.

/// E1: what was asked for before stdin was closed is answered after it.
#[test]
fn queries_under_way_are_answered_after_stdin_is_closed() {
    let node = Node::start(Flavour::Core);
    node.set("d/a", IP);
    node.hold("d/a");
    let mut plugin = node.plugin(&[]);
    plugin.send("RESOLVE 1 a.bit a");
    plugin.close_stdin();
    node.wait_for("d/a", 1);
    node.release("d/a");
    assert_eq!(plugin.answer("1"), "0 192.0.2.1");
    let end = run::end(plugin);
    assert_eq!(end.code, Some(0), "{end:#?}");
}

/// E2: with a request under way that never ends.
#[test]
fn a_signal_ends_a_plugin_whose_node_is_silent() {
    for signal in ["TERM", "INT"] {
        let node = Node::start(Flavour::Core);
        node.script("d/a", [Reply::Hang]);
        let mut plugin = node.plugin(&["--timeout", "3600"]);
        plugin.send("RESOLVE 1 a.bit a");
        node.wait_for("d/a", 1);
        plugin.signal(signal);
        assert_eq!(plugin.wait().code(), Some(0), "{}", plugin.story());
    }
}

/// C2: the answer that comes after it is for nobody.
#[test]
fn a_cancelled_query_is_not_answered() {
    let node = Node::start(Flavour::Core);
    node.set("d/a", IP);
    node.hold("d/a");
    let mut plugin = node.plugin(&[]);
    plugin.send("RESOLVE 1 a.bit a");
    node.wait_for("d/a", 1);
    plugin.send("CANCEL 1");
    assert_eq!(plugin.line(), "CANCELED 1");
    node.release("d/a");
    node.set("d/b", r#"{"ip":"192.0.2.2"}"#);
    assert_eq!(plugin.ask("b.bit", "a"), "0 192.0.2.2");
    let end = run::end(plugin);
    assert_eq!(end.stdout.len(), 1, "{end:#?}");
}
