//! The word of one operator alone. A value that it has given may be an old one: a
//! second operator is asked again, though nobody asks (spec/electrum.md, 4.10). That
//! a name has no value takes two, whatever becomes of an isolation id's connections
//! (4.9).

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::support::electrum::Version::{V1_15, V2_0b1};
use crate::support::electrum::chain::Chain;
use crate::support::electrum::lies::Lie;
use crate::support::electrum::{Electrum, Version};
use crate::support::electrum_plugin::{
    FIRST_METHODS, becomes, for_each, ip, is_transient, lookups, ready, server, times_asked,
    wait_asked,
};

const OLDER: &str = "0 192.0.2.1";
const NEWEST: &str = "0 192.0.2.2";

/// The isolation id under which `becomes` asks.
const ID: &str = "becomes";

static CHAIN: LazyLock<Chain> = LazyLock::new(|| {
    let mut chain = Chain::new();
    chain.mine(2);
    chain.register("d/example", ip("192.0.2.1"));
    chain.mine(2);
    chain.update("d/example", ip("192.0.2.2"));
    chain.mine(12);
    chain
});

/// A server that hides the newest operation, and another that does not answer
/// as long as it lies.
fn servers(version: Version, lie: Lie) -> [Electrum; 2] {
    let servers = [server(V1_15, &CHAIN), server(version, &CHAIN)];
    servers[0].lie(Lie::Stale);
    for method in FIRST_METHODS {
        let is_its = (method == FIRST_METHODS[1]) == (version == V2_0b1);
        if is_its {
            servers[1].lie_in(method, lie.clone());
        }
    }
    servers
}

/// Silent or gone: its word comes later, and the old value goes.
#[test]
fn the_other_operator_is_asked_again_in_the_background() {
    let cases =
        [V1_15, V2_0b1].map(|version| [Lie::Silent, Lie::CutLine].map(|lie| (version, lie)));
    for_each(cases.as_flattened(), |(version, lie)| {
        let servers = servers(*version, lie.clone());
        let [stale, other] = &servers;
        let mut plugin = ready(&[stale, other], &["--timeout=2"]);
        assert_eq!(plugin.ask("example.bit", ID), OLDER, "{}", plugin.story());
        let asked = times_asked(other);
        assert!(asked >= 1);
        other.honest();
        // Nobody has asked.
        wait_asked(other, asked + 1);
        becomes(&mut plugin, "example.bit", OLDER, NEWEST);
        assert_eq!(times_asked(stale), 1, "all came from the cache");
        // Nor is it asked once more.
        let open = lookups(other).iter().filter(|one| !one.closed).count();
        assert_eq!((times_asked(other), open), (asked + 1, 1));
        plugin.finish();
    });
}

/// The time limit of a query does not matter for it.
#[test]
fn a_value_does_not_wait_for_long_for_a_server_that_is_silent() {
    let servers = servers(V1_15, Lie::Silent);
    let [stale, other] = &servers;
    let mut plugin = ready(&[stale, other], &["--timeout=60"]);
    let begun = Instant::now();
    assert_eq!(plugin.ask("example.bit", ID), OLDER, "{}", plugin.story());
    assert!(begun.elapsed() < Duration::from_secs(15), "half were 30 s");
    // What did not answer is not asked again on the same connection.
    other.wait("its connection ends", |log| {
        let mut asked = log.iter().filter(|one| {
            one.methods()
                .iter()
                .any(|method| FIRST_METHODS.contains(method))
        });
        asked.any(|one| one.closed)
    });
    other.honest();
    becomes(&mut plugin, "example.bit", OLDER, NEWEST);
    plugin.finish();
}

/// A second id neither gives nor gets anything by it.
#[test]
fn another_id_has_nothing_of_it() {
    let servers = servers(V1_15, Lie::Silent);
    let [stale, other] = &servers;
    let mut plugin = ready(&[stale, other], &["--timeout=2"]);
    for id in [ID, "other"] {
        assert_eq!(plugin.ask("example.bit", id), OLDER, "{}", plugin.story());
    }
    let connections = || lookups(other).len();
    let before = connections();
    other.honest();
    wait_asked(other, before + 2);
    becomes(&mut plugin, "example.bit", OLDER, NEWEST);
    let all = lookups(other);
    assert!(all.iter().all(|one| {
        one.methods()
            .iter()
            .filter(|method| FIRST_METHODS.contains(method))
            .count()
            == 1
    }));
    plugin.finish();
}

/// Ids that keep connections; the next takes the place of the first.
const IDS: usize = 90;

/// A chain with one operation.
fn short_chain() -> Chain {
    let mut chain = Chain::new();
    chain.mine(10);
    chain.register("d/example", ip("192.0.2.1"));
    chain.mine(20);
    chain
}

/// One server hides the name, and the connections to the other break. The id
/// has lost its slots to others by then, and with them the memory of who
/// answered, so that the hiding server is asked again in the other's place.
#[test]
fn one_operator_that_is_asked_twice_is_one_operator() {
    let chain = short_chain();
    let [hiding, honest] = [(); 2].map(|()| server(V1_15, &chain));
    let mut plugin = ready(&[&hiding, &honest], &["--max-lookups=128", "--timeout=12"]);
    hiding.lie(Lie::Hidden);
    honest.lie_in(FIRST_METHODS[0], Lie::Silent);
    plugin.send("RESOLVE 1 example.bit victim");
    wait_asked(&hiding, 1);
    wait_asked(&honest, 1);
    for other in 0..IDS {
        plugin.send(&format!("RESOLVE {} example.bit other{other}", other + 2));
    }
    wait_asked(&honest, IDS + 1);
    honest.lie_in(FIRST_METHODS[0], Lie::CutLine);
    honest.disconnect();
    let answer = plugin.answer("1");
    assert!(is_transient(&answer), "{answer}");
}
