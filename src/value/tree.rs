//! A value as a tree of items, in which one bad item invalidates only itself.
//!
//! JSON is read level by level. Numbers stay text, and the last of duplicate
//! keys wins (RFC 7159 section 4 leaves that open). Anything well-formed that
//! cannot be represented, such as a lone surrogate or nesting that is too deep,
//! becomes [`Tree::Unusable`] beside its valid siblings.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::value::RawValue;

/// The longest value that is read, in bytes. The chain permits 1,023; names
/// files may hold longer ones.
pub const MAX_VALUE_LENGTH: usize = 16 * 1024;

/// How deep arrays and objects may nest. The longest name has 126 labels and
/// needs two levels for each; nothing deeper can be queried.
pub(super) const MAX_DEPTH: usize = 260;

/// The members of an object by their keys.
pub type Members = BTreeMap<Box<str>, Arc<Tree>>;

/// One JSON or CBOR value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as written.
    Number(Box<str>),
    /// A string of Unicode scalar values.
    Text(Box<str>),
    /// An array.
    Array(Vec<Tree>),
    /// An object.
    Object(Members),
    /// A byte string, which only CBOR has.
    Bytes(Box<[u8]>),
    /// Something well-formed that cannot be represented; the text says why.
    Unusable(&'static str),
}

impl Tree {
    /// Whether this is `null`, which mostly means that the item is absent.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text, if this is a string.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What this is, for error messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
            Self::Bytes(_) => "bytes",
            Self::Unusable(why) => why,
        }
    }
}

/// Reads a JSON value (IFA-0001, "Values"); `None` if the value is not JSON.
pub(super) fn read_json(value: &[u8]) -> Option<Tree> {
    let text = std::str::from_utf8(value).ok()?;
    let raw = serde_json::from_str::<&RawValue>(text).ok()?;
    Some(parse_level(raw, 0))
}

/// How many bytes [`read_json`] visits. It reads each level separately, so a
/// byte counts once for each level around it.
pub(super) fn parsing_cost(value: &[u8]) -> usize {
    let mut depth: usize = 1;
    let mut in_string = false;
    let mut escaped = false;
    let mut cost: usize = 0;
    for byte in value.iter().take(MAX_VALUE_LENGTH) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth = (depth + 1).min(MAX_DEPTH),
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1).max(1),
            _ => {}
        }
        cost = cost.saturating_add(depth);
    }
    cost
}

/// A member's key. If it contains a lone surrogate it is no text.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a>(Cow<'a, [u8]>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(bytes.to_vec())))
            }
            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(bytes)))
            }
        }
        // serde_json returns a string with a lone surrogate only as bytes; asked
        // for text, it would reject the whole object.
        deserializer.deserialize_bytes(KeyVisitor)
    }
}

/// Reads one level; the syntax of the levels below has already been checked.
fn parse_level(raw: &RawValue, depth: usize) -> Tree {
    const BROKEN: Tree = Tree::Unusable("a part that cannot be read");
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') | Some(b'[') if depth >= MAX_DEPTH => Tree::Unusable("nested too deeply"),
        Some(b'{') => {
            let Ok(members) = serde_json::from_str::<BTreeMap<Key<'_>, &RawValue>>(text) else {
                return BROKEN;
            };
            Tree::Object(
                members
                    .into_iter()
                    .map(|(key, raw)| match String::from_utf8(key.0.into_owned()) {
                        Ok(key) => (key.into_boxed_str(), Arc::new(parse_level(raw, depth + 1))),
                        // Kept, so that it is counted as an error.
                        Err(_) => (
                            Box::from("\u{fffd}"),
                            Arc::new(Tree::Unusable("under a key that is not Unicode")),
                        ),
                    })
                    .collect(),
            )
        }
        Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(elements) => Tree::Array(
                elements
                    .into_iter()
                    .map(|raw| parse_level(raw, depth + 1))
                    .collect(),
            ),
            Err(_) => BROKEN,
        },
        Some(b'"') => match serde_json::from_str::<String>(text) {
            Ok(text) => Tree::Text(text.into_boxed_str()),
            Err(_) => Tree::Unusable("a string with a lone surrogate"),
        },
        Some(b'n') => Tree::Null,
        Some(b't') => Tree::Bool(true),
        Some(b'f') => Tree::Bool(false),
        Some(b'-' | b'0'..=b'9') => Tree::Number(Box::from(text)),
        _ => BROKEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_object(value: &[u8]) -> Option<Tree> {
        read_json(value).filter(|tree| matches!(tree, Tree::Object(_)))
    }

    fn member(value: &str, key: &str) -> Tree {
        match read_object(value.as_bytes()).unwrap() {
            Tree::Object(members) => (**members.get(key).unwrap()).clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn numbers_stay_as_written() {
        for number in [
            "0",
            "-0",
            "1.5",
            "1e400",
            "123456789012345678901234567890",
            "-1E-9",
        ] {
            let value = format!("{{\"a\":{number},\"b\":1}}");
            assert_eq!(member(&value, "a"), Tree::Number(Box::from(number)));
        }
    }

    #[test]
    fn literals_are_recognised() {
        let value = r#"{"t":true,"f":false,"n":null}"#;
        assert_eq!(member(value, "t"), Tree::Bool(true));
        assert_eq!(member(value, "f"), Tree::Bool(false));
        assert_eq!(member(value, "n"), Tree::Null);
    }

    #[test]
    fn a_lone_surrogate_invalidates_only_its_item() {
        let value = r#"{"a":"\ud800","\udc00x":1,"b":["\udfff","ok"],"c":"\ud83d\ude00"}"#;
        assert!(matches!(member(value, "a"), Tree::Unusable(_)));
        assert!(matches!(member(value, "\u{fffd}"), Tree::Unusable(_)));
        match member(value, "b") {
            Tree::Array(items) => {
                assert!(matches!(items[0], Tree::Unusable(_)));
                assert_eq!(items[1].as_text(), Some("ok"));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(member(value, "c").as_text(), Some("😀"));
    }

    #[test]
    fn the_last_of_duplicate_keys_wins_however_it_is_spelt() {
        assert_eq!(
            member(r#"{"a":1,"\u0061":2}"#, "a"),
            Tree::Number(Box::from("2"))
        );
    }

    #[test]
    fn only_a_whole_json_object_is_a_domain_object() {
        for value in [
            "",
            " ",
            "null",
            "true",
            "1",
            "\"{}\"",
            "[]",
            "{",
            "{}x",
            "{\"a\":1,}",
            "{'a':1}",
            "{} {}",
            "\u{feff}{}",
            "{\"a\":01}",
            "{\"a\":+1}",
            "{\"a\":\"\t\"}",
            "// {}\n{}",
        ] {
            assert_eq!(read_object(value.as_bytes()), None, "{value:?}");
        }
        assert_eq!(read_object(b"{\"a\":\"\xff\"}"), None);
        assert!(read_object(b" \r\n\t{ } \n").is_some());
    }

    #[test]
    fn deep_nesting_leaves_siblings_valid() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            for depth in [100, 400, 1000] {
                let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
                let value = format!("{{\"deep\":{deep},\"ip\":\"192.0.2.1\"}}");
                assert_eq!(member(&value, "ip").as_text(), Some("192.0.2.1"));
            }
        }
    }

    /// Objects, arrays, or both in turn.
    #[test]
    fn only_what_is_too_deep_is_unusable() {
        fn levels(tree: &Tree) -> usize {
            match tree {
                Tree::Array(items) => 1 + levels(&items[0]),
                Tree::Object(members) => 1 + members.get("a").map_or(0, |inner| levels(inner)),
                Tree::Unusable(_) => 0,
                other => panic!("{other:?}"),
            }
        }
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
            let deep = format!("{}{}", open.repeat(MAX_DEPTH), close.repeat(MAX_DEPTH));
            let deep = deep.replace(":}", ":1}");
            let value = format!("{{\"deep\":{deep}}}");
            // The object around it is a level too.
            assert_eq!(levels(&member(&value, "deep")), MAX_DEPTH - 1, "{open}");
        }
    }

    #[test]
    fn the_key_that_serde_json_reserves_means_nothing() {
        let value = r#"{"$serde_json::private::RawValue":"{}","$serde_json::private::Number":"1"}"#;
        assert_eq!(
            member(value, "$serde_json::private::RawValue").as_text(),
            Some("{}")
        );
        let nested = r#"{"a":{"$serde_json::private::RawValue":"x"},"b":1}"#;
        assert!(matches!(member(nested, "a"), Tree::Object(_)));
    }
}
