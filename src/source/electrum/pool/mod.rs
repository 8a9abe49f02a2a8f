//! Connections for lookups (`spec/electrum.md`, section 2).
//!
//! The pool keeps a few connections ready. When an isolation id needs one, it
//! takes a ready one or opens its own. From then on the connection belongs to that
//! id until it closes: no other id ever uses it.
//!
//! The thread that opens ready connections follows a clock of its own, which knows
//! nothing of isolation ids, so that its connections tell an observer nothing
//! about lookups.
//!
//! `plan` decides everything: which connections exist, whose they are, what is to
//! be opened, pinged and closed. It does no I/O, and time is an argument, so that
//! tests can run it through days. `roster` knows the servers and draws one at
//! random; `slot` has the types. This file has the threads that do what the plan
//! says, and how a lookup gets its connection.

mod plan;
mod roster;
mod slot;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::SysRng;
use rand::{Rng, TryRng};

use self::plan::Plan;
use self::slot::{DialPermit, SlotReply, Task};
pub use self::slot::{Fault, Link};
use super::servers::Server;
use crate::isolation::IsolationId;
use crate::platform;
use crate::snapshot::{FetchError, FetchErrorKind};
use crate::source::transport::lock;
use crate::source::{Bounds, Cancel};

/// How long opening a ready connection may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest time between two looks at what is due.
const CLOCK_POLL: Duration = Duration::from_millis(500);

/// How often a lookup that waits for a connection checks whether it is still
/// wanted.
const WAITER_POLL: Duration = Duration::from_millis(50);

/// The most servers that one lookup tries for one slot.
const TRIES: usize = 5;

/// The least time that a server gets, if the query has that much left.
const SHORTEST: Duration = Duration::from_secs(5);

/// The pause after an attempt to open a connection for an isolation id has
/// failed; it doubles from one attempt to the next. Each costs Tor a circuit.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// Opens connections for lookups.
pub(super) trait Dial: Send + Sync + 'static {
    /// The connections that it opens.
    type Link: Link;

    /// Whether a server can prove who it is, as far as is known. No
    /// connection for lookups is opened to others.
    fn trusts(&self, server: &Server) -> bool;

    /// Opens a connection, ready for a lookup.
    fn dial(
        &self,
        server: &Server,
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<Self::Link, FetchError>;
}

/// The pool, shared by all lookups.
pub(super) struct Pool<D: Dial>(Arc<Shared<D>>);

struct Shared<D: Dial> {
    dial: D,
    plan: Mutex<Plan<D::Link>>,
    /// Signalled when a slot changes or the pool ends.
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
        let trusted: Vec<Server> = servers
            .iter()
            .filter(|one| dial.trusts(one))
            .cloned()
            .collect();
        let mut plan = Plan::new(servers, seed);
        trusted.iter().for_each(|server| plan.roster.trust(server));
        Self(Arc::new(Shared {
            dial,
            plan: Mutex::new(plan),
            changed: Condvar::new(),
            cancel: Cancel::new(),
        }))
    }

    /// A server is likely to work, though this process has not tried it yet.
    pub fn expect(&self, server: &Server) {
        self.0.plan().roster.expect(server);
    }

    /// Starts the clock that keeps connections ready.
    pub fn start(&self) {
        self.0.plan().start(Instant::now());
        let shared = Arc::clone(&self.0);
        // Without the thread each id opens its own connections.
        let _ = platform::thread("pool").spawn(move || keep(&shared));
    }

    /// Has so many connections for each isolation id from now on.
    pub fn set_slots(&self, slots: usize) {
        self.0.plan().set_slots(slots);
        self.0.changed.notify_all();
    }

    /// Connections that each isolation id has: 2, or 1 if all servers are of
    /// one operator or one alone is to be asked.
    pub fn slots(&self) -> usize {
        self.0.plan().slots()
    }

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
    ) -> Result<Arc<D::Link>, FetchError> {
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

    /// The slot of an isolation id that is not this operator's; `None` if the
    /// id has no slots.
    pub fn slot_beside(&self, isolation: &IsolationId, operator: &str) -> Option<usize> {
        self.0.plan().slot_beside(isolation, operator)
    }

    /// A connection failed an isolation id.
    pub fn failed(&self, isolation: &IsolationId, link: &Arc<D::Link>, fault: Fault) {
        self.0.plan().failed(isolation, link, fault, Instant::now());
        link.close();
        self.0.changed.notify_all();
    }

    /// A connection for headers was opened: its server may now be one that can
    /// be asked about names.
    pub fn met(&self, server: &Server) {
        if self.0.dial.trusts(server) {
            self.0.plan().mark_working(server, Instant::now());
            self.0.changed.notify_all();
        }
    }

    /// A discovered server has our chain: it may be asked about names once it
    /// can prove its identity.
    pub fn admit(&self, server: &Server) {
        self.0.plan().roster.take_in(server);
        self.met(server);
    }

    /// Uses no discovered servers any more that are not among these.
    pub fn keep_discovered(&self, servers: &[Server]) {
        let gone = self.0.plan().keep_discovered(servers);
        gone.iter().for_each(|link| link.close());
    }

    /// A connection for headers caught a server lying.
    pub fn ban(&self, server: &Server) {
        let gone = self.0.plan().ban(server, Instant::now());
        gone.iter().for_each(|link| link.close());
    }

    /// A connection for headers failed: nobody uses its server for a while.
    pub fn back_off(&self, server: &Server) {
        self.0.plan().back_off(server, Instant::now());
    }

    /// Whether nobody is to use a server for now.
    pub fn is_backed_off(&self, server: &Server) -> bool {
        self.0.plan().is_backed_off(server, Instant::now())
    }

    /// Removes an isolation id's connections.
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
        lock(&self.plan)
    }
}

/// Does what is due until the pool is dropped.
fn keep<D: Dial>(shared: &Arc<Shared<D>>) {
    let spawn_worker = spawn_worker::<D::Link>();
    while !shared.cancel.is_set() {
        let mut plan = shared.plan();
        let tasks = plan.due(Instant::now());
        let due = plan.next_due();
        drop(plan);
        for task in tasks {
            match task {
                Task::Open(server) => open(shared, server),
                // Without the other thread they are left to the servers.
                Task::Ping(link) => drop(spawn_worker.send(Job::Ping(link))),
                Task::Close(link) => drop(spawn_worker.send(Job::Close(link))),
            }
        }
        let wait = due.map_or(CLOCK_POLL, |due| {
            due.saturating_duration_since(Instant::now())
                .min(CLOCK_POLL)
        });
        // The condition is not waited for: it would reveal lookups.
        thread::sleep(wait);
    }
}

/// Something to do on a connection.
enum Job<L> {
    Ping(Arc<L>),
    Close(Arc<L>),
}

/// A thread that pings and closes, so that a server that does not read cannot
/// hold up the clock. It ends when the sender is dropped.
fn spawn_worker<L: Link>() -> mpsc::Sender<Job<L>> {
    let (sender, jobs) = mpsc::channel::<Job<L>>();
    let _ = platform::thread("ping").spawn(move || {
        for job in jobs {
            match job {
                Job::Ping(link) => link.keep_alive(),
                Job::Close(link) => link.close(),
            }
        }
    });
    sender
}

/// Opens a connection on a thread of its own, so that a slow server does not
/// move the clock.
fn open<D: Dial>(shared: &Arc<Shared<D>>, server: Server) {
    let mut dialling = PoolDial {
        shared: Arc::clone(shared),
        server,
        link: None,
    };
    // If there is no thread, that is the end of it, as of a failure.
    let _ = platform::thread("fill").spawn(move || dialling.dial());
}

/// A connection for the pool that is being opened. Dropping it reports the
/// outcome to the plan, whatever happened.
struct PoolDial<D: Dial> {
    shared: Arc<Shared<D>>,
    server: Server,
    link: Option<Arc<D::Link>>,
}

impl<D: Dial> PoolDial<D> {
    fn dial(&mut self) {
        let Shared { dial, cancel, .. } = &*self.shared;
        let dialled = dial.dial(&self.server, Instant::now() + DIAL_TIMEOUT, cancel);
        self.link = dialled.ok().map(Arc::new);
    }
}

impl<D: Dial> Drop for PoolDial<D> {
    fn drop(&mut self) {
        let mut plan = self.shared.plan();
        let refused = plan.opened(&self.server, self.link.take(), Instant::now());
        drop(plan);
        if let Some(link) = refused {
            link.close();
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
    last: Option<FetchError>,
}

impl<D: Dial> Search<'_, D> {
    /// Takes the next step; returns the connection once there is one.
    fn step(&mut self) -> Result<Option<Arc<D::Link>>, FetchError> {
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
    fn dial(&mut self, permit: &DialPermit) -> Result<Option<Arc<D::Link>>, FetchError> {
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

fn too_late() -> FetchError {
    FetchError::new(
        FetchErrorKind::TimedOut,
        "no connection to an Electrum server came about in time",
    )
}

fn untrusted() -> FetchError {
    FetchError::new(
        FetchErrorKind::NotReady,
        "it is not known yet which Electrum servers can be trusted: their keys are still being \
         compared over different circuits",
    )
}

fn no_server() -> FetchError {
    FetchError::new(
        FetchErrorKind::Unreachable,
        "there is no Electrum server of another operator left to ask",
    )
}
