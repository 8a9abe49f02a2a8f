//! The protocol: JSON-RPC 2.0, one object a line, its versions, and why a call
//! fails.
//!
//! Members are found without being parsed, which needs no recursion: a line of a
//! million brackets costs what any line of that length costs.

use std::fmt;
use std::io::ErrorKind;

use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::source::transport::StreamError;

/// The longest text of a server's error that is kept, in bytes.
const MAX_TEXT: usize = 256;

/// Why a call brought no reply. The text continues a sentence that begins with
/// the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CallError {
    /// The time is up. The connection continues, and the reply is discarded when
    /// it comes.
    #[error("did not answer in time")]
    TimedOut {
        /// Nothing at all came from the server meanwhile.
        is_silent: bool,
    },
    /// Nobody waits any more. The connection continues.
    #[error("was not waited for")]
    Cancelled,
    /// One of the two sides closed the connection.
    #[error("closed the connection")]
    Closed,
    /// The connection broke.
    #[error("lost the connection ({0})")]
    Lost(ErrorKind),
    /// The server broke the protocol.
    #[error("sent {0}")]
    Protocol(&'static str),
    /// The memory for long lines is used up.
    #[error("sent more than there is room for")]
    Memory,
    /// The server leaves too many requests without a reply.
    #[error("leaves too many requests unanswered")]
    Unanswered,
    /// The request was sent on another connection: a bug of the caller.
    #[error("was not asked this")]
    Foreign,
}

impl CallError {
    /// Whether the connection has ended with this error.
    pub fn is_fatal(self) -> bool {
        !matches!(
            self,
            Self::TimedOut { .. } | Self::Cancelled | Self::Foreign
        )
    }
}

impl From<StreamError> for CallError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::TimedOut => Self::TimedOut { is_silent: false },
            StreamError::Cancelled => Self::Cancelled,
            StreamError::Closed => Self::Closed,
            StreamError::Lost(kind) => Self::Lost(kind),
            StreamError::BrokenTls => Self::Protocol("broken TLS"),
        }
    }
}

/// A server's reply to a request.
pub enum Reply {
    /// The JSON text of `result`.
    Result(Box<RawValue>),
    /// The server refuses.
    Error(ServerError),
}

impl Reply {
    /// The result, or the error in its place.
    ///
    /// # Errors
    /// The server refuses.
    pub fn result(self) -> Result<Box<RawValue>, ServerError> {
        match self {
            Self::Result(result) => Ok(result),
            Self::Error(error) => Err(error),
        }
    }
}

/// The contents of a reply stay out of messages: they reveal what was asked.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Result(result) => write!(f, "Result({} bytes)", result.get().len()),
            Self::Error(error) => error.fmt(f),
        }
    }
}

/// A server's error object.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerError {
    /// The number of the error.
    pub code: i64,
    /// The server's text, cut to 256 bytes. It may repeat what was asked: compare
    /// it, but do not show it.
    pub message: String,
}

impl fmt::Debug for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerError({})", self.code)
    }
}

impl std::error::Error for ServerError {}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error {}", self.code)
    }
}

/// A parsed line.
#[derive(Debug)]
pub enum Message<'a> {
    /// To the request with this id.
    Reply { id: u64, outcome: Outcome<'a> },
    /// Unasked.
    Notification {
        method: String,
        params: &'a RawValue,
    },
}

#[derive(Debug)]
pub enum Outcome<'a> {
    Result(&'a RawValue),
    Error(ServerError),
}

impl Outcome<'_> {
    /// Copies the outcome out of its line.
    pub fn to_reply(&self) -> Reply {
        match self {
            Self::Result(result) => Reply::Result((*result).to_owned()),
            Self::Error(error) => Reply::Error(error.clone()),
        }
    }

    /// The bytes that a copy takes.
    pub fn len(&self) -> usize {
        match self {
            Self::Result(result) => result.get().len(),
            Self::Error(error) => error.message.len(),
        }
    }
}

/// An object's members; `null` counts as absent except as a result.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
struct ErrorMembers {
    code: i64,
    #[serde(default)]
    message: String,
}

impl<'a> Message<'a> {
    /// Parses a line.
    ///
    /// # Errors
    /// [`CallError::Protocol`]: the line is neither a reply to a request of
    /// ours nor a notification.
    pub fn parse(line: &'a [u8]) -> Result<Self, CallError> {
        // serde would take an array for an object, its members in their order.
        if !line.trim_ascii_start().starts_with(b"{") {
            return Err(CallError::Protocol("something else than a JSON object"));
        }
        let members: Members<'a> = serde_json::from_slice(line)
            .map_err(|_| CallError::Protocol("something else than JSON-RPC"))?;
        match (members.id, members.method) {
            (Some(id), None) => Ok(Self::Reply {
                id: number(id)?,
                outcome: members.outcome()?,
            }),
            (None, Some(method)) => Ok(Self::Notification {
                method: serde_json::from_str(method.get())
                    .map_err(|_| CallError::Protocol("a notification without a method"))?,
                params: members
                    .params
                    .ok_or(CallError::Protocol("a notification without parameters"))?,
            }),
            // An error with the id null means that a request was not JSON.
            _ => Err(CallError::Protocol("a message without a purpose")),
        }
    }
}

impl<'a> Members<'a> {
    fn outcome(&self) -> Result<Outcome<'a>, CallError> {
        if let Some(error) = self.error {
            return error_of(error).map(Outcome::Error);
        }
        self.result
            .map(Outcome::Result)
            .ok_or(CallError::Protocol("a reply without a result"))
    }
}

fn number(id: &RawValue) -> Result<u64, CallError> {
    id.get()
        .parse()
        .map_err(|_| CallError::Protocol("a reply to a request that was not made"))
}

fn error_of(json: &RawValue) -> Result<ServerError, CallError> {
    let ErrorMembers { code, mut message } = serde_json::from_str(json.get())
        .map_err(|_| CallError::Protocol("an error without a code"))?;
    let end = (0..=MAX_TEXT)
        .rev()
        .find(|end| message.is_char_boundary(*end));
    // For a shorter text, that is its end.
    message.truncate(end.unwrap_or_default());
    Ok(ServerError { code, message })
}

/// A version of the protocol. Later versions are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Protocol([u16; 3]);

impl Protocol {
    /// The first version that is spoken.
    pub const V1_4: Self = Self([1, 4, 0]);
    /// The first whose `block.headers` leaves AuxPoW out if a checkpoint is
    /// given.
    pub const V1_4_1: Self = Self([1, 4, 1]);
    /// The last version that is spoken, and the first with
    /// `blockchain.name.get_value_proof`.
    pub const V1_4_3: Self = Self([1, 4, 3]);

    /// The first whose servers leave AuxPoW out in the wrong places.
    pub const V1_6: Self = Self([1, 6, 0]);

    /// Reads two or three decimal numbers with dots between them; `None` for
    /// everything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut version = [0; 3];
        let mut places = version.iter_mut();
        for part in text.split('.') {
            // The standard library would take a sign as well.
            let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
            *places.next()? = part.parse().ok().filter(|_| is_number)?;
        }
        text.contains('.').then_some(Self(version))
    }

    /// Whether this client speaks it.
    pub fn is_spoken(self) -> bool {
        (Self::V1_4..=Self::V1_4_3).contains(&self)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([major, minor, patch]) = self;
        write!(f, "{major}.{minor}")?;
        if *patch > 0 {
            write!(f, ".{patch}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(line: &str) -> Option<(u64, Reply)> {
        match Message::parse(line.as_bytes()) {
            Ok(Message::Reply { id, outcome }) => Some((id, outcome.to_reply())),
            _ => None,
        }
    }

    #[test]
    fn replies_are_told_by_their_id() {
        for (line, expected) in [
            (
                r#"{"jsonrpc":"2.0","result":["ElectrumX 2.0b1","1.4.3"],"id":0      }"#,
                r#"["ElectrumX 2.0b1","1.4.3"]"#,
            ),
            (r#"{"jsonrpc": "2.0", "result": null, "id": 0}"#, "null"),
            (r#" {"id":0,"error":null,"result":0,"more":{"id":1}}"#, "0"),
        ] {
            let Some((0, Reply::Result(result))) = reply(line) else {
                panic!("{line}");
            };
            assert_eq!(result.get(), expected);
        }
    }

    #[test]
    fn errors_have_a_code_and_a_short_text() {
        let text = "ä".repeat(1000);
        let line =
            format!(r#"{{"error":{{"code":-32601,"message":"{text}"}},"result":null,"id":7}}"#);
        let Some((7, Reply::Error(error))) = reply(&line) else {
            panic!("no error");
        };
        assert_eq!(error.code, -32601);
        assert_eq!(error.message.len(), 256);
        assert_eq!(
            format!("{error:?} {error}"),
            "ServerError(-32601) error -32601"
        );
    }

    #[test]
    fn notifications_have_a_method_and_no_id() {
        let line =
            br#"{"jsonrpc":"2.0","method":"blockchain.headers.subscribe","params":[{"height":1}]}"#;
        let Ok(Message::Notification { method, params }) = Message::parse(line) else {
            panic!("no notification");
        };
        assert_eq!(
            (method.as_str(), params.get()),
            ("blockchain.headers.subscribe", r#"[{"height":1}]"#)
        );
    }

    #[test]
    fn everything_else_breaks_the_protocol() {
        let deep = "[".repeat(1 << 20);
        let deep_result = format!(r#"{{"id":0,"result":{deep}"#);
        for line in [
            "",
            "HTTP/1.1 400 Bad Request",
            "null",
            "[]",
            r#"[0, 1, null, null, null]"#,
            r#"[{"id":0,"result":1}]"#,
            "{}",
            r#"{"id":0}"#,
            r#"{"id":null,"result":1}"#,
            r#"{"id":null,"error":{"code":-32700,"message":"invalid JSON"}}"#,
            r#"{"id":"0","result":1}"#,
            r#"{"id":-1,"result":1}"#,
            r#"{"id":0.0,"result":1}"#,
            r#"{"id":18446744073709551616,"result":1}"#,
            r#"{"id":0,"id":0,"result":1}"#,
            r#"{"id":0,"result":1,"result":2}"#,
            r#"{"id":0,"result":1} {"id":1,"result":1}"#,
            r#"{"id":0,"method":"server.ping","params":[]}"#,
            r#"{"method":7,"params":[]}"#,
            r#"{"method":"x"}"#,
            r#"{"id":0,"error":"no"}"#,
            r#"{"id":0,"error":{"code":"x"}}"#,
            r#"{"id":0,"result":"#,
            &deep,
            &deep_result,
        ] {
            let result = Message::parse(line.as_bytes());
            let start: String = line.chars().take(60).collect();
            assert!(matches!(result, Err(CallError::Protocol(_))), "{start}");
        }
        for bytes in [
            &b"{\"id\":0,\"result\":\"\xff\"}"[..],
            b"\0\0\0",
            &[0xff; 100],
        ] {
            assert!(Message::parse(bytes).is_err());
        }
    }

    #[test]
    fn depth_costs_nothing_until_a_result_is_taken_apart() {
        let depth = 1 << 20;
        let line = format!(
            r#"{{"id":0,"result":{}{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        );
        let Some((0, Reply::Result(result))) = reply(&line) else {
            panic!("no result");
        };
        assert!(serde_json::from_str::<serde_json::Value>(result.get()).is_err());
    }

    #[test]
    fn versions_from_1_4_to_1_4_3_are_spoken() {
        for (text, is_spoken) in [
            ("1.4", true),
            ("1.4.1", true),
            ("1.4.2", true),
            ("1.4.3", true),
            ("1.3.9", false),
            ("1.4.4", false),
            ("1.5", false),
            ("1.6", false),
            ("2.4", false),
        ] {
            let version = Protocol::parse(text).unwrap();
            assert_eq!(version.to_string(), text);
            assert_eq!(version.is_spoken(), is_spoken, "{text}");
        }
        assert_eq!(Protocol::parse("1.4.0"), Some(Protocol::V1_4));
        assert_eq!(Protocol::parse("1.6"), Some(Protocol::V1_6));
        assert!(Protocol::V1_4_1 < Protocol::parse("1.4.2").unwrap());
        assert!(Protocol::V1_4_3 < Protocol::parse("1.10.65535").unwrap());
    }

    #[test]
    fn versions_are_plain_numbers() {
        for text in [
            "",
            "1",
            "1.",
            "1.4.",
            ".1.4",
            "1.4.3.0",
            "1.+4",
            "1.-4",
            "1.65536",
            "1. 4",
            "1.4 ",
            "1.4\u{663}",
            "ElectrumX",
        ] {
            assert_eq!(Protocol::parse(text), None, "{text}");
        }
    }
}
