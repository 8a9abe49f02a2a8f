//! Headers at and below a checkpoint above the genesis, from servers that leave
//! the AuxPoW out, that cut in the wrong places, and that say so or do not
//! (`spec/electrum.md`, sections 3.1 to 3.3).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod support;

use std::sync::LazyLock;

use serde_json::json;

use support::electrum::chain::Chain;
use support::electrum::log::Request;
use support::electrum::{Electrum, Options, Version};
use support::electrum_plugin::{ip, start};
use support::{is_transient, run};

/// So high that one request does not reach down to the genesis, from where every
/// server cuts rightly.
const CHECKPOINT: usize = 600;

/// A chain in which a name's operation lies below the checkpoint.
static CHAIN: LazyLock<Chain> = LazyLock::new(|| {
    let mut chain = Chain::new();
    chain.mine(CHECKPOINT - 11);
    chain.register("d/below", ip("192.0.2.1"));
    chain.mine(12);
    chain.register("d/above", ip("192.0.2.2"));
    chain.mine(15);
    chain
});

fn checkpoint() -> String {
    let hash = CHAIN.block(CHECKPOINT).unwrap().hash;
    format!("--checkpoint={CHECKPOINT}:{hash}")
}

fn pair(options: &Options) -> [Electrum; 2] {
    [(); 2].map(|()| Electrum::start(CHAIN.clone(), options.clone()))
}

/// The requests for ranges of headers below the checkpoint.
fn below(servers: &[Electrum]) -> Vec<Request> {
    let connections = servers.iter().flat_map(Electrum::connections);
    connections
        .flat_map(|connection| connection.requests)
        .filter(|request| {
            request.method == "blockchain.block.headers"
                && request.params[0].as_u64().unwrap() < CHECKPOINT as u64
                && request.params != json!([0, 30, 0])
        })
        .collect()
}

fn is_stripped(request: &Request) -> bool {
    request.params[2].as_u64() == Some(CHECKPOINT as u64)
}

/// Finds names on both sides of the checkpoint; without a warning.
fn works(servers: &[Electrum; 2]) {
    let [one, other] = servers;
    let mut plugin = start(&[one, other], &[&checkpoint()]);
    let told = plugin.complaint("block headers below the checkpoint are there down to ");
    assert!(told.contains("info: "), "{told}");
    for (name, answer) in [("below.bit", "0 192.0.2.1"), ("above.bit", "0 192.0.2.2")] {
        assert_eq!(plugin.ask(name, "a"), answer, "{}", plugin.story());
    }
    let end = run::end(plugin);
    assert!(
        !end.stderr.iter().any(|line| line.contains("warning")),
        "{end:#?}"
    );
}

#[test]
fn servers_that_cut_rightly_leave_auxpow_out_below_the_checkpoint() {
    let servers = pair(&Options::new(Version::V1_15));
    works(&servers);
    let requests = below(&servers);
    assert!(!requests.is_empty());
    assert!(requests.iter().all(is_stripped), "{requests:#?}");
}

#[test]
fn servers_that_cut_wrongly_and_say_their_protocol_are_asked_for_whole_headers() {
    let servers = pair(&Options::new(Version::V2_0b1));
    works(&servers);
    let requests = below(&servers);
    assert!(!requests.is_empty());
    assert!(!requests.iter().any(is_stripped), "{requests:#?}");
}

/// What they send does not link; that is a defect known of honest servers, and
/// no lie.
#[test]
fn servers_that_cut_wrongly_without_saying_so_are_noticed() {
    let servers = pair(&Options {
        claims: Some("1.4.3"),
        ..Options::new(Version::V2_0b1)
    });
    works(&servers);
    let requests = below(&servers);
    let (stripped, whole): (Vec<_>, Vec<_>) = requests.into_iter().partition(is_stripped);
    assert!(!stripped.is_empty() && !whole.is_empty());
}

/// The header is accepted by its hash, and by nothing else.
#[test]
fn a_checkpoint_that_the_servers_do_not_have_is_no_chain() {
    let servers = pair(&Options::new(Version::V1_15));
    let wrong = CHAIN.block(CHECKPOINT - 1).unwrap().hash;
    let wrong = format!("--checkpoint={CHECKPOINT}:{wrong}");
    let mut plugin = start(&[&servers[0], &servers[1]], &[&wrong, "--timeout=2"]);
    let answer = plugin.ask("above.bit", "a");
    assert!(is_transient(&answer), "{answer}");
    plugin.complaint("checkpoint");
    plugin.finish();
}
