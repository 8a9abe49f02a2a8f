//! A SOCKS5 proxy that writes down what it is asked, and passes everything on
//! to one address whatever the target, or to the address that a target has.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use super::PATIENCE;

/// One connection, as the proxy saw it.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub user: Vec<u8>,
    pub password: Vec<u8>,
    /// Host name or address as it came, and port.
    pub target: String,
    /// The address type of the request: 1 IPv4, 3 name, 4 IPv6.
    pub kind: u8,
    /// What the client sent after the handshake.
    pub sent: Vec<u8>,
    pub closed: bool,
}

type Log = Arc<(Mutex<Vec<Seen>>, Condvar)>;

pub struct Socks {
    address: SocketAddr,
    log: Log,
}

/// How the proxy treats its clients.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Honest,
    /// Accepts and never says a word.
    Silent,
    /// Says that the host cannot be reached.
    Refusing,
}

/// An onion service for a node; nothing connects to it but through a proxy.
pub const ONION: &str = "nodenodenodenodenodenodenodenodenodenodenodenodenodenode.onion";

/// An address at which nobody listens, and that no other test is given.
pub fn nobody() -> SocketAddr {
    ([127, 0, 0, 1], 1).into()
}

/// Addresses at which there is no proxy that would do, and a piece of what
/// `check` is to say of each.
pub fn useless() -> Vec<(String, &'static str)> {
    vec![
        (nobody().to_string(), "nothing listens"),
        (
            Socks::start(nobody(), Manner::Silent).address(),
            "does not answer",
        ),
        (says(b"HTTP/1.1 400 Bad Request\r\n"), "not speak SOCKS5"),
        (says(&[5, 0]), "does not take credentials"),
        (says(&[5, 255]), "does not take credentials"),
        (says(b""), "closed the connection"),
    ]
}

/// Says the same to everybody after their first bytes, and goes.
fn says(words: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(words);
        }
    });
    address.to_string()
}

/// Where connections lead.
enum Upstreams {
    One(SocketAddr),
    /// By `host` or `host:port`; to no other target.
    Named(HashMap<String, SocketAddr>),
}

impl Upstreams {
    fn of(&self, host: &str, port: u16) -> Option<SocketAddr> {
        match self {
            Self::One(upstream) => Some(*upstream),
            Self::Named(routes) => {
                let exact = routes.get(&format!("{host}:{port}"));
                exact.or_else(|| routes.get(host)).copied()
            }
        }
    }
}

impl Socks {
    /// A proxy that leads everything to one address.
    pub fn start(upstream: SocketAddr, manner: Manner) -> Self {
        Self::lead(Upstreams::One(upstream), manner)
    }

    /// A proxy that leads each of these targets, `host` or `host:port`, to its
    /// address, and says of others that they cannot be reached.
    pub fn route<T: Into<String>>(routes: impl IntoIterator<Item = (T, SocketAddr)>) -> Self {
        let routes = routes.into_iter();
        let routes = routes.map(|(target, upstream)| (target.into(), upstream));
        Self::lead(Upstreams::Named(routes.collect()), Manner::Honest)
    }

    fn lead(upstreams: Upstreams, manner: Manner) -> Self {
        let upstreams = Arc::new(upstreams);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = Log::default();
        let shared = Arc::clone(&log);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = Arc::clone(&shared);
                let upstreams = Arc::clone(&upstreams);
                thread::spawn(move || {
                    if manner == Manner::Silent {
                        // Held open until the client gives up.
                        let _ = (&stream).read_to_end(&mut Vec::new());
                        return;
                    }
                    let _ = serve(stream, &upstreams, manner, &log);
                });
            }
        });
        Self { address, log }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.log.0.lock().unwrap().clone()
    }

    /// Waits until what was seen fits.
    pub fn wait(&self, what: &str, fits: impl Fn(&[Seen]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.log.0.lock().unwrap();
        while !fits(&seen) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // Unlocked, so that the proxy does not panic too.
                let story = format!("{seen:#?}");
                drop(seen);
                panic!("{what}: {story}");
            }
            seen = self.log.1.wait_timeout(seen, left).unwrap().0;
        }
    }
}

fn take<const N: usize>(stream: &mut TcpStream) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn take_counted(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let [length] = take::<1>(stream)?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// What a client of SOCKS5 asks for (RFC 1928 and RFC 1929).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `None` if the client offered none.
    pub credentials: Option<(Vec<u8>, Vec<u8>)>,
    pub command: u8,
    /// The address type: 1 IPv4, 3 name, 4 IPv6.
    pub kind: u8,
    /// The name, or the bytes of the address.
    pub host: Vec<u8>,
    pub port: u16,
}

impl Request {
    /// Reads a request and accepts its credentials. The reply to it is still to
    /// be sent.
    pub fn read(client: &mut TcpStream) -> std::io::Result<Self> {
        let [version] = take::<1>(client)?;
        assert_eq!(version, 5);
        let methods = take_counted(client)?;
        let credentials = match methods.contains(&2) {
            true => {
                client.write_all(&[5, 2])?;
                let [version] = take::<1>(client)?;
                assert_eq!(version, 1);
                let credentials = (take_counted(client)?, take_counted(client)?);
                client.write_all(&[1, 0])?;
                Some(credentials)
            }
            false => {
                assert!(methods.contains(&0), "{methods:?}");
                client.write_all(&[5, 0])?;
                None
            }
        };
        let [_, command, _, kind] = take::<4>(client)?;
        let host = match kind {
            1 => take::<4>(client)?.to_vec(),
            4 => take::<16>(client)?.to_vec(),
            _ => take_counted(client)?,
        };
        Ok(Self {
            credentials,
            command,
            kind,
            host,
            port: u16::from_be_bytes(take::<2>(client)?),
        })
    }

    /// The host as text, an address in its usual form.
    pub fn host_text(&self) -> String {
        let v4 = <[u8; 4]>::try_from(self.host.as_slice());
        let v6 = <[u8; 16]>::try_from(self.host.as_slice());
        match (self.kind, v4, v6) {
            (1, Ok(address), _) => IpAddr::from(address).to_string(),
            (4, _, Ok(address)) => IpAddr::from(address).to_string(),
            _ => String::from_utf8_lossy(&self.host).into_owned(),
        }
    }
}

/// A client that leaves before it asks for a target, as `check` does, is not
/// written down.
fn serve(
    mut client: TcpStream,
    upstreams: &Upstreams,
    manner: Manner,
    log: &Log,
) -> std::io::Result<()> {
    let request = Request::read(&mut client)?;
    assert_eq!(request.command, 1);
    let (host, port) = (request.host_text(), request.port);
    let (user, password) = request.credentials.expect("credentials");
    let kind = request.kind;
    let at = {
        let mut seen = log.0.lock().unwrap();
        seen.push(Seen {
            user,
            password,
            target: format!("{host}:{port}"),
            kind,
            ..Seen::default()
        });
        seen.len() - 1
    };
    log.1.notify_all();
    let upstream = upstreams.of(&host, port);
    let upstream = upstream.filter(|_| manner != Manner::Refusing);
    let passed = pass(client, upstream, log, at);
    log.0.lock().unwrap()[at].closed = true;
    log.1.notify_all();
    passed
}

/// Passes on what both sides say, and writes down what the client does.
fn pass(
    mut client: TcpStream,
    upstream: Option<SocketAddr>,
    log: &Log,
    at: usize,
) -> std::io::Result<()> {
    let Some(upstream) = upstream else {
        return client.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]);
    };
    let mut server = TcpStream::connect(upstream)?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    let (mut back, mut from) = (client.try_clone()?, server.try_clone()?);
    let replies = thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let mut bytes = [0; 4096];
    while let Ok(count) = client.read(&mut bytes) {
        if count == 0 {
            break;
        }
        log.0.lock().unwrap()[at]
            .sent
            .extend_from_slice(&bytes[..count]);
        log.1.notify_all();
        server.write_all(&bytes[..count])?;
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = replies.join();
    Ok(())
}
