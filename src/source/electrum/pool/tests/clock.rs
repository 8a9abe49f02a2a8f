use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::*;
use crate::source::electrum::servers::Standing;

/// The ticks of two hours, with `disturb` called between them.
fn ticks(seed: u8, mut disturb: impl FnMut(&mut Simulation, usize)) -> Vec<Duration> {
    let mut sim = Simulation::new(servers(&[("a", 4), ("b", 4), ("c", 2)]), seed);
    sim.plan.start(sim.now);
    let mut ticks = Vec::new();
    while sim.now < sim.begin + seconds(7200) {
        let tick = sim.plan.next_tick.unwrap();
        ticks.push(tick - sim.begin);
        sim.run(tick - sim.now);
        disturb(&mut sim, ticks.len());
    }
    ticks
}

#[test]
fn no_tick_moves_because_of_ids() {
    for seed in 0..5 {
        let alone = ticks(seed, |_, _| {});
        let busy = ticks(seed, |sim, number| {
            let isolation = id(number % 7);
            let [one, _] = sim.pair(&isolation);
            match number % 5 {
                0 => sim.plan.forget(&isolation, sim.now),
                1 => {
                    let now = sim.now;
                    sim.plan.failed(&isolation, &one, Fault::Proof, now);
                }
                _ => {}
            }
        });
        assert!(alone.len() > 300);
        assert_eq!(alone, busy);
    }
    assert_ne!(ticks(1, |_, _| {}), ticks(2, |_, _| {}));
}

/// Even in a pool that ids keep empty, connections are opened at ticks only,
/// one at each.
#[test]
fn connections_are_opened_by_ticks_alone() {
    let mut sim = Simulation::new(servers(&[("a", 9), ("b", 9)]), 3);
    sim.plan.start(sim.now);
    let mut ticks = HashSet::new();
    for number in 0..200 {
        ticks.extend(sim.plan.next_tick);
        sim.run(sim.plan.next_tick.unwrap() - sim.now);
        sim.pair(&id(number));
    }
    let opened: HashSet<Instant> = sim.opened.iter().map(|(when, _)| *when).collect();
    assert_eq!(opened.len(), sim.opened.len());
    assert!(opened.is_subset(&ticks));
    assert!(opened.len() > 150);
}

#[test]
fn the_first_six_come_soon() {
    for seed in 0..100 {
        let mut sim = Simulation::new(servers(&[("a", 4), ("b", 4)]), seed);
        sim.run(seconds(20));
        assert_eq!(sim.ready().count(), 0, "the clock has not started");
        sim.plan.start(sim.now);
        sim.run(seconds(40));
        assert_eq!(sim.ready().count(), READY, "seed {seed}");
    }
}

/// Neither right behind a connection for headers nor in one burst.
#[test]
fn the_first_ones_are_spread_and_apart_from_connections_for_headers() {
    let (mut within_two_seconds, mut until_full) = (0, 0.0);
    for seed in 0..100 {
        let all = servers(&[("a", 2), ("b", 2)]);
        let mut sim = Simulation::wary(all.clone(), seed);
        sim.plan.start(sim.now);
        sim.run(seconds(5));
        let mut met = Vec::new();
        for server in &all {
            sim.plan.mark_working(server, sim.now);
            met.push(sim.now);
            sim.run(Duration::from_millis(500));
        }
        sim.run(seconds(60));
        let opened: Vec<Instant> = sim.opened.iter().map(|(when, _)| *when).collect();
        let is_close = |when: &Instant| {
            met.iter()
                .any(|met| when >= met && *when - *met < seconds(2))
        };
        within_two_seconds += opened.iter().filter(|when| is_close(when)).count();
        until_full += (opened[READY - 1] - met[0]).as_secs_f64() / 100.0;
    }
    assert_eq!(within_two_seconds, 0);
    assert!((8.0..20.0).contains(&until_full), "{until_full} s");
}

#[test]
fn gaps_are_exponentially_distributed() {
    let mut sim = Simulation::new(Vec::new(), 5);
    sim.plan.start(sim.now);
    let mut gaps = Vec::new();
    for _ in 0..10_000 {
        let tick = sim.plan.next_tick.unwrap();
        sim.plan.due(tick);
        gaps.push((sim.plan.next_tick.unwrap() - tick).as_secs_f64());
    }
    // The first ones are shorter.
    let gaps = &gaps[100..];
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    assert!((14.0..16.0).contains(&mean), "{mean}");
    for times in [0.1, 1.0, 3.0] {
        let longer = gaps.iter().filter(|&&gap| gap > times * mean).count();
        let share = longer as f64 / gaps.len() as f64;
        let expected = f64::exp(-times);
        assert!((share - expected).abs() < 0.02, "{times}: {share}");
    }
}

/// The clock's ticks while the machine slept are not made up for in one go.
#[test]
fn after_a_long_pause_one_connection_is_opened() {
    let mut sim = Simulation::new(servers(&[("a", 9), ("b", 9)]), 6);
    sim.plan.start(sim.now);
    sim.now += seconds(8 * 3600);
    assert_eq!(sim.look(), 1);
    assert!(sim.plan.next_tick.unwrap() > sim.now);

    let mut sim = Simulation::filled(servers(&[("a", 9), ("b", 9)]), 7);
    for link in sim.ready() {
        link.break_off();
    }
    sim.now += seconds(8 * 3600);
    assert_eq!(sim.look(), 1);
}

/// Runs for an hour in which ids take connections, and looks at the pool after each
/// moment of change.
fn watch(servers: Vec<Server>, seed: u8, check: impl Fn(&[&Server])) {
    let mut sim = Simulation::filled(servers, seed);
    for number in 0..240 {
        sim.run(seconds(15));
        if number % 10 == 0 {
            sim.pair(&id(number));
        }
        let there: Vec<&Server> = sim.ready().map(|link| &link.server).collect();
        assert!(there.len() <= READY);
        check(&there);
    }
}

#[test]
fn servers_are_distinct_and_no_operator_has_more_than_half() {
    for seed in 0..3 {
        watch(servers(&[("a", 20), ("b", 2), ("c", 2)]), seed, |there| {
            let mut of: BTreeMap<&str, usize> = BTreeMap::new();
            for server in there {
                *of.entry(&server.operator).or_default() += 1;
            }
            assert!(of.values().all(|&count| count <= READY / 2), "{of:?}");
            let distinct: HashSet<_> = there.iter().collect();
            assert_eq!(distinct.len(), there.len());
        });
    }
}

#[test]
fn few_servers_fill_the_pool_too() {
    for (list, count) in [
        (servers(&[("a", 1), ("b", 1), ("c", 1)]), 3),
        (servers(&[("a", 1), ("b", 1)]), 2),
        (servers(&[("a", 1)]), 1),
    ] {
        let sim = Simulation::filled(list, 1);
        assert_eq!(sim.ready().count(), READY);
        let distinct: HashSet<_> = sim.ready().map(|link| &link.server).collect();
        assert_eq!(distinct.len(), count);
    }
    let sim = Simulation::filled(Vec::new(), 1);
    assert_eq!(sim.ready().count(), 0);
}

#[test]
fn onion_services_are_preferred() {
    let mut list = servers(&[("a", 9), ("b", 9), ("c", 9)]);
    list.extend((10..14).flat_map(|at| [server("a", at, "onion"), server("b", at, "onion")]));
    watch(list.clone(), 2, |there| {
        assert!(there.iter().all(|server| server.address.is_onion()));
    });
    let mut sim = Simulation::new(list, 3);
    for number in 0..50 {
        let pair = sim.pair(&id(number));
        assert!(pair.iter().all(|link| link.server.address.is_onion()));
    }
}

#[test]
fn every_server_is_drawn() {
    let list = servers(&[("a", 4), ("b", 3), ("c", 2)]);
    let drawn: BTreeSet<String> = (0..40)
        .flat_map(|seed| Simulation::filled(list.clone(), seed).opened)
        .map(|(_, link)| link.server.to_string())
        .collect();
    assert_eq!(drawn.len(), list.len());
}

#[test]
fn what_nobody_takes_closes_after_5_to_15_minutes() {
    let mut sim = Simulation::filled(servers(&[("a", 9), ("b", 9)]), 9);
    sim.run(seconds(12 * 3600));
    let lives: Vec<u64> = sim
        .opened
        .iter()
        .filter_map(|(when, link)| sim.closed_after(link, *when))
        .map(|life| life.as_secs())
        .collect();
    assert!(lives.len() > 200);
    assert!(lives.iter().all(|life| (300..=900).contains(life)));
    for part in [300..400, 400..500, 500..600, 600..700, 700..800, 800..900] {
        assert!(lives.iter().any(|life| part.contains(life)), "{part:?}");
    }
    assert!(sim.closed.iter().all(|(_, link)| link.closes() == 1));
    // They are pinged meanwhile, at times of their own.
    assert!(sim.opened[0].1.pings.load(SeqCst) >= 1);
}

/// Pings of different ids would have a common beat if they waited for the next
/// look at what is due, and servers that compare times could see that the
/// connections are one user's.
#[test]
fn pings_keep_no_common_beat() {
    let mut sim = Simulation::filled(servers(&[("a", 9), ("b", 9)]), 8);
    for number in 0..20 {
        sim.pair(&id(number));
    }
    sim.run(seconds(550));
    let gaps = sim.pinged.windows(2).map(|pair| pair[1] - pair[0]);
    let beat = gaps.filter(|gap| gap.as_nanos() % 500_000_000 == 0).count();
    assert!(sim.pinged.len() > 200);
    assert!(beat < 5, "{beat} of {}", sim.pinged.len());
}

/// Servers of which the first of each operator becomes trusted after a time.
fn late(seed: u8, time: Duration) -> (Simulation, HashSet<Server>) {
    let mut sim = Simulation::wary(servers(&[("a", 9), ("b", 9), ("c", 9)]), seed);
    sim.plan.start(sim.now);
    sim.run(time);
    assert!(sim.opened.is_empty());
    let trusted = [server("a", 0, "example"), server("b", 0, "example")];
    for server in &trusted {
        sim.plan.mark_working(server, sim.now);
    }
    (sim, HashSet::from(trusted))
}

#[test]
fn none_but_trusted_servers_are_drawn() {
    for seed in 0..10 {
        let (mut sim, trusted) = late(seed, seconds(60));
        let is_trusted = |link: &Arc<FakeLink>| trusted.contains(&link.server);
        for number in 0..20 {
            assert!(sim.pair(&id(number)).iter().all(is_trusted));
            sim.run(seconds(5));
        }
        assert!(!sim.opened.is_empty());
        assert!(sim.opened.iter().all(|(_, link)| is_trusted(link)));
    }
}

/// Not even if the trusted ones fail, of which another operator's may be left.
#[test]
fn a_stranger_does_not_take_the_place_of_one_that_fails() {
    let (mut sim, trusted) = late(1, seconds(1));
    for _ in 0..10 {
        for link in sim.pair(&id(1)) {
            assert!(trusted.contains(&link.server));
            sim.plan.failed(&id(1), &link, Fault::Proof, sim.now);
        }
    }
}

#[test]
fn none_trusted_is_reported_only_if_a_server_could_become_trusted() {
    let mut sim = Simulation::wary(servers(&[("a", 1), ("b", 1)]), 1);
    let slot = |sim: &mut Simulation, index| sim.plan.slot(&id(1), index, false, sim.now);
    assert!(matches!(slot(&mut sim, 0), SlotReply::NoneTrusted));
    sim.plan.mark_working(&server("a", 0, "example"), sim.now);
    assert_eq!(sim.slot(&id(1), 0).operator(), "a");
    assert!(matches!(slot(&mut sim, 1), SlotReply::NoneTrusted));

    let mut sim = Simulation::new(servers(&[("a", 1)]), 1);
    assert_eq!(sim.slot(&id(1), 0).operator(), "a");
}

/// Ticks that found nobody are not the last quick ones.
#[test]
fn the_pool_fills_quickly_once_servers_are_trusted() {
    for seed in 0..100 {
        let (mut sim, _) = late(seed, seconds(300));
        sim.run(seconds(50));
        assert_eq!(sim.ready().count(), READY, "seed {seed}");
    }
}

/// That it was heard of again changes nothing: the clock would show it.
#[test]
fn trust_moves_the_clock_once() {
    let mut sim = Simulation::filled(servers(&[("a", 3), ("b", 3)]), 4);
    let tick = sim.plan.next_tick;
    sim.plan.mark_working(&server("a", 1, "example"), sim.now);
    sim.plan.mark_working(&server("z", 1, "example"), sim.now);
    assert_eq!(sim.plan.next_tick, tick);
}

/// Onion services need no certificate, but most of them are dead.
#[test]
fn servers_that_work_are_drawn_before_onions_of_which_nothing_is_known() {
    for seed in 0..20 {
        let mut all = servers(&[("a", 3), ("b", 3)]);
        let dead = [("a", "onion"), ("b", "onion")].map(|(operator, tld)| server(operator, 9, tld));
        all.extend(dead.clone());
        let mut sim = Simulation::wary(all.clone(), seed);
        all.iter().for_each(|server| sim.plan.roster.trust(server));
        sim.plan.start(sim.now);
        sim.run(seconds(30));
        assert!(sim.opened.is_empty(), "the pool waits until one works");
        let working = [server("a", 0, "example"), server("b", 0, "example")];
        for server in &working {
            sim.plan.mark_working(server, sim.now);
        }
        sim.run(seconds(60));
        assert_eq!(sim.ready().count(), READY);
        assert!(
            sim.opened
                .iter()
                .all(|(_, link)| working.contains(&link.server))
        );
        for number in 0..10 {
            let pair = sim.pair(&id(number));
            assert!(pair.iter().all(|link| working.contains(&link.server)));
        }
        // What has failed this id is replaced by another all the same.
        for link in sim.pair(&id(1)) {
            sim.plan.failed(&id(1), &link, Fault::Broken, sim.now);
        }
        let pair = sim.pair(&id(1));
        assert!(pair.iter().all(|link| !working.contains(&link.server)));
    }
}

fn discovered(operator: &str, number: usize) -> Server {
    Server {
        standing: Standing::Discovered,
        ..server(operator, number, "example.net")
    }
}

/// Takes a discovered server in and says that it works.
fn take_in(sim: &mut Simulation, server: &Server) {
    sim.plan.roster.take_in(server);
    sim.plan.mark_working(server, sim.now);
}

#[test]
fn a_discovered_server_is_used_where_no_listed_one_of_another_operator_works() {
    let listed = servers(&[("a", 2), ("b", 2)]);
    let mut sim = Simulation::wary(listed.clone(), 3);
    let new = discovered("d", 0);
    sim.plan.mark_working(&new, sim.now);
    assert!(matches!(
        sim.plan.slot(&id(0), 0, false, sim.now),
        SlotReply::NoneTrusted
    ));
    sim.plan.mark_working(&listed[0], sim.now);
    take_in(&mut sim, &new);
    for number in 0..20 {
        let of = sim.pair(&id(number)).map(|link| link.server.clone());
        assert!(of.contains(&listed[0]) && of.contains(&new), "{of:?}");
    }
    // As long as there are enough listed ones it is left alone.
    sim.plan.mark_working(&listed[2], sim.now);
    for number in 20..40 {
        let of = sim.pair(&id(number)).map(|link| link.server.clone());
        assert!(!of.contains(&new), "{of:?}");
    }
}

#[test]
fn a_discovered_server_goes_when_it_is_not_named() {
    let listed = servers(&[("a", 1), ("b", 1)]);
    let mut sim = Simulation::wary(listed.clone(), 4);
    sim.plan.mark_working(&listed[0], sim.now);
    let (one, other) = (discovered("d", 0), discovered("d", 1));
    take_in(&mut sim, &one);
    take_in(&mut sim, &other);
    sim.plan.start(sim.now);
    sim.run(seconds(120));
    let ready = |sim: &Simulation| {
        let ready = sim.ready().filter(|link| link.server == one);
        ready.count()
    };
    let before = ready(&sim);
    assert!(before > 0);
    let gone = sim.plan.keep_discovered(std::slice::from_ref(&other));
    assert_eq!((gone.len(), ready(&sim)), (before, 0));
    for number in 0..20 {
        let of = sim.pair(&id(number)).map(|link| link.server.clone());
        assert!(of.contains(&listed[0]) && of.contains(&other), "{of:?}");
    }
    // One that was under way comes too late.
    let link = Arc::clone(&gone[0]);
    assert!(sim.plan.opened(&one, Some(link), sim.now).is_some());
}

/// Nobody is heard twice at one host.
#[test]
fn a_discovered_server_at_the_host_of_another_gets_no_slot_beside_it() {
    let listed = servers(&[("a", 1)]);
    let mut sim = Simulation::wary(listed.clone(), 4);
    sim.plan.mark_working(&listed[0], sim.now);
    let mut twin = discovered("d", 0);
    twin.address.host = listed[0].address.host.to_uppercase();
    twin.address.port += 1;
    take_in(&mut sim, &twin);
    sim.plan.set_slots(2);
    sim.plan.slot(&id(0), 0, true, sim.now);
    let second = sim.plan.slot(&id(0), 1, true, sim.now);
    assert!(matches!(second, SlotReply::NoServer), "{second:?}");
}

/// At a start most of the servers that need no certificate are dead.
#[test]
fn an_id_waits_for_a_server_that_works_or_is_expected_to() {
    for seed in 0..20 {
        let mut all = servers(&[("a", 2), ("b", 2)]);
        all.extend(["a", "b", "c"].map(|operator| server(operator, 9, "onion")));
        let mut sim = Simulation::wary(all.clone(), seed);
        all.iter().for_each(|server| sim.plan.roster.trust(server));
        let slot = |sim: &mut Simulation, index, tries_unknown| {
            let now = sim.now;
            sim.plan.slot(&id(1), index, tries_unknown, now)
        };
        assert!(matches!(
            slot(&mut sim, 0, false),
            SlotReply::NoneKnownToWork
        ));
        // Without any sign onion services are as good as others.
        assert!(matches!(slot(&mut sim, 0, true), SlotReply::Dial(_)));

        let mut sim = Simulation::wary(all.clone(), seed);
        all.iter().for_each(|server| sim.plan.roster.trust(server));
        let expected = server("a", 1, "example");
        sim.plan.roster.expect(&expected);
        assert_eq!(sim.slot(&id(1), 0).server, expected);
        assert!(matches!(
            slot(&mut sim, 1, false),
            SlotReply::NoneKnownToWork
        ));
        let working = server("b", 1, "example");
        sim.plan.mark_working(&working, sim.now);
        assert_eq!(sim.slot(&id(1), 1).server, working);

        // What has failed since is as little known as the others.
        sim.plan.back_off(&expected, sim.now);
        sim.plan.back_off(&working, sim.now);
        let reply = sim.plan.slot(&id(2), 0, false, sim.now);
        assert!(matches!(reply, SlotReply::NoneKnownToWork));
    }
}
