//! Host and port of a node.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::keys::quoted;
use super::settings::{NodeAddress, ServerAddress};

/// Namecoin Core's port for JSON-RPC.
const DEFAULT_PORT: u16 = 8336;

/// Reads `host`, `host:port`, `ipv6`, `[ipv6]` or `[ipv6]:port`.
pub(super) fn parse(text: &str) -> Result<NodeAddress, String> {
    let error = |reason: &str| Err(format!("is {} but {reason}", quoted(text)));
    if text.contains("//") {
        return error("must be HOST or HOST:PORT, not a URL");
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok(NodeAddress {
            host: text.to_owned(),
            port: DEFAULT_PORT,
        });
    }
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((host, rest)) = rest.split_once(']') else {
            return error("lacks the closing bracket");
        };
        if host.parse::<Ipv6Addr>().is_err() {
            return error("has something other than an IPv6 address in brackets");
        }
        match (rest, rest.strip_prefix(':')) {
            ("", _) => (host, None),
            (_, Some(port)) => (host, Some(port)),
            _ => return error("has something other than a port after the bracket"),
        }
    } else {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        if !is_host(host) {
            return error("its host is neither an IP address nor a host name");
        }
        (host, port)
    };
    let port = match port {
        None => DEFAULT_PORT,
        Some(digits) => match digits.parse() {
            Ok(port) if port > 0 && !digits.starts_with('+') => port,
            _ => return error("its port is not a number from 1 to 65535"),
        },
    };
    Ok(NodeAddress {
        host: host.to_owned(),
        port,
    })
}

/// Reads `host:port` or `[ipv6]:port`; the port has no default.
pub(super) fn parse_with_port(text: &str) -> Result<NodeAddress, String> {
    if text.contains("//") {
        return Err(format!(
            "is {} but must be HOST:PORT, not a URL",
            quoted(text)
        ));
    }
    let ends_in_port = text
        .rsplit_once(':')
        .is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
    if ends_in_port {
        parse(text)
    } else {
        Err(format!("is {} but must be HOST:PORT", quoted(text)))
    }
}

/// Whether a text is an IPv4 address or a host name that cannot be mistaken
/// for one. Local names are allowed here.
fn is_host(host: &str) -> bool {
    if host.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253
        && host.split('.').all(is_label)
        && !last.starts_with(|first: char| first.is_ascii_digit())
}

/// Reads `host:port:s` or `host:port:t`; the letter says whether the server
/// speaks TLS.
pub(super) fn parse_server(text: &str) -> Result<ServerAddress, String> {
    let (address, is_tls) = match text.rsplit_once(':') {
        Some((address, "s")) => (address, true),
        Some((address, "t")) => (address, false),
        _ => {
            return Err(format!(
                "is {} but must be HOST:PORT:s with TLS or HOST:PORT:t without",
                quoted(text)
            ));
        }
    };
    Ok(ServerAddress {
        address: parse_with_port(address)?,
        is_tls,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        for (text, host, port) in [
            ("127.0.0.1", "127.0.0.1", 8336),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("localhost:65535", "localhost", 65535),
            ("localhost.", "localhost", 8336),
            ("node_1.example-net:80", "node_1.example-net", 80),
            ("::1", "::1", 8336),
            ("[::1]", "::1", 8336),
            ("[2001:db8::1]:8337", "2001:db8::1", 8337),
        ] {
            let address = parse(text).unwrap();
            assert_eq!(
                (address.host.as_str(), address.port),
                (host, port),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_other_texts() {
        let long = "a".repeat(64);
        for text in [
            "",
            ":8336",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:x",
            "a:1:2",
            "http://a",
            "a/b",
            "a b",
            "a..b",
            ".a",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[a]:1",
            "[127.0.0.1]:1",
            "fe80::1%eth0",
            "127.1",
            "256.0.0.1",
            "0x7f000001",
            "2130706433",
            "a\n",
            "é",
            &long,
            "user@a",
        ] {
            let error = parse(text).unwrap_err();
            assert!(!error.contains('\n'), "{text:?}");
        }
    }
}
