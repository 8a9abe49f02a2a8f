use bitcoin::consensus::serialize;
use data_encoding::HEXLOWER;

use super::*;
use crate::chain::testing;
use crate::source::electrum::wire::tests::connect;
use crate::source::electrum::wire::tests::peer::Peer as Scripted;

#[test]
fn stripped_headers_are_taken_if_all_are_there_and_link() {
    let chain = testing::recorded();
    let octets = |headers: &[Header]| headers.iter().flat_map(serialize).collect::<Vec<_>>();
    let three = octets(&chain[4..7]);
    assert_eq!(linked(&three, 3).as_deref(), Some(&chain[4..7]));
    assert_eq!(linked(&three, 2), None);
    assert_eq!(linked(&three, 4), None);
    assert_eq!(linked(&three[..239], 3), None);
    let gap = octets(&[chain[4], chain[5], chain[7]]);
    assert_eq!(linked(&gap, 3), None);
}

/// A server that gives its newest block, and answers everything else with its
/// parameters.
fn server() -> Scripted {
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
    let peer = HeaderPeer::new(connect(&server), never.clone(), soon(), &never).unwrap();
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
