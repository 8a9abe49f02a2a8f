//! Which connections carry whose requests: on the loopback interface they are
//! shared by all, and through a proxy each isolation id has its own.
//!
//! A proxy such as Tor's puts connections with different credentials on
//! different circuits. Each connection gets a fresh random pair, so that no
//! two share a circuit and nothing in the pair tells whose it is.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::transport::TcpConnector;

use super::connection::{NodeConnector, NodeResolver};
use crate::config::settings::NodeAddress;
use crate::isolation::IsolationId;

/// The same for everybody, and without a version: it tells the node nothing.
const USER_AGENT: &str = "ncprop279";

/// The longest header of an answer, in octets.
const MAX_HEADER: usize = 16 << 10;

/// Octets of a connection's buffer for what is sent: more than the longest
/// line of a header, which must fit; a body is sent in pieces.
const OUTPUT: usize = 8 << 10;

/// Idle connections kept to a node that is reached straight: one for each
/// fetch that the program runs at the same time.
const MAX_SHARED: usize = 64;

/// Idle connections kept for one isolation id through a proxy.
const MAX_OWN: usize = 2;

/// Isolation ids that keep connections through a proxy. With two connections
/// each, and 128 fetches under way, they stay below 256, the smallest usual
/// limit of open files.
const MAX_ISOLATIONS: usize = 60;

/// Connections that were idle for longer are not used again. Namecoin Core
/// closes them after 30 seconds.
pub(super) const MAX_IDLE_AGE: Duration = Duration::from_secs(25);

/// How long an isolation id keeps its connections without a request.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// The connections to one node.
#[derive(Debug)]
pub(super) enum Connections {
    /// Straight to it.
    Direct(Agent),
    /// Through a proxy.
    Proxied {
        /// The node.
        node: NodeAddress,
        /// The proxy.
        proxy: NodeAddress,
        /// The connections of each isolation id and when they were last used.
        agents: Mutex<Agents>,
    },
}

type Agents = LruCache<IsolationId, (Agent, Instant)>;

impl Connections {
    /// Nothing is opened yet.
    pub fn new(node: &NodeAddress, proxy: Option<&NodeAddress>) -> Self {
        match proxy {
            None => Self::Direct(Agent::with_parts(
                config(MAX_SHARED),
                NodeConnector::Direct(TcpConnector::default()),
                NodeResolver::new(node),
            )),
            Some(proxy) => Self::Proxied {
                node: node.clone(),
                proxy: proxy.clone(),
                agents: Mutex::new(LruCache::unbounded()),
            },
        }
    }

    /// What carries the requests of an isolation id.
    pub fn of(&self, isolation: &IsolationId, now: Instant) -> Agent {
        match self {
            Self::Direct(agent) => agent.clone(),
            Self::Proxied {
                node,
                proxy,
                agents,
            } => {
                let mut agents = lock(agents);
                let (agent, used) =
                    agents.get_or_insert_mut(isolation.clone(), || (isolated(node, proxy), now));
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

/// An agent of one isolation id. For the agent the proxy is the node: only its
/// connector knows better.
fn isolated(node: &NodeAddress, proxy: &NodeAddress) -> Agent {
    Agent::with_parts(
        config(MAX_OWN),
        NodeConnector::Proxied(TcpConnector::default(), node.clone()),
        NodeResolver::new(proxy),
    )
}

/// The settings of an agent; `idle` is how many idle connections it keeps.
fn config(idle: usize) -> Config {
    Agent::config_builder()
        .http_status_as_error(false)
        // Credentials go to the configured address and nowhere else.
        .max_redirects(0)
        .max_redirects_will_error(false)
        // Left out, ureq would take a proxy from the environment.
        .proxy(None)
        .user_agent(USER_AGENT)
        .accept("application/json")
        .max_response_header_size(MAX_HEADER)
        .input_buffer_size(2 * MAX_HEADER)
        .output_buffer_size(OUTPUT)
        .max_idle_connections(idle)
        .max_idle_connections_per_host(idle)
        .max_idle_age(MAX_IDLE_AGE)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str) -> NodeAddress {
        NodeAddress {
            host: host.to_owned(),
            port: 9050,
        }
    }

    fn id(text: &str) -> IsolationId {
        IsolationId::parse(text.as_bytes()).unwrap()
    }

    /// The isolation ids that keep connections, in any order.
    fn kept(connections: &Connections) -> usize {
        match connections {
            Connections::Direct(_) => panic!("a proxy was configured"),
            Connections::Proxied { agents, .. } => lock(agents).len(),
        }
    }

    #[test]
    fn an_id_loses_its_connections_after_ten_minutes_without_a_request() {
        let proxy = address("127.0.0.1");
        let connections = Connections::new(&address("node.onion"), Some(&proxy));
        let begin = Instant::now();
        connections.of(&id("a"), begin);
        connections.of(&id("b"), begin + Duration::from_secs(300));
        connections.tidy(begin + Duration::from_secs(599));
        assert_eq!(kept(&connections), 2);
        connections.tidy(begin + Duration::from_secs(600));
        assert_eq!(kept(&connections), 1);
        // A request counts anew.
        connections.of(&id("b"), begin + Duration::from_secs(890));
        connections.tidy(begin + Duration::from_secs(900));
        assert_eq!(kept(&connections), 1);
        connections.tidy(begin + Duration::from_secs(1490));
        assert_eq!(kept(&connections), 0);
    }

    #[test]
    fn no_more_ids_keep_connections_than_permitted() {
        let proxy = address("127.0.0.1");
        let connections = Connections::new(&address("node.onion"), Some(&proxy));
        for n in 0..3 * MAX_ISOLATIONS {
            connections.of(&id(&n.to_string()), Instant::now());
        }
        assert_eq!(kept(&connections), MAX_ISOLATIONS);
        connections.forget(&id(&(3 * MAX_ISOLATIONS - 1).to_string()));
        assert_eq!(kept(&connections), MAX_ISOLATIONS - 1);
    }
}
