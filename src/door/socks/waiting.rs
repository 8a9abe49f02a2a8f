//! Lookups of streams, each of which waits for its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::isolation::IsolationId;
use crate::naming::{Answer, Lookups, Naming};
use crate::scheduler::Scheduler;

/// How often a stream that waits checks whether its client has gone.
const GONE_CHECK: Duration = Duration::from_millis(100);

type Waiting = Mutex<HashMap<u64, SyncSender<Answer>>>;

/// Looks names up and waits for the answers.
pub struct WaitingLookups {
    lookups: Lookups,
    waiting: Arc<Waiting>,
    last: AtomicU64,
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashMap<u64, SyncSender<Answer>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WaitingLookups {
    /// No lookups yet.
    pub fn new(naming: &Arc<Naming>, scheduler: &Scheduler) -> Self {
        let waiting: Arc<Waiting> = Arc::default();
        let answered = Arc::clone(&waiting);
        let deliver = move |number, answer| {
            if let Some(sender) = lock(&answered).remove(&number) {
                // Nobody may be waiting any more.
                let _ = sender.try_send(answer);
            }
        };
        Self {
            lookups: naming.lookups(scheduler, Box::new(deliver)),
            waiting,
            last: AtomicU64::new(0),
        }
    }

    /// What a name leads to; `None` if the client went away.
    pub fn resolve(
        &self,
        name: &[u8],
        isolation: &IsolationId,
        is_gone: impl Fn() -> bool,
    ) -> Option<Answer> {
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = sync_channel(1);
        // Before the lookup starts, because it may end before `start` returns.
        lock(&self.waiting).insert(number, sender);
        if let Some(answer) = self.lookups.start(number, name, isolation) {
            lock(&self.waiting).remove(&number);
            return Some(answer);
        }
        loop {
            match receiver.recv_timeout(GONE_CHECK) {
                Ok(answer) => return Some(answer),
                Err(RecvTimeoutError::Timeout) if !is_gone() => {}
                Err(_) => {
                    lock(&self.waiting).remove(&number);
                    self.lookups.cancel(number);
                    return None;
                }
            }
        }
    }
}
