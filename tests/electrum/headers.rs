//! Servers that lie about block headers, or know other ones: what is verified
//! counts, and of that the most work (spec/electrum.md, sections 3 and 5).

use std::sync::LazyLock;
use std::time::Duration;

use crate::support::electrum::Version::{V1_15, V2_0b1};
use crate::support::electrum::auxpow::Shape;
use crate::support::electrum::chain::Chain;
use crate::support::electrum::flaws::Flaw;
use crate::support::electrum::lies::Lie;
use crate::support::electrum::{Electrum, Options};
use crate::support::electrum_plugin::{
    assert_transient, becomes, for_each, header_connections, ip, one_of_each, ready, server, start,
    verified,
};
use crate::support::plugin::Plugin;

/// A chain of 30 blocks with a name that counts, and one that needs another
/// block.
static CHAIN: LazyLock<Chain> = LazyLock::new(|| {
    let mut chain = Chain::new();
    // Enough for a bit of each part of a proof to be there.
    chain.shape = Some(Shape {
        coinbase_branch: 2,
        chain_branch: 1,
        padding: 0,
    });
    chain.mine(11);
    chain.register("d/example", ip("192.0.2.1"));
    chain.mine(7);
    chain.register("d/next", ip("192.0.2.2"));
    chain.mine(10);
    assert_eq!(chain.tip(), 30);
    chain
});

/// The same chain and the next two blocks.
fn longer(chain: &Chain) -> Chain {
    let mut chain = chain.clone();
    chain.mine(2);
    chain
}

/// Lies about the header at this height.
fn lies_at(height: usize) -> Vec<Lie> {
    let mut lies: Vec<_> = Flaw::ALL
        .into_iter()
        .map(|flaw| Lie::Flaw { height, flaw })
        .collect();
    // In version, link, root and bits, and in the proof.
    for bit in [9, 40, 300, 580, 700] {
        lies.push(Lie::HeaderBit { height, bit });
    }
    lies.extend([Lie::Bits(height), Lie::OldTime(height)]);
    lies
}

/// The words of a warning about a server's headers.
fn warned(plugin: &Plugin, server: &Electrum) -> String {
    plugin.complaint(&format!("warning: {}: it sent ", server.address()))
}

/// Whether anything was warned of but that lookups wait for the network.
fn is_warned(plugin: &Plugin) -> bool {
    let story = plugin.story();
    let mut warnings = story.lines().filter(|line| line.contains("warning"));
    warnings.any(|line| !line.contains("lookups fail for now"))
}

/// While both servers were honest their chain was verified. Then one of them
/// goes on with a forged header and more blocks than the other.
#[test]
fn a_forged_header_of_one_server_is_refused() {
    for_each(&lies_at(31), |lie| {
        let [honest, liar] = one_of_each(&CHAIN);
        let mut plugin = ready(&[&honest, &liar], &["--cache-negative-ttl=0"]);
        let next = longer(&CHAIN);
        liar.set_chain(lie.forge(&longer(&next)).unwrap());
        let warning = warned(&plugin, &liar);
        assert!(!warning.contains("d/"), "{lie:?}: {warning}");
        honest.set_chain(next);
        becomes(&mut plugin, "next.bit", "3 ", "0 192.0.2.2");
        assert_eq!(plugin.ask("example.bit", "a"), "0 192.0.2.1", "{lie:?}");
        plugin.finish();
    });
}

#[test]
fn a_forged_header_of_both_servers_is_refused() {
    for_each(&lies_at(20), |lie| {
        let servers = one_of_each(&CHAIN);
        servers.iter().for_each(|server| server.lie(lie.clone()));
        let [first, second] = &servers;
        let mut plugin = start(&[first, second], &["--timeout=1"]);
        assert_transient(&mut plugin, "example.bit", "a", Duration::from_secs(1));
        servers
            .iter()
            .for_each(|server| drop(warned(&plugin, server)));
        assert_transient(&mut plugin, "none.bit", "b", Duration::from_secs(1));
        plugin.finish();
    });
}

/// With one operator heard and one that lies nothing counts where two have to
/// be heard, and the answer says why. When it lies no more everything is there.
#[test]
fn a_liar_does_not_count_as_the_second_operator() {
    let [honest, liar] = one_of_each(&CHAIN);
    liar.lie(Lie::Bits(20));
    let more = ["--timeout=1.5", "--electrum-operators=2"];
    let mut plugin = start(&[&honest, &liar], &more);
    warned(&plugin, &liar);
    let answer = plugin.ask("example.bit", "a");
    assert!(
        answer.contains("electrum-operators is 2"),
        "{answer}{}",
        plugin.story()
    );
    assert!(answer.starts_with("1 \""), "{answer}");
    liar.honest();
    verified(&plugin, &CHAIN);
    assert_eq!(plugin.ask("example.bit", "a"), "0 192.0.2.1");
}

/// A third operator takes the place of one that lies.
#[test]
fn a_liar_is_replaced_by_another_operator() {
    let servers = [V1_15, V2_0b1, V1_15].map(|version| server(version, &CHAIN));
    let [liar, others @ ..] = &servers;
    liar.lie(Lie::Bits(20));
    let mut plugin = ready(&[&others[0], liar, &others[1]], &[]);
    // While there is much to fetch each server has two connections; then the
    // liar backs off.
    assert!(header_connections(liar) <= 2, "{}", plugin.story());
    for isolation in ["a", "b", "c"] {
        assert_eq!(plugin.ask("example.bit", isolation), "0 192.0.2.1");
    }
}

/// Its time may be right and ours wrong: it is no lie, but the header does not
/// count.
#[test]
fn a_header_from_the_future_is_refused() {
    let [honest, other] = one_of_each(&CHAIN);
    let mut plugin = ready(&[&honest, &other], &["--cache-negative-ttl=0"]);
    let future = Lie::FutureTime(32).forge(&longer(&longer(&CHAIN)));
    other.set_chain(future.unwrap());
    plugin.complaint("ahead of this computer's clock");
    assert!(!is_warned(&plugin), "{}", plugin.story());
    honest.set_chain(longer(&CHAIN));
    becomes(&mut plugin, "next.bit", "3 ", "0 192.0.2.2");
}

/// Servers that know less are heard, and change nothing.
#[test]
fn a_chain_with_less_work_does_not_count() {
    let lies = [
        Lie::LowerWork(1),
        Lie::LowerWork(25),
        Lie::WithheldTip(1),
        Lie::WithheldTip(25),
    ];
    for_each(&lies, |lie| {
        let [honest, liar] = one_of_each(&CHAIN);
        liar.lie(lie.clone());
        let mut plugin = ready(&[&honest, &liar], &[]);
        assert_eq!(plugin.ask("example.bit", "a"), "0 192.0.2.1", "{lie:?}");
        assert!(!is_warned(&plugin), "{lie:?}");
        plugin.finish();
    });
}

/// A chain of 180 blocks whose name needs another block.
static TRUNK: LazyLock<Chain> = LazyLock::new(|| {
    let mut chain = Chain::new();
    chain.mine(169);
    chain.register("d/branch", ip("192.0.2.3"));
    chain.mine(10);
    chain
});

/// A branch in the place of so many blocks, which has one more than those. The
/// name counts on it.
fn branch(depth: usize) -> Chain {
    let mut fork = TRUNK.fork_at(TRUNK.tip() - depth);
    if depth < 12 {
        fork.mine(depth + 1);
    } else {
        fork.mine(depth - 12);
        fork.register("d/branch", ip("192.0.2.3"));
        fork.mine(12);
    }
    assert_eq!(fork.tip(), TRUNK.tip() + 1);
    fork
}

#[test]
fn the_chain_with_the_most_work_wins_at_any_depth() {
    for_each(&[1, 50, 100, 101, 150], |&depth| {
        let [first, second] = one_of_each(&TRUNK);
        let mut plugin = ready(&[&first, &second], &["--cache-negative-ttl=0"]);
        assert!(plugin.ask("branch.bit", "a").starts_with("3 "));
        second.set_chain(branch(depth));
        becomes(&mut plugin, "branch.bit", "3 ", "0 192.0.2.3");
        if depth > 100 {
            let warning = plugin.complaint("blocks of the chain were replaced");
            assert!(warning.contains(&format!("warning: {depth} ")), "{warning}");
            assert!(warning.contains(&second.address().to_string()), "{warning}");
        } else {
            assert!(!is_warned(&plugin), "{}", plugin.story());
        }
        plugin.finish();
    });
}

/// Its blocks keep all rules but the first: they do not follow the genesis.
#[test]
fn a_server_of_another_network_is_refused() {
    let other = CHAIN.with_header(0, None, |genesis| genesis.nonce ^= 1);
    let [honest, liar] = one_of_each(&CHAIN);
    let mut plugin = ready(&[&honest, &liar], &[]);
    liar.set_chain(longer(&other));
    warned(&plugin, &liar);
    assert_eq!(plugin.ask("example.bit", "a"), "0 192.0.2.1");

    let servers = one_of_each(&other);
    let mut plugin = start(&[&servers[0], &servers[1]], &["--timeout=1"]);
    assert_transient(&mut plugin, "example.bit", "a", Duration::from_secs(1));
}

/// Fewer than are asked for, in one request and in many at once, but not in
/// pieces so small that the server would have to be asked for ever.
#[test]
fn headers_come_in_pieces() {
    let mut long = Chain::new();
    long.mine(580);
    long.register("d/example", ip("192.0.2.1"));
    long.mine(15);
    for (chain, max_headers) in [(&*CHAIN, 25), (&*CHAIN, 40), (&long, 40)] {
        let servers = [V1_15, V2_0b1].map(|version| {
            let options = Options {
                max_headers,
                hold: Duration::ZERO,
                ..Options::new(version)
            };
            Electrum::start(chain.clone(), options)
        });
        let mut plugin = ready(&[&servers[0], &servers[1]], &[]);
        assert_eq!(plugin.ask("example.bit", "a"), "0 192.0.2.1");
        plugin.finish();
    }
}
