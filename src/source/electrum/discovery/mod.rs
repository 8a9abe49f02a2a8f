//! Servers that are in no list, but that listed ones name.
//!
//! Anybody can make ElectrumX servers name a server, so being named means little.
//! A server is used only if two listed operators name it: one operator alone could
//! name a server to one user alone, recognise that user there, and learn which
//! isolation ids belong together. All discovered servers count as *one* operator,
//! because one person may run several. Only listed servers are asked, so that
//! nobody gains anything by naming servers that name others.
//!
//! The first line of the file `discovered` names its version. Each other line has a
//! server's host and port, `s` with TLS or `t` without, and the operators that name
//! it, each with the day on which it last did (days of Unix time).
//!
//! The last part of the file decides which [`Endpoint`]s may be tried at all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rand::Rng;
use rand::seq::SliceRandom;

use super::reply::NamedServer;
use super::servers::{Server, Standing};
use super::state_dir::StateDir;
use crate::address::{host_name, is_public};
use crate::config::settings::NodeAddress;
use crate::onion::OnionAddress;

/// The file in the state directory, its first line, and that of older ones.
const FILE: &str = "discovered";
const VERSION: &str = "ncprop279 discovered 2";
const OLD_VERSION: &str = "ncprop279 discovered 1";

/// The most that is read of the file, in bytes, and what is said of a damaged one.
const MAX_FILE: usize = 1 << 18;
const DAMAGED: &str = "is damaged and is not used; servers are discovered anew";

/// The most servers that one operator may name, so that none can crowd out what
/// another names.
const MAX_NAMED: usize = 24;

/// The operator of all discovered servers.
pub(super) const DISCOVERED: &str = "a discovered server";

/// Listed operators that must name a server before it is used.
const WITNESSES: usize = 2;

/// How long it counts that a server was named, in days.
const MAX_AGE_DAYS: u64 = 30;

/// The seconds of a day.
const DAY: u64 = 24 * 3600;

/// The operators that name a server, and the day on which each last did.
type Witnesses = BTreeMap<String, u64>;

/// The servers that listed ones name.
#[derive(Debug)]
pub(super) struct Discovery {
    /// `None` if servers are not discovered.
    rules: Option<Rules>,
    /// Also those that one operator alone names.
    found: BTreeMap<Endpoint, Witnesses>,
    /// Those that may be used.
    servers: Vec<Server>,
    /// Where changes are written; `None` to keep them in memory.
    state: Option<Arc<StateDir>>,
    /// Whether the log has warned that one of them is used.
    pub has_warned: bool,
}

/// Which servers are accepted.
#[derive(Debug)]
struct Rules {
    listed: Vec<Server>,
    is_proxied: bool,
}

impl Discovery {
    /// Servers are not discovered.
    pub fn off() -> Self {
        Self {
            rules: None,
            found: BTreeMap::new(),
            servers: Vec::new(),
            state: None,
            has_warned: false,
        }
    }

    /// Discovers servers besides the listed ones, beginning with those in the
    /// state directory. Changes are written only if the directory is this
    /// process's to write to. `now` is in seconds of Unix time.
    pub fn open(
        listed: &[Server],
        is_proxied: bool,
        state: Option<Arc<StateDir>>,
        now: u64,
    ) -> Self {
        let rules = Rules {
            listed: listed.to_vec(),
            is_proxied,
        };
        let found = state
            .as_deref()
            .map_or_else(Vec::new, |state| state.load(FILE, MAX_FILE, parse, DAMAGED));
        let found = rules.accept(found, now / DAY);
        let mut discovery = Self {
            rules: Some(rules),
            found,
            servers: Vec::new(),
            state: state.filter(|state| state.is_writable()),
            has_warned: false,
        };
        discovery.refresh(now);
        discovery
    }

    /// Whether a server is to be asked which others it knows.
    pub fn asks(&self, server: &Server) -> bool {
        self.rules.is_some() && server.standing != Standing::Discovered
    }

    /// The discovered servers that may be used.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Whether a server is listed, or a discovered one that may be used.
    pub fn permits(&self, server: &Server) -> bool {
        server.standing != Standing::Discovered || self.servers.contains(server)
    }

    /// Updates which servers may be used now. Returns whether that changed.
    pub fn refresh(&mut self, now: u64) -> bool {
        let day = now / DAY;
        let is_named = |by: &Witnesses| {
            let fresh = by
                .values()
                .filter(|&&last| last.saturating_add(MAX_AGE_DAYS) >= day);
            fresh.count() >= WITNESSES
        };
        let found = self.found.iter().filter(|(_, by)| is_named(by));
        let servers: Vec<Server> = found
            .map(|(endpoint, _)| Server {
                address: endpoint.address(),
                is_tls: endpoint.is_tls,
                operator: DISCOVERED.to_owned(),
                standing: Standing::Discovered,
                identity: None,
            })
            .collect();
        let is_news = servers != self.servers;
        self.servers = servers;
        is_news
    }

    /// Notes the servers that a listed one names. If its operator has too many
    /// then, those are dropped that it named longest ago. [`Self::refresh`] applies
    /// the change.
    pub fn learn(&mut self, by: &Server, named: &[NamedServer], now: u64, random: &mut impl Rng) {
        let Some(rules) = self.rules.as_ref().filter(|_| self.asks(by)) else {
            return;
        };
        let mut endpoints: Vec<Endpoint> = named
            .iter()
            .filter_map(|named| endpoint(named, rules.is_proxied))
            .filter(|endpoint| !rules.lists(endpoint))
            .collect();
        endpoints.shuffle(random);
        let mut hosts = BTreeSet::new();
        endpoints.retain(|endpoint| hosts.len() < MAX_NAMED && hosts.insert(endpoint.host.clone()));
        let before = self.found.clone();
        // Each operator has one port for a host.
        for (endpoint, witnesses) in &mut self.found {
            if hosts.contains(&endpoint.host) {
                witnesses.remove(&by.operator);
            }
        }
        let mut others: Vec<(u64, Endpoint)> = self
            .found
            .iter()
            .filter_map(|(endpoint, witnesses)| {
                Some((*witnesses.get(&by.operator)?, endpoint.clone()))
            })
            .collect();
        others.sort();
        let excess = (endpoints.len() + others.len()).saturating_sub(MAX_NAMED);
        for (_, endpoint) in others.iter().take(excess) {
            if let Some(witnesses) = self.found.get_mut(endpoint) {
                witnesses.remove(&by.operator);
            }
        }
        for endpoint in endpoints {
            let witnesses = self.found.entry(endpoint).or_default();
            witnesses.insert(by.operator.clone(), now / DAY);
        }
        self.found.retain(|_, witnesses| !witnesses.is_empty());
        if let Some(state) = self.state.as_ref().filter(|_| self.found != before) {
            state.keep(FILE, &text(&self.found));
        }
    }
}

impl Rules {
    /// Whether a server is listed, or most likely belongs to a listed operator,
    /// by its domain or network.
    fn lists(&self, endpoint: &Endpoint) -> bool {
        let own = family(&endpoint.host);
        let same = |host: &str| own.is_some() && family(host) == own;
        self.listed.iter().any(|server| {
            let host = server.address.host.trim_end_matches('.');
            host.eq_ignore_ascii_case(&endpoint.host) || same(host) || same(&server.operator)
        })
    }

    /// The entries of the file that may be used.
    fn accept(&self, lines: Vec<Line>, today: u64) -> BTreeMap<Endpoint, Witnesses> {
        let listed: BTreeSet<&str> = self
            .listed
            .iter()
            .map(|one| one.operator.as_str())
            .collect();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut found = BTreeMap::new();
        for line in lines {
            let Some(endpoint) = stored(&line.address, line.is_tls, self.is_proxied)
                .filter(|endpoint| !self.lists(endpoint))
            else {
                continue;
            };
            let mut witnesses = line.witnesses;
            witnesses.retain(|operator, day| {
                // A clock that was ahead must not let it count for ever.
                *day = today.min(*day);
                let count = counts.entry(operator.clone()).or_default();
                *count += 1;
                listed.contains(operator.as_str()) && *count <= MAX_NAMED
            });
            if !witnesses.is_empty() {
                found.insert(endpoint, witnesses);
            }
        }
        found
    }
}

/// What one owner's servers often have in common: the last two labels of their
/// names, or the network of their addresses. `None` for onion services.
fn family(host: &str) -> Option<String> {
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            let [a, b, c, _] = address.octets();
            Some(format!("{a}.{b}.{c}"))
        }
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, ..] = address.segments();
            Some(format!("{a:x}:{b:x}:{c:x}"))
        }
        Err(_) => {
            let host = host.to_ascii_lowercase();
            let mut labels = host.rsplit('.');
            let (last, before) = (labels.next()?, labels.next()?);
            (last != "onion").then(|| format!("{before}.{last}"))
        }
    }
}

/// A line of the file.
struct Line {
    address: String,
    is_tls: bool,
    witnesses: Witnesses,
}

fn parse(bytes: &[u8]) -> Option<Vec<Line>> {
    if bytes.starts_with(OLD_VERSION.as_bytes()) {
        return Some(Vec::new());
    }
    let mut lines = str::from_utf8(bytes).ok()?.lines();
    (lines.next()? == VERSION).then_some(())?;
    lines.map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Line> {
    let mut words = line.split(' ');
    let address = words.next()?.to_owned();
    let is_tls = match words.next()? {
        "s" => true,
        "t" => false,
        _ => return None,
    };
    let witnesses = words.next()?.split(',').map(|word| {
        let (operator, day) = word.split_once('=')?;
        Some((operator.to_owned(), day.parse().ok()?))
    });
    let witnesses = witnesses.collect::<Option<_>>()?;
    words.next().is_none().then_some(Line {
        address,
        is_tls,
        witnesses,
    })
}

/// The file's contents.
fn text(found: &BTreeMap<Endpoint, Witnesses>) -> String {
    let lines = found.iter().map(|(endpoint, witnesses)| {
        let letter = if endpoint.is_tls { 's' } else { 't' };
        let witnesses = witnesses.iter();
        let witnesses: Vec<_> = witnesses
            .map(|(operator, day)| format!("{operator}={day}"))
            .collect();
        format!("{} {letter} {}\n", endpoint.address(), witnesses.join(","))
    });
    format!("{VERSION}\n{}", lines.collect::<String>())
}

/// No public server has a name in these domains: they are for home networks,
/// tests or documentation.
const PRIVATE: [&str; 8] = [
    ".lan",
    ".internal",
    ".home.arpa",
    ".test",
    ".invalid",
    ".example",
    ".localhost",
    ".local",
];

/// The lowest port that may be tried, apart from HTTPS: lower ones belong to
/// other services.
const LOWEST_PORT: u16 = 1024;
const HTTPS: u16 = 443;

/// The ports that `s` and `t` without a number stand for.
const DEFAULT_TLS: u16 = 50002;
const DEFAULT_PLAIN: u16 = 50001;

/// Where a server can be reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// An IP address, a host name or an onion service, in its usual form.
    pub host: String,
    /// The port, not 0.
    pub port: u16,
    /// Whether that port speaks TLS.
    pub is_tls: bool,
}

impl Endpoint {
    /// Host and port.
    pub fn address(&self) -> NodeAddress {
        NodeAddress {
            host: self.host.clone(),
            port: self.port,
        }
    }
}

/// The endpoint of a server that was named; `None` if it may not be tried. What
/// the features say about protocols and limits is ignored.
pub fn endpoint(named: &NamedServer, is_proxied: bool) -> Option<Endpoint> {
    let host = host(&named.host, is_proxied)?;
    // The address may repeat the host. If it is another one, it shows which
    // machine the naming server means, and a private one is no public server.
    if let Ok(ip) = named.ip.parse::<IpAddr>() {
        is_reachable(ip).then_some(())?;
    }
    let port = |letter, default| {
        let mut ports = named.features.iter().filter_map(|feature| {
            let digits = feature.strip_prefix(letter)?;
            match digits {
                "" => Some(default),
                _ => port(digits),
            }
        });
        ports.next()
    };
    let tls = || port('s', DEFAULT_TLS).map(|port| (port, true));
    let plain = || port('t', DEFAULT_PLAIN).map(|port| (port, false));
    let (port, is_tls) = match is_onion(&host) {
        true => plain().or_else(tls),
        // Anything else would show names to an exit of Tor.
        false => tls(),
    }?;
    Some(Endpoint { host, port, is_tls })
}

/// An endpoint from the file; `None` if it may not be tried.
fn stored(address: &str, is_tls: bool, is_proxied: bool) -> Option<Endpoint> {
    let (text, digits) = address.rsplit_once(':')?;
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let host = host(bare.unwrap_or(text), is_proxied)?;
    let endpoint = Endpoint {
        port: port(digits)?,
        is_tls,
        host,
    };
    (is_tls || is_onion(&endpoint.host)).then_some(endpoint)
}

fn is_onion(host: &str) -> bool {
    host.ends_with(".onion")
}

/// A host in its usual form, if it is one that may be tried.
fn host(text: &str, is_proxied: bool) -> Option<String> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return is_reachable(ip).then(|| ip.to_string());
    }
    // Without a proxy there are no onion services, and a name would be looked
    // up here: it could stand for an address of the local network.
    if !is_proxied {
        return None;
    }
    if let Ok(onion) = OnionAddress::parse(text) {
        // A service has many names with labels in front.
        let host = onion.into_string();
        return (host.matches('.').count() == 1).then_some(host);
    }
    // A name of one label is one of the local network.
    let is_private = |name: &str| PRIVATE.iter().any(|domain| name.ends_with(domain));
    host_name(text)
        .ok()
        .filter(|name| name.contains('.') && !is_private(name))
}

/// A port that may be tried, in decimal digits without zeros in front.
fn port(digits: &str) -> Option<u16> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    let port = is_plain.then(|| digits.parse().ok()).flatten();
    port.filter(|&port| port == HTTPS || port >= LOWEST_PORT)
}

/// Whether an address is one that a public server can have.
fn is_reachable(address: IpAddr) -> bool {
    is_public(address)
        && match address {
            IpAddr::V4(address) => is_assigned_v4(address),
            IpAddr::V6(address) => is_assigned_v6(address),
        }
}

/// Not for protocols, documentation (RFC 5737) or measurements.
fn is_assigned_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
    )
}

/// Only what is routed as IPv6, not for documentation (RFC 3849, RFC 9637), and
/// not what has an IPv4 address inside, which may be a private one: Teredo, 6to4
/// and, outside of 2000::/3, all others.
fn is_assigned_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x2002, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests;
