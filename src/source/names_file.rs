//! A file with names and values, for trying things out and for names that are
//! in no chain.
//!
//! The file is a JSON object. A member's key is a name key, its value one of
//!
//! - a string: the value, as in the chain;
//! - an object with the string members `value` and `value_encoding`: a saved
//!   answer of `name_show`, in the encoding `ascii`, `utf8` or `hex`, with
//!   `expired` honoured;
//! - any other object: the domain object itself.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::isolation::IsolationId;
use crate::snapshot::{Absence, FailureKind, FetchFailure, Fetched, NameKey};

use super::{Finding, Limit, Source};

/// The longest file that is read, in octets.
const MAX_FILE: u64 = 64 << 20;

/// A names file. It is read at the first fetch and again after a change.
pub struct NamesFile {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the file looked like when it was read, or found missing.
    seen: Option<Stamp>,
    names: Option<Arc<HashMap<String, Box<RawValue>>>>,
}

/// What tells one state of a file from another; `None` for a missing file.
type Stamp = Option<(Option<SystemTime>, u64, u64)>;

#[derive(Deserialize)]
struct Saved {
    value: String,
    value_encoding: String,
    #[serde(default)]
    expired: Option<bool>,
}

impl NamesFile {
    /// The file at `path`. It need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            state: Mutex::new(State::default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stamp(&self) -> Stamp {
        let metadata = std::fs::metadata(&self.path).ok()?;
        Some((metadata.modified().ok(), metadata.len(), inode(&metadata)))
    }

    /// The names, read if they have not been since the last change.
    fn names(&self) -> Result<Arc<HashMap<String, Box<RawValue>>>, FetchFailure> {
        let mut state = self.lock();
        if let Some(names) = &state.names {
            return Ok(Arc::clone(names));
        }
        // Looked at before it is read: a change in between is found later.
        state.seen = Some(self.stamp());
        let names = Arc::new(self.read().map_err(|why| {
            let path = self.path.display();
            FetchFailure::new(FailureKind::File, format!("the names file {path} {why}"))
        })?);
        state.names = Some(Arc::clone(&names));
        Ok(names)
    }

    fn read(&self) -> Result<HashMap<String, Box<RawValue>>, String> {
        let mut octets = Vec::new();
        File::open(&self.path)
            .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut octets))
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => "does not exist".to_owned(),
                kind => format!("cannot be read: {kind}"),
            })?;
        if octets.len() as u64 > MAX_FILE {
            return Err("is longer than 64 MiB".to_owned());
        }
        let octets = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&octets);
        serde_json::from_slice(octets).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            format!("is no JSON object of names (line {line}, column {column})")
        })
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

/// The value that an entry stands for; the error says what is wrong with it.
fn value(entry: &RawValue) -> Result<Fetched, &'static str> {
    let text = entry.get();
    let found = |value: &[u8]| Ok(Fetched::Value(value.into()));
    match text.as_bytes().first() {
        Some(b'"') => match serde_json::from_str::<String>(text) {
            Ok(value) => found(value.as_bytes()),
            Err(_) => Err("is a string that is not Unicode"),
        },
        Some(b'{') => {
            // A domain object has no item `value_encoding`.
            let Ok(saved) = serde_json::from_str::<Saved>(text) else {
                return found(text.as_bytes());
            };
            if saved.expired == Some(true) {
                return Ok(Fetched::Absent(Absence::Expired));
            }
            match &*saved.value_encoding {
                "ascii" | "utf8" => found(saved.value.as_bytes()),
                "hex" => match HEXLOWER_PERMISSIVE.decode(saved.value.as_bytes()) {
                    Ok(value) => found(&value),
                    Err(_) => Err("has a value that is not in hexadecimal"),
                },
                _ => Err("has a value_encoding other than ascii, utf8 and hex"),
            }
        }
        _ => Err("is neither a string nor an object"),
    }
}

impl Source for NamesFile {
    fn fetch(
        &self,
        _isolation: &IsolationId,
        key: &NameKey,
        _limit: &Limit,
    ) -> Result<Fetched, FetchFailure> {
        let names = self.names()?;
        let Some(entry) = names.get(key.as_str()) else {
            return Ok(Fetched::Absent(Absence::NeverExisted));
        };
        value(entry).map_err(|why| {
            let path = self.path.display();
            let message = format!("an entry of the names file {path} {why}");
            FetchFailure::new(FailureKind::File, message)
        })
    }

    fn check(&self, _limit: &Limit) -> Vec<Finding> {
        match self.names() {
            Ok(names) => {
                let path = self.path.display();
                vec![Finding::ok(
                    "names file",
                    format!("{path} has {} names", names.len()),
                )]
            }
            Err(failure) => {
                let remedy = "give --names-file a readable file with a JSON object of names";
                vec![Finding::fail("names file", failure.to_string(), remedy)]
            }
        }
    }

    fn poll(&self) -> bool {
        let seen = self.lock().seen;
        let Some(seen) = seen else {
            // Never read, so nothing can be out of date.
            return false;
        };
        if self.stamp() == seen {
            return false;
        }
        let mut state = self.lock();
        state.names = None;
        state.seen = None;
        true
    }

    fn is_polled(&self) -> bool {
        true
    }
}
