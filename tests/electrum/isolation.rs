//! What two isolation ids share on their way to Electrum servers: nothing.
//! (`spec/electrum.md`, sections 1 and 2.)

use std::collections::{BTreeSet, HashSet};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::circuits::{Circuit, Circuits, Use, ready};
use crate::support::electrum::chain::Chain;
use crate::support::electrum::log::Connection;
use crate::support::electrum::names::script_hash;
use crate::support::electrum::{Electrum, Options, Version};
use crate::support::run;
use crate::support::state::{files, holds};
use data_encoding::HEXLOWER;

/// Names of five letters that stand nowhere else.
const NAMES: [&str; 10] = [
    "d/qaxav", "d/qbxbv", "d/qcxcv", "d/qdxdv", "d/qexev", "d/qfxfv", "d/qgxgv", "d/qhxhv",
    "d/qixiv", "d/qjxjv",
];

/// The versions in turn.
const VERSIONS: [Version; 2] = [Version::V1_15, Version::V2_0b1];

fn answer(index: usize) -> String {
    format!("0 192.0.2.{}", index + 1)
}

fn domain(name: &str) -> String {
    format!("{}.bit", name.strip_prefix("d/").unwrap())
}

/// A chain on which all names but the last are registered.
fn chain() -> Chain {
    let mut chain = Chain::new();
    for (index, name) in NAMES[..9].iter().enumerate() {
        chain.register(name, format!(r#"{{"ip":"192.0.2.{}"}}"#, index + 1));
    }
    chain.mine(12);
    chain
}

fn server(version: Version) -> Electrum {
    Electrum::start(chain(), Options::new(version))
}

/// Two servers of different operators, one of each version.
fn two() -> ([Electrum; 2], Circuits) {
    let servers = VERSIONS.map(server);
    let circuits = Circuits::to(&[
        ("one.example:50001", &servers[0]),
        ("two.example:50001", &servers[1]),
    ]);
    (servers, circuits)
}

/// The circuits that carried any of these names.
fn with_any(circuits: &Circuits, chain: &Chain, names: &[&str]) -> Vec<Circuit> {
    let mut found = circuits.of(Use::Lookups);
    found.retain(|circuit| !circuit.names(chain, names).is_empty());
    found
}

/// The credentials tell circuits apart.
fn credentials(circuits: &[Circuit]) -> HashSet<Vec<u8>> {
    let each = circuits.iter().map(|circuit| circuit.seen.user.clone());
    each.collect()
}

fn targets(circuits: &[Circuit]) -> BTreeSet<String> {
    let each = circuits.iter().map(|circuit| circuit.seen.target.clone());
    each.collect()
}

/// A listener on loopback that nobody should find, and who did.
fn decoy() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let met = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&met);
    thread::spawn(move || {
        for _ in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address, met)
}

/// Everything that a circuit shows to the proxy and to the server beside what
/// it is for.
fn check_circuit(circuit: &Circuit) {
    let Circuit { seen, requests } = circuit;
    assert_ne!(circuit.purpose(), Use::Wrong, "{circuit:#?}");
    assert!(
        seen.user.len() >= 16 && seen.password.len() >= 16,
        "{seen:?}"
    );
    // Names as names, addresses as addresses.
    let is_name = !seen.target.starts_with("127.");
    assert_eq!(seen.kind, if is_name { 3 } else { 1 }, "{seen:?}");
    for (index, request) in requests.iter().enumerate() {
        assert_eq!(request["id"], index, "{requests:#?}");
    }
    let first = requests.first().map(|request| request.to_string());
    assert!(first.is_none_or(|first| first.contains(r#"["ncprop279",["1.4","1.4.3"]]"#)));
}

/// 128 bits each, which no other circuit has.
fn check_credentials(circuits: &[Circuit]) {
    let all = circuits
        .iter()
        .flat_map(|circuit| [circuit.seen.user.clone(), circuit.seen.password.clone()]);
    let distinct: HashSet<Vec<u8>> = all.collect();
    assert_eq!(distinct.len(), 2 * circuits.len());
    for text in distinct {
        let text = String::from_utf8(text).unwrap();
        assert_eq!(
            HEXLOWER.decode(text.as_bytes()).unwrap().len(),
            16,
            "{text}"
        );
    }
}

/// No name and no script hash, in whichever form.
fn check_silence(bytes: &[u8], what: &str) {
    for name in NAMES {
        let hash = script_hash(name);
        let mut raw = HEXLOWER.decode(hash.as_bytes()).unwrap();
        let forward = HEXLOWER.encode(&raw.iter().rev().copied().collect::<Vec<_>>());
        let label = name.strip_prefix("d/").unwrap();
        for part in [label, &hash, &forward] {
            assert!(!holds(bytes, part.as_bytes()), "{part} in {what}");
        }
        assert!(!holds(bytes, &raw), "{hash} in {what}");
        raw.reverse();
        assert!(!holds(bytes, &raw), "{hash} in {what}");
    }
}

/// No name and no script hash in any file.
fn check_files(home: &Path) {
    let kept = files(home);
    assert!(!kept.is_empty());
    for (path, bytes) in kept {
        let path = path.to_str().unwrap();
        check_silence(path.as_bytes(), "a path");
        check_silence(&bytes, path);
    }
}

/// Each id has two circuits, to servers of different operators, on which it
/// alone has asked for all of its names.
fn check_ids(circuits: &Circuits, chain: &Chain, ids: &[Vec<&str>]) {
    for names in ids {
        let carried = with_any(circuits, chain, names);
        assert_eq!(carried.len(), 2, "{carried:#?}");
        assert_eq!(targets(&carried).len(), 2, "{carried:#?}");
        for circuit in &carried {
            let asked = circuit.names(chain, &NAMES);
            assert_eq!(asked, names.iter().copied().collect());
        }
    }
    assert_eq!(circuits.of(Use::Lookups).len(), 2 * ids.len());
}

/// Two ids, ten names: the whole of what proxy, servers, log and disk see.
#[test]
fn two_ids_share_no_connection_and_leave_no_trace() {
    let servers = [VERSIONS[0], VERSIONS[1], VERSIONS[1]].map(server);
    let (address, direct) = decoy();
    let named = [
        ("one.example:50001", &servers[0]),
        ("two.example:50001", &servers[1]),
        (address.as_str(), &servers[2]),
    ];
    let circuits = Circuits::to(&named);
    let home = tempfile::tempdir().unwrap();
    let start = circuits.prepare('t', &["-vv"]);
    let mut plugin = start.env("HOME", home.path().to_str().unwrap()).ready();
    let mut ids = [Vec::new(), Vec::new()];
    for (index, name) in NAMES.into_iter().enumerate() {
        let got = plugin.ask(&domain(name), ["first", "second"][index % 2]);
        let wanted = if index < 9 {
            answer(index)
        } else {
            "3 ".into()
        };
        assert!(got.starts_with(&wanted), "{got}{}", plugin.story());
        ids[index % 2].push(name);
    }
    plugin.complaint("connected for block headers");
    let end = run::end(plugin);
    circuits.wait("the end of all", |circuits| {
        circuits.iter().all(|circuit| circuit.seen.closed)
    });

    let seen = circuits.seen();
    seen.iter().for_each(check_circuit);
    check_credentials(&seen);
    check_ids(&circuits, &servers[0].chain(), &ids);
    for line in &end.stderr {
        check_silence(line.as_bytes(), line);
    }
    check_files(home.path());
    assert_eq!(direct.load(Ordering::SeqCst), 0, "somebody came directly");
    for (target, server) in named {
        let through = seen.iter().filter(|circuit| circuit.seen.target == target);
        assert_eq!(server.connections().len(), through.count(), "{target}");
    }
}

/// Onion services are reached by name.
#[test]
fn onion_services_go_to_the_proxy_as_they_are() {
    const ONION: &str = "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion:50001";
    let servers = [server(VERSIONS[0]), server(VERSIONS[1])];
    let circuits = Circuits::to(&[("one.example:50001", &servers[0]), (ONION, &servers[1])]);
    let mut plugin = circuits.plugin('t', &[]);
    assert_eq!(plugin.ask(&domain(NAMES[0]), "a"), answer(0));
    plugin.finish();
    let asked = circuits.of(Use::Lookups);
    assert!(targets(&asked).contains(ONION), "{asked:#?}");
    assert!(targets(&circuits.of(Use::Headers)).contains(ONION));
    circuits.seen().iter().for_each(check_circuit);
}

/// The pool has six connections at most, of which an id takes two that were
/// there before it asked; the clock then opens two others.
#[test]
fn ready_connections_open_by_themselves_and_serve_new_ids() {
    let (servers, circuits) = two();
    let chain = servers[0].chain();
    let mut plugin = circuits.plugin('t', &[]);
    circuits.wait("six ready and the chain compared", |circuits| {
        let headers = circuits
            .iter()
            .filter(|circuit| circuit.purpose() == Use::Headers);
        let open = headers.filter(|circuit| !circuit.seen.closed);
        ready(circuits) == 6 && open.count() == 2
    });
    let before = circuits.of(Use::Ready);
    let by_operator = |target: &str| {
        let same = before
            .iter()
            .filter(|circuit| circuit.seen.target == target);
        same.count()
    };
    assert_eq!(by_operator("one.example:50001"), 3);
    assert_eq!(by_operator("two.example:50001"), 3);
    for circuit in &before {
        assert_eq!(circuit.requests.len(), 1, "{circuit:#?}");
    }
    for (index, name) in NAMES[..2].iter().enumerate() {
        // The clock may have brought others since the first id took two.
        let there = credentials(&circuits.seen());
        assert_eq!(plugin.ask(&domain(name), name), answer(index));
        let taken = credentials(&with_any(&circuits, &chain, &[*name]));
        assert_eq!(taken.len(), 2);
        assert!(taken.is_subset(&there));
    }
    circuits.wait("the places to be filled", |circuits| ready(circuits) >= 6);
    let later = circuits.of(Use::Ready);
    let new = credentials(&later);
    assert!((2..=4).contains(&new.difference(&credentials(&before)).count()));
    plugin.finish();
}

/// Nothing is connected before the naming client knows that the plugin is ready.
#[test]
fn no_connection_is_opened_if_the_plugin_cannot_serve() {
    let (_servers, circuits) = two();
    let start = circuits.prepare('t', &[]).env("TOR_NS_PROTO_VERSION", "9");
    let end = run::run(start);
    assert!(end.says("INIT 1 1"), "{end:#?}");
    assert!(circuits.seen().is_empty(), "{:#?}", circuits.seen());
}

#[test]
fn a_subcommand_fills_no_pool() {
    let (_servers, circuits) = two();
    for arguments in [["resolve", "qaxav.bit"], ["records", "d/qaxav"]] {
        let end = run::run(circuits.prepare('t', &arguments));
        assert_eq!(end.code, Some(0), "{end:#?}");
        assert!(end.says("192.0.2.1"), "{end:#?}");
    }
    let seen = circuits.seen();
    let unused = seen.iter().filter(|one| one.purpose() == Use::Ready);
    assert_eq!(unused.count(), 0, "{seen:#?}");
    assert_eq!(circuits.of(Use::Lookups).len(), 4);
    check_credentials(&seen);
}

/// An id that was evicted and comes back is a new one to the servers.
#[test]
fn an_evicted_id_gets_other_connections() {
    let (servers, circuits) = two();
    let chain = servers[0].chain();
    let mut plugin = circuits.plugin('t', &["--cache-isolations=1"]);
    for (index, isolation) in ["a", "b", "a"].into_iter().enumerate() {
        assert_eq!(plugin.ask(&domain(NAMES[index]), isolation), answer(index));
    }
    plugin.finish();
    let each = NAMES[..3].iter().map(|name| {
        let carried = with_any(&circuits, &chain, &[*name]);
        assert_eq!(carried.len(), 2, "{carried:#?}");
        credentials(&carried)
    });
    let all: HashSet<_> = each.flatten().collect();
    assert_eq!(all.len(), 6);
}

/// Each evicted connection stays for up to a minute. Of eighteen the first is
/// gone soon, and not all at once.
#[test]
fn connections_of_evicted_ids_close_one_by_one() {
    let (_servers, circuits) = two();
    let mut plugin = circuits.plugin('t', &["--cache-isolations=1"]);
    for isolation in 0..10 {
        let got = plugin.ask(&domain(NAMES[0]), &isolation.to_string());
        assert_eq!(got, answer(0));
    }
    circuits.wait("the end of a connection", |circuits| {
        let mut used = circuits
            .iter()
            .filter(|circuit| circuit.purpose() == Use::Lookups);
        used.any(|circuit| circuit.seen.closed)
    });
    let used = circuits.of(Use::Lookups);
    assert_eq!(used.len(), 20);
    assert!(used.iter().filter(|one| one.seen.closed).count() < 10);
    plugin.finish();
}

/// Whoever watches a server come back must not see which ids had connections
/// to it.
#[test]
fn after_a_loss_an_id_reconnects_when_it_asks() {
    let (servers, circuits) = two();
    let chain = servers[0].chain();
    let [one, _two] = servers;
    let mut plugin = circuits.plugin('t', &[]);
    assert_eq!(plugin.ask(&domain(NAMES[0]), "a"), answer(0));
    circuits.wait_for_ready(6);
    let before = circuits.seen().len();

    let options = Options {
        address: Some(one.address()),
        ..Options::new(VERSIONS[0])
    };
    drop(one);
    let one = Electrum::start(chain.clone(), options);
    circuits.wait("headers to be followed again", |circuits| {
        let mut new = circuits[before..].iter();
        new.any(|circuit| circuit.purpose() == Use::Headers && circuit.requests.len() > 2)
    });
    one.wait("nothing but connections for headers", |connections| {
        let mut methods = connections.iter().map(Connection::methods);
        methods.all(|methods| methods.contains(&"blockchain.headers.subscribe"))
    });
    // Another id's activity does not wake the first.
    assert_eq!(plugin.ask(&domain(NAMES[1]), "b"), answer(1));
    assert_eq!(plugin.ask(&domain(NAMES[2]), "a"), answer(2));
    let own = with_any(&circuits, &chain, &[NAMES[0], NAMES[2]]);
    let open = own.iter().filter(|circuit| !circuit.seen.closed);
    assert_eq!(open.count(), 2, "{own:#?}");
    let others = credentials(&with_any(&circuits, &chain, &[NAMES[1]]));
    assert!(credentials(&own).is_disjoint(&others));
    plugin.finish();
}
