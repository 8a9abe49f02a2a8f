//! Servers that lie about names: what one says the other sets right, and
//! what both say is believed only if it is proven (spec/electrum.md, 4 and 6).

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::support::electrum::Version::{V1_15, V2_0b1};
use crate::support::electrum::chain::Chain;
use crate::support::electrum::lies::Lie;
use crate::support::electrum::{Electrum, Version};
use crate::support::electrum_plugin::{
    FIRST_METHODS, assert_transient, for_each, ip, is_transient, lookups, ready, server,
    times_asked, wait_dropped,
};

const NAME: &str = "d/example";
const OLDER: &str = "0 192.0.2.2";
const NEWEST: &str = "0 192.0.2.3";

/// A chain of 65 blocks with three operations on a name, of which the first
/// has expired and the others count.
static CHAIN: LazyLock<Chain> = LazyLock::new(|| {
    let mut chain = Chain::new();
    chain.payments = Some(6);
    chain.mine(2);
    chain.register(NAME, ip("192.0.2.1"));
    chain.mine(36);
    chain.update(NAME, ip("192.0.2.2"));
    chain.mine(8);
    chain.register("d/other", ip("192.0.2.66"));
    chain.update(NAME, ip("192.0.2.3"));
    chain.mine(15);
    assert_eq!(chain.tip(), 65);
    chain
});

/// Lies that a proof gives away. In steps, what cannot be proven looks like
/// what a reorganisation left behind.
fn disproved(version: Version) -> Vec<Lie> {
    let mut lies = vec![
        Lie::WrongTransaction,
        Lie::TransactionBit,
        Lie::BranchBit,
        Lie::WrongPosition,
        Lie::LargePosition,
        Lie::WrongHeight,
    ];
    if version == V2_0b1 {
        lies.push(Lie::Unproven(NAME.into()));
    }
    lies
}

/// Lies that leave something out. One server's word does not show them, and
/// the other's makes up for them.
fn omissions() -> [Lie; 4] {
    [Lie::Stale, Lie::Hidden, Lie::Expired, Lie::OtherName]
}

/// An honest server and one of another version that is going to lie.
fn servers(liar: Version) -> [Electrum; 2] {
    let honest = match liar {
        V1_15 => V2_0b1,
        V2_0b1 => V1_15,
    };
    [honest, liar].map(|version| server(version, &CHAIN))
}

#[test]
fn a_lie_of_one_server_is_set_right_by_the_other() {
    for version in [V1_15, V2_0b1] {
        let servers = servers(version);
        let [honest, liar] = &servers;
        let mut plugin = ready(&[honest, liar], &[]);
        for lie in disproved(version) {
            liar.lie(lie.clone());
            let answer = plugin.ask("example.bit", &format!("{lie:?}"));
            assert_eq!(answer, NEWEST, "{lie:?}{}", plugin.story());
            wait_dropped(liar);
        }
        assert!(lookups(honest).iter().all(|connection| !connection.closed));
        plugin.finish();
        // One that is not asked in the background for what it lied about.
        liar.honest();
        let mut plugin = ready(&[honest, liar], &[]);
        let asked = times_asked(liar);
        for lie in omissions() {
            liar.lie(lie.clone());
            let answer = plugin.ask("example.bit", &format!("{lie:?}"));
            assert_eq!(answer, NEWEST, "{lie:?}{}", plugin.story());
        }
        // For another name the history is asked for, where proofs came at once.
        let more = usize::from(version == V2_0b1);
        assert_eq!(times_asked(liar), asked + 4 + more, "each was heard");
        plugin.finish();
    }
}

/// The liar backs off for an isolation id that has caught it, and for no other.
#[test]
fn a_liar_is_not_asked_again_on_behalf_of_the_same_isolation_id() {
    let servers = [V1_15, V2_0b1, V1_15].map(|version| server(version, &CHAIN));
    let [liar, others @ ..] = &servers;
    let mut plugin = ready(&[liar, &others[0], &others[1]], &["--cache-ttl=0"]);
    liar.lie(Lie::BranchBit);
    for isolation in 0..12 {
        for _ in 0..3 {
            let answer = plugin.ask("example.bit", &isolation.to_string());
            assert_eq!(answer, NEWEST, "{}", plugin.story());
        }
    }
    wait_dropped(liar);
    let connections = lookups(liar);
    // It is among the two with a probability of two in three each time.
    assert!((2..=12).contains(&connections.len()), "{connections:#?}");
    assert_eq!(times_asked(liar), connections.len());
}

/// Never a wrong value, and never "not registered".
fn lies_of_both_are_failures_for_the_moment(version: Version) {
    let servers = [server(version, &CHAIN), server(version, &CHAIN)];
    let mut plugin = ready(&[&servers[0], &servers[1]], &["--timeout=0.5"]);
    for lie in disproved(version) {
        servers.iter().for_each(|server| server.lie(lie.clone()));
        let answer = plugin.ask("example.bit", &format!("{lie:?}"));
        assert!(is_transient(&answer), "{lie:?}: {answer}");
    }
    servers.iter().for_each(Electrum::honest);
    assert_eq!(plugin.ask("example.bit", "a"), NEWEST);
    plugin.finish();
}

#[test]
fn a_lie_of_both_in_steps_is_a_failure_for_the_moment() {
    lies_of_both_are_failures_for_the_moment(V1_15);
}

#[test]
fn a_lie_of_both_at_once_is_a_failure_for_the_moment() {
    lies_of_both_are_failures_for_the_moment(V2_0b1);
}

/// The user learns which server it was and what was wrong, and nothing of the name.
#[test]
fn the_failure_names_a_server_and_not_the_name() {
    let servers = servers(V2_0b1);
    servers.iter().for_each(|server| server.lie(Lie::BranchBit));
    let mut plugin = ready(&[&servers[0], &servers[1]], &["--timeout=3"]);
    let answer = plugin.ask("example.bit", "a");
    assert!(answer.starts_with("1 \""), "{answer}");
    assert!(answer.contains("the merkle branch does not lead to the header"));
    let named = |server: &Electrum| answer.contains(&server.address().to_string());
    assert!(servers.iter().any(named), "{answer}");
    assert!(!answer.contains("d/example"), "{answer}");
    assert!(!plugin.story().contains("d/example"));
}

/// What two operators agree to hide is hidden: no proof of absence exists.
#[test]
fn what_both_leave_out_is_believed() {
    for version in [V1_15, V2_0b1] {
        let servers = [server(version, &CHAIN), server(version, &CHAIN)];
        let mut plugin = ready(&[&servers[0], &servers[1]], &[]);
        for (lie, expected) in [
            (Lie::Stale, OLDER),
            (Lie::Hidden, "3 \"example.bit is not registered"),
            (Lie::OtherName, "3 \"example.bit is not registered"),
            (
                Lie::Expired,
                "3 \"example.bit is not registered any more: it has expired",
            ),
        ] {
            servers.iter().for_each(|server| server.lie(lie.clone()));
            let answer = plugin.ask("example.bit", &format!("{lie:?}"));
            assert!(answer.starts_with(expected), "{lie:?}: {answer}");
        }
    }
}

/// One hides the name and the other tells a lie about it.
#[test]
fn absence_needs_two_who_say_so() {
    for_each(&[V1_15, V2_0b1], |&version| {
        let [hiding, lying] = &servers(version);
        let mut plugin = ready(&[hiding, lying], &["--timeout=1"]);
        hiding.lie(Lie::Hidden);
        lying.lie(Lie::WrongTransaction);
        let answer = plugin.ask("example.bit", "a");
        assert!(is_transient(&answer), "{answer}");
        lying.lie(Lie::Hidden);
        assert!(plugin.ask("example.bit", "b").starts_with("3 "));
    });
}

/// Asks, and measures how long the answer took.
fn timed(
    plugin: &mut crate::support::plugin::Plugin,
    name: &str,
    isolation: &str,
) -> (String, Duration) {
    let begun = Instant::now();
    let answer = plugin.ask(name, isolation);
    (answer, begun.elapsed())
}

fn fall_silent(server: &Electrum, version: Version) {
    let method = FIRST_METHODS[usize::from(version == V2_0b1)];
    server.lie_in(method, Lie::Silent);
}

#[test]
fn a_silent_server_is_waited_for_until_half_of_the_time_is_over() {
    for_each(&[V1_15, V2_0b1], |&version| {
        let [honest, silent] = &servers(version);
        let mut plugin = ready(&[honest, silent], &["--timeout=4"]);
        fall_silent(silent, version);
        let (answer, time) = timed(&mut plugin, "example.bit", "a");
        assert_eq!(answer, NEWEST, "{}", plugin.story());
        let (least, most) = (Duration::from_millis(1900), Duration::from_millis(3700));
        assert!((least..most).contains(&time), "{time:?}");
    });
}

/// Nor is a name called absent when the time is up.
#[test]
fn a_silent_server_keeps_a_name_from_being_called_absent() {
    for_each(&[V1_15, V2_0b1], |&version| {
        let [honest, silent] = &servers(version);
        let mut plugin = ready(&[honest, silent], &["--timeout=1.5"]);
        fall_silent(silent, version);
        let timeout = Duration::from_millis(1500);
        assert_transient(&mut plugin, "none.bit", "a", timeout);
        silent.honest();
        assert!(plugin.ask("none.bit", "b").starts_with("3 "));
    });
}

/// An isolation id whose server is silent gets another one.
#[test]
fn a_silent_server_is_replaced_if_there_is_another() {
    let servers = [V1_15, V2_0b1, V1_15].map(|version| server(version, &CHAIN));
    let [silent, others @ ..] = &servers;
    let more = ["--timeout=2", "--cache-ttl=0"];
    let mut plugin = ready(&[silent, &others[0], &others[1]], &more);
    fall_silent(silent, V1_15);
    // The id has the silent server with a probability of two in three.
    let slow = (0..20).map(|isolation| isolation.to_string());
    let mut slow = slow.filter(|isolation| {
        let (answer, time) = timed(&mut plugin, "example.bit", isolation);
        assert_eq!(answer, NEWEST, "{}", plugin.story());
        time > Duration::from_millis(900)
    });
    let slow = slow.next().expect("an id with the silent server");
    wait_dropped(silent);
    let asked = times_asked(silent);
    assert_eq!(plugin.ask("example.bit", &slow), NEWEST);
    assert_eq!(times_asked(silent), asked);
}

/// A server that cannot be reached has failed: the other's value counts at
/// once, and nobody knocks in a loop.
#[test]
fn a_server_that_is_gone_delays_nothing() {
    let [honest, gone] = servers(V1_15);
    let mut plugin = ready(&[&honest, &gone], &["--timeout=8"]);
    gone.lie(Lie::CutLine);
    let before = gone.connections().len();
    let (answer, time) = timed(&mut plugin, "example.bit", "new");
    assert_eq!(answer, NEWEST, "{}", plugin.story());
    assert!(time < Duration::from_secs(3), "{time:?}");
    let after = gone.connections().len();
    assert!(after - before < 20, "{} connections", after - before);
}
