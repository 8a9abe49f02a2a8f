//! How replies become bytes: JSON as each version writes it, and the padding
//! and holding back of small packets.

use std::io;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

use super::Version;
use super::methods::Fault;

/// No packet of version 2.0b1 is smaller; so much goes out without delay when
/// a connection begins.
const SMALLEST: usize = 1024;

/// JSON with a space behind every separator.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.begin_array_value(out, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

impl Version {
    fn json(self, value: &Value) -> String {
        match self {
            Self::V2_0b1 => value.to_string(),
            Self::V1_15 => {
                let mut bytes = Vec::new();
                let mut serializer = Serializer::with_formatter(&mut bytes, Spaced);
                value.serialize(&mut serializer).unwrap();
                String::from_utf8(bytes).unwrap()
            }
        }
    }

    /// An object whose members stand in the given order.
    fn object(self, members: &[(&str, String)]) -> String {
        let (colon, comma) = match self {
            Self::V2_0b1 => (":", ","),
            Self::V1_15 => (": ", ", "),
        };
        let members: Vec<_> = members
            .iter()
            .map(|(key, value)| format!("\"{key}\"{colon}{value}"))
            .collect();
        format!("{{{}}}", members.join(comma))
    }

    /// A reply, without the end of its line.
    pub fn reply(self, outcome: &Result<Value, Fault>, id: &Value) -> String {
        let (key, value) = match outcome {
            Ok(result) => ("result", self.json(result)),
            Err(fault) => {
                let code = fault.code.to_string();
                let message = self.json(&Value::String(fault.message.clone()));
                (
                    "error",
                    self.object(&[("code", code), ("message", message)]),
                )
            }
        };
        let version = "\"2.0\"".to_owned();
        self.object(&[("jsonrpc", version), (key, value), ("id", self.json(id))])
    }

    /// A notification, without the end of its line.
    pub fn notification(self, method: &str, params: Option<&Value>) -> String {
        let mut members = vec![
            ("jsonrpc", "\"2.0\"".to_owned()),
            ("method", format!("\"{method}\"")),
        ];
        members.extend(params.map(|params| ("params", self.json(params))));
        self.object(&members)
    }
}

/// Gathers lines into packets.
pub struct Packer {
    padded: bool,
    hold: Duration,
    buffer: Vec<u8>,
    /// Bytes of lines that have gone out, without padding.
    sent: usize,
    last: Option<Instant>,
}

impl Packer {
    /// Version 2.0b1 pads, and holds a small packet until `hold` after the
    /// last one.
    pub fn new(version: Version, hold: Duration) -> Self {
        Self {
            padded: version == Version::V2_0b1,
            hold,
            buffer: Vec::new(),
            sent: 0,
            last: None,
        }
    }

    pub fn push(&mut self, line: &str) {
        self.buffer.extend(line.as_bytes());
        self.buffer.push(b'\n');
    }

    /// When what was gathered may go out; `None` if there is nothing. A time
    /// gone by means at once.
    pub fn due(&self) -> Option<Instant> {
        if self.buffer.is_empty() {
            return None;
        }
        let last = self.last.unwrap_or_else(Instant::now);
        if self.holds() {
            Some(last + self.hold)
        } else {
            Some(last)
        }
    }

    /// Whether what was gathered is small enough to be held back.
    pub fn holds(&self) -> bool {
        self.padded && self.last.is_some() && self.sent >= SMALLEST && self.buffer.len() < SMALLEST
    }

    /// Takes the packet. The spaces stand before the last bracket.
    pub fn take(&mut self) -> Vec<u8> {
        let mut packet = std::mem::take(&mut self.buffer);
        self.sent += packet.len();
        self.last = Some(Instant::now());
        if self.padded && packet.len() >= 2 {
            let size = packet.len().next_power_of_two().max(SMALLEST);
            let spaces = vec![b' '; size - packet.len()];
            let end = packet.len() - 2;
            packet.splice(end..end, spaces);
        }
        packet
    }
}
