//! Where nodes, servers, proxies and our own listeners are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// Where an Electrum server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// Host and port.
    pub address: NodeAddress,
    /// Whether it speaks TLS.
    pub is_tls: bool,
}

/// Host and port of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeAddress {
    /// A host name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// The TCP port, 1 to 65535.
    pub port: u16,
}

impl NodeAddress {
    /// A port of this machine.
    pub fn local(port: u16) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port,
        }
    }

    /// Whether the host is this machine: an address of the loopback networks
    /// or `localhost`, which is never looked up in DNS.
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self
                .host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    /// The addresses of the host that are known without asking DNS: those of a
    /// literal and of `localhost`. None if DNS has to be asked.
    pub fn known(&self) -> Vec<SocketAddr> {
        let hosts = if self.host.eq_ignore_ascii_case("localhost") {
            vec![
                IpAddr::from(Ipv4Addr::LOCALHOST),
                IpAddr::from(Ipv6Addr::LOCALHOST),
            ]
        } else {
            self.host.parse().into_iter().collect()
        };
        hosts
            .into_iter()
            .map(|host| SocketAddr::new(host, self.port))
            .collect()
    }

    /// Whether the host is an onion service.
    pub fn is_onion(&self) -> bool {
        let host = self.host.trim_end_matches('.');
        host.rsplit('.')
            .next()
            .is_some_and(|last| last.eq_ignore_ascii_case("onion"))
    }
}

/// Where a door listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP port; 0 lets the system choose one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Where SOCKS clients connect unless something else is set.
    pub const SOCKS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9250);

    /// Whether a proxy at this address would be this listener.
    pub fn is_at(&self, proxy: &ProxyAddress) -> bool {
        match (self, proxy) {
            (Self::Tcp(own), ProxyAddress::Tcp(proxy)) => {
                let is_own = |found: &SocketAddr| {
                    let ip = own.ip();
                    found.port() == own.port() && (found.ip() == ip || ip.is_unspecified())
                };
                proxy.known().iter().any(is_own)
            }
            (Self::Unix(own), ProxyAddress::Unix(proxy)) => own == proxy,
            _ => false,
        }
    }

    /// Whether only this machine can connect.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where a port of Tor, or another SOCKS5 proxy, listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyAddress {
    /// A TCP port.
    Tcp(NodeAddress),
    /// A Unix socket.
    Unix(PathBuf),
}

impl ProxyAddress {
    /// The SOCKS port of a Tor on this machine.
    pub fn tor() -> Self {
        Self::Tcp(NodeAddress::local(9050))
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Tcp(address) => address.is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl std::fmt::Display for ProxyAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where Tor's control port is. It is always on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlAddress {
    /// At one of its usual places, whichever exists.
    Auto,
    /// A loopback TCP port or a Unix socket.
    At(ProxyAddress),
}

impl std::fmt::Display for ControlAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl std::fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(host: &str) -> Vec<String> {
        let address = NodeAddress {
            host: host.into(),
            port: 8336,
        };
        address.known().iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn localhost_and_literals_need_no_dns() {
        assert_eq!(known("localhost"), ["127.0.0.1:8336", "[::1]:8336"]);
        assert_eq!(known("LocalHost"), ["127.0.0.1:8336", "[::1]:8336"]);
        assert_eq!(known("192.0.2.1"), ["192.0.2.1:8336"]);
        assert_eq!(known("2001:db8::1"), ["[2001:db8::1]:8336"]);
        assert!(known("node.example").is_empty());
    }
}
