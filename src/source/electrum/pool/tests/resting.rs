use super::*;

/// An id whose seat 0 was given up because of `fault`, and the server.
fn failed(fault: Fault, seed: u8) -> (World, Server) {
    let mut world = World::new(servers(&[("a", 2), ("b", 2), ("c", 2)]), seed);
    world.plan.start(world.now);
    let link = world.seat(&id(1), 0);
    world.plan.failed(&id(1), &link, fault, world.now);
    (world, link.server.clone())
}

#[test]
fn a_failure_rests_the_server_for_that_id_alone() {
    for (fault, shortest) in [(Fault::Proof, 600), (Fault::Broken, 60)] {
        for seed in 0..20 {
            let (mut world, server) = failed(fault, seed);
            world.run(seconds(shortest - 1));
            for index in [0, 1] {
                // Neither from the pool nor anew.
                assert_ne!(world.seat(&id(1), index).server, server);
            }
        }
        let others = (0..40).filter(|&seed| {
            let (mut world, server) = failed(fault, seed);
            world.pair(&id(2)).iter().any(|link| link.server == server)
        });
        assert!(others.count() > 5);
    }
}

#[test]
fn a_server_that_the_pool_cannot_reach_rests_for_all() {
    for seed in 0..20 {
        let mut world = World::new(servers(&[("a", 5), ("b", 5)]), seed);
        world.answers = |server| server.address.host != "a0.example";
        world.plan.start(world.now);
        // As long as nothing that is ready hides it.
        world
            .plan
            .opened(&server("a", 0, "example"), None, world.now);
        for number in 0..20 {
            for link in world.pair(&id(number)) {
                assert_ne!(link.server, server("a", 0, "example"));
            }
        }
        world.answers = |_| true;
        world.run(seconds(59));
        let mut opened = world.opened.iter();
        assert!(opened.all(|(_, link)| link.server != server("a", 0, "example")));
    }
}

#[test]
fn a_condemned_server_loses_what_is_ready_and_what_is_coming() {
    let mut world = World::filled(servers(&[("a", 1), ("b", 3)]), 2);
    let liar = server("a", 0, "example");
    let before = world.plan.ready().count();
    let gone = world.plan.condemn(&liar, world.now);
    assert!(!gone.is_empty());
    assert!(gone.iter().all(|link| link.server == liar));
    assert_eq!(world.plan.ready().count(), before - gone.len());
    let late = Arc::new(Wire::new(&liar));
    let refused = world.plan.opened(&liar, Some(Arc::clone(&late)), world.now);
    assert!(Arc::ptr_eq(&refused.unwrap(), &late));
    let opened = world.opened.len();
    world.run(seconds(599));
    let mut opened = world.opened[opened..].iter();
    assert!(opened.all(|(_, link)| link.server != liar));
    world.run(seconds(3600));
    assert!(world.plan.ready().any(|link| link.server == liar));
}

#[test]
fn if_all_rest_it_is_the_one_whose_rest_ends_first() {
    let mut world = World::new(servers(&[("a", 3)]), 3);
    let mut order = Vec::new();
    for _ in 0..3 {
        let link = world.seat(&id(1), 0);
        world.plan.failed(&id(1), &link, Fault::Broken, world.now);
        order.push(link.server.clone());
        // Further apart than any two rests differ.
        world.now += seconds(20);
    }
    let distinct: std::collections::HashSet<_> = order.iter().collect();
    assert_eq!(distinct.len(), 3);

    // One that lied rests for longer than one that broke.
    let mut world = World::new(servers(&[("a", 2)]), 4);
    let liar = world.seat(&id(1), 0);
    world.plan.failed(&id(1), &liar, Fault::Proof, world.now);
    for _ in 0..3 {
        let link = world.seat(&id(1), 0);
        assert_ne!(link.server, liar.server);
        world.plan.failed(&id(1), &link, Fault::Broken, world.now);
        world.now += seconds(20);
    }
    // Rest or not, an operator has one of the seats at most.
    let mut world = World::new(servers(&[("a", 1), ("b", 1)]), 5);
    for _ in 0..5 {
        let [one, two] = world.pair(&id(1));
        assert_ne!(one.operator(), two.operator());
        world.plan.failed(&id(1), &one, Fault::Proof, world.now);
        world.plan.failed(&id(1), &two, Fault::Proof, world.now);
    }
}
