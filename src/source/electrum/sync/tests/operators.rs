//! Who counts as an operator: one alone, and servers that listed ones name, in the
//! place of listed ones that are gone.

use super::*;

/// Two listed operators, `a` and `b`, and a server that is in no list.
fn sim() -> (Simulation, [Arc<Host>; 2], Arc<Host>) {
    let (sim, hosts, new) = sim_with(&["a", "b"]);
    let two = [Arc::clone(&hosts[0]), Arc::clone(&hosts[1])];
    (sim, two, new)
}

/// The same with these listed operators.
fn sim_with(listed: &[&str]) -> (Simulation, Vec<Arc<Host>>, Arc<Host>) {
    let chain = trunk(30);
    let hosts: Vec<_> = listed.iter().map(|name| Host::new(name, &chain)).collect();
    let new = stranger(&chain);
    let all = [hosts.as_slice(), &[Arc::clone(&new)]].concat();
    let mut sim = Simulation::new(&all);
    sim.driver.servers.retain(|server| *server != new.server);
    sim.driver.discovery = Discovery::open(&sim.driver.servers, true, None, clock());
    (sim, hosts, new)
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

fn operators(sim: &Simulation) -> Vec<String> {
    sim.sessions.operators().into_iter().collect()
}

#[test]
fn a_server_that_two_operators_name_is_a_second_operator() {
    let (mut sim, [a, b], new) = sim();
    names(&a, &[&new]);
    names(&b, &[&new]);
    assert!(sim.connect_and_compare());
    assert_eq!((asked(&a), asked(&b), new.opened()), (1, 1, 0));
    b.is_down.store(true, SeqCst);
    assert!(sim.connect_and_compare(), "the new one takes its place");
    assert_eq!(operators(&sim), ["a", DISCOVERED]);
    assert_eq!(sim.ledger.status().operators, ["a", DISCOVERED]);
    let admitted = sim.net.admitted.lock().unwrap().pop().unwrap();
    assert_eq!(admitted.address, new.server.address);
    assert_eq!(admitted.operator, DISCOVERED);
    // Who is not listed is not asked, and nobody twice on a connection.
    assert_eq!((asked(&a), asked(&new)), (1, 0));
}

#[test]
fn a_server_that_one_operator_names_is_never_tried() {
    let (mut sim, [a, b], new) = sim();
    names(&a, &[&new]);
    for _ in 0..5 {
        sim.sessions.close_all();
        assert!(sim.connect_and_compare());
    }
    assert_eq!(asked(&a), 5, "once on each connection");
    b.is_down.store(true, SeqCst);
    assert!(!sim.connect_and_compare());
    a.is_down.store(true, SeqCst);
    assert!(!sim.connect_and_compare());
    assert_eq!(new.opened(), 0);
}

/// The two have nobody to compare them with.
#[test]
fn a_discovered_server_does_not_count_by_itself() {
    let (mut sim, [a, b], new) = sim();
    sim.driver.operators = ElectrumOperators::Auto;
    names(&a, &[&new]);
    names(&b, &[&new]);
    assert!(sim.connect_and_compare());
    b.is_down.store(true, SeqCst);
    assert!(sim.connect_and_compare());
    let before = new.opened();
    assert!(before > 0);
    a.is_down.store(true, SeqCst);
    for _ in 0..3 {
        assert!(!sim.connect_and_compare());
        assert_eq!(operators(&sim), [] as [&str; 0]);
    }
    assert_eq!(new.opened(), before);
    assert!(sim.net.kept.lock().unwrap().is_empty());
}

#[test]
fn a_listed_operator_takes_the_place_of_a_discovered_server() {
    let (mut sim, [a, b], new) = sim();
    names(&a, &[&new]);
    names(&b, &[&new]);
    assert!(sim.connect_and_compare());
    b.is_down.store(true, SeqCst);
    for _ in 0..3 {
        assert!(sim.connect_and_compare());
        assert_eq!(operators(&sim), ["a", DISCOVERED]);
    }
    let warnings = sim.logged.lock().unwrap().clone();
    let warnings = warnings
        .iter()
        .filter(|line| line.contains("which the other might run"));
    assert_eq!(warnings.count(), 1, "once");
    // It is there, but its chain cannot be compared.
    b.is_down.store(false, SeqCst);
    b.play(|_, _, _, _| Some(Err(PeerError::Broken("x".into()))));
    b.set(&parted(&trunk(30), 20, 30, 9));
    assert!(sim.connect_and_compare());
    assert_eq!(operators(&sim), ["a", DISCOVERED]);
    *b.trick.lock().unwrap() = None;
    assert!(sim.connect_and_compare());
    assert_eq!(operators(&sim), ["a", "b"]);
    assert_eq!(sim.ledger.status().operators, ["a", "b"]);
    assert!(
        sim.net.kept.lock().unwrap().is_empty(),
        "lookups use it no more"
    );
}

/// It answers where it was connected to before, if not on a new circuit.
#[test]
fn a_listed_operator_is_not_given_up_for_a_discovered_server() {
    let (mut sim, [a, b], new) = sim();
    names(&a, &[&new]);
    names(&b, &[&new]);
    assert!(sim.connect_and_compare());
    b.refuses.store(true, SeqCst);
    sim.driver.redraw(&mut sim.sessions);
    assert_eq!(operators(&sim), ["a", DISCOVERED, "b"]);
    assert!(sim.connect_and_compare());
    assert_eq!(operators(&sim), ["a", "b"]);
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
    let mut sim = Simulation::new(&all);
    sim.driver.servers.truncate(2);
    sim.driver.discovery = Discovery::open(&sim.driver.servers, true, None, clock());
    let named: Vec<&Host> = many.iter().map(|host| &**host).collect();
    names(&a, &named);
    names(&b, &named);
    assert!(sim.connect_and_compare());
    b.is_down.store(true, SeqCst);
    assert!(!sim.connect_and_compare());
    let backed_off = sim.net.backed_off.lock().unwrap().clone();
    let tried = backed_off
        .iter()
        .filter(|one| one.standing == Standing::Discovered);
    assert_eq!(tried.count(), 6);
}

#[test]
fn discovered_servers_are_tried_when_all_listed_ones_were() {
    let (mut sim, hosts, new) = sim_with(&["a", "b", "c", "d"]);
    let (a, b) = (&hosts[0], &hosts[1]);
    names(a, &[&new]);
    names(b, &[&new]);
    for host in &hosts[2..] {
        host.is_down.store(true, SeqCst);
    }
    assert!(sim.connect_and_compare());
    b.is_down.store(true, SeqCst);
    hosts[3].is_down.store(false, SeqCst);
    assert!(sim.connect_and_compare());
    assert_eq!((operators(&sim).join(" "), new.opened()), ("a d".into(), 0));
    hosts[3].is_down.store(true, SeqCst);
    assert!(sim.connect_and_compare());
    assert_eq!(operators(&sim), ["a", DISCOVERED]);
    assert!(new.opened() > 0);
}

#[test]
fn who_names_nobody_has_not_failed() {
    for error in [
        PeerError::TimedOut,
        PeerError::Lied("a list that is too long".into()),
        PeerError::Broken("it answered with an error".into()),
    ] {
        let (mut sim, [a, _], _) = sim();
        *a.names.lock().unwrap() = Err(error);
        assert!(sim.connect_and_compare());
        assert_eq!(asked(&a), 1);
        assert!(sim.banned().is_empty() && sim.net.backed_off.lock().unwrap().is_empty());
        assert!(sim.driver.record.worked_last(&a.server));
    }
}

/// Nobody is asked before its chain has been compared.
#[test]
fn a_server_that_lies_is_not_asked() {
    let (mut sim, [_, liar], new) = sim();
    names(&liar, &[&new]);
    liar.play(|_, _, start, count| {
        (start > 0 && count > 1).then(|| Err(PeerError::Lied("x".into())))
    });
    assert!(!sim.connect_and_compare());
    assert_eq!(asked(&liar), 0);
    assert_eq!(sim.banned().as_slice(), std::slice::from_ref(&liar.server));
}

#[test]
fn a_discovered_server_with_another_chain_is_not_admitted() {
    let (mut sim, [a, b], new) = sim();
    names(&a, &[&new]);
    names(&b, &[&new]);
    new.play(|_, _, _, _| Some(Err(PeerError::Lied("a header that is refused".into()))));
    let other = parted(&trunk(30), 20, 30, 9);
    new.set(&other);
    assert!(sim.connect_and_compare());
    b.is_down.store(true, SeqCst);
    assert!(!sim.connect_and_compare());
    assert_eq!(operators(&sim), ["a"]);
    assert!(sim.net.admitted.lock().unwrap().is_empty());
    let banned = sim.banned();
    assert!(!banned.is_empty());
    assert!(banned.iter().all(|one| one.address == new.server.address));
}

/// A server that two do not name any more is not used any more.
#[test]
fn a_server_that_is_not_named_any_more_is_left() {
    let (mut sim, [a, b], new) = sim();
    names(&a, &[&new]);
    names(&b, &[&new]);
    assert!(sim.connect_and_compare());
    b.is_down.store(true, SeqCst);
    assert!(sim.connect_and_compare());
    assert_eq!(operators(&sim), ["a", DISCOVERED]);
    let kept = sim.net.kept.lock().unwrap().clone();
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
    sim.sessions
        .open
        .iter_mut()
        .for_each(|one| one.is_asked = false);
    assert!(sim.connect_and_compare());
    assert_eq!(operators(&sim), ["a"]);
    assert!(sim.net.kept.lock().unwrap().is_empty());
}

fn pair_of(wanted: ElectrumOperators) -> (Simulation, [Arc<Host>; 2]) {
    let chain = trunk(30);
    let hosts = ["a", "b"].map(|name| Host::new(name, &chain));
    let mut sim = Simulation::new(&hosts);
    sim.driver.operators = wanted;
    (sim, hosts)
}

fn warnings_of_one(sim: &Simulation) -> usize {
    let logged = sim.logged.lock().unwrap();
    let mut alone = logged
        .iter()
        .filter(|line| line.contains("only a of the known"));
    assert!(alone.all(|line| line.contains("warning: ") || line.contains("info: ")));
    let warned = logged
        .iter()
        .filter(|line| line.contains("warning: only a of"));
    warned.count()
}

#[test]
fn one_goes_on_alone_once_all_were_tried_and_two_when_there_are_two() {
    let (mut sim, [_, other]) = pair_of(ElectrumOperators::Auto);
    other.is_down.store(true, SeqCst);
    assert!(!sim.connect_and_compare(), "the search goes on");
    assert_eq!(sim.ledger.usable_tip(), Ok(30));
    assert_eq!(sim.net.compared.load(SeqCst), 1);
    assert!(sim.has_logged("it could hide a name or its newest value"));
    assert!(!sim.connect_and_compare());
    assert_eq!(warnings_of_one(&sim), 1);
    other.is_down.store(false, SeqCst);
    assert!(sim.connect_and_compare());
    assert_eq!(sim.ledger.usable_tip(), Ok(30));
    assert_eq!(sim.net.compared.load(SeqCst), 2);
    assert_eq!(sim.ledger.status().operators, ["a", "b"]);
}

/// Not for the moment in which a server starts anew, and not for a day either.
#[test]
fn a_lost_operator_counts_for_one_round_more() {
    for wanted in [ElectrumOperators::Auto, ElectrumOperators::Two] {
        let (mut sim, [_, other]) = pair_of(wanted);
        assert!(sim.connect_and_compare());
        other.is_down.store(true, SeqCst);
        assert!(!sim.connect_and_compare());
        assert_eq!(sim.ledger.usable_tip(), Ok(30));
        assert_eq!(warnings_of_one(&sim), 0);
        assert!(!sim.connect_and_compare());
        assert_eq!(warnings_of_one(&sim), 1);
        assert_eq!(sim.ledger.status().operators, ["a"]);
        let is_believed = wanted == ElectrumOperators::Auto;
        assert_eq!(sim.ledger.usable_tip().is_ok(), is_believed);
        // What comes and goes is no reason for another warning.
        for is_down in [false, true, true] {
            other.is_down.store(is_down, SeqCst);
            assert_eq!(sim.connect_and_compare(), !is_down);
        }
        assert_eq!(warnings_of_one(&sim), 1);
    }
}

#[test]
fn where_two_are_wanted_one_is_not_enough_and_that_is_said() {
    let (mut sim, [_, other]) = pair_of(ElectrumOperators::Two);
    other.is_down.store(true, SeqCst);
    assert!(!sim.connect_and_compare());
    assert!(sim.is_at(&trunk(30)), "its headers are taken all the same");
    let obstacle = sim.ledger.usable_tip().unwrap_err();
    assert_eq!(obstacle, NotReadyError::SingleOperator("a".to_owned()));
    assert_eq!(sim.net.compared.load(SeqCst), 0);
    other.is_down.store(false, SeqCst);
    assert!(sim.connect_and_compare());
    assert_eq!(sim.ledger.usable_tip(), Ok(30));
}

#[test]
fn where_one_is_wanted_no_other_is_tried() {
    let chain = trunk(30);
    let hosts = ["a", "b"].map(|name| Host::new(name, &chain));
    let headers = Headers::new(Network::Regtest, Network::Regtest.checkpoint());
    let mut sim = Simulation::new(&hosts);
    sim.driver.operators = ElectrumOperators::One;
    sim.ledger = Arc::new(Ledger::new(headers, 1, clock));
    sim.driver.ledger = Arc::clone(&sim.ledger);
    assert!(sim.connect_and_compare());
    assert_eq!(sim.ledger.usable_tip(), Ok(30));
    assert_eq!(sim.ledger.status().operators.len(), 1);
}

/// Nobody is heard: what was compared before holds until it is too old.
#[test]
fn if_all_are_lost_nothing_changes() {
    let (mut sim, hosts) = pair_of(ElectrumOperators::Auto);
    assert!(sim.connect_and_compare());
    hosts
        .iter()
        .for_each(|host| host.is_down.store(true, SeqCst));
    for _ in 0..3 {
        assert!(!sim.connect_and_compare());
    }
    assert_eq!(sim.ledger.usable_tip(), Ok(30));
    assert_eq!(sim.ledger.status().operators, ["a", "b"]);
}
