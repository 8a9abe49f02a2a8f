//! What a node answered, taken apart.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::source::name_show::RpcError;

/// A JSON-RPC answer of version 1.0 or 2.0.
#[derive(Debug)]
pub(super) enum Reply<'a> {
    /// The method's result, not yet looked into.
    Result(&'a RawValue),
    /// The method failed.
    Error(RpcError),
}

impl<'a> Reply<'a> {
    /// Takes an answer apart; `None` if the body is no JSON-RPC answer.
    ///
    /// Version 1.0 sends both members and one of them is null, version 2.0
    /// sends one. Only the two are looked at, without recursion, so nesting
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

/// The result of a method that returns a setting: null, a truth value, a number
/// or a text. `None` for anything else, an error included.
pub(super) fn plain_result(body: &[u8]) -> Option<Value> {
    #[derive(Deserialize)]
    struct Body<'a> {
        // Null is a result, and the member has to be there.
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

/// Whether JSON text is an object. Without this, a list would be taken for
/// the members of an object in their order.
fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().starts_with(b"{")
}

/// What an error says of the node, where it says nothing of the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NodeState {
    /// It is starting, syncing or without a connection; that passes.
    NotReady,
    /// It knows no method `name_show`.
    NoSuchMethod,
    /// It knows the method, but from before its options, one of which is the
    /// isolation id: it answers with its help text.
    TooOld,
    /// It does not take requests of this form.
    Refuses,
    /// Anything else.
    Unknown,
}

/// Sorts an error that says nothing of the name.
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
