//! What the Electrum source answers, through the real binary: values and
//! absences, what is asked for them, and what new blocks change
//! (spec/electrum.md, section 4).

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::support::electrum::chain::Chain;
use crate::support::electrum::lies::Lie;
use crate::support::electrum::names::script_hash;
use crate::support::electrum::{Electrum, Options, Version};
use crate::support::electrum_plugin::{
    assert_transient, becomes, header_connections, ip, is_lookup, lookups, one_of_each, ready,
    server, start, times_asked,
};
use crate::support::plugin::Plugin;
use serde_json::{Value, json};

/// The height of the chain of these tests.
const TIP: usize = 170;

/// What is mined into a block.
enum Mined {
    Register(&'static str, &'static str),
    Update(&'static str, &'static str),
}

use Mined::{Register, Update};

/// Operations and their heights; 12 confirmations end at 159, and what is at
/// 140 or below has expired.
const OPERATIONS: &[(usize, Mined)] = &[
    (100, Register("d/old", "192.0.2.99")),
    (101, Register("d/renewed", "192.0.2.98")),
    (102, Register("d/reborn", "192.0.2.97")),
    (140, Register("d/expired", "192.0.2.96")),
    (141, Register("d/last", "192.0.2.1")),
    (142, Register("d/import", "192.0.2.2")),
    (144, Register("d/multiple", "192.0.2.3")),
    (145, Update("d/renewed", "192.0.2.4")),
    (146, Register("d/updated", "192.0.2.5")),
    (150, Update("d/updated", "192.0.2.6")),
    (151, Register("d/changing", "192.0.2.7")),
    (152, Register("dd/part", "192.0.2.8")),
    (159, Register("d/deep", "192.0.2.9")),
    (160, Register("d/shallow", "192.0.2.10")),
    (161, Update("d/changing", "192.0.2.11")),
    (165, Register("d/reborn", "192.0.2.12")),
    (170, Register("d/new", "192.0.2.13")),
];

/// Names, and what is answered about them.
const ANSWERS: &[(&str, &str)] = &[
    ("last", "0 192.0.2.1"),
    ("import", "0 192.0.2.8"),
    ("multiple", "0 192.0.2.3"),
    ("renewed", "0 192.0.2.4"),
    ("updated", "0 192.0.2.6"),
    ("changing", "0 192.0.2.7"),
    ("deep", "0 192.0.2.9"),
    ("expired", "3 \"expired.bit is not registered any more"),
    ("old", "3 \"old.bit is not registered any more"),
    ("none", "3 \"none.bit is not registered"),
    ("shallow", "3 \"shallow.bit is not yet safe to use"),
    ("reborn", "3 \"reborn.bit is not yet safe to use"),
    ("new", "3 \"new.bit is not yet safe to use"),
];

fn value(name: &str, address: &str) -> String {
    match name {
        "d/import" => r#"{"import":"dd/part"}"#.to_owned(),
        _ => ip(address),
    }
}

static CHAIN: LazyLock<Chain> = LazyLock::new(|| {
    let mut chain = Chain::new();
    for (height, mined) in OPERATIONS {
        chain.mine(height - 1 - chain.tip());
        match mined {
            Register(name, address) => chain.register(name, value(name, address)),
            Update(name, address) => chain.update(name, value(name, address)),
        };
    }
    chain.mine(TIP - chain.tip());
    chain
});

fn hold_to_answers(plugin: &mut Plugin, isolation: &str) {
    for (name, expected) in ANSWERS {
        let answer = plugin.ask(&format!("{name}.bit"), isolation);
        assert!(answer.starts_with(expected), "{name}: {answer}");
    }
}

/// Before the chain is there a lookup waits for it.
#[test]
fn each_name_has_its_answer_from_the_first_moment_on() {
    use Version::{V1_15, V2_0b1};
    for versions in [[V1_15, V2_0b1], [V1_15, V1_15], [V2_0b1, V2_0b1]] {
        let servers = versions.map(|version| server(version, &CHAIN));
        let mut plugin = start(&[&servers[0], &servers[1]], &[]);
        hold_to_answers(&mut plugin, "a");
        hold_to_answers(&mut plugin, "b");
        plugin.finish();
    }
}

/// Only the verification waits: the request goes out on both connections before
/// there is a single header.
#[test]
fn the_request_does_not_wait_for_headers() {
    let servers = one_of_each(&CHAIN);
    for server in &servers {
        // The one that verification starts with.
        server.lie_in("blockchain.block.header", Lie::Silent);
    }
    let mut plugin = start(&[&servers[0], &servers[1]], &[]);
    plugin.send("RESOLVE 1 last.bit a");
    for server in &servers {
        server.wait("to be asked", |log| log.iter().any(is_lookup));
    }
    plugin.send("CANCEL 1");
    plugin.finish();
}

/// The methods and parameters of what a server was asked on the one connection
/// for lookups.
fn asked(server: &Electrum) -> Vec<(String, Value)> {
    let connections = lookups(server);
    assert_eq!(connections.len(), 1, "{connections:#?}");
    let requests = connections[0].requests.iter();
    let requests: Vec<_> = requests
        .map(|request| (request.method.clone(), request.params.clone()))
        .collect();
    assert_eq!(requests[0].0, "server.version");
    requests[1..].to_vec()
}

fn called(method: &str, params: Value) -> (String, Value) {
    (format!("blockchain.{method}"), params)
}

/// One round trip where the server can do it, with a height that is a multiple
/// of 144; else two. The filler goes to the server that pads.
#[test]
fn what_is_asked_of_servers() {
    let servers = one_of_each(&CHAIN);
    let mut plugin = ready(&[&servers[0], &servers[1]], &[]);
    assert_eq!(plugin.ask("updated.bit", "a"), "0 192.0.2.6");
    assert!(plugin.ask("none.bit", "a").starts_with("3 "));
    let (updated, none) = (script_hash("d/updated"), script_hash("d/none"));
    let chain = servers[0].chain();
    let newest = chain.history(&updated).last().unwrap();
    let id = newest.txid.to_string();
    assert_eq!(
        asked(&servers[0]),
        [
            called("scripthash.get_history", json!([updated])),
            called("transaction.get_merkle", json!([id, 150])),
            called("transaction.get", json!([id])),
            called("scripthash.get_history", json!([none])),
        ]
    );
    let filler = || called("block.headers", json!([0, 30, 0]));
    assert_eq!(
        asked(&servers[1]),
        [
            called("name.get_value_proof", json!([updated, 144])),
            filler(),
            called("name.get_value_proof", json!([none, 144])),
            filler(),
        ]
    );
}

/// A reply that is held back would take a second.
#[test]
fn no_reply_is_held_back() {
    let version = Version::V2_0b1;
    let servers = [server(version, &CHAIN), server(version, &CHAIN)];
    let mut plugin = ready(&[&servers[0], &servers[1]], &[]);
    for name in ["last", "none", "updated", "deep"] {
        plugin.ask(&format!("{name}.bit"), "a");
    }
    for server in &servers {
        for connection in lookups(server) {
            let proofs = connection.packets.iter().filter(|packet| packet.small);
            assert_eq!(proofs.count(), 0, "{connection:#?}");
        }
    }
}

/// A server is asked for a height below what counts: as for 12 confirmations if
/// fewer are wanted.
#[test]
fn the_confirmations_that_are_wanted_decide() {
    for (confirmations, height, expected) in [
        ("1", 144, ["0 192.0.2.13", "0 192.0.2.11", "0 192.0.2.10"]),
        ("11", 144, ["3 \"", "0 192.0.2.7", "0 192.0.2.10"]),
        ("20", 144, ["3 \"", "0 192.0.2.7", "3 \""]),
        ("28", 0, ["3 \"", "3 \"", "3 \""]),
    ] {
        let servers = one_of_each(&CHAIN);
        let servers = [&servers[0], &servers[1]];
        let mut plugin = ready(&servers, &["--confirmations", confirmations]);
        for (name, expected) in ["new", "changing", "shallow"].iter().zip(expected) {
            let answer = plugin.ask(&format!("{name}.bit"), "a");
            assert!(
                answer.starts_with(expected),
                "{confirmations}, {name}: {answer}"
            );
        }
        assert_eq!(asked(servers[1])[0].1[1], height);
    }
}

/// Each server announces its new blocks by itself.
#[test]
fn new_blocks_change_answers() {
    let servers = one_of_each(&CHAIN);
    let ttl = ["--cache-ttl=0", "--cache-negative-ttl=0"];
    let mut plugin = ready(&[&servers[0], &servers[1]], &ttl);
    let before = servers.each_ref().map(header_connections);
    assert_eq!(plugin.ask("last.bit", "a"), "0 192.0.2.1");
    assert!(plugin.ask("shallow.bit", "a").starts_with("3 "));
    let grow = |work: &dyn Fn(&mut Chain)| {
        let mut chain = servers[0].chain();
        work(&mut chain);
        servers
            .iter()
            .for_each(|server| server.set_chain(chain.clone()));
    };
    grow(&|chain| chain.mine(1));
    becomes(&mut plugin, "shallow.bit", "3 ", "0 192.0.2.10");
    let answer = plugin.ask("last.bit", "b");
    assert!(answer.starts_with("3 \"last.bit is not registered any more"));
    grow(&|chain| {
        chain.update("d/deep", ip("192.0.2.20"));
        chain.mine(10);
    });
    becomes(&mut plugin, "changing.bit", "0 192.0.2.7", "0 192.0.2.11");
    assert_eq!(plugin.ask("deep.bit", "a"), "0 192.0.2.9");
    grow(&|chain| chain.mine(1));
    becomes(&mut plugin, "deep.bit", "0 192.0.2.9", "0 192.0.2.20");
    // Nothing was connected anew for this.
    assert_eq!(servers.each_ref().map(header_connections), before);
}

/// While it is kept nobody is asked for it again.
#[test]
fn a_value_is_kept_for_its_isolation_id() {
    let servers = one_of_each(&CHAIN);
    let mut plugin = ready(&[&servers[0], &servers[1]], &[]);
    for isolation in ["a", "b", "a", "b"] {
        assert_eq!(plugin.ask("last.bit", isolation), "0 192.0.2.1");
        assert!(plugin.ask("none.bit", isolation).starts_with("3 "));
    }
    assert!(servers.iter().all(|server| times_asked(server) == 4));
}

/// What one knows already and the other not yet is proven by the one.
#[test]
fn a_server_that_is_behind_hides_nothing() {
    let servers = [
        server(Version::V1_15, &CHAIN),
        server(Version::V2_0b1, &CHAIN.fork_at(TIP - 25)),
    ];
    let mut plugin = ready(&[&servers[0], &servers[1]], &[]);
    hold_to_answers(&mut plugin, "a");
}

#[test]
fn a_single_server_that_the_user_names_suffices() {
    for version in [Version::V1_15, Version::V2_0b1] {
        let server = server(version, &CHAIN);
        let mut plugin = ready(&[&server], &[]);
        hold_to_answers(&mut plugin, "a");
        plugin.complaint("alone says which names exist");
        plugin.finish();
    }
}

/// Nothing counts before a second operator was heard.
#[test]
fn the_second_operator_is_waited_for() {
    let first = server(Version::V1_15, &CHAIN);
    let second = server(Version::V2_0b1, &CHAIN);
    let address = second.address();
    drop(second);
    let arguments = [
        format!("--electrum-server={}:t", first.address()),
        format!("--electrum-server={address}:t"),
        "--network=regtest".to_owned(),
        "--timeout=1".to_owned(),
        "--electrum-operators=2".to_owned(),
    ];
    let mut plugin = Plugin::start(&arguments);
    for name in ["last.bit", "none.bit"] {
        assert_transient(&mut plugin, name, "a", Duration::from_secs(1));
    }
    let options = Options {
        address: Some(address),
        ..Options::new(Version::V2_0b1)
    };
    let _second = Electrum::start(CHAIN.clone(), options);
    let deadline = Instant::now() + crate::support::PATIENCE;
    while plugin.ask("last.bit", "a") != "0 192.0.2.1" {
        assert!(Instant::now() < deadline, "{}", plugin.story());
    }
}
