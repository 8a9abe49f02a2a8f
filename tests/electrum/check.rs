//! The subcommands on Electrum servers in every state.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use crate::support::circuits::{Circuit, Circuits, Use};
use crate::support::electrum::chain::Chain;
use crate::support::electrum::lies::Lie;
use crate::support::electrum::{Electrum, Options, Version};
use crate::support::plugin::Start;
use crate::support::run::{self, Outcome};
use crate::support::socks::{self, Manner, Socks, nobody};

const TARGETS: [&str; 2] = ["one.example:50001", "two.example:50001"];

fn server() -> Electrum {
    let mut chain = Chain::new();
    chain.register("d/example", r#"{"ip":"192.0.2.1"}"#);
    chain.mine(11);
    chain.register("d/fresh", r#"{"ip":"192.0.2.2"}"#);
    Electrum::start(chain, Options::new(Version::V1_15))
}

/// The health of each label. Whatever it says fits a terminal. The last line is
/// the result, which says the same as the exit status.
fn findings(end: &Outcome) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in &end.stdout {
        assert!(
            line.chars().count() <= 80,
            "{line:?} is wider than a terminal"
        );
        if !line.starts_with(' ') {
            let (label, rest) = line.split_at(12);
            let health = rest.split(' ').next().unwrap();
            found.insert(label.trim().to_owned(), health.to_owned());
        }
    }
    let works = end.code == Some(0);
    let expected = if works { "ok" } else { "FAIL" };
    let result = found.remove("result");
    assert_eq!(result.as_deref(), Some(expected), "{end:#?}");
    let words = match works {
        true => "names are looked up at ",
        false => "names cannot be looked up: ",
    };
    let text = end.text();
    let (_, last) = text.rsplit_once("result ").unwrap();
    assert!(last.contains(words), "{end:#?}");
    found
}

/// Runs `check`, and compares servers, headers, state and proxy.
fn check(start: Start, expected: [&str; 4], code: i32) -> Outcome {
    let end = run::run(start);
    let found = findings(&end);
    let labels = ["servers", "headers", "state", "proxy"];
    let found = labels.map(|label| found.get(label).map_or("", String::as_str));
    assert_eq!(found, expected, "{end:#?}");
    assert_eq!(end.code, Some(code), "{end:#?}");
    // Not "d/" alone: a temporary directory's name may end in d.
    assert!(
        !end.says("example.bit") && !end.says("d/example"),
        "{end:#?}"
    );
    let remedies = end.stdout.iter().filter(|line| line.contains("-> "));
    let bad = expected.iter().filter(|health| **health != "ok");
    assert_eq!(remedies.count(), bad.count(), "{end:#?}");
    end
}

fn to(addresses: [SocketAddr; 2]) -> Circuits {
    Circuits::to_addresses(TARGETS.into_iter().zip(addresses))
}

const SHORT: [&str; 2] = ["check", "--timeout=2"];

#[test]
fn all_is_well_with_two_servers_and_a_proxy() {
    let servers = [server(), server()];
    let circuits = to(servers.each_ref().map(Electrum::address));
    let end = check(circuits.prepare('t', &["check"]), ["ok"; 4], 0);
    for target in TARGETS {
        assert!(end.says(target), "{end:#?}");
    }
    assert!(end.says("verified up to block 13"), "{end:#?}");
    let words = end.text();
    let result = format!(
        "names are looked up at two operators ({}), whose answers are compared; the newest block \
         is ",
        TARGETS.join(", ")
    );
    assert!(words.contains(&result), "{words}");
    assert!(words.ends_with(" old"), "{words}");
    assert!(
        words.contains("lookups ok an isolation id can ask"),
        "{words}"
    );
    // It looks no name up, and opens what an isolation id would, no more.
    let unused = |one: &Circuit| one.purpose() == Use::Ready && !one.requests.is_empty();
    let (unused, others): (Vec<_>, Vec<_>) = circuits.seen().into_iter().partition(unused);
    let targets: BTreeSet<_> = unused.iter().map(|one| one.seen.target.as_str()).collect();
    assert_eq!((unused.len(), targets), (2, TARGETS.into()));
    assert!(others.iter().all(|one| one.purpose() == Use::Headers));
}

/// Headers come, but what a lookup needs does not.
#[test]
fn a_server_that_lets_no_lookup_connect_is_reported() {
    let one = server();
    let options = Options {
        most_connections: Some(1),
        ..Options::new(Version::V1_15)
    };
    // Its headers come over one.
    let other = Electrum::start(one.chain(), options);
    let circuits = to([one.address(), other.address()]);
    let end = run::run(circuits.prepare('t', &SHORT));
    assert_eq!(end.code, Some(1), "{end:#?}");
    assert!(end.text().contains("lookups FAIL"), "{end:#?}");
}

#[test]
fn a_server_alone_and_no_proxy_are_warnings() {
    let server = server();
    let at = format!("--electrum-server={}:t", server.address());
    let start = Start::new(&["check", "--network=regtest", &at]);
    let end = check(start, ["warn", "ok", "ok", "warn"], 0);
    let result = format!(
        "names are looked up at one operator ({}), which cannot make values up, but could hide a \
         name or its newest value; the newest block is ",
        server.address()
    );
    assert!(end.text().contains(&result), "{end:#?}");
}

/// A `check` of servers behind a proxy.
fn through(proxy: &str, arguments: &[&str]) -> Start {
    let proxy = format!("--proxy={proxy}");
    let servers = TARGETS.map(|target| format!("--electrum-server={target}:t"));
    let mut all = [arguments, &["--network=regtest", &proxy]].concat();
    all.extend(servers.iter().map(String::as_str));
    Start::new(&all)
}

/// Whatever is wrong with the proxy is found out at the proxy, soon, and no
/// server is blamed.
#[test]
fn a_proxy_that_is_none_fails_within_two_seconds() {
    for (proxy, words) in socks::useless() {
        let begun = Instant::now();
        let end = run::run(through(&proxy, &["check"]));
        let time = begun.elapsed();
        let found = findings(&end).into_iter();
        let found: Vec<_> = found.filter(|(label, _)| label != "source").collect();
        assert_eq!(found, [("proxy".into(), "FAIL".into())], "{end:#?}");
        let text = end.text();
        assert!(text.contains(words), "{words}: {end:#?}");
        assert!(text.contains("127.0.0.1:9050"), "{end:#?}");
        assert!(text.contains("127.0.0.1:9150"), "{end:#?}");
        assert!(!text.contains("one.example"), "{end:#?}");
        assert!(time < Duration::from_secs(4), "{time:?}: {end:#?}");
        assert_eq!(end.code, Some(1), "{end:#?}");
    }
}

#[test]
fn a_proxy_that_reaches_no_server_is_not_to_blame_alone() {
    let refusing = Socks::start(nobody(), Manner::Refusing);
    let start = through(&refusing.address(), &SHORT);
    let end = check(start, ["FAIL", "FAIL", "ok", "warn"], 1);
    assert!(end.text().contains("cannot be reached"), "{end:#?}");
}

#[test]
fn one_dead_server_is_one_too_many_if_there_have_to_be_two() {
    let server = server();
    let circuits = to([server.address(), nobody()]);
    let start = circuits.prepare('t', &[&SHORT[..], &["--electrum-operators=2"]].concat());
    let end = check(start, ["FAIL", "FAIL", "ok", "ok"], 1);
    assert!(end.says(TARGETS[0]), "{end:#?}");
    assert!(end.says("electrum-operators is 2"), "{end:#?}");
}

#[test]
fn two_dead_servers() {
    let circuits = to([nobody(), nobody()]);
    let start = circuits.prepare('t', &SHORT);
    check(start, ["FAIL", "FAIL", "ok", "warn"], 1);
}

#[test]
fn a_server_that_lies_about_headers_is_named() {
    let servers = [server(), server()];
    servers[1].lie(Lie::OldTime(12));
    let circuits = to(servers.each_ref().map(Electrum::address));
    let start = circuits.prepare('t', &[&SHORT[..], &["--electrum-operators=2"]].concat());
    let end = check(start, ["FAIL", "FAIL", "ok", "ok"], 1);
    let words = format!("{}: it sent a header that is refused", TARGETS[1]);
    assert!(end.text().contains(&words), "{end:#?}");
}

/// The first synchronisation, cut short: neither the servers nor the proxy are
/// to blame.
#[test]
fn headers_that_are_on_the_way_are_no_trouble() {
    let mut chain = Chain::new();
    chain.mine(2500);
    let servers = [(); 2].map(|()| Electrum::start(chain.clone(), Options::new(Version::V1_15)));
    for server in &servers {
        server.delay(Duration::from_secs(1));
    }
    let circuits = to(servers.each_ref().map(Electrum::address));
    let start = circuits.prepare('t', &["check", "--timeout=5"]);
    let end = check(start, ["ok", "FAIL", "ok", "ok"], 1);
    let words = end.text();
    assert!(words.contains("still being fetched"), "{words}");
    assert!(words.contains("of 2500)"), "{words}");
    let why = "names cannot be looked up: block headers are still being fetched";
    assert!(words.contains(why), "{words}");
}

/// Servers of another network do not have the checkpoint.
#[test]
fn servers_of_another_network_are_of_no_use() {
    let servers = [server(), server()];
    let circuits = to(servers.each_ref().map(Electrum::address));
    let proxy = format!("--proxy={}", circuits.proxy.address());
    let mut arguments = SHORT.to_vec();
    arguments.extend(["--network=mainnet", &proxy]);
    let named = TARGETS.map(|target| format!("--electrum-server={target}:t"));
    arguments.extend(named.iter().map(String::as_str));
    let end = check(Start::new(&arguments), ["FAIL", "FAIL", "ok", "ok"], 1);
    assert!(TARGETS.iter().any(|target| end.says(target)), "{end:#?}");
    let targets = circuits.seen().into_iter().map(|one| one.seen.target);
    assert!(
        targets
            .collect::<Vec<_>>()
            .iter()
            .all(|one| TARGETS.contains(&one.as_str()))
    );
}

#[test]
fn a_state_directory_that_cannot_be_used_is_a_warning() {
    let servers = [server(), server()];
    let circuits = to(servers.each_ref().map(Electrum::address));
    let state = tempfile::tempdir().unwrap();
    let within = |start: Start| start.env("TOR_NS_STATE_LOCATION", state.path().to_str().unwrap());
    let plugin = within(circuits.prepare('t', &[])).ready();
    circuits.wait("the plugin to have the directory", |seen| !seen.is_empty());
    let start = within(circuits.prepare('t', &["check"]));
    let end = check(start, ["ok", "ok", "warn", "ok"], 0);
    assert!(end.says("another process uses it"), "{end:#?}");
    assert!(end.says("if that process is the plugin"), "{end:#?}");
    plugin.finish();
    std::fs::remove_file(state.path().join("lock")).unwrap();
    std::fs::create_dir(state.path().join("lock")).unwrap();
    let start = within(circuits.prepare('t', &["check"]));
    let end = check(start, ["ok", "ok", "warn", "ok"], 0);
    assert!(end.says("cannot be locked"), "{end:#?}");
    assert!(end.text().contains("let this user write there"), "{end:#?}");
}

#[test]
fn resolve_and_records_answer_once() {
    let servers = [server(), server()];
    let circuits = to(servers.each_ref().map(Electrum::address));
    for (arguments, code, first) in [
        (&["resolve", "example.bit"][..], 0, "192.0.2.1"),
        (
            &["resolve", "d/example", "--isolation=an-id"],
            0,
            "192.0.2.1",
        ),
        (&["resolve", "absent.bit"], 3, "not registered"),
        (&["resolve", "fresh.bit"], 3, "not yet safe"),
        (&["records", "example.bit"], 0, "example.bit. "),
        (&["records", "absent.bit"], 3, ""),
    ] {
        let end = run::run(circuits.prepare('t', arguments));
        assert_eq!(end.code, Some(code), "{arguments:?}: {end:#?}");
        let said = if code == 0 { &end.stdout } else { &end.stderr };
        let said = said.last().map_or("", String::as_str);
        assert!(said.contains(first), "{arguments:?}: {end:#?}");
        assert_eq!(end.stdout.is_empty(), code != 0, "{arguments:?}: {end:#?}");
    }
}

/// Without servers it is a failure that passes, never the absence of a name,
/// and the proxy is not stormed with attempts.
#[test]
fn resolve_without_servers_is_transient() {
    let circuits = to([nobody(), nobody()]);
    for command in ["resolve", "records"] {
        let arguments = [command, "example.bit", "--timeout=1"];
        let end = run::run(circuits.prepare('t', &arguments));
        assert!(matches!(end.code, Some(1 | 4)), "{end:#?}");
    }
    let attempts = circuits.seen().len();
    assert!((2..40).contains(&attempts), "{attempts} in two seconds");
}

/// What `check` says within so many seconds about a server that works and one
/// at this address, if there have to be two.
fn fails(other: SocketAddr, seconds: u32) -> (Outcome, String) {
    let (end, text) = look(other, seconds, "2");
    assert_eq!(end.code, Some(1), "{end:#?}");
    assert!(text.contains("servers FAIL"), "{end:#?}");
    assert!(text.contains("headers FAIL"), "{end:#?}");
    assert!(!text.contains("wait:"), "{end:#?}");
    (end, text)
}

fn look(other: SocketAddr, seconds: u32, operators: &str) -> (Outcome, String) {
    let server = server();
    let circuits = to([server.address(), other]);
    let timeout = format!("--timeout={seconds}");
    let operators = format!("--electrum-operators={operators}");
    let end = run::run(circuits.prepare('t', &["check", &timeout, &operators]));
    let text = end.text();
    (end, text)
}

#[test]
fn a_server_that_is_dead_from_the_start_is_named() {
    let (end, text) = fails(([127, 0, 0, 1], 1).into(), 3);
    let words = format!("{} answers, {} does not", TARGETS[0], TARGETS[1]);
    assert!(text.contains(&words), "{end:#?}");
    assert!(text.contains("servers of two operators"), "{end:#?}");
}

/// It accepts connections, and that is all.
#[test]
fn a_server_that_hangs_from_the_start_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (end, text) = fails(listener.local_addr().unwrap(), 13);
    // If it was tried first, the other was not tried yet.
    let words = format!("{} does not", TARGETS[1]);
    assert!(text.contains(&words), "{end:#?}");
}

/// By default one that answers is enough, and `check` says what that means.
#[test]
fn where_no_other_answers_one_goes_on_alone() {
    let (end, text) = look(([127, 0, 0, 1], 1).into(), 20, "auto");
    assert_eq!(end.code, Some(0), "{end:#?}");
    let alone = format!("servers warn {} alone answers: it cannot", TARGETS[0]);
    assert!(text.contains(&alone), "{end:#?}");
    assert!(text.contains("headers ok"), "{end:#?}");
    let lookups = format!("an isolation id can ask {}", TARGETS[0]);
    assert!(text.contains(&lookups), "{end:#?}");
}
