//! Rounds of synchronisation, and the ledger that holds their result.

use std::thread;

use super::*;
use crate::snapshot::FetchErrorKind;
use crate::source::Bounds;

fn pair(chain: &[FullHeader]) -> [Arc<Host>; 2] {
    ["a", "b"].map(|name| Host::new(name, chain))
}

fn now() -> Instant {
    Instant::now()
}

/// Both servers, two connections to each, a request at a time on each.
#[test]
fn the_first_synchronisation_is_spread_over_sessions() {
    let chain = trunk(5000);
    let hosts = pair(&chain);
    let mut sim = Simulation::new(&hosts);
    assert!(sim.connect_and_compare());
    assert!(sim.is_at(&chain));
    assert_eq!(sim.ledger.usable_tip(), Ok(5000));
    let mut headers = 0;
    for host in &hosts {
        assert_eq!(host.opened(), 2);
        for session in 0..2 {
            let requests = host.requests();
            let of = requests.iter().filter(|request| request.0 == session);
            assert!(of.count() >= 2);
        }
        headers += host.requests().iter().map(|one| one.2).sum::<u32>();
    }
    assert!(
        headers < 7000,
        "hardly anything is fetched twice: {headers}"
    );
    assert_eq!(sim.sessions.open.len(), 2, "then one each is enough");
    assert!(sim.has_logged("info: block headers are still being fetched ("));
    assert!(sim.has_logged("info: block headers are verified up to 5000"));
}

/// A second connection costs time at each start, and Tor a circuit.
#[test]
fn a_short_way_takes_a_second_connection_only_if_a_key_is_to_be_seen_twice() {
    let chain = trunk(400);
    let hosts = pair(&chain);
    hosts[1].is_stranger.store(true, SeqCst);
    let mut sim = Simulation::new(&hosts);
    assert!(sim.connect_and_compare());
    assert!(sim.is_at(&chain));
    assert_eq!(hosts.each_ref().map(|host| host.opened()), [1, 2]);
}

#[test]
fn what_is_kept_of_a_server_that_breaks_or_lies_is_what_was_right() {
    for lies in [false, true] {
        let chain = trunk(4000);
        let hosts = ["a", "b", "c"].map(|name| Host::new(name, &chain));
        hosts[0].play(move |chain, _, start, count| {
            if start < 1000 {
                return None;
            }
            let mut headers = honest(chain, start, count).ok()?;
            headers[7] = testing::mine(headers[7].header, false);
            Some(if lies {
                Ok(headers)
            } else {
                Err(PeerError::Broken("gone".into()))
            })
        });
        let mut sim = Simulation::new(&hosts);
        while !sim.connect_and_compare() {}
        assert!(sim.is_at(&chain));
        let banned = sim.banned();
        assert!(banned.iter().all(|server| *server == hosts[0].server));
        // Whether it was drawn is chance; the seed makes it so.
        assert_eq!(banned.is_empty(), !lies);
        assert!(!hosts[0].requests().is_empty());
    }
}

#[test]
fn sessions_that_brought_much_are_replaced() {
    let chain = trunk(5000);
    let hosts = pair(&chain);
    for host in &hosts {
        // The limit is reached with the second request.
        host.bytes.store(40_000, SeqCst);
    }
    let mut sim = Simulation::new(&hosts);
    assert!(sim.connect_and_compare());
    assert!(sim.is_at(&chain));
    for host in &hosts {
        assert!(host.opened() >= 3, "{}", host.opened());
        for session in 0..host.opened() {
            let requests = host.requests();
            let of = requests.iter().filter(|request| request.0 == session);
            assert!(of.map(|request| request.2).sum::<u32>() <= 1500);
        }
    }
}

/// What a slow circuit cannot bring in time is asked for in smaller pieces, and
/// that is remembered for the next connections.
#[test]
fn slow_servers_are_asked_for_less() {
    let chain = trunk(1500);
    let hosts = pair(&chain);
    for host in &hosts {
        host.play(|_, _, _, count| (count > 100).then_some(Err(PeerError::TimedOut)));
    }
    let mut sim = Simulation::new(&hosts);
    let rounds = (1..10).find(|_| sim.connect_and_compare());
    assert!(rounds.is_some(), "never");
    assert!(sim.is_at(&chain));
}

#[test]
fn the_branch_with_more_work_wins_and_a_deep_change_is_reported() {
    let chain = trunk(600);
    for (depth, is_logged) in [(1, false), (100, false), (101, true), (150, true)] {
        let hosts = pair(&chain);
        let mut sim = Simulation::new(&hosts);
        assert!(sim.connect_and_compare());
        let other = parted(&chain, 600 - depth, depth + 1, 9);
        hosts[1].set(&other);
        sim.poll();
        assert!(sim.is_at(&other));
        let line = format!("warning: {depth} blocks of the chain were replaced");
        assert_eq!(sim.has_logged(&line), is_logged, "{depth}");
        // The other server's chain is not compared for ever.
        let requests = hosts[0].requests().len();
        (0..10).for_each(|_| sim.poll());
        assert_eq!(hosts[0].requests().len(), requests);
    }
}

#[test]
fn servers_on_different_branches_agree_on_that_with_the_most_work() {
    let chain = trunk(1000);
    let long = parted(&chain, 300, 1500, 1);
    let short = parted(&chain, 300, 1400, 2);
    for chains in [[&long, &short], [&short, &long]] {
        let hosts = [Host::new("a", chains[0]), Host::new("b", chains[1])];
        let mut sim = Simulation::new(&hosts);
        while !sim.connect_and_compare() {}
        assert!(sim.is_at(&long));
        assert!(sim.banned().is_empty(), "nobody lied");
        assert_eq!(sim.ledger.status().operators, ["a", "b"]);
    }
}

#[test]
fn a_new_block_is_compared_when_it_is_logged_of() {
    let chain = trunk(30);
    let hosts = pair(&chain);
    let mut sim = Simulation::new(&hosts);
    assert!(sim.connect_and_compare());
    let longer = grown(&chain, 3, 0);
    hosts[0].set(&longer);
    sim.poll();
    assert!(sim.is_at(&longer));
    // The second announces what is known already.
    let requests = hosts[1].requests().len();
    hosts[1].set(&longer);
    sim.poll();
    assert_eq!(hosts[1].requests().len(), requests);
}

/// What lookups do reaches no server.
#[test]
fn lookups_cause_no_request() {
    let chain = trunk(300);
    let hosts = pair(&chain);
    let mut sim = Simulation::new(&hosts);
    assert!(sim.connect_and_compare());
    let asked = || hosts.each_ref().map(|host| host.requests().len());
    let before = asked();
    for height in [0, 5, 269, 270, 300, 301, u32::MAX] {
        let root = sim.ledger.merkle_root(height);
        assert_eq!(root.is_some(), height <= 300);
    }
    assert_eq!(sim.ledger.usable_tip(), Ok(300));
    sim.poll();
    assert_eq!(asked(), before);
}

#[test]
fn a_lost_operator_is_replaced_and_the_others_keep_their_connections() {
    let chain = trunk(30);
    let hosts = ["a", "b", "c"].map(|name| Host::new(name, &chain));
    let mut sim = Simulation::new(&hosts);
    assert!(sim.connect_and_compare());
    let drawn = sim.sessions.operators();
    let lost = hosts
        .iter()
        .find(|host| drawn.contains(&host.server.operator));
    let lost = lost.unwrap();
    lost.is_down.store(true, SeqCst);
    sim.poll();
    assert_eq!(sim.sessions.operators().len(), 1);
    let kept = sim.sessions.open[0].peer.session;
    assert!(sim.connect_and_compare());
    assert_eq!(sim.sessions.operators().len(), 2);
    let stays = &sim.sessions.open[0].peer;
    assert_eq!((stays.session, stays.is_alive()), (kept, true));
    assert_eq!(stays.host.opened(), 1, "no further circuit to it");
    assert!(
        !sim.ledger
            .status()
            .operators
            .contains(&lost.server.operator)
    );
}

#[test]
fn operators_are_drawn_anew_when_the_day_is_over() {
    let chain = trunk(30);
    let hosts = ["a", "b", "c", "d"].map(|name| Host::new(name, &chain));
    let mut sim = Simulation::new(&hosts);
    let mut drawn = BTreeSet::new();
    for _ in 0..12 {
        assert!(sim.connect_and_compare());
        let heard = sim.sessions.operators();
        assert_eq!(heard.len(), 2);
        let counted = sim.ledger.status().operators;
        assert!(counted.iter().eq(heard.iter()), "only those count");
        drawn.insert(heard);
        // The day is over at once.
        sim.driver.follow(&mut sim.sessions, 2, now());
        sim.driver.redraw(&mut sim.sessions);
        assert!(sim.ledger.usable_tip().is_ok());
    }
    assert!(drawn.len() >= 3);
    let opened: usize = hosts.iter().map(|host| host.opened()).sum();
    assert!(opened >= 24, "over new circuits");
}

/// If the new ones do not answer, new blocks still come from the old ones.
#[test]
fn the_old_operators_stay_until_new_ones_have_been_compared() {
    let chain = trunk(30);
    let hosts = ["a", "b", "c", "d"].map(|name| Host::new(name, &chain));
    let mut sim = Simulation::new(&hosts);
    assert!(sim.connect_and_compare());
    let heard = sim.sessions.operators();
    for host in &hosts {
        host.refuses.store(true, SeqCst);
    }
    sim.driver.redraw(&mut sim.sessions);
    assert_eq!(sim.sessions.operators(), heard);
    assert!(sim.ledger.usable_tip().is_ok());
    let longer = grown(&chain, 2, 0);
    hosts.iter().for_each(|host| host.set(&longer));
    sim.poll();
    assert!(sim.is_at(&longer));
    // One of them can be replaced, and the other stays.
    let drawn: Vec<_> = hosts
        .iter()
        .filter(|host| heard.contains(&host.server.operator))
        .collect();
    drawn[0].refuses.store(false, SeqCst);
    let before = drawn[0].opened();
    sim.driver.redraw(&mut sim.sessions);
    assert_eq!(sim.sessions.operators(), heard);
    assert!(drawn[0].opened() > before);
    assert_eq!(sim.sessions.open.len(), 2);
}

#[test]
fn it_follows_until_it_is_cancelled() {
    let chain = trunk(30);
    let hosts = pair(&chain);
    let Simulation { driver, ledger, .. } = Simulation::new(&hosts);
    let cancel = driver.cancel.clone();
    let running = thread::spawn(move || driver.run());
    let limit = bounds(20_000);
    assert_eq!(ledger.wait(&limit).unwrap(), 30);
    let cancelled = now();
    cancel.set();
    running.join().unwrap();
    assert!(cancelled.elapsed() < Duration::from_secs(2));
}

#[test]
fn it_ends_where_nobody_answers_too() {
    let hosts = pair(&trunk(1));
    hosts
        .iter()
        .for_each(|host| host.is_down.store(true, SeqCst));
    let Simulation { driver, ledger, .. } = Simulation::new(&hosts);
    let cancel = driver.cancel.clone();
    let running = thread::spawn(move || driver.run());
    let limit = bounds(200);
    assert!(ledger.wait(&limit).is_err());
    cancel.set();
    running.join().unwrap();
    assert!(ledger.status().trouble.is_some());
}

/// It would show a synchronisation that never ends.
#[test]
fn the_height_that_a_liar_announced_is_forgotten() {
    let chain = trunk(30);
    let (honest, liar) = (Host::new("a", &chain), Host::new("b", &chain));
    liar.announce(4_000_000, parted(&chain, 20, 30, 9).last().unwrap().header);
    let mut sim = Simulation::new(&[honest, Arc::clone(&liar)]);
    assert!(!sim.connect_and_compare());
    assert_eq!(sim.ledger.status().target, 30);
}

fn empty(needed: usize) -> Ledger {
    let headers = Headers::new(Network::Regtest, Network::Regtest.checkpoint());
    Ledger::new(headers, needed, clock)
}

fn bounds(milliseconds: u64) -> Bounds {
    fixtures::bounds(Duration::from_millis(milliseconds))
}

#[test]
fn obstacles_are_reported_in_the_order_in_which_they_go() {
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

/// Adds the blocks above the tenth.
fn extend(ledger: &Ledger, chain: &[FullHeader]) {
    let mut candidate = ledger.headers().candidate(10).unwrap();
    for header in &chain[11..] {
        candidate.push(&ledger.headers(), header, clock()).unwrap();
    }
    let _ = ledger.adopt(&candidate);
}

/// Trouble with one server is not reported once headers come from another.
#[test]
fn progress_ends_trouble() {
    let chain = trunk(20);
    let ledger = ledger_of(&chain[..=10]);
    ledger.trouble("a.example: refused".to_owned());
    extend(&ledger, &chain);
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
    extend(&ledger, &chain);
    ledger.answered("b");
    let trouble = ledger.status().trouble;
    assert_eq!(trouble.as_deref(), Some("a.example: it lied"));
    ledger.answered("c");
    assert_eq!(ledger.status().trouble, None);
}

#[test]
fn waiting_ends_with_the_limit_or_with_the_obstacle() {
    let ledger = ledger_of(&trunk(10));
    let failure = ledger.wait(&bounds(30)).unwrap_err();
    assert_eq!(failure.kind, FetchErrorKind::NotReady);
    ledger.trouble("a.example: refused".to_owned());
    let failure = ledger.wait(&bounds(0)).unwrap_err();
    assert_eq!(failure.kind, FetchErrorKind::Unreachable);
    let cancelled = bounds(30_000);
    cancelled.cancel.set();
    assert!(ledger.wait(&cancelled).is_err());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| ledger.wait(&bounds(30_000)));
        ledger.answered("a");
        assert_eq!(waiting.join().unwrap().unwrap(), 10);
    });
}
