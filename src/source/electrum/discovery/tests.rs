use std::path::Path;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::source::electrum::testing::server;

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
    let state = state.map(|path| Arc::new(StateDir::open(path).unwrap()));
    let (discovery, warning) = Discovery::open(&listed(), true, state, NOW);
    assert_eq!(warning, None);
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
    let trouble = discovery.learn(&listed()[by], named, now, &mut random);
    assert_eq!(trouble, None);
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
    let (mut discovery, _) = Discovery::open(&list, true, None, NOW);
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
        let state = Some(Arc::new(StateDir::open(directory.path()).unwrap()));
        let (discovery, warning) = Discovery::open(&listed(), true, state, NOW);
        assert_eq!(discovery.servers(), []);
        assert!(warning.unwrap().contains(FILE), "{text:.80}");
    }
}

#[test]
fn a_file_that_cannot_be_written_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let gone = directory.path().join("gone");
    let mut discovery = open(Some(&gone));
    std::fs::remove_dir_all(&gone).unwrap();
    let mut random = StdRng::from_seed([0; 32]);
    let trouble = discovery.learn(&listed()[0], &many("x", 1), NOW, &mut random);
    assert!(trouble.unwrap().contains("discovered cannot be written"));
    assert_eq!(discovery.found.len(), 1);
}
