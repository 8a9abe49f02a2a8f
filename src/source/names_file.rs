//! Values from a file, for tests and for machines without a node.
//!
//! The file is one JSON object. Its members are keys of the name database,
//! such as `d/example`; of members with the same key the last one counts. A
//! member's value is one of:
//!
//! - **a string**: the value as it is in the chain;
//! - **a saved answer of `name_show`**: an object that has a member
//!   `value_encoding`, or both `name` and `value` as strings. Its `value` is
//!   read by `value_encoding` (`ascii`, `utf8` or `hex`; as it stands if there
//!   is none), and `"expired": true` makes the name an expired one;
//! - **a whole saved JSON-RPC answer**: an object that has a member `result`
//!   and besides `error` or `jsonrpc`, whose `result` is a saved answer of
//!   `name_show`; or one whose `error` says that the name does not exist, is
//!   expired, or cannot be used yet;
//! - **any other object**: the domain object itself. Its value is its text in
//!   the file, octet for octet.
//!
//! No domain object needs members of those names, so the forms cannot be
//! mixed up. A member that is none of these is bad, which costs only itself.

mod entry;
#[doc(hidden)]
pub mod fuzzing;
mod stamp;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use self::stamp::Stamp;
use super::{Finding, Limit, Source};
use crate::isolation::IsolationId;
use crate::snapshot::{Absence, FailureKind, FetchFailure, Fetched, NameKey};
use crate::text::clip;

/// The longest file that is read, in octets.
const MAX_FILE: u64 = 64 << 20;

/// Octets of a key that are shown.
const MAX_SHOWN: usize = 60;

/// A file with names and their values.
///
/// It is read at the first fetch and kept in memory. While it cannot be read
/// every fetch fails, and reads it again.
#[derive(Debug)]
pub struct NamesFile {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The names, if the last attempt to read them succeeded.
    names: Option<Names>,
    /// What the file looked like when it was last looked at; `None` before
    /// that.
    stamp: Option<Option<Stamp>>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names are not shown, only how many there are.
        f.debug_struct("State")
            .field("names", &self.names.as_ref().map(|names| names.0.len()))
            .field("stamp", &self.stamp)
            .finish()
    }
}

/// What each name has, or why its entry is bad.
struct Names(HashMap<Box<str>, Result<Fetched, &'static str>>);

impl Names {
    /// Reads a file's content. The error completes "names file …".
    fn parse(content: &[u8]) -> Result<Self, String> {
        // Some editors put a byte order mark first; JSON has none.
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
        if !content.trim_ascii_start().starts_with(b"{") {
            return Err("is no JSON object: it must hold names and their values".into());
        }
        serde_json::from_slice(content).map_err(|error| {
            // Not the whole text of the error, which may quote the file.
            format!(
                "is not valid JSON: the error is at line {}, column {}",
                error.line(),
                error.column()
            )
        })
    }

    fn finding(&self, path: &Path) -> Finding {
        const LABEL: &str = "names file";
        let path = path.display();
        let has = match self.0.len() {
            1 => format!("{path} has one name"),
            count => format!("{path} has {count} names"),
        };
        let bad = self.0.iter().filter(|(_, entry)| entry.is_err());
        let (bad, first_bad) = (bad.clone().count(), bad.map(|(key, _)| key).min());
        if let Some(first) = first_bad {
            let first = clip(first, MAX_SHOWN);
            return Finding::warn(
                LABEL,
                format!("{has}, {bad} of them with a bad entry; one is {first:?}"),
                "make each entry a string or an object by the rules of docs/names-file.md",
            );
        }
        let lost = self.0.keys().filter(|key| !is_of_use(key));
        let (lost, first_lost) = (lost.clone().count(), lost.min());
        if let Some(first) = first_lost {
            let first = clip(first, MAX_SHOWN);
            return Finding::warn(
                LABEL,
                format!("{has}, {lost} of them with a key that no name leads to; one is {first:?}"),
                "write d/example for example.bit, in small letters",
            );
        }
        Finding::ok(LABEL, has)
    }
}

/// Whether a name in `.bit` can lead to a key, by itself or by an import.
fn is_of_use(key: &str) -> bool {
    let in_label = |octet: u8| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-');
    match key.split_once('/') {
        Some(("d", label)) => !label.is_empty() && label.bytes().all(in_label),
        Some((space, name)) => !space.is_empty() && !name.is_empty(),
        None => false,
    }
}

impl NamesFile {
    /// Takes the path; the file is not looked at before the first fetch or
    /// poll.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole at every moment, also after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self, what: impl fmt::Display) -> FetchFailure {
        FetchFailure::new(
            FailureKind::File,
            format!("names file {} {what}", self.path.display()),
        )
    }

    fn read(&self) -> Result<Names, FetchFailure> {
        read_bounded(&self.path)
            .and_then(|content| Names::parse(&content))
            .map_err(|what| self.failure(what))
    }
}

impl Source for NamesFile {
    fn fetch(
        &self,
        _isolation: &IsolationId,
        key: &NameKey,
        _limit: &Limit,
    ) -> Result<Fetched, FetchFailure> {
        // Reading under the lock keeps many fetches at once from reading the
        // same file at once.
        let mut state = self.lock();
        let state = &mut *state;
        let names = match &mut state.names {
            Some(names) => names,
            empty => {
                // Looked at before it is read: if it changes in between, the
                // next poll sees that.
                let stamp = Stamp::of(&self.path);
                let names = self.read();
                let names = empty.insert(names?);
                state.stamp = Some(stamp);
                names
            }
        };
        match names.0.get(key.as_str()) {
            None => Ok(Fetched::Absent(Absence::NeverExisted)),
            Some(Ok(fetched)) => Ok(fetched.clone()),
            Some(Err(what)) => Err(self.failure(format_args!(
                "has a bad entry for the name that was asked: {what}"
            ))),
        }
    }

    fn check(&self, limit: &Limit) -> Vec<Finding> {
        // Any name does: what counts is that the file is read.
        let probe = NameKey::new("d/ncprop279-check");
        let read = probe.map(|key| self.fetch(&IsolationId::shared(), &key, limit));
        match read {
            Some(Err(failure)) => {
                let remedy = "give --names-file a readable file with a JSON object of names; \
                              docs/names-file.md has its rules";
                vec![Finding::fail("names file", failure.to_string(), remedy)]
            }
            _ => match &self.lock().names {
                Some(names) => vec![names.finding(&self.path)],
                // The name to try with is a good one, and was looked up.
                None => Vec::new(),
            },
        }
    }

    /// Looks at the file's time, length and identity, not into it.
    fn poll(&self) -> bool {
        let now = Stamp::of(&self.path);
        let mut state = self.lock();
        let Some(before) = state.stamp.replace(now) else {
            // Nothing was read before, so nothing can be out of date.
            return false;
        };
        let has_changed = state.stamp.as_ref() != Some(&before);
        if has_changed {
            state.names = None;
        }
        has_changed
    }

    fn is_polled(&self) -> bool {
        true
    }
}

/// Reads a file whole. The error completes "names file …".
fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "not found: create it or correct its path".into(),
        kind => format!("cannot be read: {kind}"),
    };
    // Opening anything else, a named pipe say, could wait for ever.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("is not a file: correct its path".into());
    }
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut content))
        .map_err(unreadable)?;
    if u64::try_from(content.len()).map_or(true, |length| length > MAX_FILE) {
        return Err(format!("is longer than {} MiB: shorten it", MAX_FILE >> 20));
    }
    Ok(content)
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = HashMap::new();
                while let Some((key, value)) = map.next_entry::<Box<str>, &'de RawValue>()? {
                    names.insert(key, entry::read(value.get()));
                }
                Ok(Names(names))
            }
        }

        deserializer.deserialize_map(Members)
    }
}
