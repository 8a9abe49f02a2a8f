//! How connections to a node are opened, and what became of the last one.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Instant;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, NextTimeout, TcpConnector, Transport, TransportAdapter,
};

use crate::config::settings::NodeAddress;
use crate::source::socks::{handshake, random};

/// What one request did to its connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Trace {
    /// The connection was opened for this request, or there was none.
    pub opened: bool,
    /// At least one byte of an answer came.
    pub answered: bool,
    /// The way to the node ended at the proxy.
    pub at_proxy: bool,
}

thread_local! {
    // A request runs from beginning to end on the thread that makes it, and
    // ureq tells neither of the two in another way.
    static TRACE: Cell<Trace> = const {
        Cell::new(Trace { opened: false, answered: false, at_proxy: false })
    };
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

/// Opens connections in one way and no other, so that no proxy can be slipped
/// in, or left out, through the environment.
#[derive(Debug)]
pub(super) enum NodeConnector {
    /// TCP to the node itself.
    Direct(TcpConnector),
    /// Through a SOCKS5 proxy to this node, with new credentials for each
    /// connection. The resolver gives the proxy's addresses.
    Proxied(TcpConnector, NodeAddress),
}

impl Connector<()> for NodeConnector {
    type Out = NodeTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        Trace::update(|trace| trace.opened = true);
        let begun = Instant::now();
        let transport: Option<Box<dyn Transport>> = match self {
            Self::Direct(tcp) => tcp.connect(details, chained)?.map(boxed),
            Self::Proxied(tcp, node) => {
                Trace::update(|trace| trace.at_proxy = true);
                let transport = match tcp.connect(details, chained)? {
                    Some(transport) => Some(through(transport, node, details, begun)?),
                    None => None,
                };
                Trace::update(|trace| trace.at_proxy = false);
                transport
            }
        };
        Ok(transport.map(NodeTransport))
    }
}

fn boxed(transport: impl Transport + 'static) -> Box<dyn Transport> {
    Box::new(transport)
}

/// Goes on through a proxy, with credentials made for this connection. What the
/// connecting since `begun` left of the request's time is the handshake's, in
/// each of its reads and writes.
fn through(
    transport: impl Transport + 'static,
    node: &NodeAddress,
    details: &ConnectionDetails<'_>,
    begun: Instant,
) -> Result<Box<dyn Transport>, ureq::Error> {
    let mut stream = TransportAdapter::new(transport, details.current_time.clone());
    let mut timeout = details.timeout;
    if !timeout.after.is_not_happening() {
        timeout.after = timeout.after.saturating_sub(begun.elapsed()).into();
    }
    stream.set_timeout(timeout);
    handshake(&mut stream, node, &random()?, &random()?)?;
    Ok(boxed(stream.into_inner()))
}

/// A TCP connection that notes when an answer begins.
#[derive(Debug)]
pub(super) struct NodeTransport(Box<dyn Transport>);

impl Transport for NodeTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let progress = self.0.await_input(timeout)?;
        if !self.0.buffers().input().is_empty() {
            Trace::update(|trace| trace.answered = true);
        }
        Ok(progress)
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}

/// Finds the addresses of one host: the node, or the proxy before it. DNS is
/// asked only for a host name that is not `localhost`.
#[derive(Debug)]
pub(super) struct NodeResolver {
    /// Addresses that are known without asking anybody.
    known: Vec<SocketAddr>,
    dns: DefaultResolver,
}

impl NodeResolver {
    /// A resolver for the node at `address`.
    pub fn new(address: &NodeAddress) -> Self {
        Self {
            known: address.known(),
            dns: DefaultResolver::default(),
        }
    }
}

impl Resolver for NodeResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        if self.known.is_empty() {
            return self.dns.resolve(uri, config, timeout);
        }
        let mut addresses = self.empty();
        for address in &self.known {
            addresses.push(*address);
        }
        Ok(addresses)
    }
}
