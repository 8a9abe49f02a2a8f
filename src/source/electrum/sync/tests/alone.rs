//! One operator alone answers, though there are others.

use super::super::ledger::Obstacle;
use super::*;

fn world(wanted: ElectrumOperators) -> (World, [Arc<Host>; 2]) {
    let chain = trunk(30);
    let hosts = ["a", "b"].map(|name| Host::new(name, &chain));
    let mut world = World::new(&hosts);
    world.driver.wanted = wanted;
    (world, hosts)
}

fn warnings(world: &World) -> usize {
    let told = world.told.lock().unwrap();
    let mut alone = told
        .iter()
        .filter(|line| line.contains("only a of the known"));
    assert!(alone.all(|line| line.contains("warning: ") || line.contains("info: ")));
    let warned = told
        .iter()
        .filter(|line| line.contains("warning: only a of"));
    warned.count()
}

#[test]
fn one_goes_on_alone_once_all_were_tried_and_two_when_there_are_two() {
    let (mut world, [_, other]) = world(ElectrumOperators::Auto);
    other.is_down.store(true, SeqCst);
    assert!(!world.settle(), "the search goes on");
    assert_eq!(world.ledger.settled(), Ok(30));
    assert_eq!(world.net.compared.load(SeqCst), 1);
    assert!(world.was_told("it could hide a name or its newest value"));
    assert!(!world.settle());
    assert_eq!(warnings(&world), 1);
    other.is_down.store(false, SeqCst);
    assert!(world.settle());
    assert_eq!(world.ledger.settled(), Ok(30));
    assert_eq!(world.net.compared.load(SeqCst), 2);
    assert_eq!(world.ledger.status().operators, ["a", "b"]);
}

/// Not for the moment in which a server starts anew, and not for a day either.
#[test]
fn a_lost_operator_counts_for_one_round_more() {
    for wanted in [ElectrumOperators::Auto, ElectrumOperators::Two] {
        let (mut world, [_, other]) = world(wanted);
        assert!(world.settle());
        other.is_down.store(true, SeqCst);
        assert!(!world.settle());
        assert_eq!(world.ledger.settled(), Ok(30));
        assert_eq!(warnings(&world), 0);
        assert!(!world.settle());
        assert_eq!(warnings(&world), 1);
        assert_eq!(world.ledger.status().operators, ["a"]);
        let is_believed = wanted == ElectrumOperators::Auto;
        assert_eq!(world.ledger.settled().is_ok(), is_believed);
        // What comes and goes is no reason for another warning.
        for is_down in [false, true, true] {
            other.is_down.store(is_down, SeqCst);
            assert_eq!(world.settle(), !is_down);
        }
        assert_eq!(warnings(&world), 1);
    }
}

#[test]
fn where_two_are_wanted_one_is_not_enough_and_that_is_said() {
    let (mut world, [_, other]) = world(ElectrumOperators::Two);
    other.is_down.store(true, SeqCst);
    assert!(!world.settle());
    let obstacle = world.ledger.settled().unwrap_err();
    assert_eq!(obstacle, Obstacle::Alone("a".to_owned()));
    assert_eq!(world.net.compared.load(SeqCst), 0);
    other.is_down.store(false, SeqCst);
    assert!(world.settle());
    assert_eq!(world.ledger.settled(), Ok(30));
}

#[test]
fn where_one_is_wanted_no_other_is_tried() {
    let chain = trunk(30);
    let hosts = ["a", "b"].map(|name| Host::new(name, &chain));
    let headers = Headers::new(Network::Regtest, Network::Regtest.checkpoint());
    let mut world = World::new(&hosts);
    world.driver.wanted = ElectrumOperators::One;
    world.ledger = Arc::new(Ledger::new(headers, 1, clock));
    world.driver.ledger = Arc::clone(&world.ledger);
    assert!(world.settle());
    assert_eq!(world.ledger.settled(), Ok(30));
    assert_eq!(world.ledger.status().operators.len(), 1);
}

/// Nobody is heard: what was compared before holds until it is too old.
#[test]
fn if_all_are_lost_nothing_changes() {
    let (mut world, hosts) = world(ElectrumOperators::Auto);
    assert!(world.settle());
    hosts
        .iter()
        .for_each(|host| host.is_down.store(true, SeqCst));
    for _ in 0..3 {
        assert!(!world.settle());
    }
    assert_eq!(world.ledger.settled(), Ok(30));
    assert_eq!(world.ledger.status().operators, ["a", "b"]);
}
