use bitcoin::consensus::serialize;
use data_encoding::HEXLOWER;

use super::*;
use crate::chain::network::Network;
use crate::chain::testing;
use crate::source::electrum::wire::tests::{Peer as Scripted, connect};

#[test]
fn stripped_headers_are_taken_if_all_are_there_and_link() {
    let chain = testing::recorded();
    let bytes = |headers: &[Header]| headers.iter().flat_map(serialize).collect::<Vec<_>>();
    let three = bytes(&chain[4..7]);
    assert_eq!(linked(&three, 3).as_deref(), Some(&chain[4..7]));
    assert_eq!(linked(&three, 2), None);
    assert_eq!(linked(&three, 4), None);
    assert_eq!(linked(&three[..239], 3), None);
    let gap = bytes(&[chain[4], chain[5], chain[7]]);
    assert_eq!(linked(&gap, 3), None);
}

/// A server that gives its newest block, and answers everything else with its
/// parameters.
fn server() -> Scripted {
    server_of(r#"{"protocol_max":"1.4.2"}"#)
}

/// The same with these features. It names one other server.
fn server_of(features: &'static str) -> Scripted {
    let tip = HEXLOWER.encode(&serialize(&testing::recorded()[9]));
    Scripted::start(move |guest| {
        guest.greet()?;
        loop {
            let request = guest.hear()?;
            if request["method"] == HEADERS_SUBSCRIBE {
                let id = &request["id"];
                let result = format!("{{\"hex\":\"{tip}\",\"height\":9}}");
                guest.say(format!(
                    "{{\"jsonrpc\":\"2.0\",\"result\":{result},\"id\":{id}}}\n"
                ))?;
            } else if request["method"] == "server.features" {
                let id = &request["id"];
                guest.say(format!(
                    "{{\"jsonrpc\":\"2.0\",\"result\":{features},\"id\":{id}}}\n"
                ))?;
            } else if request["method"] == "server.peers.subscribe" {
                let id = &request["id"];
                let result = r#"[["9.9.9.9","a.example",["v1.4","s50002"]],7]"#;
                guest.say(format!(
                    "{{\"jsonrpc\":\"2.0\",\"result\":{result},\"id\":{id}}}\n"
                ))?;
            } else if request["method"] == "blockchain.block.headers" {
                let id = &request["id"];
                let result = format!("{{\"hex\":\"{tip}\",\"count\":1,\"max\":2016}}");
                guest.say(format!(
                    "{{\"jsonrpc\":\"2.0\",\"result\":{result},\"id\":{id}}}\n"
                ))?;
            } else {
                guest.answer(&request)?;
            }
        }
    })
}

/// How many pings a server has heard once it has answered what came after them.
fn pings(peer: &HeaderPeer, server: &Scripted) -> usize {
    peer.call_through();
    let heard = server.heard().concat();
    let pings = heard.iter().filter(|one| one["method"] == "server.ping");
    pings.count()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

impl HeaderPeer {
    /// Waits until the server has answered everything up to now.
    fn call_through(&self) {
        let request = Request::new("x", "[]");
        let deadline = soon();
        call(&self.connection, request, deadline, &self.cancel).unwrap();
    }
}

#[test]
fn a_connection_is_kept_alive_by_pings_one_to_four_minutes_apart() {
    let server = server();
    let never = Cancel::new();
    let peer = HeaderPeer::new(connect(&server), None, never.clone(), soon(), &never).unwrap();
    let next = |peer: &HeaderPeer| *peer.next_ping.lock().unwrap();
    for count in 1..4 {
        peer.keep_alive();
        assert_eq!(pings(&peer, &server), count - 1, "it is not time yet");
        let now = Instant::now();
        *peer.next_ping.lock().unwrap() = now;
        peer.keep_alive();
        assert_eq!(pings(&peer, &server), count);
        let gap = next(&peer) - now;
        assert!((60..241).contains(&gap.as_secs()), "{gap:?}");
    }
    assert!(peer.is_alive());
}

/// What a server says of itself is no proof, but one that says it serves another
/// chain needs not be tried.
#[test]
fn a_discovered_server_has_to_serve_our_chain() {
    let genesis = Network::Regtest.genesis();
    let ours = r#"{"protocol_max":"1.4.2","genesis_hash":"0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"}"#;
    let theirs = r#"{"protocol_max":"1.4.2","genesis_hash":"000000000062b72c5e2ceb45fbc8587e807c155b0da735e6483dfba2f0a9c770"}"#;
    let none = r#"{"protocol_max":"1.4.2"}"#;
    for (features, wanted, fits) in [
        (ours, Some(genesis), true),
        (theirs, Some(genesis), false),
        (none, Some(genesis), false),
        (theirs, None, true),
    ] {
        let server = server_of(features);
        let never = Cancel::new();
        let peer = HeaderPeer::new(connect(&server), wanted, never.clone(), soon(), &never);
        assert_eq!(peer.is_ok(), fits, "{features}");
        if let Err(error) = peer {
            assert!(error.to_string().contains("another block chain"), "{error}");
        }
    }
}

#[test]
fn a_server_names_others() {
    let server = server();
    let never = Cancel::new();
    let peer = HeaderPeer::new(connect(&server), None, never.clone(), soon(), &never).unwrap();
    let [named] = peer.peers(soon()).unwrap().try_into().unwrap();
    assert_eq!(named.host, "a.example");
    assert_eq!(named.features, ["v1.4", "s50002"]);
}
