use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::super::plan::SIZE;
use super::*;

/// The ticks of two hours, with `disturb` called between them.
fn ticks(seed: u8, mut disturb: impl FnMut(&mut World, usize)) -> Vec<Duration> {
    let mut world = World::new(servers(&[("a", 4), ("b", 4), ("c", 2)]), seed);
    world.plan.start(world.now);
    let mut ticks = Vec::new();
    while world.now < world.begin + seconds(7200) {
        let tick = world.plan.next_tick().unwrap();
        ticks.push(tick - world.begin);
        world.run(tick - world.now);
        disturb(&mut world, ticks.len());
    }
    ticks
}

#[test]
fn no_tick_moves_because_of_ids() {
    for seed in 0..5 {
        let alone = ticks(seed, |_, _| {});
        let busy = ticks(seed, |world, number| {
            let isolation = id(number % 7);
            let [one, _] = world.pair(&isolation);
            match number % 5 {
                0 => world.plan.forget(&isolation, world.now),
                1 => {
                    let now = world.now;
                    world.plan.failed(&isolation, &one, Fault::Proof, now);
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
    let mut world = World::new(servers(&[("a", 9), ("b", 9)]), 3);
    world.plan.start(world.now);
    let mut ticks = HashSet::new();
    for number in 0..200 {
        ticks.extend(world.plan.next_tick());
        world.run(world.plan.next_tick().unwrap() - world.now);
        world.pair(&id(number));
    }
    let opened: HashSet<Instant> = world.opened.iter().map(|(when, _)| *when).collect();
    assert_eq!(opened.len(), world.opened.len());
    assert!(opened.is_subset(&ticks));
    assert!(opened.len() > 150);
}

#[test]
fn the_first_six_come_soon() {
    for seed in 0..100 {
        let mut world = World::new(servers(&[("a", 4), ("b", 4)]), seed);
        world.run(seconds(20));
        assert_eq!(world.plan.ready().count(), 0, "the clock stands still");
        world.plan.start(world.now);
        world.run(seconds(40));
        assert_eq!(world.plan.ready().count(), SIZE, "seed {seed}");
    }
}

/// Neither right behind a connection for headers nor in one burst.
#[test]
fn the_first_ones_are_spread_and_apart_from_connections_for_headers() {
    let (mut within_two_seconds, mut until_full) = (0, 0.0);
    for seed in 0..100 {
        let all = servers(&[("a", 2), ("b", 2)]);
        let mut world = World::wary(all.clone(), seed);
        world.plan.start(world.now);
        world.run(seconds(5));
        let mut met = Vec::new();
        for server in &all {
            world.plan.meet(server, world.now);
            met.push(world.now);
            world.run(Duration::from_millis(500));
        }
        world.run(seconds(60));
        let opened: Vec<Instant> = world.opened.iter().map(|(when, _)| *when).collect();
        let is_close = |when: &Instant| {
            met.iter()
                .any(|met| when >= met && *when - *met < seconds(2))
        };
        within_two_seconds += opened.iter().filter(|when| is_close(when)).count();
        until_full += (opened[SIZE - 1] - met[0]).as_secs_f64() / 100.0;
    }
    assert_eq!(within_two_seconds, 0);
    assert!((8.0..20.0).contains(&until_full), "{until_full} s");
}

#[test]
fn gaps_are_exponentially_distributed() {
    let mut world = World::new(Vec::new(), 5);
    world.plan.start(world.now);
    let mut gaps = Vec::new();
    for _ in 0..10_000 {
        let tick = world.plan.next_tick().unwrap();
        world.plan.due(tick);
        gaps.push((world.plan.next_tick().unwrap() - tick).as_secs_f64());
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
    let mut world = World::new(servers(&[("a", 9), ("b", 9)]), 6);
    world.plan.start(world.now);
    world.now += seconds(8 * 3600);
    assert_eq!(world.look(), 1);
    assert!(world.plan.next_tick().unwrap() > world.now);

    let mut world = World::filled(servers(&[("a", 9), ("b", 9)]), 7);
    for link in world.plan.ready() {
        link.break_off();
    }
    world.now += seconds(8 * 3600);
    assert_eq!(world.look(), 1);
}

/// Runs for an hour in which ids take connections, and looks at the pool after each
/// moment of change.
fn watch(servers: Vec<Server>, seed: u8, check: impl Fn(&[&Server])) {
    let mut world = World::filled(servers, seed);
    for number in 0..240 {
        world.run(seconds(15));
        if number % 10 == 0 {
            world.pair(&id(number));
        }
        let there: Vec<&Server> = world.plan.ready().map(|link| &link.server).collect();
        assert!(there.len() <= SIZE);
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
            assert!(of.values().all(|&count| count <= SIZE / 2), "{of:?}");
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
        let world = World::filled(list, 1);
        assert_eq!(world.plan.ready().count(), SIZE);
        let distinct: HashSet<_> = world.plan.ready().map(|link| &link.server).collect();
        assert_eq!(distinct.len(), count);
    }
    let world = World::filled(Vec::new(), 1);
    assert_eq!(world.plan.ready().count(), 0);
}

#[test]
fn onion_services_are_preferred() {
    let mut list = servers(&[("a", 9), ("b", 9), ("c", 9)]);
    list.extend((10..14).flat_map(|at| [server("a", at, "onion"), server("b", at, "onion")]));
    watch(list.clone(), 2, |there| {
        assert!(there.iter().all(|server| server.address.is_onion()));
    });
    let mut world = World::new(list, 3);
    for number in 0..50 {
        let pair = world.pair(&id(number));
        assert!(pair.iter().all(|link| link.server.address.is_onion()));
    }
}

#[test]
fn every_server_is_drawn() {
    let list = servers(&[("a", 4), ("b", 3), ("c", 2)]);
    let drawn: BTreeSet<String> = (0..40)
        .flat_map(|seed| World::filled(list.clone(), seed).opened)
        .map(|(_, link)| link.server.to_string())
        .collect();
    assert_eq!(drawn.len(), list.len());
}

#[test]
fn what_nobody_takes_closes_after_5_to_15_minutes() {
    let mut world = World::filled(servers(&[("a", 9), ("b", 9)]), 9);
    world.run(seconds(12 * 3600));
    let lives: Vec<u64> = world
        .opened
        .iter()
        .filter_map(|(when, link)| world.closed_after(link, *when))
        .map(|life| life.as_secs())
        .collect();
    assert!(lives.len() > 200);
    assert!(lives.iter().all(|life| (300..=900).contains(life)));
    for part in [300..400, 400..500, 500..600, 600..700, 700..800, 800..900] {
        assert!(lives.iter().any(|life| part.contains(life)), "{part:?}");
    }
    assert!(world.closed.iter().all(|(_, link)| link.closes() == 1));
    // They are pinged meanwhile, at times of their own.
    assert!(world.opened[0].1.pings.load(SeqCst) >= 1);
}

/// Pings of different ids would have a common beat if they waited for the next
/// look at what is due, and servers that compare times could tell that the
/// connections are one user's.
#[test]
fn pings_keep_no_common_beat() {
    let mut world = World::filled(servers(&[("a", 9), ("b", 9)]), 8);
    for number in 0..20 {
        world.pair(&id(number));
    }
    world.run(seconds(550));
    let gaps = world.pinged.windows(2).map(|pair| pair[1] - pair[0]);
    let beat = gaps.filter(|gap| gap.as_nanos() % 500_000_000 == 0).count();
    assert!(world.pinged.len() > 200);
    assert!(beat < 5, "{beat} of {}", world.pinged.len());
}
