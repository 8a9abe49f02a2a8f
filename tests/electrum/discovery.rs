//! Servers that are in no list, but that listed ones name: a proxy plays the
//! bundled servers, of which few are alive (`spec/electrum.md`, section 1).
//!
//! The chain has no work: all of it lies below the checkpoint, where each header
//! is proven by the one above.

use std::path::Path;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::circuits::{Circuit, Circuits, Use};
use crate::support::electrum::Version::V1_15;
use crate::support::electrum::chain::Chain;
use crate::support::electrum::lies::Lie;
use crate::support::electrum::wire::Certificate;
use crate::support::electrum::{Electrum, Options};
use crate::support::electrum_plugin::ip;
use crate::support::plugin::Start;
use crate::support::run::{self, Outcome};

/// Onion services of the bundled list, and who runs them. The second speaks TLS.
const TESTLS: &str = "6cbn4rskfdr647otej7gpqlmpqcmj723vg2eoeuu7ljbwu6cpdebozyd.onion:50001";
const DOTBIT: &str = "h6qrnwxtwiaahsw4qhk2nbutswwb54vnqso6jrxeuk6nwtfbos7jkoqd.onion:50002";

/// One that is in no list.
const NEW: &str = "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion:50001";

const GENESIS: &str = "000000000062b72c5e2ceb45fbc8587e807c155b0da735e6483dfba2f0a9c770";

/// A chain whose newest block is a little ahead of the clock, so that it is
/// current for as long as a test takes.
static CHAIN: LazyLock<Chain> = LazyLock::new(|| {
    let mut chain = Chain::new();
    chain.workless = true;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    chain.set_clock(u32::try_from(now.as_secs()).unwrap() + 1_800);
    chain.mine(20);
    chain.register("d/example", ip("192.0.2.1"));
    chain.mine(20);
    chain
});

/// Host and port of a target, as a server names it.
fn named(target: &str) -> (String, String) {
    let (host, port) = target.rsplit_once(':').unwrap();
    (host.to_owned(), format!("t{port}"))
}

/// A server of the main network that names these, and nobody may.
fn server(names: &[&str]) -> Electrum {
    start(names, None, GENESIS)
}

fn start(names: &[&str], tls: Option<Certificate>, genesis: &'static str) -> Electrum {
    let options = Options {
        peers: Some(names.iter().map(|target| named(target)).collect()),
        genesis: Some(genesis),
        tls,
        ..Options::new(V1_15)
    };
    Electrum::start(CHAIN.clone(), options)
}

/// The one that speaks TLS.
fn dotbit(names: &[&str]) -> Electrum {
    start(names, Some(Certificate::new()), GENESIS)
}

/// The binary on the bundled list, of which the proxy leads to these only.
fn command(circuits: &Circuits, state: &Path, arguments: &[&str]) -> Start {
    let tip = CHAIN.tip();
    let mut all: Vec<String> = arguments.iter().map(|&part| part.to_owned()).collect();
    all.extend([
        "--backend=electrum".to_owned(),
        format!("--proxy={}", circuits.proxy.address()),
        format!("--state-directory={}", state.display()),
        format!("--checkpoint={tip}:{}", CHAIN.block(tip).unwrap().hash),
    ]);
    Start::new(&all)
}

/// Runs it with the servers that are alive; also what went through the proxy.
fn run(alive: &[(&str, &Electrum)], state: &Path, arguments: &[&str]) -> (Outcome, Vec<Circuit>) {
    let circuits = Circuits::to(alive);
    let end = run::run(command(&circuits, state, arguments));
    (end, circuits.seen())
}

fn was_tried(circuits: &[Circuit], target: &str) -> bool {
    circuits.iter().any(|circuit| circuit.seen.target == target)
}

fn file(state: &Path) -> String {
    std::fs::read_to_string(state.join("discovered")).unwrap_or_default()
}

const CHECK: [&str; 2] = ["check", "--timeout=60"];

/// The day as it is in that file.
fn today() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs() / (24 * 3600)
}

/// What `check` says of servers if one of the two is a discovered one.
const SUSPECT: &str = "servers warn a discovered server, testls.space answer: the other might run \
                       the discovered one: they cannot make values up, but could hide a name or \
                       its newest value";

/// Runs with both listed servers until they have named what they name.
fn discover(testls: &Electrum, dotbit: &Electrum, state: &Path) {
    let circuits = Circuits::to(&[(TESTLS, testls), (DOTBIT, dotbit)]);
    let plugin = command(&circuits, state, &["-vv"]).ready();
    for target in [TESTLS, DOTBIT] {
        plugin.complaint(&format!("{target} names "));
    }
    plugin.finish();
}

#[test]
fn a_server_that_two_listed_operators_name_is_the_second_one() {
    let state = tempfile::tempdir().unwrap();
    let (testls, other) = (server(&[NEW]), dotbit(&[NEW]));
    let new = server(&[]);
    discover(&testls, &other, state.path());
    let day = today();
    let text = file(state.path());
    // Midnight may have passed.
    let lines = [[day, day], [day - 1, day], [day, day - 1], [day - 1; 2]];
    let lines =
        lines.map(|[one, other]| format!("{NEW} t dotbit.zone={one},testls.space={other}\n"));
    assert!(lines.iter().any(|line| text.contains(line)), "{text}");
    // One of the listed ones is gone.
    let alive = [(TESTLS, &testls), (NEW, &new)];
    let (end, _) = run(&alive, state.path(), &CHECK);
    let words = end.text();
    assert_eq!(end.code, Some(0), "{end:#?}");
    assert!(words.contains(SUSPECT), "{end:#?}");
    let compared = "(a discovered server, testls.space), of which one might run the other";
    assert!(words.contains(compared), "{end:#?}");
    assert!(words.contains("lookups ok"), "{end:#?}");
    let (host, _) = NEW.rsplit_once(':').unwrap();
    assert!(words.contains(host), "an id can ask it: {end:#?}");
    // Both are asked about a name, each on a connection of its own.
    for (name, code) in [("example.bit", 0), ("absent.bit", 3)] {
        let arguments = ["resolve", name, "--timeout=60"];
        let (end, circuits) = run(&alive, state.path(), &arguments);
        assert_eq!(end.code, Some(code), "{name}: {end:#?}");
        if code == 3 {
            let mut lookups = circuits.iter().filter(|one| one.purpose() == Use::Lookups);
            assert!(lookups.any(|one| one.seen.target == NEW), "{end:#?}");
        }
        assert!(circuits.iter().all(|one| one.purpose() != Use::Wrong));
    }
    // It names nobody that counts: it is not asked.
    let asked = new.connections();
    let mut methods = asked.iter().flat_map(|one| one.methods());
    assert!(!methods.any(|method| method == "server.peers.subscribe"));
}

/// Where two operators are wanted both are listed ones.
#[test]
fn a_discovered_server_is_none_of_two_that_are_wanted() {
    let state = tempfile::tempdir().unwrap();
    let (testls, other) = (server(&[NEW]), dotbit(&[NEW]));
    let new = server(&[]);
    discover(&testls, &other, state.path());
    let alive = [(TESTLS, &testls), (NEW, &new)];
    let arguments = ["check", "--timeout=5", "--electrum-operators=2"];
    let (end, circuits) = run(&alive, state.path(), &arguments);
    assert_eq!(end.code, Some(1), "{end:#?}");
    assert!(!was_tried(&circuits, NEW) && new.connections().is_empty());
}

/// It may have been named to this user alone.
#[test]
fn a_server_that_one_listed_operator_names_is_never_connected_to() {
    let state = tempfile::tempdir().unwrap();
    let (testls, other) = (server(&[NEW]), dotbit(&[]));
    let new = server(&[]);
    for _ in 0..2 {
        discover(&testls, &other, state.path());
    }
    assert!(file(state.path()).contains(&format!("{NEW} t testls.space=")));
    let alive = [(TESTLS, &testls), (NEW, &new)];
    let (end, circuits) = run(&alive, state.path(), &CHECK);
    let alone = "servers warn testls.space alone answers";
    assert!(end.text().contains(alone), "{end:#?}");
    assert!(!was_tried(&circuits, NEW));
    let (_, circuits) = run(&alive[1..], state.path(), &["check", "--timeout=5"]);
    assert!(!was_tried(&circuits, NEW) && new.connections().is_empty());
}

#[test]
fn a_listed_operator_that_comes_back_takes_the_place_of_a_discovered_server() {
    let state = tempfile::tempdir().unwrap();
    let (testls, other) = (server(&[NEW]), dotbit(&[NEW]));
    let new = server(&[]);
    discover(&testls, &other, state.path());
    other.lie(Lie::CutLine);
    let circuits = Circuits::to(&[(TESTLS, &testls), (DOTBIT, &other), (NEW, &new)]);
    let plugin = command(&circuits, state.path(), &["-vv"]).ready();
    plugin.complaint("one of the two Electrum operators is a discovered server");
    other.honest();
    new.wait("its connections for headers end", |log| {
        let mut headers = log
            .iter()
            .filter(|one| one.methods().contains(&"server.features"));
        headers.all(|one| one.closed)
    });
    plugin.finish();
}

/// A listed host is its operator's, whatever the port.
#[test]
fn a_listed_host_at_another_port_is_not_tried() {
    let state = tempfile::tempdir().unwrap();
    let (host, _) = DOTBIT.rsplit_once(':').unwrap();
    let elsewhere = format!("{host}:50003");
    let twin = server(&[]);
    let (testls, other) = (server(&[&elsewhere]), dotbit(&[&elsewhere]));
    discover(&testls, &other, state.path());
    let alive = [(TESTLS, &testls), (&*elsewhere, &twin)];
    let (end, circuits) = run(&alive, state.path(), &CHECK);
    let alone = "servers warn testls.space alone answers";
    assert!(end.text().contains(alone), "{end:#?}");
    assert!(!was_tried(&circuits, &elsewhere));
    assert_eq!(file(state.path()), "");
}

#[test]
fn a_discovered_server_of_another_chain_is_of_no_use() {
    let state = tempfile::tempdir().unwrap();
    let (testls, other) = (server(&[NEW]), dotbit(&[NEW]));
    discover(&testls, &other, state.path());
    let new = start(
        &[],
        None,
        "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206",
    );
    let alive = [(TESTLS, &testls), (NEW, &new)];
    let (end, circuits) = run(&alive, state.path(), &CHECK);
    assert!(was_tried(&circuits, NEW));
    assert!(
        end.text()
            .contains("servers warn testls.space alone answers"),
        "{end:#?}"
    );
}

/// Whatever a server names, nothing is tried that is no public server.
#[test]
fn nothing_is_tried_that_is_no_public_server() {
    let state = tempfile::tempdir().unwrap();
    let bad = [
        "127.0.0.1:50001",
        "localhost:50001",
        "192.168.1.1:50001",
        "relay.testls.bit:50001",
        "plain.example.net:50001",
        "9.9.9.9:50001",
    ];
    let (testls, other) = (server(&bad), dotbit(&bad));
    discover(&testls, &other, state.path());
    let (_, circuits) = run(&[(TESTLS, &testls)], state.path(), &CHECK);
    for target in bad {
        assert!(!was_tried(&circuits, target), "{target}");
    }
    assert_eq!(file(state.path()), "");
}

/// Servers that the user names are asked alone, and for no others.
#[test]
fn named_servers_name_nobody() {
    let state = tempfile::tempdir().unwrap();
    let servers = [server(&[NEW]), server(&[NEW])];
    let circuits = Circuits::to(&[
        ("one.example:50001", &servers[0]),
        ("two.example:50001", &servers[1]),
    ]);
    let arguments = [
        "check",
        "--timeout=60",
        "--electrum-server=one.example:50001:t",
        "--electrum-server=two.example:50001:t",
    ];
    let end = run::run(command(&circuits, state.path(), &arguments));
    assert_eq!(end.code, Some(0), "{end:#?}");
    for server in &servers {
        let connections = server.connections();
        let mut methods = connections.iter().flat_map(|one| one.methods());
        assert!(!methods.any(|method| method == "server.peers.subscribe"));
    }
    assert_eq!(file(state.path()), "");
}
