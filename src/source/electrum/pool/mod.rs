//! Connections for lookups: a few that are ready, and those that isolation ids
//! have taken (`spec/electrum.md`, section 2).
//!
//! An id's connections are its own from the first lookup to their end. The
//! clock that opens new ones knows nothing of ids, so that its connections
//! tell an observer nothing about lookups.

mod draw;
mod plan;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::SysRng;
use rand::{Rng, TryRng};

use self::plan::{Leave, Plan, Seating, Task};
use super::servers::Server;
use crate::isolation::IsolationId;
use crate::snapshot::{FailureKind, FetchFailure};
use crate::source::{Cancel, Limit};

/// The time for opening a connection that nobody waits for.
const OPENING: Duration = Duration::from_secs(60);

/// Servers that are tried for one seat by one lookup.
const TRIES: usize = 5;

/// The least time worth giving a server if it can be had.
const SHORTEST: Duration = Duration::from_secs(5);

/// The longest time between two looks at what is due.
const GLANCE: Duration = Duration::from_millis(500);

/// How often somebody who waits for a connection looks whether it is still
/// wanted.
const PATIENCE: Duration = Duration::from_millis(50);

/// The pause after an attempt to open a connection for an isolation id has
/// failed; it doubles from one attempt to the next. Each costs Tor a circuit.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// A connection, as far as the pool knows it.
pub(super) trait Link: Send + Sync + 'static {
    /// The server at its other end.
    fn server(&self) -> &Server;

    /// Whether it still stands, as far as is known.
    fn is_alive(&self) -> bool;

    /// Sends a ping without waiting, and reads what has come.
    fn keep_alive(&self);

    /// Ends it.
    fn close(&self);
}

/// Opens connections for lookups.
pub(super) trait Dial: Send + Sync + 'static {
    /// The connections that it opens.
    type Link: Link;

    /// Opens a connection, ready for a lookup.
    fn dial(
        &self,
        server: &Server,
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<Self::Link, FetchFailure>;
}

/// What was wrong with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its server sent a proof that is none.
    Proof,
    /// It broke, or its server did not answer.
    Broken,
}

/// The pool, shared by all lookups.
pub(super) struct Pool<D: Dial>(Arc<Shared<D>>);

struct Shared<D: Dial> {
    dial: D,
    plan: Mutex<Plan<D::Link>>,
    /// A seat was taken or given up, or the pool is to end.
    changed: Condvar,
    cancel: Cancel,
}

impl<D: Dial> Pool<D> {
    /// A pool that does nothing by itself before [`Pool::start`].
    pub fn new(dial: D, servers: Vec<Server>) -> Self {
        let mut seed = [0; 32];
        if SysRng.try_fill_bytes(&mut seed).is_err() {
            // Without the system's randomness no connection opens anyway.
            rand::rng().fill_bytes(&mut seed);
        }
        Self(Arc::new(Shared {
            dial,
            plan: Mutex::new(Plan::new(servers, seed)),
            changed: Condvar::new(),
            cancel: Cancel::new(),
        }))
    }

    /// Starts the clock that keeps connections ready.
    pub fn start(&self) {
        self.0.plan().start(Instant::now());
        let shared = Arc::clone(&self.0);
        // Without the thread each id opens its own connections.
        let _ = thread::Builder::new()
            .name("pool".to_owned())
            .spawn(move || keep(&shared));
    }

    /// Connections that each isolation id has: 2, or 1 if all servers are of
    /// one operator.
    pub fn seats(&self) -> usize {
        self.0.plan().seats()
    }

    /// The connection of one of an isolation id's seats: the one it has, a
    /// ready one, or a new one.
    ///
    /// # Errors
    /// None could be opened in time.
    pub fn seat(
        &self,
        isolation: &IsolationId,
        index: usize,
        limit: &Limit,
    ) -> Result<Arc<D::Link>, FetchFailure> {
        let mut last = None;
        let mut tries = TRIES;
        let mut pause = SHORTEST_PAUSE;
        let mut plan = self.0.plan();
        loop {
            let now = Instant::now();
            let left = limit.deadline.saturating_duration_since(now);
            if left.is_zero() || limit.cancel.is_set() {
                return Err(last.unwrap_or_else(too_late));
            }
            let seating = plan.seat(isolation, index, now);
            let overflow = plan.take_overflow();
            if !overflow.is_empty() {
                drop(plan);
                overflow.iter().for_each(|link| link.close());
                plan = self.0.plan();
            }
            match seating {
                Seating::Open(link) => return Ok(link),
                Seating::Wait => {
                    let waited = self.0.changed.wait_timeout(plan, left.min(PATIENCE));
                    plan = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Seating::Nobody => return Err(last.unwrap_or_else(nobody)),
                Seating::Dial(leave) => {
                    drop(plan);
                    tries -= 1;
                    // Half of what the query has left, so that another can be
                    // tried.
                    let wanted = limit.due.saturating_duration_since(now);
                    let share = (wanted / 2).max(SHORTEST).min(left);
                    let opening = Opening {
                        shared: &self.0,
                        isolation,
                        index,
                        leave: &leave,
                    };
                    match self.0.dial.dial(&leave.server, now + share, &limit.cancel) {
                        Ok(link) => {
                            let link = Arc::new(link);
                            opening.done(Some(Arc::clone(&link)));
                            // If the id was forgotten, its last lookup ends
                            // on the connection that it opened itself.
                            return Ok(link);
                        }
                        Err(failure) => {
                            opening.done(None);
                            // Where all refuse at once, as when there is no
                            // proxy, it would go on without a pause.
                            if tries == 0 {
                                return Err(failure);
                            }
                            last = Some(failure);
                            sleep(pause, limit);
                            pause = (pause * 2).min(LONGEST_PAUSE);
                        }
                    }
                    plan = self.0.plan();
                }
            }
        }
    }

    /// A connection was of no use to an isolation id.
    pub fn failed(&self, isolation: &IsolationId, link: &Arc<D::Link>, fault: Fault) {
        self.0.plan().failed(isolation, link, fault, Instant::now());
        link.close();
        self.0.changed.notify_all();
    }

    /// A connection for headers found a server to be lying.
    pub fn condemn(&self, server: &Server) {
        let gone = self.0.plan().condemn(server, Instant::now());
        gone.iter().for_each(|link| link.close());
    }

    /// Whether a server rests for everybody.
    pub fn rests(&self, server: &Server) -> bool {
        self.0.plan().rests(server, Instant::now())
    }

    /// Takes an isolation id's connections away.
    pub fn forget(&self, isolation: &IsolationId) {
        let overflow = {
            let mut plan = self.0.plan();
            plan.forget(isolation, Instant::now());
            plan.take_overflow()
        };
        overflow.iter().for_each(|link| link.close());
    }
}

impl<D: Dial> Drop for Pool<D> {
    fn drop(&mut self) {
        self.0.cancel.set();
        self.0.changed.notify_all();
    }
}

impl<D: Dial> Shared<D> {
    fn plan(&self) -> MutexGuard<'_, Plan<D::Link>> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Does what is due until the pool is dropped.
fn keep<D: Dial>(shared: &Arc<Shared<D>>) {
    let hand = hand::<D::Link>();
    while !shared.cancel.is_set() {
        let mut plan = shared.plan();
        let tasks = plan.due(Instant::now());
        let tick = plan.next_tick();
        drop(plan);
        for task in tasks {
            match task {
                Task::Open(server) => open(shared, server),
                // Without the other thread they are left to the servers.
                Task::Ping(link) => drop(hand.send(Chore::Ping(link))),
                Task::Close(link) => drop(hand.send(Chore::Close(link))),
            }
        }
        let wait = tick.map_or(GLANCE, |tick| {
            tick.saturating_duration_since(Instant::now()).min(GLANCE)
        });
        // The condition is not waited for: it would tell of lookups.
        thread::sleep(wait);
    }
}

/// What is done to a connection.
enum Chore<L> {
    Ping(Arc<L>),
    Close(Arc<L>),
}

/// A thread that pings and closes, so that an isolation id's server which does
/// not read cannot hold up the clock. It ends when nobody sends any more.
fn hand<L: Link>() -> mpsc::Sender<Chore<L>> {
    let (sender, chores) = mpsc::channel::<Chore<L>>();
    let _ = thread::Builder::new()
        .name("ping".to_owned())
        .spawn(move || {
            for chore in chores {
                match chore {
                    Chore::Ping(link) => link.keep_alive(),
                    Chore::Close(link) => link.close(),
                }
            }
        });
    sender
}

/// Opens a connection on a thread of its own, so that a slow server does not
/// move the clock.
fn open<D: Dial>(shared: &Arc<Shared<D>>, server: Server) {
    let mut filling = Filling {
        shared: Arc::clone(shared),
        server,
        link: None,
    };
    // If there is no thread, that is the end of it, as of a failure.
    let _ = thread::Builder::new()
        .name("fill".to_owned())
        .spawn(move || filling.dial());
}

/// A connection for the pool that is being opened. Whatever happens, the pool
/// learns what came of it.
struct Filling<D: Dial> {
    shared: Arc<Shared<D>>,
    server: Server,
    link: Option<Arc<D::Link>>,
}

impl<D: Dial> Filling<D> {
    fn dial(&mut self) {
        let Shared { dial, cancel, .. } = &*self.shared;
        let dialled = dial.dial(&self.server, Instant::now() + OPENING, cancel);
        self.link = dialled.ok().map(Arc::new);
    }
}

impl<D: Dial> Drop for Filling<D> {
    fn drop(&mut self) {
        let mut plan = self.shared.plan();
        let refused = plan.opened(&self.server, self.link.take(), Instant::now());
        drop(plan);
        if let Some(link) = refused {
            link.close();
        }
    }
}

/// Lets time pass, as long as somebody waits.
fn sleep(time: Duration, limit: &Limit) {
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

fn nobody() -> FetchFailure {
    FetchFailure::new(
        FailureKind::Unreachable,
        "there is no Electrum server of another operator left to ask",
    )
}
