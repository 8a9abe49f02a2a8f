//! A client that sends lines and reads lines.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::support::PATIENCE;

pub struct Client {
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
    next: u64,
}

impl Client {
    /// Connects and says nothing.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self {
            stream,
            reader,
            next: 0,
        }
    }

    /// Connects and agrees on a version of the protocol.
    pub fn greet(address: SocketAddr, protocol: &str) -> Self {
        let mut client = Self::connect(address);
        let reply = client.call("server.version", json!(["test", protocol]));
        assert_eq!(reply[1], protocol);
        client
    }

    pub fn send(&mut self, line: &str) {
        self.stream
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    /// The next line with its end; nothing at the end of the connection.
    pub fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).ok()?;
        (!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned())
    }

    pub fn value(&mut self) -> Value {
        let line = self.line().expect("a line");
        serde_json::from_str(&line).unwrap()
    }

    /// A request, and its id.
    pub fn ask(&mut self, method: &str, params: &Value) -> u64 {
        let id = self.next;
        self.next += 1;
        self.send(&request(id, method, params));
        id
    }

    /// The reply to a request that meets nothing unusual.
    pub fn reply(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, &params);
        let reply = self.value();
        assert_eq!(reply["id"], id);
        reply
    }

    pub fn call(&mut self, method: &str, params: Value) -> Value {
        let mut reply = self.reply(method, params);
        assert!(reply["error"].is_null(), "{reply}");
        reply["result"].take()
    }

    /// The message of the error that a request meets.
    pub fn error(&mut self, method: &str, params: Value) -> String {
        let reply = self.reply(method, params);
        reply["error"]["message"].as_str().unwrap().to_owned()
    }
}

/// A request's line.
pub fn request(id: u64, method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

/// The bytes of a hex string.
pub fn unhex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

/// The hash of a reversed hex string.
pub fn unhex_hash(value: &Value) -> [u8; 32] {
    let mut bytes: [u8; 32] = unhex(value).try_into().unwrap();
    bytes.reverse();
    bytes
}
