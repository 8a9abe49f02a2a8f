//! One HTTP exchange with the node.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::config::settings::NodeAddress;
use crate::snapshot::{FailureKind, FetchFailure};

use super::super::Limit;
use super::credentials::Authorization;
use super::reply::Reply;

/// The longest reply that is read, in octets. A value has at most 1,023.
const MAX_REPLY: u64 = 1 << 20;

/// The longest reply header, in octets.
const MAX_HEADER: usize = 16 * 1024;

/// How long a connection is kept for the next request. Namecoin Core closes
/// idle ones after 30 seconds, Electrum-NMC after 75.
const MAX_IDLE: Duration = Duration::from_secs(25);

/// Idle connections kept: as many as fetches can be under way.
const MAX_CONNECTIONS: usize = 64;

/// The node's address and the connections to it.
pub struct Http {
    agent: Agent,
    address: NodeAddress,
    url: String,
}

impl Http {
    /// Connections to the node at `address`, opened when they are needed.
    pub fn new(address: &NodeAddress) -> Self {
        let config = Config::builder()
            // Never what the environment says.
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent("ncprop279")
            .accept("application/json")
            .max_response_header_size(MAX_HEADER)
            .input_buffer_size(MAX_HEADER)
            .output_buffer_size(4 * 1024)
            .max_idle_connections(MAX_CONNECTIONS)
            .max_idle_connections_per_host(MAX_CONNECTIONS)
            .max_idle_age(MAX_IDLE)
            .no_delay(true)
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), NodeResolver::default());
        Self {
            agent,
            address: address.clone(),
            url: format!("http://{address}/"),
        }
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
        limit: &Limit,
    ) -> Result<Reply, FetchFailure> {
        match self.exchange(body, authorization, limit) {
            Err(Broken::Connection(_)) => self.exchange(body, authorization, limit),
            result => result,
        }
        .map_err(|broken| self.failure(broken))
    }

    fn exchange(
        &self,
        body: &str,
        authorization: &Authorization,
        limit: &Limit,
    ) -> Result<Reply, Broken> {
        let left = limit.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || limit.cancel.is_set() {
            return Err(Broken::Time);
        }
        let mut response = self
            .agent
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

/// Finds the node's addresses. Literals and `localhost` are never asked of
/// DNS.
#[derive(Default)]
struct NodeResolver {
    names: DefaultResolver,
}

impl fmt::Debug for NodeResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeResolver")
    }
}

impl Resolver for NodeResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let loopback = [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ];
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) if host.eq_ignore_ascii_case("localhost") => loopback.to_vec(),
            Err(_) => return self.names.resolve(uri, config, timeout),
        };
        let port = uri.port_u16().unwrap_or(80);
        let mut resolved = self.empty();
        for address in addresses {
            resolved.push(SocketAddr::new(address, port));
        }
        Ok(resolved)
    }
}
