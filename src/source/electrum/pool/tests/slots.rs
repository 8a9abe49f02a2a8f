use std::collections::{BTreeSet, HashSet};

use super::plan::MAX_IDS;
use super::*;

#[test]
fn the_connections_of_an_id_are_of_two_operators() {
    for seed in 0..50 {
        let list = servers(&[("a", 9), ("b", 1)]);
        for mut sim in [
            Simulation::new(list.clone(), seed),
            Simulation::filled(list.clone(), seed),
        ] {
            assert_eq!(sim.plan.slots(), 2);
            for number in 0..10 {
                let [one, two] = sim.pair(&id(number));
                assert_ne!(one.operator(), two.operator());
            }
        }
    }
}

#[test]
fn one_operator_makes_one_slot() {
    let mut sim = Simulation::filled(servers(&[("a", 3)]), 1);
    assert_eq!(sim.plan.slots(), 1);
    assert_eq!(sim.slot(&id(1), 0).operator(), "a");
    let mut sim = Simulation::new(Vec::new(), 1);
    assert_eq!(sim.plan.slots(), 1);
    let reply = sim.plan.slot(&id(1), 0, false, sim.now);
    assert!(matches!(reply, SlotReply::NoServer));
}

#[test]
fn an_id_takes_ready_ones_and_keeps_them_to_itself() {
    let mut sim = Simulation::filled(servers(&[("a", 3), ("b", 3)]), 2);
    let ready: HashSet<_> = sim.ready().map(Arc::as_ptr).collect();
    let mut taken = HashSet::new();
    for number in 0..3 {
        let pair = sim.pair(&id(number));
        for link in &pair {
            assert!(ready.contains(&Arc::as_ptr(link)));
            assert!(taken.insert(Arc::as_ptr(link)), "of one id only");
        }
        assert!(
            sim.pair(&id(number))
                .iter()
                .zip(&pair)
                .all(|(a, b)| Arc::ptr_eq(a, b))
        );
    }
    assert_eq!(sim.ready().count(), 0);
    let fourth = sim.pair(&id(3));
    assert!(
        fourth
            .iter()
            .all(|link| !taken.contains(&Arc::as_ptr(link)))
    );
}

/// While one lookup of an id opens the connection of a slot the others wait,
/// and the other slot is another operator's.
#[test]
fn a_slot_that_is_being_filled_is_waited_for() {
    let mut sim = Simulation::new(servers(&[("a", 3), ("b", 3)]), 3);
    let (isolation, now) = (id(1), sim.now);
    let SlotReply::Dial(first) = sim.plan.slot(&isolation, 0, false, now) else {
        panic!("nothing is ready");
    };
    assert!(matches!(
        sim.plan.slot(&isolation, 0, false, now),
        SlotReply::Wait
    ));
    let SlotReply::Dial(second) = sim.plan.slot(&isolation, 1, false, now) else {
        panic!("nothing is ready");
    };
    assert_ne!(first.server.operator, second.server.operator);
    sim.plan.dialled(&isolation, 0, &first, None, now);
    let third = sim.slot(&isolation, 0);
    assert_eq!(third.operator(), first.server.operator);
    assert_ne!(third.server, first.server, "that one backs off");
}

#[test]
fn a_broken_connection_is_replaced_when_its_id_asks_and_not_before() {
    let mut sim = Simulation::filled(servers(&[("a", 9), ("b", 9)]), 4);
    let pair = sim.pair(&id(1));
    sim.run(seconds(120));
    pair[0].break_off();
    let before = sim.opened.len();
    sim.run(seconds(120));
    assert_eq!(sim.opened.len(), before);
    let replaced = sim.slot(&id(1), 0);
    assert!(!Arc::ptr_eq(&replaced, &pair[0]));
    assert!(Arc::ptr_eq(&sim.slot(&id(1), 1), &pair[1]));
    assert_ne!(replaced.operator(), pair[1].operator());
}

#[test]
fn an_idle_id_loses_its_connections_each_after_a_time_of_its_own() {
    let mut delays = BTreeSet::new();
    for seed in 0..20 {
        let mut sim = Simulation::filled(servers(&[("a", 9), ("b", 9)]), seed);
        let pair = sim.pair(&id(1));
        sim.run(seconds(590));
        assert!(Arc::ptr_eq(&sim.slot(&id(1), 0), &pair[0]));
        let asked = sim.now;
        sim.run(seconds(700));
        for link in &pair {
            let after = sim.closed_after(link, asked).unwrap();
            assert!((600..=661).contains(&after.as_secs()), "{after:?}");
            assert_eq!(link.closes(), 1);
            delays.insert(after.as_millis());
        }
        let again = sim.pair(&id(1));
        assert!(again.iter().all(|link| link.closes() == 0));
    }
    assert!(delays.len() > 30, "{delays:?}");
}

#[test]
fn an_evicted_id_loses_its_connections_within_a_minute() {
    let mut sim = Simulation::filled(servers(&[("a", 9), ("b", 9)]), 5);
    let pair = sim.pair(&id(1));
    let since = sim.now;
    sim.plan.forget(&id(1), since);
    sim.look();
    assert!(pair.iter().all(|link| link.closes() == 0));
    let other = sim.pair(&id(1));
    assert!((0..2).all(|at| !Arc::ptr_eq(&pair[at], &other[at])));
    sim.run(seconds(61));
    let [one, two] = pair.map(|link| sim.closed_after(&link, since).unwrap());
    assert_ne!(one, two);
}

#[test]
fn too_many_ids_cost_the_one_that_has_not_asked_for_longest() {
    let mut sim = Simulation::new(servers(&[("a", 9), ("b", 9)]), 6);
    sim.plan.start(sim.now);
    let ids = MAX_IDS.get();
    let pairs: Vec<_> = (0..ids).map(|number| sim.pair(&id(number))).collect();
    sim.pair(&id(0));
    sim.pair(&id(ids));
    sim.run(seconds(61));
    let closed: Vec<usize> = (0..ids)
        .filter(|&at| pairs[at].iter().all(|link| link.closes() == 1))
        .collect();
    assert_eq!(closed, [1]);
}

/// A flood of ids does not pile connections up that are to close later.
#[test]
fn of_too_many_that_are_to_close_the_oldest_close_at_once() {
    let mut sim = Simulation::new(servers(&[("a", 9), ("b", 9)]), 6);
    sim.plan.start(sim.now);
    let pairs: Vec<_> = (0..30).map(|number| sim.pair(&id(number))).collect();
    for number in 0..30 {
        sim.plan.forget(&id(number), sim.now);
    }
    sim.look();
    let open = |link: &&Arc<FakeLink>| link.closes() == 0;
    assert!(pairs.iter().flatten().filter(open).count() <= 20);
    assert_eq!(pairs[0][0].closes(), 1);
    assert!(open(&&pairs[29][1]));
}

#[test]
fn a_connection_that_comes_when_its_id_is_forgotten_closes_like_the_others() {
    let mut sim = Simulation::new(servers(&[("a", 9), ("b", 9)]), 7);
    sim.plan.start(sim.now);
    let SlotReply::Dial(permit) = sim.plan.slot(&id(1), 0, false, sim.now) else {
        panic!("nothing is ready");
    };
    sim.plan.forget(&id(1), sim.now);
    let late = Arc::new(FakeLink::new(&permit.server));
    let given = Some(Arc::clone(&late));
    sim.plan.dialled(&id(1), 0, &permit, given, sim.now);
    assert_eq!(late.closes(), 0);
    let since = sim.now;
    sim.run(seconds(61));
    assert!(sim.closed_after(&late, since).is_some());
}

/// What was begun before an id was forgotten is not mistaken for what was begun
/// after it came back: it might be of the other slot's operator.
#[test]
fn an_id_that_comes_back_does_not_get_what_was_begun_for_it_before() {
    for seed in 0..20 {
        let mut sim = Simulation::new(servers(&[("a", 9), ("b", 9)]), seed);
        let now = sim.now;
        let SlotReply::Dial(before) = sim.plan.slot(&id(1), 0, false, now) else {
            panic!("nothing is ready");
        };
        sim.plan.forget(&id(1), now);
        let SlotReply::Dial(after) = sim.plan.slot(&id(1), 0, false, now) else {
            panic!("nothing is ready");
        };
        let other = sim.slot(&id(1), 1);
        assert_ne!(after.server.operator, other.operator());
        let late = Arc::new(FakeLink::new(&before.server));
        let given = Some(Arc::clone(&late));
        sim.plan.dialled(&id(1), 0, &before, given, now);
        let reply = sim.plan.slot(&id(1), 0, false, now);
        assert!(matches!(reply, SlotReply::Wait), "seed {seed}");
        let own = Arc::new(FakeLink::new(&after.server));
        let given = Some(Arc::clone(&own));
        sim.plan.dialled(&id(1), 0, &after, given, now);
        assert!(Arc::ptr_eq(&sim.slot(&id(1), 0), &own));
    }
}

/// Servers close a session after ten silent minutes; an id may be silent for
/// as long.
#[test]
fn what_an_id_has_is_pinged_at_times_of_its_own() {
    let mut sim = Simulation::new(servers(&[("a", 9), ("b", 9)]), 3);
    sim.plan.start(sim.now);
    let links = sim.pair(&id(1));
    let mut times = [const { Vec::new() }; 2];
    while sim.now < sim.begin + seconds(590) {
        let before = links.each_ref().map(|link| link.pings.load(SeqCst));
        sim.run(seconds(1));
        for ((link, before), times) in links.iter().zip(before).zip(&mut times) {
            if link.pings.load(SeqCst) > before {
                times.push(sim.now - sim.begin);
            }
        }
    }
    for times in &times {
        let gaps = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs());
        assert!(gaps.clone().count() >= 2, "{times:?}");
        assert!(
            gaps.clone().all(|gap| (29..=151).contains(&gap)),
            "{times:?}"
        );
    }
    assert_ne!(times[0], times[1]);
}

/// An id whose slot 0 was given up because of `fault`, and the server.
fn failed(fault: Fault, seed: u8) -> (Simulation, Server) {
    let mut sim = Simulation::new(servers(&[("a", 2), ("b", 2), ("c", 2)]), seed);
    sim.plan.start(sim.now);
    let link = sim.slot(&id(1), 0);
    sim.plan.failed(&id(1), &link, fault, sim.now);
    (sim, link.server.clone())
}

#[test]
fn after_a_failure_the_server_backs_off_for_that_id_alone() {
    for (fault, shortest) in [(Fault::Proof, 600), (Fault::Broken, 60)] {
        for seed in 0..20 {
            let (mut sim, server) = failed(fault, seed);
            sim.run(seconds(shortest - 1));
            for index in [0, 1] {
                // Neither from the pool nor anew.
                assert_ne!(sim.slot(&id(1), index).server, server);
            }
        }
        let others = (0..40).filter(|&seed| {
            let (mut sim, server) = failed(fault, seed);
            sim.pair(&id(2)).iter().any(|link| link.server == server)
        });
        assert!(others.count() > 5);
    }
}

#[test]
fn a_server_that_the_pool_cannot_reach_backs_off_for_all() {
    for seed in 0..20 {
        let mut sim = Simulation::new(servers(&[("a", 5), ("b", 5)]), seed);
        sim.answers = |server| server.address.host != "a0.example";
        sim.plan.start(sim.now);
        // As long as nothing that is ready hides it.
        sim.plan.opened(&server("a", 0, "example"), None, sim.now);
        for number in 0..20 {
            for link in sim.pair(&id(number)) {
                assert_ne!(link.server, server("a", 0, "example"));
            }
        }
        sim.answers = |_| true;
        sim.run(seconds(59));
        let mut opened = sim.opened.iter();
        assert!(opened.all(|(_, link)| link.server != server("a", 0, "example")));
    }
}

#[test]
fn a_banned_server_loses_what_is_ready_and_what_is_coming() {
    let mut sim = Simulation::filled(servers(&[("a", 1), ("b", 3)]), 2);
    let liar = server("a", 0, "example");
    let before = sim.ready().count();
    let gone = sim.plan.ban(&liar, sim.now);
    assert!(!gone.is_empty());
    assert!(gone.iter().all(|link| link.server == liar));
    assert_eq!(sim.ready().count(), before - gone.len());
    let late = Arc::new(FakeLink::new(&liar));
    let refused = sim.plan.opened(&liar, Some(Arc::clone(&late)), sim.now);
    assert!(Arc::ptr_eq(&refused.unwrap(), &late));
    let opened = sim.opened.len();
    sim.run(seconds(599));
    let mut opened = sim.opened[opened..].iter();
    assert!(opened.all(|(_, link)| link.server != liar));
    sim.run(seconds(3600));
    assert!(sim.ready().any(|link| link.server == liar));
}

#[test]
fn if_all_back_off_it_is_the_one_that_does_so_for_the_shortest_time() {
    let mut sim = Simulation::new(servers(&[("a", 3)]), 3);
    let mut order = Vec::new();
    for _ in 0..3 {
        let link = sim.slot(&id(1), 0);
        sim.plan.failed(&id(1), &link, Fault::Broken, sim.now);
        order.push(link.server.clone());
        // Further apart than any two times differ.
        sim.now += seconds(20);
    }
    let distinct: std::collections::HashSet<_> = order.iter().collect();
    assert_eq!(distinct.len(), 3);

    // One that lied backs off for longer than one that broke.
    let mut sim = Simulation::new(servers(&[("a", 2)]), 4);
    let liar = sim.slot(&id(1), 0);
    sim.plan.failed(&id(1), &liar, Fault::Proof, sim.now);
    for _ in 0..3 {
        let link = sim.slot(&id(1), 0);
        assert_ne!(link.server, liar.server);
        sim.plan.failed(&id(1), &link, Fault::Broken, sim.now);
        sim.now += seconds(20);
    }
    // Even so, an operator has one of the slots at most.
    let mut sim = Simulation::new(servers(&[("a", 1), ("b", 1)]), 5);
    for _ in 0..5 {
        let [one, two] = sim.pair(&id(1));
        assert_ne!(one.operator(), two.operator());
        sim.plan.failed(&id(1), &one, Fault::Proof, sim.now);
        sim.plan.failed(&id(1), &two, Fault::Proof, sim.now);
    }
}
