//! Following one server's chain, honest or not.

use super::*;
use crate::source::electrum::sync::peer::{
    REQUEST_TIMEOUT, catch_up, fetch_below, fetch_checkpoint, is_too_slow,
};

fn compare(ledger: &Ledger, host: &Arc<Host>) -> Result<Caught, PeerError> {
    catch_up(ledger, &host.connect(), MAX_BATCH, &Cancel::new())
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
            assert_eq!(caught.was_useless, more == 0);
        }
    }
}

#[test]
fn a_chain_that_is_ours_or_begins_ours_costs_no_request() {
    let ours = trunk(200);
    let ledger = ledger_of(&ours);
    for theirs in [&ours[..], &ours[..=100]] {
        let host = Host::new("a", theirs);
        let caught = compare(&ledger, &host).unwrap();
        assert!(!caught.was_useless && caught.count == 0);
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
    let result = catch_up(&ledger, &host.connect(), MAX_BATCH, &cancel);
    assert_eq!(result, Err(PeerError::TimedOut));
    assert_eq!(host.requests().len(), 1);
}

/// A server can answer just before each request's time is up, with the fewest
/// headers that are worth having or with the most.
#[test]
fn a_branch_that_drips_is_given_up_within_hours() {
    let after = |requests: u32, each: u32| {
        let headers = usize::try_from(requests * each).unwrap();
        is_too_slow(headers, REQUEST_TIMEOUT * requests)
    };
    let longest = |each| (1..400).find(|requests| after(*requests, each));
    let limit = longest(25).unwrap();
    assert!(
        REQUEST_TIMEOUT * limit < Duration::from_secs(600),
        "{limit}"
    );
    assert_eq!(longest(MAX_BATCH), None);
    assert!(!is_too_slow(0, REQUEST_TIMEOUT));
}

/// A ledger whose checkpoint is a block in the middle of the chain.
fn ledger(chain: &[FullHeader], height: u32) -> Ledger {
    let headers = Headers::new(Network::Regtest, checkpoint(chain, height));
    Ledger::new(headers, 1, clock)
}

fn checkpoint(chain: &[FullHeader], height: u32) -> Checkpoint {
    Checkpoint {
        height,
        hash: chain[height as usize].header.block_hash(),
    }
}

fn go(ledger: &Ledger, host: &Arc<Host>, batch: u32) -> Result<(), PeerError> {
    let (peer, cancel) = (host.connect(), Cancel::new());
    fetch_checkpoint(ledger, &peer, batch, &cancel, |_, _| {})?;
    fetch_below(ledger, &peer, batch, &cancel, |_, _| {})
}

#[test]
fn headers_below_a_checkpoint_are_fetched_as_far_as_they_are_needed() {
    let chain = trunk(2200);
    for (height, lowest) in [(5, 0), (100, 0), (2016, 1986), (2020, 1990), (2060, 2015)] {
        for batch in [MAX_BATCH, 30] {
            let host = Host::new("a", &chain);
            let ledger = ledger(&chain, height);
            go(&ledger, &host, batch).unwrap();
            assert_eq!(ledger.headers().lowest(), Some(lowest), "{height}");
            assert!(ledger.headers().is_complete());
            let asked = host.requests().len();
            go(&ledger, &host, batch).unwrap();
            assert_eq!(host.requests().len(), asked, "nothing twice");
        }
    }
}

#[test]
fn a_sim_with_a_checkpoint_in_the_middle_is_synchronised() {
    let chain = trunk(300);
    let hosts = ["a", "b"].map(|name| Host::new(name, &chain));
    let mut sim = Simulation::from(&hosts, checkpoint(&chain, 100));
    assert!(sim.connect_and_compare());
    assert!(sim.is_at(&chain));
    assert_eq!(sim.ledger.usable_tip(), Ok(300));
    assert_eq!(sim.ledger.headers().lowest(), Some(0));
}

#[test]
fn what_does_not_link_to_the_checkpoint_is_a_lie() {
    let chain = trunk(300);
    let ledger = ledger(&chain, 200);
    let other = Host::new("a", &parted(&chain, 150, 150, 1));
    assert!(matches!(
        go(&ledger, &other, MAX_BATCH),
        Err(PeerError::Lied(_))
    ));
    assert_eq!(ledger.headers().tip(), None);
    let forged = Host::new("a", &chain);
    forged.play(|chain, _, start, count| {
        let mut headers = honest(chain, start, count);
        if let Ok(headers) = &mut headers
            && count > 1
        {
            headers[0].header.nonce += 1;
        }
        Some(headers)
    });
    assert!(matches!(go(&ledger, &forged, 50), Err(PeerError::Lied(_))));
    // What linked is kept, and the next goes on from there.
    assert_eq!(ledger.headers().lowest(), Some(151));
    go(&ledger, &Host::new("b", &chain), 50).unwrap();
    assert_eq!(ledger.headers().lowest(), Some(0));
}

/// A process that is to end does not fetch thousands of headers first.
#[test]
fn cancelling_ends_it_between_two_requests() {
    let chain = trunk(300);
    let ledger = ledger(&chain, 200);
    let host = Host::new("a", &chain);
    let cancel = Cancel::new();
    let during = cancel.clone();
    host.play(move |_, _, _, count| {
        if count > 1 {
            during.set();
        }
        None
    });
    let ended = fetch_checkpoint(&ledger, &host.connect(), 10, &cancel, |_, _| {});
    assert_eq!(ended, Err(PeerError::TimedOut));
    assert_eq!(
        host.requests().len(),
        2,
        "the checkpoint's, and ten below it"
    );
}

/// Two honest servers and one of which the tests make a liar.
fn sim() -> (Simulation, [Arc<Host>; 2], Vec<FullHeader>) {
    let chain = trunk(600);
    let hosts = [Host::new("honest", &chain), Host::new("liar", &chain)];
    (Simulation::new(&hosts), hosts, chain)
}

/// An announcement that comes to nothing costs the connection, and few requests.
#[test]
fn a_height_that_is_never_reached_ends_the_connection() {
    for announced in [u32::MAX, u32::MAX - 1, 601, 5000] {
        let (mut sim, [_, liar], chain) = sim();
        liar.announce(announced, chain[5].header);
        assert!(!sim.connect_and_compare());
        assert!(sim.is_at(&chain));
        assert_eq!(sim.sessions.operators().len(), 1);
        assert!(liar.requests().len() < 10, "{:?}", liar.requests());
    }
}

#[test]
fn a_newest_block_that_is_not_in_the_chain_does_not_count_as_heard() {
    let (mut sim, [_, liar], chain) = sim();
    let other = parted(&chain, 590, 10, 3);
    liar.announce(600, other[600].header);
    assert!(!sim.connect_and_compare());
    assert_eq!(sim.ledger.status().operators, ["honest"]);
}

/// A branch with less work grows all the time, and is compared less and less
/// often.
#[test]
fn a_branch_with_less_work_does_not_cause_endless_work() {
    let (mut sim, [_, liar], chain) = sim();
    let mut branch = parted(&chain, 100, 300, 3);
    liar.set(&branch);
    assert!(sim.connect_and_compare());
    let before = liar.requests().len();
    for _ in 0..100 {
        branch = grown(&branch, 1, 3);
        liar.set(&branch);
        sim.poll();
    }
    assert_eq!(sim.sessions.operators().len(), 2);
    assert!(liar.requests().len() - before < 20);
    // One that wins in the end does so.
    assert!(sim.is_at(&chain));
}

/// A new block that is none, every second.
#[test]
fn garbage_in_announcements_ends_the_connection() {
    let (mut sim, [_, liar], chain) = sim();
    assert!(sim.connect_and_compare());
    let before = liar.requests().len();
    for salt in 1..100 {
        let block = testing::branch(&chain[599].header, 1, salt)[0].header;
        liar.announce(600, block);
        sim.poll();
    }
    assert_eq!(sim.sessions.operators().len(), 1);
    assert!(liar.requests().len() - before < 5);
}

#[test]
fn headers_one_at_a_time_are_not_waited_for() {
    let (mut sim, [_, liar], chain) = sim();
    liar.play(|chain, _, start, _| Some(honest(chain, start, 1)));
    sim.connect_and_compare();
    assert!(sim.is_at(&chain));
    assert!(liar.requests().len() < 10);
}

/// Some limit what they send at once, and are heard nevertheless.
#[test]
fn servers_that_send_fewer_than_asked_for_will_do() {
    let (mut sim, hosts, chain) = sim();
    for host in &hosts {
        host.play(|chain, _, start, count| Some(honest(chain, start, count.min(100))));
    }
    assert!(sim.connect_and_compare());
    assert!(sim.is_at(&chain));
}

/// All connections to a liar end, and others are asked before it is again.
#[test]
fn a_liar_is_the_last_to_be_asked_again() {
    let chain = trunk(1700);
    let liars = ["c", "d"].map(|name| Host::new(name, &chain));
    for liar in &liars {
        liar.play(|chain, session, start, count| {
            (session == 0 || start < 1000).then(|| {
                let mut headers = honest(chain, start, count)?;
                let last = headers.last_mut().unwrap();
                *last = testing::mine(last.header, false);
                Ok(headers)
            })
        });
    }
    let [one, two] = liars;
    let good = [Host::new("a", &chain), Host::new("b", &chain)];
    let mut sim = Simulation::new(&[one, two, Arc::clone(&good[0]), Arc::clone(&good[1])]);
    while !sim.connect_and_compare() {}
    assert!(sim.is_at(&chain));
    let heard: Vec<String> = sim.sessions.operators().into_iter().collect();
    assert_eq!(heard, ["a", "b"]);
    for liar in &sim.net.hosts[..2] {
        assert!(liar.opened() <= 2);
    }
}

/// A server that lied on one connection is not heard on another.
#[test]
fn all_connections_to_a_liar_end() {
    let chain = trunk(1700);
    let hosts = ["honest", "liar"].map(|name| Host::new(name, &chain));
    hosts[1].play(|chain, session, start, count| {
        (session == 0 && start > 0).then(|| {
            let mut headers = honest(chain, start, count)?;
            headers[0] = testing::mine(headers[0].header, false);
            Ok(headers)
        })
    });
    let mut sim = Simulation::new(&hosts);
    assert!(!sim.connect_and_compare());
    assert!(sim.is_at(&chain));
    assert_eq!(sim.banned(), [server("liar")]);
    assert_eq!(sim.ledger.status().operators, ["honest"]);
}
