//! The threads: workers, which fetch and evaluate, and the timekeeper, which lets
//! time pass: deadlines, pauses, polling, tidying.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::isolation::IsolationId;
use crate::log::Log;
use crate::log::lookups::FailureWarnings;
use crate::platform;
use crate::policy::{CachedAnswer, Evaluation, Step, Verdict};
use crate::snapshot::{FetchError, Fetched, NameKey};

use super::activity::{Answers, Job, Task};
use super::core::Core;
use super::limits::Limits;
use super::upstreams::{FetchReply, Upstreams};

/// How long a worker waits for work before it ends.
const IDLE_WORKER: Duration = Duration::from_secs(30);

/// How long after a thread could not be started it is tried again.
const SPAWN_AGAIN: Duration = Duration::from_millis(250);

/// How often a source that can change is looked at.
const POLL: Duration = Duration::from_secs(1);

/// How often what has outlived its time is dropped from the cache.
const SWEEP: Duration = Duration::from_secs(60);

/// What is called with every answer to a client. It must not block for long.
pub type Deliver = Box<dyn Fn(u64, Verdict) + Send + Sync>;

/// What the threads share.
pub(super) struct Shared {
    upstreams: Upstreams,
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
    /// Workers that wait for work, or look for it next.
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

/// Something to do once in each period.
struct Periodic {
    period: Duration,
    next: Instant,
}

impl Periodic {
    /// First due a period after `now`.
    fn new(period: Duration, now: Instant) -> Self {
        let next = now + period;
        Self { period, next }
    }

    /// Whether it is due. If so, the next period begins.
    fn is_due(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        *self = Self::new(self.period, now);
        true
    }
}

/// A thread that will keep the deadlines of lookups.
///
/// Without it no deadline holds, so it is started before a client is promised
/// anything. Threads for lookups can be had later, or not, without breaking a
/// promise.
pub struct Timekeeper {
    shared: Sender<Arc<Shared>>,
}

impl Timekeeper {
    /// Starts the thread, which waits for its lookups. It ends with them, or
    /// with this value.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start() -> io::Result<Self> {
        let (shared, lookups) = channel::<Arc<Shared>>();
        platform::thread("time").spawn(move || {
            if let Ok(shared) = lookups.recv() {
                Shared::time_passes(&shared);
            }
        })?;
        Ok(Self { shared })
    }

    pub(super) fn keep(self, shared: Arc<Shared>) {
        // The thread waits for nothing else, so that it is there.
        let _ = self.shared.send(shared);
    }
}

impl Shared {
    pub(super) fn new(upstreams: Upstreams, limits: Limits, log: Log) -> Arc<Self> {
        let keeps = !limits.ttl.is_zero() && limits.cache.entries > 0;
        let core = Core::new(limits).following_delegations(upstreams.delegations.is_some());
        let shared = Arc::new(Shared {
            upstreams,
            log,
            warnings: FailureWarnings::default(),
            state: Mutex::new(State {
                core,
                work: VecDeque::new(),
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
            shared.upstreams.source.on_learned(Box::new(learned));
        }
        shared
    }

    /// Has answers to a new client go to `deliver`; gives the client's number.
    pub(super) fn register(&self, deliver: Deliver) -> u32 {
        let mut clients = self.clients();
        clients.last += 1;
        let number = clients.last;
        clients.deliver.insert(number, Arc::new(deliver));
        number
    }

    pub(super) fn unregister(&self, client: u32) {
        self.clients().deliver.remove(&client);
    }

    /// The answer that is kept.
    pub(super) fn answer(
        &self,
        isolation: &[u8],
        question: &[u8],
        now: Instant,
    ) -> Option<Arc<CachedAnswer>> {
        self.lock().core.answer(isolation, question, now)
    }

    /// Has the core know of something that may begin work and give answers.
    pub(super) fn event(shared: &Arc<Self>, event: impl FnOnce(&mut Core, Instant) -> Answers) {
        let now = Instant::now();
        let mut state = shared.lock();
        let answers = event(&mut state.core, now);
        Self::dispatch(shared, &mut state, 0, now);
        shared.unlock(state);
        shared.deliver(answers);
    }

    /// Has the core know of something that ends work.
    pub(super) fn change(&self, change: impl FnOnce(&mut Core)) {
        let mut state = self.lock();
        change(&mut state.core);
        self.forget(&mut state);
    }

    /// Ends all threads.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.work.notify_all();
        self.time.notify_all();
    }

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
            state.free += 1;
        }
    }

    fn learned(&self, isolation: &IsolationId, key: NameKey, fetched: Fetched) {
        self.change(|core| core.learned(isolation, key, fetched, Instant::now()));
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

    #[cfg(test)]
    pub(super) fn free_workers(&self) -> usize {
        self.lock().free
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
        work
    }

    fn fetch(&self, job: &Job) -> Result<FetchReply, FetchError> {
        let Job {
            isolation,
            key,
            limit,
            ..
        } = job;
        let fetch = || {
            self.upstreams
                .fetch(job.number(), isolation, key, limit, &self.log)
        };
        let result =
            catch_unwind(AssertUnwindSafe(fetch)).unwrap_or_else(|_| Err(FetchError::bug()));
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
            self.upstreams.source.forget(&isolation);
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
        .unwrap_or_else(|_| Step::Done(Verdict::Unknown(FetchError::bug())))
}

impl Shared {
    /// Drops what is cached if the source's values have changed. Returns whether
    /// they can change again.
    fn poll(&self) -> bool {
        let poll = || self.upstreams.source.poll();
        let polled = catch_unwind(AssertUnwindSafe(poll)).unwrap_or(Some(false));
        if polled == Some(true) {
            self.lock().core.invalidate();
            let log = &self.log;
            log.info("the values have changed; what was cached is dropped");
        }
        polled.is_some()
    }

    fn time_passes(shared: &Arc<Self>) {
        let begin = Instant::now();
        let mut sweep = Periodic::new(SWEEP, begin);
        let mut poll = shared.poll().then(|| Periodic::new(POLL, begin));
        loop {
            let answers = {
                let mut state = shared.lock();
                loop {
                    if state.ended {
                        return;
                    }
                    let now = Instant::now();
                    let next_poll = poll.as_ref().map(|poll| poll.next);
                    let due = [Some(sweep.next), next_poll, state.next_due()];
                    let due = due.into_iter().flatten().min().unwrap_or(sweep.next);
                    let Some(left) = due.checked_duration_since(now).filter(|d| !d.is_zero())
                    else {
                        break;
                    };
                    state.timekeeper_wakes = due;
                    let waited = shared.time.wait_timeout(state, left);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                let now = Instant::now();
                let answers = state.core.tick(now);
                Self::dispatch(shared, &mut state, 0, now);
                answers
            };
            shared.deliver(answers);
            let now = Instant::now();
            if poll.as_mut().is_some_and(|poll| poll.is_due(now)) && !shared.poll() {
                poll = None;
            }
            if sweep.is_due(now) {
                let mut state = shared.lock();
                state.core.sweep(now);
                shared.forget(&mut state);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_periodic_is_due_once_in_each_period() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mut sweep = Periodic::new(SWEEP, begin);
        let times = [0, 59, 60, 61, 119, 130, 150, 189, 190];
        let due = times.into_iter().filter(|time| sweep.is_due(after(*time)));
        assert_eq!(due.collect::<Vec<_>>(), [60, 130, 190]);
    }
}
