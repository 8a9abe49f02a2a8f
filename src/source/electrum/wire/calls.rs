//! The requests of one connection: which were sent, which replies have come, and
//! which thread reads.
//!
//! No connection needs a thread of its own. Of the threads that wait for
//! something, one reads and delivers to all; when it leaves, another takes over.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use serde_json::value::RawValue;

use super::lines::{Budget, BudgetError, Charge, Purpose};
use super::message::{CallError, Message, Outcome, Reply};
use crate::source::transport::{CANCEL_CHECK_INTERVAL, Until, lock};

/// The only method whose notifications are kept: new tips of the chain.
pub const HEADERS_SUBSCRIBE: &str = "blockchain.headers.subscribe";

/// Requests without a reply, or with one that nobody took yet. A server that
/// leaves more unanswered has failed.
const MAX_OPEN: usize = 1024;

/// The shortest padded line, in bytes with its end.
const MIN_PADDED: usize = 1024;

/// The requests of one connection.
pub(super) struct Calls {
    pending: Mutex<PendingCalls>,
    changed: Condvar,
    purpose: Purpose,
    budget: Arc<Budget>,
}

/// The requests without a reply, and what the connection's threads share.
pub(super) struct PendingCalls {
    next: u64,
    open: BTreeMap<u64, PendingCall>,
    is_led: bool,
    failed: Option<CallError>,
    pads: Option<bool>,
    notification: Option<Charged<Box<RawValue>>>,
}

enum PendingCall {
    /// Its reply is wanted.
    Wanted,
    /// Its reply will be discarded when it comes.
    Unwanted,
    /// Its reply has come.
    Answered(Charged<Reply>),
}

/// A value, and the memory that it is charged for.
struct Charged<T> {
    what: T,
    _charge: Charge,
}

impl PendingCalls {
    /// Takes out the reply with this id, if it has come.
    pub fn take_reply(&mut self, id: u64) -> Option<Reply> {
        if !matches!(self.open.get(&id), Some(PendingCall::Answered(_))) {
            return None;
        }
        match self.open.remove(&id) {
            Some(PendingCall::Answered(charged)) => Some(charged.what),
            _ => None,
        }
    }

    /// Takes out the newest notification, if there is one.
    pub fn take_notification(&mut self) -> Option<Box<RawValue>> {
        self.notification.take().map(|charged| charged.what)
    }
}

/// Whose turn it is.
pub(super) enum Turn<'a, T> {
    /// What the caller waits for has come.
    Found(T),
    /// The caller must read until it finds what it waits for.
    Lead(Lead<'a>),
}

impl Calls {
    /// No request has been made.
    pub fn new(purpose: Purpose, budget: &Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            pending: Mutex::new(PendingCalls {
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

    /// The pending requests.
    pub fn pending(&self) -> MutexGuard<'_, PendingCalls> {
        lock(&self.pending)
    }

    /// Whether the first line was padded to a power of two.
    pub fn pads(&self) -> bool {
        self.pending().pads.unwrap_or(false)
    }

    /// The error that ended the connection.
    pub fn failure(&self) -> Option<CallError> {
        self.pending().failed
    }

    /// Ends every wait, now and later. The first error counts.
    pub fn fail(&self, error: CallError) -> CallError {
        let error = *self.pending().failed.get_or_insert(error);
        self.changed.notify_all();
        error
    }

    /// Whether anybody wants a reply that has not come.
    pub fn is_awaited(&self) -> bool {
        let pending = self.pending();
        let mut calls = pending.open.values();
        calls.any(|call| matches!(call, PendingCall::Wanted))
    }

    /// Opens a request and gives it the next id.
    ///
    /// # Errors
    /// The connection has ended, or the server leaves too much unanswered.
    pub fn open(self: &Arc<Self>) -> Result<SentRequest, CallError> {
        let mut pending = self.pending();
        if let Some(error) = pending.failed {
            return Err(error);
        }
        if pending.open.len() >= MAX_OPEN {
            return Err(CallError::Unanswered);
        }
        let id = pending.next;
        pending.next += 1;
        pending.open.insert(id, PendingCall::Wanted);
        Ok(SentRequest {
            id,
            calls: Arc::clone(self),
        })
    }

    /// Delivers a line from the server.
    ///
    /// # Errors
    /// The line breaks the protocol, or there is no room for it.
    pub fn deliver(&self, line: &[u8]) -> Result<(), CallError> {
        let message = Message::parse(line)?;
        let mut pending = self.pending();
        pending.pads.get_or_insert_with(|| is_padded(line));
        match message {
            Message::Reply { id, outcome } => self.deliver_reply(&mut pending, id, &outcome)?,
            Message::Notification { method, params }
                if method == HEADERS_SUBSCRIBE && self.purpose == Purpose::Headers =>
            {
                pending.notification = Some(self.charge(params.get().len(), || params.to_owned())?);
            }
            // Nothing else was subscribed to.
            Message::Notification { .. } => return Ok(()),
        }
        drop(pending);
        self.changed.notify_all();
        Ok(())
    }

    fn deliver_reply(
        &self,
        pending: &mut PendingCalls,
        id: u64,
        outcome: &Outcome<'_>,
    ) -> Result<(), CallError> {
        match pending.open.get_mut(&id) {
            Some(call @ PendingCall::Wanted) => {
                *call = PendingCall::Answered(self.charge(outcome.len(), || outcome.to_reply())?);
            }
            Some(PendingCall::Unwanted) => {
                pending.open.remove(&id);
            }
            Some(PendingCall::Answered(_)) | None => {
                return Err(CallError::Protocol(
                    "a reply to a request that was not made",
                ));
            }
        }
        Ok(())
    }

    fn charge<T>(&self, bytes: usize, copy: impl FnOnce() -> T) -> Result<Charged<T>, CallError> {
        let mut charge = Charge::new(&self.budget);
        charge
            .resize(bytes)
            .map_err(|BudgetError| CallError::Memory)?;
        Ok(Charged {
            what: copy(),
            _charge: charge,
        })
    }

    /// Waits until `find` finds something, or nobody reads.
    ///
    /// # Errors
    /// The connection has ended, or the time is up. `is_silent` is always false
    /// here.
    pub fn turn<T>(
        &self,
        until: Until<'_>,
        mut find: impl FnMut(&mut PendingCalls) -> Option<T>,
    ) -> Result<Turn<'_, T>, CallError> {
        let mut pending = self.pending();
        loop {
            if let Some(found) = find(&mut pending) {
                return Ok(Turn::Found(found));
            }
            if let Some(error) = pending.failed {
                return Err(error);
            }
            let left = until.left()?;
            if !pending.is_led {
                pending.is_led = true;
                return Ok(Turn::Lead(Lead(self)));
            }
            // Cancelling wakes nobody.
            pending = self
                .changed
                .wait_timeout(pending, left.min(CANCEL_CHECK_INTERVAL))
                .map_or_else(|poisoned| poisoned.into_inner().0, |(pending, _)| pending);
        }
    }

    /// Makes the caller the reader unless there is one.
    pub fn try_lead(&self) -> Option<Lead<'_>> {
        let mut pending = self.pending();
        if pending.is_led {
            return None;
        }
        pending.is_led = true;
        Some(Lead(self))
    }
}

/// The right to read. Dropping it hands over to another waiting thread.
pub(super) struct Lead<'a>(&'a Calls);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.0.pending().is_led = false;
        self.0.changed.notify_all();
    }
}

/// A request that was sent. Dropping it discards its reply.
pub struct SentRequest {
    id: u64,
    calls: Arc<Calls>,
}

impl SentRequest {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Whether it was sent on the connection that these calls belong to.
    pub(super) fn is_of(&self, calls: &Arc<Calls>) -> bool {
        Arc::ptr_eq(&self.calls, calls)
    }
}

impl Drop for SentRequest {
    fn drop(&mut self) {
        let mut pending = self.calls.pending();
        match pending.open.get_mut(&self.id) {
            Some(call @ PendingCall::Wanted) => *call = PendingCall::Unwanted,
            Some(PendingCall::Answered(_)) => {
                pending.open.remove(&self.id);
            }
            Some(PendingCall::Unwanted) | None => {}
        }
    }
}

impl fmt::Debug for SentRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SentRequest({})", self.id)
    }
}

/// ElectrumX from 1.18 on pads its lines to a power of two of at least 1 KiB.
fn is_padded(line: &[u8]) -> bool {
    let length = line.len().saturating_add(1);
    length >= MIN_PADDED && length.is_power_of_two()
}
