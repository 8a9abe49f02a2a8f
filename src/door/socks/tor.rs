//! Tor's side: how its SOCKS port is asked, and what its reply becomes for the
//! client.

use std::io::{self, ErrorKind};
use std::time::Instant;

use super::http;
use super::reply::{self, Refusal};
use super::request::{Command, Credentials, Host, Protocol};
use super::socket::Socket;
use crate::config::settings::ProxyAddress;

/// What Tor is asked for.
pub struct TorRequest {
    /// What is to be done with the target.
    pub command: Command,
    /// What to isolate by; `None` to ask without credentials.
    pub credentials: Option<Credentials>,
    /// The target.
    pub host: Host,
    /// The target's port.
    pub port: u16,
}

const UNREACHABLE: &str = "Tor's SOCKS port cannot be reached; see --proxy";
const NOT_SOCKS: &str = "what listens at the address of --proxy is no SOCKS port of Tor";

impl TorRequest {
    /// Connects to Tor's port and asks. The reply is still to come.
    ///
    /// # Errors
    /// Tor cannot be asked.
    pub fn send(&self, tor: &ProxyAddress, deadline: Instant) -> Result<Socket, Refusal> {
        let socket = Socket::connect(tor, deadline).map_err(|_| Refusal::NoTor(UNREACHABLE))?;
        self.negotiate(&socket, deadline).map_err(|error| {
            Refusal::NoTor(match error.kind() {
                ErrorKind::TimedOut => "Tor's SOCKS port does not answer",
                _ => NOT_SOCKS,
            })
        })?;
        Ok(socket)
    }

    /// Each message waits for the reply to the one before, as other
    /// implementations than C Tor may need it.
    fn negotiate(&self, socket: &Socket, deadline: Instant) -> io::Result<()> {
        let method = match self.credentials {
            Some(_) => 2,
            None => 0,
        };
        let expect = |wanted: [u8; 2]| {
            let mut got = [0; 2];
            let mut filled = 0;
            while let Some(room) = got.get_mut(filled..).filter(|room| !room.is_empty()) {
                match socket.read_by(room, deadline)? {
                    0 => return Err(io::Error::from(ErrorKind::UnexpectedEof)),
                    count => filled += count,
                }
            }
            match got == wanted {
                true => Ok(()),
                false => Err(ErrorKind::InvalidData.into()),
            }
        };
        socket.write_by(&[5, 1, method], deadline)?;
        expect([5, method])?;
        if let Some(credentials) = &self.credentials {
            let mut message = vec![1];
            push_field(&mut message, &credentials.user)?;
            push_field(&mut message, &credentials.password)?;
            socket.write_by(&message, deadline)?;
            expect([1, 0])?;
        }
        socket.write_by(&self.message()?, deadline)
    }

    /// The request itself (RFC 1928, section 4).
    fn message(&self) -> io::Result<Vec<u8>> {
        let mut message = vec![5, self.command.number(), 0];
        match &self.host {
            Host::Name(name) => {
                message.push(3);
                push_field(&mut message, name)?;
            }
            Host::Address(std::net::IpAddr::V4(address)) => {
                message.push(1);
                message.extend(address.octets());
            }
            Host::Address(std::net::IpAddr::V6(address)) => {
                message.push(4);
                message.extend(address.octets());
            }
        }
        message.extend(self.port.to_be_bytes());
        Ok(message)
    }
}

fn push_field(message: &mut Vec<u8>, field: &[u8]) -> io::Result<()> {
    let length = u8::try_from(field.len()).map_err(|_| ErrorKind::InvalidInput)?;
    message.push(length);
    message.extend(field);
    Ok(())
}

/// Turns Tor's reply, as it arrives, into the client's protocol.
#[derive(Debug)]
pub struct TorReply {
    protocol: Protocol,
    command: Command,
    bytes: Vec<u8>,
}

/// What a whole reply means to the client.
#[derive(Debug, PartialEq, Eq)]
pub struct Translated {
    /// What it is sent, with the first bytes of the stream.
    pub bytes: Vec<u8>,
    /// Whether a stream begins.
    pub is_open: bool,
}

impl TorReply {
    /// For a client of this protocol, which asked for this.
    pub fn new(protocol: Protocol, command: Command) -> Self {
        Self {
            protocol,
            command,
            bytes: Vec::new(),
        }
    }

    /// Takes bytes from Tor; `None` until the reply is whole.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<Translated> {
        self.bytes.extend(bytes);
        let length = match *self.bytes.as_slice() {
            [5, _, _, 1, ..] => 10,
            [5, _, _, 3, length, ..] => 7 + usize::from(length),
            [5, _, _, 4, ..] => 22,
            [5] | [5, _] | [5, _, _] | [5, _, _, 3] => return None,
            _ => {
                return Some(Translated {
                    bytes: Refusal::NoTor(NOT_SOCKS).reply(self.protocol),
                    is_open: false,
                });
            }
        };
        let (whole, rest) = self.bytes.split_at_checked(length)?;
        let code = whole.get(1).copied().unwrap_or(reply::GENERAL_FAILURE);
        let mut bytes = self.translate(code, whole);
        let is_open = code == 0 && self.command == Command::Connect;
        if is_open {
            bytes.extend(rest);
        }
        Some(Translated { bytes, is_open })
    }

    /// What the client is sent if Tor hangs up without a reply.
    pub fn missing(&self) -> Vec<u8> {
        Refusal::NoTor("Tor closed the connection without a reply").reply(self.protocol)
    }

    fn translate(&self, code: u8, whole: &[u8]) -> Vec<u8> {
        match (self.protocol, code) {
            (Protocol::Socks5, _) => whole.to_vec(),
            // The bound address of a stream means nothing, that of RESOLVE is
            // the answer.
            (Protocol::Socks4, 0) => match *whole {
                [_, _, _, 1, a, b, c, d, ..] => vec![0, 90, 0, 0, a, b, c, d],
                _ if self.command == Command::Connect => vec![0, 90, 0, 0, 0, 0, 0, 0],
                _ => reply::socks4_refusal(),
            },
            (Protocol::Socks4, _) => reply::socks4_refusal(),
            (Protocol::Http, 0) => http::ESTABLISHED.to_vec(),
            (Protocol::Http, code) => {
                let status = match code {
                    reply::HOST_UNREACHABLE => http::Status::NotFound,
                    reply::TTL_EXPIRED => http::Status::GatewayTimeout,
                    _ => http::Status::BadGateway,
                };
                http::page(
                    status,
                    &format!("Tor did not connect: SOCKS reply {code:#04x}"),
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In pieces of every size, a reply comes out once and keeps what follows.
    #[test]
    fn a_reply_is_translated_when_it_is_whole() {
        let v4 = [5, 0, 0, 1, 1, 2, 3, 4, 0, 80];
        let name = [5, 0, 0, 3, 2, b'a', b'b', 0, 0];
        let refused = [5, 0xF3, 0, 1, 0, 0, 0, 0, 0, 0];
        for (protocol, reply, expected) in [
            (Protocol::Socks5, &v4[..], &v4[..]),
            (Protocol::Socks5, &name, &name),
            (Protocol::Socks5, &refused, &refused),
            (Protocol::Socks4, &v4, &[0, 90, 0, 0, 1, 2, 3, 4]),
            (Protocol::Socks4, &name, &[0, 90, 0, 0, 0, 0, 0, 0]),
            (Protocol::Socks4, &refused, &[0, 91, 0, 0, 0, 0, 0, 0]),
            (Protocol::Http, &v4, http::ESTABLISHED),
        ] {
            for size in 1..=reply.len() {
                let mut reader = TorReply::new(protocol, Command::Connect);
                let mut pieces = reply.chunks(size).peekable();
                while let Some(piece) = pieces.next() {
                    let translated = reader.feed(piece);
                    assert_eq!(translated.is_some(), pieces.peek().is_none());
                    if let Some(translated) = translated {
                        assert_eq!(translated.bytes, expected);
                        assert_eq!(translated.is_open, reply[1] == 0);
                    }
                }
            }
        }
        let mut reader = TorReply::new(Protocol::Socks5, Command::Connect);
        let both = [&v4[..], b"first bytes"].concat();
        assert_eq!(reader.feed(&both).unwrap().bytes, both);
    }

    #[test]
    fn what_is_no_reply_of_socks5_is_a_refusal() {
        for bytes in [&b"HTTP/1.1 400 Bad Request"[..], &[5, 0, 0, 9, 1], &[4]] {
            let mut reader = TorReply::new(Protocol::Socks5, Command::Connect);
            let translated = reader.feed(bytes).unwrap();
            assert_eq!(translated.bytes, reply::socks5_refusal(1));
            assert!(!translated.is_open);
        }
    }
}
