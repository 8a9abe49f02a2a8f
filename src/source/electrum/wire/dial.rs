//! How connections are opened: proxy, TLS, and the first request.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use rustls::RootCertStore;

use super::super::protocol::Protocol;
use super::Purpose;
use super::budget::Budget;
use super::connection::{Connection, Link, Request};
use super::error::{CallError, DialError};
use super::message::Reply;
use super::stream::Stream;
use super::tcp::{self, Bounded, Until};
use super::tls::{Proof, Tls};
use crate::config::settings::NodeAddress;
use crate::source::electrum::pins::Pins;
use crate::source::electrum::servers::{Server, Standing};
use crate::source::{Cancel, socks};

/// The memory that long lines may take in the whole process, in octets: so
/// much on connections for lookups, and as much on those for headers.
const LINE_BUDGET: usize = 64 << 20;

/// The first request on each connection. The client's name is the same for
/// everybody and without a version, so it tells the server nothing.
const GREETING: &str = r#"["ncprop279",["1.4","1.4.3"]]"#;

/// Opens connections, each through the proxy if there is one.
pub struct Dialer {
    proxy: Option<NodeAddress>,
    pins: Arc<Pins>,
    tls: Tls,
    lookups: Shared,
    headers: Shared,
}

/// What the connections of one purpose share.
struct Shared {
    budget: Arc<Budget>,
    /// Bytes that came in, over connections that have ended too.
    received: Arc<AtomicU64>,
}

impl Shared {
    fn new() -> Self {
        Self {
            budget: Budget::new(LINE_BUDGET),
            received: Arc::default(),
        }
    }
}

impl Dialer {
    /// Prepares; nothing is connected. One dialer serves the process, as its
    /// connections share the memory for long lines.
    pub fn new(proxy: Option<NodeAddress>, pins: Arc<Pins>) -> Self {
        let authorities = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        Self::with_authorities(proxy, pins, authorities)
    }

    /// Like [`Dialer::new`], with other authorities for certificates.
    pub(super) fn with_authorities(
        proxy: Option<NodeAddress>,
        pins: Arc<Pins>,
        authorities: RootCertStore,
    ) -> Self {
        Self {
            proxy,
            pins,
            tls: Tls::new(authorities),
            lookups: Shared::new(),
            headers: Shared::new(),
        }
    }

    /// Connects to a server, agrees on TLS if it speaks that, and greets it.
    ///
    /// # Errors
    /// See [`DialError`]. All of it ends at `deadline` at the latest, however
    /// slowly proxy and server speak.
    pub fn dial(
        &self,
        server: &Server,
        purpose: Purpose,
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<Connection, DialError> {
        let until = Until { deadline, cancel };
        let tcp = self.connect(&server.address, until)?;
        let (session, proof) = if server.is_tls {
            let made = self
                .tls
                .handshake(&tcp, server, purpose, &self.pins, until)?;
            (Some(made.session), made.proof)
        } else {
            (None, Proof::Known)
        };
        let Shared { budget, received } = match purpose {
            Purpose::Lookups => &self.lookups,
            Purpose::Headers => &self.headers,
        };
        let link = Link::new(Stream::new(tcp, session), purpose, budget, received);
        let protocol = greet(&link, server, until)?;
        match (proof, purpose) {
            (Proof::New(key), Purpose::Headers) => {
                let is_kept = server.standing != Standing::Discovered;
                self.pins.sight(&server.address, key, is_kept);
            }
            (Proof::Authority, Purpose::Headers) => self.pins.vouch(&server.address),
            // An id's connections change nothing for other ids.
            _ => {}
        }
        Ok(link.into_connection(server.clone(), protocol))
    }

    /// The bytes that have come in on connections for headers.
    pub fn headers_received(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.headers.received)
    }

    /// Whether a server can prove who it is, as far as is known.
    pub fn trusts(&self, server: &Server) -> bool {
        !server.is_tls
            || server.address.is_onion()
            || server.identity.is_some()
            || self.pins.is_known(&server.address)
    }

    /// The way to a server as far as TCP goes.
    fn connect(&self, server: &NodeAddress, until: Until<'_>) -> Result<TcpStream, DialError> {
        let Some(proxy) = &self.proxy else {
            return tcp::connect(server, until)
                .map_err(|error| DialError::lost(&error, server.to_string(), until));
        };
        let tcp = tcp::connect(proxy, until).map_err(|error| {
            DialError::of_time(server.to_string(), until).unwrap_or_else(|| DialError::Proxy {
                proxy: proxy.to_string(),
                why: error.kind().to_string(),
            })
        })?;
        let random = || socks::random().map_err(|_| DialError::Random);
        let mut stream = Bounded { tcp: &tcp, until };
        socks::handshake(&mut stream, server, &random()?, &random()?)
            .map_err(|error| refused(&error, proxy, server, until))?;
        Ok(tcp)
    }
}

/// What it means that the handshake with the proxy failed.
fn refused(
    error: &io::Error,
    proxy: &NodeAddress,
    server: &NodeAddress,
    until: Until<'_>,
) -> DialError {
    let server = server.to_string();
    if let Some(error) = DialError::of_time(server.clone(), until) {
        return error;
    }
    let proxy = proxy.to_string();
    match error.kind() {
        ErrorKind::PermissionDenied => DialError::ProxyRefuses { proxy },
        // The text is one of a few constants.
        ErrorKind::HostUnreachable => DialError::Unreachable {
            server,
            why: error.to_string(),
        },
        ErrorKind::InvalidData => DialError::NoProxy { proxy },
        kind => DialError::Proxy {
            proxy,
            why: kind.to_string(),
        },
    }
}

/// Sends the first request and takes the version from its reply.
fn greet(link: &Link, server: &Server, until: Until<'_>) -> Result<Protocol, DialError> {
    let address = server.address.to_string();
    let reply = match link.call(Request::new("server.version", GREETING), until) {
        Ok(reply) => reply,
        Err(error) => return Err(ungreeted(error, address)),
    };
    let Reply::Result(result) = reply else {
        return Err(DialError::Version { server: address });
    };
    let Ok((_software, version)) = serde_json::from_str::<(String, String)>(result.get()) else {
        return Err(DialError::NotElectrum { server: address });
    };
    Protocol::parse(&version)
        .filter(|version| version.is_spoken())
        .ok_or(DialError::Version { server: address })
}

fn ungreeted(error: CallError, server: String) -> DialError {
    match error {
        CallError::TimedOut { .. } => DialError::TimedOut { server },
        CallError::Cancelled => DialError::Cancelled { server },
        CallError::Closed | CallError::Lost(_) | CallError::Memory => DialError::Unreachable {
            server,
            why: format!("it {error}"),
        },
        CallError::Protocol(_) | CallError::Unanswered | CallError::Foreign => {
            DialError::NotElectrum { server }
        }
    }
}

impl DialError {
    /// What an error on the way to the server means.
    pub(super) fn lost(error: &io::Error, server: String, until: Until<'_>) -> Self {
        if let Some(error) = Self::of_time(server.clone(), until) {
            return error;
        }
        // Only the kind is shown: the text may come from anywhere.
        let why = error.kind().to_string();
        Self::Unreachable { server, why }
    }

    /// The error if the time is up.
    fn of_time(server: String, until: Until<'_>) -> Option<Self> {
        match until.left() {
            Ok(_) => None,
            Err(CallError::Cancelled) => Some(Self::Cancelled { server }),
            Err(_) => Some(Self::TimedOut { server }),
        }
    }
}
