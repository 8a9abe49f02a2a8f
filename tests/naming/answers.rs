//! What becomes of a plugin's answers, however it means them.

use serde_json::{Map, json};

use super::*;
use crate::support::serve::CONNECT;

#[test]
fn every_kind_of_answer_reaches_the_client() {
    let world = World::new(json!({
        "address.test": address(1),
        "host.test": [["RESOLVED {id} 0 www.example.com"]],
        "onion.test": [[format!("RESOLVED {{id}} 0 {ONION}")]],
        "six.test": [["RESOLVED {id} 0 2001:db8::1"]],
        "gone.test": [["RESOLVED {id} 3 \"not <here>\""]],
        "a.b.test": address(2),
        "test": address(3),
    }));
    assert_eq!(world.address("address.test"), [192, 0, 2, 1]);
    assert_eq!(world.address("ADDRESS.Test."), [192, 0, 2, 1]);
    assert_eq!(world.address("a.b.test"), [192, 0, 2, 2]);
    assert_eq!(world.address("test"), [192, 0, 2, 3]);
    assert_eq!(world.resolve("six.test").bytes[3], 4);
    assert_eq!(world.code("gone.test"), NO_SUCH_NAME);
    assert_eq!(world.code("onion.test"), NO_SUCH_NAME);
    let (code, page) = world.page("gone.test");
    assert!(code == 404 && page.ends_with("not <here>\n"), "{page}");
    for (name, target) in [
        ("host.test", "www.example.com"),
        ("onion.test", ONION),
        ("address.test", "192.0.2.1"),
    ] {
        world.tor.on(target, refusal());
        let ask = Ask::new(Protocol::Socks5, name).command(CONNECT);
        assert_eq!(world.serve.ask(&ask).code, 1);
        world.tor.wait(target, |asked| {
            asked.iter().any(|one| one.request.host_text() == target)
        });
    }
    // Our own names are still ours.
    assert_eq!(world.address("example.bit"), [192, 0, 2, 77]);
    assert!(world.queries("example.bit").is_empty());
    // The plugin reads names in lower case, without a final dot.
    assert_eq!(world.queries("address.test").len(), 3);
    assert_eq!(world.noted()[1], "VERSION 1");
    for asked in world.tor.asked() {
        assert!(!asked.request.host_text().ends_with("test"));
    }
}

#[test]
fn answers_that_tor_refuses_are_no_such_name() {
    let bad_onion = ONION.replacen('7', "6", 1);
    let hostile = [
        "127.0.0.1",
        "10.1.2.3",
        "::1",
        "0x7f.1",
        &bad_onion,
        "example.bit",
        "A.BIT.",
        "example.bit.onion",
        "other.test",
        "test",
        "localhost",
        "a.local",
        "a.exit",
        "",
        "\u{1b}]0;x\u{7}.com",
        "a\u{0}.com",
        "\u{fc}.com",
        "a.com:80",
    ];
    let mut entries = Map::new();
    for (number, answer) in hostile.iter().enumerate() {
        let line = format!("RESOLVED {{id}} 0 {answer}");
        entries.insert(format!("n{number}.test"), json!([[line]]));
    }
    let world = World::new(entries.into());
    for (number, answer) in hostile.iter().enumerate() {
        let name = format!("n{number}.test");
        assert_eq!(world.code(&name), NO_SUCH_NAME, "{answer:?}");
        let (code, page) = world.page(&name);
        assert_eq!(code, 404, "{answer:?}");
        assert!(page.contains("the answer of the naming plugin cannot be used"));
        assert!(page.bytes().all(|byte| byte.is_ascii() && byte != 0x1b));
    }
    assert!(world.tor.asked().is_empty());
}

/// A failure is permanent unless the protocol says otherwise.
#[test]
fn other_statuses_are_no_such_name_with_the_plugins_reason() {
    let mut entries = Map::new();
    let statuses = ["2", "3", "5", "99", "x", "-1"];
    for status in statuses {
        let line = format!("RESOLVED {{id}} {status} \"because\u{1b}[31m \\\"so\\\"\"");
        entries.insert(format!("s{status}.test"), json!([[line]]));
    }
    let world = World::new(entries.into());
    for status in statuses {
        let (code, page) = world.page(&format!("s{status}.test"));
        assert_eq!(code, 404, "{status}");
        assert!(page.contains("because\\u{1b}[31m "), "{page}");
        assert_eq!(world.queries(&format!("s{status}.test")).len(), 1);
    }
}

/// Lines that answer nothing do no harm to those that do.
#[test]
fn hostile_lines_are_ignored() {
    let good = "RESOLVED {id} 0 192.0.2.1";
    let other = "RESOLVED {id} 0 192.0.2.2";
    let world = World::new(json!({
        "twice.test": [[good, other, other]],
        "wrong.test": [[
            "RESOLVED 0 0 192.0.2.2",
            "RESOLVED 18446744073709551615 0 192.0.2.2",
            "RESOLVED 99999999999999999999 0 192.0.2.2",
            "RESOLVED x 0 192.0.2.2",
            "RESOLVED -{id} 0 192.0.2.2",
            "RESOLVED {id}",
            "RESOLVED",
            "CANCELED {id}",
            "INIT 1 1 \"again\"",
            "NONSENSE {id} 0 192.0.2.2",
            "",
            "\u{0}\u{1}",
            good,
        ]],
        "long.test": [["!long", good]],
    }));
    for name in ["twice.test", "wrong.test", "long.test", "twice.test"] {
        assert_eq!(world.address(name), [192, 0, 2, 1], "{name}");
    }
    assert_eq!(world.wait_for_starts(1).len(), 1);
    let said = world.serve.process.said_on_stderr();
    assert!(!said.iter().any(|line| line.contains("naming plugin")));
}

#[test]
fn names_that_could_break_a_line_are_not_asked_for() {
    let world = World::new(json!({}));
    for host in [
        "a b.test",
        "a.test\nRESOLVE 9 b.test",
        "a.test\0.example.com",
        "a\r.test",
        "\u{fc}.test",
        "a..test",
        ".test",
        "a.test:80",
        "http://a.test/",
        &format!("{}.test", "a".repeat(64)),
    ] {
        assert_eq!(world.code(host), NO_SUCH_NAME, "{host:?}");
    }
    assert_eq!(world.code("a.test"), NO_SUCH_NAME);
    let lines = world.noted().len();
    assert_eq!(lines, 3, "{:#?}", world.noted());
    assert!(world.tor.asked().is_empty());
}

#[test]
fn only_onion_services_if_so_set() {
    let world = World::with(
        json!({
            "address.test": address(1),
            "onion.test": [[format!("RESOLVED {{id}} 0 {ONION}")]],
        }),
        &["--only-onion"],
    );
    world.tor.on(ONION, refusal());
    assert_eq!(
        world.serve.code(Protocol::Socks5, "address.test"),
        NO_SUCH_NAME
    );
    assert_eq!(world.serve.code(Protocol::Socks5, "onion.test"), 1);
}
