use std::thread;
use std::time::Duration;

use super::*;
use crate::source::electrum::testing::bounds;

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
    let mut world = World::new(&hosts);
    assert!(world.connect_and_compare());
    assert!(world.is_at(&chain));
    assert_eq!(world.ledger.usable_tip(), Ok(5000));
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
    assert_eq!(world.sessions.open.len(), 2, "then one each is enough");
    assert!(world.was_told("info: block headers are still being fetched ("));
    assert!(world.was_told("info: block headers are verified up to 5000"));
}

/// A second connection costs time at each start, and Tor a circuit.
#[test]
fn a_short_way_takes_a_second_connection_only_if_a_key_is_to_be_seen_twice() {
    let chain = trunk(400);
    let hosts = pair(&chain);
    hosts[1].is_stranger.store(true, SeqCst);
    let mut world = World::new(&hosts);
    assert!(world.connect_and_compare());
    assert!(world.is_at(&chain));
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
        let mut world = World::new(&hosts);
        while !world.connect_and_compare() {}
        assert!(world.is_at(&chain));
        let condemned = world.condemned();
        assert!(condemned.iter().all(|server| *server == hosts[0].server));
        // Whether it was drawn is chance; the seed makes it so.
        assert_eq!(condemned.is_empty(), !lies);
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
    let mut world = World::new(&hosts);
    assert!(world.connect_and_compare());
    assert!(world.is_at(&chain));
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
    let mut world = World::new(&hosts);
    let rounds = (1..10).find(|_| world.connect_and_compare());
    assert!(rounds.is_some(), "never");
    assert!(world.is_at(&chain));
}

#[test]
fn the_branch_with_more_work_wins_and_a_deep_change_is_told() {
    let chain = trunk(600);
    for (depth, is_told) in [(1, false), (100, false), (101, true), (150, true)] {
        let hosts = pair(&chain);
        let mut world = World::new(&hosts);
        assert!(world.connect_and_compare());
        let other = parted(&chain, 600 - depth, depth + 1, 9);
        hosts[1].set(&other);
        world.poll();
        assert!(world.is_at(&other));
        let told = format!("warning: {depth} blocks of the chain were replaced");
        assert_eq!(world.was_told(&told), is_told, "{depth}");
        // The other server's chain is not compared for ever.
        let requests = hosts[0].requests().len();
        (0..10).for_each(|_| world.poll());
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
        let mut world = World::new(&hosts);
        while !world.connect_and_compare() {}
        assert!(world.is_at(&long));
        assert!(world.condemned().is_empty(), "nobody lied");
        assert_eq!(world.ledger.status().operators, ["a", "b"]);
    }
}

#[test]
fn a_new_block_is_compared_when_it_is_told_of() {
    let chain = trunk(30);
    let hosts = pair(&chain);
    let mut world = World::new(&hosts);
    assert!(world.connect_and_compare());
    let longer = grown(&chain, 3, 0);
    hosts[0].set(&longer);
    world.poll();
    assert!(world.is_at(&longer));
    // The second tells of what is known already.
    let requests = hosts[1].requests().len();
    hosts[1].set(&longer);
    world.poll();
    assert_eq!(hosts[1].requests().len(), requests);
}

/// What lookups do reaches no server.
#[test]
fn lookups_cause_no_request() {
    let chain = trunk(300);
    let hosts = pair(&chain);
    let mut world = World::new(&hosts);
    assert!(world.connect_and_compare());
    let asked = || hosts.each_ref().map(|host| host.requests().len());
    let before = asked();
    for height in [0, 5, 269, 270, 300, 301, u32::MAX] {
        let root = world.ledger.merkle_root(height);
        assert_eq!(root.is_some(), height <= 300);
    }
    assert_eq!(world.ledger.usable_tip(), Ok(300));
    world.poll();
    assert_eq!(asked(), before);
}

#[test]
fn two_operators_are_needed_if_there_are_two() {
    let chain = trunk(30);
    let hosts = pair(&chain);
    hosts[1].is_down.store(true, SeqCst);
    let mut world = World::new(&hosts);
    assert!(!world.connect_and_compare());
    assert!(world.is_at(&chain));
    assert!(world.ledger.usable_tip().is_err());
    hosts[1].is_down.store(false, SeqCst);
    assert!(world.connect_and_compare());
    assert_eq!(world.ledger.usable_tip(), Ok(30));

    let mut alone = World::new(&[Host::new("a", &chain)]);
    assert!(alone.connect_and_compare());
    assert_eq!(alone.ledger.usable_tip(), Ok(30));
}

#[test]
fn a_lost_operator_is_replaced_and_the_others_keep_their_connections() {
    let chain = trunk(30);
    let hosts = ["a", "b", "c"].map(|name| Host::new(name, &chain));
    let mut world = World::new(&hosts);
    assert!(world.connect_and_compare());
    let drawn = world.sessions.operators();
    let lost = hosts
        .iter()
        .find(|host| drawn.contains(&host.server.operator));
    let lost = lost.unwrap();
    lost.is_down.store(true, SeqCst);
    world.poll();
    assert_eq!(world.sessions.operators().len(), 1);
    let kept = world.sessions.open[0].peer.session;
    assert!(world.connect_and_compare());
    assert_eq!(world.sessions.operators().len(), 2);
    let stays = &world.sessions.open[0].peer;
    assert_eq!((stays.session, stays.is_alive()), (kept, true));
    assert_eq!(stays.host.opened(), 1, "no further circuit to it");
    assert!(
        !world
            .ledger
            .status()
            .operators
            .contains(&lost.server.operator)
    );
}

#[test]
fn operators_are_drawn_anew_when_the_day_is_over() {
    let chain = trunk(30);
    let hosts = ["a", "b", "c", "d"].map(|name| Host::new(name, &chain));
    let mut world = World::new(&hosts);
    let mut drawn = std::collections::BTreeSet::new();
    for _ in 0..12 {
        assert!(world.connect_and_compare());
        let heard = world.sessions.operators();
        assert_eq!(heard.len(), 2);
        let counted = world.ledger.status().operators;
        assert!(counted.iter().eq(heard.iter()), "only those count");
        drawn.insert(heard);
        // The day is over at once.
        world.driver.follow(&mut world.sessions, 2, now());
        world.driver.redraw(&mut world.sessions);
        assert!(world.ledger.usable_tip().is_ok());
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
    let mut world = World::new(&hosts);
    assert!(world.connect_and_compare());
    let heard = world.sessions.operators();
    for host in &hosts {
        host.refuses.store(true, SeqCst);
    }
    world.driver.redraw(&mut world.sessions);
    assert_eq!(world.sessions.operators(), heard);
    assert!(world.ledger.usable_tip().is_ok());
    let longer = grown(&chain, 2, 0);
    hosts.iter().for_each(|host| host.set(&longer));
    world.poll();
    assert!(world.is_at(&longer));
    // One of them can be replaced, and the other stays.
    let drawn: Vec<_> = hosts
        .iter()
        .filter(|host| heard.contains(&host.server.operator))
        .collect();
    drawn[0].refuses.store(false, SeqCst);
    let before = drawn[0].opened();
    world.driver.redraw(&mut world.sessions);
    assert_eq!(world.sessions.operators(), heard);
    assert!(drawn[0].opened() > before);
    assert_eq!(world.sessions.open.len(), 2);
}

#[test]
fn it_follows_until_it_is_cancelled() {
    let chain = trunk(30);
    let hosts = pair(&chain);
    let World { driver, ledger, .. } = World::new(&hosts);
    let cancel = driver.cancel.clone();
    let running = thread::spawn(move || driver.run());
    let limit = bounds(Duration::from_secs(20));
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
    let World { driver, ledger, .. } = World::new(&hosts);
    let cancel = driver.cancel.clone();
    let running = thread::spawn(move || driver.run());
    let limit = bounds(Duration::from_millis(200));
    assert!(ledger.wait(&limit).is_err());
    cancel.set();
    running.join().unwrap();
    assert!(ledger.status().trouble.is_some());
}

/// It would show a synchronisation that never ends.
#[test]
fn the_height_that_a_liar_told_is_forgotten() {
    let chain = trunk(30);
    let (honest, liar) = (Host::new("a", &chain), Host::new("b", &chain));
    liar.announce(4_000_000, parted(&chain, 20, 30, 9).last().unwrap().header);
    let mut world = World::new(&[honest, Arc::clone(&liar)]);
    assert!(!world.connect_and_compare());
    assert_eq!(world.ledger.status().target, 30);
}
