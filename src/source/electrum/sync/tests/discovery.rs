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
    let (discovery, warning) = Discovery::open(&world.driver.servers, true, None);
    assert_eq!(warning, None);
    world.driver.discovery = discovery;
    (world, hosts, new)
}

fn stranger(chain: &[SealedHeader]) -> Arc<Host> {
    let mut server = server("new");
    server.address.host = "new.example.net".into();
    server.address.port = 50002;
    server.is_tls = true;
    server.standing = Standing::Discovered;
    Host::at(server, chain)
}

fn names(host: &Host, hosts: &[&Host]) {
    let named = hosts.iter().map(|host| Named {
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
    assert!(world.settle());
    assert_eq!((asked(&a), asked(&b), new.opened()), (1, 1, 0));
    b.is_down.store(true, SeqCst);
    assert!(world.settle(), "the new one takes its place");
    assert_eq!(operators(&world), ["a", DISCOVERED]);
    assert_eq!(world.ledger.status().operators, ["a", DISCOVERED]);
    let admitted = world.net.admitted.lock().unwrap().pop().unwrap();
    assert_eq!(admitted.address, new.server.address);
    assert_eq!(admitted.operator, DISCOVERED);
    // Who is not listed is not asked, and nobody twice on a connection.
    assert_eq!((asked(&a), asked(&new)), (1, 0));
}

#[test]
fn a_server_that_one_operator_names_is_that_operators() {
    let (mut world, [a, b], new) = world();
    names(&a, &[&new]);
    for _ in 0..2 {
        world.sessions.close_all();
        assert!(world.settle());
    }
    assert_eq!(asked(&a), 2, "once on each connection");
    b.is_down.store(true, SeqCst);
    assert!(!world.settle());
    assert!(!world.settle());
    assert_eq!((operators(&world), new.opened()), (vec!["a".to_owned()], 0));
    // It can take the place of its operator's own.
    a.is_down.store(true, SeqCst);
    assert!(!world.settle());
    assert_eq!(operators(&world), ["a"]);
    assert!(new.opened() > 0);
    // But not make another.
    b.is_down.store(false, SeqCst);
    assert!(world.settle());
    assert_eq!(operators(&world), ["a", "b"]);
}

#[test]
fn discovered_servers_are_tried_when_the_listed_ones_run_short() {
    let (mut world, hosts, new) = world_with(&["a", "b", "c", "d"]);
    let (a, b) = (&hosts[0], &hosts[1]);
    names(a, &[&new]);
    names(b, &[&new]);
    for host in &hosts[2..] {
        host.is_down.store(true, SeqCst);
    }
    assert!(world.settle());
    b.is_down.store(true, SeqCst);
    hosts[3].is_down.store(false, SeqCst);
    assert!(world.settle());
    assert_eq!(
        (operators(&world).join(" "), new.opened()),
        ("a d".into(), 0)
    );
    hosts[3].is_down.store(true, SeqCst);
    assert!(world.settle());
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
        assert!(world.settle());
        assert_eq!(asked(&a), 1);
        assert!(world.condemned().is_empty() && world.net.rested.lock().unwrap().is_empty());
        assert!(world.driver.record.is_good(&a.server));
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
    assert!(!world.settle());
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
    assert!(world.settle());
    b.is_down.store(true, SeqCst);
    assert!(!world.settle());
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

/// A server that nobody names any more is not used any more.
#[test]
fn lookups_learn_which_servers_are_left() {
    let (mut world, [a, b], new) = world();
    names(&a, &[&new]);
    names(&b, &[&new]);
    assert!(world.settle());
    let kept = |world: &World| world.net.kept.lock().unwrap().clone();
    assert_eq!(kept(&world).len(), 1);
    let other = stranger(&trunk(1));
    let mut elsewhere = other.server.clone();
    elsewhere.address.host = "other.example.org".into();
    let other = Host::at(elsewhere, &trunk(1));
    for host in [&a, &b] {
        names(host, &[&other]);
    }
    world.sessions.close_all();
    assert!(world.settle());
    let hosts: Vec<_> = kept(&world)
        .into_iter()
        .map(|one| one.address.host)
        .collect();
    assert_eq!(hosts, ["other.example.org"]);
}

/// However quick it may be.
#[test]
fn a_discovered_server_does_not_take_the_place_of_a_listed_one_that_works() {
    let (mut world, [a, b], new) = world();
    names(&a, &[&new]);
    names(&b, &[&new]);
    assert!(world.settle());
    b.is_down.store(true, SeqCst);
    assert!(world.settle());
    let before = new.opened();
    assert!(before > 0);
    b.is_down.store(false, SeqCst);
    // As the survey finds out.
    world.driver.record.worked(&b.server);
    for _ in 0..20 {
        world.sessions.close_all();
        assert!(world.settle());
        assert_eq!(operators(&world), ["a", "b"]);
    }
    assert_eq!(new.opened(), before);
}
