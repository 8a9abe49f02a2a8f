//! Electrum servers that only a proxy leads to, and what went through it.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::electrum::Electrum;
use super::electrum::chain::Chain;
use super::electrum::names::script_hash;
use super::plugin::{Plugin, Start};
use super::socks::{Seen, Socks};

/// What a circuit was used for, as far as its requests tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// For nothing yet: a greeting, if that, and pings.
    Ready,
    Headers,
    Lookups,
    /// For both, or for what nobody may ask.
    Wrong,
}

/// One connection through the proxy.
#[derive(Debug, Clone)]
pub struct Circuit {
    pub seen: Seen,
    pub requests: Vec<Value>,
}

/// Whether it is what servers are asked for a reply large enough to be sent at
/// once.
fn is_filler(request: &Value) -> bool {
    request["method"] == "blockchain.block.headers" && request["params"] == json!([0, 30, 0])
}

impl Circuit {
    fn new(seen: Seen) -> Self {
        let end = seen.sent.iter().rposition(|byte| *byte == b'\n');
        let lines = &seen.sent[..end.unwrap_or(0)];
        let requests = lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap());
        Self {
            requests: requests.collect(),
            seen,
        }
    }

    pub fn purpose(&self) -> Use {
        let mut purpose = Use::Ready;
        let mut fillers = false;
        for request in &self.requests {
            if is_filler(request) {
                fillers = true;
                continue;
            }
            let one = match request["method"].as_str().unwrap() {
                "server.version" | "server.ping" => continue,
                "server.features"
                | "server.peers.subscribe"
                | "blockchain.headers.subscribe"
                | "blockchain.block.header"
                | "blockchain.block.headers" => Use::Headers,
                "blockchain.name.get_value_proof"
                | "blockchain.scripthash.get_history"
                | "blockchain.transaction.get"
                | "blockchain.transaction.get_merkle" => Use::Lookups,
                _ => Use::Wrong,
            };
            purpose = match purpose {
                Use::Ready => one,
                same if same == one => same,
                _ => Use::Wrong,
            };
        }
        if fillers && purpose != Use::Lookups {
            return Use::Wrong;
        }
        purpose
    }

    /// The names of the chain that it asked for, by their script hashes or by
    /// their transactions.
    pub fn names<'a>(&self, chain: &Chain, names: &[&'a str]) -> BTreeSet<&'a str> {
        let asked: Vec<&str> = self
            .requests
            .iter()
            .filter_map(|request| request["params"][0].as_str())
            .collect();
        let is_asked = |name: &&&str| {
            let hash = script_hash(name);
            let history = chain.history(&hash).iter();
            let mut keys = history.map(|entry| entry.txid.to_string());
            asked.contains(&hash.as_str()) || keys.any(|key| asked.contains(&key.as_str()))
        };
        names.iter().filter(is_asked).copied().collect()
    }
}

/// A proxy with servers behind it, by `host:port`, which lead nowhere else.
pub struct Circuits {
    pub proxy: Socks,
    servers: Vec<String>,
}

impl Circuits {
    pub fn to(servers: &[(&str, &Electrum)]) -> Self {
        let servers = servers.iter();
        Self::to_addresses(servers.map(|(target, server)| (*target, server.address())))
    }

    pub fn to_addresses<'a>(servers: impl IntoIterator<Item = (&'a str, SocketAddr)>) -> Self {
        let servers: Vec<_> = servers.into_iter().collect();
        Self {
            proxy: Socks::route(servers.clone()),
            servers: servers
                .iter()
                .map(|(target, _)| (*target).to_owned())
                .collect(),
        }
    }

    /// How the binary is started on these servers; `kind` is `s` with TLS and
    /// `t` without.
    pub fn prepare(&self, kind: char, more: &[&str]) -> Start {
        let proxy = self.proxy.address();
        let mut arguments: Vec<String> = more.iter().map(|part| (*part).to_owned()).collect();
        arguments.extend(["--network=regtest".into(), format!("--proxy={proxy}")]);
        for server in &self.servers {
            arguments.push(format!("--electrum-server={server}:{kind}"));
        }
        Start::new(&arguments)
    }

    pub fn plugin(&self, kind: char, more: &[&str]) -> Plugin {
        self.prepare(kind, more).ready()
    }

    /// Everything that went through the proxy, in the order in which it began.
    /// Those that came to the proxy, without what ended before it said a word
    /// because the process did.
    pub fn seen(&self) -> Vec<Circuit> {
        let mut seen = self.proxy.seen();
        seen.retain(|seen| !(seen.closed && seen.user.is_empty()));
        circuits(&seen)
    }

    pub fn of(&self, purpose: Use) -> Vec<Circuit> {
        let mut circuits = self.seen();
        circuits.retain(|circuit| circuit.purpose() == purpose);
        circuits
    }

    /// Waits until what went through the proxy fits.
    pub fn wait(&self, what: &str, fits: impl Fn(&[Circuit]) -> bool) {
        self.proxy.wait(what, |seen| fits(&circuits(seen)));
    }

    /// Waits until the pool has this many connections that were greeted.
    pub fn wait_for_ready(&self, count: usize) {
        self.wait("ready connections", |circuits| ready(circuits) == count);
    }
}

fn circuits(seen: &[Seen]) -> Vec<Circuit> {
    seen.iter().cloned().map(Circuit::new).collect()
}

/// How many connections are open, greeted, and not used.
pub fn ready(circuits: &[Circuit]) -> usize {
    let ready = circuits.iter().filter(|circuit| {
        !circuit.seen.closed && !circuit.requests.is_empty() && circuit.purpose() == Use::Ready
    });
    ready.count()
}
