//! The Electrum source through the real binary, against scripted servers on
//! a regtest chain.

mod support;

use support::electrum::chain::Chain;
use support::electrum::{Electrum, Options, Version};
use support::plugin::Plugin;

const VALUE: &str = r#"{"ip":"192.0.2.1"}"#;

/// A chain with a name that is deep enough.
fn chain() -> Chain {
    let mut chain = Chain::new();
    chain.mine(3);
    chain.register("d/example", VALUE);
    chain.mine(14);
    chain
}

fn server(version: Version) -> Electrum {
    Electrum::start(chain(), Options::new(version))
}

fn plugin(servers: &[&Electrum]) -> Plugin {
    let mut arguments = vec!["--network=regtest".to_owned(), "-vv".to_owned()];
    for server in servers {
        arguments.push(format!("--electrum-server={}:t", server.address()));
    }
    Plugin::start(&arguments)
}

#[test]
fn a_name_is_found_at_servers_of_either_version() {
    let servers = [server(Version::V1_15), server(Version::V2_0b1)];
    let mut plugin = plugin(&[&servers[0], &servers[1]]);
    assert_eq!(plugin.ask("example.bit", "a"), "0 192.0.2.1");
}
