//! What Tor knows: streams, controllers, options, mappings; and the events that a
//! change of them causes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc::Sender;

use super::auth::Auth;
use super::stream::{End, Stream, Wish, bytes, is_ours, latin1};

/// A stream of this run or an earlier one.
pub(super) struct Live {
    pub id: u64,
    pub stream: Stream,
    epoch: u64,
    status: &'static str,
    /// It waits for a controller.
    pub waiting: bool,
    pub open: bool,
    /// The last is the latest.
    pub ends: Vec<End>,
}

/// A connection to the control port.
pub(super) struct Controller {
    pub writer: Sender<Vec<u8>>,
    pub auth: Auth,
    pub authenticated: bool,
    pub asked_for_protocolinfo: bool,
    pub events: Vec<String>,
    /// Events that are not sent yet.
    pending: Vec<u8>,
    /// Replies that are not sent yet.
    pub out: Vec<u8>,
    pub open: bool,
    /// What it sent since it connected.
    pub commands: Vec<String>,
}

/// What a test has happen just before a command is carried out.
#[derive(Debug, Clone)]
pub enum When {
    /// The client of the stream that the command names goes away.
    ClientLeaves,
    /// Another controller attaches that stream as it is.
    AnotherAttaches,
    /// The command is not carried out; this is the reply.
    Replies(&'static str),
    /// These bytes are written before the reply.
    Writes(Vec<u8>),
    /// Tor does nothing until [`super::ModelTor::resume`].
    Pauses,
    /// A client opens this stream between the command and the next.
    OpensBehind(Box<Stream>),
    /// Tor closes the connection.
    HangsUp,
}

pub(super) struct Model {
    pub auth: Auth,
    pub options: BTreeMap<&'static str, String>,
    pub streams: Vec<Live>,
    /// The open ones, in the order in which Tor keeps its connections: the last takes
    /// the place of one that is closed.
    order: Vec<usize>,
    pub next: u64,
    pub controllers: Vec<Controller>,
    /// Virtual address and name.
    pub mappings: Vec<(String, String)>,
    epoch: u64,
    /// What is to happen before the commands that begin so.
    pub script: VecDeque<(String, When)>,
    pub paused: bool,
    pub dribbles: bool,
    pub stopped: bool,
    /// All commands, with the number of the controller.
    pub commands: Vec<(usize, String)>,
    /// Everything that went to and fro.
    pub transcript: Vec<String>,
    /// What opens behind the command that is under way.
    pub opens_behind: Option<Box<Stream>>,
    /// What no controller of ours may do.
    pub violations: Vec<String>,
    /// Targets that streams were redirected to in the turn that is under way.
    redirected: HashMap<u64, String>,
}

pub(super) const LEAVE: &str = "__LeaveStreamsUnattached";
pub(super) const AUTOMAP: &str = "AutomapHostsOnResolve";
pub(super) const SUFFIXES: &str = "AutomapHostsSuffixes";

impl Model {
    pub fn new(auth: Auth) -> Self {
        Self {
            auth,
            options: BTreeMap::from([
                (LEAVE, "0".to_owned()),
                (AUTOMAP, "0".to_owned()),
                (SUFFIXES, ".onion,.exit".to_owned()),
                ("VirtualAddrNetworkIPv4", "127.192.0.0/10".to_owned()),
                ("VirtualAddrNetworkIPv6", "[FE80::]/10".to_owned()),
            ]),
            streams: Vec::new(),
            order: Vec::new(),
            next: 17,
            controllers: Vec::new(),
            mappings: Vec::new(),
            epoch: 0,
            script: VecDeque::new(),
            paused: false,
            dribbles: false,
            stopped: false,
            commands: Vec::new(),
            transcript: Vec::new(),
            opens_behind: None,
            violations: Vec::new(),
            redirected: HashMap::new(),
        }
    }

    pub fn leaves_streams(&self) -> bool {
        self.options[LEAVE] == "1"
    }

    /// Queues an event for all who want it.
    pub fn event(&mut self, kind: &str, line: &[u8]) {
        for controller in &mut self.controllers {
            if controller.open && controller.events.iter().any(|one| one == kind) {
                controller.pending.extend(line);
            }
        }
    }

    /// Ends a turn: replies go out, then events.
    pub fn flush(&mut self) {
        self.redirected.clear();
        for (number, controller) in self.controllers.iter_mut().enumerate() {
            let mut bytes = std::mem::take(&mut controller.out);
            bytes.append(&mut controller.pending);
            if bytes.is_empty() {
                continue;
            }
            for line in latin1(&bytes).split_terminator("\r\n") {
                self.transcript.push(format!("{number} < {line}"));
            }
            // The connection may be closed already.
            let _ = controller.writer.send(bytes);
        }
    }

    // Streams.

    /// A client opens a stream; its place among all.
    pub fn open(&mut self, id: Option<u64>, mut stream: Stream) -> usize {
        stream.cut_at_nul();
        let id = id.unwrap_or(self.next);
        self.next = self.next.max(id + 1);
        let waits = self.leaves_streams();
        let status = stream.first_status();
        self.streams.push(Live {
            id,
            stream,
            epoch: self.epoch,
            status,
            waiting: false,
            open: true,
            ends: Vec::new(),
        });
        let at = self.streams.len() - 1;
        self.order.push(at);
        if self.streams[at].stream.is_refused_by_socks() {
            self.close_silently(at, "SOCKS_PROTOCOL");
            return at;
        }
        let line = self.streams[at].stream.announced(id, self.epoch);
        self.event("STREAM", &line);
        if waits {
            self.streams[at].waiting = true;
            self.stream_event(at, "CONTROLLER_WAIT", "");
        } else {
            self.go_ahead(at, None);
        }
        at
    }

    fn stream_event(&mut self, at: usize, status: &str, more: &str) {
        let live = &self.streams[at];
        let line = live.stream.event(live.id, live.epoch, status, more);
        self.event("STREAM", &line);
    }

    pub fn find(&self, id: &str) -> Option<usize> {
        let id: u64 = id.parse().ok()?;
        self.streams.iter().position(|one| one.open && one.id == id)
    }

    /// Tor takes a stream on, for a controller or by itself. Says whether it can.
    pub fn go_ahead(&mut self, at: usize, controller: Option<usize>) -> bool {
        if let Some(address) = self.answer(at) {
            self.end(at, End::Answered(address));
            self.close_silently(at, "DONE");
            return true;
        }
        // The name of a virtual address is in Tor's memory.
        let host = latin1(&self.streams[at].stream.host);
        let name = self.mappings.iter().find(|(virtual_, _)| *virtual_ == host);
        if let Some((_, name)) = name {
            self.streams[at].stream.host = bytes(name);
            self.stream_event(at, "REMAP", " SOURCE=CACHE");
        }
        let reached = latin1(&self.streams[at].stream.host);
        // Tor refuses what is no host name, whatever it ends in.
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if let Some(number) = controller
            && is_ours(&bytes(&reached))
            && reached.chars().all(is_name)
        {
            let id = self.streams[at].id;
            self.violate(format!(
                "controller {number} attached stream {id} to {reached:?}"
            ));
        }
        if let Some(reason) = self.streams[at].stream.refusal() {
            if reason == " UNKNOWN_264" || reason == "SOCKS_PROTOCOL" {
                self.forget_onion(at);
            }
            self.close(at, reason);
            return false;
        }
        let live = &mut self.streams[at];
        let target = latin1(&live.stream.target());
        live.waiting = false;
        if live.stream.host.ends_with(b".onion") {
            live.status = "SENTCONNECT";
        }
        let end = match controller {
            Some(_) => End::Attached(target),
            None => End::Alone(target),
        };
        self.end(at, end);
        true
    }

    /// Tor has cut the suffix off by the time that it says what is wrong.
    fn forget_onion(&mut self, at: usize) {
        let host = &mut self.streams[at].stream.host;
        if host.ends_with(b".onion") {
            host.truncate(host.len() - ".onion".len());
        }
    }

    /// What Tor answers a question without asking anybody.
    fn answer(&mut self, at: usize) -> Option<String> {
        let stream = &self.streams[at].stream;
        if !stream.is_question() {
            return None;
        }
        let host = latin1(&stream.host);
        let is_address = host.parse::<IpAddr>().is_ok();
        if is_address && stream.refusal().is_none() {
            return Some(host);
        }
        let mut suffixes = self.options[SUFFIXES].split(',');
        let lower = host.to_ascii_lowercase();
        let is_mapped = self.options[AUTOMAP] == "1"
            && !is_address
            && suffixes.any(|suffix| suffix == "." || lower.ends_with(suffix));
        is_mapped.then(|| self.virtual_address(&lower, self.streams[at].stream.wish))
    }

    fn virtual_address(&mut self, name: &str, wish: Wish) -> String {
        let is_v6 = wish == Wish::Aaaa;
        let mut known = self.mappings.iter();
        if let Some((address, _)) =
            known.find(|(address, known)| known == name && address.contains(':') == is_v6)
        {
            return address.clone();
        }
        let number = u8::try_from(self.mappings.len() + 4).unwrap();
        let address = match wish {
            Wish::Aaaa => format!("[fe93:107b::{number:x}]"),
            _ => Ipv4Addr::new(127, 205, 85, number).to_string(),
        };
        self.mappings.push((address.clone(), name.to_owned()));
        let line = format!("650 ADDRMAP {address} {name} NEVER CACHED=\"YES\"\r\n");
        self.event("ADDRMAP", &bytes(&line));
        address
    }

    fn end(&mut self, at: usize, end: End) {
        self.streams[at].ends.push(end);
    }

    /// Closes a stream for a reason: FAILED and CLOSED for connections, CLOSED for
    /// questions.
    pub fn close(&mut self, at: usize, reason: &str) {
        if !self.streams[at].stream.is_question() {
            self.stream_event(at, "FAILED", &format!(" REASON={reason}"));
        }
        self.close_silently(at, reason);
        let code = self.streams[at].stream.code(reason);
        self.end(at, End::Closed(reason.to_owned(), code));
    }

    fn close_silently(&mut self, at: usize, reason: &str) {
        self.stream_event(at, "CLOSED", &format!(" REASON={reason}"));
        self.streams[at].open = false;
        self.streams[at].waiting = false;
        let place = self.order.iter().position(|&one| one == at);
        self.order.swap_remove(place.unwrap());
        if reason == "SOCKS_PROTOCOL" && self.streams[at].ends.is_empty() {
            self.end(at, End::Closed(reason.to_owned(), 1));
        }
    }

    /// The circuit of an attached stream fails, and the stream waits again. Not
    /// recorded.
    pub fn detach(&mut self, at: usize) {
        self.stream_event(at, "DETACHED", " REASON=TIMEOUT");
        if self.leaves_streams() {
            let live = &mut self.streams[at];
            live.waiting = true;
            live.status = live.stream.first_status();
            self.stream_event(at, "CONTROLLER_WAIT", "");
        }
    }

    /// The client closes its connection.
    pub fn client_leaves(&mut self, at: usize) {
        if self.streams[at].open {
            self.close_silently(at, "DONE");
            self.end(at, End::Left);
        }
    }

    /// A command redirects a stream.
    pub fn redirect(&mut self, controller: usize, at: usize, host: &str, port: Option<u16>) {
        let live = &mut self.streams[at];
        let is_the_same = live.stream.host == bytes(host);
        live.stream.host = bytes(host);
        live.stream.port = port.unwrap_or(live.stream.port);
        let id = live.id;
        if !is_the_same {
            self.redirected.insert(id, host.to_owned());
            if is_ours(&bytes(host)) {
                self.violate(format!(
                    "controller {controller} redirected stream {id} to {host:?}"
                ));
            }
        }
    }

    /// Whether a stream was redirected in the same turn, so that nobody can have
    /// read the reply.
    pub fn was_redirected_just_now(&self, at: usize) -> bool {
        self.redirected.contains_key(&self.streams[at].id)
    }

    pub fn violate(&mut self, what: String) {
        self.transcript.push(format!("!!! {what}"));
        self.violations.push(what);
    }

    /// The end of everything that went to and fro.
    pub fn story(&self) -> String {
        let begin = self.transcript.len().saturating_sub(200);
        let lines = self.transcript[begin..].iter();
        let lines: Vec<String> = lines.map(|line| line.chars().take(300).collect()).collect();
        format!("{lines:#?}")
    }

    // Options and signals.

    pub fn set(&mut self, key: &'static str, value: &str) {
        let old = self.options.insert(key, value.to_owned());
        if old.as_deref() != Some(value) {
            let line = format!("650-CONF_CHANGED\r\n650-{key}={value}\r\n650 OK\r\n");
            self.event("CONF_CHANGED", line.as_bytes());
        }
    }

    pub fn reload(&mut self) {
        self.set(LEAVE, "0");
        self.event("SIGNAL", b"650 SIGNAL RELOAD\r\n");
    }

    pub fn newnym(&mut self) {
        self.epoch += 1;
        self.event("SIGNAL", b"650 SIGNAL NEWNYM\r\n");
    }

    /// The lines of `GETINFO stream-status`.
    pub fn stream_status(&self) -> Vec<Vec<u8>> {
        let open = self.order.iter().map(|&at| &self.streams[at]);
        open.map(|one| {
            let head = format!("{} {} 0 ", one.id, one.status);
            [head.into_bytes(), one.stream.target()].concat()
        })
        .collect()
    }

    /// Tor ends: nothing is left of its streams, options and controllers.
    pub fn die(&mut self) {
        for at in 0..self.streams.len() {
            if self.streams[at].open {
                self.streams[at].open = false;
                self.end(at, End::Gone);
            }
        }
        self.order.clear();
        for controller in &mut self.controllers {
            controller.open = false;
        }
        self.options.insert(LEAVE, "0".to_owned());
        self.mappings.clear();
        self.next = 17;
        self.epoch = 0;
    }

    pub fn add(&mut self, writer: Sender<Vec<u8>>) -> usize {
        self.controllers.push(Controller {
            writer,
            auth: self.auth.clone(),
            authenticated: false,
            asked_for_protocolinfo: false,
            events: Vec::new(),
            pending: Vec::new(),
            out: Vec::new(),
            open: true,
            commands: Vec::new(),
        });
        self.controllers.len() - 1
    }
}
