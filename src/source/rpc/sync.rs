//! What an Electrum-NMC node says of itself: whether it has caught up with its
//! server, and of which version it is.
//!
//! Before it has caught up, it says of names it cannot know that they never
//! existed.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::reply::Reply;
use crate::snapshot::{FailureKind, FetchFailure};
use crate::source::Bounds;
use crate::text::clip;

/// How long an answer is believed, and so how often at most the question is
/// asked.
const KEPT: Duration = Duration::from_secs(60);

/// The longest word of a node about itself that is shown, in characters.
pub(super) const MAX_WORD: usize = 60;

/// How long a fetch waits for another one to ask. A node answers in
/// milliseconds, as it asks nobody.
const FOR_ANOTHER: Duration = Duration::from_secs(1);

/// The last answer, and whether a new one is on its way.
#[derive(Debug)]
pub(super) struct SyncCheck<T> {
    state: Mutex<State<T>>,
    answered: Condvar,
}

#[derive(Debug)]
struct State<T> {
    known: Option<(Instant, T)>,
    asking: bool,
}

/// Ends the asking however it ends, so that a waiting fetch can take over.
struct Asking<'a, T> {
    check: &'a SyncCheck<T>,
    answer: Option<T>,
}

impl<T> Drop for Asking<'_, T> {
    fn drop(&mut self) {
        let mut state = self.check.lock();
        state.asking = false;
        if let Some(info) = self.answer.take() {
            state.known = Some((Instant::now(), info));
        }
        drop(state);
        self.check.answered.notify_all();
    }
}

impl<T> Default for SyncCheck<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                known: None,
                asking: false,
            }),
            answered: Condvar::new(),
        }
    }
}

impl<T> SyncCheck<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // The state is whole at every moment, also after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> SyncCheck<T> {
    /// What the node says of itself. If that is not known, one caller asks
    /// with `ask` while the others wait for its answer.
    ///
    /// # Errors
    /// The failure of `ask`, which is not remembered, or no answer came
    /// before the deadline.
    pub fn info(
        &self,
        bounds: &Bounds,
        ask: impl FnOnce() -> Result<T, FetchFailure>,
    ) -> Result<T, FetchFailure> {
        let mut state = self.lock();
        let waited_until = Instant::now().checked_add(FOR_ANOTHER);
        loop {
            if let Some((when, info)) = &state.known
                && when.elapsed() < KEPT
            {
                return Ok(info.clone());
            }
            if !state.asking {
                break;
            }
            let left = bounds.deadline.saturating_duration_since(Instant::now());
            if waited_until.is_none_or(|until| Instant::now() >= until) {
                // Whoever asks is stuck. That must not be felt here.
                break;
            }
            if left.is_zero() {
                return Err(FetchFailure::new(
                    FailureKind::TimedOut,
                    "the node did not say in time whether it has caught up",
                ));
            }
            (state, _) = self
                .answered
                .wait_timeout(state, left.min(FOR_ANOTHER))
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.asking = true;
        drop(state);
        let mut asking = Asking {
            check: self,
            answer: None,
        };
        let info = ask()?;
        asking.answer = Some(info.clone());
        Ok(info)
    }
}

/// The answer to `getinfo`, as far as it matters. Nodes that do not have the
/// method, or the members, tell nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Info {
    /// The height up to which the node has verified headers; -1 for none.
    pub blockchain_height: Option<i64>,
    /// The height that its server claims.
    pub server_height: Option<i64>,
    /// The program's version, such as `4.0.6`.
    pub version: Option<String>,
}

impl Info {
    /// What a reply to `getinfo` tells.
    pub fn of(reply: &Reply<'_>) -> Self {
        let mut info: Self = match reply {
            Reply::Result(result) => serde_json::from_str(result.get()).unwrap_or_default(),
            Reply::Error(_) => Self::default(),
        };
        // It is shown, and a reply may have a megabyte.
        info.version = info.version.map(|version| clip(&version, MAX_WORD));
        info
    }

    /// Whether the node has caught up. One that does not tell counts as having
    /// caught up, or its absences could never be believed.
    pub fn is_synced(&self) -> bool {
        match (self.blockchain_height, self.server_height) {
            (Some(own), Some(server)) => own == server,
            _ => true,
        }
    }

    /// Whether the node is of the line that knows isolation ids.
    pub fn is_of_4_0(&self) -> bool {
        self.version
            .as_ref()
            .is_some_and(|version| version.starts_with("4.0."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Cancel;

    fn bounds() -> Bounds {
        let deadline = Instant::now() + Duration::from_secs(20);
        Bounds {
            due: deadline,
            deadline,
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
            assert_eq!(check.info(&bounds(), || Ok(synced)), Ok(synced));
            assert_eq!(check.info(&bounds(), never), Ok(synced));
        }
    }

    #[test]
    fn a_long_version_is_cut() {
        let version = "9".repeat(1 << 20);
        let body = format!(r#"{{"result":{{"version":"{version}"}}}}"#);
        let info = Info::of(&Reply::parse(body.as_bytes()).unwrap());
        assert_eq!(info.version.map(|version| version.len()), Some(63));
    }

    #[test]
    fn an_old_answer_is_asked_for_again() {
        let check = SyncCheck::default();
        let Some(old) = Instant::now().checked_sub(KEPT) else {
            return; // a machine that started within the last minute
        };
        check.lock().known = Some((old, true));
        assert_eq!(check.info(&bounds(), || Ok(false)), Ok(false));
    }

    #[test]
    fn a_failure_is_not_remembered() {
        let check = SyncCheck::default();
        let failure = FetchFailure::new(FailureKind::Unreachable, "gone");
        let failed = check.info(&bounds(), || Err(failure.clone()));
        assert_eq!(failed, Err(failure));
        assert_eq!(check.info(&bounds(), || Ok(true)), Ok(true));
    }

    #[test]
    fn many_at_once_ask_once() {
        let check = SyncCheck::default();
        let asked = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let synced = check.info(&bounds(), || {
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
