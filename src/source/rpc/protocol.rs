//! The requests for a node, in its dialect of `name_show`, and its replies.

use std::sync::atomic::{AtomicBool, Ordering};

use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::config::settings::DialectSetting;
use crate::isolation::IsolationId;
use crate::snapshot::NameKey;
use crate::source::name_show::{Encoding, RpcError};

/// One way to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `[name, options]`, in hexadecimal.
    Core,
    /// `{"identifier": name, "options": options}`, in hexadecimal.
    ElectrumNmc,
    /// `[name]`, as it is, without options, and so without an isolation id.
    ConsensusJ,
}

impl Dialect {
    /// The body of a request for `key`.
    ///
    /// Where the dialect has options, a request without the isolation id is
    /// only ever made for the shared id, which has no text.
    pub fn name_show(self, isolation: &IsolationId, key: &NameKey) -> String {
        let name = HEXLOWER.encode(key.as_str().as_bytes());
        let mut options = json!({"nameEncoding": "hex", "valueEncoding": "hex"});
        if let (Some(id), Some(options)) = (isolation.as_str(), options.as_object_mut()) {
            options.insert("streamID".into(), Value::from(id));
        }
        let params = match self {
            Self::Core => json!([name, options]),
            Self::ElectrumNmc => json!({"identifier": name, "options": options}),
            Self::ConsensusJ => json!([key.as_str()]),
        };
        request("name_show", &params)
    }

    /// The encoding of names and values in a reply that names none.
    pub fn encoding(self) -> Encoding {
        match self {
            Self::Core | Self::ElectrumNmc => Encoding::Hex,
            Self::ConsensusJ => Encoding::Plain,
        }
    }

    /// Whether `error` means that the node wants another dialect.
    pub fn is_refused_by(self, error: &RpcError) -> bool {
        match self {
            // Electrum-NMC mistakes the options for the name of an encoding.
            Self::Core => {
                error.code == 1
                    && (error.message.contains("is not a valid Encoding")
                        || error.message.contains("unexpected keyword argument"))
            }
            // Core: an unknown named parameter (-8); older versions explain
            // the method (-1) or miss a parameter of the right type (-3).
            Self::ElectrumNmc => matches!(error.code, -1 | -3 | -8 | -32602),
            Self::ConsensusJ => false,
        }
    }

    /// The dialect's name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Core => "Namecoin Core",
            Self::ElectrumNmc => "Electrum-NMC",
            Self::ConsensusJ => "ConsensusJ-Namecoin",
        }
    }
}

/// The body of a request for what Electrum-NMC says of itself. It is about
/// the node only, so it carries no isolation id.
pub(super) fn getinfo() -> String {
    request("getinfo", &json!([]))
}

/// The body of a request for one of Electrum-NMC's settings.
pub(super) fn getconfig(key: &str) -> String {
    request("getconfig", &json!({"key": key}))
}

/// The body of a request.
pub(super) fn request(method: &str, params: &Value) -> String {
    // The id is constant: one connection carries one request at a time, and a
    // counter would tell the node how many requests there were.
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
}

/// Which dialect the node understands, as far as that is known.
///
/// No lock: a fetch that finds the wrong dialect remembered repeats its own
/// request, and no fetch waits for another one to find out.
#[derive(Debug)]
pub(super) struct DialectMemory {
    fixed: Option<Dialect>,
    electrum: AtomicBool,
}

impl DialectMemory {
    /// Begins with the configured dialect; `Auto` begins with Core's.
    pub fn new(setting: DialectSetting) -> Self {
        Self {
            fixed: match setting {
                DialectSetting::Auto => None,
                DialectSetting::Core => Some(Dialect::Core),
                DialectSetting::ElectrumNmc => Some(Dialect::ElectrumNmc),
                DialectSetting::ConsensusJ => Some(Dialect::ConsensusJ),
            },
            electrum: AtomicBool::new(false),
        }
    }

    /// The dialect for the next request.
    pub fn current(&self) -> Dialect {
        self.fixed.unwrap_or_else(|| {
            if self.electrum.load(Ordering::Relaxed) {
                Dialect::ElectrumNmc
            } else {
                Dialect::Core
            }
        })
    }

    /// Remembers that `refused` was refused and returns the dialect to try
    /// instead; `None` if the setting permits no other.
    pub fn switch_from(&self, refused: Dialect) -> Option<Dialect> {
        if self.fixed.is_some() {
            return None;
        }
        // Both dialects of `Auto` carry the isolation id. ConsensusJ's does
        // not, and is therefore never among those to try.
        let other = match refused {
            Dialect::Core => Dialect::ElectrumNmc,
            _ => Dialect::Core,
        };
        self.electrum
            .store(other == Dialect::ElectrumNmc, Ordering::Relaxed);
        Some(other)
    }
}

/// A JSON-RPC reply of version 1.0 or 2.0.
#[derive(Debug)]
pub(super) enum Reply<'a> {
    /// The method's result, not yet parsed.
    Result(&'a RawValue),
    /// The method failed.
    Error(RpcError),
}

impl<'a> Reply<'a> {
    /// Parses a reply; `None` if the body is not a JSON-RPC reply.
    ///
    /// Version 1.0 sends both members and one of them is null, version 2.0
    /// sends one. Only these two are parsed, without recursion, so nesting
    /// elsewhere in the body costs nothing.
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            result: Option<&'a RawValue>,
            #[serde(borrow)]
            error: Option<&'a RawValue>,
        }
        if !is_object(body) {
            return None;
        }
        let Body { result, error } = serde_json::from_slice(body).ok()?;
        if let Some(error) = error.filter(|error| error.get() != "null") {
            return is_object(error.get().as_bytes())
                .then(|| serde_json::from_str(error.get()).ok())
                .flatten()
                .map(Self::Error);
        }
        result
            .filter(|result| is_object(result.get().as_bytes()))
            .map(Self::Result)
    }
}

/// The result of a method that returns a setting: null, a boolean, a number or
/// a string. `None` for anything else, an error included.
pub(super) fn plain_result(body: &[u8]) -> Option<Value> {
    #[derive(Deserialize)]
    struct Body<'a> {
        // Null is a result, but the member must exist.
        #[serde(borrow)]
        result: &'a RawValue,
        #[serde(borrow)]
        error: Option<&'a RawValue>,
    }
    if !is_object(body) {
        return None;
    }
    let Body { result, error } = serde_json::from_slice(body).ok()?;
    let is_plain = !result.get().starts_with(['{', '[']);
    if !is_plain || error.is_some_and(|error| error.get() != "null") {
        return None;
    }
    serde_json::from_str(result.get()).ok()
}

/// Whether JSON text is an object. Without this check, serde reads a list as the
/// members of an object in their order.
fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().starts_with(b"{")
}

/// What an error that says nothing of the name says of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NodeState {
    /// It is starting, syncing or without a connection, which passes.
    NotReady,
    /// It knows no method `name_show`.
    NoSuchMethod,
    /// Its `name_show` has no options yet, one of which is the isolation id; it
    /// replies with its help text.
    TooOld,
    /// It does not accept requests of this form.
    Refuses,
    /// Anything else.
    Unknown,
}

/// Classifies an error that says nothing of the name.
pub(super) fn node_state(error: &RpcError) -> NodeState {
    const NOT_CONNECTED: i64 = -9;
    const IN_INITIAL_DOWNLOAD: i64 = -10;
    const IN_WARM_UP: i64 = -28;
    const MISCELLANEOUS: i64 = -1;
    const TYPE_ERROR: i64 = -3;
    const INVALID_PARAMETER: i64 = -8;
    const INVALID_REQUEST: i64 = -32600;
    const METHOD_NOT_FOUND: i64 = -32601;
    const INVALID_PARAMS: i64 = -32602;
    const ELECTRUM: i64 = 1;
    const PASSING: [&str; 3] = ["still syncing", "no interface", "no clean interface"];
    match error.code {
        NOT_CONNECTED | IN_INITIAL_DOWNLOAD | IN_WARM_UP => NodeState::NotReady,
        METHOD_NOT_FOUND => NodeState::NoSuchMethod,
        MISCELLANEOUS if error.message.trim_start().starts_with("name_show") => NodeState::TooOld,
        TYPE_ERROR | INVALID_PARAMETER | INVALID_REQUEST | INVALID_PARAMS => NodeState::Refuses,
        ELECTRUM => {
            let message = error.message.to_ascii_lowercase();
            if PASSING.iter().any(|words| message.contains(words)) {
                NodeState::NotReady
            } else {
                NodeState::Unknown
            }
        }
        _ => NodeState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_error(body: &str, code: i64) -> bool {
        matches!(Reply::parse(body.as_bytes()), Some(Reply::Error(e)) if e.code == code)
    }

    #[test]
    fn both_versions_are_taken() {
        assert!(is_error(
            r#"{"result":null,"error":{"code":-4,"message":"m"},"id":1}"#,
            -4
        ));
        assert!(is_error(
            r#"{"jsonrpc":"2.0","error":{"code":-4},"id":1}"#,
            -4
        ));
        for body in [
            r#"{"result":{"a":1},"error":null,"id":1}"#,
            r#" {"jsonrpc":"2.0","result":{"a":1},"id":1}"#,
        ] {
            let reply = Reply::parse(body.as_bytes());
            assert!(matches!(reply, Some(Reply::Result(r)) if r.get() == r#"{"a":1}"#));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for body in [
            "",
            "null",
            "[]",
            "{}",
            "{",
            "Invalid Request",
            r#"{"result":null,"error":null}"#,
            r#"{"result":"text"}"#,
            r#"{"result":[1]}"#,
            r#"{"error":"text"}"#,
            r#"{"error":[1,"m"]}"#,
            r#"{"error":{"code":"x"}}"#,
            r#"{"result":{}}x"#,
            r#"[{"a":1},null]"#,
        ] {
            assert!(Reply::parse(body.as_bytes()).is_none(), "{body}");
        }
        assert!(Reply::parse(b"{\"result\":{\"a\":\"\xff\"}}").is_none());
    }

    #[test]
    fn settings_are_plain() {
        for (body, expected) in [
            (r#"{"result":null}"#, Some(Value::Null)),
            (r#"{"id":1,"result":true,"error":null}"#, Some(true.into())),
            (r#"{"result":"socks5:h:1"}"#, Some("socks5:h:1".into())),
            (r#"{"result":[1]}"#, None),
            (r#"{"result":{"a":1}}"#, None),
            (r#"{"result":null,"error":{"code":1}}"#, None),
            (r#"{"error":{"code":1}}"#, None),
            ("{}", None),
            ("[null]", None),
            ("", None),
        ] {
            assert_eq!(plain_result(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn deep_nesting_is_harmless() {
        let deep = "[".repeat(500_000);
        assert!(Reply::parse(format!("{{\"result\":{{}},\"x\":{deep}").as_bytes()).is_none());
        let closed = format!("{{\"result\":{{}},\"x\":{deep}{}}}", "]".repeat(500_000));
        // Either verdict is fine; what matters is that there is one.
        let _ = Reply::parse(closed.as_bytes());
    }
}
