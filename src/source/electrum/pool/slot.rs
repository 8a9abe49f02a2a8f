//! The connections of the pool, and the slots of isolation ids that they fill.

use std::sync::Arc;
use std::time::Instant;

use super::roster::BackOff;
use crate::source::electrum::servers::Server;

/// Connections of an isolation id.
pub const SLOTS: usize = 2;

/// A connection, as far as the pool knows it.
pub trait Link: Send + Sync + 'static {
    /// The server at its other end.
    fn server(&self) -> &Server;

    /// Whether it is still open, as far as is known.
    fn is_alive(&self) -> bool;

    /// Sends a ping without waiting, and reads what has come.
    fn keep_alive(&self);

    /// Ends it.
    fn close(&self);
}

/// What was wrong with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its server sent an invalid proof.
    Proof,
    /// It broke, or its server did not answer.
    Broken,
}

/// Something to be done by the threads.
#[derive(Debug)]
pub enum Task<L> {
    /// Open a connection for the pool, and report it to `Plan::opened`.
    Open(Server),
    /// Keep a connection from being closed as idle, and read what has come.
    Ping(Arc<L>),
    /// Close a connection.
    Close(Arc<L>),
}

/// What an isolation id gets that asks for a connection.
#[derive(Debug)]
pub enum SlotReply<L> {
    /// It has this one.
    Open(Arc<L>),
    /// It may open one, and reports to `Plan::dialled`.
    Dial(DialPermit),
    /// Another lookup of the same id is opening it.
    Wait,
    /// No server that it could ask has proven its identity yet.
    NoneTrusted,
    /// It is not known yet whether any server works that it could ask.
    NoneKnownToWork,
    /// There is no server that it could ask.
    NoServer,
}

/// Permission to open a connection for a slot.
#[derive(Debug)]
pub struct DialPermit {
    /// The server to connect to.
    pub server: Server,
    /// Distinguishes it from other permits for the same slot: an id can be
    /// forgotten and come back while its connection is being opened.
    pub number: u64,
}

/// A ready connection, when it closes and when it is pinged next.
pub struct ReadyConnection<L> {
    pub link: Arc<L>,
    pub closes: Instant,
    pub pings: Instant,
}

/// The most connections that wait to be closed.
const MAX_CLOSING: usize = 20;

/// Connections that are to be closed.
pub struct Closing<L> {
    /// Each with its time, in the order in which they were added.
    waiting: Vec<(Instant, Arc<L>)>,
    /// Those that must not wait, because there are too many.
    overflow: Vec<Arc<L>>,
}

impl<L> Default for Closing<L> {
    fn default() -> Self {
        Self {
            waiting: Vec::new(),
            overflow: Vec::new(),
        }
    }
}

impl<L> Closing<L> {
    /// Adds a connection that is to be closed then. If too many wait, the oldest
    /// waits no longer.
    pub fn add(&mut self, link: Arc<L>, closes: Instant) {
        if self.waiting.len() >= MAX_CLOSING {
            self.overflow.push(self.waiting.remove(0).1);
        }
        self.waiting.push((closes, link));
    }

    /// When the next is to be closed.
    pub fn next(&self) -> Option<Instant> {
        self.waiting.iter().map(|(closes, _)| *closes).min()
    }

    /// Takes out those whose time has come.
    pub fn take_due(&mut self, now: Instant) -> impl Iterator<Item = Arc<L>> {
        let due = self
            .waiting
            .extract_if(.., move |(closes, _)| *closes <= now);
        due.map(|(_, link)| link)
    }

    /// Takes out those that must not wait.
    pub fn take_overflow(&mut self) -> Vec<Arc<L>> {
        std::mem::take(&mut self.overflow)
    }
}

/// The connections of one isolation id.
pub struct IdSlots<L> {
    pub slots: [Slot<L>; SLOTS],
    pub backed_off: BackOff,
    pub asked: Instant,
}

/// The place of one connection.
pub enum Slot<L> {
    Empty,
    Opening { server: Server, number: u64 },
    Open { link: Arc<L>, pings: Instant },
}

impl<L: Link> Slot<L> {
    pub fn server(&self) -> Option<&Server> {
        match self {
            Self::Empty => None,
            Self::Opening { server, .. } => Some(server),
            Self::Open { link, .. } => Some(link.server()),
        }
    }

    pub fn is_for(&self, permit: &DialPermit) -> bool {
        matches!(self, Self::Opening { number, .. } if *number == permit.number)
    }

    pub fn link(&self) -> Option<&Arc<L>> {
        match self {
            Self::Open { link, .. } => Some(link),
            _ => None,
        }
    }
}
