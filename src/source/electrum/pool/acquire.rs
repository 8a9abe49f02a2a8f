//! Finding the connection for an isolation id's seat.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::plan::Plan;
use super::slot::{Leave, Link, Seating};
use super::{Dial, PATIENCE, Pool, Shared};
use crate::isolation::IsolationId;
use crate::snapshot::{FailureKind, FetchFailure};
use crate::source::Bounds;

/// Servers that are tried for one seat by one lookup.
const TRIES: usize = 5;

/// The least time worth giving a server if it can be had.
const SHORTEST: Duration = Duration::from_secs(5);

/// The pause after an attempt to open a connection for an isolation id has
/// failed; it doubles from one attempt to the next. Each costs Tor a circuit.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

impl<D: Dial> Pool<D> {
    /// The connection of one of an isolation id's seats: the one it has, a
    /// ready one, or a new one.
    ///
    /// # Errors
    /// None could be opened in time.
    pub fn seat(
        &self,
        isolation: &IsolationId,
        index: usize,
        limit: &Bounds,
    ) -> Result<Arc<D::Link>, FetchFailure> {
        let mut search = Search {
            shared: &self.0,
            isolation,
            index,
            limit,
            daring: part(limit, 5),
            patience: part(limit, 9),
            tries: TRIES,
            pause: SHORTEST_PAUSE,
            last: None,
        };
        loop {
            if limit.deadline <= Instant::now() || limit.cancel.is_set() {
                return Err(search.last.unwrap_or_else(too_late));
            }
            if let Some(link) = search.step()? {
                return Ok(link);
            }
        }
    }
}

/// When so many tenths of the time that a query has left are over.
fn part(limit: &Bounds, tenths: u32) -> Instant {
    let now = Instant::now();
    now + limit.due.saturating_duration_since(now) * tenths / 10
}

/// A lookup on its way to a connection.
struct Search<'a, D: Dial> {
    shared: &'a Arc<Shared<D>>,
    isolation: &'a IsolationId,
    index: usize,
    limit: &'a Bounds,
    /// When servers are tried of which it is not known whether they work:
    /// connections for headers try many at once, and find those that do
    /// sooner.
    daring: Instant,
    /// When it is said that no server is trusted yet: a little before the
    /// query's end, so that the user is told why.
    patience: Instant,
    /// Servers that may still be tried.
    tries: usize,
    /// The pause after the next failure.
    pause: Duration,
    last: Option<FetchFailure>,
}

impl<D: Dial> Search<'_, D> {
    /// Does what is to be done next; the connection, if that has brought it.
    fn step(&mut self) -> Result<Option<Arc<D::Link>>, FetchFailure> {
        let now = Instant::now();
        let mut plan = self.shared.plan();
        let dares = now >= self.daring;
        let seating = plan.seat(self.isolation, self.index, dares, now);
        let overflow = plan.take_overflow();
        if !overflow.is_empty() {
            drop(plan);
            overflow.iter().for_each(|link| link.close());
            plan = self.shared.plan();
        }
        match seating {
            Seating::Open(link) => return Ok(Some(link)),
            Seating::Dial(leave) => {
                drop(plan);
                return self.dial(&leave);
            }
            Seating::Wait => self.wait(plan, self.limit.deadline),
            Seating::Unproven => self.wait(plan, self.daring),
            Seating::Strangers if now < self.patience => self.wait(plan, self.patience),
            Seating::Strangers => return Err(strangers()),
            Seating::Nobody => return Err(self.last.take().unwrap_or_else(nobody)),
        }
        Ok(None)
    }

    /// Waits for a change, but not for long.
    fn wait(&self, plan: MutexGuard<'_, Plan<D::Link>>, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.shared.changed.wait_timeout(plan, left.min(PATIENCE));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Opens a connection. If the id was forgotten meanwhile, its last lookup
    /// ends on the connection that it opened itself.
    fn dial(&mut self, leave: &Leave) -> Result<Option<Arc<D::Link>>, FetchFailure> {
        let opening = Opening {
            shared: self.shared,
            isolation: self.isolation,
            index: self.index,
            leave,
        };
        let deadline = self.share();
        let dialled = self
            .shared
            .dial
            .dial(&leave.server, deadline, &self.limit.cancel);
        let link = dialled.map(Arc::new);
        opening.done(link.as_ref().ok().map(Arc::clone));
        let failure = match link {
            Ok(link) => return Ok(Some(link)),
            Err(failure) => failure,
        };
        self.tries -= 1;
        if self.tries == 0 {
            return Err(failure);
        }
        self.last = Some(failure);
        // Where all refuse at once, as when there is no proxy, it would go on
        // without a pause.
        sleep(self.pause, self.limit);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(None)
    }

    /// Until when one server may take: half of what the query has left, so
    /// that another can be tried.
    fn share(&self) -> Instant {
        let now = Instant::now();
        let wanted = self.limit.due.saturating_duration_since(now);
        (now + (wanted / 2).max(SHORTEST)).min(self.limit.deadline)
    }
}

/// A seat that is being filled. Whatever happens, it does not stay so.
struct Opening<'a, D: Dial> {
    shared: &'a Arc<Shared<D>>,
    isolation: &'a IsolationId,
    index: usize,
    leave: &'a Leave,
}

impl<D: Dial> Opening<'_, D> {
    fn done(self, link: Option<Arc<D::Link>>) {
        self.settle(link);
        std::mem::forget(self);
    }

    fn settle(&self, link: Option<Arc<D::Link>>) {
        self.shared
            .plan()
            .seated(self.isolation, self.index, self.leave, link, Instant::now());
        self.shared.changed.notify_all();
    }
}

impl<D: Dial> Drop for Opening<'_, D> {
    fn drop(&mut self) {
        self.settle(None);
    }
}

/// Lets time pass, as long as somebody waits.
fn sleep(time: Duration, limit: &Bounds) {
    let until = (Instant::now() + time).min(limit.deadline);
    while !limit.cancel.is_set() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::sleep(left.min(PATIENCE));
    }
}

fn too_late() -> FetchFailure {
    FetchFailure::new(
        FailureKind::TimedOut,
        "no connection to an Electrum server came about in time",
    )
}

fn strangers() -> FetchFailure {
    FetchFailure::new(
        FailureKind::NotReady,
        "it is not known yet which Electrum servers can be trusted: their keys are still being \
         compared over different circuits",
    )
}

fn nobody() -> FetchFailure {
    FetchFailure::new(
        FailureKind::Unreachable,
        "there is no Electrum server of another operator left to ask",
    )
}
