//! The thread that lets time pass: deadlines, pauses, polling, tidying.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::platform;

use super::Shared;

/// How often a source that can change is looked at.
const POLL: Duration = Duration::from_secs(1);

/// How often what has outlived its time is dropped from the cache.
const SWEEP: Duration = Duration::from_secs(60);

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
    /// Drops what is cached if the source's values have changed. Returns when to
    /// look again, if ever.
    fn poll(&self) -> Option<Instant> {
        let poll = || self.source.poll();
        let has_changed = catch_unwind(AssertUnwindSafe(poll)).unwrap_or(Some(false))?;
        if has_changed {
            self.lock().core.invalidate();
            let log = &self.log;
            log.info("the values have changed; what was cached is dropped");
        }
        Some(Instant::now() + POLL)
    }

    fn time_passes(shared: &Arc<Self>) {
        let mut next_poll = shared.poll();
        let mut next_sweep = Instant::now() + SWEEP;
        loop {
            let answers = {
                let mut state = shared.lock();
                loop {
                    if state.ended {
                        return;
                    }
                    let now = Instant::now();
                    let due = [Some(next_sweep), next_poll, state.next_due()];
                    let due = due.into_iter().flatten().min().unwrap_or(next_sweep);
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
            if next_poll.is_some_and(|next| now >= next) {
                next_poll = shared.poll();
            }
            if now >= next_sweep {
                next_sweep = now + SWEEP;
                let mut state = shared.lock();
                state.core.sweep(now);
                shared.forget(&mut state);
            }
        }
    }
}
