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

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the specification.
    #[test]
    fn each_cause_has_a_reply_in_each_protocol() {
        let why = || "why".to_owned();
        for (refusal, code, status) in [
            (Refusal::NoSuchName(why()), 4, "404"),
            (Refusal::NotNow(why()), 6, "504"),
            (Refusal::NoTor("why"), 1, "502"),
            (Refusal::TooMany, 1, "503"),
        ] {
            let refused4 = [0, 91, 0, 0, 0, 0, 0, 0];
            assert_eq!(refusal.reply(Protocol::Socks4), refused4);
            let refused5 = [5, code, 0, 1, 0, 0, 0, 0, 0, 0];
            assert_eq!(refusal.reply(Protocol::Socks5), refused5);
            let page = String::from_utf8(refusal.reply(Protocol::Http)).unwrap();
            assert!(page.starts_with(&format!("HTTP/1.0 {status} ")), "{page}");
        }
    }

    #[test]
    fn resolved_addresses_have_the_form_of_the_protocol() {
        let v4 = IpAddr::V4([192, 0, 2, 9].into());
        let v6 = IpAddr::V6([1; 16].into());
        let long = [&[5, 0, 0, 4][..], &[1; 16], &[0, 0]].concat();
        for (protocol, address, reply) in [
            (Protocol::Socks5, v4, vec![5, 0, 0, 1, 192, 0, 2, 9, 0, 0]),
            (Protocol::Socks5, v6, long),
            (Protocol::Socks4, v4, vec![0, 90, 0, 0, 192, 0, 2, 9]),
            (Protocol::Socks4, v6, socks4_refusal()),
        ] {
            assert_eq!(resolved(protocol, address), reply);
        }
    }
}
