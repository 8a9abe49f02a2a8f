//! HTTP to one node: bounded, without redirects, over connections that are
//! kept. `ureq` speaks HTTP, and opens its connections with [`transport`].

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE};

use super::connections::{Connections, MAX_IDLE_AGE, Purpose, Trace};
use super::credentials::Secret;
use crate::config::settings::{NodeAddress, ProxyAddress};
use crate::snapshot::{FetchError, FetchErrorKind};
use crate::source::Bounds;
use crate::source::transport::OpenError;
use crate::source::transport::socks::SocksError;

/// The longest body of a reply that is read, in bytes.
const MAX_BODY: u64 = 1 << 20;

/// A reply, whatever its status.
#[derive(Debug)]
pub(super) struct HttpReply {
    /// The HTTP status code.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
}

/// An HTTP client for one node.
#[derive(Debug)]
pub(super) struct Http {
    connections: Connections,
    url: String,
    address: Arc<str>,
    proxy: Option<Arc<str>>,
}

impl Http {
    /// Prepares; nothing is connected or resolved.
    pub fn new(address: &NodeAddress, proxy: Option<&ProxyAddress>) -> Self {
        Self {
            connections: Connections::new(address, proxy),
            url: format!("http://{address}/"),
            address: address.to_string().into(),
            proxy: proxy.map(|proxy| proxy.to_string().into()),
        }
    }

    /// The connections, for closing them.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// The node's address, for messages.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends one request and reads the whole reply.
    ///
    /// If a kept connection turns out to be closed before any of the reply came,
    /// the request is repeated once on a new connection. `name_show` changes
    /// nothing, so it does no harm if the node has seen the first request.
    ///
    /// # Errors
    /// There is no connection, no reply before the deadline, one that is too
    /// long or not HTTP, or nobody waits for it any more.
    pub fn post(
        &self,
        secret: &Secret,
        body: &str,
        purpose: &Purpose,
        bounds: &Bounds,
    ) -> Result<HttpReply, FetchError> {
        match self.attempt(secret, body, purpose, bounds, MAX_IDLE_AGE)? {
            Ok(reply) => Ok(reply),
            Err(error) if was_closed_while_idle(&error, Trace::taken()) => {
                // The other kept connections are probably closed as well. An
                // age of zero drops them all and opens a new one.
                self.attempt(secret, body, purpose, bounds, Duration::ZERO)?
                    .map_err(|error| self.failure(&error, bounds))
            }
            Err(error) => Err(self.failure(&error, bounds)),
        }
    }

    fn attempt(
        &self,
        secret: &Secret,
        body: &str,
        purpose: &Purpose,
        bounds: &Bounds,
        max_idle_age: Duration,
    ) -> Result<Result<HttpReply, ureq::Error>, FetchError> {
        if bounds.cancel.is_set() {
            return Err(FetchError::new(
                FetchErrorKind::TimedOut,
                "nobody waits for the answer any more",
            ));
        }
        let left = bounds.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.timed_out());
        }
        Trace::begin();
        let carrier = self.connections.borrow(purpose);
        let reply = carrier
            .agent
            .post(&self.url)
            .config()
            .timeout_global(Some(left))
            .max_idle_age(max_idle_age)
            .build()
            .header(AUTHORIZATION, secret.header())
            .header(CONTENT_TYPE, "application/json")
            .send(body)
            .and_then(|mut reply| {
                let status = reply.status().as_u16();
                let body = reply
                    .body_mut()
                    .with_config()
                    .limit(MAX_BODY)
                    .read_to_vec()?;
                Ok(HttpReply { status, body })
            });
        self.connections.give_back(purpose, carrier);
        Ok(reply)
    }

    fn timed_out(&self) -> FetchError {
        FetchError::new(
            FetchErrorKind::TimedOut,
            format!("the node at {} did not answer in time", self.address),
        )
    }

    /// What it means that there is no connection.
    fn unopened(&self, error: &OpenError) -> FetchError {
        let address = &self.address;
        let proxy = self.proxy.as_deref().unwrap_or_default();
        let message = match error {
            OpenError::Target(error) => match error.kind() {
                ErrorKind::TimedOut => return self.timed_out(),
                ErrorKind::ConnectionRefused => format!(
                    "the node at {address} refuses connections: is it running, with its RPC server on this port?"
                ),
                ErrorKind::NotFound => {
                    format!("the host of the node at {address} cannot be found")
                }
                kind => format!("the connection to the node at {address} failed: {kind}"),
            },
            OpenError::Proxy(error) | OpenError::Socks(SocksError::Io(error)) => {
                match error.kind() {
                    ErrorKind::TimedOut => return self.timed_out(),
                    ErrorKind::ConnectionRefused => format!(
                        "the proxy at {proxy} refuses connections: is Tor running, with its SOCKS port there?"
                    ),
                    kind => format!("the connection to the proxy at {proxy} failed: {kind}"),
                }
            }
            OpenError::Socks(error) => {
                format!("the node at {address} was not reached through {proxy}: {error}")
            }
        };
        FetchError::new(FetchErrorKind::Unreachable, message)
    }

    fn failure(&self, error: &ureq::Error, bounds: &Bounds) -> FetchError {
        use ureq::Error;
        let address = &self.address;
        if let Error::Other(error) = error
            && let Some(error) = error.downcast_ref()
            && Instant::now() < bounds.deadline
        {
            return self.unopened(error);
        }
        let (kind, message) = match error {
            Error::Timeout(_) => return self.timed_out(),
            _ if Instant::now() >= bounds.deadline => return self.timed_out(),
            // Only the kind is shown: the text may come from anywhere.
            Error::Io(error) => (
                FetchErrorKind::Unreachable,
                format!(
                    "the connection to the node at {address} failed: {}",
                    error.kind()
                ),
            ),
            Error::BodyExceedsLimit(_) | Error::LargeResponseHeader(..) => (
                FetchErrorKind::BadReply,
                format!("the node at {address} sent an answer that is too long"),
            ),
            Error::BadUri(_) | Error::Http(_) => (
                FetchErrorKind::Unreachable,
                format!("{address} is no address of a node"),
            ),
            _ => (
                FetchErrorKind::BadReply,
                format!("the node at {address} did not answer in HTTP"),
            ),
        };
        FetchError::new(kind, message)
    }
}

/// Whether a request failed only because the node had closed the kept
/// connection that it was sent on.
fn was_closed_while_idle(error: &ureq::Error, trace: Trace) -> bool {
    let ureq::Error::Io(error) = error else {
        return false;
    };
    !trace.opened
        && !trace.answered
        && matches!(
            error.kind(),
            ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::NotConnected
        )
}
