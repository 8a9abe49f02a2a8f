//! The requests of one connection: which have been made, which replies have
//! come, and who reads.
//!
//! No connection needs a thread of its own. Of those who wait for something,
//! one reads and delivers to all; when it leaves, another takes its place.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use serde_json::value::RawValue;

use super::connection::CallError;
use super::lines::{Budget, Charge, Exhausted};
use super::message::{Message, Outcome, Reply};
use super::{HEADERS_SUBSCRIBE, Purpose};
use crate::source::transport::{CANCEL_CHECK_INTERVAL, Until, lock};

/// Requests whose replies have not come or not been fetched. A server that
/// leaves more unanswered has failed.
const MAX_OPEN: usize = 1024;

/// The shortest line that tells of padding, in bytes with its end.
const MIN_PADDED: usize = 1024;

/// The requests of one connection.
pub(super) struct Calls {
    state: Mutex<State>,
    changed: Condvar,
    purpose: Purpose,
    budget: Arc<Budget>,
}

/// What is known at a moment.
pub(super) struct State {
    next: u64,
    open: BTreeMap<u64, Slot>,
    is_led: bool,
    failed: Option<CallError>,
    pads: Option<bool>,
    notification: Option<Kept<Box<RawValue>>>,
}

enum Slot {
    /// Its reply is wanted.
    Wanted,
    /// Its reply is to be dropped when it comes.
    Unwanted,
    /// Its reply has come.
    Here(Kept<Reply>),
}

/// Something kept for a while, and the memory that it takes.
struct Kept<T> {
    what: T,
    _charge: Charge,
}

impl State {
    /// Takes the reply with this id out, if it is here.
    pub fn take_reply(&mut self, id: u64) -> Option<Reply> {
        if !matches!(self.open.get(&id), Some(Slot::Here(_))) {
            return None;
        }
        match self.open.remove(&id) {
            Some(Slot::Here(kept)) => Some(kept.what),
            _ => None,
        }
    }

    /// Takes the newest notification out, if there is one.
    pub fn take_notification(&mut self) -> Option<Box<RawValue>> {
        self.notification.take().map(|kept| kept.what)
    }
}

/// Whose turn it is.
pub(super) enum Turn<'a, T> {
    /// What was waited for is here.
    Found(T),
    /// The caller reads until it finds what it waits for.
    Lead(Lead<'a>),
}

impl Calls {
    /// No request has been made.
    pub fn new(purpose: Purpose, budget: &Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                next: 0,
                open: BTreeMap::new(),
                is_led: false,
                failed: None,
                pads: None,
                notification: None,
            }),
            changed: Condvar::new(),
            purpose,
            budget: Arc::clone(budget),
        })
    }

    /// What is known now.
    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Whether the first line was padded to a power of two.
    pub fn pads(&self) -> bool {
        self.state().pads.unwrap_or(false)
    }

    /// The error that ended the connection.
    pub fn failure(&self) -> Option<CallError> {
        self.state().failed
    }

    /// Ends everything that waits, now and later. The first error counts.
    pub fn fail(&self, error: CallError) -> CallError {
        let error = *self.state().failed.get_or_insert(error);
        self.changed.notify_all();
        error
    }

    /// Whether anybody waits for a reply.
    pub fn is_awaited(&self) -> bool {
        let state = self.state();
        let mut slots = state.open.values();
        slots.any(|slot| matches!(slot, Slot::Wanted))
    }

    /// Opens a request and gives it the next id.
    ///
    /// # Errors
    /// The connection has ended, or the server leaves too much unanswered.
    pub fn open(self: &Arc<Self>) -> Result<Ticket, CallError> {
        let mut state = self.state();
        if let Some(error) = state.failed {
            return Err(error);
        }
        if state.open.len() >= MAX_OPEN {
            return Err(CallError::Unanswered);
        }
        let id = state.next;
        state.next += 1;
        state.open.insert(id, Slot::Wanted);
        Ok(Ticket {
            id,
            calls: Arc::clone(self),
        })
    }

    /// Takes a line of the server.
    ///
    /// # Errors
    /// The line breaks the protocol, or there is no room for it.
    pub fn deliver(&self, line: &[u8]) -> Result<(), CallError> {
        let message = Message::parse(line)?;
        let mut state = self.state();
        state.pads.get_or_insert_with(|| is_padded(line));
        match message {
            Message::Reply { id, outcome } => self.deliver_reply(&mut state, id, &outcome)?,
            Message::Notification { method, params }
                if method == HEADERS_SUBSCRIBE && self.purpose == Purpose::Headers =>
            {
                state.notification = Some(self.keep(params.get().len(), || params.to_owned())?);
            }
            // Nothing else was subscribed to.
            Message::Notification { .. } => return Ok(()),
        }
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    fn deliver_reply(
        &self,
        state: &mut State,
        id: u64,
        outcome: &Outcome<'_>,
    ) -> Result<(), CallError> {
        match state.open.get_mut(&id) {
            Some(slot @ Slot::Wanted) => {
                *slot = Slot::Here(self.keep(outcome.len(), || outcome.to_reply())?);
            }
            Some(Slot::Unwanted) => {
                state.open.remove(&id);
            }
            Some(Slot::Here(_)) | None => {
                return Err(CallError::Protocol(
                    "a reply to a request that was not made",
                ));
            }
        }
        Ok(())
    }

    fn keep<T>(&self, bytes: usize, copy: impl FnOnce() -> T) -> Result<Kept<T>, CallError> {
        let mut charge = Charge::new(&self.budget);
        charge
            .resize(bytes)
            .map_err(|Exhausted| CallError::Memory)?;
        Ok(Kept {
            what: copy(),
            _charge: charge,
        })
    }

    /// Waits until `find` finds something, or nobody reads.
    ///
    /// # Errors
    /// The connection has ended, or the time is up. `is_silent` is not known
    /// here and false.
    pub fn turn<T>(
        &self,
        until: Until<'_>,
        mut find: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<Turn<'_, T>, CallError> {
        let mut state = self.state();
        loop {
            if let Some(found) = find(&mut state) {
                return Ok(Turn::Found(found));
            }
            if let Some(error) = state.failed {
                return Err(error);
            }
            let left = until.left()?;
            if !state.is_led {
                state.is_led = true;
                return Ok(Turn::Lead(Lead(self)));
            }
            // A flag that is set wakes nobody.
            state = self
                .changed
                .wait_timeout(state, left.min(CANCEL_CHECK_INTERVAL))
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }

    /// Makes the caller the reader unless there is one.
    pub fn try_lead(&self) -> Option<Lead<'_>> {
        let mut state = self.state();
        if state.is_led {
            return None;
        }
        state.is_led = true;
        Some(Lead(self))
    }
}

/// The right to read. Dropping it hands over to whoever waits.
pub(super) struct Lead<'a>(&'a Calls);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.0.state().is_led = false;
        self.0.changed.notify_all();
    }
}

/// A request that was sent. Dropping it discards the reply when it comes.
pub struct Ticket {
    id: u64,
    calls: Arc<Calls>,
}

impl Ticket {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Whether it is of the connection that these calls belong to.
    pub(super) fn is_of(&self, calls: &Arc<Calls>) -> bool {
        Arc::ptr_eq(&self.calls, calls)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.calls.state();
        match state.open.get_mut(&self.id) {
            Some(slot @ Slot::Wanted) => *slot = Slot::Unwanted,
            Some(Slot::Here(_)) => {
                state.open.remove(&self.id);
            }
            Some(Slot::Unwanted) | None => {}
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({})", self.id)
    }
}

/// ElectrumX from 1.18 on pads its lines to a power of two, at least 1 KiB.
fn is_padded(line: &[u8]) -> bool {
    let length = line.len().saturating_add(1);
    length >= MIN_PADDED && length.is_power_of_two()
}
