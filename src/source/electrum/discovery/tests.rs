use std::path::Path;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::config::settings::NodeAddress;

const ONION: &str = "6cbn4rskfdr647otej7gpqlmpqcmj723vg2eoeuu7ljbwu6cpdebozyd.onion";

fn server(operator: &str, host: &str) -> Server {
    Server {
        address: NodeAddress {
            host: host.to_owned(),
            port: 50002,
        },
        is_tls: true,
        operator: operator.to_owned(),
        standing: Standing::Alive,
        identity: None,
    }
}

/// Three listed operators, of which one has two servers.
fn listed() -> Vec<Server> {
    vec![
        server("a.example", "one.a.example"),
        server("a.example", "two.a.example"),
        server("b.example", "9.9.9.9"),
        server("c.example", "C.example"),
    ]
}

fn open(state: Option<&Path>) -> Discovery {
    let state = state.map(|path| Arc::new(State::open(path).unwrap()));
    let (discovery, warning) = Discovery::open(&listed(), true, state);
    assert_eq!(warning, None);
    discovery
}

fn named(hosts: impl IntoIterator<Item = impl Into<String>>) -> Vec<Named> {
    let named = hosts.into_iter().map(|host| Named {
        ip: String::new(),
        host: host.into(),
        features: vec!["s50002".to_owned()],
    });
    named.collect()
}

fn many(prefix: &str, count: usize) -> Vec<Named> {
    named((0..count).map(|number| format!("{prefix}{number}.example.net")))
}

/// What the listed server at this place in the list names; whether it is news.
fn learn(discovery: &mut Discovery, by: usize, named: &[Named]) -> bool {
    let mut random = StdRng::from_seed([by as u8; 32]);
    let learned = discovery.learn(&listed()[by], named, &mut random);
    assert_eq!(learned.trouble, None);
    learned.is_news
}

/// The operator that each discovered host counts as.
fn operators(discovery: &Discovery) -> BTreeMap<String, String> {
    let servers = discovery.servers().into_iter();
    servers
        .map(|server| {
            assert_eq!(server.standing, Standing::Discovered);
            (server.address.host, server.operator)
        })
        .collect()
}

fn operator(discovery: &Discovery, host: &str) -> Option<String> {
    operators(discovery).remove(host)
}

#[test]
fn a_server_is_of_whoever_names_it_until_two_do() {
    let mut discovery = open(None);
    let of = |discovery: &Discovery| operator(discovery, "new.example.net");
    assert!(learn(&mut discovery, 0, &named(["new.example.net"])));
    assert_eq!(of(&discovery), None, "it was named once");
    // Another server of the same operator is no second witness.
    assert!(learn(&mut discovery, 1, &named(["new.example.net"])));
    assert_eq!(of(&discovery).as_deref(), Some("a.example"));
    assert!(!learn(&mut discovery, 1, &named(["new.example.net"])));
    assert!(learn(&mut discovery, 2, &named(["NEW.example.net."])));
    assert_eq!(of(&discovery).as_deref(), Some(DISCOVERED));
    // A witness that names others does not name it any more.
    assert!(learn(&mut discovery, 0, &named(["other.example.net"])));
    assert_eq!(of(&discovery), None);
    assert!(learn(&mut discovery, 2, &named(["new.example.net"])));
    assert_eq!(of(&discovery).as_deref(), Some("b.example"));
}

/// A server that was named to one user alone would show that user again.
#[test]
fn a_server_that_was_named_once_is_not_used() {
    let mut discovery = open(None);
    for round in 0..10 {
        learn(&mut discovery, 0, &many(&format!("only{round}-"), 30));
        assert_eq!(discovery.servers(), []);
    }
}

/// One owner can have as many servers as it likes, and have all of them named
/// by everybody.
#[test]
fn servers_that_two_operators_name_are_one_operator_together() {
    let mut discovery = open(None);
    let all = many("m", 10);
    learn(&mut discovery, 0, &all);
    learn(&mut discovery, 2, &all);
    let operators: BTreeSet<String> = operators(&discovery).into_values().collect();
    assert_eq!(operators, BTreeSet::from([DISCOVERED.to_owned()]));
}

#[test]
fn a_thousand_servers_of_one_operator_gain_it_nothing() {
    let mut discovery = open(None);
    for _ in 0..2 {
        let honest = named(["honest.example.net", "x1.example.net"]);
        learn(&mut discovery, 2, &honest);
        learn(&mut discovery, 0, &many("x", 1_000));
    }
    let all = operators(&discovery);
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for operator in all.values() {
        *count.entry(operator).or_default() += 1;
    }
    // The one that both name stands first among what is known.
    let expected = [("a.example", MOST - 1), ("b.example", 1), (DISCOVERED, 1)];
    assert_eq!(count, BTreeMap::from(expected));
    // The order in which a server names others is not theirs to choose.
    let mut other = open(None);
    for _ in 0..2 {
        learn(&mut other, 0, &many("x", 1_000));
    }
    let first = (0..MOST).map(|number| format!("x{number}.example.net"));
    let known: BTreeSet<String> = operators(&other).into_keys().collect();
    assert_eq!(known.len(), MOST);
    assert_ne!(known, first.collect());
}

#[test]
fn one_host_has_one_port_for_each_who_names_it() {
    let mut discovery = open(None);
    let ports: Vec<Named> = (1..1_000)
        .map(|port| Named {
            ip: String::new(),
            host: "h.example.net".to_owned(),
            features: vec![format!("s{port}")],
        })
        .collect();
    learn(&mut discovery, 0, &ports);
    learn(&mut discovery, 0, &ports);
    assert_eq!(discovery.servers().len(), 1);
    // Who names it rightly is not hindered.
    learn(&mut discovery, 2, &named(["h.example.net"]));
    learn(&mut discovery, 2, &named(["h.example.net"]));
    let servers = discovery.servers();
    let right = servers.iter().find(|server| server.address.port == 50002);
    assert_eq!(right.unwrap().operator, "b.example");
    assert_eq!(servers.len(), 2);
}

#[test]
fn listed_servers_stay_listed() {
    let mut discovery = open(None);
    let known = named(["one.a.example", "TWO.a.example", "9.9.9.9", "c.example"]);
    assert!(!learn(&mut discovery, 0, &known));
    assert_eq!(discovery.servers(), []);
}

/// A further server of a listed operator is not a further operator, as far as
/// its name or its network shows.
#[test]
fn kin_of_listed_servers_belong_to_their_operators() {
    let kin = [
        "three.a.example",
        "9.9.9.8",
        "www.c.example",
        ONION,
        "new.example.net",
    ];
    let mut discovery = open(None);
    learn(&mut discovery, 2, &named(kin));
    learn(&mut discovery, 2, &named(kin));
    // One operator cannot make servers of another.
    let all = operators(&discovery);
    assert!(
        all.values().all(|operator| operator == "b.example"),
        "{all:?}"
    );
    learn(&mut discovery, 3, &named(kin));
    for (host, expected) in [
        ("three.a.example", "a.example"),
        ("9.9.9.8", "b.example"),
        ("www.c.example", "c.example"),
        (ONION, DISCOVERED),
        ("new.example.net", DISCOVERED),
    ] {
        let operator = operator(&discovery, host);
        assert_eq!(operator.as_deref(), Some(expected), "{host}");
    }
}

#[test]
fn discovered_servers_are_not_asked() {
    let mut discovery = open(None);
    learn(&mut discovery, 0, &named(["new.example.net"]));
    learn(&mut discovery, 0, &named(["new.example.net"]));
    let [new] = discovery.servers().try_into().unwrap();
    assert!(!discovery.asks(&new));
    let mut random = StdRng::from_seed([0; 32]);
    let learned = discovery.learn(&new, &many("x", 5), &mut random);
    assert_eq!(learned, Learned::default());
    assert_eq!(discovery.servers(), [new]);
    let mut off = Discovery::off();
    let learned = off.learn(&listed()[0], &many("x", 5), &mut random);
    assert_eq!(learned, Learned::default());
    assert!(!off.asks(&listed()[0]) && off.servers().is_empty());
}

#[test]
fn who_names_nobody_of_use_takes_nothing_back() {
    let mut discovery = open(None);
    learn(&mut discovery, 0, &named(["new.example.net"]));
    learn(&mut discovery, 0, &named(["new.example.net"]));
    for nobody in [named([] as [&str; 0]), named(["127.0.0.1", "a.bit"])] {
        assert!(!learn(&mut discovery, 0, &nobody));
    }
    assert_eq!(discovery.servers().len(), 1);
}

#[test]
fn discovered_servers_outlive_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let mut discovery = open(Some(directory.path()));
    let all = named(["new.example.net", "2a00::1"]);
    learn(&mut discovery, 0, &all);
    learn(&mut discovery, 2, &all[..1]);
    let before = discovery.servers();
    assert_eq!(before.len(), 1, "the other was named once");
    // A second process reads, and does not write.
    let mut second = open(Some(directory.path()));
    assert_eq!(second.servers(), before);
    learn(&mut second, 3, &all);
    drop((discovery, second));
    assert_eq!(open(Some(directory.path())).servers(), before);
    let text = std::fs::read_to_string(directory.path().join(FILE)).unwrap();
    assert_eq!(
        text,
        "ncprop279 discovered 1\n[2a00::1]:50002 s a.example=1\n\
         new.example.net:50002 s a.example=1,b.example=1\n"
    );
}

#[test]
fn what_a_file_says_is_judged_as_what_servers_say() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(FILE);
    let more: String = (0..100)
        .map(|number| format!("m{number}.example.net:50002 s c.example=2\n"))
        .collect();
    let lines = [
        VERSION,
        "good.example.net:50002 s a.example=1,b.example=1",
        "one.a.example:50002 s b.example=2",
        "gone.example.net:50002 s gone.example=2",
        "half.example.net:50002 s gone.example=2,b.example=2",
        "127.0.0.1:50002 s a.example=2,b.example=2",
        "plain.example.net:50001 t a.example=2",
        &more,
    ];
    std::fs::write(&file, lines.join("\n")).unwrap();
    let all = operators(&open(Some(directory.path())));
    assert_eq!(all["good.example.net"], DISCOVERED);
    assert_eq!(all["half.example.net"], "b.example");
    assert_eq!(all.len(), 2 + MOST, "{all:?}");
}

#[test]
fn a_damaged_file_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    let good = "good.example.net:50002 s a.example=2";
    for text in [
        "",
        good,
        &format!("ncprop279 discovered 2\n{good}\n"),
        &format!("{VERSION}\n{good} x\n"),
        &format!("{VERSION}\ngood.example.net:50002 s\n"),
        &format!("{VERSION}\ngood.example.net:50002 x a.example=2\n"),
        &format!("{VERSION}\ngood.example.net:50002 s a.example\n"),
        &format!("{VERSION}\ngood.example.net:50002 s a.example=0\n"),
        &format!("{VERSION}\ngood.example.net:50002 s a.example=3\n"),
        &format!("{VERSION}\ngood.example.net:50002 s a.example=2,\n"),
        &format!("{VERSION}\n\n{good}\n"),
        &format!("{VERSION}\n{good}\u{0}{}", "x".repeat(MAX_FILE)),
    ] {
        std::fs::write(directory.path().join(FILE), text).unwrap();
        let state = Some(Arc::new(State::open(directory.path()).unwrap()));
        let (discovery, warning) = Discovery::open(&listed(), true, state);
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
    let learned = discovery.learn(&listed()[0], &many("x", 1), &mut random);
    assert!(learned.is_news);
    assert!(
        learned
            .trouble
            .unwrap()
            .contains("discovered cannot be written")
    );
    assert_eq!(discovery.found.len(), 1);
}
