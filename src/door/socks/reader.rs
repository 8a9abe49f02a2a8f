//! Reads requests: SOCKS4, 4a and 5, and HTTP CONNECT, told apart by their first
//! byte (`spec/socks.md`, "Requests").
//!
//! [`Reader`] does no I/O. It is given the bytes that have arrived, in whatever
//! pieces, and says what to answer and when the request is complete.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::http;
use super::reply;
use super::request::{Command, Credentials, Host, Protocol, Request};

/// The longest SOCKS4 user id and host name in bytes, without its NUL: what fits
/// a field of SOCKS5, which Tor is asked with.
const MAX_FIELD: usize = 255;

/// What a [`Reader`] needs or has.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// More bytes.
    More,
    /// These bytes go to the client; then step again.
    Say(Vec<u8>),
    /// This is the request. The bytes that are left belong to the stream.
    Done(Request),
    /// This is no request that can be served. The bytes go to the client, and
    /// then the connection is closed.
    Refuse(Vec<u8>),
}

/// Reads one request.
#[derive(Debug, Default)]
pub struct Reader {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Start,
    /// SOCKS5: the client's credentials come next.
    Authentication,
    /// SOCKS5: the request comes next.
    Request { credentials: Option<Credentials> },
}

/// Why a message cannot be parsed yet, or at all.
enum Stop {
    /// It is not complete.
    More,
    /// It never will be: what to answer.
    Refuse(Vec<u8>),
}

type Parsed<T> = Result<(T, usize), Stop>;

impl Reader {
    /// Takes what it can from the front of `input`.
    pub fn step(&mut self, input: &mut Vec<u8>) -> Step {
        let parsed = match (std::mem::take(&mut self.state), input.first().copied()) {
            (State::Start, None) => Err(Stop::More),
            (State::Start, Some(4)) => socks4(input).map(done),
            (State::Start, Some(5)) => methods(input).map(|(method, length)| {
                self.state = match method {
                    Method::Password => State::Authentication,
                    Method::None => State::Request { credentials: None },
                };
                (Step::Say(vec![5, method as u8]), length)
            }),
            (State::Start, Some(_)) => http::request(input)
                .map_err(|stop| match stop {
                    http::Stop::More => Stop::More,
                    http::Stop::Refuse(page) => Stop::Refuse(page),
                })
                .map(done),
            (State::Authentication, _) => match authentication(input) {
                Ok((credentials, length)) => {
                    self.state = State::Request {
                        credentials: Some(credentials),
                    };
                    Ok((Step::Say(vec![1, 0]), length))
                }
                Err(stop) => {
                    self.state = State::Authentication;
                    Err(stop)
                }
            },
            (State::Request { credentials }, _) => match socks5(input) {
                Ok((mut request, length)) => {
                    request.credentials = credentials;
                    Ok((Step::Done(request), length))
                }
                Err(stop) => {
                    self.state = State::Request { credentials };
                    Err(stop)
                }
            },
        };
        match parsed {
            Ok((step, length)) => {
                input.drain(..length.min(input.len()));
                step
            }
            Err(Stop::More) => Step::More,
            Err(Stop::Refuse(reply)) => Step::Refuse(reply),
        }
    }
}

fn done((request, length): (Request, usize)) -> (Step, usize) {
    (Step::Done(request), length)
}

/// A cursor over bytes that may be incomplete.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let end = self.at.saturating_add(count);
        let taken = self.bytes.get(self.at..end).ok_or(Stop::More)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        self.take(N)?.try_into().map_err(|_| Stop::More)
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A field that its length, one byte, precedes.
    fn field(&mut self) -> Result<&'a [u8], Stop> {
        let length = self.byte()?;
        self.take(length.into())
    }

    /// A field that ends with NUL, or what to answer if it is too long.
    fn until_nul(&mut self, refusal: impl FnOnce() -> Vec<u8>) -> Result<&'a [u8], Stop> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match rest.iter().take(MAX_FIELD + 1).position(|&byte| byte == 0) {
            Some(length) => {
                let field = self.take(length)?;
                self.take(1)?;
                Ok(field)
            }
            None if rest.len() > MAX_FIELD => Err(Stop::Refuse(refusal())),
            None => Err(Stop::More),
        }
    }
}

/// The methods of authentication that are offered to SOCKS5 clients.
#[derive(Debug, Clone, Copy)]
enum Method {
    None = 0,
    Password = 2,
}

/// The first message of SOCKS5. Like Tor, a client that has credentials is asked
/// for them.
fn methods(input: &[u8]) -> Parsed<Method> {
    let mut cursor = Cursor::new(input);
    cursor.byte()?;
    let offered = cursor.field()?;
    let method = [Method::Password, Method::None]
        .into_iter()
        .find(|&method| offered.contains(&(method as u8)));
    match method {
        Some(method) => Ok((method, cursor.at)),
        None => Err(Stop::Refuse(vec![5, 0xFF])),
    }
}

/// User name and password (RFC 1929). Either may be empty, as Tor permits.
fn authentication(input: &[u8]) -> Parsed<Credentials> {
    let mut cursor = Cursor::new(input);
    if cursor.byte()? != 1 {
        return Err(Stop::Refuse(vec![1, 1]));
    }
    let user = cursor.field()?.to_vec();
    let password = cursor.field()?.to_vec();
    Ok((Credentials { user, password }, cursor.at))
}

/// The request of SOCKS5 (RFC 1928, section 4).
fn socks5(input: &[u8]) -> Parsed<Request> {
    let refuse = |code| Err(Stop::Refuse(reply::socks5_refusal(code)));
    let mut cursor = Cursor::new(input);
    let [version, command, _, address_type] = cursor.array()?;
    if version != 5 {
        return refuse(reply::GENERAL_FAILURE);
    }
    let Some(command) = Command::from_number(command, Protocol::Socks5) else {
        return refuse(reply::COMMAND_NOT_SUPPORTED);
    };
    let host = match address_type {
        1 => Host::Address(Ipv4Addr::from(cursor.array::<4>()?).into()),
        3 => Host::Name(cursor.field()?.to_vec()),
        4 => Host::Address(Ipv6Addr::from(cursor.array::<16>()?).into()),
        _ => return refuse(reply::ADDRESS_TYPE_NOT_SUPPORTED),
    };
    let request = Request {
        protocol: Protocol::Socks5,
        command,
        credentials: None,
        host,
        port: u16::from_be_bytes(cursor.array()?),
    };
    Ok((request, cursor.at))
}

/// The one message of SOCKS4 and 4a. The user id counts as the user name of
/// credentials; an empty one is none.
fn socks4(input: &[u8]) -> Parsed<Request> {
    let refusal = reply::socks4_refusal;
    let mut cursor = Cursor::new(input);
    cursor.byte()?;
    let Some(command) = Command::from_number(cursor.byte()?, Protocol::Socks4) else {
        return Err(Stop::Refuse(refusal()));
    };
    let port = u16::from_be_bytes(cursor.array()?);
    let address = cursor.array::<4>()?;
    let user = cursor.until_nul(refusal)?.to_vec();
    let host = match address {
        // 4a: an address in 0.0.0.0/24 other than 0.0.0.0 announces a name.
        [0, 0, 0, last] if last != 0 => Host::Name(cursor.until_nul(refusal)?.to_vec()),
        address => Host::Address(Ipv4Addr::from(address).into()),
    };
    let request = Request {
        protocol: Protocol::Socks4,
        command,
        credentials: (!user.is_empty()).then(|| Credentials {
            user,
            password: Vec::new(),
        }),
        host,
        port,
    };
    Ok((request, cursor.at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a reader the bytes in pieces; what it says to the client, how it
    /// ends, and the bytes that are left.
    fn read(bytes: &[u8], size: usize) -> (Vec<u8>, Step, Vec<u8>) {
        let mut reader = Reader::default();
        let (mut input, mut said) = (Vec::new(), Vec::new());
        let mut pieces = bytes.chunks(size);
        loop {
            match reader.step(&mut input) {
                Step::More => match pieces.next() {
                    Some(piece) => input.extend(piece),
                    None => return (said, Step::More, input),
                },
                Step::Say(bytes) => said.extend(bytes),
                end => {
                    return (
                        said,
                        end,
                        [input, pieces.flatten().copied().collect()].concat(),
                    );
                }
            }
        }
    }

    fn name(host: &[u8]) -> Host {
        Host::Name(host.to_vec())
    }

    fn request(protocol: Protocol, shown: Option<(&[u8], &[u8])>, host: Host) -> Request {
        Request {
            protocol,
            command: Command::Connect,
            credentials: shown.map(|(user, password)| Credentials {
                user: user.to_vec(),
                password: password.to_vec(),
            }),
            host,
            port: 80,
        }
    }

    /// However a request is cut, and whatever follows it.
    #[test]
    fn requests_are_read() {
        use Protocol::{Http, Socks4, Socks5};

        let v4 = Host::Address(Ipv4Addr::new(192, 0, 2, 9).into());
        let v6 = Host::Address(Ipv6Addr::LOCALHOST.into());
        let pass = &b"\x05\x02\x01\0"[..];
        for (bytes, said, expected) in [
            (
                &b"\x04\x01\0\x50\xc0\0\x02\x09\0"[..],
                &b""[..],
                request(Socks4, None, v4.clone()),
            ),
            (
                b"\x04\x01\0\x50\0\0\0\x01me\0a.bit\0",
                b"",
                request(Socks4, Some((b"me", b"")), name(b"a.bit")),
            ),
            // 0.0.0.0 announces no name.
            (
                b"\x04\x01\0\x50\0\0\0\0\0",
                b"",
                request(Socks4, None, Host::Address(Ipv4Addr::UNSPECIFIED.into())),
            ),
            (
                b"\x05\x01\0\x05\x01\0\x01\xc0\0\x02\x09\0\x50",
                b"\x05\0",
                request(Socks5, None, v4.clone()),
            ),
            (
                b"\x05\x02\0\x02\x01\x02me\x01\0\x05\x01\xff\x03\x05a\0bit\0\x50",
                pass,
                request(Socks5, Some((b"me", b"\0")), name(b"a\0bit")),
            ),
            (
                b"\x05\x01\x02\x01\0\0\x05\x01\0\x03\0\0\x50",
                pass,
                request(Socks5, Some((b"", b"")), name(b"")),
            ),
            (
                b"CONNECT a.bit:80 HTTP/1.1\r\nHost: x\r\n\r\n",
                b"",
                request(Http, None, name(b"a.bit")),
            ),
            (
                b"CONNECT [::1]:80 HTTP/1.0\r\n\r\n",
                b"",
                request(Http, None, v6),
            ),
            (
                b"CONNECT 192.0.2.9:080 HTTP/1.1\r\nPROXY-authorization: Basic x\r\n\r\n",
                b"",
                request(Http, Some((b"Basic x", b"\x01\xff\x01\xff")), v4),
            ),
            (
                b"CONNECT a.bit:80 HTTP/1.1\r\nX-Tor-Stream-Isolation: y\r\n\r\n",
                b"",
                request(Http, Some((b"", b"\x01\xff\x01\xffy")), name(b"a.bit")),
            ),
        ] {
            let whole = [bytes, b"and more"].concat();
            for size in 1..=whole.len() {
                let (got, step, rest) = read(&whole, size);
                assert_eq!(got, said, "{}", bytes.escape_ascii());
                assert_eq!(step, Step::Done(expected.clone()));
                assert_eq!(rest, b"and more");
            }
            for end in 0..bytes.len() {
                assert_eq!(read(&bytes[..end], 3).1, Step::More);
            }
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let refused4 = vec![0, 91, 0, 0, 0, 0, 0, 0];
        let refused5 = reply::socks5_refusal;
        let long = |head: &[u8]| [head, &[b'x'; 256]].concat();
        for (bytes, expected) in [
            (b"\x04\x02".to_vec(), refused4.clone()),
            (b"\x04\xf1".to_vec(), refused4.clone()),
            (long(b"\x04\x01\0\x50\0\0\0\x01"), refused4.clone()),
            (long(b"\x04\x01\0\x50\0\0\0\x01\0"), refused4),
            (b"\x05\0".to_vec(), vec![5, 0xFF]),
            (b"\x05\x02\x01\x03".to_vec(), vec![5, 0xFF]),
            (b"\x05\x01\x02\x05".to_vec(), vec![1, 1]),
            (b"\x05\x01\0\x04\x01\0\x01".to_vec(), refused5(1)),
            (b"\x05\x01\0\x05\x02\0\x01".to_vec(), refused5(7)),
            (b"\x05\x01\0\x05\x01\0\x02".to_vec(), refused5(8)),
        ] {
            for size in 1..=bytes.len() {
                let (_, step, _) = read(&bytes, size);
                assert_eq!(step, Step::Refuse(expected.clone()), "{bytes:?}");
            }
        }
    }

    /// RESOLVE is for both versions of SOCKS, RESOLVE_PTR for version 5.
    #[test]
    fn commands_have_tors_numbers() {
        for command in [Command::Connect, Command::Resolve, Command::ResolvePtr] {
            let number = command.number();
            assert_eq!(
                Command::from_number(number, Protocol::Socks5),
                Some(command)
            );
        }
        assert_eq!(Command::from_number(0xF1, Protocol::Socks4), None);
        let shown = Credentials {
            user: b"secret".to_vec(),
            password: b"secret".to_vec(),
        };
        assert!(!format!("{shown:?}").contains("secret"));
    }
}
