//! What is known about the names that a query depends on.
//!
//! Value, zone, engine and answer policy do no I/O. They read a [`Snapshot`],
//! and report the names that are missing from it. A fetch that failed is an
//! entry too, so that only answers that depend on it fail.

pub mod delegated;

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
    /// The name servers of a delegated name could not be reached, or nothing that
    /// they answered can be believed. Whoever runs them can act. All of them were
    /// tried, so trying again at once would not help.
    NameServers,
    /// A bug in this program. Trying again would run into it again.
    Internal,
}

impl FetchErrorKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Unreachable,
        Self::NotReady,
        Self::Overloaded,
        Self::Credentials,
        Self::BadReply,
        Self::Unsuitable,
        Self::File,
        Self::TimedOut,
        Self::NameServers,
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
            Self::NameServers => "name servers",
            Self::Internal => "internal",
        }
    }

    /// Whether trying again within the same query can help.
    pub fn is_retried(self) -> bool {
        !matches!(
            self,
            Self::Credentials | Self::Unsuitable | Self::NameServers | Self::Internal
        )
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

/// What a query may depend on, and is fetched for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// The value of a name.
    Name(NameKey),
    /// What name servers answer.
    Delegated(Arc<delegated::Question>),
}

impl Key {
    /// The name key, if it is one.
    pub fn name(&self) -> Option<&NameKey> {
        match self {
            Self::Name(key) => Some(key),
            Self::Delegated(_) => None,
        }
    }
}

impl From<NameKey> for Key {
    fn from(key: NameKey) -> Self {
        Self::Name(key)
    }
}

/// What was fetched for a [`Key`] of the same kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// What is known of a name.
    Name(Fetched),
    /// What name servers answered.
    Delegated(Arc<delegated::Answer>),
}

impl Finding {
    /// A summary in a few words.
    pub fn summary(&self) -> String {
        match self {
            Self::Name(fetched) => fetched.summary(),
            Self::Delegated(answer) => answer.summary(),
        }
    }
}

impl From<Fetched> for Finding {
    fn from(fetched: Fetched) -> Self {
        Self::Name(fetched)
    }
}

/// What is known to one query, under its isolation id: values of names, and what
/// name servers answered. It only grows while the query is answered, so the query
/// sees each of them in one state.
#[derive(Debug, Clone)]
pub struct Snapshot {
    isolation: IsolationId,
    follows_delegations: bool,
    entries: BTreeMap<NameKey, Entry>,
    delegated: BTreeMap<Arc<delegated::Question>, Delegated>,
}

/// What name servers answered, or why there is no answer.
type Delegated = Result<Arc<delegated::Answer>, FetchError>;

impl Snapshot {
    /// An empty snapshot for a query under `isolation`.
    pub fn new(isolation: IsolationId) -> Self {
        Self {
            isolation,
            follows_delegations: false,
            entries: BTreeMap::new(),
            delegated: BTreeMap::new(),
        }
    }

    /// Sets whether name servers can be asked. The default is no.
    #[must_use]
    pub fn following_delegations(mut self, follows: bool) -> Self {
        self.follows_delegations = follows;
        self
    }

    /// Whether name servers can be asked.
    pub fn follows_delegations(&self) -> bool {
        self.follows_delegations
    }

    /// The isolation id that everything was fetched under.
    pub fn isolation(&self) -> &IsolationId {
        &self.isolation
    }

    /// Adds an entry, or replaces that of the same name.
    pub fn insert(&mut self, key: NameKey, entry: Entry) {
        self.entries.insert(key, entry);
    }

    /// Adds what was fetched for a key, or failed to be. A finding of another kind
    /// than the key is a bug, which counts as a failure.
    pub fn learn(&mut self, key: Key, result: Result<Finding, FetchError>) {
        match key {
            Key::Name(key) => {
                let entry = match result {
                    Ok(Finding::Name(fetched)) => Entry::Known(fetched),
                    Ok(Finding::Delegated(_)) => Entry::Failed(FetchError::bug()),
                    Err(failure) => Entry::Failed(failure),
                };
                self.insert(key, entry);
            }
            Key::Delegated(question) => {
                let answer = result.and_then(|finding| match finding {
                    Finding::Delegated(answer) => Ok(answer),
                    Finding::Name(_) => Err(FetchError::bug()),
                });
                self.delegated.insert(question, answer);
            }
        }
    }

    /// What is known about a name; `None` if it has not been fetched.
    pub fn get(&self, key: &NameKey) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// What name servers answered; `None` if they have not been asked.
    pub fn delegated(&self, question: &delegated::Question) -> Option<&Delegated> {
        self.delegated.get(question)
    }

    /// Whether there is an entry for a key.
    pub fn has(&self, key: &Key) -> bool {
        match key {
            Key::Name(key) => self.entries.contains_key(key),
            Key::Delegated(question) => self.delegated.contains_key(question),
        }
    }

    /// How many names have an entry.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no name has an entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All that is known, names first; `None` for what could not be fetched.
    pub fn findings(&self) -> impl Iterator<Item = (Key, Option<Finding>)> {
        let names = self.entries.iter().map(|(key, entry)| {
            let finding = match entry {
                Entry::Known(fetched) => Some(Finding::Name(fetched.clone())),
                Entry::Failed(_) => None,
            };
            (Key::Name(key.clone()), finding)
        });
        let delegated = self.delegated.iter().map(|(question, answer)| {
            let finding = answer.as_ref().ok().cloned().map(Finding::Delegated);
            (Key::Delegated(Arc::clone(question)), finding)
        });
        names.chain(delegated)
    }
}
