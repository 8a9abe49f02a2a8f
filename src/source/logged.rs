//! What the log tells of each request for a name, at the level of `-vv`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::progress::Progress;
use super::{Bounds, Finding, Milestone, NoMilestone, Source};
use crate::isolation::IsolationId;
use crate::log::{Level, Log};
use crate::snapshot::{FetchFailure, Fetched, NameKey};
use crate::text::Milliseconds;

/// Tells that a request begins. Its number is unique in the life of the
/// process.
pub fn begin(log: &Log, number: u64, isolation: &IsolationId, key: &NameKey) {
    let key = log.key(isolation, key);
    log.debug(format_args!("request {number} asks for {key}"));
}

/// Tells how a request ended, and after which time.
pub fn end(log: &Log, number: u64, result: Result<&Fetched, &FetchFailure>, time: Duration) {
    if !log.tells(Level::Debug) {
        return;
    }
    let time = Milliseconds(time);
    let end = match result {
        Ok(fetched) => fetched.summary(),
        Err(failure) => format!("{} ({failure})", failure.kind.words()),
    };
    log.debug(format_args!("request {number} ended after {time}: {end}"));
}

/// A source that tells a log of each request.
pub struct LoggedSource {
    source: Arc<dyn Source>,
    log: Log,
    requests: AtomicU64,
}

impl LoggedSource {
    /// Tells `log` of the requests that `source` is to make.
    pub fn new(source: Arc<dyn Source>, log: Log) -> Self {
        Self {
            source,
            log,
            requests: AtomicU64::new(0),
        }
    }
}

impl Source for LoggedSource {
    fn fetch(
        &self,
        isolation: &IsolationId,
        key: &NameKey,
        limit: &Bounds,
    ) -> Result<Fetched, FetchFailure> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        begin(&self.log, number, isolation, key);
        let begun = Instant::now();
        let result = self.source.fetch(isolation, key, limit);
        end(&self.log, number, result.as_ref(), begun.elapsed());
        result
    }

    fn check(&self, limit: &Bounds) -> Vec<Finding> {
        self.source.check(limit)
    }

    fn progress(&self) -> Option<Progress> {
        self.source.progress()
    }

    fn milestone(&self, limit: &Bounds) -> Result<Milestone, NoMilestone> {
        self.source.milestone(limit)
    }
}
