use std::path::Path;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::source::electrum::testing::{server, state_dir};

const ONION: &str = "6cbn4rskfdr647otej7gpqlmpqcmj723vg2eoeuu7ljbwu6cpdebozyd.onion";

/// Three listed operators, of which one has two servers.
fn listed() -> Vec<Server> {
    vec![
        server("a.example", "one.a.example"),
        server("a.example", "two.a.example"),
        server("b.example", "9.9.9.9"),
        server("c.example", "C.example"),
    ]
}

/// A day, in days and in seconds of Unix time.
const TODAY: u64 = 20_000;
const NOW: u64 = TODAY * DAY + 7;

fn open(state: Option<&Path>) -> Discovery {
    let Some(path) = state else {
        return Discovery::open(&listed(), true, None, NOW);
    };
    let (state, warnings) = state_dir(path);
    let discovery = Discovery::open(&listed(), true, state, NOW);
    assert_eq!(*warnings.lock().unwrap(), [""; 0]);
    discovery
}

fn named(hosts: impl IntoIterator<Item = impl Into<String>>) -> Vec<NamedServer> {
    let named = hosts.into_iter().map(|host| NamedServer {
        ip: String::new(),
        host: host.into(),
        features: vec!["s50002".to_owned()],
    });
    named.collect()
}

fn many(prefix: &str, count: usize) -> Vec<NamedServer> {
    named((0..count).map(|number| format!("{prefix}{number}.example.net")))
}

/// What the listed server at this place in the list names; whether that changes
/// which servers are used.
fn learn(discovery: &mut Discovery, by: usize, named: &[NamedServer]) -> bool {
    learn_later(discovery, by, named, 0)
}

/// The same, so many days later.
fn learn_later(discovery: &mut Discovery, by: usize, named: &[NamedServer], days: u64) -> bool {
    let mut random = StdRng::from_seed([by as u8; 32]);
    let now = NOW + days * DAY;
    discovery.learn(&listed()[by], named, now, &mut random);
    discovery.refresh(now)
}

/// The hosts that may be used.
fn hosts(discovery: &Discovery) -> Vec<&str> {
    let servers = discovery.servers().iter();
    servers
        .map(|server| {
            assert_eq!(server.standing, Standing::Discovered);
            assert_eq!(server.operator, DISCOVERED);
            server.address.host.as_str()
        })
        .collect()
}

/// The hosts that an operator names, as far as they are kept.
fn named_by(discovery: &Discovery, operator: &str) -> BTreeSet<String> {
    let found = discovery.found.iter();
    let its = found.filter(|(_, witnesses)| witnesses.contains_key(operator));
    its.map(|(endpoint, _)| endpoint.host.clone()).collect()
}

#[test]
fn a_server_is_used_when_two_listed_operators_name_it() {
    let mut discovery = open(None);
    // On however many connections, and by another server of the same operator.
    for by in [0, 0, 0, 1, 1] {
        assert!(!learn(&mut discovery, by, &named(["new.example.net"])));
        assert_eq!(discovery.servers(), []);
    }
    assert!(learn(&mut discovery, 2, &named(["NEW.example.net."])));
    assert_eq!(hosts(&discovery), ["new.example.net"]);
    assert!(!learn(&mut discovery, 2, &named(["new.example.net"])));
    let [new] = discovery.servers() else { panic!() };
    assert!(discovery.permits(new) && discovery.permits(&listed()[0]));
    assert!(!open(None).permits(new));
}

/// What was named long ago may be another's by now.
#[test]
fn that_a_server_was_named_counts_for_a_month() {
    let mut discovery = open(None);
    learn(&mut discovery, 0, &named(["new.example.net"]));
    let late = MAX_AGE_DAYS;
    assert!(learn_later(
        &mut discovery,
        2,
        &named(["new.example.net"]),
        late
    ));
    assert!(!discovery.refresh(NOW + late * DAY));
    assert!(discovery.refresh(NOW + (late + 1) * DAY));
    assert_eq!(discovery.servers(), []);
    assert!(learn_later(
        &mut discovery,
        1,
        &named(["new.example.net"]),
        late + 1
    ));
}

#[test]
fn of_each_operator_those_are_kept_that_it_named_last() {
    let mut discovery = open(None);
    learn(&mut discovery, 0, &many("x", 1_000));
    let first = named_by(&discovery, "a.example");
    assert_eq!(first.len(), MAX_NAMED);
    // The order in which a server names others is not theirs to choose.
    let front: BTreeSet<String> = (0..MAX_NAMED)
        .map(|number| format!("x{number}.example.net"))
        .collect();
    assert_ne!(first, front);
    // What another operator names is not crowded out, nor what comes later.
    learn(&mut discovery, 2, &many("y", 3));
    assert_eq!(named_by(&discovery, "b.example").len(), 3);
    assert!(learn_later(&mut discovery, 0, &many("y", 3), 1));
    let now = named_by(&discovery, "a.example");
    assert_eq!(
        (now.len(), now.intersection(&first).count()),
        (MAX_NAMED, MAX_NAMED - 3)
    );
    learn_later(&mut discovery, 0, &many("z", MAX_NAMED - 3), 2);
    let now = named_by(&discovery, "a.example");
    assert_eq!(
        (now.len(), now.intersection(&first).count()),
        (MAX_NAMED, 0)
    );
    assert_eq!(discovery.servers().len(), 3);
}

#[test]
fn one_host_has_one_port_for_each_who_names_it() {
    let mut discovery = open(None);
    let at = |port: u16| NamedServer {
        ip: String::new(),
        host: "h.example.net".to_owned(),
        features: vec![format!("s{port}")],
    };
    let ports: Vec<NamedServer> = (2_000..3_000).map(at).collect();
    learn(&mut discovery, 0, &ports);
    learn(&mut discovery, 0, &[at(4_000)]);
    assert_eq!(discovery.found.len(), 1);
    // Who names it rightly is not hindered.
    learn(&mut discovery, 2, &[at(50_002)]);
    assert_eq!(discovery.servers(), []);
    learn(&mut discovery, 3, &[at(50_002)]);
    assert_eq!(discovery.servers()[0].address.port, 50_002);
    assert_eq!(discovery.servers().len(), 1);
}

/// Whatever the port: two servers at one host are one operator's. Nor does it
/// count as a listed operator's if its name or its network resembles theirs.
#[test]
fn what_is_a_listed_operators_is_dropped() {
    let onion = server("d.example", ONION);
    let list = [listed(), vec![onion]].concat();
    let mut discovery = Discovery::open(&list, true, None, NOW);
    let known = [
        "one.a.example.",
        "TWO.a.example",
        "9.9.9.9",
        "C.example",
        "three.a.example",
        "9.9.9.8",
        "www.c.example",
        &ONION.to_uppercase(),
    ];
    let mut all = named(known);
    for one in &mut all {
        one.features = vec!["s50003".to_owned(), "t50001".to_owned()];
    }
    all.extend(named(["c.example.net"]));
    for by in [0, 2, 3] {
        learn(&mut discovery, by, &all);
    }
    assert_eq!(hosts(&discovery), ["c.example.net"]);
    assert_eq!(discovery.found.len(), 1);
}

#[test]
fn discovered_servers_are_not_asked() {
    let mut discovery = open(None);
    learn(&mut discovery, 0, &named(["new.example.net"]));
    learn(&mut discovery, 2, &named(["new.example.net"]));
    let new = discovery.servers()[0].clone();
    assert!(!discovery.asks(&new));
    let mut random = StdRng::from_seed([0; 32]);
    let before = discovery.found.clone();
    discovery.learn(&new, &many("x", 5), NOW, &mut random);
    assert_eq!(discovery.found, before);
    let mut off = Discovery::off();
    off.learn(&listed()[0], &many("x", 5), NOW, &mut random);
    assert!(!off.asks(&listed()[0]) && off.found.is_empty());
}

#[test]
fn discovered_servers_outlive_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let mut discovery = open(Some(directory.path()));
    let all = named(["new.example.net", "2a00::1"]);
    learn(&mut discovery, 0, &all);
    learn(&mut discovery, 2, &all[..1]);
    let before = discovery.servers().to_vec();
    assert_eq!(before.len(), 1, "one operator alone names the other");
    // A second process reads, and does not write.
    let mut second = open(Some(directory.path()));
    assert_eq!(second.servers(), before);
    learn(&mut second, 3, &all);
    drop((discovery, second));
    assert_eq!(open(Some(directory.path())).servers(), before);
    let text = std::fs::read_to_string(directory.path().join(FILE)).unwrap();
    assert_eq!(
        text,
        "ncprop279 discovered 2\n[2a00::1]:50002 s a.example=20000\n\
         new.example.net:50002 s a.example=20000,b.example=20000\n"
    );
}

#[test]
fn what_a_file_says_is_judged_as_what_servers_say() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(FILE);
    let more: String = (0..100)
        .map(|number| format!("m{number}.example.net:50002 s b.example=20000,c.example=20000\n"))
        .collect();
    let lines = [
        VERSION,
        "ahead.example.net:50002 s a.example=30000,b.example=19970",
        "old.example.net:50002 s a.example=20000,b.example=19969",
        "one.a.example:50003 s a.example=20000,b.example=20000",
        "half.example.net:50002 s gone.example=20000,b.example=20000",
        "127.0.0.1:50002 s a.example=20000,b.example=20000",
        "plain.example.net:50001 t a.example=20000,b.example=20000",
        &more,
    ];
    std::fs::write(&file, lines.join("\n")).unwrap();
    let mut discovery = open(Some(directory.path()));
    assert!(hosts(&discovery).contains(&"ahead.example.net"));
    assert_eq!(named_by(&discovery, "b.example").len(), MAX_NAMED);
    // Two of them by one operator alone, or too long ago.
    assert_eq!(hosts(&discovery).len(), MAX_NAMED - 2, "{discovery:?}");
    // A clock that was ahead does not make it count for longer.
    discovery.refresh(NOW + (MAX_AGE_DAYS + 1) * DAY);
    assert_eq!(discovery.servers(), []);
}

/// Its lines mean something else.
#[test]
fn a_file_of_an_older_version_is_dropped_quietly() {
    let directory = tempfile::tempdir().unwrap();
    let old = "ncprop279 discovered 1\ngood.example.net:50002 s a.example=2,b.example=2\n";
    std::fs::write(directory.path().join(FILE), old).unwrap();
    assert!(open(Some(directory.path())).found.is_empty());
}

#[test]
fn a_damaged_file_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    let good = "good.example.net:50002 s a.example=20000,b.example=20000";
    for text in [
        "",
        good,
        &format!("ncprop279 discovered 3\n{good}\n"),
        &format!("{VERSION}\n{good} x\n"),
        &format!("{VERSION}\ngood.example.net:50002 s\n"),
        &format!("{VERSION}\ngood.example.net:50002 x a.example=20000\n"),
        &format!("{VERSION}\ngood.example.net:50002 s a.example\n"),
        &format!("{VERSION}\ngood.example.net:50002 s a.example=-1\n"),
        &format!("{VERSION}\ngood.example.net:50002 s a.example=20000,\n"),
        &format!("{VERSION}\n\n{good}\n"),
        &format!("{VERSION}\n{good}\u{0}{}", "x".repeat(MAX_FILE)),
    ] {
        std::fs::write(directory.path().join(FILE), text).unwrap();
        let (state, warnings) = state_dir(directory.path());
        let discovery = Discovery::open(&listed(), true, state, NOW);
        assert_eq!(discovery.servers(), []);
        assert!(warnings.lock().unwrap()[0].contains(FILE), "{text:.80}");
    }
}

#[test]
fn a_file_that_cannot_be_written_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let gone = directory.path().join("gone");
    let (state, warnings) = state_dir(&gone);
    let mut discovery = Discovery::open(&listed(), true, state, NOW);
    std::fs::remove_dir_all(&gone).unwrap();
    learn(&mut discovery, 0, &many("x", 1));
    let warnings = warnings.lock().unwrap();
    assert!(warnings[0].contains("discovered cannot be written"));
    assert_eq!(discovery.found.len(), 1);
}

fn named_at(ip: &str, host: &str, features: &[&str]) -> NamedServer {
    NamedServer {
        ip: ip.to_owned(),
        host: host.to_owned(),
        features: features.iter().map(|&text| text.to_owned()).collect(),
    }
}

fn of(host: &str) -> Option<String> {
    endpoint(&named_at(host, host, &["s50002"]), true).map(|endpoint| endpoint.host)
}

#[test]
fn hosts_that_may_be_tried_are_put_in_their_usual_form() {
    for (host, usual) in [
        ("A.Example.NET", "a.example.net"),
        ("a.example.net.", "a.example.net"),
        ("testlocal.net", "testlocal.net"),
        ("3fff:1000::1", "3fff:1000::1"),
        ("9.9.9.9", "9.9.9.9"),
        ("2A00:0:0::1", "2a00::1"),
        (&ONION.to_uppercase(), ONION),
    ] {
        assert_eq!(of(host).as_deref(), Some(usual), "{host}");
    }
}

#[test]
fn hosts_of_no_public_server_are_dropped() {
    let long = format!("{}.example.net", "x".repeat(64));
    let huge = "x.".repeat(100_000) + "example.net";
    let labelled = format!("www.{ONION}");
    for host in [
        "",
        ".",
        "localhost",
        "router",
        "a.localhost",
        "a.local",
        "a.LAN.",
        "a.internal",
        "a.home.arpa",
        "a.test",
        "a.invalid",
        "a.example",
        "relay.testls.bit",
        "RELAY.TESTLS.BIT.",
        "a.exit",
        "a..example.net",
        "a b.example.net",
        "a.example.net:50002",
        "a.example.net\n",
        "a.example.net\0",
        "\u{e4}.example.net",
        "a.1",
        "0x7f.1",
        "127.1",
        "0177.0.0.1",
        "2130706433",
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "169.254.1.1",
        "172.16.0.1",
        "192.0.0.8",
        "192.0.2.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:9.9.9.9",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3fff:fff::1",
        "fc00::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "[2a00::1]",
        "expyuzz4wqqyqhjn.onion",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.onion",
        &labelled,
        &long,
        &huge,
    ] {
        assert_eq!(of(host), None, "{host:.80}");
    }
}

#[test]
fn a_private_address_beside_a_public_name_is_dropped() {
    for (ip, fits) in [
        ("9.9.9.9", true),
        ("a.example.net", true),
        ("", true),
        ("127.0.0.1", false),
        ("192.168.1.1", false),
        ("::1", false),
    ] {
        let endpoint = endpoint(&named_at(ip, "a.example.net", &["s443"]), true);
        assert_eq!(endpoint.is_some(), fits, "{ip}");
    }
}

#[test]
fn ports_are_those_that_tor_can_be_asked_for() {
    let port = |host: &str, features: &[&str]| {
        endpoint(&named_at("", host, features), true)
            .map(|endpoint| (endpoint.port, endpoint.is_tls))
    };
    for (features, plain, onion) in [
        (
            &["v1.4", "s50002", "t50001"][..],
            Some((50002, true)),
            Some((50001, false)),
        ),
        (&["s"], Some((50002, true)), Some((50002, true))),
        (&["t"], None, Some((50001, false))),
        (&["t50001"], None, Some((50001, false))),
        (&["s1", "s57002"], Some((57002, true)), Some((57002, true))),
        (&["s1024", "t1023"], Some((1024, true)), Some((1024, true))),
        (&["s22", "s25", "s442", "s444", "s1023", "t80"], None, None),
        (
            &["s0", "s65536", "s-1", "s+1", "s01", "s 1", "s1x"],
            None,
            None,
        ),
        (&["s0", "s443"], Some((443, true)), Some((443, true))),
        (&["v1.4", "p10000", "S50002", "", "\u{e4}"], None, None),
        (&[], None, None),
    ] {
        assert_eq!(port("a.example.net", features), plain, "{features:?}");
        assert_eq!(port(ONION, features), onion, "{features:?}");
    }
}

#[test]
fn without_a_proxy_only_addresses_are_tried() {
    for (host, fits) in [("9.9.9.9", true), ("a.example.net", false), (ONION, false)] {
        let endpoint = endpoint(&named_at(host, host, &["s443"]), false);
        assert_eq!(endpoint.is_some(), fits, "{host}");
    }
}

#[test]
fn what_was_kept_is_judged_again() {
    let read = |text: &str, is_tls| stored(text, is_tls, true).map(|endpoint| endpoint.address());
    for text in ["a.example.net:443", "9.9.9.9:50002", "[2a00::1]:50002"] {
        assert_eq!(read(text, true).unwrap().to_string(), text);
        assert_eq!(read(text, false), None, "{text} shows names to an exit");
    }
    let onion = format!("{ONION}:50001");
    assert_eq!(read(&onion, false).unwrap().to_string(), onion);
    for text in [
        "a.example.net",
        "a.example.net:0",
        "a.example.net:25",
        "127.0.0.1:50002",
        "[::1]:50002",
        ":50002",
        "a.bit:50002",
    ] {
        assert_eq!(read(text, true), None, "{text}");
    }
}
