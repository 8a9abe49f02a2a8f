//! A naming plugin of the user's: any program that speaks Tor's proposal 279
//! (`spec/naming-plugins.md`).
//!
//! ```text
//! Lookups → Plugin → queries ─┐
//!                             ├─ keeper (a thread) ── process ── protocol, reply
//! ```
//!
//! Nothing here blocks a door: it adds a query to the table and wakes the keeper's
//! thread.

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

/// Receives the answers to an asker's queries.
pub type Deliver = Arc<dyn Fn(u64, Answer) + Send + Sync>;

/// The reason when no keeper is running.
const NO_KEEPER: &str = "the naming plugin cannot be run";

/// The reason when the process ends.
const ENDING: &str = "ncprop279 is ending";

/// A plugin, which is started at once, and again whenever it has ended. Dropping
/// this value ends it.
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
    askers: HashMap<u64, Deliver>,
    /// Set when no more queries are accepted: the reason.
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

    /// Sends the answers to an asker's queries to `deliver`, which must not block.
    pub fn register(&self, asker: u64, deliver: Deliver) {
        self.shared.lock().askers.insert(asker, deliver);
    }

    /// Withdraws all queries of an asker.
    pub fn unregister(&self, asker: u64) {
        let mut state = self.shared.lock();
        state.queries.cancel_all(asker);
        let deliver = state.askers.remove(&asker);
        drop(state);
        drop(deliver);
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
        // The keeper itself may be the one that drops this value.
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
            // A full socket wakes the keeper, too.
            let _ = wake.write(&[0]);
        }
    }

    /// Answers what is due. Returns when something is due next (`Some(None)` if no
    /// query is open); `None` once closed.
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

    /// Delivers answers without holding the lock, so that no asker waits for
    /// another.
    fn give(&self, answers: impl IntoIterator<Item = (Ticket, Answer)>) {
        for (ticket, answer) in answers {
            let deliver = self.lock().askers.get(&ticket.asker).map(Arc::clone);
            if let Some(deliver) = deliver {
                // A panic of the receiver must not end the keeper.
                let given = AssertUnwindSafe(|| deliver(ticket.number, answer));
                drop(catch_unwind(given));
            }
        }
    }
}
