//! Lookups: many at once, none of which waits for another.
//!
//! [`Scheduler`] owns the threads; what is to be done next is decided by
//! [`Core`], which has none. Those who ask are its [`Client`]s.

mod activity;
mod core;
mod limits;
mod ring;
mod timekeeper;

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::isolation::IsolationId;
use crate::log::Log;
use crate::log::lookups::FailureWarnings;
use crate::platform;
use crate::policy::{CachedAnswer, Evaluation, Query, Step, Verdict};
use crate::snapshot::{FetchFailure, Fetched, NameKey};
use crate::source::{Source, SourceReply, logged};

pub use self::activity::Answers;
pub use self::activity::{Job, Task};
pub use self::core::Core;
pub use self::limits::{CacheLimits, Limits};
pub use self::timekeeper::Timekeeper;

/// How long a worker waits for work before it ends.
const IDLE_WORKER: Duration = Duration::from_secs(30);

/// How long after a thread could not be started it is tried again.
const SPAWN_AGAIN: Duration = Duration::from_millis(250);

/// What is called with every answer to a client. It must not block for long.
pub type Deliver = Box<dyn Fn(u64, Verdict) + Send + Sync>;

/// The lookups of a process, for all who ask.
pub struct Scheduler {
    shared: Arc<Shared>,
}

/// One who asks: the seam between a door and the scheduler.
///
/// A query has a number of the client's choice, unique as long as the client
/// lives. [`Client::answer`] gives a finished answer at once. [`Client::ask`]
/// takes a query on, which then is answered through the client's [`Deliver`] by
/// its deadline, exactly once, unless it is cancelled before. Neither blocks on
/// I/O nor evaluates anything.
///
/// All clients share what is kept and fetched for an isolation id: whoever
/// must not be linkable with another client uses other ids. When a client is
/// dropped its queries are cancelled.
pub struct Client {
    shared: Arc<Shared>,
    number: u32,
}

/// A query of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    /// Whose it is.
    pub client: u32,
    /// Which of them.
    pub number: u64,
}

struct Shared {
    source: Arc<dyn Source>,
    log: Log,
    warnings: FailureWarnings,
    state: Mutex<State>,
    clients: Mutex<Clients>,
    /// There is a job, or the end.
    work: Condvar,
    /// The next moment for the timekeeper may have come nearer.
    time: Condvar,
}

#[derive(Default)]
struct Clients {
    last: u32,
    deliver: HashMap<u32, Arc<Deliver>>,
}

struct State {
    core: Core,
    work: VecDeque<Work>,
    /// Threads that do work or wait for it.
    workers: usize,
    /// Those of them that do none now. One that evaluates is not among them.
    free: usize,
    /// When to try again to start a thread for work that has none.
    spawn_again: Option<Instant>,
    /// When the timekeeper wakes by itself.
    timekeeper_wakes: Instant,
    ended: bool,
}

impl State {
    /// When something of the lookups is due next.
    fn next_due(&self) -> Option<Instant> {
        let due = [self.core.next_tick(), self.spawn_again];
        due.into_iter().flatten().min()
    }
}

/// What a worker does.
enum Work {
    Fetch(Job),
    Evaluate(Task),
}

impl Scheduler {
    /// A scheduler that asks `source`, with deadlines kept by `timekeeper`.
    /// Other threads are started when there is work.
    pub fn new(source: Arc<dyn Source>, limits: Limits, log: Log, timekeeper: Timekeeper) -> Self {
        let keeps = !limits.ttl.is_zero() && limits.cache.entries > 0;
        let shared = Arc::new(Shared {
            source,
            log,
            warnings: FailureWarnings::default(),
            state: Mutex::new(State {
                core: Core::new(limits),
                work: VecDeque::new(),
                workers: 0,
                free: 0,
                spawn_again: None,
                // It looks for what is due before it sleeps for the first time.
                timekeeper_wakes: Instant::now(),
                ended: false,
            }),
            clients: Mutex::default(),
            work: Condvar::new(),
            time: Condvar::new(),
        });
        let listener = Arc::downgrade(&shared);
        let learned = move |isolation: &IsolationId, key, fetched| {
            if let Some(shared) = listener.upgrade() {
                shared.learned(isolation, key, fetched);
            }
        };
        // Where nothing is kept there is nothing to be replaced.
        if keeps {
            shared.source.on_learned(Box::new(learned));
        }
        timekeeper.keep(Arc::clone(&shared));
        Self { shared }
    }

    /// A client whose answers go to `deliver`.
    pub fn client(&self, deliver: Deliver) -> Client {
        let mut clients = self.shared.clients();
        clients.last += 1;
        let number = clients.last;
        clients.deliver.insert(number, Arc::new(deliver));
        Client {
            shared: Arc::clone(&self.shared),
            number,
        }
    }
}

impl Client {
    /// The answer that is kept for an isolation id and a question, both as
    /// bytes ([`IsolationId::as_bytes`], [`crate::policy::Question::as_bytes`]).
    pub fn answer(
        &self,
        isolation: &[u8],
        question: &[u8],
        now: Instant,
    ) -> Option<Arc<CachedAnswer>> {
        self.shared.lock().core.answer(isolation, question, now)
    }

    /// Looks a query up.
    pub fn ask(&self, number: u64, isolation: &IsolationId, query: Query, deadline: Instant) {
        let now = Instant::now();
        let ticket = self.ticket(number);
        let mut state = self.shared.lock();
        let answers = state.core.ask(ticket, isolation, query, deadline, now);
        Shared::dispatch(&self.shared, &mut state, 0, now);
        self.shared.unlock(state);
        self.shared.deliver(answers);
    }

    /// Withdraws a query. An answer that is on its way may still be delivered.
    pub fn cancel(&self, number: u64) {
        let ticket = self.ticket(number);
        let mut state = self.shared.lock();
        state.core.cancel(ticket);
        self.shared.forget(&mut state);
    }

    fn ticket(&self, number: u64) -> Ticket {
        Ticket {
            client: self.number,
            number,
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.clients().deliver.remove(&self.number);
        let mut state = self.shared.lock();
        state.core.cancel_all(self.number);
        self.shared.forget(&mut state);
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.work.notify_all();
        self.shared.time.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The core keeps its invariants between calls; a panic inside one is
        // caught outside it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the lock up, and wakes the timekeeper if something is due before it
    /// wakes by itself. Most queries end long before their deadlines, so that it
    /// mostly sleeps.
    fn unlock(&self, state: MutexGuard<'_, State>) {
        let due = state.next_due();
        let is_nearer = due.is_some_and(|due| due < state.timekeeper_wakes);
        drop(state);
        if is_nearer {
            self.time.notify_one();
        }
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives answers to the clients.
    fn deliver(&self, answers: Answers) {
        for (ticket, verdict) in answers {
            // Called without the lock: another client must not wait for it.
            let deliver = self.clients().deliver.get(&ticket.client).map(Arc::clone);
            if let Some(deliver) = deliver {
                // The thread keeps deadlines or does lookups for everyone: a panic
                // of whoever takes this answer must not end it.
                let given = AssertUnwindSafe(|| deliver(ticket.number, verdict));
                drop(catch_unwind(given));
            }
        }
    }

    /// Hands what may begin to workers, of which there is a free one for each
    /// piece of work. `own` of these is the caller, which looks for work next.
    fn dispatch(shared: &Arc<Self>, state: &mut State, own: usize, now: Instant) {
        shared.forget(state);
        let before = state.work.len();
        while let Some(task) = state.core.next_task() {
            state.work.push_back(Work::Evaluate(task));
        }
        while let Some(job) = state.core.next_job(now) {
            state.work.push_back(Work::Fetch(job));
        }
        // A fetch that yielded may have been the last of its id.
        shared.forget(state);
        for _ in before + own..state.work.len() {
            shared.work.notify_one();
        }
        state.spawn_again = None;
        while state.free < state.work.len() {
            let worker = Arc::clone(shared);
            let spawned = platform::thread("lookup").spawn(move || Self::work(&worker));
            if let Err(error) = spawned {
                // A worker that exists may come to it before.
                state.spawn_again = Some(now + SPAWN_AGAIN);
                shared.warnings.no_thread(&shared.log, &error);
                return;
            }
            state.workers += 1;
            state.free += 1;
        }
    }

    fn learned(&self, isolation: &IsolationId, key: NameKey, fetched: Fetched) {
        let mut state = self.lock();
        state.core.learned(isolation, key, fetched, Instant::now());
        self.forget(&mut state);
    }

    /// A worker's life.
    fn work(shared: &Arc<Self>) {
        while let Some(work) = shared.next_work() {
            match work {
                Work::Fetch(job) => {
                    let result = shared.fetch(&job);
                    let pause_factor = rand::random_range(0.5..=1.0);
                    Self::done(shared, |core, now| {
                        core.fetched(job, result, pause_factor, now);
                        Answers::new()
                    });
                }
                Work::Evaluate(mut task) => {
                    let step = evaluate(&mut task.evaluation);
                    Self::done(shared, |core, now| core.evaluated(task, step, now));
                }
            }
        }
    }

    /// Waits for work; `None` if the worker is to end.
    fn next_work(&self) -> Option<Work> {
        let mut state = self.lock();
        let patience = Instant::now() + IDLE_WORKER;
        let work = loop {
            if state.ended {
                break None;
            }
            if let Some(work) = state.work.pop_front() {
                break Some(work);
            }
            let Some(left) = patience.checked_duration_since(Instant::now()) else {
                break None;
            };
            let waited = self.work.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        };
        state.free -= 1;
        if work.is_none() {
            state.workers -= 1;
        }
        work
    }

    fn fetch(&self, job: &Job) -> Result<SourceReply, FetchFailure> {
        let begin = Instant::now();
        logged::begin(&self.log, job.number(), &job.isolation, &job.key);
        let source = &self.source;
        let fetch = || source.fetch(&job.isolation, &job.key, &job.limit);
        let result =
            catch_unwind(AssertUnwindSafe(fetch)).unwrap_or_else(|_| Err(FetchFailure::bug()));
        logged::end(&self.log, job.number(), &result, begin.elapsed());
        self.warnings.fetched(&self.log, &result, Instant::now());
        result
    }

    /// A worker has done its work.
    fn done(shared: &Arc<Self>, event: impl FnOnce(&mut Core, Instant) -> Answers) {
        let mut state = shared.lock();
        let now = Instant::now();
        let answers = event(&mut state.core, now);
        if answers.is_empty() {
            state.free += 1;
            Self::dispatch(shared, &mut state, 1, now);
            shared.unlock(state);
            return;
        }
        // Whoever gives an answer may have to wait for the client to read it.
        Self::dispatch(shared, &mut state, 0, now);
        shared.unlock(state);
        shared.deliver(answers);
        shared.lock().free += 1;
    }

    /// Has the source forget what the scheduler has forgotten. Before the lock
    /// is given up, so that whatever begins afterwards for such an isolation id
    /// finds none of its old connections and loses no new one.
    fn forget(&self, state: &mut State) {
        for isolation in state.core.take_forgotten() {
            self.source.forget(&isolation);
            // What takes the lines never blocks.
            let id = self.log.id(&isolation);
            self.log
                .debug(format_args!("nothing is kept for {id} any more"));
        }
    }
}

/// Resolves a query as far as what is known goes. A panic is a bug of ours and
/// costs this query only.
fn evaluate(evaluation: &mut Evaluation) -> Step {
    catch_unwind(AssertUnwindSafe(|| evaluation.step()))
        .unwrap_or_else(|_| Step::Done(Verdict::Unknown(FetchFailure::bug())))
}

#[cfg(test)]
mod tests;
