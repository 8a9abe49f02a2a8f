//! A scripted node: it accepts and refuses requests as the recorded servers
//! do, says what a test tells it to say, and keeps a log of what it was asked.

mod http;
mod replies;
pub mod scripted;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::BufReader;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::PATIENCE;
use crate::support::plugin::{Plugin, Start};
use crate::support::state::write_private;
use http::Response;

/// Which server's habits the node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    Core,
    Electrum406,
    Electrum410,
    /// Core's dialect without the options object. Not recorded: the facts say
    /// only that it is not known to accept one.
    ConsensusJ,
    /// A Core from before the options object: it answers a second argument with
    /// its help text.
    OldCore,
}

impl Flavour {
    pub const RECORDED: [Self; 3] = [Self::Core, Self::Electrum406, Self::Electrum410];

    pub fn is_electrum(self) -> bool {
        matches!(self, Self::Electrum406 | Self::Electrum410)
    }
}

/// What a node says to one request for a name.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The name has this value.
    Value(Vec<u8>),
    /// The name had this value, as a node configured for `allowExpired` says.
    ExpiredValue(Vec<u8>),
    /// What the server said when it was recorded (`tests/data/`).
    Recorded(&'static str),
    /// An RPC error that is not in the recordings.
    Error(i64, &'static str),
    /// A member of the reply's `result`, put in the place of the right one.
    Spoilt(&'static str, Value),
    /// Any status line and body.
    Http(&'static str, String),
    /// The connection is closed without an answer.
    Close,
    /// The connection is closed in the middle of the answer.
    Half,
    /// No answer ever comes.
    Hang,
}

pub fn value(text: &str) -> Reply {
    Reply::Value(text.as_bytes().to_vec())
}

/// One request as the node saw it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Connections count from 0.
    pub connection: usize,
    pub method: String,
    /// The name that it asks for, decoded.
    pub key: Option<String>,
    /// The `streamID` option.
    pub stream: Option<String>,
    /// Whether the node took the credentials.
    pub authorized: bool,
    /// Whether the server understood it: the right dialect, that is.
    pub understood: bool,
    pub params: Value,
}

struct State {
    credentials: Option<String>,
    script: HashMap<String, VecDeque<Reply>>,
    held: HashSet<String>,
    /// `blockchain_height` and `server_height`; `None`: it does not tell.
    heights: Option<(i64, i64)>,
    /// What Electrum-NMC's `getconfig` says of its keys; null for others.
    config: HashMap<String, Value>,
    log: Vec<Request>,
    open: HashMap<usize, TcpStream>,
    busy: HashSet<usize>,
    stopped: bool,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

pub struct Node {
    address: SocketAddr,
    shared: Shared,
    directory: tempfile::TempDir,
}

const USER: &str = "nmc-user";
const PASSWORD: &str = "nmc-password";

impl Node {
    pub fn start(flavour: Flavour) -> Self {
        Self::start_at(flavour, "127.0.0.1:0").unwrap()
    }

    /// A node elsewhere than at an IPv4 loopback address.
    pub fn start_at(flavour: Flavour, at: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind(at)?;
        let address = listener.local_addr()?;
        let shared: Shared = Arc::new((
            Mutex::new(State {
                credentials: Some(format!("{USER}:{PASSWORD}")),
                script: HashMap::new(),
                held: HashSet::new(),
                heights: Some((250, 250)),
                config: HashMap::from([("proxy".into(), "socks5:127.0.0.1:9050::".into())]),
                log: Vec::new(),
                open: HashMap::new(),
                busy: HashSet::new(),
                stopped: false,
            }),
            Condvar::new(),
        ));
        let server = Arc::clone(&shared);
        thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let mut state = server.0.lock().unwrap();
                if state.stopped {
                    return;
                }
                state.open.insert(number, stream.try_clone().unwrap());
                drop(state);
                let shared = Arc::clone(&server);
                thread::spawn(move || serve(flavour, number, stream, &shared));
            }
        });
        let directory = tempfile::tempdir().unwrap();
        write_private(
            directory.path().join("config.toml"),
            format!("rpc-user = \"{USER}\"\nrpc-password = \"{PASSWORD}\"\n"),
        );
        Ok(Self {
            address,
            shared,
            directory,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap()
    }

    // How the plugin is pointed at it.

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// A place for files of this test.
    pub fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().into()
    }

    /// Address and right credentials. These are in a file, because a password
    /// on the command line earns a warning.
    pub fn arguments(&self, more: &[&str]) -> Vec<String> {
        let mut all = vec![
            "--rpc-address".into(),
            self.address(),
            "--config".into(),
            self.path("config.toml"),
        ];
        all.extend(more.iter().map(|&one| one.to_owned()));
        all
    }

    /// Not yet started, for a test that changes its environment.
    pub fn prepare(&self, more: &[&str]) -> Start {
        Start::new(&self.arguments(more))
    }

    /// A plugin that is ready.
    pub fn plugin(&self, more: &[&str]) -> Plugin {
        Plugin::start(&self.arguments(more))
    }

    // What it says.

    /// The name's value from now on.
    pub fn set(&self, key: &str, text: &str) {
        self.script(key, [value(text)]);
    }

    /// What it says to the requests for a name, one after another; the last
    /// again and again. Names without a script never existed.
    pub fn script(&self, key: &str, replies: impl IntoIterator<Item = Reply>) {
        let replies = replies.into_iter().collect();
        self.state().script.insert(key.into(), replies);
    }

    pub fn set_heights(&self, heights: Option<(i64, i64)>) {
        self.state().heights = heights;
    }

    /// A setting of Electrum-NMC.
    pub fn set_config(&self, key: &str, value: Value) {
        self.state().config.insert(key.into(), value);
    }

    /// `user:password` that it takes; `None`: anything.
    pub fn set_credentials(&self, credentials: Option<&str>) {
        self.state().credentials = credentials.map(str::to_owned);
    }

    /// Holds back the answers to requests for a name.
    pub fn hold(&self, key: &str) {
        self.state().held.insert(key.into());
    }

    pub fn release(&self, key: &str) {
        self.state().held.remove(key);
        self.shared.1.notify_all();
    }

    /// Holds nothing back any more.
    pub fn release_all(&self) {
        self.state().held.clear();
        self.shared.1.notify_all();
    }

    /// Waits until so many names were asked for in all.
    #[track_caller]
    pub fn wait_for_names(&self, count: usize) {
        drop(self.wait(&format!("{count} requests for names"), |state| {
            asked_for_names(state) >= count
        }));
    }

    /// Fails if more names are asked for within a moment.
    #[track_caller]
    pub fn stays_at(&self, count: usize) {
        let moment = Duration::from_millis(150);
        let (state, _) = self
            .shared
            .1
            .wait_timeout_while(self.state(), moment, |state| {
                asked_for_names(state) <= count
            })
            .unwrap();
        assert_eq!(asked_for_names(&state), count);
    }

    /// Closes the connections on which nothing is being answered, as servers
    /// do after a while.
    pub fn close_idle(&self) {
        let mut state = self.wait("idle connections", |state| state.busy.is_empty());
        for (_, stream) in state.open.drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    // What it was asked.

    pub fn requests(&self) -> Vec<Request> {
        self.state().log.clone()
    }

    /// The requests for names that a server of this flavour understands.
    pub fn name_requests(&self) -> Vec<Request> {
        let mut log = self.requests();
        log.retain(|request| request.key.is_some() && request.understood);
        log
    }

    /// How often a name was asked for.
    pub fn count(&self, key: &str) -> usize {
        let log = self.name_requests();
        log.iter()
            .filter(|one| one.key.as_deref() == Some(key))
            .count()
    }

    /// The `streamID`s under which a name was asked for, in order.
    pub fn streams(&self, key: &str) -> Vec<String> {
        let mut log = self.name_requests();
        log.retain(|one| one.key.as_deref() == Some(key));
        log.into_iter()
            .map(|one| one.stream.unwrap_or_else(|| "<none>".into()))
            .collect()
    }

    /// Waits until a name was asked for so often, and gives the log.
    #[track_caller]
    pub fn wait_for(&self, key: &str, count: usize) -> Vec<Request> {
        let state = self.wait(&format!("{count} requests for {key}"), |state| {
            let asked = state.log.iter();
            asked
                .filter(|one| one.understood && one.key.as_deref() == Some(key))
                .count()
                >= count
        });
        state.log.clone()
    }

    #[track_caller]
    /// Waits for a request of this method.
    pub fn wait_for_method(&self, method: &str) {
        drop(self.wait(method, |state| {
            state.log.iter().any(|one| one.method == method)
        }));
    }

    fn wait(&self, what: &str, found: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state();
        while !found(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let log = state.log.clone();
                drop(state);
                panic!("no {what}; the node was asked {log:#?}");
            }
            state = self.shared.1.wait_timeout(state, left).unwrap().0;
        }
        state
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A failed test may have poisoned the lock.
        if let Ok(mut state) = self.shared.0.lock() {
            state.stopped = true;
            for (_, stream) in state.open.drain() {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        self.shared.1.notify_all();
        let _ = TcpStream::connect(self.address);
    }
}

/// Answers on one connection until it ends.
fn serve(flavour: Flavour, number: usize, stream: TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(request) = http::read(&mut reader) {
        shared.0.lock().unwrap().busy.insert(number);
        let response = respond(flavour, number, &request, shared);
        let close = request.close || matches!(response, Response::Close | Response::Half(_));
        let written = response.write(&stream).is_ok();
        let mut state = shared.0.lock().unwrap();
        state.busy.remove(&number);
        if close || !written {
            state.open.remove(&number);
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        shared.1.notify_all();
        if close || !written {
            return;
        }
    }
}

fn respond(flavour: Flavour, number: usize, request: &http::Request, shared: &Shared) -> Response {
    let call = replies::Call::read(flavour, request);
    let mut state = shared.0.lock().unwrap();
    let authorized = state.credentials.is_none() || state.credentials == request.authorization;
    state.log.push(Request {
        connection: number,
        method: call.method.clone(),
        key: call.key.clone(),
        stream: call.stream.clone(),
        authorized,
        understood: authorized && call.refusal.is_none(),
        params: call.params.clone(),
    });
    shared.1.notify_all();
    let heights = state.heights;
    if !authorized || call.refusal.is_some() || call.method != "name_show" {
        let key = call.params["key"].as_str().unwrap_or_default();
        let setting = state.config.get(key).cloned().unwrap_or_default();
        drop(state);
        return match &call.refusal {
            _ if !authorized => call.unauthorized(request.authorization.is_some()),
            Some(refusal) if refusal == replies::HELP => {
                call.reply(Reply::Error(-1, replies::HELP))
            }
            Some(refusal) => call.recorded(refusal),
            None if call.method == "getconfig" => call.getconfig(setting),
            None => call.getinfo(heights),
        };
    }
    let key = call.key.clone().unwrap_or_default();
    let reply = match state.script.get_mut(&key) {
        Some(replies) if replies.len() > 1 => replies.pop_front().unwrap(),
        Some(replies) => replies.front().unwrap().clone(),
        None => Reply::Recorded("never existed"),
    };
    let hang = matches!(reply, Reply::Hang);
    let deadline = Instant::now() + PATIENCE;
    while !state.stopped && (hang || state.held.contains(&key)) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        state = shared.1.wait_timeout(state, left).unwrap().0;
    }
    drop(state);
    call.reply(reply)
}

fn asked_for_names(state: &State) -> usize {
    let understood = state.log.iter().filter(|one| one.understood);
    understood.filter(|one| one.key.is_some()).count()
}
