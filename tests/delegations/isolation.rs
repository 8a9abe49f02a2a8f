//! Name servers and the exit relays before them see nothing that links two
//! isolation ids.

use std::collections::BTreeSet;

use super::World;
use crate::support::name_server::NameServer;

fn zone() -> NameServer {
    NameServer::of(
        "example.bit",
        &[
            ("example.bit", "A", "93.184.216.34"),
            ("www.example.bit", "CNAME", "example.bit"),
        ],
    )
}

#[test]
fn each_id_asks_for_itself_with_credentials_of_its_own() {
    let server = zone();
    let values = r#"{"d/example": {"ns": ["ns1.example.net", "ns2.example.net"]}}"#;
    let world = World::new(
        values,
        &[
            ("ns1.example.net", server.address()),
            ("ns2.example.net", server.address()),
        ],
    );
    let mut plugin = world.plugin(&[]);
    let names = ["example.bit", "www.example.bit", "none.example.bit"];
    let mut connections = 0;
    for id in ["a", "b", "c"] {
        for name in names {
            plugin.ask(name, id);
            let now = world.targets().len();
            assert!(now > connections, "{name} was not asked for {id}");
            connections = now;
            // The second time it is kept.
            plugin.ask(name, id);
            assert_eq!(world.targets().len(), now);
        }
    }
    let seen = world.proxy.seen();
    let users: BTreeSet<_> = seen.iter().map(|one| &one.user).collect();
    let passwords: BTreeSet<_> = seen.iter().map(|one| &one.password).collect();
    assert_eq!((users.len(), passwords.len()), (seen.len(), seen.len()));
    for one in &seen {
        assert_eq!((one.user.len(), one.password.len()), (32, 32));
        // Names in `.bit` never reach the proxy as targets.
        assert!(!one.target.contains(".bit"), "{}", one.target);
    }
}

/// An alias finds what its target's query has kept, and the other way round.
#[test]
fn what_was_asked_for_an_alias_is_kept_for_its_target() {
    let server = zone();
    let values = r#"{"d/example": {"ns": ["ns1.example.net"]}}"#;
    let world = World::new(values, &[("ns1.example.net", server.address())]);
    let mut plugin = world.plugin(&[]);
    assert_eq!(plugin.ask("www.example.bit", "i"), "0 93.184.216.34");
    assert_eq!(world.targets().len(), 2);
    assert_eq!(plugin.ask("example.bit", "i"), "0 93.184.216.34");
    assert_eq!(world.targets().len(), 2);
}

/// A connection is of no use to the next query, and is not left to be linked
/// with it.
#[test]
fn connections_are_closed_when_the_answer_is_there() {
    let server = zone();
    let values = r#"{"d/example": {"ns": ["ns1.example.net"]}}"#;
    let world = World::new(values, &[("ns1.example.net", server.address())]);
    let mut plugin = world.plugin(&[]);
    assert_eq!(plugin.ask("example.bit", "i"), "0 93.184.216.34");
    world.proxy.wait("the connection stays open", |seen| {
        !seen.is_empty() && seen.iter().all(|one| one.closed)
    });
}

/// Two queries of one id at the same moment share what is under way, those of two
/// ids do not.
#[test]
fn queries_at_the_same_moment_are_not_shared_between_ids() {
    let server = zone();
    let values = r#"{"d/example": {"ns": ["ns1.example.net"]}}"#;
    let world = World::new(values, &[("ns1.example.net", server.address())]);
    let mut plugin = world.plugin(&[]);
    for number in 0..30 {
        plugin.send(&format!("RESOLVE {number} example.bit i{}", number % 3));
    }
    for number in 0..30 {
        assert_eq!(plugin.answer(&number.to_string()), "0 93.184.216.34");
    }
    assert_eq!(world.targets().len(), 3);
}
