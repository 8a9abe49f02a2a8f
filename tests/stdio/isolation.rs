//! What two isolation ids share, seen by the node: nothing.
//! (spec/isolation.md; promises 1, 8 and 9 of SECURITY.md.)

use crate::support::node::{Flavour, Node, Reply};
use crate::support::plugin::Plugin;
use crate::support::run;

const ONION: &str = "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion";
const IP: &str = r#"{"ip":"192.0.2.1"}"#;

/// A plugin that knows the node's dialect already.
fn warm(node: &Node, arguments: &[&str]) -> Plugin {
    node.set("d/warm", IP);
    let mut plugin = node.plugin(arguments);
    assert_eq!(plugin.ask("warm.bit", "warm"), "0 192.0.2.1");
    plugin
}

fn each(test: impl Fn(Flavour, &Node)) {
    for flavour in Flavour::RECORDED {
        test(flavour, &Node::start(flavour));
    }
}

#[test]
fn a_cold_name_costs_one_request_and_a_repeat_none() {
    each(|flavour, node| {
        let mut plugin = warm(node, &[]);
        for (key, name, value, answer) in [
            ("d/ip", "ip.bit", IP.to_owned(), "0 192.0.2.1".to_owned()),
            (
                "d/tor",
                "tor.bit",
                format!(r#"{{"map":{{"_tor":{{"txt":"{ONION}"}}}}}}"#),
                format!("0 {ONION}"),
            ),
            (
                "d/six",
                "six.bit",
                r#"{"ip6":"2001:db8::1"}"#.into(),
                "0 2001:db8::1".into(),
            ),
            (
                "d/alias",
                "alias.bit",
                r#"{"alias":"example.com."}"#.into(),
                "0 example.com".into(),
            ),
        ] {
            node.set(key, &value);
            for _ in 0..3 {
                assert_eq!(plugin.ask(name, "a"), answer, "{flavour:?}");
                assert_eq!(node.count(key), 1, "{flavour:?}: {:#?}", node.requests());
            }
        }
        plugin.finish();
    });
}

/// Every question that is asked about a name, and every subdomain of it, comes
/// from the one value.
#[test]
fn subdomains_and_other_ways_to_ask_cost_nothing_more() {
    each(|flavour, node| {
        let mut plugin = warm(node, &[]);
        node.set(
            "d/a",
            r#"{"ip":"192.0.2.1","map":{"www":{"ip6":"2001:db8::1"}}}"#,
        );
        for name in [
            "a.bit",
            "A.Bit.",
            "a.bit.onion",
            "www.a.bit",
            "x.y.z.a.bit",
            "_tor.a.bit",
            "www.a.bit.onion",
        ] {
            plugin.ask(name, "a");
        }
        assert_eq!(node.count("d/a"), 1, "{flavour:?}: {:#?}", node.requests());
        assert_eq!(node.name_requests().len(), 2, "{flavour:?}");
        plugin.finish();
    });
}

#[test]
fn a_missing_name_costs_one_request_and_a_repeat_none() {
    each(|flavour, node| {
        let mut plugin = warm(node, &[]);
        let absences: &[&str] = if flavour.is_electrum() {
            &["never existed", "expired", "unconfirmed", "semi-expired"]
        } else {
            &["never existed", "expired"]
        };
        for (n, absence) in absences.iter().enumerate() {
            let key = format!("d/gone{n}");
            node.script(&key, [Reply::Recorded(absence)]);
            for _ in 0..3 {
                let answer = plugin.ask(&format!("x.y.gone{n}.bit"), "a");
                assert!(answer.starts_with("3 \""), "{absence}: {answer}");
                assert_eq!(node.count(&key), 1, "{absence}: {:#?}", node.requests());
            }
        }
        plugin.finish();
    });
}

#[test]
fn another_id_asks_again() {
    each(|flavour, node| {
        let mut plugin = warm(node, &[]);
        node.set("d/a", IP);
        let expected = ["x", "y", "X", "x-1"];
        for _ in 0..2 {
            for id in expected {
                plugin.ask("a.bit", id);
                plugin.ask("none.bit", id);
            }
        }
        assert_eq!(node.streams("d/a"), expected, "{flavour:?}");
        assert_eq!(node.streams("d/none"), expected, "{flavour:?}");
        plugin.finish();
    });
}

/// What one id was told stays what it is told, whatever another one learns.
#[test]
fn an_id_keeps_its_own_values() {
    each(|flavour, node| {
        let mut plugin = warm(node, &[]);
        node.set("d/a", IP);
        assert_eq!(plugin.ask("a.bit", "x"), "0 192.0.2.1");
        node.set("d/a", r#"{"ip":"192.0.2.2"}"#);
        assert_eq!(plugin.ask("a.bit", "y"), "0 192.0.2.2");
        assert_eq!(plugin.ask("a.bit", "x"), "0 192.0.2.1");
        assert_eq!(plugin.ask("a.bit", "y"), "0 192.0.2.2");
        assert_eq!(node.streams("d/a"), ["x", "y"], "{flavour:?}");
        plugin.finish();
    });
}

#[test]
fn imports_and_aliases_travel_under_the_id_of_the_query() {
    each(|flavour, node| {
        let mut plugin = warm(node, &[]);
        node.set("d/a", r#"{"alias":"b.bit."}"#);
        node.set("d/b", r#"{"import":"dd/one"}"#);
        node.set("dd/one", r#"{"import":"dd/two"}"#);
        node.set("dd/two", IP);
        for id in ["red", "blue", "red"] {
            assert_eq!(plugin.ask("a.bit", id), "0 192.0.2.1");
        }
        for key in ["d/a", "d/b", "dd/one", "dd/two"] {
            assert_eq!(node.streams(key), ["red", "blue"], "{flavour:?} {key}");
        }
        // By name key: another name that imports the same profits.
        node.set("d/c", r#"{"import":"dd/two"}"#);
        assert_eq!(plugin.ask("c.bit", "red"), "0 192.0.2.1");
        assert_eq!(node.count("dd/two"), 2, "{flavour:?}");
        plugin.finish();
    });
}

/// The id's bytes reach the node as they are.
#[test]
fn ids_reach_the_node_unchanged() {
    each(|flavour, node| {
        let mut plugin = warm(node, &[]);
        node.set("d/a", IP);
        let every: String = ('!'..='~').collect();
        let longest = "i".repeat(1024);
        let ids = [every.as_str(), &longest, "7", "null", "\\u0041", "a,b;c=d"];
        for id in ids {
            plugin.ask("a.bit", id);
        }
        assert_eq!(node.streams("d/a"), ids, "{flavour:?}");
        plugin.finish();
    });
}

/// Also while the dialect is being found out, and when the node fails.
#[test]
fn no_request_for_a_name_is_without_the_id() {
    each(|flavour, node| {
        node.set("d/a", IP);
        node.script(
            "d/fail",
            [
                Reply::Close,
                Reply::Http("503 Service Unavailable", String::new()),
                Reply::Error(-28, "Loading wallet…"),
                Reply::Error(1, "'hex' is not a valid Encoding"),
                Reply::Error(-1, "name_show \"name\" ( options )"),
                Reply::Error(-3, "JSON value is not of expected type"),
                Reply::Http("500 Internal Server Error", "Invalid Request".into()),
                Reply::Recorded("never existed"),
            ],
        );
        node.script(
            "d/refuse",
            [Reply::Error(
                1,
                "name_show() got an unexpected keyword argument 'options'",
            )],
        );
        let mut plugin = node.plugin(&["--timeout", "1"]);
        plugin.ask("a.bit", "me");
        plugin.send("RESOLVE 2 fail.bit me\nRESOLVE 3 refuse.bit me");
        let answers = [plugin.answer("2"), plugin.answer("3")];
        for request in node.requests() {
            if request.method == "name_show" {
                assert_eq!(
                    request.stream.as_deref(),
                    Some("me"),
                    "{flavour:?} {answers:?} {request:#?}"
                );
            }
        }
        plugin.finish();
    });
}

#[test]
fn queries_for_one_name_and_id_share_one_request() {
    each(|flavour, node| {
        let mut plugin = warm(node, &[]);
        node.set("d/a", IP);
        node.hold("d/a");
        plugin.send("RESOLVE 1 a.bit x");
        node.wait_for("d/a", 1);
        plugin.send("RESOLVE 2 a.bit x\nRESOLVE 3 www.a.bit x\nRESOLVE 4 A.BIT.onion x");
        // These are behind them on the wire, so they have been read.
        assert!(plugin.ask("foo.com", "x").starts_with("2 "));
        node.release("d/a");
        assert_eq!(plugin.answer("1"), "0 192.0.2.1");
        assert_eq!(plugin.answer("2"), "0 192.0.2.1");
        assert!(plugin.answer("3").starts_with("3 "));
        assert!(plugin.answer("4").starts_with("3 "));
        assert_eq!(node.count("d/a"), 1, "{flavour:?}");
        plugin.finish();
    });
}

#[test]
fn the_same_name_under_two_ids_is_two_requests_also_at_once() {
    each(|flavour, node| {
        let mut plugin = warm(node, &[]);
        node.set("d/a", IP);
        node.hold("d/a");
        plugin.send("RESOLVE 1 a.bit x\nRESOLVE 2 a.bit y");
        // Both, before either is answered.
        node.wait_for("d/a", 2);
        node.release("d/a");
        assert_eq!(plugin.answer("1"), "0 192.0.2.1");
        assert_eq!(plugin.answer("2"), "0 192.0.2.1");
        let mut streams = node.streams("d/a");
        streams.sort();
        assert_eq!(streams, ["x", "y"], "{flavour:?}");
        plugin.finish();
    });
}

/// A request that was abandoned under one id is no help to another.
#[test]
fn a_lookup_of_one_id_does_not_answer_another() {
    let node = Node::start(Flavour::Core);
    let mut plugin = warm(&node, &[]);
    node.set("d/a", IP);
    node.hold("d/a");
    plugin.send("RESOLVE 1 a.bit x\nRESOLVE 2 a.bit y");
    node.wait_for("d/a", 2);
    plugin.send("CANCEL 1");
    assert_eq!(plugin.line(), "RESOLVED 1000001 0 192.0.2.1");
    assert_eq!(plugin.line(), "CANCELED 1");
    node.release("d/a");
    assert_eq!(plugin.line(), "RESOLVED 2 0 192.0.2.1");
    let end = run::end(plugin);
    assert!(end.stdout.is_empty(), "{end:?}");
}

// Queries that name no activity.

#[test]
fn queries_without_an_id_share_one() {
    let node = Node::start(Flavour::Core);
    let mut plugin = warm(&node, &[]);
    node.set("d/a", IP);
    plugin.send("RESOLVE 1 a.bit");
    assert_eq!(plugin.answer("1"), "0 192.0.2.1");
    plugin.send("RESOLVE 2 a.bit");
    assert_eq!(plugin.answer("2"), "0 192.0.2.1");
    assert_eq!(node.count("d/a"), 1);
    // No id that a client can write is the shared one.
    for id in ["shared", "-", "none", "null"] {
        plugin.ask("a.bit", id);
    }
    assert_eq!(node.count("d/a"), 5, "{:?}", node.streams("d/a"));
    plugin.finish();
}

#[test]
fn made_up_ids_are_never_the_same() {
    let node = Node::start(Flavour::Core);
    let mut plugin = warm(&node, &["--missing-isolation", "unique"]);
    node.set("d/a", IP);
    for query in ["1", "2", "3"] {
        plugin.send(&format!("RESOLVE {query} a.bit"));
        assert_eq!(plugin.answer(query), "0 192.0.2.1");
    }
    let mut streams = node.streams("d/a");
    assert!(!streams.iter().any(|id| id == "<none>"), "{streams:?}");
    streams.sort();
    streams.dedup();
    assert_eq!(streams.len(), 3, "{streams:?}");
    plugin.finish();
}

#[test]
fn refused_queries_do_not_reach_the_node() {
    let node = Node::start(Flavour::Core);
    let mut plugin = warm(&node, &["--missing-isolation", "refuse"]);
    plugin.send("RESOLVE 1 a.bit");
    assert!(plugin.answer("1").starts_with("3 \""));
    assert_eq!(node.count("d/a"), 0);
    plugin.finish();
}

// The caches' bounds.

#[test]
fn the_least_recently_used_name_of_an_id_goes_first() {
    let node = Node::start(Flavour::Core);
    let mut plugin = warm(&node, &["--cache-entries", "2"]);
    for key in ["d/a", "d/b", "d/c"] {
        node.set(key, IP);
    }
    // b is used less recently than a when c comes.
    for name in ["a.bit", "b.bit", "a.bit", "c.bit", "a.bit"] {
        plugin.ask(name, "x");
    }
    assert_eq!((node.count("d/a"), node.count("d/b")), (1, 1));
    plugin.ask("b.bit", "x");
    assert_eq!(node.count("d/b"), 2);
    plugin.finish();
}

#[test]
fn the_names_of_one_id_do_not_displace_those_of_another() {
    let node = Node::start(Flavour::Core);
    let mut plugin = warm(&node, &["--cache-entries", "2"]);
    node.set("d/a", IP);
    plugin.ask("a.bit", "x");
    for n in 0..10 {
        plugin.ask(&format!("n{n}.bit"), "y");
    }
    plugin.ask("a.bit", "x");
    assert_eq!(node.streams("d/a"), ["x"]);
    plugin.finish();
}

#[test]
fn the_least_recently_used_id_goes_first() {
    let node = Node::start(Flavour::Core);
    let mut plugin = warm(&node, &["--cache-isolations", "2"]);
    node.set("d/a", IP);
    for id in ["x", "y", "x", "z", "x", "y"] {
        plugin.ask("a.bit", id);
    }
    assert_eq!(node.streams("d/a"), ["x", "y", "z", "y"]);
    plugin.finish();
}

/// The shortest time to live is none at all.
#[test]
fn values_and_absences_have_times_to_live_of_their_own() {
    for (arguments, values, absences) in [
        (["--cache-ttl", "0"], 2, 1),
        (["--cache-negative-ttl", "0"], 1, 2),
    ] {
        let node = Node::start(Flavour::Core);
        let mut plugin = warm(&node, &arguments);
        node.set("d/a", IP);
        for _ in 0..2 {
            plugin.ask("a.bit", "x");
            plugin.ask("none.bit", "x");
        }
        assert_eq!(
            (node.count("d/a"), node.count("d/none")),
            (values, absences),
            "{arguments:?}"
        );
        plugin.finish();
    }
}

/// Promise 9 of SECURITY.md, with a node that fails in every way.
#[test]
fn neither_names_nor_ids_nor_credentials_reach_stderr() {
    each(|flavour, node| {
        node.set("d/hush-a", IP);
        node.set("d/hush-text", "hush, no domain object");
        node.script("d/hush-close", [Reply::Close]);
        node.script(
            "d/hush-error",
            [Reply::Error(-1, "no d/hush-error for hush")],
        );
        node.script(
            "d/hush-http",
            [Reply::Http("500 hush", "hush-http.bit".into())],
        );
        let mut plugin = node.plugin(&["--timeout", "0.5"]);
        for (query, name) in ["a", "text", "none", "close", "error", "http"]
            .iter()
            .enumerate()
        {
            plugin.send(&format!("RESOLVE {query} hush-{name}.bit hush"));
        }
        plugin.send("RESOLVE 0 hush-a.bit hush\nRESOLVE 7 hush-a.bit");
        node.set_credentials(Some("other:other"));
        plugin.send("RESOLVE 8 hush-late.bit hush");
        let end = run::end(plugin);
        assert_eq!(end.code, Some(0), "{end:#?}");
        for secret in ["hush", "nmc-user", "nmc-password"] {
            assert!(!end.says_on_stderr(secret), "{flavour:?}: {end:#?}");
        }
        for secret in ["nmc-user", "nmc-password"] {
            assert!(!end.says(secret), "{flavour:?}: {end:#?}");
        }
    });
}
