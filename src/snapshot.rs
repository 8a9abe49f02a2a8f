//! What is known about the names that a query depends on.
//!
//! Value, zone, engine and answer policy do no I/O. They read a [`Snapshot`],
//! and report the names that are missing from it. A fetch that failed is an
//! entry too, so that only answers that depend on it fail.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::isolation::IsolationId;

/// The longest key in Namecoin's name database, in bytes (a consensus rule).
pub const MAX_NAME_KEY_LENGTH: usize = 255;

/// The key of an entry in Namecoin's name database, such as `d/example`.
///
/// At most [`MAX_NAME_KEY_LENGTH`] bytes. Cloning is cheap.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameKey(Arc<str>);

impl NameKey {
    /// A key; `None` if the text is empty or longer than the chain permits.
    pub fn new(key: &str) -> Option<Self> {
        (1..=MAX_NAME_KEY_LENGTH)
            .contains(&key.len())
            .then(|| Self(Arc::from(key)))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a name has no value. Each is an answer, not a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Absence {
    /// The name was never registered.
    NeverExisted,
    /// The registration has expired.
    Expired,
    /// The newest operation on the name has too few confirmations.
    NotYetSafe,
    /// The name expires so soon that the node does not vouch for it.
    AboutToExpire,
}

impl Absence {
    /// Every kind of absence.
    pub const ALL: [Self; 4] = [
        Self::NeverExisted,
        Self::Expired,
        Self::NotYetSafe,
        Self::AboutToExpire,
    ];

    /// The absence in words that continue "the name …".
    pub fn words(self) -> &'static str {
        match self {
            Self::NeverExisted => "is not registered",
            Self::Expired => "is not registered any more: it has expired",
            Self::NotYetSafe => {
                "is not yet safe to use: its newest operation has too few confirmations"
            }
            Self::AboutToExpire => "is about to expire and not safe to use",
        }
    }
}

/// What a source knows about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The value, byte for byte as in the chain. It may be empty.
    Value(Arc<[u8]>),
    /// The name has no value.
    Absent(Absence),
}

impl Fetched {
    /// A summary in a few words.
    pub fn summary(&self) -> String {
        match self {
            Self::Value(value) => format!("a value of {} bytes", value.len()),
            Self::Absent(absence) => format!("the name {}", absence.words()),
        }
    }
}

/// Why a fetch failed, and thereby who can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FetchErrorKind {
    /// The source could not be reached, or the connection broke. The operator of
    /// the node can act.
    Unreachable,
    /// The source is starting, synchronising or shutting down. This passes.
    NotReady,
    /// The source has too much to do. This passes.
    Overloaded,
    /// The source refused our credentials. The user can correct the
    /// configuration; trying again at once would look like guessing.
    Credentials,
    /// The source sent an invalid reply.
    BadReply,
    /// The source refuses such requests whatever the name. The user can choose
    /// another source; this one would refuse again.
    Unsuitable,
    /// A file with names or credentials cannot be read.
    File,
    /// No attempt completed before the deadline.
    TimedOut,
    /// A bug in this program. Trying again would run into it again.
    Internal,
}

impl FetchErrorKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Unreachable,
        Self::NotReady,
        Self::Overloaded,
        Self::Credentials,
        Self::BadReply,
        Self::Unsuitable,
        Self::File,
        Self::TimedOut,
        Self::Internal,
    ];

    /// The kind in a word or two, for logs.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::NotReady => "not ready",
            Self::Overloaded => "overloaded",
            Self::Credentials => "credentials refused",
            Self::BadReply => "bad reply",
            Self::Unsuitable => "unsuitable source",
            Self::File => "file trouble",
            Self::TimedOut => "timed out",
            Self::Internal => "internal",
        }
    }

    /// Whether trying again within the same query can help.
    pub fn is_retried(self) -> bool {
        !matches!(self, Self::Credentials | Self::Unsuitable | Self::Internal)
    }
}

/// A fetch that failed for now. It says nothing about the name.
///
/// The message is for the person who can act on it. It contains no name, no
/// isolation id and no credential.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct FetchError {
    /// What kind of failure.
    pub kind: FetchErrorKind,
    /// What happened where, in one sentence without a full stop.
    pub message: Arc<str>,
}

impl FetchError {
    /// A failure of a kind, with its message.
    pub fn new(kind: FetchErrorKind, message: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// A failure because of a bug in this program.
    pub fn bug() -> Self {
        let message = "a bug in ncprop279 was met; please report the name and its value";
        Self::new(FetchErrorKind::Internal, message)
    }
}

/// What a snapshot says about one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The value of the name is known, or that it has none.
    Known(Fetched),
    /// The name could not be fetched for now.
    Failed(FetchError),
}

/// The names known to one query, under its isolation id. It only grows while the
/// query is answered, so the query sees each name in one state.
#[derive(Debug, Clone)]
pub struct Snapshot {
    isolation: IsolationId,
    entries: BTreeMap<NameKey, Entry>,
}

impl Snapshot {
    /// An empty snapshot for a query under `isolation`.
    pub fn new(isolation: IsolationId) -> Self {
        Self {
            isolation,
            entries: BTreeMap::new(),
        }
    }

    /// The isolation id that the names were fetched under.
    pub fn isolation(&self) -> &IsolationId {
        &self.isolation
    }

    /// Adds an entry, or replaces that of the same name.
    pub fn insert(&mut self, key: NameKey, entry: Entry) {
        self.entries.insert(key, entry);
    }

    /// What is known about a name; `None` if it has not been fetched.
    pub fn get(&self, key: &NameKey) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// How many names have an entry.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no name has an entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&NameKey, &Entry)> {
        self.entries.iter()
    }
}
