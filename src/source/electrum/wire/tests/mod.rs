//! Connections to scripted servers, some of them through a proxy that writes
//! down what it sees.

mod calls;
mod dial;
mod failures;
pub(in crate::source::electrum) mod peer;
// The proxy of the tests through the binary.
#[path = "../../../../../tests/support/socks.rs"]
#[allow(dead_code)]
mod socks;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::calls::SentRequest;
use super::*;
use crate::config::settings::NodeAddress;
use crate::source::Cancel;
use crate::source::electrum::pins::Pins;
use crate::source::electrum::servers::{Server, Standing};
use crate::source::electrum::wire::Protocol;
use peer::Peer;
use socks::{Manner, Socks};

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
        operator: "operator".to_owned(),
        standing: Standing::Alive,
        identity: None,
    }
}

fn local(address: SocketAddr, is_tls: bool) -> Server {
    server("127.0.0.1", address.port(), is_tls)
}

fn proxy_of(socks: &Socks) -> Option<NodeAddress> {
    let at: SocketAddr = socks.address().parse().unwrap();
    Some(address("127.0.0.1", at.port()))
}

fn no_pins() -> Arc<Pins> {
    Arc::new(Pins::open(None).0)
}

fn direct() -> Dialer {
    Dialer::new(None, no_pins())
}

/// A connection to a scripted server without proxy and TLS.
pub(in crate::source::electrum) fn connect(peer: &Peer) -> Connection {
    direct()
        .dial(
            &local(peer.address, false),
            Purpose::Lookups,
            soon(),
            &Cancel::new(),
        )
        .unwrap()
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
