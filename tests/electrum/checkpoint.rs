//! Headers at and below a checkpoint above the genesis, from servers that leave
//! the AuxPoW out, that cut in the wrong places, and that say so or do not
//! (`spec/electrum.md`, sections 3.1 to 3.3); and `ncprop279 checkpoint`, which
//! prints one.

use std::sync::LazyLock;

use serde_json::json;

use crate::support::electrum::chain::Chain;
use crate::support::electrum::log::Request;
use crate::support::electrum::{Electrum, Options, Version};
use crate::support::electrum_plugin::{ip, server, start};
use crate::support::is_transient;
use crate::support::plugin::Start;
use crate::support::run::{self, Outcome};
use crate::support::socks::nobody;

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
    let line = plugin.complaint("block headers below the checkpoint are there down to ");
    assert!(line.contains("info: "), "{line}");
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

/// A chain with blocks that are deep enough to be checkpoints.
static LONG: LazyLock<Chain> = LazyLock::new(|| {
    let mut chain = Chain::new();
    chain.mine(2_300);
    chain
});

/// The newest block of that chain with 2,016 others on top.
const DEEP: usize = 2_300 - 2_016;

fn hash(height: usize) -> String {
    LONG.block(height).unwrap().hash.to_string()
}

/// The command on these servers.
fn command(addresses: &[std::net::SocketAddr], more: &[&str]) -> Start {
    let mut arguments = vec!["checkpoint".to_owned(), "--network=regtest".to_owned()];
    for address in addresses {
        arguments.push(format!("--electrum-server={address}:t"));
    }
    arguments.extend(more.iter().copied().map(str::to_owned));
    Start::new(&arguments)
}

fn long_pair() -> [Electrum; 2] {
    [(); 2].map(|()| server(Version::V1_15, &LONG))
}

fn print(servers: &[Electrum; 2], more: &[&str]) -> Outcome {
    let addresses = servers.each_ref().map(Electrum::address);
    run::run(command(&addresses, more))
}

/// A block of the regtest is two hashes of work, the genesis included.
fn work(blocks: usize) -> String {
    format!("work {:x}", 2 * blocks)
}

const SAMPLED: &str = "note: these block headers were verified by a random sample";

#[test]
fn the_newest_deep_block_is_printed_as_the_option_takes_it() {
    let servers = long_pair();
    let state = tempfile::tempdir().unwrap();
    let state = format!("--state-directory={}", state.path().display());
    let expected = [format!("{DEEP}:{}", hash(DEEP)), work(DEEP + 1)];
    // The second time the headers come from the file, which says how they were
    // verified.
    for _ in 0..2 {
        let end = print(&servers, &[&state]);
        assert_eq!(end.stdout, expected, "{end:#?}");
        assert_eq!(end.code, Some(0), "{end:#?}");
        assert!(end.says_on_stderr(SAMPLED), "{end:#?}");
    }
    let end = print(&servers, &[&state, "--verify-all-headers"]);
    assert_eq!(end.stdout, expected, "{end:#?}");
    assert!(!end.says_on_stderr(SAMPLED), "{end:#?}");
    // What it printed works, once the chain goes on.
    for server in &servers {
        server.mine(1);
    }
    let checkpoint = format!("--checkpoint={}", expected[0]);
    let end = print(&servers, &[&checkpoint]);
    let next = LONG.block(DEEP + 1).unwrap().hash;
    let expected = [
        format!("{}:{next}", DEEP + 1),
        format!("{} since block {DEEP}", work(1)),
    ];
    assert_eq!(
        end.stdout, expected,
        "the work up to it is not known: {end:#?}"
    );
}

#[test]
fn without_a_deep_block_above_the_checkpoint_nothing_is_printed() {
    let servers = long_pair();
    for height in [DEEP, DEEP + 1, 2_300] {
        let checkpoint = format!("--checkpoint={height}:{}", hash(height));
        let end = print(&servers, &[&checkpoint]);
        assert_eq!((end.code, end.stdout.len()), (Some(1), 0), "{end:#?}");
        let why = format!(
            "the newest block is 2300: no block above the checkpoint ({height}) is 2016 blocks deep"
        );
        assert!(end.says_on_stderr(&why), "{end:#?}");
    }
}

#[test]
fn a_checkpoint_needs_headers_that_can_be_relied_on() {
    let end = run::run(command(&[nobody(), nobody()], &["--timeout=1"]));
    assert_eq!((end.code, end.stdout.len()), (Some(1), 0), "{end:#?}");
    assert!(end.says_on_stderr("no Electrum server gives"), "{end:#?}");
    let [one, _other] = long_pair();
    let end = run::run(command(
        &[one.address(), nobody()],
        &["--electrum-operators=2", "--timeout=10"],
    ));
    assert_eq!((end.code, end.stdout.len()), (Some(1), 0), "{end:#?}");
    assert!(end.says_on_stderr("a greater --timeout"), "{end:#?}");
}

/// Whoever publishes the block sees that nobody else answered.
#[test]
fn a_checkpoint_on_the_word_of_one_operator_comes_with_a_note() {
    let [one, _other] = long_pair();
    let end = run::run(command(&[one.address(), nobody()], &["--timeout=60"]));
    assert_eq!(end.stdout.len(), 2, "{end:#?}");
    let note = format!("note: only {} answered", one.address());
    assert!(end.says_on_stderr(&note), "{end:#?}");
}

#[test]
fn other_sources_have_no_checkpoint() {
    let names = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/names.json");
    for more in [&["checkpoint"][..], &["checkpoint", "--names-file", names]] {
        let end = run::with(more);
        assert_eq!((end.code, end.stdout.len()), (Some(1), 0), "{end:#?}");
        assert!(end.says_on_stderr("use --backend electrum"), "{end:#?}");
    }
}
