//! How `ureq` reaches a node: over the connections that all sources use
//! ([`transport`]), and what became of the last one.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use crate::config::settings::NodeAddress;
use crate::source::Cancel;
use crate::source::transport::tcp::{Bounded, is_quiet};
use crate::source::transport::{self, Until};

/// A time that is long enough where a request has no limit.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

/// What one request did to its connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Trace {
    /// The connection was opened for this request, or there was none.
    pub opened: bool,
    /// At least one byte of an answer came.
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
    pub proxy: Option<NodeAddress>,
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
        // Http takes it out again.
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

/// A TCP connection that notes when an answer begins.
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
