//! The content of a names file: its text as it is, and an index.
//!
//! A file can have millions of names of which few are asked for. So nothing is
//! taken out of the text before it is wanted, and a name costs twelve bytes
//! beside it.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use serde::de::{Deserialize, Deserializer as _, Error, MapAccess, Visitor};
use serde_json::Deserializer;
use serde_json::value::RawValue;

use super::entry;
use crate::snapshot::Fetched;

/// What an entry says of its name, or why it is bad.
pub(super) type Entry = Result<Fetched, &'static str>;

/// Names and what each has.
pub(super) struct Names {
    text: Box<str>,
    /// One member for each key, in the order of their hashes.
    index: Vec<Member>,
    /// Where the keys are that a later member has as well.
    repeated: Vec<u32>,
    hasher: RandomState,
}

/// Where a member of the object is in the text.
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
        // Some editors put a byte order mark first; JSON has none.
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
            // Not the whole text of the error, which may quote the file.
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

    /// Brings the members in order, and keeps the last of those with one key.
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

    /// What a name has; `None` if it has no entry.
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

    /// The names and what each has.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, Entry)> {
        let members = self.index.iter();
        members.map(|member| (self.key(member.key), self.entry(member)))
    }

    /// The keys of members that do not count, as a later one has the same key.
    pub fn repeated(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.repeated.iter().map(|at| self.key(*at))
    }

    fn entry(&self, member: &Member) -> Entry {
        entry::read(self.json_at(member.value))
    }

    fn key(&self, at: u32) -> Cow<'_, str> {
        decoded(self.json_at(at)).unwrap_or_default()
    }

    /// The JSON value that begins at a place where one was found.
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
    // The upper half does for an index.
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
