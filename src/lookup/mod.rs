//! Lookups: many at once, none of which waits for another.
//!
//! [`Lookups`] owns the threads; what is to be done next is decided by
//! [`core`], which has none. Whoever asks never blocks on I/O: an answer that
//! was kept is had at once ([`Lookups::answer`]), and so is one that can be made
//! of cached values ([`Lookups::cached`]); any other comes later through the
//! callback, from a worker thread.

pub mod core;
mod rota;
mod trouble;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::isolation::IsolationId;
use crate::log::Log;
use crate::resolve::{self, Answer, Query, Step, Verdict};
use crate::snapshot::{FailureKind, FetchFailure, Fetched, Snapshot};
use crate::source::{Source, told};

use self::core::{Core, Effects, Job, Limits, Task, Ticket};
use self::trouble::Troubles;

/// How long a worker waits for work before it ends.
const IDLE_WORKER: Duration = Duration::from_secs(30);

/// How often a source that can change is looked at.
const POLL: Duration = Duration::from_secs(1);

/// How often what has outlived its time is dropped from the cache.
const SWEEP: Duration = Duration::from_secs(60);

/// What is called with every answer. It must not block for long.
pub type Deliver = Box<dyn Fn(Ticket, Verdict) + Send + Sync>;

/// The lookups of a process.
pub struct Lookups {
    shared: Arc<Shared>,
    timekeeper: Once,
}

struct Shared {
    source: Arc<dyn Source>,
    deliver: Deliver,
    log: Log,
    troubles: Troubles,
    state: Mutex<State>,
    /// There is a job, or the end.
    work: Condvar,
    /// The next moment for the timekeeper may have come nearer.
    time: Condvar,
}

struct State {
    core: Core,
    jobs: VecDeque<Job>,
    workers: usize,
    ended: bool,
}

impl Lookups {
    /// Lookups that ask `source`. No thread is started before there is work.
    pub fn new(source: Arc<dyn Source>, limits: Limits, log: Log, deliver: Deliver) -> Self {
        Self {
            shared: Arc::new(Shared {
                source,
                deliver,
                log,
                troubles: Troubles::default(),
                state: Mutex::new(State {
                    core: Core::new(limits),
                    jobs: VecDeque::new(),
                    workers: 0,
                    ended: false,
                }),
                work: Condvar::new(),
                time: Condvar::new(),
            }),
            timekeeper: Once::new(),
        }
    }

    /// The answer that is kept for an isolation id and a question, both as
    /// octets ([`IsolationId::octets`], [`resolve::Question::octets`]).
    pub fn answer(&self, isolation: &[u8], question: &[u8], now: Instant) -> Option<Arc<Answer>> {
        self.shared.lock().core.answer(isolation, question, now)
    }

    /// The verdict on a query if the cache of its isolation id holds all that
    /// it depends on, at the moment `now`: the answer that was kept, or one that
    /// is made of the values, and kept for the next query of this kind.
    pub fn cached(
        &self,
        isolation: &IsolationId,
        query: &Query,
        now: Instant,
    ) -> Option<Arc<Answer>> {
        let question = query.question();
        let kept =
            |question: resolve::Question| self.answer(isolation.octets(), question.octets(), now);
        if let Some(answer) = question.and_then(kept) {
            return Some(answer);
        }
        let mut snapshot = Snapshot::new(isolation.clone());
        loop {
            match evaluate(query, &snapshot) {
                Step::Done(verdict) => {
                    let answer = Arc::new(Answer::new(verdict));
                    let gone = self.shared.lock().core.keep(query, &snapshot, &answer, now);
                    gone.iter().for_each(|id| self.shared.forget(id));
                    return Some(answer);
                }
                Step::Need(keys) => {
                    if !self.shared.lock().core.fill(&mut snapshot, &keys, now) {
                        return None;
                    }
                }
            }
        }
    }

    /// Looks a query up. Its answer is delivered by `deadline`, exactly once,
    /// unless it is cancelled. Tickets must be unique.
    pub fn ask(&self, ticket: Ticket, isolation: &IsolationId, query: Query, deadline: Instant) {
        self.timekeeper
            .call_once(|| Shared::keep_time(&self.shared));
        let effects =
            self.shared
                .lock()
                .core
                .ask(ticket, isolation, query, deadline, Instant::now());
        self.shared.time.notify_one();
        Shared::carry_out(&self.shared, effects);
    }

    /// The client is no longer interested in a query. An answer that was on
    /// its way may still be delivered.
    pub fn cancel(&self, ticket: Ticket) {
        self.shared.lock().core.cancel(ticket);
    }
}

impl Drop for Lookups {
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

    /// Does what an event brought about, until nothing is left to do here.
    fn carry_out(shared: &Arc<Self>, effects: Effects) {
        let mut pending = VecDeque::from([effects]);
        while let Some(effects) = pending.pop_front() {
            for (ticket, verdict) in effects.answers {
                (shared.deliver)(ticket, verdict);
            }
            for isolation in effects.forgotten {
                shared.forget(&isolation);
            }
            for task in effects.tasks {
                let step = evaluate(&task.query, &task.snapshot);
                let effects = shared.evaluated(task, step);
                pending.push_back(effects);
            }
        }
        Self::dispatch(shared);
    }

    fn evaluated(&self, task: Task, step: Step) -> Effects {
        self.lock().core.evaluated(task, step, Instant::now())
    }

    /// Hands the fetches that may begin to workers.
    fn dispatch(shared: &Arc<Self>) {
        let mut unstarted = Vec::new();
        {
            let mut state = shared.lock();
            let now = Instant::now();
            while let Some(job) = state.core.next_job(now) {
                state.jobs.push_back(job);
                // As many workers as fetches: one that is about to become idle
                // takes a job as well as one that is.
                if state.workers >= state.core.under_way() {
                    shared.work.notify_one();
                    continue;
                }
                let worker = Arc::clone(shared);
                let spawned = thread::Builder::new()
                    .name("lookup".to_owned())
                    .spawn(move || Self::work(&worker));
                match spawned {
                    Ok(_) => state.workers += 1,
                    // Those that exist will come to it.
                    Err(_) if state.workers > 0 => {}
                    Err(_) => unstarted.extend(state.jobs.pop_back()),
                }
            }
        }
        for job in unstarted {
            let failure = FetchFailure::new(FailureKind::Overloaded, "no thread could be started");
            shared.ended(job, Err(failure));
        }
    }

    fn ended(self: &Arc<Self>, job: Job, result: Result<Fetched, FetchFailure>) {
        let pause_factor = rand::random_range(0.5..=1.0);
        let effects = self
            .lock()
            .core
            .fetched(job, result, pause_factor, Instant::now());
        self.time.notify_one();
        Self::carry_out(self, effects);
    }

    /// A worker's life.
    fn work(shared: &Arc<Self>) {
        while let Some(job) = shared.next_job() {
            let begin = Instant::now();
            told::begin(&shared.log, job.number(), &job.isolation, &job.key);
            let fetch = || shared.source.fetch(&job.isolation, &job.key, &job.limit);
            let result = catch_unwind(AssertUnwindSafe(fetch)).unwrap_or_else(|_| Err(bug()));
            told::end(&shared.log, job.number(), &result, begin.elapsed());
            shared.troubles.note(&shared.log, &result, Instant::now());
            shared.ended(job, result);
        }
    }

    /// Nothing is kept for an isolation id any more.
    fn forget(&self, isolation: &IsolationId) {
        let id = self.log.id(isolation);
        self.log
            .debug(format_args!("nothing is kept for {id} any more"));
        self.source.forget(isolation);
    }

    /// Waits for a job; `None` if the worker is to end.
    fn next_job(&self) -> Option<Job> {
        let mut state = self.lock();
        let patience = Instant::now() + IDLE_WORKER;
        loop {
            if state.ended {
                break;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            let Some(left) = patience.checked_duration_since(Instant::now()) else {
                break;
            };
            let waited = self.work.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.workers -= 1;
        None
    }

    /// Starts the thread that lets time pass.
    fn keep_time(shared: &Arc<Self>) {
        let keeper = Arc::clone(shared);
        let spawned = thread::Builder::new()
            .name("time".to_owned())
            .spawn(move || Self::time_passes(&keeper));
        if spawned.is_err() {
            // Without it deadlines are kept only by the source's own limits.
            // The process is out of threads, and says so in its answers.
        }
    }

    fn time_passes(shared: &Arc<Self>) {
        let mut next_poll = Instant::now() + POLL;
        let mut next_sweep = Instant::now() + SWEEP;
        loop {
            let effects = {
                let mut state = shared.lock();
                loop {
                    if state.ended {
                        return;
                    }
                    let now = Instant::now();
                    let mut due = next_sweep;
                    if shared.source.is_polled() {
                        due = due.min(next_poll);
                    }
                    due = state.core.next_tick().map_or(due, |tick| tick.min(due));
                    let Some(left) = due.checked_duration_since(now).filter(|d| !d.is_zero())
                    else {
                        break;
                    };
                    let waited = shared.time.wait_timeout(state, left);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                state.core.tick(Instant::now())
            };
            Self::carry_out(shared, effects);
            let now = Instant::now();
            if now >= next_poll && shared.source.is_polled() {
                next_poll = now + POLL;
                let poll = || shared.source.poll();
                if catch_unwind(AssertUnwindSafe(poll)).unwrap_or(false) {
                    shared.lock().core.invalidate();
                    let log = &shared.log;
                    log.info("the values have changed; what was cached is dropped");
                }
            }
            if now >= next_sweep {
                next_sweep = now + SWEEP;
                let gone = shared.lock().core.sweep(now);
                gone.iter().for_each(|id| shared.forget(id));
            }
        }
    }
}

/// Resolves a query as far as a snapshot goes. A panic is a bug of ours and
/// costs this query only.
fn evaluate(query: &Query, snapshot: &Snapshot) -> Step {
    catch_unwind(AssertUnwindSafe(|| resolve::resolve(query, snapshot)))
        .unwrap_or_else(|_| Step::Done(Verdict::Unknown(bug())))
}

fn bug() -> FetchFailure {
    let message = "a bug in ncprop279 was met; please report the name and its value";
    FetchFailure::new(FailureKind::Internal, message)
}
