//! A node that answers as a function says, for the requests of a source.

use std::io::{BufReader, Read};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Instant;

use ncprop279::config::settings::{Credentials, DialectSetting, NodeAddress, RpcSettings};
use ncprop279::isolation::IsolationId;
use ncprop279::log::Log;
use ncprop279::snapshot::{FetchError, Fetched, NameKey};
use ncprop279::source::rpc::RpcSource;
use ncprop279::source::{Bounds, Cancel, Source};
use serde_json::Value;

use super::http::{self, Response};
use crate::support::PATIENCE;

/// A request that reached the node.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which connection it came on, from 0.
    pub connection: usize,
    /// Its header, names in lower case.
    pub head: String,
    /// Its body.
    pub body: Value,
}

impl Request {
    pub fn method(&self) -> &str {
        self.body["method"].as_str().unwrap()
    }

    /// Whether the request is in Core's dialect.
    pub fn is_positional(&self) -> bool {
        self.body["params"].is_array()
    }

    pub fn stream_id(&self) -> Option<&str> {
        let params = &self.body["params"];
        params[1]["streamID"]
            .as_str()
            .or_else(|| params["options"]["streamID"].as_str())
    }
}

/// What the node does about a request.
pub enum Act {
    /// Answers, and keeps the connection.
    Answer(u16, String),
    /// Answers as if it would keep the connection, and closes it.
    AnswerAndClose(u16, String),
    /// Sends bytes as they are, and closes the connection.
    Raw(Vec<u8>),
    /// Closes the connection without a word.
    Close,
    /// Says nothing until the client goes away.
    Silence,
}

type Script = dyn Fn(usize, &Request) -> Act + Send + Sync;

/// A listening node; dropping it stops the listening.
pub struct Node {
    pub address: NodeAddress,
    requests: Arc<Mutex<Vec<Request>>>,
    stopped: Arc<AtomicBool>,
}

impl Node {
    /// Starts a node; the script is given the request's number, from 0.
    pub fn start(script: impl Fn(usize, &Request) -> Act + Send + Sync + 'static) -> Self {
        Self::listen("127.0.0.1", script).unwrap()
    }

    /// As [`Node::start`], on another address if the machine has it.
    pub fn listen(
        host: &str,
        script: impl Fn(usize, &Request) -> Act + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind((host, 0))?;
        let port = listener.local_addr()?.port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stopped = Arc::new(AtomicBool::new(false));
        let script: Arc<Script> = Arc::new(script);
        let (seen, stop) = (Arc::clone(&requests), Arc::clone(&stopped));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), script, seen) = (stream, script.clone(), seen.clone()) else {
                    return;
                };
                // A connection ends with an error when the client goes away.
                std::thread::spawn(move || serve(&stream, connection, &*script, &seen));
            }
        });
        Ok(Self {
            address: NodeAddress {
                host: host.into(),
                port,
            },
            requests,
            stopped,
        })
    }

    /// What reached the node so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The requests about names so far; `getinfo` and `getconfig`, which tell once
    /// whether the node isolates, are left out.
    pub fn name_requests(&self) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.method() == "name_show");
        requests
    }

    /// A source for this node.
    pub fn source(&self, dialect: DialectSetting) -> RpcSource {
        source(&self.address, dialect, password())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((self.address.host.as_str(), self.address.port));
    }
}

fn serve(
    stream: &TcpStream,
    connection: usize,
    script: &Script,
    seen: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    while let Some(http::Request { head, body, .. }) = http::read(&mut reader) {
        let request = Request {
            connection,
            head,
            body: serde_json::from_slice(&body).unwrap(),
        };
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.len() - 1
        };
        let (response, closes) = match script(number, &request) {
            Act::Answer(status, body) => (response(status, body), false),
            Act::AnswerAndClose(status, body) => (response(status, body), true),
            Act::Raw(bytes) => (Response::Raw(bytes), true),
            Act::Close => (Response::Close, true),
            Act::Silence => {
                reader.read_to_end(&mut Vec::new())?;
                return Ok(());
            }
        };
        response.write(stream)?;
        if closes {
            return stream.shutdown(Shutdown::Both);
        }
    }
    Ok(())
}

fn response(status: u16, body: String) -> Response {
    Response::Whole {
        status: format!("{status} Status"),
        headers: vec![("Content-Type".into(), "application/json".into())],
        body: body.into_bytes(),
    }
}

/// A recorded answer.
pub fn recorded(node: &str, case: &str) -> Act {
    static DATA: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(include_str!("../../data/name_show.json")).unwrap());
    let answer = &DATA[node][case];
    let status = answer["status"].as_u64().unwrap();
    let body = answer["body"].as_str().unwrap();
    Act::Answer(status.try_into().unwrap(), body.into())
}

/// The name that the recorded answers are about.
pub const NAME: &str = "d/testls";

/// A successful answer about [`NAME`].
pub fn good() -> Act {
    recorded("core", "existing")
}

/// An error in JSON-RPC 2.0.
pub fn error(code: i64, message: &str) -> Act {
    let body =
        serde_json::json!({"jsonrpc": "2.0", "error": {"code": code, "message": message}, "id": 1});
    Act::Answer(200, body.to_string())
}

pub fn password() -> Credentials {
    Credentials::Password {
        user: "user".into(),
        password: "correct horse".into(),
    }
}

pub fn source(
    address: &NodeAddress,
    dialect: DialectSetting,
    credentials: Credentials,
) -> RpcSource {
    RpcSource::new(
        &RpcSettings {
            address: address.clone(),
            credentials,
            dialect,
            proxy: None,
        },
        Log::silent(),
    )
}

pub fn id(text: &str) -> IsolationId {
    IsolationId::parse(text.as_bytes()).unwrap()
}

pub fn limit() -> Bounds {
    Bounds {
        due: Instant::now() + PATIENCE,
        deadline: Instant::now() + PATIENCE,
        cancel: Cancel::new(),
    }
}

/// Fetches for an isolation id of its own.
pub fn fetch(source: &RpcSource, name: &str) -> Result<Fetched, FetchError> {
    let key = NameKey::new(name).unwrap();
    source
        .fetch(&id("stream-isolation-1"), &key, &limit())
        .map(|reply| reply.fetched)
}

pub fn is_value(fetched: &Result<Fetched, FetchError>) -> bool {
    matches!(fetched, Ok(Fetched::Value(_)))
}
