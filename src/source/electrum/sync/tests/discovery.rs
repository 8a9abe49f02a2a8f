//! Servers that listed ones name, in the place of listed ones that are gone.

use super::*;
use crate::source::electrum::discovery::DISCOVERED;

/// Two listed operators, `a` and `b`, and a server that is in no list.
fn world() -> (World, [Arc<Host>; 2], Arc<Host>) {
    let (world, hosts, new) = world_with(&["a", "b"]);
    let two = [Arc::clone(&hosts[0]), Arc::clone(&hosts[1])];
    (world, two, new)
}

/// The same with these listed operators.
fn world_with(listed: &[&str]) -> (World, Vec<Arc<Host>>, Arc<Host>) {
    let chain = trunk(30);
    let hosts: Vec<_> = listed.iter().map(|name| Host::new(name, &chain)).collect();
    let new = stranger(&chain);
    let all = [hosts.as_slice(), &[Arc::clone(&new)]].concat();
    let mut world = World::new(&all);
    world.driver.servers.retain(|server| *server != new.server);
    let (discovery, warning) = Discovery::open(&world.driver.servers, true, None, clock());
    assert_eq!(warning, None);
    world.driver.discovery = discovery;
    (world, hosts, new)
}

fn stranger(chain: &[FullHeader]) -> Arc<Host> {
    let mut server = server("new");
    server.address.host = "new.example.net".into();
    server.address.port = 50002;
    server.is_tls = true;
    server.standing = Standing::Discovered;
    Host::at(server, chain)
}

fn names(host: &Host, hosts: &[&Host]) {
    let named = hosts.iter().map(|host| NamedServer {
        ip: String::new(),
        host: host.server.address.host.clone(),
        features: vec![format!("s{}", host.server.address.port)],
    });
    *host.names.lock().unwrap() = Ok(named.collect());
}

fn asked(host: &Host) -> usize {
    host.asked.load(SeqCst)
}

fn operators(world: &World) -> Vec<String> {
    world.sessions.operators().into_iter().collect()
}

#[test]
fn a_server_that_two_operators_name_is_a_second_operator() {
    let (mut world, [a, b], new) = world();
    names(&a, &[&new]);
    names(&b, &[&new]);
    assert!(world.connect_and_compare());
    assert_eq!((asked(&a), asked(&b), new.opened()), (1, 1, 0));
    b.is_down.store(true, SeqCst);
    assert!(world.connect_and_compare(), "the new one takes its place");
    assert_eq!(operators(&world), ["a", DISCOVERED]);
    assert_eq!(world.ledger.status().operators, ["a", DISCOVERED]);
    let admitted = world.net.admitted.lock().unwrap().pop().unwrap();
    assert_eq!(admitted.address, new.server.address);
    assert_eq!(admitted.operator, DISCOVERED);
    // Who is not listed is not asked, and nobody twice on a connection.
    assert_eq!((asked(&a), asked(&new)), (1, 0));
}

#[test]
fn a_server_that_one_operator_names_is_never_tried() {
    let (mut world, [a, b], new) = world();
    names(&a, &[&new]);
    for _ in 0..5 {
        world.sessions.close_all();
        assert!(world.connect_and_compare());
    }
    assert_eq!(asked(&a), 5, "once on each connection");
    b.is_down.store(true, SeqCst);
    assert!(!world.connect_and_compare());
    a.is_down.store(true, SeqCst);
    assert!(!world.connect_and_compare());
    assert_eq!(new.opened(), 0);
}

/// The two have nobody to compare them with.
#[test]
fn a_discovered_server_does_not_count_by_itself() {
    let (mut world, [a, b], new) = world();
    world.driver.operators = ElectrumOperators::Auto;
    names(&a, &[&new]);
    names(&b, &[&new]);
    assert!(world.connect_and_compare());
    b.is_down.store(true, SeqCst);
    assert!(world.connect_and_compare());
    let before = new.opened();
    assert!(before > 0);
    a.is_down.store(true, SeqCst);
    for _ in 0..3 {
        assert!(!world.connect_and_compare());
        assert_eq!(operators(&world), [] as [&str; 0]);
    }
    assert_eq!(new.opened(), before);
    assert!(world.net.kept.lock().unwrap().is_empty());
}

#[test]
fn a_listed_operator_takes_the_place_of_a_discovered_server() {
    let (mut world, [a, b], new) = world();
    names(&a, &[&new]);
    names(&b, &[&new]);
    assert!(world.connect_and_compare());
    b.is_down.store(true, SeqCst);
    for _ in 0..3 {
        assert!(world.connect_and_compare());
        assert_eq!(operators(&world), ["a", DISCOVERED]);
    }
    let warnings = world.told.lock().unwrap().clone();
    let warnings = warnings
        .iter()
        .filter(|line| line.contains("which the other might run"));
    assert_eq!(warnings.count(), 1, "once");
    // It is there, but its chain cannot be compared.
    b.is_down.store(false, SeqCst);
    b.play(|_, _, _, _| Some(Err(PeerError::Broken("x".into()))));
    b.set(&parted(&trunk(30), 20, 30, 9));
    assert!(world.connect_and_compare());
    assert_eq!(operators(&world), ["a", DISCOVERED]);
    *b.trick.lock().unwrap() = None;
    assert!(world.connect_and_compare());
    assert_eq!(operators(&world), ["a", "b"]);
    assert_eq!(world.ledger.status().operators, ["a", "b"]);
    assert!(
        world.net.kept.lock().unwrap().is_empty(),
        "lookups use it no more"
    );
}

/// It answers where it was connected to before, if not on a new circuit.
#[test]
fn a_listed_operator_is_not_given_up_for_a_discovered_server() {
    let (mut world, [a, b], new) = world();
    names(&a, &[&new]);
    names(&b, &[&new]);
    assert!(world.connect_and_compare());
    b.refuses.store(true, SeqCst);
    world.driver.redraw(&mut world.sessions);
    assert_eq!(operators(&world), ["a", DISCOVERED, "b"]);
    assert!(world.connect_and_compare());
    assert_eq!(operators(&world), ["a", "b"]);
}

/// However many are named: those that hang end together.
#[test]
fn few_discovered_servers_are_tried_in_one_round() {
    let chain = trunk(30);
    let (a, b) = (Host::new("a", &chain), Host::new("b", &chain));
    let many: Vec<_> = (0..20)
        .map(|number| {
            let mut server = stranger(&chain).server.clone();
            server.address.host = format!("new{number}.example.net");
            let host = Host::at(server, &chain);
            host.refuses.store(true, SeqCst);
            host
        })
        .collect();
    let all = [&[Arc::clone(&a), Arc::clone(&b)], many.as_slice()].concat();
    let mut world = World::new(&all);
    world.driver.servers.truncate(2);
    let (discovery, _) = Discovery::open(&world.driver.servers, true, None, clock());
    world.driver.discovery = discovery;
    let named: Vec<&Host> = many.iter().map(|host| &**host).collect();
    names(&a, &named);
    names(&b, &named);
    assert!(world.connect_and_compare());
    b.is_down.store(true, SeqCst);
    assert!(!world.connect_and_compare());
    let rested = world.net.rested.lock().unwrap().clone();
    let tried = rested
        .iter()
        .filter(|one| one.standing == Standing::Discovered);
    assert_eq!(tried.count(), 6);
}

#[test]
fn discovered_servers_are_tried_when_all_listed_ones_were() {
    let (mut world, hosts, new) = world_with(&["a", "b", "c", "d"]);
    let (a, b) = (&hosts[0], &hosts[1]);
    names(a, &[&new]);
    names(b, &[&new]);
    for host in &hosts[2..] {
        host.is_down.store(true, SeqCst);
    }
    assert!(world.connect_and_compare());
    b.is_down.store(true, SeqCst);
    hosts[3].is_down.store(false, SeqCst);
    assert!(world.connect_and_compare());
    assert_eq!(
        (operators(&world).join(" "), new.opened()),
        ("a d".into(), 0)
    );
    hosts[3].is_down.store(true, SeqCst);
    assert!(world.connect_and_compare());
    assert_eq!(operators(&world), ["a", DISCOVERED]);
    assert!(new.opened() > 0);
}

#[test]
fn who_names_nobody_has_not_failed() {
    for error in [
        PeerError::TimedOut,
        PeerError::Lied("a list that is too long".into()),
        PeerError::Broken("it answered with an error".into()),
    ] {
        let (mut world, [a, _], _) = world();
        *a.names.lock().unwrap() = Err(error);
        assert!(world.connect_and_compare());
        assert_eq!(asked(&a), 1);
        assert!(world.condemned().is_empty() && world.net.rested.lock().unwrap().is_empty());
        assert!(world.driver.record.worked_last(&a.server));
    }
}

/// Nobody is asked before its chain has been compared.
#[test]
fn a_server_that_lies_is_not_asked() {
    let (mut world, [_, liar], new) = world();
    names(&liar, &[&new]);
    liar.play(|_, _, start, count| {
        (start > 0 && count > 1).then(|| Err(PeerError::Lied("x".into())))
    });
    assert!(!world.connect_and_compare());
    assert_eq!(asked(&liar), 0);
    assert_eq!(
        world.condemned().as_slice(),
        std::slice::from_ref(&liar.server)
    );
}

#[test]
fn a_discovered_server_with_another_chain_is_not_admitted() {
    let (mut world, [a, b], new) = world();
    names(&a, &[&new]);
    names(&b, &[&new]);
    new.play(|_, _, _, _| Some(Err(PeerError::Lied("a header that is refused".into()))));
    let other = parted(&trunk(30), 20, 30, 9);
    new.set(&other);
    assert!(world.connect_and_compare());
    b.is_down.store(true, SeqCst);
    assert!(!world.connect_and_compare());
    assert_eq!(operators(&world), ["a"]);
    assert!(world.net.admitted.lock().unwrap().is_empty());
    let condemned = world.condemned();
    assert!(!condemned.is_empty());
    assert!(
        condemned
            .iter()
            .all(|one| one.address == new.server.address)
    );
}

/// A server that two do not name any more is not used any more.
#[test]
fn a_server_that_is_not_named_any_more_is_left() {
    let (mut world, [a, b], new) = world();
    names(&a, &[&new]);
    names(&b, &[&new]);
    assert!(world.connect_and_compare());
    b.is_down.store(true, SeqCst);
    assert!(world.connect_and_compare());
    assert_eq!(operators(&world), ["a", DISCOVERED]);
    let kept = world.net.kept.lock().unwrap().clone();
    assert_eq!(kept.len(), 1);
    // Others take its place among those that are kept of one operator.
    let others: Vec<Arc<Host>> = (0..24)
        .map(|number| {
            let mut server = new.server.clone();
            server.address.host = format!("other{number}.example.org");
            Host::at(server, &trunk(1))
        })
        .collect();
    names(&a, &others.iter().map(|host| &**host).collect::<Vec<_>>());
    world
        .sessions
        .open
        .iter_mut()
        .for_each(|one| one.is_asked = false);
    assert!(world.connect_and_compare());
    assert_eq!(operators(&world), ["a"]);
    assert!(world.net.kept.lock().unwrap().is_empty());
}
