//! Connections to Electrum servers.
//!
//! The protocol is JSON-RPC 2.0, one object a line, over TCP or TLS. From the
//! bottom: `message` parses a line, `lines` cuts bytes into lines, `calls` matches
//! replies to requests, and `connection` lets several threads use one
//! [`Connection`] at once. This file opens connections: TCP, TLS with a server that
//! can prove who it is, and the first request.
//!
//! Most servers made their certificates themselves. Such a server is known by its
//! public key, which is pinned once connections for headers have seen it twice
//! (see [`Pins`]). Nothing else in its certificate counts, not even that it has
//! expired.
//!
//! Nothing here trusts a server. Lines, waiting times and memory are bounded, and
//! what breaks the protocol ends that connection and nothing else.

mod calls;
mod connection;
pub(super) mod lines;
pub(super) mod message;
#[cfg(test)]
pub(super) mod tests;

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rustls::{ClientConnection, RootCertStore};
use thiserror::Error;

pub use self::calls::HEADERS_SUBSCRIBE;
use self::connection::Link;
pub use self::connection::{Connection, Request};
use self::lines::Budget;
pub use self::lines::Purpose;
pub use self::message::{CallError, Protocol, Reply, ServerError};
use crate::config::settings::ProxyAddress;
use crate::source::Cancel;
use crate::source::electrum::pins::Pins;
use crate::source::electrum::servers::{Identity, Server, Standing};
use crate::source::transport::socks::SocksError;
use crate::source::transport::stream::Stream;
use crate::source::transport::tls::{self, KeyHash, Shown, Tls};
use crate::source::transport::{self, OpenError, StreamError, Until, lock};

/// The memory for long lines in the whole process, in bytes: this much on
/// connections for lookups, and as much again on those for headers.
const LINE_BUDGET: usize = 64 << 20;

/// The first request on each connection. Everybody sends the same client name,
/// without a version, so it reveals nothing to the server.
const GREETING: &str = r#"["ncprop279",["1.4","1.4.3"]]"#;

/// Opens connections, each through the proxy if there is one.
pub struct Dialer {
    proxy: Option<ProxyAddress>,
    pins: Arc<Pins>,
    tls: Tls,
    lookups: Shared,
    headers: Shared,
}

/// What the connections of one purpose share.
struct Shared {
    budget: Arc<Budget>,
    /// Bytes received, also on connections that have ended.
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
    /// Prepares; nothing is connected. The process needs only one dialer, whose
    /// connections share the memory for long lines.
    pub fn new(proxy: Option<ProxyAddress>, pins: Arc<Pins>) -> Self {
        let authorities = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        Self::with_authorities(proxy, pins, authorities)
    }

    /// Like [`Dialer::new`], with other authorities for certificates.
    pub(super) fn with_authorities(
        proxy: Option<ProxyAddress>,
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

    /// Connects to a server, begins TLS if the server uses it, and sends the first
    /// request.
    ///
    /// # Errors
    /// See [`DialError`]. This ends at `deadline` at the latest, however slow proxy
    /// and server are.
    pub fn dial(
        &self,
        server: &Server,
        purpose: Purpose,
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<Connection, DialError> {
        let until = Until { deadline, cancel };
        let tcp = transport::open(&server.address, self.proxy.as_ref(), until)
            .map_err(|error| self.unopened(error, server, until))?;
        let (session, proof) = if server.is_tls {
            let (session, proof) = self.agree(&tcp, server, purpose, until)?;
            (Some(session), proof)
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
            // Connections of one isolation id change nothing for others.
            _ => {}
        }
        Ok(link.into_connection(server.clone(), protocol))
    }

    /// The bytes received on all connections for headers.
    pub fn headers_received(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.headers.received)
    }

    /// Whether a server can prove who it is, as far as this dialer knows.
    pub fn trusts(&self, server: &Server) -> bool {
        !server.is_tls
            || server.address.is_onion()
            || server.identity.is_some()
            || self.pins.is_known(&server.address)
    }

    /// Begins TLS with a server, provided that it proves who it is.
    fn agree(
        &self,
        tcp: &TcpStream,
        target: &Server,
        purpose: Purpose,
        until: Until<'_>,
    ) -> Result<(ClientConnection, Proof), DialError> {
        let server = target.to_string();
        let rule = Rule::of(target, purpose, &self.pins);
        let verdict = Arc::new(Mutex::new(None));
        let judged = Arc::clone(&verdict);
        let trusts = move |shown: &Shown<'_>| {
            let verdict = rule.judge(shown);
            *lock(&judged) = Some(verdict);
            matches!(verdict, Verdict::Good(_))
        };
        let host = &target.address.host;
        let result = self.tls.handshake(tcp, host, trusts, until);
        let verdict = *lock(&verdict);
        match (result, verdict) {
            (Ok(session), Some(Verdict::Good(proof))) => Ok((session, proof)),
            (_, Some(Verdict::NotTrusted)) => Err(DialError::NotTrusted(server)),
            (_, Some(Verdict::Changed)) if target.identity.is_some() => {
                Err(DialError::OtherIdentity(server))
            }
            (_, Some(Verdict::Changed)) => Err(DialError::PinChanged(server)),
            (Err(error), _) if error.kind() != ErrorKind::InvalidData => {
                Err(DialError::lost(&error, server, until))
            }
            _ => Err(DialError::Tls(server)),
        }
    }

    /// Says in terms of the server why there is no connection.
    fn unopened(&self, error: OpenError, server: &Server, until: Until<'_>) -> DialError {
        let server = server.address.to_string();
        if let Some(error) = DialError::of_time(&server, until) {
            return error;
        }
        let proxy = self.proxy.as_ref().map(ToString::to_string);
        let proxy = proxy.unwrap_or_default();
        match error {
            OpenError::Target(error) => DialError::lost(&error, server, until),
            OpenError::Proxy(error) | OpenError::Socks(SocksError::Io(error)) => {
                DialError::Proxy(proxy, error.kind().to_string())
            }
            OpenError::Socks(SocksError::NotSocks) => DialError::NoProxy(proxy),
            OpenError::Socks(SocksError::NoCredentials | SocksError::RefusedCredentials) => {
                DialError::ProxyRefuses(proxy)
            }
            OpenError::Socks(SocksError::Unreachable(why)) => {
                DialError::Unreachable(server, why.to_owned())
            }
            OpenError::Socks(SocksError::NoRandomness) => DialError::Random,
        }
    }
}

/// Sends the first request and reads the version from its reply.
fn greet(link: &Link, server: &Server, until: Until<'_>) -> Result<Protocol, DialError> {
    let address = server.address.to_string();
    let reply = match link.call(Request::new("server.version", GREETING), until) {
        Ok(reply) => reply,
        Err(error) => return Err(ungreeted(error, address)),
    };
    let Reply::Result(result) = reply else {
        return Err(DialError::Version(address));
    };
    let Ok((_software, version)) = serde_json::from_str::<(String, String)>(result.get()) else {
        return Err(DialError::NotElectrum(address));
    };
    Protocol::parse(&version)
        .filter(|version| version.is_spoken())
        .ok_or(DialError::Version(address))
}

fn ungreeted(error: CallError, server: String) -> DialError {
    match error {
        CallError::TimedOut { .. } => DialError::TimedOut(server),
        CallError::Cancelled => DialError::Cancelled(server),
        CallError::Closed | CallError::Lost(_) | CallError::Memory => {
            DialError::Unreachable(server, format!("it {error}"))
        }
        CallError::Protocol(_) | CallError::Unanswered | CallError::Foreign => {
            DialError::NotElectrum(server)
        }
    }
}

/// How a server proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// By the pinned key, by what the bundled list says, or because it is an
    /// onion service.
    Known,
    /// An authority vouches for it.
    Authority,
    /// Not yet: its key must be noted.
    New(KeyHash),
}

/// How a server must prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// The address of an onion service is its key.
    Onion,
    /// By the pinned key, or by what the bundled list says, and by nothing else:
    /// an authority that vouches for another key may have been deceived.
    Known {
        pinned: Option<KeyHash>,
        listed: Option<Identity>,
    },
    /// By an authority; otherwise any key is accepted and noted.
    Learn,
    /// By an authority.
    Authority,
}

impl Rule {
    fn of(server: &Server, purpose: Purpose, pins: &Pins) -> Self {
        if server.address.is_onion() {
            return Self::Onion;
        }
        match (pins.confirmed(&server.address), server.identity, purpose) {
            (None, None, Purpose::Headers) => Self::Learn,
            (None, None, Purpose::Lookups) => Self::Authority,
            (pinned, listed, _) => Self::Known { pinned, listed },
        }
    }

    fn judge(&self, shown: &Shown<'_>) -> Verdict {
        match *self {
            Self::Onion => Verdict::Good(Proof::Known),
            Self::Known { pinned, listed } => {
                let is_listed = listed.is_some_and(|identity| match identity {
                    Identity::Key(hash) => hash == shown.key,
                    Identity::Certificate(hash) => hash == tls::hash(shown.certificate),
                });
                if is_listed || pinned == Some(shown.key) {
                    Verdict::Good(Proof::Known)
                } else {
                    Verdict::Changed
                }
            }
            Self::Learn | Self::Authority if (shown.is_vouched_for)() => {
                Verdict::Good(Proof::Authority)
            }
            Self::Learn => Verdict::Good(Proof::New(shown.key)),
            Self::Authority => Verdict::NotTrusted,
        }
    }
}

/// The judgement on a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good(Proof),
    NotTrusted,
    Changed,
}

/// Why a server could not be connected to. The first field is the address of the
/// proxy or server, the second says what went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DialError {
    /// There is no connection to the proxy.
    #[error("the proxy at {0} cannot be reached ({1}): is it running?")]
    Proxy(String, String),
    /// What answers at the proxy's address is not a proxy.
    #[error("what answers at {0} does not speak SOCKS5: is it Tor's SOCKS port?")]
    NoProxy(String),
    /// The proxy does not accept a user name and a password.
    #[error("the proxy at {0} refuses credentials, without which it cannot isolate")]
    ProxyRefuses(String),
    /// There is no connection to the server, or it was lost at once.
    #[error("the server at {0} cannot be reached: {1}")]
    Unreachable(String, String),
    /// TLS failed for another reason than trust.
    #[error(
        "the server at {0} and this program could not agree on TLS: is it t in the place of s?"
    )]
    Tls(String),
    /// No known authority signed the certificate, and it is not pinned.
    #[error(
        "the certificate of the server at {0} is neither signed by a known authority nor pinned"
    )]
    NotTrusted(String),
    /// The server shows a key other than the pinned one.
    #[error(
        "the server at {0} shows another key than the pinned one: somebody may be in between; \
         if its operator changed the key, delete the server's line in the file pins of the state directory"
    )]
    PinChanged(String),
    /// The server shows a key or certificate that differs from the bundled list.
    #[error(
        "the server at {0} shows another certificate than the one in the bundled list: \
         somebody may be in between; if its operator changed it, a newer version of this \
         program may know the new one"
    )]
    OtherIdentity(String),
    /// The server does not speak the Electrum protocol.
    #[error("the server at {0} does not speak the Electrum protocol")]
    NotElectrum(String),
    /// The server does not speak the protocol's versions 1.4 to 1.4.3.
    #[error("the server at {0} does not speak version 1.4 of the Electrum protocol")]
    Version(String),
    /// The time is up.
    #[error("there was no connection to the server at {0} in time")]
    TimedOut(String),
    /// Nobody wants the connection any more.
    #[error("the connection to the server at {0} is not wanted any more")]
    Cancelled(String),
    /// There is no randomness for credentials.
    #[error("the operating system has no random numbers")]
    Random,
}

impl DialError {
    /// Whether the server is to blame, rather than the proxy or this program.
    pub fn is_of_server(&self) -> bool {
        !matches!(
            self,
            Self::Proxy(..)
                | Self::NoProxy(_)
                | Self::ProxyRefuses(_)
                | Self::Cancelled(_)
                | Self::Random
        )
    }

    /// The error if the connection to the server was lost. Only the kind is shown:
    /// the text may come from anywhere.
    fn lost(error: &io::Error, server: String, until: Until<'_>) -> Self {
        Self::of_time(&server, until)
            .unwrap_or_else(|| Self::Unreachable(server, error.kind().to_string()))
    }

    /// The error if the time is up.
    fn of_time(server: &str, until: Until<'_>) -> Option<Self> {
        match until.left() {
            Ok(_) => None,
            Err(StreamError::Cancelled) => Some(Self::Cancelled(server.to_owned())),
            Err(_) => Some(Self::TimedOut(server.to_owned())),
        }
    }
}
