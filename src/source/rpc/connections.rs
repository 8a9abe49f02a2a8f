//! Connections to the node: shared by all on the loopback interface, and each
//! isolation id's own through a proxy.
//!
//! A proxy such as Tor's puts connections with different credentials on
//! different circuits. Each connection gets a fresh random pair, so that no
//! two share a circuit and nothing in the pair tells whose it is. The SOCKS5
//! handshake counts against the time limit of the request that opens the
//! connection, in each of its reads and writes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use lru::LruCache;
use rand::TryRng;
use rand::rngs::SysRng;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, DefaultConnector, NextTimeout, SocksConnector, Transport,
};
use ureq::{Agent, Proxy, ProxyProtocol};

use crate::config::settings::NodeAddress;
use crate::isolation::IsolationId;

/// The longest reply header, in octets.
const MAX_HEADER: usize = 16 * 1024;

/// How long a connection is kept for the next request. Namecoin Core closes
/// idle ones after 30 seconds, Electrum-NMC after 75.
const MAX_IDLE: Duration = Duration::from_secs(25);

/// Idle connections kept to a node on the loopback interface: as many as
/// fetches can be under way.
const MAX_SHARED: usize = 64;

/// Idle connections kept for one isolation id through a proxy.
const MAX_OWN: usize = 2;

/// Isolation ids that keep connections through a proxy. With two connections
/// each, and 128 fetches under way, they stay below 256, the smallest usual
/// limit of open files.
const MAX_ISOLATIONS: usize = 60;

/// How long an isolation id keeps its connections without a request.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// The connections to one node.
pub enum Connections {
    /// Straight to it.
    Direct(Agent),
    /// Through a proxy.
    Proxied {
        /// The proxy.
        proxy: NodeAddress,
        /// The connections of each isolation id and when they were last used.
        agents: Mutex<Agents>,
    },
}

type Agents = LruCache<IsolationId, (Agent, Instant)>;

impl Connections {
    /// Nothing is opened yet.
    pub fn new(proxy: Option<&NodeAddress>) -> Self {
        match proxy {
            None => Self::Direct(Agent::with_parts(
                config(None, MAX_SHARED),
                DefaultConnector::default(),
                NodeResolver::default(),
            )),
            Some(proxy) => Self::Proxied {
                proxy: proxy.clone(),
                agents: Mutex::new(LruCache::unbounded()),
            },
        }
    }

    /// What carries the requests of an isolation id.
    pub fn of(&self, isolation: &IsolationId, now: Instant) -> Agent {
        match self {
            Self::Direct(agent) => agent.clone(),
            Self::Proxied { proxy, agents } => {
                let mut agents = lock(agents);
                let (agent, used) =
                    agents.get_or_insert_mut(isolation.clone(), || (isolated(proxy), now));
                *used = now;
                let agent = agent.clone();
                if agents.len() > MAX_ISOLATIONS {
                    // Requests under way hold their agent and end undisturbed.
                    agents.pop_lru();
                }
                agent
            }
        }
    }

    /// Closes the connections of an isolation id, those under way too.
    pub fn forget(&self, isolation: &IsolationId) {
        if let Self::Proxied { agents, .. } = self
            && let Some((agent, _)) = lock(agents).pop(isolation)
        {
            agent.shutdown();
        }
    }

    /// Closes the connections of isolation ids that have been idle for long.
    pub fn tidy(&self, now: Instant) {
        let Self::Proxied { agents, .. } = self else {
            return;
        };
        let mut agents = lock(agents);
        while let Some((_, (_, used))) = agents.peek_lru() {
            if now.saturating_duration_since(*used) < FORGOTTEN_AFTER {
                return;
            }
            agents.pop_lru();
        }
    }
}

fn lock(agents: &Mutex<Agents>) -> MutexGuard<'_, Agents> {
    agents.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An agent of one isolation id.
fn isolated(proxy: &NodeAddress) -> Agent {
    let connector = FreshCredentials {
        proxy: proxy.clone(),
        socks: SocksConnector::default(),
    };
    // This proxy has no credentials and is never connected to: it makes the
    // agent leave the node's name to the connector.
    let config = config(socks(proxy, None), MAX_OWN);
    Agent::with_parts(config, connector, NodeResolver::default())
}

/// The settings of an agent. `proxy` is all that decides on a proxy: the
/// environment has no say.
fn config(proxy: Option<Proxy>, idle: usize) -> Config {
    Config::builder()
        .proxy(proxy)
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent("ncprop279")
        .accept("application/json")
        .max_response_header_size(MAX_HEADER)
        .input_buffer_size(MAX_HEADER)
        .output_buffer_size(4 * 1024)
        .max_idle_connections(idle)
        .max_idle_connections_per_host(idle)
        .max_idle_age(MAX_IDLE)
        .no_delay(true)
        .build()
}

/// A SOCKS5 proxy that resolves names itself, with credentials for one
/// connection.
fn socks(proxy: &NodeAddress, credentials: Option<&(String, String)>) -> Option<Proxy> {
    let mut builder = Proxy::builder(ProxyProtocol::Socks5)
        .host(&bracketed(&proxy.host))
        .port(proxy.port)
        .resolve_target(false);
    if let Some((user, password)) = credentials {
        builder = builder.username(user).password(password);
    }
    builder.build().ok()
}

fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// Opens each connection through the proxy with credentials of its own.
struct FreshCredentials {
    proxy: NodeAddress,
    socks: SocksConnector,
}

impl fmt::Debug for FreshCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FreshCredentials")
    }
}

/// 128 bits from the operating system, in hexadecimal.
fn random() -> Result<String, ureq::Error> {
    let mut octets = [0; 16];
    SysRng.try_fill_bytes(&mut octets).map_err(|_| {
        ureq::Error::Io(std::io::Error::other(
            "the operating system has no random numbers",
        ))
    })?;
    Ok(HEXLOWER.encode(&octets))
}

impl Connector<()> for FreshCredentials {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let credentials = (random()?, random()?);
        let proxy = socks(&self.proxy, Some(&credentials)).ok_or(ureq::Error::InvalidProxyUrl)?;
        let config = config(Some(proxy), MAX_OWN);
        let details = ConnectionDetails {
            uri: details.uri,
            addrs: details.addrs.clone(),
            config: &config,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        let connected = self.socks.connect(&details, chained)?;
        Ok(connected.map(|transport| Box::new(transport) as Self::Out))
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
