//! Tor as the control port shows it: streams, what it says of them, and what it
//! makes of commands. It was written from recordings and from Tor's source, and
//! shares no code with the door.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv4Addr;

/// Who asked for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Victim,
    Attacker,
    Tor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The client is connected, and has not asked for anything.
    Connected,
    /// It waits for a controller.
    Waiting,
    /// Tor has it, and has no circuit for it.
    Pending,
    /// It is on a circuit.
    OnCircuit,
    Closed,
}

/// What a stream can be told apart by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// As `SOURCE_ADDR` has it, without the port.
    pub client: Option<&'static str>,
    pub user: &'static str,
    pub protocol: &'static str,
    pub epoch: u32,
    pub group: i8,
    /// `ISO_FIELDS`.
    pub by: &'static str,
}

impl Fields {
    /// What all events of a stream repeat.
    pub fn rest(&self) -> String {
        let mut text = String::new();
        if !self.user.is_empty() {
            let _ = write!(text, "SOCKS_USERNAME=\"{}\" ", self.user);
        }
        let _ = write!(
            text,
            "CLIENT_PROTOCOL={} NYM_EPOCH={} SESSION_GROUP={}",
            self.protocol, self.epoch, self.group
        );
        if !self.by.is_empty() {
            let _ = write!(text, " ISO_FIELDS={}", self.by);
        }
        text
    }

    /// What an announcement says.
    pub fn announced(&self, purpose: &str) -> String {
        let source = self
            .client
            .map(|client| format!("SOURCE_ADDR={client}:47942 "));
        let source = source.unwrap_or_default();
        format!("{source}PURPOSE={purpose} {}", self.rest())
    }
}

#[derive(Debug, Clone)]
pub struct Stream {
    pub owner: Owner,
    pub state: State,
    pub is_resolve: bool,
    /// What the client asked for.
    pub host: Vec<u8>,
    /// Where it goes now.
    pub current: Vec<u8>,
    pub port: u16,
    pub fields: Fields,
}

impl Stream {
    fn target(&self) -> Vec<u8> {
        let mut target = self.current.clone();
        // Tor's buffer has no room for more.
        if target.len() < 255 {
            target.extend(format!(":{}", self.port).bytes());
        }
        target
    }
}

/// Whether a host has nothing in it that Tor refuses.
pub fn is_clean(host: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(byte);
    !host.is_empty() && host.len() < 255 && host.iter().all(is_plain)
}

#[derive(Default)]
pub struct Tor {
    pub streams: BTreeMap<u64, Stream>,
    /// The id of the next connection.
    pub next: u64,
    pub leaves_unattached: bool,
    /// For names in `.auto.bit`.
    pub has_automap: bool,
    /// Virtual addresses and the names they were given to, in lower case.
    pub mappings: Vec<(Ipv4Addr, Vec<u8>)>,
    pub epoch: u32,
    has_events: bool,
    /// Events that are not written yet.
    queued: Vec<u8>,
    /// What is written to the controller.
    pub output: Vec<u8>,
    /// What the controller has written.
    pub input: Vec<u8>,
    /// Tor reads from the controller once in a turn.
    has_read: bool,
}

impl Tor {
    /// One whose last id was 16.
    pub fn new(has_automap: bool, leaves_unattached: bool) -> Self {
        Self {
            next: 17,
            has_automap,
            leaves_unattached,
            ..Self::default()
        }
    }

    /// A client connects; gives the id.
    pub fn connect(&mut self, owner: Owner, fields: Fields) -> u64 {
        let id = self.next;
        self.next += 1;
        let stream = Stream {
            owner,
            state: State::Connected,
            is_resolve: false,
            host: Vec::new(),
            current: Vec::new(),
            port: 0,
            fields,
        };
        self.streams.insert(id, stream);
        id
    }

    /// A connected client says what it wants.
    pub fn request(&mut self, id: u64, host: &[u8], port: u16, is_resolve: bool) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.state != State::Connected {
            return;
        }
        stream.host = host.to_vec();
        stream.current = host.to_vec();
        stream.port = port;
        stream.is_resolve = is_resolve;
        stream.fields.epoch = self.epoch;
        let is_of_tor = stream.owner == Owner::Tor;
        let purpose = match (stream.owner, stream.fields.client) {
            (Owner::Tor, _) => "DIR_FETCH",
            (_, None) => "DNS_REQUEST",
            _ => "USER",
        };
        stream.state = match self.leaves_unattached && !is_of_tor {
            true => State::Waiting,
            false => State::Pending,
        };
        let fields = stream.fields.announced(purpose);
        self.event(id, if is_resolve { "NEWRESOLVE" } else { "NEW" }, &fields);
        if self.leaves_unattached && !is_of_tor {
            self.waits(id);
        }
    }

    fn waits(&mut self, id: u64) {
        let rest = self.streams[&id].fields.rest();
        self.event(id, "CONTROLLER_WAIT", &rest);
    }

    fn event(&mut self, id: u64, status: &str, fields: &str) {
        if self.has_events {
            let target = self.streams[&id].target();
            self.queued
                .extend(format!("650 STREAM {id} {status} 0 ").bytes());
            self.queued.extend(target);
            self.queued.extend(format!(" {fields}\r\n").bytes());
        }
    }

    fn tells(&mut self, text: &str) {
        if self.has_events {
            self.queued.extend(text.bytes());
        }
    }

    /// The client goes away, or Tor gives up.
    pub fn close(&mut self, id: u64, reason: &str) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let was = std::mem::replace(&mut stream.state, State::Closed);
        if !matches!(was, State::Connected | State::Closed) {
            let fields = format!("REASON={reason} {}", stream.fields.rest());
            self.event(id, "CLOSED", &fields);
        }
    }

    /// A circuit is there, or fails.
    pub fn circuit(&mut self, id: u64) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        match stream.state {
            State::Pending => {
                stream.state = State::OnCircuit;
                self.event(id, "SENTCONNECT", "");
            }
            State::OnCircuit if stream.owner != Owner::Tor => {
                stream.state = match self.leaves_unattached {
                    true => State::Waiting,
                    false => State::Pending,
                };
                self.event(id, "DETACHED", "REASON=TIMEOUT");
                if self.leaves_unattached {
                    self.waits(id);
                }
            }
            _ => {}
        }
    }

    /// Another controller attaches a stream.
    pub fn attach_for_another(&mut self, id: u64) {
        self.attach(id);
    }

    pub fn new_nym(&mut self) {
        self.epoch += 1;
        self.tells("650 SIGNAL NEWNYM\r\n");
    }

    pub fn reload(&mut self) {
        if std::mem::take(&mut self.leaves_unattached) {
            self.tells("650-CONF_CHANGED\r\n650-__LeaveStreamsUnattached=0\r\n650 OK\r\n");
        }
        self.tells("650 SIGNAL RELOAD\r\n");
    }

    /// Writes the events that are queued.
    pub fn flush(&mut self) {
        self.output.append(&mut self.queued);
    }

    /// The end of a turn of the main loop.
    pub fn end_turn(&mut self) {
        self.flush();
        self.has_read = false;
    }

    /// Reads so many bytes from the controller, `check`s each command that is
    /// complete, and executes it.
    pub fn read(
        &mut self,
        buffer: &mut Vec<u8>,
        count: usize,
        mut check: impl FnMut(&Self, &[u8]),
    ) {
        if self.has_read {
            self.end_turn();
        }
        self.has_read = true;
        let count = count.min(self.input.len());
        buffer.extend(self.input.drain(..count));
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            let line = line.strip_suffix(b"\r\n").expect("lines end with CR LF");
            check(self, line);
            let line = std::str::from_utf8(line).expect("commands are ASCII");
            let reply = self.execute(line);
            self.output.extend(reply);
        }
    }

    fn execute(&mut self, line: &str) -> Vec<u8> {
        let words: Vec<&str> = line.split(' ').collect();
        let id = words.get(1).and_then(|id| id.parse().ok()).unwrap_or(0);
        match words.as_slice() {
            ["GETCONF", ..] => {
                let is_on = u8::from(self.has_automap);
                let text = format!(
                    "250-AutomapHostsOnResolve={is_on}\r\n250-AutomapHostsSuffixes=.onion,.auto.bit\r\n\
                     250-VirtualAddrNetworkIPv4=127.192.0.0/10\r\n\
                     250 VirtualAddrNetworkIPv6=[FE80::]/10\r\n"
                );
                text.into_bytes()
            }
            ["SETEVENTS", ..] => {
                self.has_events = true;
                b"250 OK\r\n".to_vec()
            }
            ["SETCONF", option] => {
                let is_on = option.ends_with('1');
                if std::mem::replace(&mut self.leaves_unattached, is_on) != is_on {
                    let is_on = u8::from(is_on);
                    self.tells(&format!(
                        "650-CONF_CHANGED\r\n650-__LeaveStreamsUnattached={is_on}\r\n650 OK\r\n"
                    ));
                }
                b"250 OK\r\n".to_vec()
            }
            ["GETINFO", "stream-status"] => list("stream-status", self.stream_status()),
            ["GETINFO", key @ "address-mappings/control"] => list(key, self.address_mappings()),
            ["GETINFO", key] => format!("552 Unrecognized key \"{key}\"\r\n").into_bytes(),
            [_, stream, ..] if !self.exists(id) => {
                format!("552 Unknown stream \"{stream}\"\r\n").into_bytes()
            }
            ["ATTACHSTREAM", _, "0"] => self.attach(id).as_bytes().to_vec(),
            ["ATTACHSTREAM", _, circuit] => {
                format!("552 Unknown circuit \"{circuit}\"\r\n").into_bytes()
            }
            ["REDIRECTSTREAM", _, host] => {
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.current = host.as_bytes().to_vec();
                }
                b"250 OK\r\n".to_vec()
            }
            ["CLOSESTREAM", ..] => {
                self.close(id, "MISC");
                b"250 OK\r\n".to_vec()
            }
            _ => panic!("{line}"),
        }
    }

    fn exists(&self, id: u64) -> bool {
        let state = self.streams.get(&id).map(|stream| stream.state);
        state.is_some_and(|state| !matches!(state, State::Connected | State::Closed))
    }

    fn attach(&mut self, id: u64) -> &'static str {
        let (has_automap, count) = (self.has_automap, self.mappings.len());
        let Some(stream) = self.streams.get_mut(&id) else {
            return "552 Unknown stream\r\n";
        };
        if !matches!(stream.state, State::Waiting | State::OnCircuit) {
            return "555 Connection is not managed by controller.\r\n";
        }
        if !is_clean(&stream.current) {
            self.close(id, "INTERNAL");
            return "551 Unable to attach stream\r\n";
        }
        stream.state = State::Pending;
        let name = stream.current.to_ascii_lowercase();
        if has_automap && stream.is_resolve && name.ends_with(b".auto.bit") {
            self.map(count, name);
            self.close(id, "DONE");
        }
        "250 OK\r\n"
    }

    fn map(&mut self, count: usize, name: Vec<u8>) {
        if !self.mappings.iter().any(|(_, known)| *known == name) {
            let last = u8::try_from(count).unwrap_or(u8::MAX);
            self.mappings.push((Ipv4Addr::new(127, 192, 0, last), name));
        }
    }

    /// A mapping that was made before the door was there.
    pub fn plant(&mut self, name: &[u8]) {
        self.map(self.mappings.len(), name.to_ascii_lowercase());
    }

    /// The name that a virtual address was given to.
    pub fn mapped(&self, host: &[u8]) -> Option<&[u8]> {
        let mut mappings = self.mappings.iter();
        let found = mappings.find(|(address, _)| address.to_string().as_bytes() == host);
        found.map(|(_, name)| name.as_slice())
    }

    fn stream_status(&self) -> Vec<u8> {
        let mut items = Vec::new();
        for (id, stream) in &self.streams {
            let (status, circuit) = match stream.state {
                State::Connected | State::Closed => continue,
                State::OnCircuit => ("SUCCEEDED", 7),
                _ if stream.is_resolve => ("NEWRESOLVE", 0),
                _ => ("NEW", 0),
            };
            let mut item = format!("{id} {status} {circuit} ").into_bytes();
            item.extend(stream.target());
            items.push(item);
        }
        items.join(&b"\r\n"[..])
    }

    fn address_mappings(&self) -> Vec<u8> {
        let items = self.mappings.iter().map(|(address, name)| {
            let mut item = format!("{address} ").into_bytes();
            item.extend(name);
            item.extend(b" NEVER");
            item
        });
        items.collect::<Vec<_>>().join(&b"\r\n"[..])
    }
}

/// A value in one line or in several, whose dots at the beginning are doubled.
fn list(key: &str, value: Vec<u8>) -> Vec<u8> {
    let mut text = Vec::new();
    if !value.contains(&b'\n') && !value.contains(&b'\r') {
        text.extend(format!("250-{key}=").bytes());
        text.extend(value);
        text.extend(b"\r\n");
    } else {
        text.extend(format!("250+{key}=\r\n").bytes());
        for line in value.split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(b".") {
                text.push(b'.');
            }
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            text.extend(line.strip_suffix(b"\r").unwrap_or(line));
            text.extend(b"\r\n");
        }
        text.extend(b".\r\n");
    }
    text.extend(b"250 OK\r\n");
    text
}
