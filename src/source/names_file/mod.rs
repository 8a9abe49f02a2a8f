//! Values from a file, for tests and for machines without a node.
//!
//! The file is one JSON object. Its members are keys of the name database,
//! such as `d/example`; of members with the same key, the last one counts. A
//! member's value is one of:
//!
//! - **a string**: the value as it is in the chain;
//! - **a saved answer of `name_show`**: an object that has a member
//!   `value_encoding`, or both `name` and `value` as strings. Its `value` is
//!   read by `value_encoding` (`ascii`, `utf8` or `hex`; as text if there is
//!   none), and `"expired": true` makes the name an expired one;
//! - **a whole saved JSON-RPC answer**: an object that has a member `result`
//!   and also `error` or `jsonrpc`, whose `result` is a saved answer of
//!   `name_show`; or one whose `error` says that the name does not exist, is
//!   expired, or cannot be used yet;
//! - **any other object**: the domain object itself. Its value is its text in
//!   the file, byte for byte.
//!
//! No domain object needs members of those names, so the forms cannot be
//! confused. A member that is none of these is invalid; the others still count.

mod content;

use std::fmt;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use self::content::Names;
use super::diagnosis::{Diagnose, Finding};
use super::transport::CANCEL_CHECK_INTERVAL;
use super::{Bounds, Source, SourceReply};
use crate::isolation::IsolationId;
use crate::platform::{self, FileIdentity};
use crate::snapshot::{Absence, FetchError, FetchErrorKind, Fetched, NameKey};
use crate::text::clip;

/// The longest file that is read, in bytes.
const MAX_FILE: usize = 64 << 20;

/// Characters of a key that are shown.
const MAX_SHOWN: usize = 60;

/// The label of findings.
const LABEL: &str = "names file";

/// A file with names and their values.
///
/// A thread of its own reads the file at the first fetch, and again at the
/// first fetch after it has changed. Whether reading succeeds or fails, the
/// result is kept until the file changes. No lock is held while it is read, so
/// only fetches wait for it, and none longer than its deadline.
#[derive(Debug)]
pub struct NamesFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// Locked only for a moment.
    reading: Mutex<Reading>,
    /// The file was read.
    was_read: Condvar,
}

#[derive(Default)]
enum Reading {
    /// The file was not read yet, or has changed since.
    #[default]
    NotBegun,
    /// A thread is reading it.
    UnderWay,
    /// It was read.
    Done {
        /// What the file looked like just before; `None` if there was none.
        stamp: Option<Stamp>,
        result: Result<Arc<Names>, FetchError>,
    },
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names are not shown, only how many there are.
        match self {
            Self::NotBegun => f.write_str("NotBegun"),
            Self::UnderWay => f.write_str("UnderWay"),
            Self::Done { stamp, result } => f
                .debug_struct("Done")
                .field("stamp", stamp)
                .field("names", &result.as_ref().map(|names| names.len()))
                .finish(),
        }
    }
}

impl NamesFile {
    /// Takes the path; nothing looks at the file before the first fetch.
    pub fn new(path: PathBuf) -> Self {
        Self(Arc::new(Inner {
            path,
            reading: Mutex::default(),
            was_read: Condvar::new(),
        }))
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Reading> {
        // The value is consistent at every moment, also after a panic elsewhere.
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self, kind: FetchErrorKind, what: impl fmt::Display) -> FetchError {
        FetchError::new(kind, format!("names file {} {what}", self.path.display()))
    }

    /// The names in the file, which is read now if necessary.
    fn names(self: &Arc<Self>, bounds: &Bounds) -> Result<Arc<Names>, FetchError> {
        self.unless_it_still_fails()?;
        let mut reading = self.lock();
        loop {
            match &*reading {
                Reading::Done { result, .. } => return result.clone(),
                Reading::NotBegun => {
                    let reader = Arc::clone(self);
                    platform::thread("names")
                        .spawn(move || reader.read())
                        .map_err(|_| {
                            let what = "no thread could be started";
                            FetchError::new(FetchErrorKind::Overloaded, what)
                        })?;
                    *reading = Reading::UnderWay;
                }
                Reading::UnderWay => {}
            }
            let left = bounds.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || bounds.cancel.is_set() {
                return Err(self.failure(FetchErrorKind::TimedOut, "is still being read"));
            }
            let waited = self
                .was_read
                .wait_timeout(reading, left.min(CANCEL_CHECK_INTERVAL));
            reading = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Repeats a failure while the file is unchanged. Otherwise the file must be
    /// read again, without waiting for the next poll.
    fn unless_it_still_fails(&self) -> Result<(), FetchError> {
        let (then, failure) = match &*self.lock() {
            Reading::Done {
                stamp,
                result: Err(failure),
            } => (stamp.clone(), failure.clone()),
            _ => return Ok(()),
        };
        if self.drop_if_changed(then.as_ref()) {
            Ok(())
        } else {
            Err(failure)
        }
    }

    /// Drops what was read if the file looks different from `then`, and returns
    /// whether it does.
    fn drop_if_changed(&self, then: Option<&Stamp>) -> bool {
        // Looking may be slow, so it holds no lock.
        if Stamp::of(&self.path).as_ref() == then {
            return false;
        }
        let mut reading = self.lock();
        // Another may have noticed first.
        if matches!(&*reading, Reading::Done { stamp, .. } if stamp.as_ref() == then) {
            *reading = Reading::NotBegun;
        }
        true
    }

    /// Reads the file; the reading thread's work.
    fn read(&self) {
        // Before it is read: if it changes in between, the next look notices.
        let stamp = Stamp::of(&self.path);
        let read = || read_bounded(&self.path).and_then(Names::parse);
        let result = match catch_unwind(AssertUnwindSafe(read)) {
            Ok(result) => result.map_err(|what| self.failure(FetchErrorKind::File, what)),
            Err(_) => {
                let what = "met a bug in ncprop279; please report it";
                Err(self.failure(FetchErrorKind::Internal, what))
            }
        };
        let result = result.map(Arc::new);
        *self.lock() = Reading::Done { stamp, result };
        self.was_read.notify_all();
    }
}

impl Source for NamesFile {
    fn fetch(
        &self,
        _isolation: &IsolationId,
        key: &NameKey,
        bounds: &Bounds,
    ) -> Result<SourceReply, FetchError> {
        match self.0.names(bounds)?.get(key.as_str()) {
            None => Ok(Fetched::Absent(Absence::NeverExisted).into()),
            Some(Ok(fetched)) => Ok(fetched.into()),
            Some(Err(what)) => {
                let what = format_args!("has a bad entry for the name that was asked: {what}");
                Err(self.0.failure(FetchErrorKind::File, what))
            }
        }
    }

    /// Looks at the file's time, length and identity, not into it.
    fn poll(&self) -> Option<bool> {
        let then = match &*self.0.lock() {
            Reading::Done { stamp, .. } => stamp.clone(),
            // Nothing could be out of date.
            Reading::NotBegun | Reading::UnderWay => return Some(false),
        };
        Some(self.0.drop_if_changed(then.as_ref()))
    }
}

impl Diagnose for NamesFile {
    fn check(&self, bounds: &Bounds) -> Vec<Finding> {
        match self.0.names(bounds) {
            Ok(names) => findings(&names, &self.0.path),
            Err(failure) => {
                let remedy = "give --names-file a readable file with a JSON object of names; \
                              docs/names-file.md has its rules";
                vec![Finding::fail(LABEL, failure.to_string(), remedy)]
            }
        }
    }
}

/// What a file looks like from outside: a change shows in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    identity: Option<FileIdentity>,
}

impl Stamp {
    /// Looks at a file; `None` if there is none.
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            identity: FileIdentity::of(&metadata),
        })
    }
}

/// What is wrong with the members of a file, one finding for each problem.
fn findings(names: &Names, path: &Path) -> Vec<Finding> {
    let path = path.display();
    let has = match names.len() {
        1 => format!("{path} has one name"),
        count => format!("{path} has {count} names"),
    };
    let (mut bad, mut lost, mut repeated) = (Kind::default(), Kind::default(), Kind::default());
    for (key, entry) in names.iter() {
        if entry.is_err() {
            bad.add(&key);
        }
        if !is_of_use(&key) {
            lost.add(&key);
        }
    }
    names.repeated().for_each(|key| repeated.add(&key));
    let kinds = [
        (
            bad,
            "of them with a bad entry; one is",
            "make each entry a string or an object by the rules of docs/names-file.md",
        ),
        (
            lost,
            "of them with a key that no name leads to; one is",
            "write d/example for example.bit, in small letters",
        ),
        (
            repeated,
            "of its entries replaced by a later one with the same key; one is",
            "keep one entry for each key",
        ),
    ];
    let warning = |(kind, what, remedy): (Kind, _, _)| {
        let first = clip(&kind.first?, MAX_SHOWN);
        let text = format!("{has}, {} {what} {first:?}", kind.count);
        Some(Finding::warn(LABEL, text, remedy))
    };
    let mut found: Vec<_> = kinds.into_iter().filter_map(warning).collect();
    if found.is_empty() {
        found.push(Finding::ok(LABEL, has));
    }
    found.push(Finding::result(format!("in the file {path}")));
    found
}

/// Members with one problem: how many, and the first by its key.
#[derive(Default)]
struct Kind {
    count: usize,
    first: Option<String>,
}

impl Kind {
    fn add(&mut self, key: &str) {
        self.count += 1;
        if self.first.as_deref().is_none_or(|first| key < first) {
            self.first = Some(key.to_owned());
        }
    }
}

/// Whether a name in `.bit` can lead to a key, by itself or by an import.
fn is_of_use(key: &str) -> bool {
    let in_label = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    match key.split_once('/') {
        Some(("d", label)) => !label.is_empty() && label.bytes().all(in_label),
        Some((space, name)) => !space.is_empty() && !name.is_empty(),
        None => false,
    }
}

/// Reads the whole file. The error completes "names file …".
fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "not found: create it or correct its path".into(),
        std::io::ErrorKind::InvalidInput => "is not a file: correct its path".into(),
        kind => format!("cannot be read: {kind}"),
    };
    let too_large = || format!("refused: larger than {} MiB", MAX_FILE >> 20);
    let (file, metadata) = platform::open_to_read(path).map_err(unreadable)?;
    let length = usize::try_from(metadata.len())
        .ok()
        .filter(|length| *length <= MAX_FILE)
        .ok_or_else(too_large)?;
    let mut content = Vec::new();
    content
        .try_reserve_exact(length + 1)
        .map_err(|_| "cannot be read: out of memory")?;
    // The file may grow while it is read.
    let bound = MAX_FILE as u64 + 1;
    file.take(bound)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    if content.len() > MAX_FILE {
        return Err(too_large());
    }
    Ok(content)
}

/// The fuzz targets' entry into this room.
pub(crate) mod fuzzing {
    use std::collections::BTreeMap;

    use super::content::Names;
    use crate::snapshot::Fetched;

    /// The names in a file's content with their entries.
    ///
    /// # Errors
    /// The content is not a names file; the text completes "names file …".
    pub fn read(
        content: &[u8],
    ) -> Result<BTreeMap<Box<str>, Result<Fetched, &'static str>>, String> {
        let names = Names::parse(content.to_vec())?;
        // Each as a lookup finds it.
        let entry = |key: &str| (Box::from(key), names.get(key).unwrap_or(Err("missing")));
        Ok(names.iter().map(|(key, _)| entry(&key)).collect())
    }
}
