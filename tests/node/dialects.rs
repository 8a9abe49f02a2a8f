//! The dialects of the recorded servers, and their answers to the letter.

use crate::support::node::{Flavour, Node, Reply, value};
use crate::support::plugin::Plugin;
use crate::support::run;
use serde_json::json;

const ONION: &str = "dhflg7a7etr77hwt4eerwoovhg7b5bivt2jem4366dt4psgnl5diyiyd.onion";
const IP: &str = r#"{"ip":"192.0.2.1"}"#;

#[test]
fn recorded_answers_are_understood() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        let mut plugin = node.plugin(&[]);
        // Its own value, under the name that it was recorded with.
        node.script("d/testls", [Reply::Recorded("found")]);
        assert_eq!(plugin.ask("testls.bit", "a"), format!("0 {ONION}"));
        assert!(plugin.ask("deep.sub.testls.bit", "a").starts_with("3 \""));
        let mut absences = vec![("never existed", "not registered"), ("expired", "expired")];
        if flavour.is_electrum() {
            absences.extend([
                ("unconfirmed", "not yet safe to use"),
                ("semi-expired", "about to expire"),
            ]);
        }
        for (n, (absence, words)) in absences.into_iter().enumerate() {
            node.script(&format!("d/n{n}"), [Reply::Recorded(absence)]);
            let answer = plugin.ask(&format!("n{n}.bit"), "a");
            assert!(
                answer.starts_with(&format!("3 \"n{n}.bit ")) && answer.contains(words),
                "{flavour:?}, {absence}: {answer}"
            );
        }
        plugin.finish();
    }
}

/// A value is bytes: not ASCII, not UTF-8, empty, as long as can be.
#[test]
fn values_of_every_kind_come_over_the_wire() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        let mut plugin = node.plugin(&[]);
        let long = format!(r#"{{"ip":"192.0.2.8","info":"{}"}}"#, "x".repeat(990));
        for (n, (bytes, expected)) in [
            (
                r#"{"ip": "192.0.2.7", "info": "grüße-日本-😀"}"#.as_bytes(),
                "0 192.0.2.7",
            ),
            (b"{\"\xff\x00\xfe\"}", "3 "),
            (b"", "3 "),
            (b"v2", "3 "),
            (long.as_bytes(), "0 192.0.2.8"),
        ]
        .into_iter()
        .enumerate()
        {
            node.script(&format!("d/v{n}"), [Reply::Value(bytes.to_vec())]);
            let answer = plugin.ask(&format!("v{n}.bit"), "a");
            assert!(answer.starts_with(expected), "{flavour:?}, {n}: {answer}");
        }
        for request in node.name_requests() {
            let options = if flavour.is_electrum() {
                &request.params["options"]
            } else {
                &request.params[1]
            };
            assert_eq!(options["nameEncoding"], "hex", "{request:#?}");
            assert_eq!(options["valueEncoding"], "hex", "{request:#?}");
        }
        plugin.finish();
    }
}

#[test]
fn the_dialect_is_found_out_once() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        let mut plugin = node.plugin(&[]);
        for n in 0..6 {
            node.set(&format!("d/a{n}"), IP);
            assert_eq!(
                plugin.ask(&format!("a{n}.bit"), &format!("i{n}")),
                "0 192.0.2.1"
            );
        }
        let mut log = node.requests();
        log.retain(|one| one.method == "name_show");
        let misunderstood = log.iter().filter(|one| !one.understood).count();
        assert!(misunderstood <= 1, "{flavour:?}: {log:#?}");
        assert_eq!(log.len() - misunderstood, 6, "{flavour:?}: {log:#?}");
        plugin.finish();
    }
}

#[test]
fn a_given_dialect_is_not_found_out() {
    for flavour in Flavour::RECORDED {
        let name = if flavour.is_electrum() {
            "electrum-nmc"
        } else {
            "core"
        };
        let node = Node::start(flavour);
        let mut plugin = node.plugin(&["--rpc-dialect", name]);
        node.set("d/a", IP);
        assert_eq!(plugin.ask("a.bit", "a"), "0 192.0.2.1");
        let mut log = node.requests();
        log.retain(|one| one.method == "name_show");
        assert_eq!(log.len(), 1, "{log:#?}");
        plugin.finish();
    }
}

/// It fails for now, and does not go on without the id.
#[test]
fn a_wrong_dialect_is_a_failure_that_passes() {
    for (flavour, name) in [
        (Flavour::Core, "electrum-nmc"),
        (Flavour::Electrum406, "core"),
        (Flavour::Electrum410, "core"),
    ] {
        let node = Node::start(flavour);
        node.set("d/a", IP);
        let mut plugin = node.plugin(&["--rpc-dialect", name, "--timeout", "0.5"]);
        let answer = plugin.ask("a.bit", "me");
        assert!(answer.starts_with("1 \""), "{flavour:?}: {answer}");
        for request in node.requests() {
            assert_eq!(request.stream.as_deref(), Some("me"), "{request:#?}");
        }
        plugin.finish();
    }
}

/// A lookup that hangs in the middle of finding out holds up no other.
#[test]
fn lookups_do_not_wait_for_the_dialect_to_be_found_out() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        node.set("d/slow", IP);
        node.set("d/fast", IP);
        node.hold("d/slow");
        let mut plugin = node.plugin(&[]);
        plugin.send("RESOLVE 1 slow.bit a");
        node.wait_for("d/slow", 1);
        assert_eq!(plugin.ask("fast.bit", "b"), "0 192.0.2.1", "{flavour:?}");
        node.release("d/slow");
        assert_eq!(plugin.answer("1"), "0 192.0.2.1");
        plugin.finish();
    }
}

/// It serves a node that takes no options, and that means without the id.
#[test]
fn consensusj_is_asked_without_options() {
    let node = Node::start(Flavour::ConsensusJ);
    node.set("d/a", IP);
    let mut plugin = node.plugin(&["--rpc-dialect", "consensusj"]);
    assert_eq!(plugin.ask("a.bit", "a"), "0 192.0.2.1");
    assert_eq!(node.requests()[0].params, json!(["d/a"]));
    // The cache is per id all the same.
    assert_eq!(plugin.ask("a.bit", "b"), "0 192.0.2.1");
    assert_eq!(node.count("d/a"), 2);
    plugin.finish();
}

#[test]
fn consensusj_is_never_chosen_by_itself() {
    let node = Node::start(Flavour::ConsensusJ);
    node.set("d/a", IP);
    let mut plugin = node.plugin(&["--timeout", "0.5"]);
    let answer = plugin.ask("a.bit", "me");
    assert!(answer.starts_with("1 \""), "{answer}");
    assert!(!node.requests().is_empty());
    for request in node.requests() {
        assert_eq!(request.stream.as_deref(), Some("me"), "{request:#?}");
    }
    plugin.finish();
}

// Absence that is none.

/// Core answers so if it is configured to, and a wallet is told so.
#[test]
fn an_expired_value_is_absence() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        node.script("d/old", [Reply::ExpiredValue(IP.into())]);
        node.set("d/a", r#"{"import":"d/old","ip6":"2001:db8::1"}"#);
        let mut plugin = node.plugin(&[]);
        let answer = plugin.ask("old.bit", "a");
        assert!(answer.starts_with("3 \""), "{flavour:?}: {answer}");
        assert!(answer.contains("expired"), "{flavour:?}: {answer}");
        assert_eq!(plugin.ask("a.bit", "a"), "0 2001:db8::1");
        plugin.finish();
    }
}

/// Without headers Electrum-NMC says of every name that it never existed.
#[test]
fn absence_is_not_believed_before_electrum_is_synced() {
    for flavour in [Flavour::Electrum406, Flavour::Electrum410] {
        for heights in [(-1, 211), (210, 211), (211, 0)] {
            let node = Node::start(flavour);
            node.set_heights(Some(heights));
            node.set("d/a", IP);
            let mut plugin = node.plugin(&["--timeout", "0.5"]);
            let answer = plugin.ask("none.bit", "a");
            assert!(
                answer.starts_with("1 \""),
                "{flavour:?}, {heights:?}: {answer}"
            );
            // A value is believed all the same.
            assert_eq!(plugin.ask("a.bit", "a"), "0 192.0.2.1");
            plugin.finish();
        }
    }
}

/// Nor kept: an import that is absent only because the node does not know is
/// not left out of the value.
#[test]
fn an_import_is_not_left_out_before_electrum_is_synced() {
    let node = Node::start(Flavour::Electrum406);
    node.set_heights(Some((-1, 211)));
    node.set("d/a", r#"{"ip":"192.0.2.1","import":"dd/onion"}"#);
    let mut plugin = node.plugin(&["--timeout", "0.5"]);
    let answer = plugin.ask("a.bit", "a");
    assert!(answer.starts_with("1 \""), "{answer}");
    plugin.finish();
}

#[test]
fn electrum_is_asked_once_whether_it_is_synced_and_without_an_id() {
    for (heights, what) in [(Some((250, 250)), "synced"), (None, "does not tell")] {
        let node = Node::start(Flavour::Electrum406);
        node.set_heights(heights);
        let mut plugin = node.plugin(&[]);
        for id in ["a", "b", "c"] {
            let answer = plugin.ask(&format!("none-{id}.bit"), id);
            assert!(answer.starts_with("3 \""), "{what}: {answer}");
        }
        let mut infos = node.requests();
        infos.retain(|one| one.method == "getinfo");
        assert_eq!(infos.len(), 1, "{what}: {infos:#?}");
        let params = infos[0].params.to_string();
        assert!(!params.contains("streamID"), "{what}: {params}");
        plugin.finish();
    }
}

// Connections.

#[test]
fn connections_are_kept() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        let mut plugin = node.plugin(&[]);
        for n in 0..5 {
            // Also after errors, for which Core uses status 500.
            assert!(plugin.ask(&format!("none{n}.bit"), "a").starts_with("3 "));
            node.set(&format!("d/a{n}"), IP);
            assert_eq!(plugin.ask(&format!("a{n}.bit"), "a"), "0 192.0.2.1");
        }
        let log = node.requests();
        // Questions about the node itself may be asked beside a name.
        assert!(log.iter().all(|one| one.connection <= 1), "{log:#?}");
        plugin.finish();
    }
}

/// Core closes after 30 s. Finding the connection closed is no failed attempt:
/// one that failed would make the answer at the deadline 1.
#[test]
fn a_connection_that_was_closed_while_idle_is_replaced_unnoticed() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        let mut plugin = node.plugin(&["--timeout", "0.5"]);
        for n in 0..4 {
            let key = format!("d/a{n}");
            node.set(&key, IP);
            assert_eq!(plugin.ask(&format!("a{n}.bit"), "a"), "0 192.0.2.1");
            assert_eq!(node.count(&key), 1, "{flavour:?}");
            node.close_idle();
        }
        node.hold("d/held");
        let answer = plugin.ask("held.bit", "a");
        assert!(answer.starts_with("4 \""), "{flavour:?}: {answer}");
        node.release("d/held");
        plugin.finish();
    }
}

/// The node may close just when the next request is on its way, which looks
/// like this. It is no failed attempt either.
#[test]
fn a_kept_connection_that_closes_under_a_request_is_replaced_unnoticed() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        let mut plugin = node.plugin(&["--timeout", "0.5"]);
        node.set("d/a", IP);
        assert_eq!(plugin.ask("a.bit", "a"), "0 192.0.2.1");
        if flavour.is_electrum() {
            // The question for its version may have the one connection; then
            // this opens another, and one of the two is free.
            node.wait_for_method("getinfo");
            node.set("d/c", IP);
            assert_eq!(plugin.ask("c.bit", "a"), "0 192.0.2.1");
        }
        node.script("d/b", [Reply::Close, Reply::Hang]);
        let answer = plugin.ask("b.bit", "a");
        assert!(answer.starts_with("4 \""), "{flavour:?}: {answer}");
        assert_eq!(node.count("d/b"), 2, "{flavour:?}: {:#?}", node.requests());
        drop(node);
        plugin.finish();
    }
}

#[test]
fn a_reply_of_more_than_1_mib_is_refused() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        let big = format!(r#"{{"ip":"192.0.2.1","info":"{}"}}"#, "x".repeat(600_000));
        node.script("d/big", [value(&big)]);
        node.set("d/a", IP);
        let mut plugin = node.plugin(&["--timeout", "3"]);
        let answer = plugin.ask("big.bit", "a");
        assert!(answer.starts_with("1 \""), "{flavour:?}: {answer}");
        assert_eq!(plugin.ask("a.bit", "a"), "0 192.0.2.1");
        plugin.finish();
    }
}

#[test]
fn a_node_may_be_named_in_several_ways() {
    let node = Node::start(Flavour::Core);
    node.set("d/a", IP);
    let mut nodes = vec![(format!("localhost:{}", node.port()), node)];
    // Where there is no IPv6, nothing can be said about it.
    if let Ok(node) = Node::start_at(Flavour::Core, "[::1]:0") {
        node.set("d/a", IP);
        nodes.push((format!("[::1]:{}", node.port()), node));
    }
    for (address, node) in nodes {
        let config = node.path("config.toml");
        let mut plugin = Plugin::start(&["--rpc-address", &address, "--config", &config]);
        assert_eq!(plugin.ask("a.bit", "a"), "0 192.0.2.1", "{address}");
        plugin.finish();
    }
}

/// They would carry names past the user's choice.
#[test]
fn proxy_variables_of_the_environment_have_no_influence() {
    let proxy = Node::start(Flavour::Core);
    let node = Node::start(Flavour::Core);
    node.set("d/a", IP);
    proxy.set("d/a", r#"{"ip":"192.0.2.66"}"#);
    let mut start = node.prepare(&[]);
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "https_proxy",
    ] {
        start = start.env(name, &format!("http://{}", proxy.address()));
    }
    let mut plugin = start.env("no_proxy", "").env("NO_PROXY", "").spawn();
    assert_eq!(plugin.line(), "INIT 1 0");
    assert_eq!(plugin.ask("a.bit", "a"), "0 192.0.2.1");
    assert!(proxy.requests().is_empty(), "{:#?}", proxy.requests());
    plugin.finish();
}

/// I5: nothing is asked that was not asked for.
#[test]
fn the_node_hears_nothing_before_it_is_needed() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        let mut plugin = node.plugin(&[]);
        plugin.send("RESOLVE 1\nCANCEL 2\nRESOLVE x a.bit i");
        for name in ["foo.com", "bit", "a..bit", "123.bit", "a_b.bit", "a.onion"] {
            plugin.ask(name, "a");
        }
        let end = run::end(plugin);
        assert_eq!(end.code, Some(0), "{end:#?}");
        assert!(node.requests().is_empty(), "{:#?}", node.requests());
    }
}

#[test]
fn a_bad_configuration_reaches_no_node() {
    let node = Node::start(Flavour::Core);
    let end = run::run(node.prepare(&["--timeout", "soon"]));
    assert_eq!(end.code, Some(1), "{end:#?}");
    assert!(node.requests().is_empty(), "{:#?}", node.requests());
}
