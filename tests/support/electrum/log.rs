//! What the server saw: every connection, every request, every packet.

use std::sync::{Condvar, Mutex};
use std::time::Instant;

use serde_json::Value;

use super::super::PATIENCE;

/// A line of a client.
#[derive(Debug, Clone)]
pub struct Request {
    /// Empty if the line is no request; `batch` if it is an array.
    pub method: String,
    pub params: Value,
    pub id: Value,
    /// The line to the letter.
    pub line: String,
    pub at: Instant,
}

/// What went to a client at once.
#[derive(Debug, Clone)]
pub struct Packet {
    pub bytes: usize,
    /// Whether it is one of those that are held until a second after the
    /// packet before, if that was not so long ago.
    pub small: bool,
    pub at: Instant,
}

/// The TLS side of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub server_name: Option<String>,
    /// `TLSv1_3` or `TLSv1_2`.
    pub version: String,
    /// Whether an earlier session was taken up again.
    pub resumed: bool,
}

/// One connection, in the order in which they came.
#[derive(Debug, Clone)]
pub struct Connection {
    pub tls: Option<Tls>,
    pub requests: Vec<Request>,
    pub packets: Vec<Packet>,
    /// By whichever side.
    pub closed: bool,
}

impl Connection {
    pub fn new() -> Self {
        Self {
            tls: None,
            requests: Vec::new(),
            packets: Vec::new(),
            closed: false,
        }
    }

    /// The methods that were called, in order.
    pub fn methods(&self) -> Vec<&str> {
        let methods = self.requests.iter();
        methods.map(|request| request.method.as_str()).collect()
    }

    /// What happened on it, in a line for the message of a test that failed.
    fn story(&self) -> String {
        let state = if self.closed { "closed" } else { "open" };
        format!(
            "\n{state}, {} bytes sent: {:?}",
            self.bytes(),
            self.methods()
        )
    }

    /// Bytes sent to the client.
    pub fn bytes(&self) -> usize {
        self.packets.iter().map(|packet| packet.bytes).sum()
    }
}

/// All connections, and a bell for whoever waits.
#[derive(Debug, Default)]
pub struct Log {
    connections: Mutex<Vec<Connection>>,
    changed: Condvar,
}

impl Log {
    /// Changes what is written down.
    pub fn write<T>(&self, change: impl FnOnce(&mut Vec<Connection>) -> T) -> T {
        let result = change(&mut self.connections.lock().unwrap());
        self.changed.notify_all();
        result
    }

    pub fn connections(&self) -> Vec<Connection> {
        self.connections.lock().unwrap().clone()
    }

    /// Waits until the log fits; panics with it when patience ends.
    pub fn wait(&self, what: &str, fits: impl Fn(&[Connection]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut connections = self.connections.lock().unwrap();
        while !fits(&connections) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let story: String = connections.iter().map(Connection::story).collect();
                // Unlocked, so that the server can still be dropped.
                drop(connections);
                panic!("{what}:{story}");
            }
            connections = self.changed.wait_timeout(connections, left).unwrap().0;
        }
    }
}
