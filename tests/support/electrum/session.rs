//! One connection: a thread reads and answers lines, another sends what is in
//! line.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use serde_json::{Value, json};

use super::lies::Lie;
use super::log::Request;
use super::methods::{Call, Fault, Protocol, parse_protocol};
use super::sending::{Item, Queue};
use super::wire::Wire;
use super::{Shared, Version};

/// The error of a session that has used up what it may.
const EXCESSIVE_RESOURCE_USAGE: i64 = -101;

/// The longest line that is read.
const LONGEST_LINE: usize = 1 << 20;

/// What the client has agreed on and subscribed to.
#[derive(Default)]
struct Agreed {
    protocol: Option<Protocol>,
    /// The tip that was sent last.
    tip: Option<(usize, BlockHash)>,
    /// Script hash to the status that was sent last.
    statuses: HashMap<String, Value>,
    /// Bytes of JSON that were answered.
    bytes: usize,
}

/// A connection with a client.
pub struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) wire: Wire,
    /// The place in the log.
    pub(super) at: usize,
    pub(super) queue: Mutex<Queue>,
    pub(super) bell: Condvar,
    agreed: Mutex<Agreed>,
}

impl Session {
    pub(super) fn new(shared: Arc<Shared>, wire: Wire, at: usize) -> Arc<Self> {
        Arc::new(Self {
            shared,
            wire,
            at,
            queue: Mutex::default(),
            bell: Condvar::new(),
            agreed: Mutex::default(),
        })
    }

    fn version(&self) -> Version {
        self.shared.options.version
    }

    /// Serves until either side ends the connection.
    pub fn run(self: Arc<Self>) {
        let sender = self.clone();
        let sending = thread::spawn(move || sender.send());
        let mut bytes = Vec::new();
        while let Ok(true) = self.wire.read(&mut bytes) {
            self.note_tls();
            let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
                if bytes.len() > LONGEST_LINE {
                    break;
                }
                continue;
            };
            let rest = bytes.split_off(end + 1);
            let lines = String::from_utf8_lossy(&bytes).into_owned();
            self.answer_burst(&lines);
            bytes = rest;
        }
        self.cut();
        let _ = sending.join();
    }

    fn note_tls(&self) {
        if let Some(tls) = self.wire.tls() {
            self.shared.log.write(|log| log[self.at].tls = Some(tls));
        }
    }

    /// Ends the connection at once.
    pub fn cut(&self) {
        self.queue.lock().unwrap().closed = true;
        self.bell.notify_all();
        self.wire.cut();
        self.shared.log.write(|log| log[self.at].closed = true);
    }

    /// Answers the lines that came together. A reply that takes the server
    /// longer comes after the others, as in the recordings.
    fn answer_burst(&self, lines: &str) {
        let mut requests: Vec<Request> = lines.lines().map(read_request).collect();
        self.shared
            .log
            .write(|log| log[self.at].requests.extend(requests.clone()));
        let late = match self.version() {
            Version::V1_15 => "blockchain.transaction.get",
            Version::V2_0b1 => "blockchain.transaction.get_merkle",
        };
        if self.agreed.lock().unwrap().protocol.is_some() {
            requests.sort_by_key(|request| request.method == late);
        }
        for request in requests {
            self.answer(&request);
        }
    }

    fn answer(&self, request: &Request) {
        let greeted = self.agreed.lock().unwrap().protocol.is_some();
        if !greeted && self.version() == Version::V2_0b1 && request.method != "server.version" {
            let farewell = self.version().notification("blockchain.relayfee", None);
            self.push(request.at, Item::Line(farewell));
            self.push(request.at, Item::Close);
            return;
        }
        let mut closes = false;
        let mut line = match serde_json::from_str(&request.line) {
            Ok(Value::Array(requests)) => {
                let replies: Vec<_> = requests
                    .iter()
                    .map(|request| self.reply(request, &mut closes))
                    .collect();
                format!("[{}]", replies.join(", "))
            }
            Ok(request) => self.reply(&request, &mut closes),
            Err(_) => {
                let fault = Fault::new(-32700, "invalid JSON");
                self.version().reply(&Err(fault), &Value::Null)
            }
        };
        let largest = self.shared.options.max_reply;
        if line.len() > largest {
            let fault = Fault::new(-32600, format!("response too large (over {largest} bytes"));
            line = self.version().reply(&Err(fault), &request.id);
        }
        let due = request.at + self.shared.state.lock().unwrap().delay;
        match self.charge(line.len()) {
            Some(slowness) => self.push_reply(due + slowness, request, line),
            None => self.push(due, Item::Close),
        }
        if closes {
            self.push(due, Item::Close);
        }
    }

    /// Counts a reply against the limits: how long it is delayed, or `None`
    /// if the session has had enough.
    fn charge(&self, bytes: usize) -> Option<Duration> {
        let mut agreed = self.agreed.lock().unwrap();
        agreed.bytes += bytes;
        let Some(limits) = self.shared.options.limits else {
            return Some(Duration::ZERO);
        };
        let over = agreed.bytes.saturating_sub(limits.slow);
        let room = limits.close - limits.slow;
        let part = u32::try_from(over.saturating_mul(1000) / room).unwrap_or(u32::MAX);
        (part < 1000).then(|| limits.slowest * part / 1000)
    }

    /// The reply to one request.
    fn reply(&self, request: &Value, closes: &mut bool) -> String {
        let id = &request["id"];
        let outcome = if request["jsonrpc"] == "2.0" {
            self.outcome(request, closes)
        } else {
            Err(Fault::new(-32600, "\"jsonrpc\" is not \"2.0\""))
        };
        let method = request["method"].as_str().unwrap_or_default();
        let id = match (self.shared.lie(method), id.as_u64()) {
            (Some(Lie::WrongIds), Some(number)) => &json!(number + 1000),
            (Some(Lie::WrongIds), None) => &json!("wrong"),
            _ => id,
        };
        self.version().reply(&outcome, id)
    }

    fn outcome(&self, request: &Value, closes: &mut bool) -> Result<Value, Fault> {
        let method = request["method"].as_str().unwrap_or_default();
        if method == "server.version" {
            let outcome = self.greet(&request["params"]);
            *closes = self.agreed.lock().unwrap().protocol.is_none();
            return outcome;
        }
        let (lie, chain) = (self.shared.lie(method), self.shared.chain(method));
        if let Some(Lie::Refuse(code)) = lie {
            *closes = code == EXCESSIVE_RESOURCE_USAGE;
            return Err(Fault::new(code, "not now"));
        }
        let call = Call {
            options: &self.shared.options,
            trees: &self.shared.trees,
            protocol: self.agreed.lock().unwrap().protocol.unwrap_or((1, 4, 0)),
            chain: &chain,
            lie: lie.as_ref(),
            params: &request["params"],
        };
        let unknown = || Fault::new(-32601, format!("unknown method \"{method}\""));
        let result = call.answer(method).ok_or_else(unknown)??;
        let mut agreed = self.agreed.lock().unwrap();
        if method == "blockchain.headers.subscribe" {
            agreed.tip = Some((chain.tip(), chain.tip_block().hash));
        }
        if method == "blockchain.scripthash.subscribe" {
            let hash = request["params"][0].as_str().unwrap_or_default();
            agreed.statuses.insert(hash.to_owned(), result.clone());
        }
        Ok(result)
    }

    /// Agrees on a version of the protocol.
    fn greet(&self, params: &Value) -> Result<Value, Fault> {
        let mut agreed = self.agreed.lock().unwrap();
        if agreed.protocol.is_some() {
            return Err(Fault::bad("server.version already sent"));
        }
        let (lowest, highest) = match &params[1] {
            Value::Array(range) => (range[0].as_str(), range[1].as_str()),
            Value::String(version) => (Some(version.as_str()), Some(version.as_str())),
            _ => (Some("1.4"), Some("1.4")),
        };
        let server = (1, 4, 0)..=parse_protocol(self.version().protocol_max()).unwrap();
        let chosen = lowest
            .and_then(parse_protocol)
            .zip(highest.and_then(parse_protocol))
            .map(|(lowest, highest)| (lowest, highest.min(*server.end())))
            .filter(|(lowest, highest)| lowest <= highest && server.contains(highest));
        let Some((_, chosen)) = chosen else {
            let asked = highest.unwrap_or_default();
            return Err(Fault::bad(format!("unsupported protocol version: {asked}")));
        };
        agreed.protocol = Some(chosen);
        let text = match chosen {
            (major, minor, 0) => format!("{major}.{minor}"),
            (major, minor, patch) => format!("{major}.{minor}.{patch}"),
        };
        Ok(json!([self.version().name(), text]))
    }

    /// Tells the client of what it subscribed to, where that has changed.
    pub fn announce(&self) {
        let mut agreed = self.agreed.lock().unwrap();
        let Some(protocol) = agreed.protocol else {
            return;
        };
        let chain = self.shared.chain("blockchain.headers.subscribe");
        let call = Call {
            options: &self.shared.options,
            trees: &self.shared.trees,
            protocol,
            chain: &chain,
            lie: None,
            params: &Value::Null,
        };
        let mut news = Vec::new();
        let tip = Some((chain.tip(), chain.tip_block().hash));
        if agreed.tip.is_some() && agreed.tip != tip {
            agreed.tip = tip;
            news.push(("blockchain.headers.subscribe", json!([call.tip()])));
        }
        for (hash, sent) in &mut agreed.statuses {
            let status = call.status(hash);
            if *sent != status {
                *sent = status.clone();
                news.push(("blockchain.scripthash.subscribe", json!([hash, status])));
            }
        }
        for (method, params) in news {
            let line = self.version().notification(method, Some(&params));
            self.push(Instant::now(), Item::Line(line));
        }
    }
}

/// Reads a line for the log.
fn read_request(line: &str) -> Request {
    let value: Value = serde_json::from_str(line).unwrap_or_default();
    let method = match &value {
        Value::Array(_) => "batch",
        value => value["method"].as_str().unwrap_or_default(),
    };
    Request {
        method: method.to_owned(),
        params: value["params"].clone(),
        id: value["id"].clone(),
        line: line.to_owned(),
        at: Instant::now(),
    }
}
