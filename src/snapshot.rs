//! What is known of the names a question depends on, at one moment.
//!
//! The rooms in the middle of the program (values, zone, engine, answer
//! policy) know no I/O: they read a [`Snapshot`], and where a name is missing
//! from it they say so. A fetch that failed for the moment is an entry too,
//! so that only what depends on it fails.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::isolation::IsolationId;

/// The longest key in the name database, in bytes (a consensus rule of
/// Namecoin).
pub const MAX_NAME_KEY_LENGTH: usize = 255;

/// The key of an entry in Namecoin's name database, such as `d/example`.
///
/// At most [`MAX_NAME_KEY_LENGTH`] bytes. Cloning is cheap.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameKey(Arc<str>);

impl NameKey {
    /// Takes a key; `None` if it is empty or longer than the chain permits.
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

/// Why a name has no value: each is an answer, not a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Absence {
    /// The name was never registered.
    NeverExisted,
    /// The name's registration ran out.
    Expired,
    /// The newest operation on the name has too few confirmations.
    NotYetSafe,
    /// The name is so near its expiry that the node will not vouch for it.
    AboutToExpire,
}

impl Absence {
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

/// What a source knows of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The name's value, byte for byte as in the chain; it may be empty.
    Value(Arc<[u8]>),
    /// The name has no value.
    Absent(Absence),
}

impl Fetched {
    /// What is known, in a few words.
    pub fn summary(&self) -> String {
        match self {
            Self::Value(value) => format!("a value of {} bytes", value.len()),
            Self::Absent(absence) => format!("the name {}", absence.words()),
        }
    }
}

/// What kind of failure kept a name from being known for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No connection to the source, or it broke. The node's operator can act.
    Unreachable,
    /// The source is starting, syncing or shutting down; it passes.
    NotReady,
    /// The source has too much to do; it passes.
    Overloaded,
    /// The source refused our credentials. The user's configuration can act;
    /// trying again at once would not help and would look like guessing.
    Credentials,
    /// The source answered with something that is no answer.
    BadReply,
    /// The source does not take what it is asked, whatever the name, and says so.
    /// The user can choose another; this one would refuse again.
    Unsuitable,
    /// The file with names or credentials cannot be read.
    File,
    /// No attempt ended before the deadline.
    TimedOut,
    /// A bug of ours. Trying again would meet it again.
    Internal,
}

impl FailureKind {
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

/// A fetch that failed for the moment. It says nothing about the name.
///
/// The message says where and what, for the person who can act on it; it
/// holds no name, no isolation id and no credential.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct FetchFailure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// Where it happened and what, in one sentence without a full stop.
    pub message: Arc<str>,
}

impl FetchFailure {
    /// Makes a failure from its kind and message.
    pub fn new(kind: FailureKind, message: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

/// What a snapshot says of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The name is known (its absence counts as knowing).
    Known(Fetched),
    /// The name could not be fetched for now.
    Failed(FetchFailure),
}

/// The names known to one query, under the isolation id of that query. It only
/// ever grows while a query is answered, so that a query sees each name in one
/// state.
#[derive(Debug, Clone)]
pub struct Snapshot {
    isolation: IsolationId,
    entries: BTreeMap<NameKey, Entry>,
}

impl Snapshot {
    /// A snapshot for queries of `isolation` that knows nothing yet.
    pub fn new(isolation: IsolationId) -> Self {
        Self {
            isolation,
            entries: BTreeMap::new(),
        }
    }

    /// Whose knowledge this is.
    pub fn isolation(&self) -> &IsolationId {
        &self.isolation
    }

    /// Puts an entry in, in place of one for the same name.
    pub fn insert(&mut self, key: NameKey, entry: Entry) {
        self.entries.insert(key, entry);
    }

    /// What is known of a name; `None` if it has not been fetched.
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
