use std::time::Duration;

use super::*;

/// Hosts of these operators, of which none is trusted before it was met twice.
fn strangers(names: &[&str]) -> Vec<Arc<Host>> {
    let chain = trunk(3);
    let hosts = names.iter().map(|name| Host::new(name, &chain));
    hosts
        .inspect(|host| host.is_stranger.store(true, SeqCst))
        .collect()
}

fn opened(hosts: &[Arc<Host>]) -> usize {
    hosts.iter().map(|host| host.opened()).sum()
}

/// Requests for headers.
fn asked(hosts: &[Arc<Host>]) -> usize {
    hosts.iter().map(|host| host.requests().len()).sum()
}

/// Lets the next look come at once, so many times.
fn survey(world: &mut World, times: usize) {
    for _ in 0..times {
        world.driver.next_survey = world.driver.next_survey.map(|_| Instant::now());
        world.driver.survey();
    }
}

#[test]
fn strangers_are_met_until_eight_are_trusted() {
    let hosts = strangers(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]);
    let mut world = World::new(&hosts);
    // What gives the headers becomes trusted by that.
    assert!(world.settle());
    assert_eq!(opened(&hosts), 4);
    let before = asked(&hosts);
    let first = Instant::now();
    survey(&mut world, 1);
    assert_eq!(opened(&hosts), 4, "the others have time");
    assert!(world.driver.next_survey.unwrap() >= first + Duration::from_secs(120));
    survey(&mut world, 6);
    assert_eq!(opened(&hosts), 16, "two connections to each");
    survey(&mut world, 10);
    assert_eq!(opened(&hosts), 16);
    assert_eq!(asked(&hosts), before, "nothing is fetched from the others");
}

/// While lookups lack an operator it is looked for at once, and soon again if
/// it cannot be reached.
#[test]
fn an_operator_that_is_missing_is_looked_for() {
    let hosts = strangers(&["a", "b"]);
    hosts[0].is_stranger.store(false, SeqCst);
    hosts[1].is_down.store(true, SeqCst);
    let mut world = World::new(&hosts);
    world.driver.record.worked(&hosts[0].server);
    survey(&mut world, 1);
    let soon = Instant::now() + Duration::from_secs(30);
    assert!(world.driver.next_survey.unwrap() <= soon);
    hosts[1].is_down.store(false, SeqCst);
    survey(&mut world, 1);
    assert_eq!([hosts[0].opened(), hosts[1].opened()], [0, 2]);
}

/// Servers that need no certificate may be dead all the same.
#[test]
fn trust_that_was_never_exercised_is_not_enough() {
    let chain = trunk(3);
    let mut hosts: Vec<_> = (0..9)
        .map(|number| Host::new(&format!("dead{number}"), &chain))
        .collect();
    for host in &hosts {
        host.is_down.store(true, SeqCst);
    }
    hosts.extend(strangers(&["a", "b", "c"]));
    let mut world = World::new(&hosts);
    while !world.settle() {}
    survey(&mut world, 11);
    assert!(hosts[9..].iter().all(|host| host.opened() >= 2));
}

#[test]
fn there_is_a_pause_between_two_looks() {
    let hosts = strangers(&["a", "b", "c"]);
    let mut world = World::new(&hosts);
    (0..5).for_each(|_| world.driver.survey());
    assert_eq!(opened(&hosts), 2);
}
