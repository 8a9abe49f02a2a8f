//! What a client is answered, in the words of its protocol (`spec/socks.md`,
//! "Replies").

use std::net::IpAddr;

use super::http;
use super::request::Protocol;

/// SOCKS5: the server cannot serve the request.
pub const GENERAL_FAILURE: u8 = 1;
/// SOCKS5: there is no such name, or it has no address.
pub const HOST_UNREACHABLE: u8 = 4;
/// SOCKS5: the answer took too long; asking again may help.
pub const TTL_EXPIRED: u8 = 6;
/// SOCKS5: the command is not supported.
pub const COMMAND_NOT_SUPPORTED: u8 = 7;
/// SOCKS5: the type of the address is not supported.
pub const ADDRESS_TYPE_NOT_SUPPORTED: u8 = 8;

/// Why a client gets no stream and no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The name cannot be resolved, and asking again soon will not help. Holds
    /// the reason.
    NoSuchName(String),
    /// The answer is not known for now. Holds the reason.
    NotNow(String),
    /// Tor cannot be asked. Holds the reason.
    NoTor(&'static str),
    /// There are too many streams.
    TooMany,
}

impl Refusal {
    /// The reply code of SOCKS5.
    pub fn code(&self) -> u8 {
        match self {
            Self::NoSuchName(_) => HOST_UNREACHABLE,
            Self::NotNow(_) => TTL_EXPIRED,
            Self::NoTor(_) | Self::TooMany => GENERAL_FAILURE,
        }
    }

    /// What the client of a protocol is sent before the connection is closed.
    pub fn reply(&self, protocol: Protocol) -> Vec<u8> {
        match protocol {
            Protocol::Socks4 => socks4_refusal(),
            Protocol::Socks5 => socks5_refusal(self.code()),
            Protocol::Http => match self {
                Self::NoSuchName(why) => http::page(http::Status::NotFound, why),
                Self::NotNow(why) => http::page(http::Status::GatewayTimeout, why),
                Self::NoTor(why) => http::page(http::Status::BadGateway, why),
                Self::TooMany => http::page(
                    http::Status::ServiceUnavailable,
                    "too many streams are open; close some, or raise the limit of open files",
                ),
            },
        }
    }
}

/// A refusal of SOCKS4.
pub fn socks4_refusal() -> Vec<u8> {
    vec![0, 91, 0, 0, 0, 0, 0, 0]
}

/// A refusal of SOCKS5 with one of its codes.
pub fn socks5_refusal(code: u8) -> Vec<u8> {
    vec![5, code, 0, 1, 0, 0, 0, 0, 0, 0]
}

/// The answer to RESOLVE. SOCKS4 has no room for an IPv6 address, and HTTP has
/// no such command.
pub fn resolved(protocol: Protocol, address: IpAddr) -> Vec<u8> {
    let mut reply = Vec::new();
    match (protocol, address) {
        (Protocol::Socks5, IpAddr::V4(address)) => {
            reply.extend([5, 0, 0, 1]);
            reply.extend(address.octets());
            reply.extend([0, 0]);
        }
        (Protocol::Socks5, IpAddr::V6(address)) => {
            reply.extend([5, 0, 0, 4]);
            reply.extend(address.octets());
            reply.extend([0, 0]);
        }
        (Protocol::Socks4, IpAddr::V4(address)) => {
            reply.extend([0, 90, 0, 0]);
            reply.extend(address.octets());
        }
        (Protocol::Socks4, IpAddr::V6(_)) | (Protocol::Http, _) => return socks4_refusal(),
    }
    reply
}
