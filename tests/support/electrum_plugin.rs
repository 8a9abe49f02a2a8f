//! The plugin on scripted Electrum servers.

use std::thread;
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::electrum::chain::Chain;
use super::electrum::log::{Connection, Request};
use super::electrum::{Electrum, Options, Version};
pub use super::is_transient;
use super::plugin::Plugin;

/// The methods that one server or the other has for finding a name.
pub const FIRST_METHODS: [&str; 2] = [
    "blockchain.scripthash.get_history",
    "blockchain.name.get_value_proof",
];

/// A server of this version with this chain, otherwise as in reality.
pub fn server(version: Version, chain: &Chain) -> Electrum {
    Electrum::start(chain.clone(), Options::new(version))
}

/// A server of each version with this chain.
pub fn one_of_each(chain: &Chain) -> [Electrum; 2] {
    [
        server(Version::V1_15, chain),
        server(Version::V2_0b1, chain),
    ]
}

/// Starts the plugin with these servers and further arguments.
pub fn start(servers: &[&Electrum], more: &[&str]) -> Plugin {
    let mut arguments = vec!["--network=regtest".to_owned(), "-v".to_owned()];
    for server in servers {
        arguments.push(format!("--electrum-server={}:t", server.address()));
    }
    arguments.extend(more.iter().copied().map(str::to_owned));
    Plugin::start(&arguments)
}

/// Starts the plugin and waits until it has verified the first server's chain.
pub fn ready(servers: &[&Electrum], more: &[&str]) -> Plugin {
    let plugin = start(servers, more);
    verified(&plugin, &servers[0].chain());
    plugin
}

/// Waits until the plugin relies on the headers of a chain.
pub fn verified(plugin: &Plugin, chain: &Chain) {
    plugin.complaint(&format!("verified up to {}", chain.tip()));
}

/// The value of a name that has only this address.
pub fn ip(address: &str) -> String {
    format!(r#"{{"ip":"{address}"}}"#)
}

/// Asks under one isolation id until the answer is the one expected. Every
/// other answer must be `meanwhile`, as far as that goes.
pub fn becomes(plugin: &mut Plugin, name: &str, meanwhile: &str, expected: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = plugin.ask(name, "becomes");
        if answer == expected {
            return;
        }
        assert!(answer.starts_with(meanwhile), "{answer}{}", plugin.story());
        assert!(Instant::now() < deadline, "{answer}{}", plugin.story());
    }
}

/// Asserts that nothing is known of a name for the moment, and that it was
/// said about when the time was up, or before.
pub fn assert_transient(plugin: &mut Plugin, name: &str, isolation: &str, timeout: Duration) {
    let begun = Instant::now();
    let answer = plugin.ask(name, isolation);
    assert!(is_transient(&answer), "{answer}{}", plugin.story());
    // The rest is for a computer that has much else to do.
    assert!(begun.elapsed() < timeout + Duration::from_secs(5));
}

/// The connections on which a server was asked for names.
pub fn lookups(server: &Electrum) -> Vec<Connection> {
    let connections = server.connections().into_iter();
    connections.filter(is_lookup).collect()
}

pub fn is_lookup(connection: &Connection) -> bool {
    !connection_requests(connection).is_empty()
}

/// The requests on a connection that begin the search for a name.
pub fn connection_requests(connection: &Connection) -> Vec<&Request> {
    let requests = connection.requests.iter();
    requests
        .filter(|request| FIRST_METHODS.contains(&request.method.as_str()))
        .collect()
}

/// How often a server was asked for names.
pub fn times_asked(server: &Electrum) -> usize {
    let connections = server.connections();
    connections
        .iter()
        .map(|connection| connection_requests(connection).len())
        .sum()
}

/// Waits until a server has been asked for names so many times.
pub fn wait_asked(server: &Electrum, times: usize) {
    server.wait("it is asked", |log| {
        let asked = log.iter().map(|one| connection_requests(one).len());
        asked.sum::<usize>() >= times
    });
}

/// Waits until all connections on which a server was asked for names are
/// closed; there must be one.
pub fn wait_dropped(server: &Electrum) {
    server.wait("its lookups are over", |log| {
        let mut lookups = log.iter().filter(|connection| is_lookup(connection));
        let mut some = false;
        lookups.all(|connection| {
            some = true;
            connection.closed
        }) && some
    });
}

/// Runs a check for each of these, many at a time: most of it is waiting.
pub fn for_each<T: Sync>(all: &[T], check: impl Fn(&T) + Sync) {
    for some in all.chunks(14) {
        thread::scope(|scope| {
            for one in some {
                scope.spawn(|| check(one));
            }
        });
    }
}

/// How many connections for headers were made to a server.
pub fn header_connections(server: &Electrum) -> usize {
    let connections = server.connections();
    let methods = connections.iter().map(Connection::methods);
    methods
        .filter(|methods| methods.contains(&"server.features"))
        .count()
}
