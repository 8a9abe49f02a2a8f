//! Connections to scripted servers, some of them through a proxy that writes
//! down what it sees.

mod connection;
mod dial;
// The proxy of the tests through the binary.
#[path = "../../../../../tests/support/socks.rs"]
#[allow(dead_code)]
mod socks;
mod tls;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use self::socks::{Manner, Socks};
use super::calls::SentRequest;
use super::*;
use crate::config::settings::{NodeAddress, ProxyAddress};
use crate::source::electrum::testing;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

fn address(host: &str, port: u16) -> NodeAddress {
    let host = host.to_owned();
    NodeAddress { host, port }
}

fn server(host: &str, port: u16, is_tls: bool) -> Server {
    Server {
        address: address(host, port),
        is_tls,
        ..testing::server("operator", host)
    }
}

fn local(address: SocketAddr, is_tls: bool) -> Server {
    server("127.0.0.1", address.port(), is_tls)
}

fn proxy_of(socks: &Socks) -> Option<ProxyAddress> {
    let at: SocketAddr = socks.address().parse().unwrap();
    Some(ProxyAddress::Tcp(address("127.0.0.1", at.port())))
}

fn no_pins() -> Arc<Pins> {
    Arc::new(Pins::open(None))
}

fn direct() -> Dialer {
    Dialer::new(None, no_pins())
}

/// A connection to a scripted server, without a proxy.
pub(in crate::source::electrum) fn connect(peer: &Peer) -> Connection {
    connect_for(&direct(), peer, Purpose::Lookups)
}

fn connect_for(dialer: &Dialer, peer: &Peer, purpose: Purpose) -> Connection {
    let server = local(peer.address, peer.is_tls);
    let dialled = dialer.dial(&server, purpose, soon(), &Cancel::new());
    dialled.unwrap()
}

fn result(reply: Reply) -> String {
    match reply {
        Reply::Result(result) => result.get().to_owned(),
        Reply::Error(error) => panic!("{error}"),
    }
}

fn request(number: usize) -> Request {
    Request::new("x", format!("[{number}]"))
}

fn requests(count: usize) -> Vec<Request> {
    (0..count).map(request).collect()
}

fn receive(connection: &Connection, request: SentRequest) -> Result<String, CallError> {
    connection
        .receive(request, soon(), &Cancel::new())
        .map(result)
}

fn call(connection: &Connection) -> Result<Reply, CallError> {
    connection.call(request(0), soon(), &Cancel::new())
}

/// A server that says one thing to the second request and then listens.
fn saying(bytes: Vec<u8>) -> Peer {
    Peer::start(move |guest| {
        guest.greet()?;
        guest.hear()?;
        guest.say(&bytes)?;
        guest.hear_out()
    })
}

trait Bytes: Read + Write + Send {}
impl<T: Read + Write + Send> Bytes for T {}

/// One connection, as the server sees it.
pub struct Guest {
    stream: Box<dyn Bytes>,
    unread: Vec<u8>,
    heard: Arc<Mutex<Vec<Vec<Value>>>>,
    number: usize,
}

/// A server that listens on the loopback interface.
pub struct Peer {
    pub address: SocketAddr,
    is_tls: bool,
    heard: Arc<Mutex<Vec<Vec<Value>>>>,
}

impl Peer {
    /// Treats every connection by a script, which ends it by returning.
    pub fn start(script: impl Fn(&mut Guest) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::start_with(None, script)
    }

    /// The same, under TLS if there is a configuration.
    pub fn start_with(
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&mut Guest) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let peer = Self {
            address,
            is_tls: tls.is_some(),
            heard: Arc::clone(&heard),
        };
        let script = Arc::new(script);
        thread::spawn(move || {
            for (number, tcp) in listener.incoming().flatten().enumerate() {
                heard.lock().unwrap().push(Vec::new());
                let mut guest = Guest {
                    stream: layered(tcp, tls.as_ref()),
                    unread: Vec::new(),
                    heard: Arc::clone(&heard),
                    number,
                };
                let script = Arc::clone(&script);
                thread::spawn(move || {
                    // Clients end connections whenever they like.
                    let _ = script(&mut guest);
                });
            }
        });
        peer
    }

    /// A server that answers each request with its parameters.
    pub fn echo(tls: Option<Arc<ServerConfig>>) -> Self {
        Self::start_with(tls, |guest| {
            guest.greet()?;
            loop {
                let request = guest.hear()?;
                guest.answer(&request)?;
            }
        })
    }

    /// The requests of all connections, in their order.
    pub fn heard(&self) -> Vec<Vec<Value>> {
        self.heard.lock().unwrap().clone()
    }
}

fn layered(tcp: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Box<dyn Bytes> {
    tcp.set_nodelay(true).unwrap();
    match tls {
        None => Box::new(tcp),
        Some(config) => {
            let session = ServerConnection::new(Arc::clone(config)).unwrap();
            Box::new(StreamOwned::new(session, tcp))
        }
    }
}

impl Guest {
    /// The next request.
    pub fn hear(&mut self) -> io::Result<Value> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                let request: Value = serde_json::from_slice(&line)?;
                self.heard.lock().unwrap()[self.number].push(request.clone());
                return Ok(request);
            }
            let mut bytes = [0; 4096];
            let count = self.stream.read(&mut bytes)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.unread.extend_from_slice(&bytes[..count]);
        }
    }

    /// Bytes as they are.
    pub fn say(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// A reply with the request's parameters as the result.
    pub fn answer(&mut self, request: &Value) -> io::Result<()> {
        self.say(answer_to(request))
    }

    /// Answers the first request.
    pub fn greet(&mut self) -> io::Result<()> {
        self.greet_as("1.4.3")
    }

    /// The same, with another version.
    pub fn greet_as(&mut self, version: &str) -> io::Result<()> {
        let request = self.hear()?;
        assert_eq!(request["method"], "server.version");
        self.say(format!(
            "{{\"jsonrpc\":\"2.0\",\"result\":[\"ElectrumX 2.0b1\",\"{version}\"],\"id\":{}}}\n",
            request["id"]
        ))
    }

    /// Waits until the client ends the connection.
    pub fn hear_out(&mut self) -> io::Result<()> {
        loop {
            self.hear()?;
        }
    }
}

/// A reply with the request's parameters as the result.
pub fn answer_to(request: &Value) -> String {
    format!(
        "{{\"jsonrpc\": \"2.0\", \"result\": {}, \"id\": {}}}\n",
        request["params"], request["id"]
    )
}
