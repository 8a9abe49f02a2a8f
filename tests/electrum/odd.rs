//! Odd answers of honest servers: none costs a name or a server its place for good,
//! and none is taken for "not registered". Above all, their index keeps entries of
//! blocks that others have replaced (spec/electrum.md, 4.8).

use std::sync::LazyLock;
use std::time::Duration;

use crate::support::electrum::Version::{self, V1_15, V2_0b1};
use crate::support::electrum::chain::Chain;
use crate::support::electrum::leftovers::Leftover;
use crate::support::electrum::lies::Lie;
use crate::support::electrum::{Electrum, log};
use crate::support::electrum_plugin::{
    FIRST_METHODS, assert_transient, becomes, for_each, ip, is_transient, lookups, ready, server,
};

const NAME: &str = "d/example";
const NEWEST: &str = "0 192.0.2.2";

/// Blocks with operations on other names, behind the name's newest operation
/// and in front of it.
const BEHIND: [usize; 2] = [37, 38];
const IN_FRONT: [usize; 2] = [41, 42];

/// A chain of 54 blocks: the name's operations are at 3, which has expired,
/// and at 40; what is at 43 or below has 12 confirmations.
static CHAIN: LazyLock<Chain> = LazyLock::new(|| {
    let mut chain = Chain::new();
    chain.payments = Some(6);
    chain.mine(2);
    chain.register(NAME, ip("192.0.2.1"));
    chain.mine(33);
    for height in 37..=42 {
        match height {
            40 => chain.register(NAME, ip("192.0.2.2")),
            _ => chain.register(format!("d/other{height}"), ip("192.0.2.66")),
        };
    }
    chain.mine(12);
    assert_eq!(chain.tip(), 54);
    chain
});

fn with(entries: &[(usize, Leftover)]) -> Chain {
    let mut chain = CHAIN.clone();
    for &(height, leftover) in entries {
        chain.leave(NAME, height, leftover);
    }
    chain
}

/// Servers of two versions, with the same leftovers.
fn servers(versions: [Version; 2], chain: &Chain) -> [Electrum; 2] {
    versions.map(|version| server(version, chain))
}

const VERSIONS: [[Version; 2]; 2] = [[V1_15; 2], [V2_0b1; 2]];

/// No server was dropped for it.
fn assert_kept(servers: &[Electrum]) {
    for server in servers {
        let connections = lookups(server);
        assert!(!connections.is_empty());
        assert!(connections.iter().all(|connection| !connection.closed));
    }
}

#[test]
fn entries_that_are_no_operation_hide_nothing() {
    let mut cases: Vec<Vec<(usize, Leftover)>> = Vec::new();
    for leftover in Leftover::ALL {
        cases.push(BEHIND.map(|height| (height, leftover)).to_vec());
        cases.push(IN_FRONT.map(|height| (height, leftover)).to_vec());
        // Not deep enough, and in the same block.
        cases.push(vec![(40, Leftover::Nowhere), (42, leftover)]);
        let all = Leftover::ALL.map(|other| [(38, other), (41, other), (42, leftover)]);
        cases.push(all.concat()[..8].to_vec());
    }
    let cases: Vec<_> = VERSIONS
        .iter()
        .flat_map(|versions| {
            cases
                .iter()
                .map(move |entries| (*versions, entries.clone()))
        })
        .collect();
    for_each(&cases, |(versions, entries)| {
        let servers = servers(*versions, &with(entries));
        let mut plugin = ready(&[&servers[0], &servers[1]], &[]);
        let answer = plugin.ask("example.bit", "a");
        assert_eq!(answer, NEWEST, "{entries:?}{}", plugin.story());
        assert_kept(&servers);
    });
}

/// Requests that a server was sent for one name.
fn requests(server: &Electrum) -> usize {
    let connections = lookups(server);
    let requests = connections
        .iter()
        .flat_map(|one: &log::Connection| &one.requests);
    requests
        .filter(|request| request.method.starts_with("blockchain.transaction."))
        .count()
}

/// What is spent on it is bounded, and the name is not called absent.
#[test]
fn too_many_entries_are_a_failure_for_the_moment() {
    for_each(&VERSIONS, |&versions| {
        let mut entries = Vec::new();
        for height in [41, 42, 43] {
            entries.extend([(height, Leftover::Nowhere); 4]);
        }
        let servers = servers(versions, &with(&entries));
        let mut plugin = ready(&[&servers[0], &servers[1]], &["--timeout=1"]);
        assert_transient(&mut plugin, "example.bit", "a", Duration::from_secs(1));
        for server in &servers {
            let connections = lookups(server).len();
            assert!(requests(server) <= connections * 24, "{}", requests(server));
        }
    });
}

/// A name of which nothing else is left is absent if two operators say so.
#[test]
fn leftovers_alone_are_as_good_as_nothing() {
    for leftover in [Leftover::OtherName, Leftover::NoName, Leftover::Nowhere] {
        for_each(&VERSIONS, |&versions| {
            let mut chain = CHAIN.clone();
            for height in BEHIND {
                chain.leave("d/gone", height, leftover);
            }
            let servers = servers(versions, &chain);
            let mut plugin = ready(&[&servers[0], &servers[1]], &["--timeout=3"]);
            let answer = plugin.ask("gone.bit", "a");
            assert!(
                answer.starts_with("3 \"gone.bit is not registered"),
                "{answer}"
            );
            assert_kept(&servers);
            // One alone does not suffice.
            servers[1].lie_in(
                FIRST_METHODS[usize::from(versions[1] == V2_0b1)],
                Lie::Silent,
            );
            let timeout = Duration::from_secs(3);
            assert_transient(&mut plugin, "gone.bit", "b", timeout);
        });
    }
}

/// With fewer confirmations than usual the newest block counts, and honest
/// servers may have different ones for a while.
#[test]
fn a_server_whose_newest_block_has_lost_is_kept() {
    for_each(&VERSIONS, |&versions| {
        let mut lost = CHAIN.fork_at(53);
        lost.update(NAME, ip("192.0.2.9"));
        let mut chain = CHAIN.clone();
        chain.mine(1);
        let servers = [server(versions[0], &chain), server(versions[1], &lost)];
        let more = ["--confirmations=1"];
        let mut plugin = ready(&[&servers[0], &servers[1]], &more);
        assert_eq!(plugin.ask("example.bit", "a"), NEWEST, "{}", plugin.story());
        assert_kept(&servers);
        plugin.finish();
    });
}

const ONLY: &str = "0 192.0.2.1";

/// A chain with one operation.
static PLAIN: LazyLock<Chain> = LazyLock::new(|| {
    let mut chain = Chain::new();
    chain.mine(20);
    chain.register("d/example", ip("192.0.2.1"));
    chain.mine(20);
    chain
});

/// Transactions that wait for their block are listed beside the others.
#[test]
fn what_is_in_no_block_yet_does_not_count() {
    let mut chain = PLAIN.clone();
    for height in [0, -1] {
        chain.list_unconfirmed("d/example", height);
        chain.list_unconfirmed("d/waiting", height);
    }
    let servers = [(); 2].map(|()| server(V1_15, &chain));
    let mut plugin = ready(&[&servers[0], &servers[1]], &[]);
    assert_eq!(plugin.ask("example.bit", "a"), ONLY);
    let answer = plugin.ask("waiting.bit", "a");
    assert!(
        answer.starts_with("3 \"waiting.bit is not registered"),
        "{answer}"
    );
    for server in &servers {
        assert!(lookups(server).iter().all(|connection| !connection.closed));
    }
}

/// Used up, too busy, broken inside, a bad request, a daemon that is away.
const CODES: [i64; 5] = [-101, -102, -32603, 1, 2];

/// Whichever step of a lookup a server refuses: when it does so no more, the
/// same isolation id is answered by it.
#[test]
fn a_refusal_is_neither_absence_nor_for_good() {
    let methods = [
        "blockchain.scripthash.get_history",
        "blockchain.transaction.get_merkle",
        "blockchain.transaction.get",
    ];
    let by_steps = methods.map(|method| (V1_15, method));
    let at_once = (V2_0b1, "blockchain.name.get_value_proof");
    let cases = CODES.map(|code| by_steps.map(|case| (case, code)));
    let mut cases = cases.as_flattened().to_vec();
    cases.extend(CODES.map(|code| (at_once, code)));
    for_each(&cases, |&((version, method), code)| {
        let servers = [(); 2].map(|()| server(version, &PLAIN));
        let mut plugin = ready(&[&servers[0], &servers[1]], &["--timeout=2"]);
        for server in &servers {
            server.lie_in(method, Lie::Refuse(code));
        }
        let answer = plugin.ask("example.bit", "becomes");
        let is_found = version == V2_0b1 && answer == ONLY;
        assert!(
            is_found || is_transient(&answer),
            "{method} {code}: {answer}"
        );
        servers.iter().for_each(Electrum::honest);
        becomes(&mut plugin, "example.bit", "", ONLY);
        plugin.finish();
    });
}
