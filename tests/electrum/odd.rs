//! Odd answers of honest servers: none costs a name or a server its place for
//! good, and none is taken for "not registered".

use std::sync::LazyLock;

use crate::support::electrum::Electrum;
use crate::support::electrum::Version::{V1_15, V2_0b1};
use crate::support::electrum::chain::Chain;
use crate::support::electrum::lies::Lie;
use crate::support::electrum_plugin::{
    becomes, for_each, ip, is_transient, lookups, ready, server,
};

const NEWEST: &str = "0 192.0.2.1";

static CHAIN: LazyLock<Chain> = LazyLock::new(|| {
    let mut chain = Chain::new();
    chain.mine(20);
    chain.register("d/example", ip("192.0.2.1"));
    chain.mine(20);
    chain
});

/// Transactions that wait for their block are listed beside the others.
#[test]
fn what_is_in_no_block_yet_does_not_count() {
    let mut chain = CHAIN.clone();
    for height in [0, -1] {
        chain.list_unconfirmed("d/example", height);
        chain.list_unconfirmed("d/waiting", height);
    }
    let servers = [(); 2].map(|()| server(V1_15, &chain));
    let mut plugin = ready(&[&servers[0], &servers[1]], &[]);
    assert_eq!(plugin.ask("example.bit", "a"), NEWEST);
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
        let servers = [(); 2].map(|()| server(version, &CHAIN));
        let mut plugin = ready(&[&servers[0], &servers[1]], &["--timeout=2"]);
        for server in &servers {
            server.lie_in(method, Lie::Refuse(code));
        }
        let answer = plugin.ask("example.bit", "becomes");
        let is_found = version == V2_0b1 && answer == NEWEST;
        assert!(
            is_found || is_transient(&answer),
            "{method} {code}: {answer}"
        );
        servers.iter().for_each(Electrum::honest);
        becomes(&mut plugin, "example.bit", "", NEWEST);
        plugin.finish();
    });
}
