//! The door's questions to the scheduler. A stream's thread waits for its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::isolation::IsolationId;
use crate::log::Log;
use crate::log::lookups::{QueryLog, QueryResult};
use crate::policy::{Query, Verdict};
use crate::scheduler::{Client, Scheduler};

/// How soon it is noticed that a client has gone.
const GONE_CHECK: Duration = Duration::from_millis(100);

type Waiting = Mutex<HashMap<u64, SyncSender<Verdict>>>;

/// Looks names up for streams.
pub struct Lookups {
    client: Client,
    waiting: Arc<Waiting>,
    last: AtomicU64,
    log: Arc<QueryLog>,
    only_onion: bool,
    /// How long a lookup may take.
    timeout: Duration,
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashMap<u64, SyncSender<Verdict>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lookups {
    /// With a client of the scheduler.
    pub fn new(scheduler: &Scheduler, only_onion: bool, timeout: Duration, log: &Log) -> Self {
        let waiting: Arc<Waiting> = Arc::default();
        let answered = Arc::clone(&waiting);
        let deliver = move |number, verdict| {
            if let Some(sender) = lock(&answered).remove(&number) {
                // Nobody may be waiting any more.
                let _ = sender.try_send(verdict);
            }
        };
        Self {
            client: scheduler.client(Box::new(deliver)),
            waiting,
            last: AtomicU64::new(0),
            log: Arc::new(QueryLog::new(log.clone())),
            only_onion,
            timeout,
        }
    }

    /// The verdict on a name; `None` if the client went away.
    pub fn resolve(
        &self,
        name: &[u8],
        isolation: &IsolationId,
        is_gone: impl Fn() -> bool,
    ) -> Option<Verdict> {
        let query = match Query::parse(name, self.only_onion) {
            Ok(query) => query,
            Err(verdict) => return Some(verdict),
        };
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        self.log
            .asked(number, isolation, || query.name_text(), query.only_onion());
        let now = Instant::now();
        let cached = query
            .question()
            .and_then(|question| {
                self.client
                    .answer(isolation.as_bytes(), question.as_bytes(), now)
            })
            .map(|answer| answer.verdict().clone());
        let is_cached = cached.is_some();
        let verdict = match cached {
            Some(verdict) => verdict,
            None => self.ask(number, isolation, query, now, is_gone)?,
        };
        if self.log.is_enabled() {
            let failure = match &verdict {
                Verdict::Unknown(failure) => Some(failure.kind),
                _ => None,
            };
            self.log.answered(
                number,
                &QueryResult {
                    status: verdict.status().code(),
                    text: &verdict.text(),
                    failure,
                    is_cached,
                },
            );
        }
        Some(verdict)
    }

    fn ask(
        &self,
        number: u64,
        isolation: &IsolationId,
        query: Query,
        now: Instant,
        is_gone: impl Fn() -> bool,
    ) -> Option<Verdict> {
        let (sender, receiver) = sync_channel(1);
        lock(&self.waiting).insert(number, sender);
        self.client
            .ask(number, isolation, query, now + self.timeout);
        loop {
            match receiver.recv_timeout(GONE_CHECK) {
                Ok(verdict) => return Some(verdict),
                Err(RecvTimeoutError::Timeout) if !is_gone() => {}
                Err(_) => {
                    lock(&self.waiting).remove(&number);
                    self.client.cancel(number);
                    self.log.withdrawn(number);
                    return None;
                }
            }
        }
    }
}
