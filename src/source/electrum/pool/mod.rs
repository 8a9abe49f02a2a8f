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
//! says, and `acquire` is how a lookup gets its connection.

mod acquire;
mod plan;
mod roster;
mod slot;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::SysRng;
use rand::{Rng, TryRng};

use self::plan::Plan;
use self::slot::Task;
pub use self::slot::{Fault, Link};
use super::servers::Server;
use crate::isolation::IsolationId;
use crate::platform;
use crate::snapshot::FetchFailure;
use crate::source::Cancel;
use crate::source::transport::lock;

/// How long opening a ready connection may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest time between two looks at what is due.
const CLOCK_POLL: Duration = Duration::from_millis(500);

/// How often a lookup that waits for a connection checks whether it is still
/// wanted.
const WAITER_POLL: Duration = Duration::from_millis(50);

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
    ) -> Result<Self::Link, FetchFailure>;
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
        trusted.iter().for_each(|server| plan.trust(server));
        Self(Arc::new(Shared {
            dial,
            plan: Mutex::new(plan),
            changed: Condvar::new(),
            cancel: Cancel::new(),
        }))
    }

    /// A server is likely to work, though this process has not tried it yet.
    pub fn expect(&self, server: &Server) {
        self.0.plan().expect(server);
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
        self.0.plan().take_in(server);
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
        // The condition is not waited for: it would tell of lookups.
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
