//! A connection to a server, used by several threads at once.

use std::fmt;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::calls::{Calls, PendingCalls, SentRequest, Turn};
use super::lines::{Budget, Lines, Purpose};
use super::message::{CallError, Protocol, Reply};
use crate::source::Cancel;
use crate::source::electrum::servers::Server;
use crate::source::transport::stream::Stream;
use crate::source::transport::{Until, lock};

/// How long writing requests may take. They are short and fit into a buffer of
/// the system, unless the server has not read for long.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long [`Connection::drain`] waits in each read. No system knows less.
const DRAIN_READ_TIMEOUT: Duration = Duration::from_millis(1);

/// How long [`Connection::drain`] reads while more keeps coming.
const DRAIN_LIMIT: Duration = Duration::from_millis(50);

/// A request. `Debug` shows the method only.
#[derive(Clone)]
pub struct Request {
    /// The name of the method.
    pub method: &'static str,
    /// The parameters: a JSON array on one line.
    pub params: String,
}

impl Request {
    /// A request with these parameters, a JSON array on one line.
    pub fn new(method: &'static str, params: impl Into<String>) -> Self {
        let params = params.into();
        Self { method, params }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({})", self.method)
    }
}

/// What sends requests and receives replies.
pub(super) struct Link {
    stream: Stream,
    calls: Arc<Calls>,
    lines: Mutex<Lines>,
    received: AtomicU64,
    /// Bytes that all connections of this purpose have received.
    traffic: Arc<AtomicU64>,
    purpose: Purpose,
}

/// A connection to a server. Dropping it closes it.
///
/// Threads may share it: each sends and receives for itself, and none waits for
/// another's reply or write longer than its own deadline and 2 s.
pub struct Connection {
    link: Link,
    server: Server,
    protocol: Protocol,
    pads: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({}, {})", self.server, self.protocol)
    }
}

impl Link {
    /// Nothing has been sent yet.
    pub fn new(
        stream: Stream,
        purpose: Purpose,
        budget: &Arc<Budget>,
        traffic: &Arc<AtomicU64>,
    ) -> Self {
        Self {
            stream,
            calls: Calls::new(purpose, budget),
            lines: Mutex::new(Lines::new(purpose.max_line(), budget)),
            received: AtomicU64::new(0),
            traffic: Arc::clone(traffic),
            purpose,
        }
    }

    /// A connection, once the server has said its version.
    pub fn into_connection(self, server: Server, protocol: Protocol) -> Connection {
        Connection {
            pads: self.calls.pads(),
            link: self,
            server,
            protocol,
        }
    }

    /// Sends one request and waits for its reply.
    ///
    /// # Errors
    /// As [`Connection::send`] and [`Connection::receive`].
    pub fn call(&self, request: Request, until: Until<'_>) -> Result<Reply, CallError> {
        let request = self.send(&[request])?.pop();
        // There is one for each request.
        let request = request.ok_or(CallError::Unanswered)?;
        self.wait(until, |pending| pending.take_reply(request.id()))
    }

    fn send(&self, requests: &[Request]) -> Result<Vec<SentRequest>, CallError> {
        // Ids go out in their order.
        let mut writer = self.stream.writer();
        let mut sent = Vec::with_capacity(requests.len());
        let mut text = String::new();
        for Request { method, params } in requests {
            let request = self.calls.open().map_err(|error| self.fail(error))?;
            let id = request.id();
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#
            );
            sent.push(request);
        }
        let until = Until {
            deadline: Instant::now() + WRITE_TIMEOUT,
            cancel: &Cancel::new(),
        };
        writer
            .write(text.as_bytes(), until)
            .map_err(|error| self.fail(error.into()))?;
        Ok(sent)
    }

    /// Waits until `find` finds something. Meanwhile it reads for all threads if no
    /// other does.
    fn wait<T>(
        &self,
        until: Until<'_>,
        mut find: impl FnMut(&mut PendingCalls) -> Option<T>,
    ) -> Result<T, CallError> {
        let before = self.received();
        let result = self.find(until, &mut find);
        match result {
            Err(CallError::TimedOut { .. }) => Err(CallError::TimedOut {
                is_silent: self.received() == before,
            }),
            result => result,
        }
    }

    fn find<T>(
        &self,
        until: Until<'_>,
        find: &mut impl FnMut(&mut PendingCalls) -> Option<T>,
    ) -> Result<T, CallError> {
        let _lead = match self.calls.turn(until, &mut *find)? {
            Turn::Found(found) => return Ok(found),
            Turn::Lead(lead) => lead,
        };
        loop {
            let read = self.read(until);
            // The end does not lose what came before it.
            if let Some(found) = find(&mut self.calls.pending()) {
                return Ok(found);
            }
            read?;
        }
    }

    /// Reads what comes next and delivers it. Only the leader may call it.
    fn read(&self, until: Until<'_>) -> Result<(), CallError> {
        let read = self.stream.read(until).map_err(CallError::from);
        let result = read.and_then(|bytes| {
            let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            self.received.fetch_add(count, Ordering::Relaxed);
            self.traffic.fetch_add(count, Ordering::Relaxed);
            let mut lines = lock(&self.lines);
            lines.push(&bytes, |line| self.calls.deliver(line))?;
            self.check_hoard(&lines)
        });
        result.map_err(|error| self.fail(error))
    }

    /// Refuses a long line on a connection for lookups while nobody waits for
    /// a reply: a server could hold the memory that all share for as long as
    /// it likes. On those for headers, servers announce new blocks unasked.
    fn check_hoard(&self, lines: &Lines) -> Result<(), CallError> {
        if self.purpose == Purpose::Lookups && lines.is_long() && !self.calls.is_awaited() {
            return Err(CallError::Protocol("a long line that nobody waits for"));
        }
        Ok(())
    }

    /// Ends the connection for all, unless it can go on after this error.
    fn fail(&self, error: CallError) -> CallError {
        if !error.is_fatal() {
            return error;
        }
        let first = self.calls.fail(error);
        self.stream.shut_down();
        first
    }

    fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Connection {
    /// The server at the other end.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The version that the server speaks on this connection.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether the server pads its replies. Such a server may delay short ones for
    /// up to a second.
    pub fn pads(&self) -> bool {
        self.pads
    }

    /// Bytes of replies and notifications received so far, without those of TLS.
    /// Servers count the same when they slow sessions down.
    pub fn received(&self) -> u64 {
        self.link.received()
    }

    /// Whether nothing has ended the connection so far. Only reading notices that
    /// the server has closed it ([`Connection::drain`]).
    pub fn is_alive(&self) -> bool {
        self.link.calls.failure().is_none()
    }

    /// Ends the connection and every wait on it.
    pub fn close(&self) {
        self.link.fail(CallError::Closed);
    }

    /// Sends requests in one write, so that their replies take one round trip.
    /// Returns them in their order.
    ///
    /// # Errors
    /// The connection has ended, with this or before.
    pub fn send(&self, requests: &[Request]) -> Result<Vec<SentRequest>, CallError> {
        self.link.send(requests)
    }

    /// Waits for the reply to a request. A reply that came before the end of
    /// the connection can still be received.
    ///
    /// # Errors
    /// [`CallError::TimedOut`] and [`CallError::Cancelled`] leave the
    /// connection to the others; the reply is discarded when it comes.
    /// [`CallError::Foreign`]: the request was sent on another connection. Every
    /// other error has ended the connection.
    pub fn receive(
        &self,
        request: SentRequest,
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<Reply, CallError> {
        if !request.is_of(&self.link.calls) {
            return Err(CallError::Foreign);
        }
        self.link.wait(Until { deadline, cancel }, |pending| {
            pending.take_reply(request.id())
        })
    }

    /// Sends one request and waits for its reply.
    ///
    /// # Errors
    /// As [`Connection::send`] and [`Connection::receive`].
    pub fn call(
        &self,
        request: Request,
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<Reply, CallError> {
        self.link.call(request, Until { deadline, cancel })
    }

    /// Takes the parameters of the newest notification of a new block, unless they
    /// were taken before.
    pub fn news(&self) -> Option<Box<RawValue>> {
        self.link.calls.pending().take_notification()
    }

    /// Sends a ping, whose reply is discarded when it comes.
    ///
    /// # Errors
    /// The connection has ended, with this or before.
    pub fn ping(&self) -> Result<(), CallError> {
        self.send(&[Request::new("server.ping", "[]")]).map(drop)
    }

    /// Reads what has come, without waiting for more. If another thread reads, it
    /// does nothing.
    ///
    /// Call it now and then on a connection that nobody waits on: servers
    /// end connections whose replies stay unread for 20 s.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn drain(&self) -> Result<(), CallError> {
        let calls = &self.link.calls;
        if let Some(error) = calls.failure() {
            return Err(error);
        }
        let Some(_lead) = calls.try_lead() else {
            return Ok(());
        };
        let end = Instant::now() + DRAIN_LIMIT;
        let cancel = &Cancel::new();
        while Instant::now() < end {
            let deadline = Instant::now() + DRAIN_READ_TIMEOUT;
            match self.link.read(Until { deadline, cancel }) {
                Ok(()) => {}
                Err(CallError::TimedOut { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
