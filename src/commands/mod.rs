//! What people use: the subcommands, which ask the source directly, and the
//! plugin on a terminal.

pub mod check;
pub mod checkpoint;
pub mod explain;
pub mod progress;
pub mod records;
pub mod resolve;
pub mod typed;
pub mod written;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::snapshot::{Entry, NameKey, Snapshot};
use crate::source::{Bounds, Cancel, Source};

/// Columns of a line.
const WIDTH: usize = 80;

/// A name that was fetched for a command, and what came of it.
pub struct Fetch {
    /// The name key.
    pub key: NameKey,
    /// What the source said.
    pub entry: Entry,
    /// How long that took.
    pub time: Duration,
}

/// Fetches names into a snapshot, each once, and notes what came of it.
fn fetch(
    keys: BTreeSet<NameKey>,
    snapshot: &mut Snapshot,
    source: &dyn Source,
    deadline: Instant,
    log: &mut Vec<Fetch>,
) {
    for key in keys {
        let limit = Bounds {
            due: deadline,
            deadline,
            cancel: Cancel::new(),
        };
        let begin = Instant::now();
        let entry = match source.fetch(snapshot.isolation(), &key, &limit) {
            Ok(reply) => Entry::Known(reply.fetched),
            Err(failure) => Entry::Failed(failure),
        };
        let time = begin.elapsed();
        snapshot.insert(key.clone(), entry.clone());
        log.push(Fetch { key, entry, time });
    }
}

fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout
}
