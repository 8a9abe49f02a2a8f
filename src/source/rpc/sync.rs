//! Whether an Electrum-NMC node has caught up with its server.
//!
//! Before it has, it says of names it cannot know that they never existed.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::reply::Reply;
use crate::snapshot::{FailureKind, FetchFailure};
use crate::source::Limit;

/// How long an answer is believed, and so how often at most the question is
/// asked.
const KEPT: Duration = Duration::from_secs(60);

/// The last answer, and whether a new one is on its way.
#[derive(Debug, Default)]
pub(super) struct SyncCheck {
    state: Mutex<State>,
    answered: Condvar,
}

#[derive(Debug, Default)]
struct State {
    known: Option<(Instant, bool)>,
    asking: bool,
}

/// Ends the asking however it ends, so that a waiting fetch can take over.
struct Asking<'a> {
    check: &'a SyncCheck,
    answer: Option<bool>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut state = self.check.lock();
        state.asking = false;
        if let Some(synced) = self.answer {
            state.known = Some((Instant::now(), synced));
        }
        drop(state);
        self.check.answered.notify_all();
    }
}

impl SyncCheck {
    /// Whether the node has caught up. If that is not known, one caller asks
    /// with `ask` while the others wait for its answer.
    ///
    /// # Errors
    /// The failure of `ask`, which is not remembered, or no answer came
    /// before the deadline.
    pub fn is_synced(
        &self,
        limit: &Limit,
        ask: impl FnOnce() -> Result<bool, FetchFailure>,
    ) -> Result<bool, FetchFailure> {
        let mut state = self.lock();
        loop {
            if let Some((when, synced)) = state.known
                && when.elapsed() < KEPT
            {
                return Ok(synced);
            }
            if !state.asking {
                break;
            }
            let left = limit.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(FetchFailure::new(
                    FailureKind::TimedOut,
                    "the node did not say in time whether it has caught up",
                ));
            }
            (state, _) = self
                .answered
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.asking = true;
        drop(state);
        let mut asking = Asking {
            check: self,
            answer: None,
        };
        let synced = ask()?;
        asking.answer = Some(synced);
        Ok(synced)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole at every moment, also after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `getinfo` says; a node that does not tell counts as having caught up,
/// or its absences could never be believed.
pub(super) fn tells_synced(reply: &Reply<'_>) -> bool {
    #[derive(Deserialize)]
    struct Info {
        blockchain_height: Option<i64>,
        server_height: Option<i64>,
    }
    let Reply::Result(result) = reply else {
        return true;
    };
    match serde_json::from_str::<Info>(result.get()) {
        Ok(Info {
            blockchain_height: Some(own),
            server_height: Some(server),
        }) => own == server,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Cancel;

    fn limit() -> Limit {
        Limit {
            deadline: Instant::now() + Duration::from_secs(20),
            cancel: Cancel::new(),
        }
    }

    fn never() -> Result<bool, FetchFailure> {
        unreachable!("the answer is known")
    }

    #[test]
    fn both_answers_are_remembered() {
        for synced in [true, false] {
            let check = SyncCheck::default();
            assert_eq!(check.is_synced(&limit(), || Ok(synced)), Ok(synced));
            assert_eq!(check.is_synced(&limit(), never), Ok(synced));
        }
    }

    #[test]
    fn an_old_answer_is_asked_for_again() {
        let check = SyncCheck::default();
        let Some(old) = Instant::now().checked_sub(KEPT) else {
            return; // a machine that started within the last minute
        };
        check.lock().known = Some((old, true));
        assert_eq!(check.is_synced(&limit(), || Ok(false)), Ok(false));
    }

    #[test]
    fn a_failure_is_not_remembered() {
        let check = SyncCheck::default();
        let failure = FetchFailure::new(FailureKind::Unreachable, "gone");
        let failed = check.is_synced(&limit(), || Err(failure.clone()));
        assert_eq!(failed, Err(failure));
        assert_eq!(check.is_synced(&limit(), || Ok(true)), Ok(true));
    }

    #[test]
    fn many_at_once_ask_once() {
        let check = SyncCheck::default();
        let asked = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let synced = check.is_synced(&limit(), || {
                        asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        Ok(true)
                    });
                    assert_eq!(synced, Ok(true));
                });
            }
        });
        assert_eq!(asked.into_inner(), 1);
    }
}
