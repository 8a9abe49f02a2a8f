//! A request: what a client asks for, whatever its protocol.

use std::net::IpAddr;

/// The protocols of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// SOCKS version 4 and 4a.
    Socks4,
    /// SOCKS version 5 (RFC 1928).
    Socks5,
    /// HTTP CONNECT (RFC 9110, section 9.3.6).
    Http,
}

/// What is to be done with the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Open a stream to it.
    Connect,
    /// Give its address (Tor's extension 0xF0).
    Resolve,
    /// Give its name (Tor's extension 0xF1).
    ResolvePtr,
}

impl Command {
    /// The command's number in SOCKS.
    pub fn number(self) -> u8 {
        match self {
            Self::Connect => 0x01,
            Self::Resolve => 0xF0,
            Self::ResolvePtr => 0xF1,
        }
    }

    /// The command of a number, if the protocol has it.
    pub fn from_number(number: u8, protocol: Protocol) -> Option<Self> {
        match (number, protocol) {
            (0x01, _) => Some(Self::Connect),
            (0xF0, _) => Some(Self::Resolve),
            (0xF1, Protocol::Socks5) => Some(Self::ResolvePtr),
            _ => None,
        }
    }
}

/// Where a stream is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name, as the client wrote it. Any bytes, at most 255.
    Name(Vec<u8>),
    /// An address.
    Address(IpAddr),
}

/// What a client shows as its user and password. Tor isolates by them.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Any bytes, at most 255 toward Tor.
    pub user: Vec<u8>,
    /// Any bytes, at most 255 toward Tor.
    pub password: Vec<u8>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

/// A complete request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// How the client asked, and is answered.
    pub protocol: Protocol,
    /// What it asks for.
    pub command: Command,
    /// Whom it is for; `None` if the client showed no credentials.
    pub credentials: Option<Credentials>,
    /// The target.
    pub host: Host,
    /// The target's port.
    pub port: u16,
}
