//! First starts: a long chain is believed by a random sample of its proofs of
//! work (`spec/electrum.md`, section 3.1).

use std::collections::BTreeSet;
use std::fs;
use std::sync::LazyLock;

use crate::support::electrum::Electrum;
use crate::support::electrum::Version::V1_15;
use crate::support::electrum::chain::Chain;
use crate::support::electrum::lies::Lie;
use crate::support::electrum_plugin::{for_each, ip, ready, server};

/// The newest headers, which are verified in any case.
const NEWEST: u64 = 144;

/// A chain of 2,300 blocks with a name.
static CHAIN: LazyLock<Chain> = LazyLock::new(|| {
    let mut chain = Chain::new();
    chain.mine(2_280);
    chain.register("d/example", ip("192.0.2.1"));
    chain.mine(2_300 - chain.tip());
    chain
});

/// The requests of a method: first parameter, and the third if there is one.
fn requests(server: &Electrum, method: &str) -> Vec<(u64, Option<u64>)> {
    let connections = server.connections().into_iter();
    connections
        .flat_map(|connection| connection.requests)
        .filter(|request| request.method == method)
        .map(|request| {
            (
                request.params[0].as_u64().unwrap(),
                request.params[2].as_u64(),
            )
        })
        .collect()
}

/// The heights of single headers above the checkpoint that were asked for.
fn drawn(server: &Electrum) -> BTreeSet<u64> {
    let single = requests(server, "blockchain.block.header");
    single
        .into_iter()
        .map(|(height, _)| height)
        .filter(|&height| height > 0)
        .collect()
}

/// The first heights of ranges of whole headers.
fn whole(server: &Electrum) -> BTreeSet<u64> {
    let ranges = requests(server, "blockchain.block.headers").into_iter();
    ranges
        .filter(|(_, below)| below.is_none())
        .map(|(start, _)| start)
        .collect()
}

#[test]
fn one_operator_gives_the_headers_and_another_proves_a_sample() {
    let servers = [server(V1_15, &CHAIN), server(V1_15, &CHAIN)];
    let state = tempfile::tempdir().unwrap();
    let path = state.path().to_str().unwrap();
    let mut arguments = vec!["--network=regtest".to_owned(), "-v".to_owned()];
    for server in &servers {
        arguments.push(format!("--electrum-server={}:t", server.address()));
    }
    let start = crate::support::plugin::Start::new(&arguments);
    let mut plugin = start.env("TOR_NS_STATE_LOCATION", path).ready();
    plugin.complaint("verified by a sample");
    assert_eq!(
        plugin.ask("example.bit", "a"),
        "0 192.0.2.1",
        "{}",
        plugin.story()
    );
    let [one, other] = servers.each_ref().map(drawn);
    assert!(
        one.is_empty() != other.is_empty(),
        "only one of them is asked"
    );
    let sample = &one | &other;
    assert!((350..=500).contains(&sample.len()), "{}", sample.len());
    let last = CHAIN.tip() as u64 - NEWEST;
    assert!(*sample.last().unwrap() <= last);
    for server in &servers {
        let whole = whole(server);
        assert!(
            whole.iter().all(|&start| start == 0 || start > last),
            "{whole:?}"
        );
    }
    plugin.finish();
    let file = fs::read(state.path().join("headers-regtest")).unwrap();
    let line = file.split(|&byte| byte == b'\n').next().unwrap();
    assert!(line.ends_with(b" sampled"));
}

#[test]
fn the_user_can_have_all_headers_verified() {
    let servers = [server(V1_15, &CHAIN), server(V1_15, &CHAIN)];
    let mut plugin = ready(&[&servers[0], &servers[1]], &["--verify-all-headers"]);
    assert_eq!(plugin.ask("example.bit", "a"), "0 192.0.2.1");
    assert!(servers.iter().all(|server| drawn(server).is_empty()));
    plugin.finish();
}

#[test]
fn a_chain_with_forged_work_is_refused() {
    for_each(&[2, 10], |every| {
        let [honest, forger] = [(); 2].map(|()| server(V1_15, &CHAIN));
        forger.lie(Lie::NoWork(*every));
        let plugin = crate::support::electrum_plugin::start(&[&honest, &forger], &[]);
        plugin.complaint(&format!(
            "warning: {}: it sent a header that is refused",
            forger.address()
        ));
        plugin.finish();
    });
}

/// What a server withholds or answers wrongly is asked of others.
#[test]
fn a_sample_that_one_server_does_not_prove_is_proven_by_another() {
    let lies = [Lie::WithheldProofs, Lie::OtherProof, Lie::WholeHeaders];
    for_each(&lies, |lie| {
        let [honest, other] = [(); 2].map(|()| server(V1_15, &CHAIN));
        other.lie(lie.clone());
        let mut plugin = ready(&[&honest, &other], &[]);
        assert_eq!(plugin.ask("example.bit", "a"), "0 192.0.2.1", "{lie:?}");
        plugin.finish();
    });
}

#[test]
fn servers_that_send_whole_headers_are_verified_in_full() {
    let servers = [server(V1_15, &CHAIN), server(V1_15, &CHAIN)];
    servers
        .iter()
        .for_each(|server| server.lie(Lie::WholeHeaders));
    let mut plugin = ready(&[&servers[0], &servers[1]], &[]);
    assert_eq!(plugin.ask("example.bit", "a"), "0 192.0.2.1");
    assert!(servers.iter().all(|server| drawn(server).is_empty()));
    plugin.finish();
}
