//! HTTP: connections, bounds, deadlines.

use std::io::Read;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use ncprop279::config::settings::{DialectSetting, NodeAddress};
use ncprop279::snapshot::{FetchErrorKind, NameKey};
use ncprop279::source::Source;

use crate::support::node::scripted::{
    Act, NAME, Node, Request, fetch, good, id, is_value, limit, password, recorded, source,
};

fn answer_body(act: Act) -> String {
    match act {
        Act::Answer(_, body) => body,
        _ => panic!("no answer"),
    }
}

/// What becomes of a fetch if the node sends these bytes and closes.
fn kind_of(bytes: Vec<u8>) -> FetchErrorKind {
    let node = Node::start(move |_, _| Act::Raw(bytes.clone()));
    let failure = fetch(&node.source(DialectSetting::Auto), NAME).unwrap_err();
    assert_eq!(node.requests().len(), 1);
    failure.kind
}

#[test]
fn requests_name_the_program_and_nothing_else() {
    let node = Node::start(|_, _| good());
    assert!(is_value(&fetch(&node.source(DialectSetting::Auto), NAME)));
    let head = &node.requests()[0].head;
    assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("user-agent: ncprop279\r\n"), "{head}");
    assert!(
        head.contains("content-type: application/json\r\n"),
        "{head}"
    );
}

#[test]
fn a_connection_is_kept_and_used_again() {
    let node = Node::start(|_, _| good());
    let source = node.source(DialectSetting::Auto);
    for _ in 0..5 {
        assert!(is_value(&fetch(&source, NAME)));
    }
    let requests = node.requests();
    assert_eq!(requests.len(), 5);
    assert!(requests.iter().all(|request| request.connection == 0));
}

#[test]
fn errors_do_not_cost_the_connection() {
    let node = Node::start(|number, _| match number {
        0 => recorded("core", "never-1.0"),
        1 => recorded("core", "stopping"),
        2 => recorded("electrum-4.0.6", "forbidden"),
        _ => good(),
    });
    let source = node.source(DialectSetting::Auto);
    for _ in 0..4 {
        let _ = fetch(&source, NAME);
    }
    let requests = node.requests();
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|request| request.connection == 0));
}

#[test]
fn many_fetches_at_once_use_many_connections_which_are_kept() {
    let barrier = std::sync::Arc::new(std::sync::Barrier::new(64));
    let together = std::sync::Arc::clone(&barrier);
    let node = Node::start(move |number, _| {
        if number < 128 {
            together.wait();
        }
        good()
    });
    let source = node.source(DialectSetting::Auto);
    for _ in 0..2 {
        std::thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| assert!(is_value(&fetch(&source, NAME))));
            }
        });
    }
    let connections = node.requests().iter().map(|r| r.connection).max();
    assert_eq!(connections, Some(63));
}

#[test]
fn a_connection_closed_while_idle_is_replaced() {
    let node = Node::start(|_, _| {
        let body = answer_body(good());
        Act::AnswerAndClose(200, body)
    });
    let source = node.source(DialectSetting::Auto);
    for _ in 0..5 {
        assert!(is_value(&fetch(&source, NAME)));
    }
}

#[test]
fn a_connection_closed_at_the_moment_of_its_use_is_replaced() {
    let node = Node::start(|number, _| match number {
        1 => Act::Close,
        _ => good(),
    });
    let source = node.source(DialectSetting::Auto);
    assert!(is_value(&fetch(&source, NAME)));
    assert!(is_value(&fetch(&source, NAME)));
    let connections: Vec<_> = node.requests().iter().map(|r| r.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[test]
fn a_connection_is_not_replaced_by_another_one_that_was_closed() {
    let together = std::sync::Barrier::new(2);
    let node = Node::start(move |number, request: &Request| {
        if number < 2 {
            together.wait();
        } else if request.connection < 2 {
            return Act::Close;
        }
        good()
    });
    let source = node.source(DialectSetting::Auto);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert!(is_value(&fetch(&source, NAME))));
        }
    });
    assert!(is_value(&fetch(&source, NAME)));
    assert_eq!(node.requests().len(), 4);
}

#[test]
fn a_replaced_connection_is_not_replaced_again() {
    let node = Node::start(|number, _| match number {
        0 => good(),
        _ => Act::Close,
    });
    let source = node.source(DialectSetting::Auto);
    assert!(is_value(&fetch(&source, NAME)));
    let failure = fetch(&source, NAME).unwrap_err();
    assert_eq!(failure.kind, FetchErrorKind::Unreachable);
    assert_eq!(node.requests().len(), 3);
}

#[test]
fn a_new_connection_that_breaks_is_a_failure_at_once() {
    assert_eq!(kind_of(Vec::new()), FetchErrorKind::Unreachable);
    assert_eq!(
        kind_of(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec()),
        FetchErrorKind::Unreachable
    );
}

#[test]
fn a_refused_connection_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = NodeAddress {
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
    };
    drop(listener);
    let source = source(&address, DialectSetting::Auto, password());
    let failure = fetch(&source, NAME).unwrap_err();
    assert_eq!(failure.kind, FetchErrorKind::Unreachable);
    assert!(failure.message.contains(&address.to_string()), "{failure}");
}

#[test]
fn garbage_is_a_bad_reply() {
    assert_eq!(
        kind_of(b"SSH-2.0-x\r\n\r\n".to_vec()),
        FetchErrorKind::BadReply
    );
    assert_eq!(
        kind_of(b"HTTP/1.1 200 OK\r\n\r\n\0\xff".to_vec()),
        FetchErrorKind::BadReply
    );
}

#[test]
fn a_wrong_length_is_noticed() {
    let body = answer_body(good());
    let with = |length: usize| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
    };
    assert_eq!(kind_of(with(body.len() + 10)), FetchErrorKind::Unreachable);
    assert_eq!(kind_of(with(body.len() - 10)), FetchErrorKind::BadReply);
}

#[test]
fn long_answers_are_refused() {
    // An answer of 1 MiB is taken, one byte more is not.
    let start = r#"{"result":{"value":"7b7d"},"x":""#;
    let sized = move |length: usize| {
        let filler = length - start.len() - 2;
        format!("{start}{}\"}}", "x".repeat(filler))
    };
    let node = Node::start(move |number, _| Act::Answer(200, sized((1 << 20) + number)));
    let source = node.source(DialectSetting::Auto);
    assert!(is_value(&fetch(&source, NAME)));
    let failure = fetch(&source, NAME).unwrap_err();
    assert_eq!(failure.kind, FetchErrorKind::BadReply);
    assert!(failure.message.contains("too long"), "{failure}");

    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(100_000));
    assert_eq!(kind_of(endless.into_bytes()), FetchErrorKind::BadReply);
}

#[test]
fn redirections_are_not_followed() {
    let other = Node::start(|_, _| good());
    for status in [301, 302, 303, 307, 308] {
        let target = other.address.to_string();
        let bytes = format!(
            "HTTP/1.1 {status} Moved\r\nLocation: http://{target}/\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(kind_of(bytes.into_bytes()), FetchErrorKind::BadReply);
    }
    assert!(other.requests().is_empty());
}

#[test]
fn a_silent_node_costs_no_more_than_the_deadline() {
    for act in [
        || Act::Silence,
        || Act::Raw(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
    ] {
        let node = Node::start(move |_, _| act());
        let mut limit = limit();
        limit.deadline = Instant::now() + Duration::from_millis(300);
        let key = NameKey::new(NAME).unwrap();
        let source = node.source(DialectSetting::Auto);
        let failure = source.fetch(&id("a"), &key, &limit).unwrap_err();
        if matches!(act(), Act::Silence) {
            assert_eq!(failure.kind, FetchErrorKind::TimedOut);
        }
        assert!(node.requests().len() <= 1);
    }
}

#[test]
fn nothing_is_sent_after_the_deadline_or_a_cancellation() {
    let node = Node::start(|_, _| good());
    let source = node.source(DialectSetting::Auto);
    let key = NameKey::new(NAME).unwrap();
    let mut over = limit();
    over.deadline = Instant::now();
    let cancelled = limit();
    cancelled.cancel.set();
    for limit in [over, cancelled] {
        let failure = source.fetch(&id("a"), &key, &limit).unwrap_err();
        assert_eq!(failure.kind, FetchErrorKind::TimedOut);
    }
    assert!(node.requests().is_empty());
}

#[test]
fn a_cancellation_is_seen_between_two_requests() {
    let limit = limit();
    let cancel = limit.cancel.clone();
    let node = Node::start(move |_, _| {
        cancel.set();
        recorded("electrum-4.0.6", "refused")
    });
    let key = NameKey::new(NAME).unwrap();
    let source = node.source(DialectSetting::Auto);
    assert!(source.fetch(&id("a"), &key, &limit).is_err());
    assert_eq!(node.requests().len(), 1);
}

#[test]
fn localhost_is_either_loopback_address() {
    for host in ["127.0.0.1", "::1"] {
        let Ok(node) = Node::listen(host, |_, _| good()) else {
            continue; // a machine without IPv6
        };
        for name in ["localhost", "LOCALHOST", host] {
            let address = NodeAddress {
                host: name.into(),
                port: node.address.port,
            };
            let source = source(&address, DialectSetting::Auto, password());
            assert!(is_value(&fetch(&source, NAME)), "{name} for {host}");
        }
    }
}

/// Runs itself a second time with proxy variables, which point to a listener
/// that must see nothing.
#[test]
fn proxy_variables_are_ignored() {
    const MARK: &str = "NCPROP279_TEST_WITH_PROXY";
    if std::env::var_os(MARK).is_some() {
        let node = Node::start(|_, _: &Request| good());
        assert!(is_value(&fetch(&node.source(DialectSetting::Auto), NAME)));
        return;
    }
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let port = trap.local_addr().unwrap().port();
    let mut child = Command::new(std::env::current_exe().unwrap());
    let (_, module) = module_path!().split_once("::").unwrap();
    child.args(["--exact", &format!("{module}::proxy_variables_are_ignored")]);
    child
        .env(MARK, "1")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        child.env(name, format!("http://127.0.0.1:{port}"));
        child.env(name.to_lowercase(), format!("socks5://127.0.0.1:{port}"));
    }
    let output = child.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    if let Ok((mut stream, _)) = trap.accept() {
        let mut seen = String::new();
        let _ = stream.read_to_string(&mut seen);
        panic!("the proxy was used: {seen}");
    }
}
