//! Telling that lookups fail, and why, before somebody asks.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::log::Log;
use crate::snapshot::{FailureKind, FetchFailure};

/// The least time between two warnings. A source that works by turns is told
/// of as often, and no more.
const LEAST: Duration = Duration::from_secs(60);

/// What is said of a source that is not ready. Its own words might repeat a name.
const NOT_READY: &str = "what is asked for names is still starting or synchronising; \
                         ncprop279 check says how far it is";

/// Warns when lookups begin to fail.
#[derive(Debug, Default)]
pub(super) struct Troubles(Mutex<Last>);

/// What was told last.
#[derive(Debug, Default)]
struct Last {
    /// What keeps lookups from working, if that was told.
    now: Option<FailureKind>,
    /// When it was told.
    at: Option<Instant>,
    /// Whether it was reported that no thread can be started.
    no_thread: bool,
}

impl Troubles {
    /// Takes note of what came of a fetch, and warns when a new reason keeps
    /// fetches from working. A node's or a server's words are left to the
    /// answers: they might repeat a name.
    pub fn note<T>(&self, log: &Log, result: &Result<T, FetchFailure>, now: Instant) {
        if let Some(text) = self.news(result, now) {
            log.warn(format_args!("lookups fail for now: {text}"));
        }
    }

    /// Warns that a thread could not be started, once.
    pub fn no_thread(&self, log: &Log, error: &io::Error) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut last.no_thread, true) {
            log.warn(format_args!(
                "no thread can be started ({error}); lookups wait until one can: \
                 raise the limits on processes and memory (ulimit -u, ulimit -v)"
            ));
        }
    }

    fn news<'r, T>(&self, result: &'r Result<T, FetchFailure>, now: Instant) -> Option<&'r str> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = match result {
            Ok(_) => {
                last.now = None;
                return None;
            }
            Err(failure) => failure,
        };
        let text: &str = match failure.kind {
            FailureKind::Unreachable
            | FailureKind::Credentials
            | FailureKind::Unsuitable
            | FailureKind::File => &failure.message,
            FailureKind::NotReady => NOT_READY,
            FailureKind::Overloaded
            | FailureKind::BadReply
            | FailureKind::TimedOut
            | FailureKind::Internal => return None,
        };
        let is_early = last
            .at
            .is_some_and(|at| now.saturating_duration_since(at) < LEAST);
        if is_early || last.now == Some(failure.kind) {
            return None;
        }
        last.now = Some(failure.kind);
        last.at = Some(now);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Absence, Fetched};

    #[test]
    fn a_reason_is_told_once_and_not_too_often() {
        let begin = Instant::now();
        let troubles = Troubles::default();
        let fails = |kind: FailureKind, after: u64| {
            let result: Result<Fetched, _> = Err(FetchFailure::new(kind, "why"));
            let news = troubles.news(&result, begin + Duration::from_secs(after));
            news.is_some()
        };
        let works = |after: u64| {
            let result = Ok(Fetched::Absent(Absence::NeverExisted));
            let news = troubles.news(&result, begin + Duration::from_secs(after));
            assert_eq!(news, None);
        };
        assert!(!fails(FailureKind::BadReply, 0), "a node's words");
        assert!(!fails(FailureKind::TimedOut, 0));
        assert!(fails(FailureKind::Unreachable, 0));
        assert!(!fails(FailureKind::Unreachable, 1));
        assert!(!fails(FailureKind::Unreachable, 600), "told already");
        assert!(fails(FailureKind::Credentials, 600), "a new reason");
        works(601);
        assert!(!fails(FailureKind::Credentials, 602), "too early");
        assert!(!fails(FailureKind::File, 659), "too early");
        assert!(fails(FailureKind::Credentials, 660));
    }

    #[test]
    fn a_nodes_words_are_not_repeated() {
        let failure = FetchFailure::new(FailureKind::NotReady, "loading d/secret");
        let result: Result<(), _> = Err(failure);
        let troubles = Troubles::default();
        assert_eq!(troubles.news(&result, Instant::now()), Some(NOT_READY));
    }
}
