//! Which connections there are, whose they are, and what is to be done with
//! them: no threads, no I/O, and time is an argument.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::servers::Server;
use super::draw::{Resting, for_id, for_pool};
use super::{Fault, Link};
use crate::isolation::IsolationId;

/// Connections of an isolation id.
pub(super) const SEATS: usize = 2;

/// Ready connections.
pub(super) const SIZE: usize = 6;

/// Ready connections that one operator may have, if there are others.
const MOST_OF_ONE: usize = SIZE / 2;

/// The first ticks come quickly, so that the pool is ready soon: this many,
/// whatever they bring.
const QUICK_TICKS: u32 = 24;

/// Mean gaps between ticks, in seconds: at the start, and later.
const QUICK_GAP: f64 = 0.4;
const GAP: f64 = 15.0;

/// How long a ready connection waits to be taken, in seconds.
const SHELF_LIFE: std::ops::Range<u64> = 300..900;

/// The time between pings on a connection, in milliseconds.
const PING: std::ops::Range<u64> = 30_000..150_000;

/// An isolation id that has not asked for so long loses its connections.
const IDLE: Duration = Duration::from_secs(600);

/// The delay before the connections of an isolation id close, in
/// milliseconds.
const LINGER: std::ops::Range<u64> = 0..60_000;

/// Isolation ids that keep connections.
const IDS: std::num::NonZeroUsize = std::num::NonZeroUsize::new(1000).unwrap();

/// How long servers rest, in seconds: those that failed a proof, and those
/// that could not be reached or broke off.
const REST_LIAR: std::ops::Range<u64> = 600..3600;
const REST_BROKEN: std::ops::Range<u64> = 60..180;

/// Something to be done by the threads.
#[derive(Debug)]
pub(super) enum Task<L> {
    /// Open a connection for the pool, and tell [`Plan::opened`].
    Open(Server),
    /// Keep a connection from being closed as idle, and read what has come.
    Ping(Arc<L>),
    /// Close a connection.
    Close(Arc<L>),
}

/// What becomes of an isolation id that asks for a connection.
#[derive(Debug)]
pub(super) enum Seating<L> {
    /// It has this one.
    Open(Arc<L>),
    /// It is to open one, and tell [`Plan::seated`].
    Dial(Leave),
    /// Another lookup of the same id is opening it.
    Wait,
    /// There is no server that it could ask.
    Nobody,
}

/// Leave to open a connection for a seat.
#[derive(Debug)]
pub(super) struct Leave {
    /// The server to connect to.
    pub server: Server,
    /// Tells it from others for the same seat: an id can be forgotten and come
    /// back while its connection is being opened.
    number: u64,
}

/// The state of the pool.
pub(super) struct Plan<L> {
    servers: Vec<Server>,
    /// Seats of each isolation id: fewer than [`SEATS`] if there are fewer
    /// operators.
    seats: usize,
    /// The clock's own randomness: nothing else draws from it, so that no
    /// tick depends on what happens between ticks.
    clock: StdRng,
    random: StdRng,
    next_tick: Option<Instant>,
    ticks: u32,
    ready: Vec<Kept<L>>,
    /// Servers that the pool is connecting to.
    opening: Vec<Server>,
    ids: LruCache<IsolationId, Seats<L>>,
    /// How often leave was given to open a connection for a seat.
    leaves: u64,
    closing: Vec<(Instant, Arc<L>)>,
    resting: Resting,
}

/// A connection with its times.
struct Kept<L> {
    link: Arc<L>,
    closes: Instant,
    pings: Instant,
}

struct Seats<L> {
    seats: [Seat<L>; SEATS],
    resting: Resting,
    asked: Instant,
}

enum Seat<L> {
    Empty,
    Opening { operator: String, number: u64 },
    Open { link: Arc<L>, pings: Instant },
}

impl<L: Link> Seat<L> {
    fn operator(&self) -> Option<&str> {
        match self {
            Self::Empty => None,
            Self::Opening { operator, .. } => Some(operator),
            Self::Open { link, .. } => Some(&link.server().operator),
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
    /// A pool with nothing in it, whose clock stands still. `seed` decides
    /// all draws.
    pub fn new(servers: Vec<Server>, seed: [u8; 32]) -> Self {
        let operators: std::collections::BTreeSet<_> =
            servers.iter().map(|server| &server.operator).collect();
        let seats = operators.len().clamp(1, SEATS);
        let mut random = StdRng::from_seed(seed);
        Self {
            seats,
            clock: StdRng::from_rng(&mut random),
            random,
            next_tick: None,
            ticks: 0,
            ready: Vec::new(),
            opening: Vec::new(),
            ids: LruCache::new(IDS),
            leaves: 0,
            closing: Vec::new(),
            resting: Resting::default(),
            servers,
        }
    }

    /// Connections that each isolation id has.
    pub fn seats(&self) -> usize {
        self.seats
    }

    /// Connections that wait to be taken.
    #[cfg(test)]
    pub fn ready(&self) -> impl Iterator<Item = &Arc<L>> {
        self.ready.iter().map(|kept| &kept.link)
    }

    /// Starts the clock.
    pub fn start(&mut self, now: Instant) {
        if self.next_tick.is_none() {
            self.next_tick = Some(now + self.gap());
        }
    }

    /// When the clock ticks next, if it was started.
    pub fn next_tick(&self) -> Option<Instant> {
        self.next_tick
    }

    /// An exponentially distributed time.
    fn gap(&mut self) -> Duration {
        self.ticks = self.ticks.saturating_add(1);
        let mean = if self.ticks <= QUICK_TICKS {
            QUICK_GAP
        } else {
            GAP
        };
        let uniform: f64 = self.clock.random();
        Duration::from_secs_f64(mean * -(1.0 - uniform).max(f64::MIN_POSITIVE).ln())
    }

    /// What is to be done by now.
    pub fn due(&mut self, now: Instant) -> Vec<Task<L>> {
        let mut tasks = Vec::new();
        self.age(now, &mut tasks);
        if self.has_ticked(now) {
            tasks.extend(self.fill(now));
        }
        self.ping(now, &mut tasks);
        tasks
    }

    /// Whether the clock has ticked since it was looked at last. Ticks that
    /// nobody looked at, as while the machine slept, are not made up for.
    fn has_ticked(&mut self, now: Instant) -> bool {
        let mut has_ticked = false;
        while let Some(tick) = self.next_tick.filter(|&tick| tick <= now) {
            self.next_tick = Some(tick + self.gap());
            has_ticked = true;
        }
        has_ticked
    }

    /// A tick of the clock: one connection is opened, if one is missing.
    fn fill(&mut self, now: Instant) -> Option<Task<L>> {
        if self.ready.len() + self.opening.len() >= SIZE {
            return None;
        }
        let there: Vec<&Server> = self
            .ready
            .iter()
            .map(|kept| kept.link.server())
            .chain(&self.opening)
            .collect();
        let most = if self.seats == 1 { SIZE } else { MOST_OF_ONE };
        let server = for_pool(
            &self.servers,
            &there,
            most,
            &self.resting,
            now,
            &mut self.random,
        )?
        .clone();
        self.opening.push(server.clone());
        Some(Task::Open(server))
    }

    /// Closes what is over.
    fn age(&mut self, now: Instant, tasks: &mut Vec<Task<L>>) {
        self.resting.tidy(now);
        self.ready.retain(|kept| {
            let stays = kept.closes > now && kept.link.is_alive();
            if !stays {
                tasks.push(Task::Close(Arc::clone(&kept.link)));
            }
            stays
        });
        self.closing.retain(|(closes, link)| {
            let stays = *closes > now;
            if !stays {
                tasks.push(Task::Close(Arc::clone(link)));
            }
            stays
        });
        let idle: Vec<_> = self
            .ids
            .iter()
            .filter(|(_, seats)| seats.asked + IDLE <= now)
            .map(|(isolation, _)| isolation.clone())
            .collect();
        for isolation in idle {
            self.forget(&isolation, now);
        }
    }

    fn ping(&mut self, now: Instant, tasks: &mut Vec<Task<L>>) {
        let ready = self
            .ready
            .iter_mut()
            .map(|kept| (&kept.link, &mut kept.pings));
        let taken = self.ids.iter_mut().flat_map(|(_, seats)| {
            seats.seats.iter_mut().filter_map(|seat| match seat {
                Seat::Open { link, pings } => Some((&*link, pings)),
                _ => None,
            })
        });
        for (link, pings) in ready.chain(taken) {
            if *pings <= now && link.is_alive() {
                *pings = now + Duration::from_millis(self.random.random_range(PING));
                tasks.push(Task::Ping(Arc::clone(link)));
            }
        }
    }

    /// What came of [`Task::Open`]. Returns a connection that is not wanted.
    pub fn opened(
        &mut self,
        server: &Server,
        link: Option<Arc<L>>,
        now: Instant,
    ) -> Option<Arc<L>> {
        if let Some(at) = self.opening.iter().position(|other| other == server) {
            self.opening.swap_remove(at);
        }
        let Some(link) = link else {
            self.rest(server, REST_BROKEN, now);
            return None;
        };
        if self.resting.until(server, now).is_some() {
            return Some(link);
        }
        let (closes, pings) = (self.after(SHELF_LIFE, 1000, now), self.after(PING, 1, now));
        self.ready.push(Kept {
            link,
            closes,
            pings,
        });
        None
    }

    /// A time after now, drawn from a range of so many milliseconds.
    fn after(&mut self, range: std::ops::Range<u64>, unit: u64, now: Instant) -> Instant {
        let range = range.start * unit..range.end * unit;
        now + Duration::from_millis(self.random.random_range(range))
    }

    fn rest(&mut self, server: &Server, range: std::ops::Range<u64>, now: Instant) {
        let until = self.after(range, 1000, now);
        self.resting.put(server, until);
    }

    /// A connection for headers found a server to be lying: nobody uses it for
    /// a while. Returns connections to be closed.
    pub fn condemn(&mut self, server: &Server, now: Instant) -> Vec<Arc<L>> {
        self.rest(server, REST_LIAR, now);
        let (gone, stay) = std::mem::take(&mut self.ready)
            .into_iter()
            .partition(|kept| kept.link.server() == server);
        self.ready = stay;
        let gone: Vec<Kept<L>> = gone;
        gone.into_iter().map(|kept| kept.link).collect()
    }

    /// Whether a server rests for everybody.
    pub fn rests(&self, server: &Server, now: Instant) -> bool {
        self.resting.until(server, now).is_some()
    }

    /// An isolation id asks for the connection of one of its seats. The one
    /// that it has, one from the pool, or leave to open one. No tick of the
    /// clock changes because of it.
    pub fn seat(&mut self, isolation: &IsolationId, index: usize, now: Instant) -> Seating<L> {
        self.admit(isolation, now);
        let Some(seats) = self.ids.get_mut(isolation) else {
            return Seating::Nobody;
        };
        seats.asked = now;
        seats.resting.tidy(now);
        let other = seats.seats.get(1 - index.min(1)).and_then(Seat::operator);
        let other = other.map(str::to_owned).filter(|_| self.seats > 1);
        let Some(seat) = seats.seats.get_mut(index) else {
            return Seating::Nobody;
        };
        match seat {
            Seat::Open { link, .. } if link.is_alive() => return Seating::Open(Arc::clone(link)),
            Seat::Opening { .. } => return Seating::Wait,
            _ => *seat = Seat::Empty,
        }
        let fits = |kept: &Kept<L>| {
            let server = kept.link.server();
            kept.link.is_alive()
                && other.as_deref() != Some(&server.operator)
                && seats.resting.until(server, now).is_none()
        };
        if let Some(at) = self.ready.iter().position(fits) {
            let Kept { link, pings, .. } = self.ready.swap_remove(at);
            let taken = Arc::clone(&link);
            if let Some(seat) = seats.seats.get_mut(index) {
                *seat = Seat::Open { link, pings };
            }
            return Seating::Open(taken);
        }
        let server = for_id(
            &self.servers,
            other.as_deref(),
            &seats.resting,
            &self.resting,
            now,
            &mut self.random,
        );
        let Some(server) = server.cloned() else {
            return Seating::Nobody;
        };
        self.leaves += 1;
        let number = self.leaves;
        if let Some(seat) = seats.seats.get_mut(index) {
            *seat = Seat::Opening {
                operator: server.operator.clone(),
                number,
            };
        }
        Seating::Dial(Leave { server, number })
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

    /// Has a connection closed after a while.
    fn linger(&mut self, link: Arc<L>, now: Instant) {
        let closes = self.after(LINGER, 1, now);
        self.closing.push((closes, link));
    }
}
