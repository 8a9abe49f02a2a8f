//! Servers that cannot prove yet who they are.

use std::collections::HashSet;

use super::super::plan::SIZE;
use super::*;

/// Servers of which the first of each operator becomes trusted after a time.
fn late(seed: u8, time: Duration) -> (World, HashSet<Server>) {
    let mut world = World::wary(servers(&[("a", 9), ("b", 9), ("c", 9)]), seed);
    world.plan.start(world.now);
    world.run(time);
    assert!(world.opened.is_empty());
    let trusted = [server("a", 0, "example"), server("b", 0, "example")];
    for server in &trusted {
        world.plan.meet(server, world.now);
    }
    (world, HashSet::from(trusted))
}

#[test]
fn none_but_trusted_servers_are_drawn() {
    for seed in 0..10 {
        let (mut world, trusted) = late(seed, seconds(60));
        let is_trusted = |link: &Arc<Wire>| trusted.contains(&link.server);
        for number in 0..20 {
            assert!(world.pair(&id(number)).iter().all(is_trusted));
            world.run(seconds(5));
        }
        assert!(!world.opened.is_empty());
        assert!(world.opened.iter().all(|(_, link)| is_trusted(link)));
    }
}

/// Not even if the trusted ones fail, of which another operator's may be left.
#[test]
fn a_stranger_does_not_take_the_place_of_one_that_fails() {
    let (mut world, trusted) = late(1, seconds(1));
    for _ in 0..10 {
        for link in world.pair(&id(1)) {
            assert!(trusted.contains(&link.server));
            world.plan.failed(&id(1), &link, Fault::Proof, world.now);
        }
    }
}

#[test]
fn an_id_is_told_of_strangers_only_if_one_could_become_its_server() {
    let mut world = World::wary(servers(&[("a", 1), ("b", 1)]), 1);
    let seat = |world: &mut World, index| world.plan.seat(&id(1), index, false, world.now);
    assert!(matches!(seat(&mut world, 0), Seating::Strangers));
    world.plan.meet(&server("a", 0, "example"), world.now);
    assert_eq!(world.seat(&id(1), 0).operator(), "a");
    assert!(matches!(seat(&mut world, 1), Seating::Strangers));

    let mut world = World::new(servers(&[("a", 1)]), 1);
    assert_eq!(world.seat(&id(1), 0).operator(), "a");
}

/// Ticks that found nobody are not the last quick ones.
#[test]
fn the_pool_fills_quickly_once_servers_are_trusted() {
    for seed in 0..100 {
        let (mut world, _) = late(seed, seconds(300));
        world.run(seconds(50));
        assert_eq!(world.plan.ready().count(), SIZE, "seed {seed}");
    }
}

/// That it was heard of again changes nothing: the clock would tell of it.
#[test]
fn trust_moves_the_clock_once() {
    let mut world = World::filled(servers(&[("a", 3), ("b", 3)]), 4);
    let tick = world.plan.next_tick();
    world.plan.meet(&server("a", 1, "example"), world.now);
    world.plan.meet(&server("z", 1, "example"), world.now);
    assert_eq!(world.plan.next_tick(), tick);
}

/// Onion services need no certificate, but most of them are dead.
#[test]
fn servers_that_work_are_drawn_before_onions_of_which_nothing_is_known() {
    for seed in 0..20 {
        let mut all = servers(&[("a", 3), ("b", 3)]);
        let dead = [("a", "onion"), ("b", "onion")].map(|(operator, tld)| server(operator, 9, tld));
        all.extend(dead.clone());
        let mut world = World::wary(all.clone(), seed);
        all.iter().for_each(|server| world.plan.vouch(server));
        world.plan.start(world.now);
        world.run(seconds(30));
        assert!(world.opened.is_empty(), "the pool waits until one works");
        let working = [server("a", 0, "example"), server("b", 0, "example")];
        for server in &working {
            world.plan.meet(server, world.now);
        }
        world.run(seconds(60));
        assert_eq!(world.plan.ready().count(), SIZE);
        assert!(
            world
                .opened
                .iter()
                .all(|(_, link)| working.contains(&link.server))
        );
        for number in 0..10 {
            let pair = world.pair(&id(number));
            assert!(pair.iter().all(|link| working.contains(&link.server)));
        }
        // What has failed this id is replaced by another all the same.
        for link in world.pair(&id(1)) {
            world.plan.failed(&id(1), &link, Fault::Broken, world.now);
        }
        let pair = world.pair(&id(1));
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
fn take_in(world: &mut World, server: &Server) {
    world.plan.take_in(server);
    world.plan.meet(server, world.now);
}

#[test]
fn a_discovered_server_is_used_where_no_listed_one_of_another_operator_works() {
    let listed = servers(&[("a", 2), ("b", 2)]);
    let mut world = World::wary(listed.clone(), 3);
    let new = discovered("d", 0);
    world.plan.meet(&new, world.now);
    assert!(matches!(
        world.plan.seat(&id(0), 0, false, world.now),
        Seating::Strangers
    ));
    world.plan.meet(&listed[0], world.now);
    take_in(&mut world, &new);
    for number in 0..20 {
        let of = world.pair(&id(number)).map(|link| link.server.clone());
        assert!(of.contains(&listed[0]) && of.contains(&new), "{of:?}");
    }
    // As long as there are enough listed ones it is left alone.
    world.plan.meet(&listed[2], world.now);
    for number in 20..40 {
        let of = world.pair(&id(number)).map(|link| link.server.clone());
        assert!(!of.contains(&new), "{of:?}");
    }
}

#[test]
fn a_discovered_server_goes_when_it_is_not_named() {
    let listed = servers(&[("a", 1), ("b", 1)]);
    let mut world = World::wary(listed.clone(), 4);
    world.plan.meet(&listed[0], world.now);
    let (one, other) = (discovered("d", 0), discovered("d", 1));
    take_in(&mut world, &one);
    take_in(&mut world, &other);
    world.plan.start(world.now);
    world.run(seconds(120));
    let ready = |world: &World| {
        let ready = world.plan.ready().filter(|link| link.server == one);
        ready.count()
    };
    let before = ready(&world);
    assert!(before > 0);
    let gone = world.plan.keep_discovered(std::slice::from_ref(&other));
    assert_eq!((gone.len(), ready(&world)), (before, 0));
    for number in 0..20 {
        let of = world.pair(&id(number)).map(|link| link.server.clone());
        assert!(of.contains(&listed[0]) && of.contains(&other), "{of:?}");
    }
    // One that was under way comes too late.
    let link = Arc::clone(&gone[0]);
    assert!(world.plan.opened(&one, Some(link), world.now).is_some());
}

/// Nobody is heard twice at one host.
#[test]
fn a_discovered_server_at_the_host_of_another_gets_no_seat_beside_it() {
    let listed = servers(&[("a", 1)]);
    let mut world = World::wary(listed.clone(), 4);
    world.plan.meet(&listed[0], world.now);
    let mut twin = discovered("d", 0);
    twin.address.host = listed[0].address.host.to_uppercase();
    twin.address.port += 1;
    take_in(&mut world, &twin);
    world.plan.set_seats(2);
    world.plan.seat(&id(0), 0, true, world.now);
    let second = world.plan.seat(&id(0), 1, true, world.now);
    assert!(matches!(second, Seating::Nobody), "{second:?}");
}

/// At a start most of the servers that need no certificate are dead.
#[test]
fn an_id_waits_for_a_server_that_works_or_is_expected_to() {
    for seed in 0..20 {
        let mut all = servers(&[("a", 2), ("b", 2)]);
        all.extend(["a", "b", "c"].map(|operator| server(operator, 9, "onion")));
        let mut world = World::wary(all.clone(), seed);
        all.iter().for_each(|server| world.plan.vouch(server));
        let seat = |world: &mut World, index, dares| {
            let now = world.now;
            world.plan.seat(&id(1), index, dares, now)
        };
        assert!(matches!(seat(&mut world, 0, false), Seating::Unproven));
        // Without any sign onion services are as good as others.
        assert!(matches!(seat(&mut world, 0, true), Seating::Dial(_)));

        let mut world = World::wary(all.clone(), seed);
        all.iter().for_each(|server| world.plan.vouch(server));
        let expected = server("a", 1, "example");
        world.plan.expect(&expected);
        assert_eq!(world.seat(&id(1), 0).server, expected);
        assert!(matches!(seat(&mut world, 1, false), Seating::Unproven));
        let working = server("b", 1, "example");
        world.plan.meet(&working, world.now);
        assert_eq!(world.seat(&id(1), 1).server, working);

        // What has failed since is as little known as the others.
        world.plan.rest_broken(&expected, world.now);
        world.plan.rest_broken(&working, world.now);
        let seating = world.plan.seat(&id(2), 0, false, world.now);
        assert!(matches!(seating, Seating::Unproven));
    }
}
