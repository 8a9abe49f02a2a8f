//! The seats of isolation ids.

use std::sync::Arc;
use std::time::Instant;

use super::super::super::servers::Server;
use super::super::draw::{Resting, fits, for_id};
use super::super::{Fault, Link};
use super::{
    IDS, Kept, LINGER, Leave, MOST_CLOSING, PING, Plan, REST_BROKEN, REST_LIAR, SEATS, Seating,
};
use crate::isolation::IsolationId;

/// The connections of one isolation id.
pub(super) struct Seats<L> {
    pub seats: [Seat<L>; SEATS],
    resting: Resting,
    pub asked: Instant,
}

/// The place of one connection.
pub(super) enum Seat<L> {
    Empty,
    Opening { server: Server, number: u64 },
    Open { link: Arc<L>, pings: Instant },
}

impl<L: Link> Seat<L> {
    fn server(&self) -> Option<&Server> {
        match self {
            Self::Empty => None,
            Self::Opening { server, .. } => Some(server),
            Self::Open { link, .. } => Some(link.server()),
        }
    }

    fn is_opened_by(&self, leave: &Leave) -> bool {
        matches!(self, Self::Opening { number, .. } if *number == leave.number)
    }

    fn link(&self) -> Option<&Arc<L>> {
        match self {
            Self::Open { link, .. } => Some(link),
            _ => None,
        }
    }
}

impl<L: Link> Plan<L> {
    /// An isolation id asks for the connection of one of its seats. The one
    /// that it has, one from the pool, or leave to open one. No tick of the
    /// clock changes because of it. A server that may well be dead is opened
    /// only for those who `dare`.
    pub fn seat(
        &mut self,
        isolation: &IsolationId,
        index: usize,
        dares: bool,
        now: Instant,
    ) -> Seating<L> {
        self.admit(isolation, now);
        let Some(seats) = self.ids.get_mut(isolation) else {
            return Seating::Nobody;
        };
        seats.asked = now;
        seats.resting.tidy(now);
        let other = seats.seats.get(1 - index.min(1)).and_then(Seat::server);
        let other = other.cloned().filter(|_| self.seats > 1);
        let Some(seat) = seats.seats.get_mut(index) else {
            return Seating::Nobody;
        };
        match seat {
            Seat::Open { link, .. } if link.is_alive() => return Seating::Open(Arc::clone(link)),
            Seat::Opening { .. } => return Seating::Wait,
            _ => *seat = Seat::Empty,
        }
        let is_fit = |kept: &Kept<L>| {
            let server = kept.link.server();
            kept.link.is_alive()
                && fits(server, other.as_ref())
                && seats.resting.until(server, now).is_none()
        };
        if let Some(at) = self.ready.iter().position(is_fit) {
            let Kept { link, pings, .. } = self.ready.swap_remove(at);
            let taken = Arc::clone(&link);
            if let Some(seat) = seats.seats.get_mut(index) {
                *seat = Seat::Open { link, pings };
            }
            return Seating::Open(taken);
        }
        let has_hope = self.roster.has_hope(other.as_ref());
        let server = for_id(
            &self.roster,
            other.as_ref(),
            &seats.resting,
            &self.resting,
            now,
            &mut self.random,
        );
        let Some(server) = server.cloned() else {
            return match self.roster.has_strangers(other.as_ref()) {
                true => Seating::Strangers,
                false => Seating::Nobody,
            };
        };
        if !has_hope && !dares {
            return Seating::Unproven;
        }
        self.leaves += 1;
        let number = self.leaves;
        if let Some(seat) = seats.seats.get_mut(index) {
            *seat = Seat::Opening {
                server: server.clone(),
                number,
            };
        }
        Seating::Dial(Leave { server, number })
    }

    /// The seat of an isolation id that is not this operator's; `None` if the id
    /// has no seats. To ask is no use of them.
    pub fn seat_beside(&self, isolation: &IsolationId, operator: &str) -> Option<usize> {
        let seats = &self.ids.peek(isolation)?.seats;
        let taken = |seat: &Seat<L>| seat.server().is_some_and(|one| one.operator == operator);
        seats.iter().position(|seat| !taken(seat))
    }

    /// Makes room for an isolation id.
    fn admit(&mut self, isolation: &IsolationId, now: Instant) {
        if self.ids.contains(isolation) {
            return;
        }
        if self.ids.len() >= IDS.get()
            && let Some(oldest) = self.ids.peek_lru().map(|(oldest, _)| oldest.clone())
        {
            self.forget(&oldest, now);
        }
        self.ids.put(
            isolation.clone(),
            Seats {
                seats: [const { Seat::Empty }; SEATS],
                resting: Resting::default(),
                asked: now,
            },
        );
    }

    /// What came of [`Seating::Dial`]. A connection whose id was forgotten
    /// meanwhile is closed like the others of that id.
    pub fn seated(
        &mut self,
        isolation: &IsolationId,
        index: usize,
        leave: &Leave,
        link: Option<Arc<L>>,
        now: Instant,
    ) {
        let pings = self.after(PING, 1, now);
        let until = self.after(REST_BROKEN, 1000, now);
        let mut seats = self.ids.peek_mut(isolation);
        if let (Some(seats), None) = (&mut seats, &link) {
            seats.resting.put(&leave.server, until);
        }
        let seat = seats.and_then(|seats| seats.seats.get_mut(index));
        match (seat, link) {
            (Some(seat), link) if seat.is_opened_by(leave) => {
                *seat = match link {
                    Some(link) => Seat::Open { link, pings },
                    None => Seat::Empty,
                };
            }
            (_, Some(link)) => self.linger(link, now),
            (_, None) => {}
        }
    }

    /// A connection was of no use to an isolation id: it gets another, of
    /// another server if there is one. Nobody else learns of it.
    pub fn failed(&mut self, isolation: &IsolationId, link: &Arc<L>, fault: Fault, now: Instant) {
        let range = match fault {
            Fault::Proof => REST_LIAR,
            Fault::Broken => REST_BROKEN,
        };
        let until = self.after(range, 1000, now);
        let Some(seats) = self.ids.peek_mut(isolation) else {
            return;
        };
        seats.resting.put(link.server(), until);
        for seat in &mut seats.seats {
            if seat.link().is_some_and(|held| Arc::ptr_eq(held, link)) {
                *seat = Seat::Empty;
            }
        }
    }

    /// Takes an isolation id's connections away. Each closes after a time of
    /// its own.
    pub fn forget(&mut self, isolation: &IsolationId, now: Instant) {
        let Some(seats) = self.ids.pop(isolation) else {
            return;
        };
        for seat in seats.seats {
            if let Seat::Open { link, .. } = seat {
                self.linger(link, now);
            }
        }
    }

    /// Connections to be closed at once, as too many wait for their end.
    pub fn take_overflow(&mut self) -> Vec<Arc<L>> {
        std::mem::take(&mut self.overflow)
    }

    /// Has a connection closed after a while.
    fn linger(&mut self, link: Arc<L>, now: Instant) {
        if self.closing.len() >= MOST_CLOSING {
            let (_, oldest) = self.closing.remove(0);
            self.overflow.push(oldest);
        }
        let closes = self.after(LINGER, 1, now);
        self.closing.push((closes, link));
    }
}
