//! How a lookup gets its connection.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::plan::Plan;
use super::slot::{DialPermit, Link, SlotReply};
use super::{Dial, Pool, Shared, WAITER_POLL};
use crate::isolation::IsolationId;
use crate::snapshot::{FailureKind, FetchFailure};
use crate::source::Bounds;

/// The most servers that one lookup tries for one slot.
const TRIES: usize = 5;

/// The least time that a server gets, if the query has that much left.
const SHORTEST: Duration = Duration::from_secs(5);

/// The pause after an attempt to open a connection for an isolation id has
/// failed; it doubles from one attempt to the next. Each costs Tor a circuit.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

impl<D: Dial> Pool<D> {
    /// The connection of one of an isolation id's slots: the one it has, a
    /// ready one, or a new one.
    ///
    /// # Errors
    /// None could be opened in time.
    pub fn slot(
        &self,
        isolation: &IsolationId,
        index: usize,
        bounds: &Bounds,
    ) -> Result<Arc<D::Link>, FetchFailure> {
        let mut search = Search {
            shared: &self.0,
            isolation,
            index,
            bounds,
            tries_unknown_from: part(bounds, 5),
            reports_untrusted_from: part(bounds, 9),
            tries: TRIES,
            pause: SHORTEST_PAUSE,
            last: None,
        };
        loop {
            if bounds.deadline <= Instant::now() || bounds.cancel.is_set() {
                return Err(search.last.unwrap_or_else(too_late));
            }
            if let Some(link) = search.step()? {
                return Ok(link);
            }
        }
    }
}

/// When so many tenths of the query's remaining time will have passed.
fn part(bounds: &Bounds, tenths: u32) -> Instant {
    let now = Instant::now();
    now + bounds.due.saturating_duration_since(now) * tenths / 10
}

/// A lookup on its way to a connection.
struct Search<'a, D: Dial> {
    shared: &'a Arc<Shared<D>>,
    isolation: &'a IsolationId,
    index: usize,
    bounds: &'a Bounds,
    /// From when on servers are tried that may be dead: connections for headers
    /// try many at once, and usually find those that work sooner.
    tries_unknown_from: Instant,
    /// From when on it is reported that no server is trusted yet: a little
    /// before the query's end, so that the user sees the reason.
    reports_untrusted_from: Instant,
    /// Servers that may still be tried.
    tries: usize,
    /// The pause after the next failure.
    pause: Duration,
    last: Option<FetchFailure>,
}

impl<D: Dial> Search<'_, D> {
    /// Takes the next step; returns the connection once there is one.
    fn step(&mut self) -> Result<Option<Arc<D::Link>>, FetchFailure> {
        let now = Instant::now();
        let mut plan = self.shared.plan();
        let tries_unknown = now >= self.tries_unknown_from;
        let reply = plan.slot(self.isolation, self.index, tries_unknown, now);
        let overflow = plan.take_overflow();
        if !overflow.is_empty() {
            drop(plan);
            overflow.iter().for_each(|link| link.close());
            plan = self.shared.plan();
        }
        match reply {
            SlotReply::Open(link) => return Ok(Some(link)),
            SlotReply::Dial(permit) => {
                drop(plan);
                return self.dial(&permit);
            }
            SlotReply::Wait => self.wait(plan, self.bounds.deadline),
            SlotReply::NoneKnownToWork => self.wait(plan, self.tries_unknown_from),
            SlotReply::NoneTrusted if now < self.reports_untrusted_from => {
                self.wait(plan, self.reports_untrusted_from)
            }
            SlotReply::NoneTrusted => return Err(untrusted()),
            SlotReply::NoServer => return Err(self.last.take().unwrap_or_else(no_server)),
        }
        Ok(None)
    }

    /// Waits for a change, but not for long.
    fn wait(&self, plan: MutexGuard<'_, Plan<D::Link>>, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        let waited = self
            .shared
            .changed
            .wait_timeout(plan, left.min(WAITER_POLL));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Opens a connection. If the id was forgotten in the meantime, this lookup
    /// still uses the connection that it opened.
    fn dial(&mut self, permit: &DialPermit) -> Result<Option<Arc<D::Link>>, FetchFailure> {
        let opening = Opening {
            shared: self.shared,
            isolation: self.isolation,
            index: self.index,
            permit,
        };
        let deadline = self.share();
        let dialled = self
            .shared
            .dial
            .dial(&permit.server, deadline, &self.bounds.cancel);
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
        let until = (Instant::now() + self.pause).min(self.bounds.deadline);
        self.bounds.cancel.sleep_until(until);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(None)
    }

    /// The deadline for one server: half of the query's remaining time, so that
    /// another can be tried.
    fn share(&self) -> Instant {
        let now = Instant::now();
        let wanted = self.bounds.due.saturating_duration_since(now);
        (now + (wanted / 2).max(SHORTEST)).min(self.bounds.deadline)
    }
}

/// A slot that is being filled. Dropping it frees the slot, whatever happened.
struct Opening<'a, D: Dial> {
    shared: &'a Arc<Shared<D>>,
    isolation: &'a IsolationId,
    index: usize,
    permit: &'a DialPermit,
}

impl<D: Dial> Opening<'_, D> {
    fn done(self, link: Option<Arc<D::Link>>) {
        self.settle(link);
        std::mem::forget(self);
    }

    fn settle(&self, link: Option<Arc<D::Link>>) {
        self.shared.plan().dialled(
            self.isolation,
            self.index,
            self.permit,
            link,
            Instant::now(),
        );
        self.shared.changed.notify_all();
    }
}

impl<D: Dial> Drop for Opening<'_, D> {
    fn drop(&mut self) {
        self.settle(None);
    }
}

fn too_late() -> FetchFailure {
    FetchFailure::new(
        FailureKind::TimedOut,
        "no connection to an Electrum server came about in time",
    )
}

fn untrusted() -> FetchFailure {
    FetchFailure::new(
        FailureKind::NotReady,
        "it is not known yet which Electrum servers can be trusted: their keys are still being \
         compared over different circuits",
    )
}

fn no_server() -> FetchFailure {
    FetchFailure::new(
        FailureKind::Unreachable,
        "there is no Electrum server of another operator left to ask",
    )
}
