//! Which of the servers that another names may be tried at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::{host_name, is_public};
use crate::config::settings::NodeAddress;
use crate::onion::OnionAddress;
use crate::source::electrum::reply::NamedServer;

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
pub(super) fn stored(address: &str, is_tls: bool, is_proxied: bool) -> Option<Endpoint> {
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
mod tests {
    use super::*;

    const ONION: &str = "6cbn4rskfdr647otej7gpqlmpqcmj723vg2eoeuu7ljbwu6cpdebozyd.onion";

    fn named(ip: &str, host: &str, features: &[&str]) -> NamedServer {
        NamedServer {
            ip: ip.to_owned(),
            host: host.to_owned(),
            features: features.iter().map(|&text| text.to_owned()).collect(),
        }
    }

    fn of(host: &str) -> Option<String> {
        endpoint(&named(host, host, &["s50002"]), true).map(|endpoint| endpoint.host)
    }

    #[test]
    fn hosts_that_may_be_tried_are_put_in_their_usual_form() {
        for (host, usual) in [
            ("A.Example.NET", "a.example.net"),
            ("a.example.net.", "a.example.net"),
            ("testlocal.net", "testlocal.net"),
            ("3fff:1000::1", "3fff:1000::1"),
            ("9.9.9.9", "9.9.9.9"),
            ("2A00:0:0::1", "2a00::1"),
            (&ONION.to_uppercase(), ONION),
        ] {
            assert_eq!(of(host).as_deref(), Some(usual), "{host}");
        }
    }

    #[test]
    fn hosts_of_no_public_server_are_dropped() {
        let long = format!("{}.example.net", "x".repeat(64));
        let huge = "x.".repeat(100_000) + "example.net";
        let labelled = format!("www.{ONION}");
        for host in [
            "",
            ".",
            "localhost",
            "router",
            "a.localhost",
            "a.local",
            "a.LAN.",
            "a.internal",
            "a.home.arpa",
            "a.test",
            "a.invalid",
            "a.example",
            "relay.testls.bit",
            "RELAY.TESTLS.BIT.",
            "a.exit",
            "a..example.net",
            "a b.example.net",
            "a.example.net:50002",
            "a.example.net\n",
            "a.example.net\0",
            "\u{e4}.example.net",
            "a.1",
            "0x7f.1",
            "127.1",
            "0177.0.0.1",
            "2130706433",
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "169.254.1.1",
            "172.16.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:9.9.9.9",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff:fff::1",
            "fc00::1",
            "fe80::1",
            "fe80::1%eth0",
            "fec0::1",
            "ff02::1",
            "[2a00::1]",
            "expyuzz4wqqyqhjn.onion",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.onion",
            &labelled,
            &long,
            &huge,
        ] {
            assert_eq!(of(host), None, "{host:.80}");
        }
    }

    #[test]
    fn a_private_address_beside_a_public_name_is_dropped() {
        for (ip, fits) in [
            ("9.9.9.9", true),
            ("a.example.net", true),
            ("", true),
            ("127.0.0.1", false),
            ("192.168.1.1", false),
            ("::1", false),
        ] {
            let endpoint = endpoint(&named(ip, "a.example.net", &["s443"]), true);
            assert_eq!(endpoint.is_some(), fits, "{ip}");
        }
    }

    #[test]
    fn ports_are_those_that_tor_can_be_asked_for() {
        let port = |host: &str, features: &[&str]| {
            endpoint(&named("", host, features), true)
                .map(|endpoint| (endpoint.port, endpoint.is_tls))
        };
        for (features, plain, onion) in [
            (
                &["v1.4", "s50002", "t50001"][..],
                Some((50002, true)),
                Some((50001, false)),
            ),
            (&["s"], Some((50002, true)), Some((50002, true))),
            (&["t"], None, Some((50001, false))),
            (&["t50001"], None, Some((50001, false))),
            (&["s1", "s57002"], Some((57002, true)), Some((57002, true))),
            (&["s1024", "t1023"], Some((1024, true)), Some((1024, true))),
            (&["s22", "s25", "s442", "s444", "s1023", "t80"], None, None),
            (
                &["s0", "s65536", "s-1", "s+1", "s01", "s 1", "s1x"],
                None,
                None,
            ),
            (&["s0", "s443"], Some((443, true)), Some((443, true))),
            (&["v1.4", "p10000", "S50002", "", "\u{e4}"], None, None),
            (&[], None, None),
        ] {
            assert_eq!(port("a.example.net", features), plain, "{features:?}");
            assert_eq!(port(ONION, features), onion, "{features:?}");
        }
    }

    #[test]
    fn without_a_proxy_only_addresses_are_tried() {
        for (host, fits) in [("9.9.9.9", true), ("a.example.net", false), (ONION, false)] {
            let endpoint = endpoint(&named(host, host, &["s443"]), false);
            assert_eq!(endpoint.is_some(), fits, "{host}");
        }
    }

    #[test]
    fn what_was_kept_is_judged_again() {
        let read =
            |text: &str, is_tls| stored(text, is_tls, true).map(|endpoint| endpoint.address());
        for text in ["a.example.net:443", "9.9.9.9:50002", "[2a00::1]:50002"] {
            assert_eq!(read(text, true).unwrap().to_string(), text);
            assert_eq!(read(text, false), None, "{text} shows names to an exit");
        }
        let onion = format!("{ONION}:50001");
        assert_eq!(read(&onion, false).unwrap().to_string(), onion);
        for text in [
            "a.example.net",
            "a.example.net:0",
            "a.example.net:25",
            "127.0.0.1:50002",
            "[::1]:50002",
            ":50002",
            "a.bit:50002",
        ] {
            assert_eq!(read(text, true), None, "{text}");
        }
    }
}
