//! Where values of names come from.
//!
//! One trait, [`Source`], and one module for each kind: a node's JSON-RPC
//! interface ([`rpc`]) and a file ([`names_file`]). A source does blocking
//! I/O; it is called from worker threads only.

pub mod electrum;
pub mod logged;
mod name_show;
pub mod names_file;
pub mod progress;
mod proxy;
pub mod rpc;
mod socks;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bitcoin::Work;
use thiserror::Error;

use self::progress::Progress;
use crate::chain::network::Checkpoint;
use crate::isolation::IsolationId;
use crate::snapshot::{FetchFailure, Fetched, NameKey};

/// How long a fetch may take, and whether anybody still wants it.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The moment at which the first query that waits for it is to be
    /// answered. What comes later is kept for the client that asks again.
    pub due: Instant,
    /// The moment at which the fetch must have ended, one way or the other.
    pub deadline: Instant,
    /// Set when nobody waits any more. A source looks at it between the
    /// steps of a fetch; a step itself is bounded by `deadline`.
    pub cancel: Cancel,
}

/// A flag that asks a fetch to stop. Clones share the flag.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the flag.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the flag is set.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a fetch brought, and how long that may be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// What is known of the name.
    pub fetched: Fetched,
    /// The longest time for which a cache may keep it, whatever the settings
    /// say; without it, they decide.
    pub keep_at_most: Option<Duration>,
}

impl From<Fetched> for Heard {
    fn from(fetched: Fetched) -> Self {
        Self {
            fetched,
            keep_at_most: None,
        }
    }
}

/// Called by a source that has learned more of a name than it knew when it
/// answered a fetch, with the isolation id of that fetch. It must not block for
/// long.
pub type Learned = Box<dyn Fn(&IsolationId, NameKey, Fetched) + Send + Sync>;

/// How well one part of a source works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// It works.
    Ok,
    /// It works, and the user should know something about it.
    Warn,
    /// Lookups fail because of it.
    Fail,
}

/// What was found out about one part of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which part: a fixed word.
    pub label: &'static str,
    /// How well it works.
    pub health: Health,
    /// What was found.
    pub what: String,
    /// What to do about it; empty if it works.
    pub remedy: String,
}

impl Finding {
    /// Something that works.
    pub fn ok(label: &'static str, what: impl Into<String>) -> Self {
        Self {
            label,
            health: Health::Ok,
            what: what.into(),
            remedy: String::new(),
        }
    }

    /// Something the user should know, and what to do about it.
    pub fn warn(label: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            label,
            health: Health::Warn,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// Something that keeps lookups from working, and what to do about it.
    pub fn fail(label: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            health: Health::Fail,
            ..Self::warn(label, what, remedy)
        }
    }
}

/// The label of the last finding: how names are looked up.
pub const RESULT: &str = "result";

impl Finding {
    /// How names are looked up. A source that works says so last.
    pub fn result(how: impl fmt::Display) -> Self {
        Self::ok(RESULT, format!("names are looked up {how}"))
    }
}

/// A verified block, so deep that later runs can start their verification there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Milestone {
    /// The block.
    pub checkpoint: Checkpoint,
    /// The work of the chain up to and including it.
    pub work: Work,
    /// The height above which that work was done; `None` if it is all of it.
    pub work_since: Option<u32>,
    /// Whether a sample of the proofs of work was verified and not all.
    pub is_sampled: bool,
    /// Whether one of the operators is a discovered server.
    pub has_discovered: bool,
    /// Whose chains were compared.
    pub operators: Vec<String>,
}

/// Why there is no [`Milestone`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoMilestone {
    /// The source knows values and no blocks.
    #[error(
        "only Electrum servers send the block headers that this needs: use --backend electrum, with \
         --proxy"
    )]
    OtherSource,
    /// Nobody gives the headers.
    #[error("{0}")]
    Unreachable(FetchFailure),
    /// The headers cannot be relied on yet.
    #[error("{0}; a greater --timeout waits longer")]
    NotReady(FetchFailure),
    /// The chain has too few blocks above the checkpoint.
    #[error(
        "the newest block is {tip}: no block above the checkpoint ({checkpoint}) is {depth} blocks \
         deep yet"
    )]
    TooShallow {
        /// The height of the newest block.
        tip: u32,
        /// The height of the checkpoint.
        checkpoint: u32,
        /// How deep the block has to be.
        depth: u32,
    },
}

/// A place to ask for the value of a name.
pub trait Source: Send + Sync {
    /// Asks once for the value of `key`, on behalf of `isolation`.
    ///
    /// Blocks until `limit.deadline` at the latest. It does not retry, except
    /// to replace a connection that turned out to be closed or to repeat a
    /// request in the dialect that the node understands.
    ///
    /// # Errors
    /// The source could not tell for now. That a name does not exist is not
    /// an error but [`Fetched::Absent`].
    fn fetch(
        &self,
        isolation: &IsolationId,
        key: &NameKey,
        limit: &Bounds,
    ) -> Result<Fetched, FetchFailure>;

    /// As [`Source::fetch`], for a caller that keeps what it is given: also
    /// says for how long. A source that has called for `keep_at_most` may learn
    /// more of the name afterwards, and calls what [`Source::on_learned`] gave
    /// it.
    ///
    /// # Errors
    /// As for [`Source::fetch`].
    fn fetch_to_keep(
        &self,
        isolation: &IsolationId,
        key: &NameKey,
        limit: &Bounds,
    ) -> Result<Heard, FetchFailure> {
        self.fetch(isolation, key, limit).map(Heard::from)
    }

    /// Whom to call when more is learned of a name. Called at most once, before
    /// the first fetch.
    fn on_learned(&self, _learned: Learned) {}

    /// Begins with what can be prepared before the first fetch. Called once
    /// by a plugin, after its client knows that it is ready; nothing depends
    /// on it.
    fn start(&self) {}

    /// Drops everything kept for an isolation id, connections included. It must
    /// not block, nor call what [`Source::on_learned`] gave it.
    fn forget(&self, _isolation: &IsolationId) {}

    /// Tries the source out without looking a name up at anybody else, and
    /// says how well each part of it works; last, if nothing keeps lookups from
    /// working, how names are looked up ([`Finding::result`]).
    fn check(&self, limit: &Bounds) -> Vec<Finding>;

    /// How far the source is with what lookups have to wait for; `None` if they
    /// need not wait, or it is not known how long. It only looks, and does not
    /// block for long.
    fn progress(&self) -> Option<Progress> {
        None
    }

    /// The newest block that later runs can start their verification from.
    ///
    /// # Errors
    /// The source has no block headers, or not enough of them in time.
    fn milestone(&self, _limit: &Bounds) -> Result<Milestone, NoMilestone> {
        Err(NoMilestone::OtherSource)
    }

    /// Looks whether values may have changed behind the caches' back since
    /// the last call; true means that everything cached is to be dropped.
    /// Called from a background thread about once a second if
    /// [`Source::is_polled`] says so.
    fn poll(&self) -> bool {
        false
    }

    /// Whether [`Source::poll`] is worth calling.
    fn is_polled(&self) -> bool {
        false
    }
}
