//! The scheduler, and the seam between it and those who ask.

use std::sync::Arc;
use std::time::Instant;

use crate::isolation::IsolationId;
use crate::log::Log;
use crate::policy::{CachedAnswer, Query};

use super::activity::Ticket;
use super::limits::Limits;
use super::threads::{Deliver, Shared, Timekeeper};
use super::upstreams::Upstreams;

/// The lookups of a process, for all who ask.
pub struct Scheduler {
    pub(super) shared: Arc<Shared>,
}

/// One who asks: the seam between a door and the scheduler.
///
/// A query has a number of the client's choice, unique as long as the client
/// lives. [`Client::answer`] gives a finished answer at once. [`Client::ask`]
/// takes a query on, which then is answered through the client's [`Deliver`] by
/// its deadline, exactly once, unless it is cancelled before. Neither blocks on
/// I/O nor evaluates anything.
///
/// All clients share what is kept and fetched for an isolation id: whoever
/// must not be linkable with another client uses other ids. When a client is
/// dropped its queries are cancelled.
pub struct Client {
    shared: Arc<Shared>,
    number: u32,
}

impl Scheduler {
    /// A scheduler that asks `upstreams`, with deadlines kept by `timekeeper`.
    /// Other threads are started when there is work.
    pub fn new(
        upstreams: impl Into<Upstreams>,
        limits: Limits,
        log: Log,
        timekeeper: Timekeeper,
    ) -> Self {
        let shared = Shared::new(upstreams.into(), limits, log);
        timekeeper.keep(Arc::clone(&shared));
        Self { shared }
    }

    /// A client whose answers go to `deliver`.
    pub fn client(&self, deliver: Deliver) -> Client {
        let number = self.shared.register(deliver);
        Client {
            shared: Arc::clone(&self.shared),
            number,
        }
    }
}

impl Client {
    /// The answer that is kept for an isolation id and a question, both as
    /// bytes ([`IsolationId::as_bytes`], [`crate::policy::Question::as_bytes`]).
    pub fn answer(
        &self,
        isolation: &[u8],
        question: &[u8],
        now: Instant,
    ) -> Option<Arc<CachedAnswer>> {
        self.shared.answer(isolation, question, now)
    }

    /// Looks a query up.
    pub fn ask(&self, number: u64, isolation: &IsolationId, query: Query, deadline: Instant) {
        let ticket = self.ticket(number);
        Shared::event(&self.shared, |core, now| {
            core.ask(ticket, isolation, query, deadline, now)
        });
    }

    /// Withdraws a query. An answer that is on its way may still be delivered.
    pub fn cancel(&self, number: u64) {
        let ticket = self.ticket(number);
        self.shared.change(|core| core.cancel(ticket));
    }

    /// Drops everything that is kept for an isolation id, and has the source
    /// forget it: at once if no query is under way for it, otherwise when the
    /// last one has ended. Until then nothing more is kept.
    ///
    /// This concerns the queries of all clients, because they share what belongs
    /// to an id.
    pub fn forget(&self, isolation: &IsolationId) {
        self.shared.change(|core| core.forget(isolation));
    }

    fn ticket(&self, number: u64) -> Ticket {
        Ticket {
            client: self.number,
            number,
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.unregister(self.number);
        self.shared.change(|core| core.cancel_all(self.number));
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.shared.end();
    }
}
