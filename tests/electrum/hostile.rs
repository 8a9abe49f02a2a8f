//! Servers whose very bytes are hostile: replies without end, too deep, cut
//! off, dripping, or to requests that nobody made (spec/electrum.md, 4.10).

use std::sync::LazyLock;
use std::time::Duration;

use crate::support::electrum::Electrum;
use crate::support::electrum::Version::{V1_15, V2_0b1};
use crate::support::electrum::chain::Chain;
use crate::support::electrum::lies::Lie;
use crate::support::electrum_plugin::{
    FIRST_METHODS, assert_transient, becomes, for_each, ip, is_lookup, one_of_each, ready, server,
    start, wait_dropped,
};
use crate::support::plugin::Plugin;

const VALUE: &str = "0 192.0.2.1";
const TIMEOUT: Duration = Duration::from_secs(2);

/// The most that a plugin may ever take, in KiB, with all that is hostile: a
/// few replies of the greatest length at once, on top of what it takes at rest.
const MEMORY: u64 = 96 << 10;

/// A chain with a name that counts, and one that needs another block.
static CHAIN: LazyLock<Chain> = LazyLock::new(|| {
    let mut chain = Chain::new();
    chain.mine(11);
    chain.register("d/example", ip("192.0.2.1"));
    chain.mine(7);
    chain.register("d/next", ip("192.0.2.2"));
    chain.mine(10);
    chain
});

/// Replies of which nothing is of use.
fn useless() -> Vec<Lie> {
    vec![
        Lie::Endless(Duration::ZERO),
        Lie::Endless(Duration::from_millis(20)),
        Lie::DeepJson,
        Lie::Junk,
        Lie::CutLine,
        Lie::Silent,
        Lie::Drip(Duration::from_millis(100)),
        Lie::WrongIds,
        Lie::Batch,
    ]
}

/// Ends the plugin, which must have lived and kept within bounds.
fn finish(plugin: Plugin, lie: &Lie) {
    let memory = plugin.peak_memory();
    assert!(memory < MEMORY, "{lie:?}: {memory} KiB");
    plugin.finish();
}

/// Lies in the replies by which names are found, or in all.
fn start_lying(server: &Electrum, version: usize, everywhere: bool, lie: &Lie) {
    if everywhere {
        server.lie(lie.clone());
    } else {
        server.lie_in(FIRST_METHODS[version], lie.clone());
    }
}

fn with_one_hostile_server(everywhere: bool) {
    let mut cases: Vec<_> = useless().into_iter().map(|lie| (lie, 0)).collect();
    cases.push((Lie::Twice, 0));
    cases.extend(cases.clone().into_iter().map(|(lie, _)| (lie, 1)));
    for_each(&cases, |(lie, hostile)| {
        let servers = one_of_each(&CHAIN);
        let options = ["--timeout=2", "--cache-ttl=0"];
        let mut plugin = ready(&[&servers[0], &servers[1]], &options);
        start_lying(&servers[*hostile], *hostile, everywhere, lie);
        // A second copy of a reply is noticed when something is read after it.
        let rounds = if *lie == Lie::Twice { 2 } else { 1 };
        for isolation in ["a", "b"].repeat(rounds) {
            let answer = plugin.ask("example.bit", isolation);
            assert_eq!(answer, VALUE, "{lie:?}{}", plugin.story());
        }
        match lie {
            _ if everywhere => {}
            // What came last on the newest connection may be unread still.
            Lie::Twice => servers[*hostile].wait("a lookup to be over", |log| {
                log.iter().any(|one| is_lookup(one) && one.closed)
            }),
            _ => wait_dropped(&servers[*hostile]),
        }
        finish(plugin, lie);
    });
}

#[test]
fn one_hostile_server_keeps_no_value_back() {
    with_one_hostile_server(false);
}

/// Not even its greeting is one.
#[test]
fn one_server_that_is_hostile_in_everything_keeps_no_value_back() {
    with_one_hostile_server(true);
}

#[test]
fn two_hostile_servers_are_a_failure_for_the_moment() {
    for_each(&useless(), |lie| {
        let servers = one_of_each(&CHAIN);
        let mut plugin = ready(&[&servers[0], &servers[1]], &["--timeout=2"]);
        for (version, server) in servers.iter().enumerate() {
            start_lying(server, version, false, lie);
        }
        for isolation in ["a", "b"] {
            assert_transient(&mut plugin, "example.bit", isolation, TIMEOUT);
        }
        servers.iter().for_each(Electrum::honest);
        assert_eq!(plugin.ask("example.bit", "c"), VALUE, "{lie:?}");
        finish(plugin, lie);
    });
}

/// The same in headers, from the first moment on.
#[test]
fn hostile_headers_are_a_failure_for_the_moment() {
    let mut lies = useless();
    lies.push(Lie::HugeCount);
    for_each(&lies, |lie| {
        let servers = one_of_each(&CHAIN);
        for server in &servers {
            server.lie_in("blockchain.block.headers", lie.clone());
        }
        let mut plugin = start(&[&servers[0], &servers[1]], &["--timeout=2"]);
        for name in ["example.bit", "none.bit"] {
            assert_transient(&mut plugin, name, "a", TIMEOUT);
        }
        finish(plugin, lie);
    });
}

/// Headers of which nothing is of use.
const HEADERS: [Lie; 7] = [
    Lie::Endless(Duration::ZERO),
    Lie::HugeCount,
    Lie::DeepJson,
    Lie::Junk,
    Lie::CutLine,
    Lie::WrongIds,
    Lie::Batch,
];

/// A server that has become hostile does not keep the other's blocks away.
#[test]
fn one_server_with_hostile_headers_does_not_stop_the_chain() {
    let lies = [&HEADERS[..], &[Lie::Twice]].concat();
    for_each(&lies, |lie| {
        let [honest, hostile] = one_of_each(&CHAIN);
        let mut plugin = ready(&[&honest, &hostile], &["--cache-negative-ttl=0"]);
        hostile.lie_in("blockchain.block.headers", lie.clone());
        let mut chain = honest.chain();
        chain.mine(2);
        hostile.set_chain(chain.clone());
        honest.set_chain(chain);
        becomes(&mut plugin, "next.bit", "3 ", "0 192.0.2.2");
        finish(plugin, lie);
    });
}

/// A third operator takes its place.
#[test]
fn one_server_with_hostile_headers_is_replaced() {
    for_each(&HEADERS, |lie| {
        let servers = [V1_15, V2_0b1, V1_15].map(|version| server(version, &CHAIN));
        let [hostile, others @ ..] = &servers;
        hostile.lie(lie.clone());
        let mut plugin = ready(&[&others[0], hostile, &others[1]], &[]);
        assert_eq!(plugin.ask("example.bit", "a"), VALUE, "{lie:?}");
        finish(plugin, lie);
    });
}
