use std::time::Duration;

use super::super::catch_up::{Caught, PATIENCE, catch_up, is_too_slow};
use super::super::peer::MOST_HEADERS;
use super::*;

fn compare(ledger: &Ledger, host: &Arc<Host>) -> Result<Caught, PeerError> {
    catch_up(ledger, &host.connect(), MOST_HEADERS, &Cancel::new())
}

fn tip(ledger: &Ledger) -> Header {
    *ledger.headers().tip().unwrap().1
}

#[test]
fn the_branch_with_the_most_work_wins_at_any_depth() {
    let ours = trunk(200);
    for depth in [1, 50, 150, 200] {
        for more in [0, 1, 700] {
            let ledger = ledger_of(&ours);
            let theirs = parted(&ours, 200 - depth, depth + more, 1);
            let caught = compare(&ledger, &Host::new("a", &theirs)).unwrap();
            let winner = if more > 0 { &theirs } else { &ours };
            assert_eq!(tip(&ledger), winner.last().unwrap().header);
            let lost = if more > 0 { depth } else { 0 };
            assert_eq!(caught.depth as usize, lost);
            assert_eq!(caught.was_vain, more == 0);
        }
    }
}

#[test]
fn a_shorter_branch_does_not_win() {
    let ours = trunk(200);
    let ledger = ledger_of(&ours);
    let host = Host::new("a", &parted(&ours, 20, 100, 1));
    assert!(compare(&ledger, &host).unwrap().was_vain);
    assert_eq!(tip(&ledger), ours[200].header);
}

#[test]
fn a_chain_that_is_ours_or_begins_ours_costs_no_request() {
    let ours = trunk(200);
    let ledger = ledger_of(&ours);
    for theirs in [&ours[..], &ours[..=100]] {
        let host = Host::new("a", theirs);
        let caught = compare(&ledger, &host).unwrap();
        assert!(!caught.was_vain && caught.count == 0);
        assert!(host.requests().is_empty());
    }
}

#[test]
fn what_extends_our_chain_is_kept_when_the_connection_breaks() {
    let theirs = trunk(1700);
    let host = Host::new("a", &theirs);
    host.play(|_, _, start, _| (start > 1100).then(|| Err(PeerError::Broken("gone".into()))));
    let ledger = ledger_of(&theirs[..=100]);
    assert!(matches!(compare(&ledger, &host), Err(PeerError::Broken(_))));
    assert_eq!(tip(&ledger), theirs[1100].header);
}

#[test]
fn a_server_whose_chain_changes_between_two_replies_does_not_lie() {
    let before = trunk(1700);
    let after = parted(&before, 900, 900, 1);
    let host = Host::new("a", &before);
    let later = after.clone();
    host.play(move |_, _, start, count| {
        let start = usize::try_from(start).unwrap();
        let end = (start + usize::try_from(count).unwrap()).min(later.len());
        (start > 1100).then(|| Ok(later[start..end].to_vec()))
    });
    let ledger = ledger_of(&before[..=100]);
    assert!(matches!(compare(&ledger, &host), Err(PeerError::Broken(_))));
    assert_eq!(tip(&ledger), before[1100].header);
    host.set(&after);
    compare(&ledger, &host).unwrap();
    assert_eq!(tip(&ledger), after.last().unwrap().header);
}

#[test]
fn another_genesis_is_a_lie() {
    let ours = trunk(20);
    let mut theirs = trunk(1);
    theirs[0] = testing::mine(testing::first(1, 0x207f_ffff), true);
    let theirs = grown(&theirs[..1], 30, 0);
    let ledger = ledger_of(&ours);
    let result = compare(&ledger, &Host::new("a", &theirs));
    assert!(matches!(result, Err(PeerError::Lied(_))));
    assert_eq!(tip(&ledger), ours[20].header);
}

#[test]
fn work_is_verified() {
    let ours = trunk(20);
    let ledger = ledger_of(&ours);
    let mut theirs = grown(&ours, 2, 1);
    theirs[22] = testing::mine(theirs[22].header, false);
    let result = compare(&ledger, &Host::new("a", &theirs));
    assert!(matches!(result, Err(PeerError::Lied(_))));
}

#[test]
fn cancelling_ends_it_after_a_request() {
    let theirs = trunk(1700);
    let host = Host::new("a", &theirs);
    let cancel = Cancel::new();
    cancel.set();
    let ledger = ledger_of(&theirs[..=100]);
    let result = catch_up(&ledger, &host.connect(), MOST_HEADERS, &cancel);
    assert_eq!(result, Err(PeerError::TimedOut));
    assert_eq!(host.requests().len(), 1);
}

/// A server can answer just before each request's time is up, with the fewest
/// headers that are worth having or with the most.
#[test]
fn a_branch_that_drips_is_given_up_within_hours() {
    let after = |requests: u32, each: u32| {
        let headers = usize::try_from(requests * each).unwrap();
        is_too_slow(headers, PATIENCE * requests)
    };
    let longest = |each| (1..400).find(|requests| after(*requests, each));
    let limit = longest(25).unwrap();
    assert!(PATIENCE * limit < Duration::from_secs(600), "{limit}");
    assert_eq!(longest(MOST_HEADERS), None);
    assert!(!is_too_slow(0, PATIENCE));
}
