//! One HTTP exchange with the node.

use std::time::Instant;

use crate::config::settings::NodeAddress;
use crate::isolation::IsolationId;
use crate::snapshot::{FailureKind, FetchFailure};

use super::super::Limit;
use super::connections::Connections;
use super::credentials::Authorization;
use super::reply::Reply;

/// The longest reply that is read, in octets. A value has at most 1,023.
const MAX_REPLY: u64 = 1 << 20;

/// The node's address and the connections to it.
pub struct Http {
    connections: Connections,
    address: NodeAddress,
    url: String,
}

impl Http {
    /// Connections to the node at `address`, opened when they are needed.
    pub fn new(address: &NodeAddress, proxy: Option<&NodeAddress>) -> Self {
        Self {
            connections: Connections::new(proxy),
            address: address.clone(),
            url: format!("http://{address}/"),
        }
    }

    /// Closes the connections of an isolation id.
    pub fn forget(&self, isolation: &IsolationId) {
        self.connections.forget(isolation);
    }

    /// Closes the connections of isolation ids that have been idle for long.
    pub fn tidy(&self) {
        self.connections.tidy(Instant::now());
    }

    /// Where the node is, for messages.
    pub fn address(&self) -> &NodeAddress {
        &self.address
    }

    /// Posts a body and reads the reply, whatever its status.
    ///
    /// A connection that breaks before a reply is replaced once: the node may
    /// have closed a kept one just when it was used again, and asking for a
    /// name twice does no harm.
    pub fn post(
        &self,
        body: &str,
        authorization: &Authorization,
        isolation: &IsolationId,
        limit: &Limit,
    ) -> Result<Reply, FetchFailure> {
        match self.exchange(body, authorization, isolation, limit) {
            Err(Broken::Connection(_)) => self.exchange(body, authorization, isolation, limit),
            result => result,
        }
        .map_err(|broken| self.failure(broken))
    }

    fn exchange(
        &self,
        body: &str,
        authorization: &Authorization,
        isolation: &IsolationId,
        limit: &Limit,
    ) -> Result<Reply, Broken> {
        let left = limit.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || limit.cancel.is_set() {
            return Err(Broken::Time);
        }
        let agent = self.connections.of(isolation, Instant::now());
        let mut response = agent
            .post(&self.url)
            .config()
            .timeout_global(Some(left))
            .build()
            .header("Content-Type", "application/json")
            .header("Authorization", authorization.header())
            .send(body)?;
        let status = response.status().as_u16();
        let body = response
            .body_mut()
            .with_config()
            .limit(MAX_REPLY)
            .read_to_vec()?;
        Ok(Reply { status, body })
    }

    fn failure(&self, broken: Broken) -> FetchFailure {
        let address = &self.address;
        match broken {
            Broken::Time => FetchFailure::new(
                FailureKind::TimedOut,
                format!("the node at {address} did not answer in time"),
            ),
            Broken::Refused => FetchFailure::new(
                FailureKind::Unreachable,
                format!("the node at {address} refused the connection; is it running?"),
            ),
            Broken::Connection(why) => FetchFailure::new(
                FailureKind::Unreachable,
                format!("the connection to the node at {address} failed: {why}"),
            ),
            Broken::Reply(why) => FetchFailure::new(
                FailureKind::BadReply,
                format!("the reply of the node at {address} makes no sense: {why}"),
            ),
        }
    }
}

/// How an exchange went wrong.
enum Broken {
    Time,
    Refused,
    Connection(&'static str),
    Reply(&'static str),
}

impl From<ureq::Error> for Broken {
    // Messages are made of fixed words: an error may quote what was sent.
    fn from(error: ureq::Error) -> Self {
        use std::io::ErrorKind;
        match error {
            ureq::Error::Timeout(_) => Self::Time,
            ureq::Error::HostNotFound => Self::Connection("its host name is unknown"),
            ureq::Error::ConnectionFailed => Self::Connection("no address of it answers"),
            ureq::Error::BodyExceedsLimit(_) => Self::Reply("it is longer than 1 MiB"),
            ureq::Error::LargeResponseHeader(..) => Self::Reply("its header is too long"),
            ureq::Error::Io(error) => match error.kind() {
                ErrorKind::ConnectionRefused => Self::Refused,
                ErrorKind::TimedOut => Self::Time,
                ErrorKind::UnexpectedEof => Self::Connection("it was closed"),
                ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe => Self::Connection("it was reset"),
                ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                    Self::Connection("there is no way to it")
                }
                ErrorKind::InvalidData => Self::Reply("it is no HTTP"),
                _ => Self::Connection("an input or output error"),
            },
            _ => Self::Reply("it is no HTTP"),
        }
    }
}
