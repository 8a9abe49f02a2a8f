use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use super::super::ledger::Obstacle;
use super::*;
use crate::snapshot::FailureKind;
use crate::source::Bounds;

fn empty(needed: usize) -> Ledger {
    let headers = Headers::new(Network::Regtest, Network::Regtest.checkpoint());
    Ledger::new(headers, needed, clock)
}

fn limit(milliseconds: u64) -> Bounds {
    Bounds {
        due: Instant::now() + Duration::from_millis(milliseconds),
        deadline: Instant::now() + Duration::from_millis(milliseconds),
        cancel: Cancel::new(),
    }
}

#[test]
fn obstacles_are_told_in_the_order_in_which_they_go() {
    let ledger = empty(2);
    let obstacle = || ledger.settled().unwrap_err().to_string();
    assert_eq!(
        obstacle(),
        "block headers are still being fetched (0 of a number that no server has told)"
    );
    ledger.aim(300);
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
    assert!(ledger.settled().is_err(), "twice the same is one");
    ledger.answered("b");
    assert_eq!(ledger.settled(), Ok(99));
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
    let obstacle = ledger.settled().unwrap_err();
    assert!(matches!(obstacle, Obstacle::Fetching { tip: 60, .. }));
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
    assert!(ledger.settled().is_err());
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
    let obstacle = ledger.settled().unwrap_err();
    assert!(matches!(obstacle, Obstacle::Fetching { tip: 20, .. }));
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
    let failure = ledger.wait(&limit(30)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::NotReady);
    ledger.trouble("a.example: refused".to_owned());
    let failure = ledger.wait(&limit(0)).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unreachable);
    let cancelled = limit(30_000);
    cancelled.cancel.set();
    assert!(ledger.wait(&cancelled).is_err());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| ledger.wait(&limit(30_000)));
        ledger.answered("a");
        assert_eq!(waiting.join().unwrap().unwrap(), 10);
    });
}
