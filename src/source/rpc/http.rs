//! HTTP to one node: bounded, without redirects, over connections that are
//! kept. `ureq` speaks HTTP, and opens its connections with [`transport`].

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use super::connections::{Connections, MAX_IDLE_AGE, Purpose};
use super::credentials::Secret;
use crate::config::settings::{NodeAddress, ProxyAddress};
use crate::snapshot::{FailureKind, FetchFailure};
use crate::source::transport::socks::SocksError;
use crate::source::transport::tcp::{Bounded, is_quiet};
use crate::source::transport::{self, OpenError, Until};
use crate::source::{Bounds, Cancel};

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
    ) -> Result<HttpReply, FetchFailure> {
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
    ) -> Result<Result<HttpReply, ureq::Error>, FetchFailure> {
        if bounds.cancel.is_set() {
            return Err(FetchFailure::new(
                FailureKind::TimedOut,
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

    fn timed_out(&self) -> FetchFailure {
        FetchFailure::new(
            FailureKind::TimedOut,
            format!("the node at {} did not answer in time", self.address),
        )
    }

    /// What it means that there is no connection.
    fn unopened(&self, error: &OpenError) -> FetchFailure {
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
        FetchFailure::new(FailureKind::Unreachable, message)
    }

    fn failure(&self, error: &ureq::Error, bounds: &Bounds) -> FetchFailure {
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
                FailureKind::Unreachable,
                format!(
                    "the connection to the node at {address} failed: {}",
                    error.kind()
                ),
            ),
            Error::BodyExceedsLimit(_) | Error::LargeResponseHeader(..) => (
                FailureKind::BadReply,
                format!("the node at {address} sent an answer that is too long"),
            ),
            Error::BadUri(_) | Error::Http(_) => (
                FailureKind::Unreachable,
                format!("{address} is no address of a node"),
            ),
            _ => (
                FailureKind::BadReply,
                format!("the node at {address} did not answer in HTTP"),
            ),
        };
        FetchFailure::new(kind, message)
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

/// A time that is long enough where a request has no limit.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

/// What happened to the connection of one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Trace {
    /// It was opened for this request, or there was none.
    pub opened: bool,
    /// At least one byte of a reply came.
    pub answered: bool,
}

thread_local! {
    // A request runs from beginning to end on the thread that makes it, and
    // ureq reports neither in another way.
    static TRACE: Cell<Trace> = const { Cell::new(Trace { opened: false, answered: false }) };
}

impl Trace {
    /// Begins a new trace on this thread.
    pub fn begin() {
        TRACE.set(Self::default());
    }

    /// What happened on this thread since [`Trace::begin`].
    pub fn taken() -> Self {
        TRACE.get()
    }

    fn update(change: impl FnOnce(&mut Self)) {
        let mut trace = TRACE.get();
        change(&mut trace);
        TRACE.set(trace);
    }
}

/// Opens connections to one node in one way and no other, so that no proxy can
/// be slipped in, or omitted, through the environment.
#[derive(Debug)]
pub(super) struct NodeConnector {
    /// The node.
    pub node: NodeAddress,
    /// The proxy in front of it.
    pub proxy: Option<ProxyAddress>,
}

impl Connector<()> for NodeConnector {
    type Out = NodeTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        Trace::update(|trace| trace.opened = true);
        let tcp = within(details.timeout, |until| {
            transport::open(&self.node, self.proxy.as_ref(), until)
        })
        // Http::failure unwraps it.
        .map_err(|error| ureq::Error::Other(Box::new(error)))?;
        let buffers = LazyBuffers::new(
            details.config.input_buffer_size(),
            details.config.output_buffer_size(),
        );
        Ok(Some(NodeTransport { tcp, buffers }))
    }
}

/// Runs an operation with what is left of the request's time.
fn within<T>(timeout: NextTimeout, run: impl FnOnce(Until<'_>) -> T) -> T {
    let left = match timeout.after.is_not_happening() {
        true => FOREVER,
        false => *timeout.after,
    };
    run(Until {
        deadline: Instant::now() + left,
        cancel: &Cancel::new(),
    })
}

/// A TCP connection that notes when a reply begins.
#[derive(Debug)]
pub(super) struct NodeTransport {
    tcp: TcpStream,
    buffers: LazyBuffers,
}

impl Transport for NodeTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        let tcp = &self.tcp;
        within(timeout, |until| Bounded { tcp, until }.write_all(output))
            .map_err(|error| failure(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let input = self.buffers.input_append_buf();
        let tcp = &self.tcp;
        let count = within(timeout, |until| Bounded { tcp, until }.read(input))
            .map_err(|error| failure(error, timeout))?;
        self.buffers.input_appended(count);
        if count > 0 {
            Trace::update(|trace| trace.answered = true);
        }
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        is_quiet(&self.tcp)
    }
}

fn failure(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    match error.kind() {
        ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => ureq::Error::Io(error),
    }
}

/// Resolves nothing: the connector knows its node.
#[derive(Debug)]
pub(super) struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(
        &self,
        _: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}
