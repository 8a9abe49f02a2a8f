//! What the node is shown as proof, and what happens when it is refused.

use std::fs;

use crate::support::node::{Flavour, Node};
use crate::support::plugin::{Plugin, Start};

const IP: &str = r#"{"ip":"192.0.2.1"}"#;
/// Longer than any test waits: what comes, comes without waiting for it.
const FOREVER: [&str; 2] = ["--timeout", "3600"];

fn cookie(digit: char) -> String {
    format!("__cookie__:{}", digit.to_string().repeat(64))
}

/// A plugin with a cookie file of the test's, and the file's path.
fn with_cookie(node: &Node) -> (Plugin, String) {
    let path = node.path(".cookie");
    let address = node.address();
    let arguments = ["--rpc-address", &address, "--rpc-cookie", &path];
    (Plugin::start(&[&arguments[..], &FOREVER].concat()), path)
}

#[test]
fn refused_credentials_are_answered_at_once_and_not_hammered() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        node.set("d/a", IP);
        node.set_credentials(Some("nmc-user:another"));
        let mut plugin = node.plugin(&FOREVER);
        let answer = plugin.ask("a.bit", "a");
        assert!(answer.starts_with("1 \""), "{flavour:?}: {answer}");
        let count = node.requests().len();
        assert!((1..=2).contains(&count), "{:#?}", node.requests());
        plugin.finish();
    }
}

/// The node may take them later: that they were refused is not remembered.
#[test]
fn credentials_are_tried_again_by_the_next_query() {
    for flavour in Flavour::RECORDED {
        let node = Node::start(flavour);
        node.set("d/a", IP);
        node.set_credentials(Some("nmc-user:another"));
        let mut plugin = node.plugin(&FOREVER);
        assert!(plugin.ask("a.bit", "a").starts_with("1 \""));
        node.set_credentials(Some("nmc-user:nmc-password"));
        assert_eq!(plugin.ask("a.bit", "a"), "0 192.0.2.1", "{flavour:?}");
        plugin.finish();
    }
}

#[test]
fn a_stale_cookie_is_read_again_once() {
    let node = Node::start(Flavour::Core);
    let (mut plugin, path) = with_cookie(&node);
    fs::write(&path, cookie('1')).unwrap();
    node.set_credentials(Some(&cookie('1')));
    node.set("d/a", IP);
    node.set("d/b", IP);
    assert_eq!(plugin.ask("a.bit", "a"), "0 192.0.2.1");
    // The node was started anew.
    fs::write(&path, cookie('2')).unwrap();
    node.set_credentials(Some(&cookie('2')));
    node.close_idle();
    assert_eq!(plugin.ask("b.bit", "a"), "0 192.0.2.1");
    let mut refused = node.requests();
    refused.retain(|one| !one.authorized);
    assert!(refused.len() <= 1, "{refused:#?}");
    plugin.finish();
}

#[test]
fn a_cookie_that_stays_wrong_is_answered_at_once() {
    let node = Node::start(Flavour::Core);
    let (mut plugin, path) = with_cookie(&node);
    fs::write(&path, cookie('1')).unwrap();
    node.set_credentials(Some(&cookie('2')));
    let answer = plugin.ask("a.bit", "a");
    assert!(answer.starts_with("1 \""), "{answer}");
    assert!(node.requests().len() <= 2, "{:#?}", node.requests());
    plugin.finish();
}

/// The node has not been started yet.
#[test]
fn a_missing_cookie_is_looked_for_again() {
    let node = Node::start(Flavour::Core);
    let (mut plugin, path) = with_cookie(&node);
    node.set_credentials(Some(&cookie('3')));
    node.set("d/a", IP);
    plugin.send("RESOLVE 1 a.bit a");
    assert!(plugin.ask("foo.com", "a").starts_with("2 \""));
    fs::write(&path, cookie('3')).unwrap();
    assert_eq!(plugin.answer("1"), "0 192.0.2.1");
    plugin.finish();
}

#[test]
fn a_cookie_that_stays_away_is_a_failure_that_passes() {
    let node = Node::start(Flavour::Core);
    let address = node.address();
    let path = node.path("no/cookie");
    let mut plugin = Plugin::start(&[
        "--rpc-address",
        &address,
        "--rpc-cookie",
        &path,
        "--timeout",
        "0.5",
    ]);
    let answer = plugin.ask("a.bit", "a");
    assert!(answer.starts_with("1 \""), "{answer}");
    assert!(answer.contains("cookie"), "{answer}");
    plugin.finish();
}

/// A cookie file is whatever is at the path.
#[test]
fn a_cookie_file_with_other_content_is_a_failure_that_passes() {
    for content in [&b""[..], b"no colon", b"\xff\xfe:\0", b"a:b\r\nX-Evil: 1"] {
        let node = Node::start(Flavour::Core);
        let path = node.path(".cookie");
        fs::write(&path, content).unwrap();
        let address = node.address();
        let mut plugin = Plugin::start(&[
            "--rpc-address",
            &address,
            "--rpc-cookie",
            &path,
            "--timeout",
            "0.5",
        ]);
        let answer = plugin.ask("a.bit", "a");
        assert!(answer.starts_with("1 \""), "{content:?}: {answer}");
        plugin.finish();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_cookie_is_found_in_the_default_data_directory() {
    let node = Node::start(Flavour::Core);
    node.set("d/a", IP);
    node.set_credentials(Some(&cookie('4')));
    let address = node.address();
    let start = Start::new(&["--rpc-address", &address]);
    let directory = start.home().join(".namecoin");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join(".cookie"), cookie('4')).unwrap();
    let mut plugin = start.spawn();
    assert_eq!(plugin.line(), "INIT 1 0");
    assert_eq!(plugin.ask("a.bit", "a"), "0 192.0.2.1");
    plugin.finish();
}
