//! What the log tells of queries: each one's progress, failures by their kind,
//! and how many there were.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::door::stdio::session::Ticket;
use crate::isolation::IsolationId;
use crate::log::{Level, Log};
use crate::policy::{Query, Verdict};
use crate::text::Milliseconds;

/// The least time between two lines with counts.
const COUNTS: Duration = Duration::from_secs(60);

/// Where an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// All that it depends on was in the cache.
    Cache,
    /// It was looked up.
    Lookup,
}

/// Tells a log of queries. It keeps nothing that the log would not tell.
pub(super) struct Journal {
    log: Log,
    state: Mutex<State>,
}

struct State {
    /// When each unanswered query came.
    begun: HashMap<Ticket, Instant>,
    counts: Counts,
    told: Counts,
    told_at: Instant,
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

impl Journal {
    pub fn new(log: Log) -> Self {
        Self {
            log,
            state: Mutex::new(State {
                begun: HashMap::new(),
                counts: Counts::default(),
                told: Counts::default(),
                told_at: Instant::now(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing is told of queries.
    pub fn is_silent(&self) -> bool {
        !self.log.tells(Level::Info)
    }

    /// A query was taken on.
    pub fn asked(&self, ticket: Ticket, isolation: &IsolationId, query: &Query) {
        if self.is_silent() {
            return;
        }
        self.state().begun.insert(ticket, Instant::now());
        let what = self.log.name(isolation, || {
            let name = query.name().to_ascii();
            name.trim_end_matches('.').to_owned()
        });
        let mode = if query.only_onion() {
            ", onion services only"
        } else {
            ""
        };
        self.log
            .debug(format_args!("ticket {ticket} asks for {what}{mode}"));
    }

    /// A query has a verdict. One that was withdrawn meanwhile is not told.
    pub fn answered(&self, ticket: Ticket, verdict: &Verdict, from: Found) {
        if self.is_silent() {
            return;
        }
        let mut state = self.state();
        let Some(begun) = state.begun.remove(&ticket) else {
            return;
        };
        state.counts.add(verdict, from);
        let due = state.due();
        drop(state);
        self.tell(ticket, verdict, from, begun.elapsed());
        if let Some(counts) = due {
            self.log.info(counts);
        }
    }

    fn tell(&self, ticket: Ticket, verdict: &Verdict, from: Found, time: Duration) {
        let time = Milliseconds(time);
        if let Verdict::Unknown(failure) = verdict {
            let kind = failure.kind.words();
            self.log
                .info(format_args!("ticket {ticket} failed after {time}: {kind}"));
            return;
        }
        let status = verdict.status().code();
        let from = match from {
            Found::Cache => "from the cache",
            Found::Lookup => "looked up",
        };
        // The answer tells what was visited as much as the name does.
        let answer = match self.log.shows_names() {
            true => format!(": {}", verdict.text()),
            false => String::new(),
        };
        self.log.debug(format_args!(
            "ticket {ticket} ended with status {status} after {time}, {from}{answer}"
        ));
    }

    /// The client took a query back.
    pub fn withdrawn(&self, ticket: Ticket) {
        if self.is_silent() {
            return;
        }
        let mut state = self.state();
        if let Some(begun) = state.begun.remove(&ticket) {
            state.counts.withdrawn += 1;
            drop(state);
            let time = Milliseconds(begun.elapsed());
            self.log
                .debug(format_args!("ticket {ticket} was withdrawn after {time}"));
        }
    }

    /// Tells the counts if they have changed.
    pub fn tell_counts(&self) {
        let mut state = self.state();
        if state.counts != state.told {
            let counts = state.counts.clone();
            state.told = counts.clone();
            drop(state);
            self.log.info(counts);
        }
    }
}

impl State {
    /// The counts if they should be told again.
    fn due(&mut self) -> Option<Counts> {
        if self.told_at.elapsed() < COUNTS {
            return None;
        }
        self.told_at = Instant::now();
        self.told = self.counts.clone();
        Some(self.told.clone())
    }
}

impl Counts {
    fn add(&mut self, verdict: &Verdict, from: Found) {
        match verdict {
            Verdict::Onion(_) | Verdict::Address(_) | Verdict::Host(_) => self.answered += 1,
            Verdict::NotInZone(_) | Verdict::NotFound(_) => self.not_found += 1,
            Verdict::Unknown(failure) => {
                *self.failed.entry(failure.kind.words()).or_default() += 1;
            }
        }
        if from == Found::Cache {
            self.cached += 1;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{FailureKind, FetchFailure};

    #[test]
    fn counts_are_told_in_words() {
        let mut counts = Counts::default();
        let found = Verdict::Host("example.com".into());
        counts.add(&found, Found::Lookup);
        assert_eq!(counts.to_string(), "1 query so far, 1 answered");
        counts.add(&found, Found::Cache);
        counts.add(&Verdict::NotFound(String::new()), Found::Cache);
        for kind in [
            FailureKind::Unreachable,
            FailureKind::TimedOut,
            FailureKind::Unreachable,
        ] {
            let failure = FetchFailure::new(kind, "");
            counts.add(&Verdict::Unknown(failure), Found::Lookup);
        }
        counts.withdrawn += 1;
        assert_eq!(
            counts.to_string(),
            "7 queries so far, 2 answered, 1 without an answer, 1 withdrawn, \
             1 failed (timed out), 2 failed (unreachable); 2 from the cache"
        );
    }
}
