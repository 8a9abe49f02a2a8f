//! How many name servers are asked, how often, and for how long.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;

use super::World;
use crate::support::name_server::{NameServer, Said, reply};
use crate::support::plugin::Plugin;
use crate::support::signed_zone::SignedZone;

fn silent() -> NameServer {
    NameServer::scripted(|_, _| vec![Said::Nothing])
}

fn works() -> NameServer {
    NameServer::of("example.bit", &[("example.bit", "A", "93.184.216.34")])
}

/// The value of a name with so many servers: `ns0.net`, `ns1.net`, …
fn values(servers: usize, ds: &str) -> String {
    let servers = (0..servers).map(|n| format!(r#""ns{n}.net.""#));
    let servers = servers.collect::<Vec<_>>().join(",");
    format!(r#"{{"d/example": {{"ns": [{servers}]{ds}}}, "d/plain": {{"ip": "1.2.3.4"}}}}"#)
}

fn send(plugin: &mut Plugin) {
    plugin.send("RESOLVE 1000 example.bit i");
}

/// One, another after three seconds, and no third as long as both may answer.
#[test]
fn two_servers_are_asked_at_a_time() {
    let server = silent();
    let hosts = ["ns0.net", "ns1.net", "ns2.net", "ns3.net"];
    let world = World::new(&values(4, ""), &hosts.map(|host| (host, server.address())));
    let mut plugin = world.plugin(&["--timeout", "20"]);
    send(&mut plugin);
    let begin = Instant::now();
    world.proxy.wait("nobody is asked", |seen| !seen.is_empty());
    while begin.elapsed() < Duration::from_secs(2) {
        assert_eq!(world.targets().len(), 1);
        thread::sleep(Duration::from_millis(50));
    }
    world
        .proxy
        .wait("nobody else is asked", |seen| seen.len() > 1);
    assert!(begin.elapsed() < Duration::from_secs(10));
    while begin.elapsed() < Duration::from_secs(8) {
        assert_eq!(world.targets().len(), 2);
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(plugin.ask("plain.bit", "i"), "0 1.2.3.4");
}

#[test]
fn a_query_opens_sixteen_connections_at_most() {
    let world = World::new(&values(8, ""), &[]);
    let said = world.ask("example.bit");
    assert!(said.starts_with("1 "), "{said}");
    assert_eq!(world.targets().len(), 16);
}

/// Only what was sent counts as a message.
#[test]
fn servers_that_cannot_be_reached_cost_no_messages() {
    let zone = SignedZone::of("example.bit", &[("example.bit", "A", "93.184.216.34")]);
    let ds = format!(r#", "ds": [{}]"#, zone.ds_item());
    let server = zone.serve();
    let world = World::new(&values(8, &ds), &[("ns5.net", server.address())]);
    let mut plugin = world.plugin(&[]);
    for id in 0..6 {
        let said = plugin.ask("example.bit", &format!("i{id}"));
        assert_eq!(said, "0 93.184.216.34");
    }
}

/// Servers that take questions and close use up the messages of the query.
#[test]
fn a_query_sends_sixteen_messages_to_servers_that_close() {
    let server = NameServer::scripted(|_, _| vec![Said::Close]);
    let hosts: Vec<String> = (0..8).map(|n| format!("ns{n}.net")).collect();
    let routes = hosts.iter().map(|host| (host.as_str(), server.address()));
    let world = World::new(&values(8, ""), &routes.collect::<Vec<_>>());
    let said = world.ask("example.bit");
    assert!(said.starts_with("1 "), "{said}");
    assert_eq!(world.targets().len(), 8);
}

/// A connection that nobody waits for is closed.
fn assert_closed(world: &World, why: &str) {
    let begin = Instant::now();
    world
        .proxy
        .wait(why, |seen| seen.iter().all(|one| one.closed));
    assert!(begin.elapsed() < Duration::from_secs(10), "{why}");
}

#[test]
fn a_query_that_is_cancelled_asks_nobody_any_more() {
    let server = silent();
    let world = World::new(&values(1, ""), &[("ns0.net", server.address())]);
    let mut plugin = world.plugin(&["--timeout", "30"]);
    send(&mut plugin);
    world.proxy.wait("nobody is asked", |seen| !seen.is_empty());
    plugin.send("CANCEL 1000");
    assert_closed(&world, "the connection of a cancelled query stays open");
    thread::sleep(Duration::from_secs(1));
    assert_eq!(world.targets().len(), 1);
}

#[test]
fn a_silent_server_is_left_when_another_answers() {
    let (server, other) = (silent(), works());
    let routes = [("ns0.net", server.address()), ("ns1.net", other.address())];
    let world = World::new(&values(2, ""), &routes);
    let mut plugin = world.plugin(&["--timeout", "30"]);
    // Which one is asked first is drawn for each id.
    for id in 0..20 {
        let said = plugin.ask("example.bit", &format!("i{id}"));
        assert_eq!(said, "0 93.184.216.34");
        if !server.queries().is_empty() {
            break;
        }
    }
    assert!(!server.queries().is_empty());
    assert_closed(&world, "the connection to the silent server stays open");
}

/// Each name server's own name is delegated to the next one.
#[test]
fn name_servers_are_not_looked_for_endlessly() {
    let delegated = (0..10).map(|n| format!(r#""d/a{n}": {{"ns": ["ns.a{}.bit."]}}"#, n + 1));
    let delegated = delegated.collect::<Vec<_>>().join(",");
    let values = format!(r#"{{{delegated}, "d/a10": {{"map": {{"ns": {{"ip": "1.2.3.4"}}}}}}}}"#);
    let world = World::new(&values, &[]);
    let said = world.ask("a0.bit");
    assert!(said.starts_with("3 "), "{said}");
    assert!(world.targets().is_empty());
}

/// Without signatures nothing can lead to an onion service.
#[test]
fn nobody_is_asked_for_what_would_not_count() {
    let values = r#"{"d/example": {"ns": ["ns1.net."]},
        "d/front": {"ip": "1.2.3.4", "map": {"_tor": {"alias": "x.example.bit."}}}}"#;
    let world = World::new(values, &[]);
    let mut plugin = world.plugin(&[]);
    let said = plugin.ask("example.bit.onion", "i");
    assert!(said.starts_with("3 "), "{said}");
    assert_eq!(plugin.ask("front.bit", "i"), "0 1.2.3.4");
    assert!(world.targets().is_empty(), "{:?}", world.targets());
}

#[test]
fn eight_servers_of_a_delegation_count() {
    let addresses = (1..=20).map(|n| format!(r#""93.184.216.{n}""#));
    let addresses = addresses.collect::<Vec<_>>().join(",");
    let one = format!(r#"{{"ns": ["ns1"], "map": {{"ns1": {{"ip": [{addresses}]}}}}}}"#);
    for value in [one, format!(r#"{{"ns": [{addresses}]}}"#)] {
        let world = World::new(&format!(r#"{{"d/example": {value}}}"#), &[]);
        let said = world.ask("example.bit");
        assert!(said.starts_with("1 "), "{said}");
        let targets: BTreeSet<_> = world.targets().into_iter().collect();
        assert_eq!(targets.len(), 8, "{targets:?}");
    }
    // Names that have to be resolved count as well.
    let names = (0..8).map(|n| format!(r#""ns.none{n}.bit.""#));
    let names = names.collect::<Vec<_>>().join(",");
    let values = format!(
        r#"{{"d/example": {{"ns": [{names}, "known.bit."]}}, "d/known": {{"ip": "93.184.216.1"}}}}"#
    );
    let world = World::new(&values, &[]);
    let said = world.ask("example.bit");
    assert!(said.starts_with("3 "), "{said}");
    assert!(world.targets().is_empty());
}

#[test]
fn servers_in_bit_are_asked_when_the_others_fail() {
    let failing = NameServer::scripted(|query, _| {
        let mut reply = reply(query);
        reply.metadata.response_code = ResponseCode::ServFail;
        vec![Said::Message(reply)]
    });
    let server = works();
    let values = r#"{"d/example": {"ns": ["ns.other.bit.", "ns1.net."]},
        "d/other": {"map": {"ns": {"ip": "93.184.216.1"}}}}"#;
    let routes = [
        ("ns1.net", failing.address()),
        ("93.184.216.1", server.address()),
    ];
    let world = World::new(values, &routes);
    assert_eq!(world.ask("example.bit"), "0 93.184.216.34");
}
