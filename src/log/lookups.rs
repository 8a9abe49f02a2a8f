//! What is logged about lookups: the progress of each query, how many there
//! were, and a warning when lookups begin to fail.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::isolation::IsolationId;
use crate::snapshot::{FetchError, FetchErrorKind};
use crate::text::Milliseconds;

use super::{Level, Log};

/// The least time between two lines with counts, and between two warnings that
/// lookups fail.
const INTERVAL: Duration = Duration::from_secs(60);

/// Logs queries, with `-v`. Without it, it keeps nothing.
pub struct QueryLog {
    log: Log,
    state: Mutex<QueryState>,
}

struct QueryState {
    /// When each unanswered query arrived.
    begun: HashMap<u64, Instant>,
    counts: Counts,
    logged: Counts,
    logged_at: Instant,
}

/// The result of a query.
#[derive(Debug, Clone, Copy)]
pub struct QueryResult<'a> {
    /// The status, 0 for an answer.
    pub status: u8,
    /// The answer, or why there is none.
    pub text: &'a str,
    /// The kind of failure, if the lookup failed.
    pub failure: Option<FetchErrorKind>,
    /// Whether the answer was cached.
    pub is_cached: bool,
}

/// How many queries ended in which way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Counts {
    answered: u64,
    not_found: u64,
    withdrawn: u64,
    cached: u64,
    failed: BTreeMap<&'static str, u64>,
}

impl QueryLog {
    /// A log of queries in `log`.
    pub fn new(log: Log) -> Self {
        Self {
            log,
            state: Mutex::new(QueryState {
                begun: HashMap::new(),
                counts: Counts::default(),
                logged: Counts::default(),
                logged_at: Instant::now(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, QueryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether queries are logged.
    pub fn is_enabled(&self) -> bool {
        self.log.is_enabled(Level::Info)
    }

    /// Logs that a query arrived. `number` identifies it from now on.
    pub fn asked(
        &self,
        number: u64,
        isolation: &IsolationId,
        name: impl Fn() -> String,
        only_onion: bool,
    ) {
        if !self.is_enabled() {
            return;
        }
        self.state().begun.insert(number, Instant::now());
        let what = self.log.name(isolation, name);
        let mode = match only_onion {
            true => ", onion services only",
            false => "",
        };
        self.log
            .debug(format_args!("ticket {number} asks for {what}{mode}"));
    }

    /// Logs the result of a query, unless it was withdrawn.
    pub fn answered(&self, number: u64, result: &QueryResult<'_>) {
        if !self.is_enabled() {
            return;
        }
        let mut state = self.state();
        let Some(begun) = state.begun.remove(&number) else {
            return;
        };
        state.counts.add(result);
        let counts = match state.logged_at.elapsed() >= INTERVAL {
            true => state.counts_to_log(),
            false => None,
        };
        drop(state);
        self.log_result(number, result, Milliseconds(begun.elapsed()));
        if let Some(counts) = counts {
            self.log.info(counts);
        }
    }

    fn log_result(&self, number: u64, result: &QueryResult<'_>, time: Milliseconds) {
        if let Some(kind) = result.failure {
            let kind = kind.words();
            self.log
                .info(format_args!("ticket {number} failed after {time}: {kind}"));
            return;
        }
        let from = match result.is_cached {
            true => "from the cache",
            false => "looked up",
        };
        // The answer reveals as much about what was visited as the name.
        let answer = match self.log.shows_names() {
            true => format!(": {}", result.text),
            false => String::new(),
        };
        let status = result.status;
        self.log.debug(format_args!(
            "ticket {number} ended with status {status} after {time}, {from}{answer}"
        ));
    }

    /// Logs that the client withdrew a query.
    pub fn withdrawn(&self, number: u64) {
        if !self.is_enabled() {
            return;
        }
        let mut state = self.state();
        if let Some(begun) = state.begun.remove(&number) {
            state.counts.withdrawn += 1;
            drop(state);
            let time = Milliseconds(begun.elapsed());
            self.log
                .debug(format_args!("ticket {number} was withdrawn after {time}"));
        }
    }

    /// Logs the counts if they have changed since they were last logged.
    pub fn log_counts(&self) {
        let counts = self.state().counts_to_log();
        if let Some(counts) = counts {
            self.log.info(counts);
        }
    }
}

impl QueryState {
    fn counts_to_log(&mut self) -> Option<Counts> {
        let has_changed = self.counts != self.logged;
        self.logged_at = Instant::now();
        self.logged = self.counts.clone();
        has_changed.then(|| self.logged.clone())
    }
}

impl Counts {
    fn add(&mut self, result: &QueryResult<'_>) {
        match result.failure {
            Some(kind) => *self.failed.entry(kind.words()).or_default() += 1,
            None if result.status == 0 => self.answered += 1,
            None => self.not_found += 1,
        }
        self.cached += u64::from(result.is_cached);
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed: u64 = self.failed.values().sum();
        let all = self.answered + self.not_found + self.withdrawn + failed;
        let query = if all == 1 { "query" } else { "queries" };
        write!(f, "{all} {query} so far")?;
        for (count, what) in [
            (self.answered, "answered"),
            (self.not_found, "without an answer"),
            (self.withdrawn, "withdrawn"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        for (kind, count) in &self.failed {
            write!(f, ", {count} failed ({kind})")?;
        }
        if self.cached > 0 {
            write!(f, "; {} from the cache", self.cached)?;
        }
        Ok(())
    }
}

/// What is logged about a source that is not ready. Its own words might repeat a
/// name.
const NOT_READY: &str = "what is asked for names is still starting or synchronising; \
                         ncprop279 check says how far it is";

/// Warns when lookups begin to fail.
#[derive(Debug, Default)]
pub struct FailureWarnings(Mutex<LastWarning>);

#[derive(Debug, Default)]
struct LastWarning {
    /// Why lookups fail, if that was logged.
    kind: Option<FetchErrorKind>,
    at: Option<Instant>,
    /// Whether it was logged that no thread can be started.
    no_thread: bool,
}

impl FailureWarnings {
    /// Takes the result of a fetch, and warns if fetches fail for a new reason.
    pub fn fetched<T>(&self, log: &Log, result: &Result<T, FetchError>, now: Instant) {
        if let Some(text) = self.warning(result, now) {
            log.warn(format_args!("lookups fail for now: {text}"));
        }
    }

    /// Warns once that a thread could not be started.
    pub fn no_thread(&self, log: &Log, error: &io::Error) {
        if !std::mem::replace(&mut self.last().no_thread, true) {
            log.warn(format_args!(
                "no thread can be started ({error}); lookups wait until one can: \
                 raise the limits on processes and memory (ulimit -u, ulimit -v)"
            ));
        }
    }

    fn last(&self) -> MutexGuard<'_, LastWarning> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reason to warn of, if any. A source that fails and works in turn
    /// causes one warning for each interval.
    fn warning<'r, T>(&self, result: &'r Result<T, FetchError>, now: Instant) -> Option<&'r str> {
        let mut last = self.last();
        let failure = match result {
            Ok(_) => {
                last.kind = None;
                return None;
            }
            Err(failure) => failure,
        };
        let text: &str = match failure.kind {
            FetchErrorKind::Unreachable
            | FetchErrorKind::Credentials
            | FetchErrorKind::Unsuitable
            | FetchErrorKind::File => &failure.message,
            FetchErrorKind::NotReady => NOT_READY,
            // Nothing that the user could act on.
            FetchErrorKind::NameServers => return None,
            // Only the answers contain these, because a node or server may have
            // repeated a name.
            FetchErrorKind::Overloaded
            | FetchErrorKind::BadReply
            | FetchErrorKind::TimedOut
            | FetchErrorKind::Internal => return None,
        };
        let is_early = last
            .at
            .is_some_and(|at| now.saturating_duration_since(at) < INTERVAL);
        if is_early || last.kind == Some(failure.kind) {
            return None;
        }
        last.kind = Some(failure.kind);
        last.at = Some(now);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_put_into_words() {
        let mut counts = Counts::default();
        let mut add = |status: u8, failure: Option<FetchErrorKind>, is_cached: bool| {
            counts.add(&QueryResult {
                status,
                text: "",
                failure,
                is_cached,
            });
            counts.to_string()
        };
        assert_eq!(add(0, None, false), "1 query so far, 1 answered");
        add(0, None, true);
        add(3, None, true);
        add(1, Some(FetchErrorKind::Unreachable), false);
        add(4, Some(FetchErrorKind::TimedOut), false);
        add(1, Some(FetchErrorKind::Unreachable), false);
        counts.withdrawn += 1;
        assert_eq!(
            counts.to_string(),
            "7 queries so far, 2 answered, 1 without an answer, 1 withdrawn, \
             1 failed (timed out), 2 failed (unreachable); 2 from the cache"
        );
    }

    #[test]
    fn a_reason_is_logged_once_and_not_too_often() {
        let begin = Instant::now();
        let warnings = FailureWarnings::default();
        let fails = |kind: FetchErrorKind, after: u64| {
            let result: Result<(), _> = Err(FetchError::new(kind, "why"));
            let now = begin + Duration::from_secs(after);
            warnings.warning(&result, now).is_some()
        };
        let works = |after: u64| {
            let now = begin + Duration::from_secs(after);
            assert_eq!(warnings.warning(&Ok(()), now), None);
        };
        assert!(!fails(FetchErrorKind::BadReply, 0), "a node's words");
        assert!(!fails(FetchErrorKind::TimedOut, 0));
        assert!(fails(FetchErrorKind::Unreachable, 0));
        assert!(!fails(FetchErrorKind::Unreachable, 1));
        assert!(!fails(FetchErrorKind::Unreachable, 600), "already logged");
        assert!(fails(FetchErrorKind::Credentials, 600), "a new reason");
        works(601);
        assert!(!fails(FetchErrorKind::Credentials, 602), "too early");
        assert!(!fails(FetchErrorKind::File, 659), "too early");
        assert!(fails(FetchErrorKind::Credentials, 660));
    }

    #[test]
    fn a_nodes_words_are_not_repeated() {
        let failure = FetchError::new(FetchErrorKind::NotReady, "loading d/secret");
        let warnings = FailureWarnings::default();
        let result: Result<(), _> = Err(failure);
        assert_eq!(warnings.warning(&result, Instant::now()), Some(NOT_READY));
    }
}
