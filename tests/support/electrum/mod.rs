//! A scripted Electrum server with a regtest chain of its own. It behaves as
//! the recorded servers do, writes down what clients ask, and lies on request.

pub mod auxpow;
pub mod chain;
pub mod flaws;
pub mod leftovers;
pub mod lies;
pub mod log;
pub mod merkle;
pub mod methods;
pub mod miner;
pub mod names;
pub mod packets;
pub mod sending;
pub mod session;
pub mod wire;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use chain::Chain;
use lies::Lie;
use log::{Connection, Log};
use methods::Trees;
use session::Session;
use wire::{Certificate, Wire};

/// Which recorded server this one behaves like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// ElectrumX 1.15.0: protocols 1.4 to 1.4.2, no padding, no proofs of
    /// values.
    V1_15,
    /// ElectrumX 2.0b1: protocols 1.4 to 1.6, padding and delay, proofs of
    /// values from 1.4.3, wrong header borders.
    V2_0b1,
}

impl Version {
    /// As `server.version` and `server.features` tell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1_15 => "ElectrumX 1.15.0",
            Self::V2_0b1 => "ElectrumX 2.0b1",
        }
    }

    pub fn protocol_max(self) -> &'static str {
        match self {
            Self::V1_15 => "1.4.2",
            Self::V2_0b1 => "1.6.0",
        }
    }
}

/// How much a session may take, in bytes of JSON.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From here on replies are delayed.
    pub slow: usize,
    /// From here on the session is closed.
    pub close: usize,
    /// The delay just before the close; it grows evenly up to that.
    pub slowest: Duration,
}

/// How a server is set up. Change single fields of [`Options::new`].
#[derive(Debug, Clone)]
pub struct Options {
    pub version: Version,
    /// Added to every reply, as a longer way would.
    pub delay: Duration,
    /// How long version 2.0b1 holds small packets; 1 s in reality.
    pub hold: Duration,
    /// How long replies may stay unread; 20 s in reality.
    pub unread: Duration,
    /// Headers in a reply.
    pub max_headers: usize,
    /// Bytes of a reply; a longer one becomes an error.
    pub max_reply: usize,
    pub limits: Option<Limits>,
    /// Connections after so many are closed without a word.
    pub most_connections: Option<usize>,
    /// The hash that it gives of its first block, if not that block's.
    pub genesis: Option<&'static str>,
    /// The other servers that it names: host, and features such as `s50002`.
    /// Without it, it knows no such request.
    pub peers: Option<Vec<(String, String)>>,
    /// The newest protocol that it says it speaks, if not its version's.
    pub claims: Option<&'static str>,
    pub tls: Option<Certificate>,
    /// Where to listen; without it, at a free port.
    pub address: Option<SocketAddr>,
}

impl Options {
    pub fn new(version: Version) -> Self {
        Self {
            version,
            delay: Duration::ZERO,
            hold: Duration::from_secs(1),
            unread: Duration::from_secs(20),
            max_headers: 2016,
            max_reply: 10_000_000,
            limits: None,
            most_connections: None,
            genesis: None,
            peers: None,
            claims: None,
            tls: None,
            address: None,
        }
    }
}

/// A lie, and the one method whose replies it is about, or all.
type ActiveLie = Option<(Option<String>, Lie)>;

/// What may change while the server runs.
struct State {
    chain: Arc<Chain>,
    /// What the lie makes of the chain, if it is about the chain.
    forged: Option<Arc<Chain>>,
    lie: ActiveLie,
    delay: Duration,
}

/// What the threads of a server share.
struct Shared {
    options: Options,
    state: Mutex<State>,
    trees: Trees,
    log: Log,
    sessions: Mutex<Vec<Weak<Session>>>,
    stopping: AtomicBool,
}

impl Shared {
    /// The lie that replies to this method tell.
    fn lie(&self, method: &str) -> Option<Lie> {
        match &self.state.lock().unwrap().lie {
            Some((Some(only), _)) if only != method => None,
            Some((_, lie)) => Some(lie.clone()),
            None => None,
        }
    }

    /// The chain that replies to this method show.
    fn chain(&self, method: &str) -> Arc<Chain> {
        let lying = self.lie(method).is_some();
        let state = self.state.lock().unwrap();
        match &state.forged {
            Some(forged) if lying => forged.clone(),
            _ => state.chain.clone(),
        }
    }

    fn sessions(&self) -> Vec<Arc<Session>> {
        let mut sessions = self.sessions.lock().unwrap();
        sessions.retain(|session| session.strong_count() > 0);
        sessions.iter().filter_map(Weak::upgrade).collect()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        {
            let mut state = self.state.lock().unwrap();
            change(&mut state);
            let forged = state
                .lie
                .as_ref()
                .and_then(|(_, lie)| lie.forge(&state.chain));
            state.forged = forged.map(Arc::new);
        }
        for session in self.sessions() {
            session.announce();
        }
    }
}

/// A running server; it stops when dropped.
pub struct Electrum {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

impl Electrum {
    pub fn start(chain: Chain, options: Options) -> Self {
        let at = options.address.unwrap_or(([127, 0, 0, 1], 0).into());
        let listener = TcpListener::bind(at).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                chain: Arc::new(chain),
                forged: None,
                lie: None,
                delay: options.delay,
            }),
            options,
            trees: Trees::default(),
            log: Log::default(),
            sessions: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        let listening = Some(thread::spawn(move || accept(&listener, &accepting)));
        Self {
            address,
            shared,
            listening,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A copy of the honest chain.
    pub fn chain(&self) -> Chain {
        (*self.shared.state.lock().unwrap().chain).clone()
    }

    /// Takes another chain and tells subscribers.
    pub fn set_chain(&self, chain: Chain) {
        self.shared.change(|state| state.chain = Arc::new(chain));
    }

    /// Mines empty blocks and tells subscribers.
    pub fn mine(&self, count: usize) {
        self.work(|chain| chain.mine(count));
    }

    /// Changes the chain and notifies subscribers.
    pub fn work<T>(&self, work: impl FnOnce(&mut Chain) -> T) -> T {
        let mut chain = self.chain();
        let result = work(&mut chain);
        self.set_chain(chain);
        result
    }

    /// Lies from now on, in the place of any other lie.
    pub fn lie(&self, lie: Lie) {
        self.shared.change(|state| state.lie = Some((None, lie)));
    }

    /// Lies in replies to one method only.
    pub fn lie_in(&self, method: &str, lie: Lie) {
        let method = Some(method.to_owned());
        self.shared.change(|state| state.lie = Some((method, lie)));
    }

    pub fn honest(&self) {
        self.shared.change(|state| state.lie = None);
    }

    /// Sets the delay of the replies to requests that come from now on.
    pub fn delay(&self, delay: Duration) {
        self.shared.state.lock().unwrap().delay = delay;
    }

    /// Ends all connections; new ones are taken.
    pub fn disconnect(&self) {
        for session in self.shared.sessions() {
            session.cut();
        }
    }

    /// Everything that was seen so far.
    pub fn connections(&self) -> Vec<Connection> {
        self.shared.log.connections()
    }

    /// Waits until what was seen fits; panics with it when patience ends.
    pub fn wait(&self, what: &str, fits: impl Fn(&[Connection]) -> bool) {
        self.shared.log.wait(what, fits);
    }
}

impl Drop for Electrum {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
        self.disconnect();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let options = &shared.options;
    let config = options.tls.as_ref().map(|tls| tls.config());
    for stream in listener.incoming().flatten() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        if stream.peer_addr().is_err() {
            continue;
        };
        let at = shared.log.write(|connections| {
            connections.push(Connection::new());
            connections.len() - 1
        });
        if options.most_connections.is_some_and(|most| at >= most) {
            shared
                .log
                .write(|connections| connections[at].closed = true);
            continue;
        }
        let session = Session::new(shared.clone(), Wire::new(stream, config.as_ref()), at);
        shared
            .sessions
            .lock()
            .unwrap()
            .push(Arc::downgrade(&session));
        thread::spawn(move || session.run());
    }
}
