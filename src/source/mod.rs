//! Where values of names come from.
//!
//! [`Source`] is what a lookup needs: fetch a name, forget an isolation id.
//! [`diagnosis::Diagnose`] is what the subcommands need beside it. There is one
//! module for each kind of source: a node's JSON-RPC interface ([`rpc`]),
//! Electrum servers ([`electrum`]) and a file ([`names_file`]). A source does
//! blocking I/O, so only worker threads call it.

pub mod diagnosis;
pub mod electrum;
mod name_show;
pub mod names_file;
pub mod rpc;
pub mod transport;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::isolation::IsolationId;
use crate::snapshot::{FetchError, Fetched, NameKey};

/// How soon a thread that sleeps notices that it was cancelled.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How long a fetch may take, and whether anybody still wants it.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// When the first query that waits for the fetch must be answered. A later
    /// reply is only cached, for a client that asks again.
    pub due: Instant,
    /// When the fetch must have ended, successful or not.
    pub deadline: Instant,
    /// Set when nobody waits any more. A source looks at it between the
    /// steps of a fetch; `deadline` bounds each step.
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

    /// Sleeps until `until`, or until the flag is set.
    pub fn sleep_until(&self, until: Instant) {
        while !self.is_set() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(POLL_INTERVAL));
        }
    }
}

/// What a source replies to a fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceReply {
    /// What is known of the name.
    pub fetched: Fetched,
    /// The longest time that a cache may keep it, whatever the settings say;
    /// `None` leaves that to the settings.
    pub keep_at_most: Option<Duration>,
}

impl From<Fetched> for SourceReply {
    fn from(fetched: Fetched) -> Self {
        Self {
            fetched,
            keep_at_most: None,
        }
    }
}

/// A callback for a source that learns more of a name than it knew when it
/// replied to a fetch. Its first argument is the isolation id of that fetch. It
/// does not block for long.
pub type Learned = Box<dyn Fn(&IsolationId, NameKey, Fetched) + Send + Sync>;

/// A place to ask for the value of a name.
///
/// A source of your own needs [`Source::fetch`], and [`Source::forget`] if it
/// keeps anything for an isolation id, such as a connection.
pub trait Source: Send + Sync {
    /// Asks once for the value of `key`, on behalf of `isolation`.
    ///
    /// Blocks until `bounds.deadline` at the latest. It does not retry, except
    /// to replace a connection that turned out to be closed or to repeat a
    /// request in the dialect that the node understands; the resolver tries
    /// again after a failure. `bounds.deadline` can be a minute after the deadline of
    /// the query. Return when `bounds.cancel` is set: until then the fetch takes the
    /// place of another.
    ///
    /// # Errors
    /// The source could not tell for now. A name that does not exist is not
    /// an error but [`Fetched::Absent`].
    fn fetch(
        &self,
        isolation: &IsolationId,
        key: &NameKey,
        bounds: &Bounds,
    ) -> Result<SourceReply, FetchError>;

    /// Drops everything kept for an isolation id, connections included. It must
    /// not block, nor call the callback of [`Source::on_learned`].
    fn forget(&self, _isolation: &IsolationId) {}

    /// Begins what can be prepared before the first fetch. The plugin calls it
    /// once, after its client knows that it is ready; nothing depends on it.
    fn start(&self) {}

    /// Takes the callback for a source that learns more of a name after a
    /// reply with `keep_at_most`. Called at most once, before the first fetch.
    fn on_learned(&self, _learned: Learned) {}

    /// Reports whether values may have changed since the last call, so that
    /// caches must drop what they hold. The scheduler calls it about once a
    /// second. `None` means that this source has nothing to watch; it is not
    /// called again.
    fn poll(&self) -> Option<bool> {
        None
    }
}
