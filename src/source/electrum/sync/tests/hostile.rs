use super::*;

/// Two honest servers and one of which the tests make a liar.
fn world() -> (World, [Arc<Host>; 2], Vec<SealedHeader>) {
    let chain = trunk(600);
    let hosts = [Host::new("honest", &chain), Host::new("liar", &chain)];
    (World::new(&hosts), hosts, chain)
}

/// An announcement that comes to nothing costs the connection, and few requests.
#[test]
fn a_height_that_is_never_reached_ends_the_connection() {
    for announced in [u32::MAX, u32::MAX - 1, 601, 5000] {
        let (mut world, [_, liar], chain) = world();
        liar.announce(announced, chain[5].header);
        assert!(!world.settle());
        assert!(world.is_at(&chain));
        assert_eq!(world.sessions.operators().len(), 1);
        assert!(liar.requests().len() < 10, "{:?}", liar.requests());
    }
}

#[test]
fn a_newest_block_that_is_not_in_the_chain_does_not_count_as_heard() {
    let (mut world, [_, liar], chain) = world();
    let other = parted(&chain, 590, 10, 3);
    liar.announce(600, other[600].header);
    assert!(!world.settle());
    assert_eq!(world.ledger.status().operators, ["honest"]);
}

/// A branch with less work grows all the time, and is compared less and less
/// often.
#[test]
fn a_branch_with_less_work_does_not_cause_endless_work() {
    let (mut world, [_, liar], chain) = world();
    let mut branch = parted(&chain, 100, 300, 3);
    liar.set(&branch);
    assert!(world.settle());
    let before = liar.requests().len();
    for _ in 0..100 {
        branch = grown(&branch, 1, 3);
        liar.set(&branch);
        world.look();
    }
    assert_eq!(world.sessions.operators().len(), 2);
    assert!(liar.requests().len() - before < 20);
    // One that wins in the end does so.
    assert!(world.is_at(&chain));
}

/// A new block that is none, every second.
#[test]
fn garbage_in_announcements_ends_the_connection() {
    let (mut world, [_, liar], chain) = world();
    assert!(world.settle());
    let before = liar.requests().len();
    for salt in 1..100 {
        let block = testing::branch(&chain[599].header, 1, salt)[0].header;
        liar.announce(600, block);
        world.look();
    }
    assert_eq!(world.sessions.operators().len(), 1);
    assert!(liar.requests().len() - before < 5);
}

#[test]
fn headers_one_at_a_time_are_not_waited_for() {
    let (mut world, [_, liar], chain) = world();
    liar.play(|chain, _, start, _| Some(honest(chain, start, 1)));
    world.settle();
    assert!(world.is_at(&chain));
    assert!(liar.requests().len() < 10);
}

/// Some limit what they send at once, and are heard nevertheless.
#[test]
fn servers_that_send_fewer_than_asked_for_will_do() {
    let (mut world, hosts, chain) = world();
    for host in &hosts {
        host.play(|chain, _, start, count| Some(honest(chain, start, count.min(100))));
    }
    assert!(world.settle());
    assert!(world.is_at(&chain));
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
    let mut world = World::new(&[one, two, Arc::clone(&good[0]), Arc::clone(&good[1])]);
    while !world.settle() {}
    assert!(world.is_at(&chain));
    let heard: Vec<String> = world.sessions.operators().into_iter().collect();
    assert_eq!(heard, ["a", "b"]);
    for liar in &world.net.hosts[..2] {
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
    let mut world = World::new(&hosts);
    assert!(!world.settle());
    assert!(world.is_at(&chain));
    assert_eq!(world.condemned(), [server("liar")]);
    assert_eq!(world.ledger.status().operators, ["honest"]);
}

#[test]
fn connections_that_ended_are_not_counted_but_replaced() {
    let (mut world, hosts, _) = world();
    assert!(world.settle());
    for session in &world.sessions.open {
        session.peer.close();
    }
    assert!(world.settle());
    for host in &hosts {
        host.is_down.store(true, SeqCst);
    }
    assert!(!world.settle());
    assert!(world.sessions.operators().is_empty());
}
