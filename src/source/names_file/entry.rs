//! One member of a names file: which of the accepted forms it has.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::snapshot::Fetched;
use crate::source::name_show::{Encoding, NameShow, RpcError};

/// What a member's value says of its name.
///
/// # Errors
/// It has none of the accepted forms; the text says what is wrong.
pub(super) fn read(json: &str) -> Result<Fetched, &'static str> {
    let json = json.trim_ascii();
    if json.starts_with('"') {
        let text: String =
            serde_json::from_str(json).map_err(|_| "its string has a bad escape sequence")?;
        return Ok(Fetched::Value(Arc::from(text.into_bytes())));
    }
    if !json.starts_with('{') {
        return Err("it is neither a string nor an object");
    }
    let Ok(members) = serde_json::from_str::<Members<'_>>(json) else {
        return Err("its object has a member with a bad escape sequence");
    };
    let Members {
        result,
        error,
        jsonrpc,
        ..
    } = members;
    if result.is_some() && (error.is_some() || jsonrpc.is_some())
        || error.is_some() && jsonrpc.is_some()
    {
        let error = error.filter(|error| error.get() != "null");
        return match (error, result) {
            (Some(error), _) => saved_error(error.get()),
            (None, Some(result)) => saved_answer(result.get()),
            (None, None) => Err("its saved answer is empty"),
        };
    }
    let is_text = |member: Option<&RawValue>| member.is_some_and(|it| it.get().starts_with('"'));
    if members.value_encoding.is_some() || is_text(members.name) && is_text(members.value) {
        return saved_answer(json);
    }
    Ok(Fetched::Value(Arc::from(json.as_bytes())))
}

/// The members of an object that tell which form it has; the last of each
/// name. The others may be many, and are passed over.
#[derive(Default)]
struct Members<'a> {
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    jsonrpc: Option<&'a RawValue>,
    value_encoding: Option<&'a RawValue>,
    name: Option<&'a RawValue>,
    value: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Telling;

        impl<'de> Visitor<'de> for Telling {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members::default();
                while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                    let place = match key.as_str() {
                        "result" => &mut members.result,
                        "error" => &mut members.error,
                        "jsonrpc" => &mut members.jsonrpc,
                        "value_encoding" => &mut members.value_encoding,
                        "name" => &mut members.name,
                        "value" => &mut members.value,
                        _ => continue,
                    };
                    *place = Some(value);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Telling)
    }
}
fn saved_answer(json: &str) -> Result<Fetched, &'static str> {
    if !json.starts_with('{') {
        return Err("its saved answer is no object");
    }
    serde_json::from_str::<NameShow>(json)
        .map_err(|_| "its saved answer is not that of name_show")?
        .fetched(Encoding::Plain)
        .map_err(|what| match what {
            "has no value" => "its saved answer has no value",
            "has a value in an unknown encoding" => "its value is in an unknown encoding",
            _ => "its value is not hexadecimal",
        })
}

fn saved_error(json: &str) -> Result<Fetched, &'static str> {
    if !json.starts_with('{') {
        return Err("its saved error is no object");
    }
    serde_json::from_str::<RpcError>(json)
        .ok()
        .and_then(|error| error.absence())
        .map(Fetched::Absent)
        .ok_or("its saved error says nothing of the name")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Absence;

    fn value(octets: &[u8]) -> Result<Fetched, &'static str> {
        Ok(Fetched::Value(Arc::from(octets)))
    }

    #[test]
    fn a_string_is_the_value() {
        assert_eq!(
            read(r#""{\"ip\":\"192.0.2.1\"}""#),
            value(br#"{"ip":"192.0.2.1"}"#)
        );
        assert_eq!(read(r#""""#), value(b""));
        assert_eq!(read(r#""gr\u00fc\u00df""#), value("grüß".as_bytes()));
    }

    #[test]
    fn a_domain_object_keeps_its_text() {
        for text in [
            "{}",
            "{ \"ip\" :\n[ \"192.0.2.1\" ],\t\"x\": 1e5, \"x\": \"\\u0041\" }",
            r#"{"name":"Alice","info":{"value":"a"}}"#,
            r#"{"value":"no encoding"}"#,
            r#"{"name":{"a":1},"value":"b"}"#,
            r#"{"error":null}"#,
            r#"{"result":{}}"#,
        ] {
            assert_eq!(read(text), value(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_saved_answer_gives_its_value() {
        for (text, octets) in [
            (r#"{"value":"7B7D","value_encoding":"hex"}"#, &b"{}"[..]),
            (
                r#"{"value":"00ff","value_encoding":"hex","expired":false}"#,
                b"\x00\xff",
            ),
            (
                r#"{"value":"7b7d","value_encoding":"ascii","expired":null}"#,
                b"7b7d",
            ),
            (r#"{"value":"ü","value_encoding":"utf8"}"#, "ü".as_bytes()),
            (r#"{"name":"d/a","value":"old node"}"#, b"old node"),
            (r#"{"result":{"value":"a"},"error":null,"id":1}"#, b"a"),
            (
                r#"{"jsonrpc":"2.0","result":{"value":"61","value_encoding":"hex"}}"#,
                b"a",
            ),
        ] {
            assert_eq!(read(text), value(octets), "{text}");
        }
    }

    #[test]
    fn absence_can_be_saved() {
        for (text, absence) in [
            (
                r#"{"value":"{}","value_encoding":"ascii","expired":true}"#,
                Absence::Expired,
            ),
            (
                r#"{"result":{"expired":true},"error":null}"#,
                Absence::Expired,
            ),
            (
                r#"{"result":null,"error":{"code":-4,"message":"name never existed: 'd/a'"},"id":1}"#,
                Absence::NeverExisted,
            ),
            (
                r#"{"jsonrpc":"2.0","error":{"code":-4,"message":"Name is purportedly unconfirmed"}}"#,
                Absence::NotYetSafe,
            ),
        ] {
            assert_eq!(read(text), Ok(Fetched::Absent(absence)), "{text}");
        }
    }

    #[test]
    fn everything_else_is_bad() {
        for text in [
            "null",
            "true",
            "1",
            "[]",
            r#""\ud800""#,
            r#"{"\ud800":1}"#,
            r#"{"value_encoding":"ascii"}"#,
            r#"{"value":"7b7","value_encoding":"hex"}"#,
            r#"{"value":"zz","value_encoding":"hex"}"#,
            r#"{"value":"e30=","value_encoding":"base64"}"#,
            r#"{"value":{},"value_encoding":"hex"}"#,
            r#"{"value_error":"invalid data for ascii","value_encoding":"ascii"}"#,
            r#"{"result":null,"error":null}"#,
            r#"{"result":[],"error":null}"#,
            r#"{"result":null,"error":{"code":-28,"message":"Verifying"}}"#,
            r#"{"jsonrpc":"2.0","error":"text"}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
