//! A naming plugin of the user's: any program that speaks Tor's proposal 279
//! (`spec/naming-plugins.md`).
//!
//! ```text
//! Lookups → Plugin → queries ─┐
//!                             ├─ keeper (a thread) ── process ── protocol, reply
//! ```
//!
//! Nothing here blocks a door: a query is noted down, and the keeper's thread is
//! woken.

mod keeper;
mod process;
mod protocol;
mod queries;
mod reply;

use std::collections::HashMap;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

pub use self::queries::Ticket;
pub use self::reply::Rules;

use self::keeper::Keeper;
use self::queries::Queries;
use self::reply::Reply;
use super::answer::Answer;
use crate::config::settings::PluginCommand;
use crate::isolation::IsolationId;
use crate::log::Log;
use crate::platform;

/// Takes the answers to an asker's queries.
pub type Take = Arc<dyn Fn(u64, Answer) + Send + Sync>;

/// Why queries are not answered when there is no keeper.
const NO_KEEPER: &str = "the naming plugin cannot be run";

/// Why open queries are not answered when the process ends.
const ENDING: &str = "ncprop279 is ending";

/// A plugin, which is started at once and whenever it has ended. When this value
/// is dropped the plugin ends.
pub struct Plugin {
    shared: Arc<Shared>,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

/// What the keeper shares with those who ask.
pub struct Shared {
    state: Mutex<State>,
    /// One byte wakes the keeper.
    wake: Option<UnixStream>,
}

#[derive(Default)]
struct State {
    queries: Queries,
    askers: HashMap<u64, Take>,
    /// Why nothing is asked any more.
    closed: Option<&'static str>,
}

impl Plugin {
    /// Starts a plugin in a thread of its own.
    pub fn start(plugin: PluginCommand, rules: Rules, log: &Log) -> Self {
        let pair = UnixStream::pair().and_then(|(wake, woken)| {
            wake.set_nonblocking(true)?;
            woken.set_nonblocking(true)?;
            Ok((wake, woken))
        });
        let started = pair.and_then(|(wake, woken)| {
            let shared = Arc::new(Shared {
                state: Mutex::default(),
                wake: Some(wake),
            });
            let kept = Arc::clone(&shared);
            let mut keeper = Keeper::new(Arc::clone(&kept), plugin, rules, woken, log.clone());
            let run = move || {
                let run = AssertUnwindSafe(|| keeper.run());
                // A bug must not leave queries without an answer.
                let ran = catch_unwind(run);
                drop(keeper);
                kept.close(if ran.is_ok() { ENDING } else { NO_KEEPER });
            };
            let thread = platform::thread("plugin").spawn(run)?;
            Ok((shared, thread))
        });
        match started {
            Ok((shared, keeper)) => Self {
                shared,
                keeper: Mutex::new(Some(keeper)),
            },
            Err(error) => {
                log.warn(format_args!(
                    "{NO_KEEPER}: {error}; raise the limits on processes, memory and open files"
                ));
                let state = State {
                    closed: Some(NO_KEEPER),
                    ..State::default()
                };
                Self {
                    shared: Arc::new(Shared {
                        state: Mutex::new(state),
                        wake: None,
                    }),
                    keeper: Mutex::default(),
                }
            }
        }
    }

    /// Has the answers to an asker's queries go to `take`, which must not block.
    pub fn register(&self, asker: u64, take: Take) {
        self.shared.lock().askers.insert(asker, take);
    }

    /// Withdraws all queries of an asker.
    pub fn unregister(&self, asker: u64) {
        let mut state = self.shared.lock();
        state.queries.cancel_all(asker);
        let take = state.askers.remove(&asker);
        drop(state);
        drop(take);
        self.shared.wake();
    }

    /// Asks for a name, which must be one that the plugin can be asked for.
    /// Returns the answer if it is known at once.
    pub fn ask(
        &self,
        ticket: Ticket,
        name: String,
        isolation: &IsolationId,
        deadline: Instant,
    ) -> Option<Answer> {
        let mut state = self.shared.lock();
        if let Some(why) = state.closed {
            return Some(Answer::NotNow(why.to_owned()));
        }
        if !state.queries.ask(ticket, name, isolation, deadline) {
            let why = "too many queries are waiting for an answer";
            return Some(Answer::NotNow(why.to_owned()));
        }
        drop(state);
        self.shared.wake();
        None
    }

    /// Withdraws a query. Unknown ones are ignored.
    pub fn cancel(&self, ticket: Ticket) {
        self.shared.lock().queries.cancel(ticket);
        self.shared.wake();
    }

    /// Begins to end the plugin. Open queries are answered with `NotNow`.
    pub fn close(&self) {
        self.shared.close(ENDING);
        self.shared.wake();
    }

    /// Waits until a plugin that was closed has ended, a second at most.
    pub fn join(&self) {
        let keeper = self.keeper.lock();
        let keeper = keeper.unwrap_or_else(PoisonError::into_inner).take();
        // The keeper itself may be the last to know this value.
        if let Some(keeper) = keeper.filter(|one| one.thread().id() != thread::current().id()) {
            let _ = keeper.join();
        }
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        self.close();
        self.join();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The queries keep their invariants between calls.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if let Some(mut wake) = self.wake.as_ref() {
            // If there is no room, there are enough bytes to wake anybody.
            let _ = wake.write(&[0]);
        }
    }

    /// Answers what is due. Returns when that is so next (`Some(None)` if
    /// nothing is open); `None` at the end.
    fn pass_time(&self, now: Instant) -> Option<Option<Instant>> {
        let mut state = self.lock();
        if state.closed.is_some() {
            return None;
        }
        let answers = state.queries.tick(now);
        let due = state.queries.next_tick();
        drop(state);
        self.give(answers);
        Some(due)
    }

    fn next_line(&self) -> Option<String> {
        self.lock().queries.next_line()
    }

    fn expects(&self, number: u64) -> bool {
        self.lock().queries.expects(number)
    }

    fn replied(&self, number: u64, reply: Reply, now: Instant) {
        let answer = self.lock().queries.replied(number, reply, now);
        self.give(answer);
    }

    fn restart(&self) {
        self.lock().queries.restart();
    }

    fn close(&self, why: &'static str) {
        let mut state = self.lock();
        let why = *state.closed.get_or_insert(why);
        let answers = state.queries.give_up(why);
        drop(state);
        self.give(answers);
    }

    /// Gives answers to those who asked, without the lock: an asker must not wait
    /// for another.
    fn give(&self, answers: impl IntoIterator<Item = (Ticket, Answer)>) {
        for (ticket, answer) in answers {
            let take = self.lock().askers.get(&ticket.asker).map(Arc::clone);
            if let Some(take) = take {
                // A panic of whoever takes this answer must not end the keeper.
                let given = AssertUnwindSafe(|| take(ticket.number, answer));
                drop(catch_unwind(given));
            }
        }
    }
}
