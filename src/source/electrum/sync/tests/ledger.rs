use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use super::*;
use crate::snapshot::FailureKind;
use crate::source::Bounds;
use crate::source::electrum::sync::ledger::NotReadyError;
use crate::source::electrum::testing as fixtures;

fn empty(needed: usize) -> Ledger {
    let headers = Headers::new(Network::Regtest, Network::Regtest.checkpoint());
    Ledger::new(headers, needed, clock)
}

fn bounds(milliseconds: u64) -> Bounds {
    fixtures::bounds(Duration::from_millis(milliseconds))
}

#[test]
fn obstacles_are_told_in_the_order_in_which_they_go() {
    let ledger = empty(2);
    let obstacle = || ledger.usable_tip().unwrap_err().to_string();
    assert_eq!(
        obstacle(),
        "block headers are still being fetched (0 of a number that no server has told)"
    );
    ledger.raise_target(300);
    assert_eq!(
        obstacle(),
        "block headers are still being fetched (0 of 300)"
    );
    ledger.trouble("a.example: refused".to_owned());
    assert_eq!(
        obstacle(),
        "no Electrum server gives block headers: a.example: refused"
    );
    ledger.change(|headers| *headers = testing::regtest(100));
    ledger.answered("a");
    assert_eq!(
        obstacle(),
        "block headers are still being compared (1 of 2 operators answered)"
    );
    ledger.answered("a");
    assert!(ledger.usable_tip().is_err(), "twice the same is one");
    ledger.answered("b");
    assert_eq!(ledger.usable_tip(), Ok(99));
    let status = ledger.status();
    assert_eq!((status.tip, status.target), (Some(99), 300));
    assert_eq!(status.operators, ["a", "b"]);
    assert_eq!((status.trouble, status.obstacle), (None, None));
}

#[test]
fn a_chain_that_lacks_headers_or_is_old_does_not_count() {
    let chain = trunk(60);
    let checkpoint = Checkpoint {
        height: 60,
        hash: chain[60].header.block_hash(),
    };
    let mut headers = Headers::new(Network::Regtest, checkpoint);
    headers.anchor(chain[60].header).unwrap();
    let ledger = Ledger::new(headers, 1, clock);
    ledger.answered("a");
    let obstacle = ledger.usable_tip().unwrap_err();
    assert!(matches!(obstacle, NotReadyError::Fetching { tip: 60, .. }));
    let old = testing::mainnet(900_000, 0x1b00_b269, |height| height * 600);
    let ledger = Ledger::new(old, 1, clock);
    ledger.answered("a");
    ledger.change(|headers| {
        let needed = headers.lowest_needed(900_000);
        assert!(
            headers.lowest().unwrap() > needed,
            "no names could be found"
        );
    });
    assert!(ledger.usable_tip().is_err());
}

/// Trouble with one server is not told once headers come from another.
#[test]
fn progress_ends_trouble() {
    let chain = trunk(20);
    let ledger = ledger_of(&chain[..=10]);
    ledger.trouble("a.example: refused".to_owned());
    let mut candidate = ledger.headers().candidate(10).unwrap();
    for header in &chain[11..] {
        candidate.push(&ledger.headers(), header, clock()).unwrap();
    }
    let _ = ledger.adopt(&candidate);
    assert_eq!(ledger.status().trouble, None);
    let obstacle = ledger.usable_tip().unwrap_err();
    assert!(matches!(obstacle, NotReadyError::Fetching { tip: 20, .. }));
}

/// Why there are not enough operators is known also after one has brought
/// headers.
#[test]
fn trouble_matters_while_operators_are_missing() {
    let chain = trunk(20);
    let ledger = Ledger::new(ledger_of(&chain[..=10]).headers().clone(), 2, clock);
    ledger.trouble("a.example: it lied".to_owned());
    let mut candidate = ledger.headers().candidate(10).unwrap();
    for header in &chain[11..] {
        candidate.push(&ledger.headers(), header, clock()).unwrap();
    }
    let _ = ledger.adopt(&candidate);
    ledger.answered("b");
    let trouble = ledger.status().trouble;
    assert_eq!(trouble.as_deref(), Some("a.example: it lied"));
    ledger.answered("c");
    assert_eq!(ledger.status().trouble, None);
}

#[test]
fn only_operators_drawn_anew_count() {
    let ledger = ledger_of(&trunk(10));
    for operator in ["a", "b", "c"] {
        ledger.answered(operator);
    }
    ledger.keep_only(&BTreeSet::from(["c".to_owned()]));
    assert_eq!(ledger.status().operators, ["c"]);
}

#[test]
fn waiting_ends_with_the_limit_or_with_the_obstacle() {
    let ledger = ledger_of(&trunk(10));
    let failure = ledger.wait(&bounds(30)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::NotReady);
    ledger.trouble("a.example: refused".to_owned());
    let failure = ledger.wait(&bounds(0)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable);
    let cancelled = bounds(30_000);
    cancelled.cancel.set();
    assert!(ledger.wait(&cancelled).is_err());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| ledger.wait(&bounds(30_000)));
        ledger.answered("a");
        assert_eq!(waiting.join().unwrap().unwrap(), 10);
    });
}

fn world(wanted: ElectrumOperators) -> (World, [Arc<Host>; 2]) {
    let chain = trunk(30);
    let hosts = ["a", "b"].map(|name| Host::new(name, &chain));
    let mut world = World::new(&hosts);
    world.driver.operators = wanted;
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
    assert!(!world.connect_and_compare(), "the search goes on");
    assert_eq!(world.ledger.usable_tip(), Ok(30));
    assert_eq!(world.net.compared.load(SeqCst), 1);
    assert!(world.was_told("it could hide a name or its newest value"));
    assert!(!world.connect_and_compare());
    assert_eq!(warnings(&world), 1);
    other.is_down.store(false, SeqCst);
    assert!(world.connect_and_compare());
    assert_eq!(world.ledger.usable_tip(), Ok(30));
    assert_eq!(world.net.compared.load(SeqCst), 2);
    assert_eq!(world.ledger.status().operators, ["a", "b"]);
}

/// Not for the moment in which a server starts anew, and not for a day either.
#[test]
fn a_lost_operator_counts_for_one_round_more() {
    for wanted in [ElectrumOperators::Auto, ElectrumOperators::Two] {
        let (mut world, [_, other]) = world(wanted);
        assert!(world.connect_and_compare());
        other.is_down.store(true, SeqCst);
        assert!(!world.connect_and_compare());
        assert_eq!(world.ledger.usable_tip(), Ok(30));
        assert_eq!(warnings(&world), 0);
        assert!(!world.connect_and_compare());
        assert_eq!(warnings(&world), 1);
        assert_eq!(world.ledger.status().operators, ["a"]);
        let is_believed = wanted == ElectrumOperators::Auto;
        assert_eq!(world.ledger.usable_tip().is_ok(), is_believed);
        // What comes and goes is no reason for another warning.
        for is_down in [false, true, true] {
            other.is_down.store(is_down, SeqCst);
            assert_eq!(world.connect_and_compare(), !is_down);
        }
        assert_eq!(warnings(&world), 1);
    }
}

#[test]
fn where_two_are_wanted_one_is_not_enough_and_that_is_said() {
    let (mut world, [_, other]) = world(ElectrumOperators::Two);
    other.is_down.store(true, SeqCst);
    assert!(!world.connect_and_compare());
    let obstacle = world.ledger.usable_tip().unwrap_err();
    assert_eq!(obstacle, NotReadyError::SingleOperator("a".to_owned()));
    assert_eq!(world.net.compared.load(SeqCst), 0);
    other.is_down.store(false, SeqCst);
    assert!(world.connect_and_compare());
    assert_eq!(world.ledger.usable_tip(), Ok(30));
}

#[test]
fn where_one_is_wanted_no_other_is_tried() {
    let chain = trunk(30);
    let hosts = ["a", "b"].map(|name| Host::new(name, &chain));
    let headers = Headers::new(Network::Regtest, Network::Regtest.checkpoint());
    let mut world = World::new(&hosts);
    world.driver.operators = ElectrumOperators::One;
    world.ledger = Arc::new(Ledger::new(headers, 1, clock));
    world.driver.ledger = Arc::clone(&world.ledger);
    assert!(world.connect_and_compare());
    assert_eq!(world.ledger.usable_tip(), Ok(30));
    assert_eq!(world.ledger.status().operators.len(), 1);
}

/// Nobody is heard: what was compared before holds until it is too old.
#[test]
fn if_all_are_lost_nothing_changes() {
    let (mut world, hosts) = world(ElectrumOperators::Auto);
    assert!(world.connect_and_compare());
    hosts
        .iter()
        .for_each(|host| host.is_down.store(true, SeqCst));
    for _ in 0..3 {
        assert!(!world.connect_and_compare());
    }
    assert_eq!(world.ledger.usable_tip(), Ok(30));
    assert_eq!(world.ledger.status().operators, ["a", "b"]);
}
