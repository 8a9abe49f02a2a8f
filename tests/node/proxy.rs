//! Nodes behind a SOCKS5 proxy: whose connection is whose, and what the proxy
//! learns.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::LazyLock;
use std::thread;

use crate::support::node::{Flavour, Node};
use crate::support::plugin::{Plugin, Start};
use crate::support::socks::{Manner, ONION, Seen, Socks};
use crate::support::state::write_private;

/// A node that gives every name the same address.
fn node() -> SocketAddr {
    start_node(usize::MAX)
}

/// One that closes a connection after so many answers.
fn start_node(answers: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream, answers));
        }
    });
    address
}

fn answer(mut stream: TcpStream, answers: usize) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    for _ in 0..answers {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if !matches!(reader.read_line(&mut line), Ok(count) if count > 0) {
                return;
            }
            let line = line.trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let request: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let value = data_encoding::HEXLOWER.encode(br#"{"ip":"192.0.2.1"}"#);
        let name = &request["params"][0];
        let body =
            serde_json::json!({"result": {"name": name, "value": value}, "error": null, "id": 1});
        let body = body.to_string();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        if stream.write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

/// The path of a file with credentials.
fn config() -> &'static str {
    static FILE: LazyLock<&str> = LazyLock::new(|| {
        let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/proxy.toml");
        write_private(path, "rpc-user = \"u\"\nrpc-password = \"secret\"\n");
        path
    });
    &FILE
}

fn plugin(proxy: &Socks, node: &str, more: &[&str]) -> Plugin {
    let (proxy, config) = (proxy.address(), config());
    let mut arguments = vec!["--proxy", &proxy, "--rpc-address", node, "--config", config];
    arguments.extend(more);
    Plugin::start(&arguments)
}

#[test]
fn each_isolation_id_has_connections_and_credentials_of_its_own() {
    let proxy = Socks::start(node(), Manner::Honest);
    let mut plugin = plugin(&proxy, &format!("{ONION}:8336"), &[]);
    let ids = ["red", "green", "blue"];
    for round in 0..3 {
        for id in ids {
            let query = format!("{round}{}", id.len());
            let name = format!("{id}{round}.bit");
            assert_eq!(plugin.resolve(&query, &name, id), "0 192.0.2.1");
        }
    }
    let seen = proxy.seen();
    assert_eq!(
        seen.len(),
        ids.len(),
        "an id's connection is used again: {seen:#?}"
    );
    let mut credentials = HashSet::new();
    for connection in &seen {
        assert_eq!(connection.target, format!("{ONION}:8336"));
        assert_eq!(connection.kind, 3, "the name is resolved by the proxy");
        for part in [&connection.user, &connection.password] {
            assert_eq!(part.len(), 32, "128 bits in hexadecimal");
            assert!(credentials.insert(part.clone()), "used twice");
        }
        // One connection carries one id, and the credentials say nothing of it.
        let sent = String::from_utf8_lossy(&connection.sent).into_owned();
        let carried = ids
            .iter()
            .filter(|id| sent.contains(&format!("\"streamID\":\"{id}\"")));
        assert_eq!(carried.count(), 1, "{sent}");
    }
    plugin.finish();
}

#[test]
fn credentials_are_fresh_in_every_run() {
    let proxy = Socks::start(node(), Manner::Honest);
    for _ in 0..2 {
        let mut plugin = plugin(&proxy, &format!("{ONION}:8336"), &[]);
        assert_eq!(plugin.resolve("1", "same.bit", "same"), "0 192.0.2.1");
        plugin.finish();
    }
    let seen = proxy.seen();
    assert_ne!(seen[0].user, seen[1].user);
    assert_ne!(seen[0].password, seen[1].password);
}

#[test]
fn a_new_connection_of_an_id_has_new_credentials() {
    let proxy = Socks::start(start_node(1), Manner::Honest);
    let mut plugin = plugin(&proxy, &format!("{ONION}:8336"), &[]);
    for query in 1..=3 {
        let name = format!("n{query}.bit");
        assert_eq!(
            plugin.resolve(&query.to_string(), &name, "a"),
            "0 192.0.2.1"
        );
        proxy.wait("closed", |seen| seen.iter().all(|one| one.closed));
    }
    let users: HashSet<_> = proxy.seen().into_iter().map(|one| one.user).collect();
    assert_eq!(users.len(), 3);
    plugin.finish();
}

/// `getinfo` and `getconfig` travel with no query, whatever caused them: a query
/// without an id must find no connection that another id's query opened.
#[test]
fn questions_about_the_node_have_a_connection_of_their_own() {
    let node = Node::start(Flavour::Electrum406);
    node.set("d/known", r#"{"ip":"192.0.2.1"}"#);
    let upstream = node.address().parse().unwrap();
    let proxy = Socks::start(upstream, Manner::Honest);
    let (address, file) = (proxy.address(), node.path("config.toml"));
    let arguments = [
        "--proxy",
        &address,
        "--rpc-address",
        ONION,
        "--config",
        &file,
    ];
    let mut plugin = Plugin::start(&arguments);
    // An absence is believed when the node says that it has caught up.
    assert!(plugin.resolve("1", "absent.bit", "red").starts_with("3 "));
    node.wait_for_method("getinfo");
    assert_eq!(plugin.resolve("2", "known.bit", "red"), "0 192.0.2.1");
    plugin.send("RESOLVE 3 known.bit");
    assert_eq!(plugin.answer("3"), "0 192.0.2.1");
    assert!(plugin.resolve("4", "absent.bit", "blue").starts_with("3 "));
    plugin.finish();
    let mut kinds = Vec::new();
    for connection in proxy.seen() {
        let sent = String::from_utf8_lossy(&connection.sent).into_owned();
        let kind = ["red", "blue"].map(|id| sent.contains(&format!("\"streamID\":\"{id}\"")));
        let asks_names = sent.contains("name_show");
        let asks_node = sent.contains("getinfo") || sent.contains("getconfig");
        assert_ne!(asks_names, asks_node, "{sent}");
        kinds.push((asks_node, kind));
    }
    kinds.sort_unstable();
    let expected = [
        (false, [false, false]),
        (false, [false, true]),
        (false, [true, false]),
        (true, [false, false]),
    ];
    assert_eq!(kinds, expected);
}

/// An id that was evicted and comes back is a new one to the proxy.
#[test]
fn an_evicted_id_gets_another_connection() {
    let proxy = Socks::start(node(), Manner::Honest);
    let mut plugin = plugin(&proxy, ONION, &["--cache-isolations", "1"]);
    for (name, id) in [("one.bit", "a"), ("two.bit", "b"), ("three.bit", "a")] {
        assert_eq!(plugin.ask(name, id), "0 192.0.2.1");
    }
    assert_eq!(proxy.seen().len(), 3);
    plugin.finish();
}

/// Each evicted id's connection stays for up to a minute. Of thirty the first
/// is gone soon, and not all at once.
#[test]
fn connections_of_evicted_ids_close_one_by_one() {
    let proxy = Socks::start(node(), Manner::Honest);
    let mut plugin = plugin(&proxy, ONION, &["--cache-isolations", "1"]);
    for id in 0..31 {
        assert_eq!(plugin.ask("one.bit", &id.to_string()), "0 192.0.2.1");
    }
    let closed = |seen: &[Seen]| seen.iter().filter(|one| one.closed).count();
    proxy.wait("the end of a connection", |seen| closed(seen) > 0);
    let seen = proxy.seen();
    assert_eq!(seen.len(), 31);
    assert!(closed(&seen) < 15, "{}", closed(&seen));
    plugin.finish();
}

#[test]
fn a_node_that_is_no_onion_is_warned_about() {
    let proxy = Socks::start(node(), Manner::Honest);
    let mut plugin = plugin(&proxy, "node.example.com:8336", &[]);
    plugin.complaint("sees the password");
    assert_eq!(plugin.resolve("1", "one.bit", "a"), "0 192.0.2.1");
    assert_eq!(proxy.seen()[0].target, "node.example.com:8336");
    plugin.finish();
}

#[test]
fn a_silent_proxy_is_bounded_by_the_deadline() {
    let proxy = Socks::start(node(), Manner::Silent);
    let mut plugin = plugin(&proxy, &format!("{ONION}:8336"), &["--timeout", "0.3"]);
    let answer = plugin.resolve("1", "one.bit", "a");
    assert!(answer.starts_with("4 "), "{answer}");
    plugin.finish();
}

#[test]
fn a_proxy_that_cannot_reach_the_node_is_a_failure_that_passes() {
    let proxy = Socks::start(node(), Manner::Refusing);
    let mut plugin = plugin(&proxy, &format!("{ONION}:8336"), &["--timeout", "2"]);
    let answer = plugin.resolve("1", "one.bit", "a");
    assert!(answer.starts_with("1 "), "{answer}");
    assert!(answer.contains("the proxy "), "{answer}");
    plugin.finish();
}

/// A name by which the system's resolver finds this machine, and which is not
/// `localhost`, since no proxy leads there. Where the system has none, a way
/// around the proxy would be seen only as another message.
fn own_name() -> (String, IpAddr) {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let known = hosts.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        let name = words.find(|name| *name != "localhost" && !name.ends_with('.'))?;
        (address.is_loopback() && TcpListener::bind((address, 0)).is_ok())
            .then(|| (name.to_owned(), address))
    });
    known.unwrap_or_else(|| ("localhost.localdomain".to_owned(), [127, 0, 0, 1].into()))
}

#[test]
fn a_dead_proxy_is_never_gone_around() {
    let dead = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (name, address) = own_name();
    let real = TcpListener::bind((address, 0)).unwrap();
    let node = format!("{name}:{}", real.local_addr().unwrap().port());
    let dead = dead.to_string();
    let config = config();
    let arguments = [
        "--proxy",
        &dead,
        "--rpc-address",
        &node,
        "--config",
        config,
        "--timeout",
        "2",
    ];
    let mut plugin = Plugin::start(&arguments);
    let answer = plugin.resolve("1", "one.bit", "a");
    assert!(answer.starts_with("1 "), "{answer}");
    // It is not the node that is to be looked after.
    let words = format!("the proxy at {dead} refuses connections");
    assert!(answer.contains(&words), "{answer}");
    real.set_nonblocking(true).unwrap();
    assert!(
        real.accept().is_err(),
        "a connection was opened beside the proxy"
    );
    plugin.finish();
}

#[test]
fn a_node_on_this_machine_is_not_reached_through_a_proxy() {
    let mut plugin = Start::new(&["--proxy", "127.0.0.1:9050", "--delegations", "off"]).spawn();
    let line = plugin.line();
    assert!(line.starts_with("INIT 1 1 \"proxy"), "{line}");
    assert_eq!(plugin.wait().code(), Some(1));
}
