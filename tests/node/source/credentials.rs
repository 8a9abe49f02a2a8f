//! Passwords and cookies.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use ncprop279::config::settings::{Credentials, DialectSetting};
use ncprop279::snapshot::{FetchErrorKind, NameKey};
use ncprop279::source::Source;
use ncprop279::source::rpc::RpcSource;

use crate::support::node::scripted::{
    Act, NAME, Node, Request, fetch, good, id, is_value, limit, recorded, source,
};

// `__cookie__:new` and `user:correct horse` in base64.
const NEW_COOKIE: &str = "authorization: Basic X19jb29raWVfXzpuZXc=\r\n";
const PASSWORD: &str = "authorization: Basic dXNlcjpjb3JyZWN0IGhvcnNl\r\n";

struct Cookie {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

impl Cookie {
    fn absent() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            path: directory.path().join(".cookie"),
            _directory: directory,
        }
    }

    fn write(&self, content: &str) {
        fs::write(&self.path, content).unwrap();
    }

    fn source(&self, node: &Node) -> RpcSource {
        let credentials = Credentials::Cookie(self.path.clone());
        source(&node.address, DialectSetting::Auto, credentials)
    }
}

fn takes_new_cookie() -> Node {
    Node::start(|_, request: &Request| {
        if request.head.contains(NEW_COOKIE) {
            good()
        } else {
            Act::Answer(401, String::new())
        }
    })
}

#[test]
fn a_password_is_sent() {
    let node = Node::start(|_, _| good());
    assert!(is_value(&fetch(&node.source(DialectSetting::Auto), NAME)));
    assert!(node.requests()[0].head.contains(PASSWORD));
}

/// A connection's buffer holds the longest header; a longer body is sent in
/// pieces.
#[test]
fn the_longest_password_and_isolation_id_are_sent() {
    let node = Node::start(|_, _| recorded("electrum-4.0.6", "existing"));
    let credentials = Credentials::Password {
        user: "user".into(),
        password: "p".repeat(4096 - "user:".len()),
    };
    let source = source(&node.address, DialectSetting::ElectrumNmc, credentials);
    let key = NameKey::new(&format!("d/{}", "n".repeat(253))).unwrap();
    // Each byte is escaped in JSON.
    let isolation = "\"".repeat(1024);
    let _ = source.fetch(&id(&isolation), &key, &limit());
    let requests = node.name_requests();
    let base64 = "cHBw".repeat(2000 / 3);
    assert!(requests[0].head.contains(&base64), "{}", requests[0].head);
    assert_eq!(requests[0].stream_id(), Some(isolation.as_str()));
    let name = "6e".repeat(253);
    assert!(requests[0].body.to_string().contains(&name));
}

#[test]
fn a_refused_password_is_not_sent_again() {
    for (server, case) in [
        ("electrum-4.0.6", "forbidden"),
        ("electrum-4.0.6", "unauthorized"),
    ] {
        let node = Node::start(move |_, _| recorded(server, case));
        let failure = fetch(&node.source(DialectSetting::Auto), NAME).unwrap_err();
        assert_eq!(failure.kind, FetchErrorKind::Credentials);
        assert!(failure.message.contains("--rpc-user"), "{failure}");
        assert_eq!(
            failure.message.contains("rpcwhitelist"),
            case == "forbidden",
            "{failure}"
        );
        assert_eq!(node.requests().len(), 1);
    }
}

#[test]
fn the_cookie_is_read_at_the_first_fetch_and_kept() {
    let node = takes_new_cookie();
    let cookie = Cookie::absent();
    let source = cookie.source(&node);
    cookie.write("__cookie__:new");
    assert!(is_value(&fetch(&source, NAME)));
    fs::remove_file(&cookie.path).unwrap();
    assert!(is_value(&fetch(&source, NAME)));
    assert_eq!(node.requests().len(), 2);
}

#[test]
fn a_changed_cookie_is_read_again_without_the_query_noticing() {
    let node = takes_new_cookie();
    let cookie = Cookie::absent();
    cookie.write("__cookie__:old");
    let source = cookie.source(&node);
    fetch(&source, NAME).unwrap_err();
    cookie.write("__cookie__:new\n");
    assert!(is_value(&fetch(&source, NAME)));
    assert!(is_value(&fetch(&source, NAME)));
    // Refused; refused and repeated; at once.
    assert_eq!(node.requests().len(), 4);
}

#[test]
fn an_unchanged_cookie_is_not_sent_again() {
    let node = Node::start(|_, _| Act::Answer(401, String::new()));
    let cookie = Cookie::absent();
    cookie.write("__cookie__:new");
    let failure = fetch(&cookie.source(&node), NAME).unwrap_err();
    assert_eq!(failure.kind, FetchErrorKind::Credentials);
    assert!(!failure.kind.is_retried());
    assert_eq!(node.requests().len(), 1);
}

#[test]
fn two_refusals_are_the_end() {
    let cookie = Arc::new(Cookie::absent());
    cookie.write("__cookie__:0");
    let file = Arc::clone(&cookie);
    let node = Node::start(move |number, _| {
        file.write(&format!("__cookie__:changed-{number}"));
        Act::Answer(401, String::new())
    });
    let failure = fetch(&cookie.source(&node), NAME).unwrap_err();
    assert_eq!(failure.kind, FetchErrorKind::Credentials);
    assert!(!failure.message.contains("changed"), "{failure}");
    assert_eq!(node.requests().len(), 2);
}

#[test]
fn a_missing_cookie_says_what_to_do() {
    let node = Node::start(|_, _| good());
    let cookie = Cookie::absent();
    let source = cookie.source(&node);
    let failure = fetch(&source, NAME).unwrap_err();
    assert_eq!(failure.kind, FetchErrorKind::File);
    assert!(failure.message.contains(cookie.path.to_str().unwrap()));
    assert!(
        failure
            .message
            .contains("is the node running, with server=1")
    );
    assert!(node.requests().is_empty());
    cookie.write("__cookie__:new");
    assert!(is_value(&fetch(&source, NAME)));
}

#[test]
fn without_a_home_directory_the_settings_are_named() {
    let node = Node::start(|_, _| good());
    let credentials = Credentials::DefaultCookie(None);
    let source = source(&node.address, DialectSetting::Auto, credentials);
    let failure = fetch(&source, NAME).unwrap_err();
    assert_eq!(failure.kind, FetchErrorKind::File);
    assert!(failure.message.contains("--rpc-cookie"), "{failure}");
    assert!(failure.message.contains("--rpc-user"), "{failure}");
}

#[test]
fn debug_shows_no_credentials() {
    let node = Node::start(|_, _| good());
    let source = node.source(DialectSetting::Auto);
    fetch(&source, NAME).unwrap();
    let shown = format!("{source:?}");
    assert!(
        !shown.contains("horse") && !shown.contains("dXNlc"),
        "{shown}"
    );
}
