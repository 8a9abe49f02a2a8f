//! The content of a names file: its text as it is, an index, and the forms of
//! an entry.
//!
//! A file can have millions of names of which few are asked for. So nothing is
//! copied out of the text before somebody asks for it, and a name costs twelve
//! bytes in addition to its text.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use serde::Deserializer as _;
use serde::de::{self, Deserialize, Error, MapAccess, Visitor};
use serde_json::Deserializer;
use serde_json::value::RawValue;

use crate::snapshot::Fetched;
use crate::source::name_show::{Encoding, NameShow, RpcError};

/// What an entry says of its name, or why it is bad.
pub(super) type Entry = Result<Fetched, &'static str>;

/// Names and the entry of each.
pub(super) struct Names {
    text: Box<str>,
    /// One member for each key, in the order of their hashes.
    index: Vec<Member>,
    /// Where the keys are that a later member repeats.
    repeated: Vec<u32>,
    hasher: RandomState,
}

/// Where a member of the object is in the text, in bytes.
struct Member {
    hash: u32,
    key: u32,
    value: u32,
}

impl Names {
    /// Reads a file's content. The error completes "names file …".
    pub fn parse(content: Vec<u8>) -> Result<Self, String> {
        let text = String::from_utf8(content).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..valid).unwrap_or_default();
            let line = before.split(|byte| *byte == b'\n');
            let column = line.clone().next_back().map_or(0, <[u8]>::len) + 1;
            invalid(line.count(), column)
        })?;
        // Some editors write a byte order mark first, which is not JSON.
        let json = text.strip_prefix('\u{feff}').unwrap_or(&text);
        if !json.trim_ascii_start().starts_with('{') {
            return Err("is no JSON object: it must hold names and their values".into());
        }
        let hasher = RandomState::new();
        let mut reader = Deserializer::from_str(json);
        let members = Members {
            text: &text,
            hasher: &hasher,
        };
        let index = reader
            .deserialize_map(members)
            .and_then(|index| reader.end().map(|()| index))
            // The text of the error may quote the file.
            .map_err(|error| invalid(error.line(), error.column()))?;
        let mut names = Self {
            text: text.into_boxed_str(),
            index: Vec::new(),
            repeated: Vec::new(),
            hasher,
        };
        names.settle(index);
        Ok(names)
    }

    /// Sorts the members, and keeps the last of those with one key.
    fn settle(&mut self, mut index: Vec<Member>) {
        index.sort_unstable_by(|one, other| {
            let hashes = one.hash.cmp(&other.hash);
            hashes
                .then_with(|| self.key(one.key).cmp(&self.key(other.key)))
                .then_with(|| one.key.cmp(&other.key))
        });
        let mut repeated = Vec::new();
        index.dedup_by(|later, kept| {
            let is_same = later.hash == kept.hash && self.key(later.key) == self.key(kept.key);
            if is_same {
                repeated.push(kept.key);
                std::mem::swap(kept, later);
            }
            is_same
        });
        index.shrink_to_fit();
        self.index = index;
        self.repeated = repeated;
    }

    /// The entry of a name, if it has one.
    pub fn get(&self, key: &str) -> Option<Entry> {
        let hash = hash(&self.hasher, key);
        let first = self.index.partition_point(|member| member.hash < hash);
        let mut alike = self.index.iter().skip(first);
        let found = alike
            .by_ref()
            .take_while(|member| member.hash == hash)
            .find(|member| self.key(member.key) == key)?;
        Some(self.entry(found))
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// The names and their entries.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, Entry)> {
        let members = self.index.iter();
        members.map(|member| (self.key(member.key), self.entry(member)))
    }

    /// The keys of members that do not count, because a later one repeats them.
    pub fn repeated(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.repeated.iter().map(|at| self.key(*at))
    }

    fn entry(&self, member: &Member) -> Entry {
        read_entry(self.json_at(member.value))
    }

    fn key(&self, at: u32) -> Cow<'_, str> {
        decoded(self.json_at(at)).unwrap_or_default()
    }

    /// The JSON value that begins at this place.
    fn json_at(&self, at: u32) -> &str {
        let rest = usize::try_from(at).ok().and_then(|at| self.text.get(at..));
        let mut reader = Deserializer::from_str(rest.unwrap_or_default());
        <&RawValue>::deserialize(&mut reader).map_or("", RawValue::get)
    }
}

fn invalid(line: usize, column: usize) -> String {
    format!("is not valid JSON: the error is at line {line}, column {column}")
}

fn hash(hasher: &RandomState, key: &str) -> u32 {
    // The upper half is enough for an index.
    (hasher.hash_one(key) >> 32) as u32
}

/// The text of a JSON string; `None` if it has a bad escape sequence.
fn decoded(json: &str) -> Option<Cow<'_, str>> {
    let plain = json
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match plain {
        Some(plain) if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
        _ => serde_json::from_str(json).ok().map(Cow::Owned),
    }
}

/// Finds the members of the object.
struct Members<'a> {
    text: &'a str,
    hasher: &'a RandomState,
}

impl Members<'_> {
    /// Where a part of the text begins.
    fn place<E: Error>(&self, part: &str) -> Result<u32, E> {
        let at = part.as_ptr().addr().checked_sub(self.text.as_ptr().addr());
        at.and_then(|at| u32::try_from(at).ok())
            .ok_or_else(|| E::custom("beyond bounds"))
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Vec<Member>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Member>, A::Error> {
        let mut index = Vec::new();
        while let Some((key, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
            let text = decoded(key.get()).ok_or_else(|| A::Error::custom("bad escape"))?;
            index.push(Member {
                hash: hash(self.hasher, &text),
                key: self.place(key.get())?,
                value: self.place(value.get())?,
            });
        }
        Ok(index)
    }
}

/// Reads one member of a names file: which of the accepted forms it has.
///
/// # Errors
/// It has none of the accepted forms; the text says what is wrong.
fn read_entry(json: &str) -> Result<Fetched, &'static str> {
    let json = json.trim_ascii();
    if json.starts_with('"') {
        let text: String =
            serde_json::from_str(json).map_err(|_| "its string has a bad escape sequence")?;
        return Ok(Fetched::Value(Arc::from(text.into_bytes())));
    }
    if !json.starts_with('{') {
        return Err("it is neither a string nor an object");
    }
    let Ok(members) = serde_json::from_str::<EntryMembers<'_>>(json) else {
        return Err("its object has a member with a bad escape sequence");
    };
    let EntryMembers {
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

/// The members of an object that decide which form it has; of several with one
/// name, the last. There may be many others, which are skipped.
#[derive(Default)]
struct EntryMembers<'a> {
    result: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    jsonrpc: Option<&'a RawValue>,
    value_encoding: Option<&'a RawValue>,
    name: Option<&'a RawValue>,
    value: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for EntryMembers<'de> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;

        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = EntryMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = EntryMembers::default();
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

        deserializer.deserialize_map(EntryVisitor)
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

    fn value(bytes: &[u8]) -> Result<Fetched, &'static str> {
        Ok(Fetched::Value(Arc::from(bytes)))
    }

    #[test]
    fn a_string_is_the_value() {
        assert_eq!(
            read_entry(r#""{\"ip\":\"192.0.2.1\"}""#),
            value(br#"{"ip":"192.0.2.1"}"#)
        );
        assert_eq!(read_entry(r#""""#), value(b""));
        assert_eq!(read_entry(r#""gr\u00fc\u00df""#), value("grüß".as_bytes()));
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
            assert_eq!(read_entry(text), value(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_saved_answer_gives_its_value() {
        for (text, bytes) in [
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
            assert_eq!(read_entry(text), value(bytes), "{text}");
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
            assert_eq!(read_entry(text), Ok(Fetched::Absent(absence)), "{text}");
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
            assert!(read_entry(text).is_err(), "{text}");
        }
    }
}
