//! Electrum servers that made their certificates themselves.
//! (`spec/electrum.md`, sections 2.3 and 2.4.)

use std::net::SocketAddr;
use std::path::Path;

use crate::support::circuits::Circuits;
use crate::support::electrum::chain::Chain;
use crate::support::electrum::log::Connection;
use crate::support::electrum::wire::Certificate;
use crate::support::electrum::{Electrum, Options, Version};
use crate::support::plugin::Plugin;
use crate::support::run;

const HOSTS: [&str; 5] = [
    "one.example",
    "two.example",
    "three.example",
    "four.example",
    "five.example",
];
const FOUND: &str = "0 192.0.2.1";

fn chain() -> Chain {
    let mut chain = Chain::new();
    chain.register("d/example", r#"{"ip":"192.0.2.1"}"#);
    chain.mine(12);
    chain
}

fn server(certificate: &Certificate, address: Option<SocketAddr>) -> Electrum {
    let options = Options {
        tls: Some(certificate.clone()),
        address,
        ..Options::new(Version::V1_15)
    };
    Electrum::start(chain(), options)
}

/// Servers with keys of their own, and a state directory.
struct Setup {
    servers: Vec<Electrum>,
    certificates: Vec<Certificate>,
    circuits: Circuits,
    state: tempfile::TempDir,
}

impl Setup {
    /// Two servers.
    fn new() -> Self {
        Self::of(2)
    }

    fn of(count: usize) -> Self {
        let certificates: Vec<_> = (0..count).map(|_| Certificate::new()).collect();
        let servers: Vec<_> = certificates.iter().map(|own| server(own, None)).collect();
        let targets = HOSTS.map(|host| format!("{host}:50002"));
        let routes: Vec<_> = targets.iter().map(String::as_str).zip(&servers).collect();
        Self {
            circuits: Circuits::to(&routes),
            servers,
            certificates,
            state: tempfile::tempdir().unwrap(),
        }
    }

    /// Servers whose pins a first run has learned.
    fn pinned() -> Self {
        let setup = Self::new();
        let mut plugin = setup.plugin(&[]);
        assert_eq!(plugin.ask("example.bit", "a"), FOUND);
        plugin.finish();
        setup
    }

    fn path(&self) -> &str {
        self.state.path().to_str().unwrap()
    }

    fn plugin(&self, more: &[&str]) -> Plugin {
        let start = self.circuits.prepare('s', more);
        start.env("TOR_NS_STATE_LOCATION", self.path()).ready()
    }

    /// Starts a server again at its address, with another certificate.
    fn restart(&mut self, index: usize, certificate: &Certificate) {
        let address = self.servers[index].address();
        drop(self.servers.remove(index));
        self.servers
            .insert(index, server(certificate, Some(address)));
    }

    fn connections(&self) -> impl Iterator<Item = (&str, Connection)> {
        let servers = HOSTS.into_iter().zip(&self.servers);
        servers.flat_map(|(host, server)| {
            let connections = server.connections().into_iter();
            connections.map(move |connection| (host, connection))
        })
    }
}

/// The lines of the file with the pins, without the keys.
fn pins(state: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(state.join("pins")).unwrap();
    let lines = text.lines().map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        assert_eq!(words[1].len(), 64, "{line}");
        format!("{} {}", words[0], words[2])
    });
    lines.collect()
}

fn is_lookup(connection: &Connection) -> bool {
    connection
        .methods()
        .contains(&"blockchain.scripthash.get_history")
}

/// A name that is asked for at once is found as soon as two circuits have seen
/// the keys, over connections that were opened after that.
#[test]
fn keys_count_after_two_connections_for_headers() {
    let setup = Setup::new();
    let mut plugin = setup.plugin(&["-v"]);
    assert_eq!(plugin.ask("example.bit", "a"), FOUND, "{}", plugin.story());
    plugin.finish();
    assert_eq!(
        pins(setup.state.path()),
        ["one.example:50002 2", "two.example:50002 2"]
    );
    for (host, server) in HOSTS.into_iter().zip(&setup.servers) {
        let connections = server.connections();
        let first = connections.iter().position(is_lookup).unwrap();
        let headers = connections[..first]
            .iter()
            .filter(|connection| connection.methods().contains(&"server.features"));
        assert!(headers.count() >= 2, "{host}: {connections:#?}");
    }
}

/// Whatever server is drawn for lookups, its key was known before: nobody waits
/// for one that would be refused.
#[test]
fn only_servers_whose_keys_are_known_are_drawn_for_lookups() {
    let setup = Setup::of(5);
    let mut plugin = setup.plugin(&[]);
    for isolation in ["a", "b", "c", "d"] {
        let answer = plugin.ask("example.bit", isolation);
        assert_eq!(answer, FOUND, "{}", plugin.story());
    }
    // Two for each id, two for headers, and the pool's.
    setup.circuits.proxy.wait("six ready connections", |seen| {
        seen.iter().filter(|circuit| !circuit.closed).count() >= 4 * 2 + 2 + 6
    });
    let mut used = 0;
    for (host, server) in HOSTS.into_iter().zip(&setup.servers) {
        let connections = server.connections();
        let is_header = |one: &Connection| one.methods().contains(&"server.features");
        // One for headers may be cut short, as enough others have answered.
        let is_cut_short = |one: &Connection| one.closed && one.requests.len() <= 1;
        let other = connections
            .iter()
            .position(|one| !one.requests.is_empty() && !is_header(one) && !is_cut_short(one));
        if let Some(other) = other {
            used += 1;
            let headers = connections[..other].iter().filter(|one| is_header(one));
            assert!(headers.count() >= 2, "{host}: {connections:#?}");
        }
        let refused = |one: &&Connection| one.closed && one.requests.is_empty();
        let refused = connections.iter().filter(refused).count();
        assert!(refused <= 1, "{connections:#?}");
    }
    assert!(used >= 2);
    plugin.finish();
}

/// While no key is known, servers are not stormed with attempts.
#[test]
fn untrusted_servers_are_not_tried_over_and_over() {
    let setup = Setup::new();
    // Headers never come about, and no key is learned.
    setup
        .servers
        .iter()
        .for_each(|server| server.delay(crate::support::PATIENCE));
    let mut plugin = setup.plugin(&["--timeout=3"]);
    let answer = plugin.ask("example.bit", "a");
    assert!(crate::support::is_transient(&answer), "{answer}");
    assert!(
        answer.contains("which Electrum servers can be trusted"),
        "{answer}"
    );
    let attempts = setup.circuits.proxy.seen().len();
    assert!(attempts < 10, "{attempts} connections in three seconds");
}

#[test]
fn each_session_is_new_and_names_the_host() {
    let setup = Setup::pinned();
    let mut plugin = setup.plugin(&[]);
    for isolation in ["a", "b", "c"] {
        assert_eq!(plugin.ask("example.bit", isolation), FOUND);
    }
    plugin.finish();
    let mut sessions = 0;
    for (host, connection) in setup.connections() {
        let Some(tls) = connection.tls else { continue };
        sessions += 1;
        assert!(!tls.resumed);
        assert_eq!(tls.server_name.as_deref(), Some(host));
        assert_eq!(tls.version, "TLSv1_3");
    }
    assert!(sessions >= 12, "{sessions}");
}

/// The second run believes the file, and nothing else: another key is refused
/// on all connections, with a warning that names the server and no answer.
#[test]
fn another_key_than_the_pinned_one_is_refused() {
    let mut setup = Setup::pinned();
    let before = std::fs::read(setup.state.path().join("pins")).unwrap();
    setup.restart(0, &Certificate::new());
    let mut plugin = setup.plugin(&["--timeout=2", "--electrum-operators=2"]);
    let warning = plugin.complaint("shows another key than the pinned one");
    assert!(warning.contains("warning: "), "{warning}");
    assert!(warning.contains("one.example:50002"), "{warning}");
    let answer = plugin.ask("example.bit", "a");
    assert!(crate::support::is_transient(&answer), "{answer}");
    let end = run::end(plugin);
    let warnings = end
        .stderr
        .iter()
        .filter(|line| line.contains("another key"));
    assert_eq!(warnings.count(), 1, "{end:#?}");
    let asked = setup.servers[0].connections();
    assert!(
        asked.iter().all(|one| one.requests.is_empty()),
        "{asked:#?}"
    );
    let after = std::fs::read(setup.state.path().join("pins")).unwrap();
    assert_eq!(before, after);
}

#[test]
fn a_new_certificate_for_the_same_key_is_as_good() {
    let mut setup = Setup::pinned();
    let renewed = setup.certificates[0].renewed();
    assert_ne!(renewed.der, setup.certificates[0].der);
    setup.restart(0, &renewed);
    let mut plugin = setup.plugin(&[]);
    assert_eq!(plugin.ask("example.bit", "a"), FOUND);
    plugin.finish();
    let asked = setup.servers[0].connections();
    assert!(asked.iter().any(is_lookup), "{asked:#?}");
}
