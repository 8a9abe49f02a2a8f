//! One lookup: a name, asked of two servers of different operators at once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::lookup::{Lookup, LookupDialer, LookupError};
use super::pool::{Fault, Pool};
use super::sync::{Ledger, NotReadyError};
use super::verdict::{NameStatus, judge};
use super::wire::Connection;
use crate::chain::network::Network;
use crate::isolation::IsolationId;
use crate::platform;
use crate::snapshot::{FetchError, FetchErrorKind, Fetched, NameKey};
use crate::source::{Bounds, Cancel, SourceReply};

/// How often the waiting thread checks whether the answer is still wanted.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The most servers that are tried for one of the two answers.
const ATTEMPTS: usize = 3;

/// The least time that the second server gets, counted from the start, once the
/// first has proven a value.
const MIN_WAIT: Duration = Duration::from_secs(2);

/// How long a value may be kept that one operator alone has given: that
/// operator may be hiding a newer one.
const KEEP_ALONE: Duration = Duration::from_secs(60);

/// What all lookups share. Nothing in it depends on a name.
pub(super) struct Backend {
    pub network: Network,
    pub confirmations: u32,
    pub ledger: Arc<Ledger>,
    pub pool: Arc<Pool<LookupDialer>>,
}

/// What is known of a name.
type Answer = Result<NameStatus, FetchError>;

/// What one server answered, and its operator.
pub(super) type ServerAnswer = Result<(NameStatus, String), FetchError>;

/// What servers have answered about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// What is known.
    pub status: NameStatus,
    /// The only operator that has answered, if there are others.
    pub only_operator: Option<String>,
    /// Whether no second operator has answered.
    pub is_of_one: bool,
}

impl From<&Outcome> for SourceReply {
    fn from(outcome: &Outcome) -> Self {
        Self {
            fetched: Fetched::from(outcome.status.clone()),
            keep_at_most: outcome.is_of_one.then_some(KEEP_ALONE),
        }
    }
}

/// Asks both of an isolation id's servers, and decides on an answer.
pub(super) fn fetch(
    backend: &Arc<Backend>,
    isolation: &IsolationId,
    key: &NameKey,
    bounds: &Bounds,
) -> Result<Outcome, FetchError> {
    let begun = Instant::now();
    let times = Times::new(begun, bounds);
    let (sender, answers) = mpsc::channel();
    // Set when a value is accepted without the other server.
    let overdue = Cancel::new();
    // Set when this function returns and nobody waits any more.
    let own = Bounds {
        cancel: Cancel::new(),
        ..bounds.clone()
    };
    let _guard = CancelOnDrop(own.cancel.clone());
    let slots = backend.pool.slots();
    for slot in 0..slots {
        let (backend, isolation, key) = (Arc::clone(backend), isolation.clone(), key.clone());
        let (own, sender, overdue) = (own.clone(), sender.clone(), overdue.clone());
        platform::thread("ask")
            .spawn(move || {
                let asking = Asking {
                    attempts: ATTEMPTS,
                    times,
                    bounds: &own,
                    overdue: &overdue,
                };
                let said = ask(&backend, &isolation, slot, &key, &asking);
                drop(sender.send(said));
            })
            .map_err(|error| {
                FetchError::new(
                    FetchErrorKind::Overloaded,
                    format!("no thread can be started: {error}"),
                )
            })?;
    }
    drop(sender);
    let mut tally = Tally::new(slots);
    // From when on a value is accepted though the other server is silent.
    let mut counts_from = None;
    loop {
        let now = Instant::now();
        if tally.has_value() {
            counts_from.get_or_insert_with(|| times.counts_from(now));
        }
        let is_due = counts_from.is_some_and(|from| now >= from);
        if let Some(outcome) = tally.outcome(is_due, now >= bounds.deadline) {
            if outcome.is_ok() && tally.awaited > 0 {
                overdue.set();
            }
            let (only_operator, is_of_one) = (tally.only_operator(), tally.is_of_one());
            return outcome
                .map(|status| Outcome {
                    status,
                    only_operator,
                    is_of_one,
                })
                .map_err(|failure| explained(backend, failure));
        }
        if bounds.cancel.is_set() {
            return Err(too_late());
        }
        match answers.recv_timeout(POLL_INTERVAL) {
            Ok(said) => tally.add(said),
            Err(RecvTimeoutError::Timeout) => {}
            // A thread panicked; its answer will not come.
            Err(RecvTimeoutError::Disconnected) => tally.end(),
        }
    }
}

/// Points in time of a fetch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    begun: Instant,
    /// The latest time from which one server's value is accepted alone.
    half: Instant,
    /// Until when to wait for headers: shortly before the query's end, so that
    /// the user sees what is missing.
    headers: Instant,
}

impl Times {
    pub fn new(begun: Instant, bounds: &Bounds) -> Self {
        let left = bounds.due.saturating_duration_since(begun);
        Self {
            begun,
            half: begun + left / 2,
            headers: begun + left * 9 / 10,
        }
    }

    /// When a value that one server has proven now is accepted alone: after
    /// twice the time that it took.
    fn counts_from(&self, now: Instant) -> Instant {
        let took = now.saturating_duration_since(self.begun);
        (self.begun + (took * 2).max(MIN_WAIT)).min(self.half)
    }
}

/// Sets a flag when it is dropped.
struct CancelOnDrop(Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// The answers so far.
#[derive(Default)]
struct Tally {
    /// Answers asked for: one if all servers belong to one operator.
    slots: usize,
    /// Answers still to come.
    awaited: usize,
    /// Operators that have answered.
    heard: HashSet<String>,
    /// The result of the answers so far.
    status: Option<NameStatus>,
    failure: Option<FetchError>,
}

impl Tally {
    fn new(slots: usize) -> Self {
        Self {
            slots,
            awaited: slots,
            ..Self::default()
        }
    }

    fn add(&mut self, said: ServerAnswer) {
        self.awaited = self.awaited.saturating_sub(1);
        let (status, operator) = match said {
            Ok(said) => said,
            Err(failure) => {
                self.failure = Some(failure);
                return;
            }
        };
        // An id that loses its slots in the meantime can get the same operator
        // for both.
        if !self.heard.insert(operator) {
            self.failure = Some(one_operator());
        }
        self.status = Some(match self.status.take() {
            Some(first) => judge(first, status),
            None => status,
        });
    }

    fn has_value(&self) -> bool {
        matches!(self.status, Some(NameStatus::Value(_)))
    }

    /// Whether only one operator has answered.
    fn is_of_one(&self) -> bool {
        self.heard.len() == 1
    }

    /// The only operator that has answered, if there are others.
    fn only_operator(&self) -> Option<String> {
        let mut heard = self.heard.iter();
        match (heard.next(), heard.next()) {
            (Some(only), None) if self.slots > 1 => Some(only.clone()),
            _ => None,
        }
    }

    /// No further answer will come.
    fn end(&mut self) {
        if self.awaited > 0 {
            self.awaited = 0;
            self.failure.get_or_insert_with(|| {
                FetchError::new(FetchErrorKind::Internal, "a thread of ours failed")
            });
        }
    }

    /// The result, once it is decided. A proven value counts alone once the
    /// other server is overdue or cannot answer any more. That there is no
    /// value must be confirmed by both, and by two operators.
    fn outcome(&self, is_due: bool, is_over: bool) -> Option<Answer> {
        match &self.status {
            Some(value @ NameStatus::Value(_)) if self.awaited == 0 || is_due => {
                Some(Ok(value.clone()))
            }
            Some(absence) if self.awaited == 0 && self.failure.is_none() => {
                Some(Ok(absence.clone()))
            }
            _ if self.awaited == 0 || is_over => {
                Some(Err(self.failure.clone().unwrap_or_else(too_late)))
            }
            _ => None,
        }
    }
}

/// Reports that an operator is missing, if so: that is the cause of the
/// failure.
fn explained(backend: &Backend, failure: FetchError) -> FetchError {
    match backend.ledger.usable_tip() {
        Err(obstacle @ NotReadyError::SingleOperator(_)) => {
            FetchError::new(FetchErrorKind::NotReady, obstacle.to_string())
        }
        _ => failure,
    }
}

fn too_late() -> FetchError {
    FetchError::new(
        FetchErrorKind::TimedOut,
        "Electrum servers did not answer in time",
    )
}

fn one_operator() -> FetchError {
    FetchError::new(
        FetchErrorKind::Unreachable,
        "Electrum servers of one operator only have answered",
    )
}

/// How to ask a server.
pub(super) struct Asking<'a> {
    /// Servers that may be tried.
    pub attempts: usize,
    pub times: Times,
    pub bounds: &'a Bounds,
    /// Set when the server has been too slow and nobody waits for it any
    /// longer.
    pub overdue: &'a Cancel,
}

/// Asks the server in one of the slots, and another one if that fails.
pub(super) fn ask(
    backend: &Backend,
    isolation: &IsolationId,
    slot: usize,
    key: &NameKey,
    asking: &Asking<'_>,
) -> ServerAnswer {
    let (bounds, times) = (asking.bounds, asking.times);
    let lookup = Lookup {
        key,
        network: backend.network,
        confirmations: backend.confirmations,
        ledger: &backend.ledger,
        bounds,
        headers_deadline: times.headers,
    };
    let mut last = None;
    for _ in 0..asking.attempts {
        if last.is_some() && (Instant::now() >= bounds.deadline || bounds.cancel.is_set()) {
            break;
        }
        let connection = backend.pool.slot(isolation, slot, bounds)?;
        let (kind, fault, error) = match lookup.ask(&connection) {
            Ok(status) => return Ok((status, connection.server().operator.clone())),
            Err(LookupError::NotReady(failure)) => return Err(failure),
            Err(error @ LookupError::Lied(_)) => {
                (FetchErrorKind::BadReply, Some(Fault::Proof), error)
            }
            Err(error @ LookupError::Broken(_)) => {
                (FetchErrorKind::Unreachable, Some(Fault::Broken), error)
            }
            Err(error @ LookupError::TimedOut)
                if bounds.cancel.is_set()
                    && !asking.overdue.is_set()
                    && Instant::now() < times.half =>
            {
                // Nobody waits any more. That is not the server's fault.
                (FetchErrorKind::TimedOut, None, error)
            }
            Err(error @ LookupError::TimedOut) => {
                (FetchErrorKind::TimedOut, Some(Fault::Broken), error)
            }
            Err(error @ LookupError::Unusable(_)) => {
                return Err(failure(FetchErrorKind::BadReply, &connection, &error));
            }
            Err(error @ LookupError::Changed) => (FetchErrorKind::NotReady, None, error),
        };
        last = Some(failure(kind, &connection, &error));
        if let Some(fault) = fault {
            backend.pool.failed(isolation, &connection, fault);
        }
    }
    Err(last.unwrap_or_else(too_late))
}

fn failure(kind: FetchErrorKind, connection: &Connection, error: &LookupError) -> FetchError {
    let server = connection.server();
    FetchError::new(kind, format!("the Electrum server {server}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::electrum::evidence::Operation;

    fn value(height: u32) -> Answer {
        Ok(NameStatus::Value(Operation {
            height,
            position: 0,
            value: Arc::from(&b"{}"[..]),
        }))
    }

    fn failure<T>() -> Result<T, FetchError> {
        Err(FetchError::new(FetchErrorKind::BadReply, "x"))
    }

    /// The outcome before the other is overdue, after it, and at the end.
    fn outcomes(slots: usize, answers: Vec<Answer>) -> [Option<Answer>; 3] {
        let said = answers.into_iter().zip(["a", "b"]);
        outcomes_of(slots, said.map(|(answer, operator)| by(operator, answer)))
    }

    fn by(operator: &str, answer: Answer) -> ServerAnswer {
        answer.map(|status| (status, operator.to_owned()))
    }

    fn outcomes_of(
        slots: usize,
        said: impl IntoIterator<Item = ServerAnswer>,
    ) -> [Option<Answer>; 3] {
        let mut tally = Tally::new(slots);
        said.into_iter().for_each(|said| tally.add(said));
        [(false, false), (true, false), (true, true)]
            .map(|(is_due, is_over)| tally.outcome(is_due, is_over))
    }

    #[test]
    fn a_value_counts_when_both_have_answered_or_one_has_failed_or_is_overdue() {
        let overdue = [None, Some(value(1)), Some(value(1))];
        assert_eq!(outcomes(2, vec![value(1)]), overdue);
        for (answers, expected) in [
            (vec![value(1), value(2)], value(2)),
            (vec![value(2), value(1)], value(2)),
            (vec![value(1), Ok(NameStatus::NeverRegistered)], value(1)),
            (vec![Ok(NameStatus::Unconfirmed), value(1)], value(1)),
            (vec![failure(), value(1)], value(1)),
            (vec![value(1), failure()], value(1)),
        ] {
            assert_eq!(outcomes(2, answers)[0], Some(expected));
        }
        assert_eq!(outcomes(1, vec![value(1)])[0], Some(value(1)));
    }

    #[test]
    fn the_second_has_twice_the_time_of_the_first_within_bounds() {
        let begun = Instant::now();
        let end = begun + Duration::from_secs(20);
        let bounds = Bounds {
            due: end,
            deadline: end,
            cancel: Cancel::new(),
        };
        let times = Times::new(begun, &bounds);
        for (took, expected) in [
            (0, 2000),
            (300, 2000),
            (1500, 3000),
            (4000, 8000),
            (6000, 10_000),
        ] {
            let [took, expected] = [took, expected].map(Duration::from_millis);
            assert_eq!(
                times.counts_from(begun + took),
                begun + expected,
                "{took:?}"
            );
        }
        // After half of the time it counts at once.
        let late = begun + Duration::from_secs(11);
        assert!(times.counts_from(late) <= late);
    }

    #[test]
    fn absence_needs_both_and_two_operators() {
        let absent = || Ok(NameStatus::NeverRegistered);
        assert_eq!(
            outcomes(2, vec![absent()]),
            [None, None, Some(Err(too_late()))]
        );
        assert_eq!(outcomes(2, vec![absent(), absent()])[0], Some(absent()));
        assert_eq!(outcomes(2, vec![absent(), failure()])[0], Some(failure()));
        assert_eq!(outcomes(2, vec![failure(), absent()])[0], Some(failure()));
        assert_eq!(outcomes(1, vec![absent()])[0], Some(absent()));
        let twice = |first, second| outcomes_of(2, [by("a", first), by("a", second)])[0].clone();
        assert_eq!(twice(absent(), absent()), Some(Err(one_operator())));
        assert_eq!(twice(absent(), value(1)), Some(value(1)));
        assert_eq!(twice(value(1), value(2)), Some(value(2)));
    }

    #[test]
    fn what_one_operator_alone_says_is_kept_for_a_minute() {
        let heard = |slots: usize, said: &[ServerAnswer]| {
            let mut tally = Tally::new(slots);
            said.iter().for_each(|said| tally.add(said.clone()));
            let status = tally.outcome(true, true).unwrap().unwrap();
            let (only_operator, is_of_one) = (tally.only_operator(), tally.is_of_one());
            let outcome = Outcome {
                status,
                only_operator,
                is_of_one,
            };
            SourceReply::from(&outcome).keep_at_most
        };
        let minute = Some(Duration::from_secs(60));
        let (one, other) = (by("a", value(1)), by("b", value(2)));
        assert_eq!(heard(2, &[one.clone(), other]), None);
        let absent = by("b", Ok(NameStatus::NeverRegistered));
        assert_eq!(heard(2, &[one.clone(), absent]), None);
        assert_eq!(heard(2, std::slice::from_ref(&one)), minute, "silent");
        assert_eq!(heard(2, &[one.clone(), failure()]), minute, "or gone");
        assert_eq!(heard(2, &[one.clone(), by("a", value(1))]), minute);
        assert_eq!(heard(1, &[one]), minute, "there is no other");
    }

    #[test]
    fn without_an_answer_the_failure_is_reported() {
        assert_eq!(outcomes(2, vec![failure()]), [None, None, Some(failure())]);
        assert_eq!(outcomes(2, vec![failure(), failure()])[0], Some(failure()));
        let mut tally = Tally::new(2);
        tally.add(by("a", Ok(NameStatus::NeverRegistered)));
        tally.end();
        assert!(matches!(tally.outcome(false, false), Some(Err(_))));
    }
}
