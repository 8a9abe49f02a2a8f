//! Tor's side: how its SOCKS port is asked, and what its reply becomes for the
//! client.

use std::io::{self, ErrorKind};
use std::time::Instant;

use super::http;
use super::reply;
use super::request::{Command, Credentials, Host, Protocol};
use super::socket::Socket;
use crate::config::settings::ProxyAddress;
use crate::naming::is_ours;

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
const UNFIT: &str = "a request was not fit for Tor; please report this";
const SILENT: &str = "Tor's SOCKS port does not answer";
const NOT_SOCKS: &str = "what listens at the address of --proxy is no SOCKS port of Tor";

impl TorRequest {
    /// Connects to Tor's port and asks. The reply is still to come.
    ///
    /// # Errors
    /// Tor cannot be asked; holds the reason.
    pub fn send(&self, tor: &ProxyAddress, deadline: Instant) -> Result<Socket, &'static str> {
        let message = self.message().map_err(|_| UNFIT)?;
        let socket = Socket::connect(tor, deadline).map_err(|_| UNREACHABLE)?;
        match self.negotiate(&socket, &message, deadline) {
            Ok(()) => Ok(socket),
            Err(error) if error.kind() == ErrorKind::TimedOut => Err(SILENT),
            Err(_) => Err(NOT_SOCKS),
        }
    }

    /// Each message waits for the reply to the one before, as other
    /// implementations than C Tor may need it.
    fn negotiate(&self, socket: &Socket, request: &[u8], deadline: Instant) -> io::Result<()> {
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
        socket.write_by(request, deadline)
    }

    /// The request itself (RFC 1928, section 4).
    ///
    /// # Errors
    /// The host is ours, whatever led here, or longer than SOCKS5 permits.
    pub fn message(&self) -> io::Result<Vec<u8>> {
        let mut message = vec![5, self.command.number(), 0];
        match &self.host {
            Host::Name(name) if is_ours(name) => return Err(ErrorKind::InvalidInput.into()),
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
pub enum Outcome {
    /// A stream begins. The client is sent this, which includes the first bytes
    /// of the stream.
    Open(Vec<u8>),
    /// There is no stream. The client is sent this, and that is all.
    Answer(Vec<u8>),
    /// It is no reply of a SOCKS5 server. Holds the reason.
    NoTor(&'static str),
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
    pub fn feed(&mut self, bytes: &[u8]) -> Option<Outcome> {
        self.bytes.extend(bytes);
        let length = match *self.bytes.as_slice() {
            [5, _, _, 1, ..] => 10,
            [5, _, _, 3, length, ..] => 7 + usize::from(length),
            [5, _, _, 4, ..] => 22,
            [] | [5] | [5, _] | [5, _, _] | [5, _, _, 3] => return None,
            _ => return Some(Outcome::NoTor(NOT_SOCKS)),
        };
        let (whole, rest) = self.bytes.split_at_checked(length)?;
        let code = whole.get(1).copied().unwrap_or(reply::GENERAL_FAILURE);
        let mut bytes = self.translate(code, whole);
        if code != 0 || self.command != Command::Connect {
            return Some(Outcome::Answer(bytes));
        }
        bytes.extend(rest);
        Some(Outcome::Open(bytes))
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
                    assert_eq!(reader.feed(&[]), None);
                    let outcome = match pieces.peek() {
                        Some(_) => None,
                        None if reply[1] == 0 => Some(Outcome::Open(expected.to_vec())),
                        None => Some(Outcome::Answer(expected.to_vec())),
                    };
                    assert_eq!(reader.feed(piece), outcome);
                }
            }
        }
        let mut reader = TorReply::new(Protocol::Socks5, Command::Connect);
        let both = [&v4[..], b"first bytes"].concat();
        assert_eq!(reader.feed(&both), Some(Outcome::Open(both)));
    }

    /// The last gate, whatever a name led to.
    #[test]
    fn no_message_asks_for_a_name_that_is_ours() {
        let ask = |host: &[u8]| {
            let request = TorRequest {
                command: Command::Connect,
                credentials: None,
                host: Host::Name(host.to_vec()),
                port: 80,
            };
            request.message().ok()
        };
        assert_eq!(ask(b"a.b").unwrap(), b"\x05\x01\0\x03\x03a.b\0\x50");
        assert_eq!(ask(b"a.bit"), None);
        assert_eq!(ask(b"A.BIT.onion."), None);
        assert_eq!(ask(&[b'x'; 256]), None);
    }

    #[test]
    fn what_is_no_reply_of_socks5_is_a_refusal() {
        for bytes in [&b"HTTP/1.1 400 Bad Request"[..], &[5, 0, 0, 9, 1], &[4]] {
            let mut reader = TorReply::new(Protocol::Socks5, Command::Connect);
            assert_eq!(reader.feed(bytes), Some(Outcome::NoTor(NOT_SOCKS)));
        }
    }
}
