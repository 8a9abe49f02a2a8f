//! How a connection goes: greeting, order, delays, limits and notifications.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Client, request};
use crate::support::electrum::chain::Chain;
use crate::support::electrum::names::script_hash;
use crate::support::electrum::{Electrum, Limits, Options, Version};

const TESTLS: &str = "b519574e96740a4b3627674a0708e71a73e654a95117fc828b8e177a0579ab42";
const TXID: &str = "d82b60bbfc20f5155394a5caaec7c456d7685ba772067eb0c6ad5aae6387a17c";

fn recorded(version: Version) -> Electrum {
    Electrum::start(Chain::recorded(), Options::new(version))
}

#[test]
fn a_request_before_the_greeting() {
    let history = request(1, "blockchain.scripthash.get_history", &json!([TESTLS]));
    let electrum = recorded(Version::V1_15);
    let mut client = Client::connect(electrum.address());
    client.send(&history);
    assert_eq!(client.value()["result"][3]["tx_hash"], TXID);

    let electrum = recorded(Version::V2_0b1);
    let mut client = Client::connect(electrum.address());
    client.send(&history);
    let line = client.line().unwrap();
    assert!(line.starts_with("{\"jsonrpc\":\"2.0\",\"method\":\"blockchain.relayfee\"   "));
    assert_eq!(line.len(), 1024);
    assert_eq!(client.line(), None);
    electrum.wait("the end", |log| log[0].closed);
}

#[test]
fn a_version_that_the_server_does_not_speak_ends_the_connection() {
    let electrum = recorded(Version::V1_15);
    let mut client = Client::connect(electrum.address());
    let message = client.error("server.version", json!(["test", "1.4.3"]));
    assert_eq!(message, "unsupported protocol version: 1.4.3");
    assert_eq!(client.line(), None);
}

#[test]
fn what_a_client_does_wrong_is_answered_as_recorded() {
    for version in [Version::V1_15, Version::V2_0b1] {
        let options = Options {
            hold: Duration::ZERO,
            ..Options::new(version)
        };
        let electrum = Electrum::start(Chain::recorded(), options);
        let mut client = Client::greet(electrum.address(), "1.4.2");
        let message = client.error("server.version", json!(["test", "1.4"]));
        assert_eq!(message, "server.version already sent");
        client.send("not json");
        let invalid = json!({ "code": -32700, "message": "invalid JSON" });
        let reply = client.value();
        assert_eq!((&reply["error"], &reply["id"]), (&invalid, &Value::Null));
        client.send("{\"id\":6,\"method\":\"server.ping\",\"params\":[]}");
        let invalid = json!({ "code": -32600, "message": "\"jsonrpc\" is not \"2.0\"" });
        assert_eq!(client.value()["error"], invalid);
        assert_eq!(client.call("server.ping", json!({})), Value::Null);
        let named = json!({ "scripthash": TESTLS });
        let history = client.call("blockchain.scripthash.get_history", named);
        assert_eq!(history[3]["tx_hash"], TXID);
        let ping = request(7, "server.ping", &json!([]));
        client.send(&format!("[{ping},{ping}]"));
        let line = client.line().unwrap();
        let begin = match version {
            Version::V1_15 => "[{\"jsonrpc\": \"2.0\", \"result\": null, \"id\": 7}, {\"jsonrpc\"",
            Version::V2_0b1 => "[{\"jsonrpc\":\"2.0\",\"result\":null,\"id\":7}, {\"jsonrpc\"",
        };
        assert!(line.starts_with(begin) && line.ends_with("]\n"), "{line}");
        assert_eq!(electrum.connections()[0].requests.len(), 7);
    }
}

/// Sends requests in one packet; the ids in the order of the replies.
fn burst(client: &mut Client, requests: &[(u64, &str, Value)]) -> Vec<u64> {
    let lines = requests.iter();
    let lines = lines.map(|(id, method, params)| request(*id, method, params));
    client.send(&lines.collect::<Vec<_>>().join("\n"));
    (0..requests.len())
        .map(|_| client.value()["id"].as_u64().unwrap())
        .collect()
}

/// As in the recording: branch, transaction and header asked at once take a
/// second, because the transaction alone fills a packet and the others do not.
#[test]
fn pipelining_does_not_prevent_the_delay() {
    let electrum = recorded(Version::V2_0b1);
    let mut client = Client::greet(electrum.address(), "1.4.3");
    client.call("blockchain.headers.subscribe", json!([]));
    client.call("blockchain.scripthash.get_history", json!([TESTLS]));
    let order = burst(
        &mut client,
        &[
            (3, "blockchain.transaction.get_merkle", json!([TXID, 236])),
            (4, "blockchain.transaction.get", json!([TXID])),
            (5, "blockchain.block.header", json!([236])),
        ],
    );
    assert_eq!(order, [4, 5, 3]);
    let packets = &electrum.connections()[0].packets;
    let bytes: Vec<_> = packets.iter().map(|packet| packet.bytes).collect();
    assert_eq!(bytes, [1024, 1024, 1024, 2048, 1024]);
    assert!(packets[4].at - packets[3].at >= Duration::from_secs(1));
    assert!(packets[4].small && !packets[3].small);
}

/// A filler behind a small reply makes a packet that is not held.
#[test]
fn a_filler_prevents_the_delay() {
    let options = Options {
        hold: Duration::from_secs(3600),
        ..Options::new(Version::V2_0b1)
    };
    let electrum = Electrum::start(Chain::recorded(), options);
    let mut client = Client::greet(electrum.address(), "1.4.3");
    client.call("blockchain.headers.subscribe", json!([]));
    client.call("blockchain.scripthash.get_history", json!([TESTLS]));
    for _ in 0..3 {
        let filler = (2, "blockchain.block.headers", json!([0, 30, 0]));
        let small = (1, "server.ping", json!([]));
        assert_eq!(burst(&mut client, &[small, filler]), [1, 2]);
    }
}

#[test]
fn replies_may_be_delayed_and_limited() {
    let limits = Limits {
        slow: 20_000,
        close: 60_000,
        slowest: Duration::from_millis(300),
    };
    let options = Options {
        max_headers: 20,
        max_reply: 10_000,
        limits: Some(limits),
        ..Options::new(Version::V1_15)
    };
    let electrum = Electrum::start(Chain::recorded(), options);
    let mut client = Client::greet(electrum.address(), "1.4");
    let message = client.error("blockchain.block.headers", json!([1, 20]));
    assert!(message.starts_with("response too large"), "{message}");
    // 15 headers are about 9 KB.
    let mut last = Duration::ZERO;
    for round in 0..7 {
        let begin = Instant::now();
        client.ask("blockchain.block.headers", &json!([1, 15]));
        let Some(line) = client.line() else {
            assert_eq!(round, 6);
            assert!(last >= Duration::from_millis(200), "{last:?}");
            electrum.wait("the end", |log| log[0].closed);
            return;
        };
        assert!(line.len() > 8800, "{line}");
        last = begin.elapsed();
    }
    panic!("the session was not closed");
}

#[test]
fn unread_replies_end_the_connection() {
    let options = Options {
        unread: Duration::from_millis(100),
        ..Options::new(Version::V1_15)
    };
    let electrum = Electrum::start(Chain::recorded(), options);
    let mut client = Client::greet(electrum.address(), "1.4");
    // 30 MB, more than the system takes for a reader that does not read.
    for _ in 0..200 {
        client.ask("blockchain.block.headers", &json!([0, 251]));
    }
    electrum.wait("the end", |log| log[0].closed);
}

#[test]
fn blocks_are_announced_to_subscribers() {
    for version in [Version::V1_15, Version::V2_0b1] {
        let options = Options {
            hold: Duration::ZERO,
            ..Options::new(version)
        };
        let electrum = Electrum::start(Chain::new(), options);
        let mut client = Client::greet(electrum.address(), "1.4.2");
        let tip = client.call("blockchain.headers.subscribe", json!([]));
        assert_eq!(tip["height"], 0);
        let hash = script_hash("d/example");
        let status = client.call("blockchain.scripthash.subscribe", json!([hash]));
        assert_eq!(status, Value::Null);
        electrum.mine(2);
        let news = client.value();
        assert_eq!(news["method"], "blockchain.headers.subscribe");
        assert_eq!(news["params"][0]["height"], 2);
        electrum.work(|chain| chain.register("d/example", "{}"));
        assert_eq!(client.value()["params"][0]["height"], 3);
        let news = client.value();
        assert_eq!(news["method"], "blockchain.scripthash.subscribe");
        assert_eq!(news["params"][0], hash);
        assert_eq!(news["params"][1].as_str().unwrap().len(), 64);
        electrum.set_chain(electrum.chain().fork_at(1));
        assert_eq!(client.value()["params"][0]["height"], 1);
        assert_eq!(client.value()["params"], json!([hash, null]));
    }
}

#[test]
fn a_server_ends_and_starts_again_at_its_address() {
    let electrum = recorded(Version::V1_15);
    let address = electrum.address();
    let mut client = Client::greet(address, "1.4");
    electrum.disconnect();
    assert_eq!(client.line(), None);
    let mut client = Client::greet(address, "1.4");
    drop(electrum);
    assert_eq!(client.line(), None);
    let options = Options {
        address: Some(address),
        ..Options::new(Version::V2_0b1)
    };
    let electrum = Electrum::start(Chain::recorded(), options);
    assert_eq!(electrum.address(), address);
    Client::greet(address, "1.4.3");
}
