//! Which connections there are, whose they are, and what is to be done with
//! them: no threads, no I/O, and time is an argument.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::servers::Server;
use super::roster::{Resting, Roster, exponential, fits, for_id, for_pool};
use super::slot::{Fault, Kept, Leave, Link, SEATS, Seat, Seating, Seats, Task};
use crate::isolation::IsolationId;

/// Ready connections.
pub(super) const SIZE: usize = 6;

/// Ready connections that one operator may have, if there are others.
const MOST_OF_ONE: usize = SIZE / 2;

/// The first ticks come more quickly, so that the pool is ready soon: this many
/// that were seen, whatever they bring.
const QUICK_TICKS: u32 = 12;

/// Mean gaps between ticks, in seconds: at the start, and later. A burst would
/// show an operator which connections belong together.
const QUICK_GAP: f64 = 1.5;
const GAP: f64 = 15.0;

/// How long no tick comes, in seconds, after a connection for headers has shown
/// that a server works: it would follow that connection too closely.
const LULL: std::ops::Range<f64> = 2.0..6.0;

/// How long a ready connection waits to be taken, in seconds.
const SHELF_LIFE: std::ops::Range<u64> = 300..900;

/// The time between pings on a connection, in milliseconds.
const PING: std::ops::Range<u64> = 30_000..150_000;

/// An isolation id that has not asked for so long loses its connections.
const IDLE: Duration = Duration::from_secs(600);

/// The delay before the connections of an isolation id close, in
/// milliseconds.
const LINGER: std::ops::Range<u64> = 0..60_000;

/// Isolation ids that keep connections. With those that are to close, the
/// pool's and those for headers, it is fewer than 256, the smallest usual limit
/// of open files.
pub(super) const IDS: std::num::NonZeroUsize = std::num::NonZeroUsize::new(90).unwrap();

/// Connections that are to close after a while.
const MOST_CLOSING: usize = 20;

/// How long servers rest, in seconds: those that failed a proof, and those
/// that could not be reached or broke off.
const REST_LIAR: std::ops::Range<u64> = 600..3600;
const REST_BROKEN: std::ops::Range<u64> = 60..180;

/// The state of the pool.
pub(super) struct Plan<L> {
    roster: Roster,
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
    /// Oldest first.
    closing: Vec<(Instant, Arc<L>)>,
    overflow: Vec<Arc<L>>,
    resting: Resting,
}

impl<L: Link> Plan<L> {
    /// A pool with nothing in it, whose clock stands still, and which trusts
    /// no server yet. `seed` decides all draws.
    pub fn new(servers: Vec<Server>, seed: [u8; 32]) -> Self {
        let roster = Roster::new(servers);
        let mut random = StdRng::from_seed(seed);
        Self {
            seats: roster.operators().clamp(1, SEATS),
            clock: StdRng::from_rng(&mut random),
            random,
            next_tick: None,
            ticks: 0,
            ready: Vec::new(),
            opening: Vec::new(),
            ids: LruCache::new(IDS),
            leaves: 0,
            closing: Vec::new(),
            overflow: Vec::new(),
            resting: Resting::default(),
            roster,
        }
    }

    /// Connections that each isolation id has.
    pub fn seats(&self) -> usize {
        self.seats
    }

    /// Has fewer or more connections for each isolation id from now on, as far
    /// as there are operators. Those that are open stay.
    pub fn set_seats(&mut self, seats: usize) {
        self.seats = self.roster.operators().min(seats).clamp(1, SEATS);
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
    #[cfg(test)]
    pub fn next_tick(&self) -> Option<Instant> {
        self.next_tick
    }

    /// When something is due next: a tick, a ping or an end. To be looked at
    /// then and not at a beat, which connections of different ids would have
    /// in common.
    pub fn next_due(&self) -> Option<Instant> {
        let ready = self.ready.iter().flat_map(|kept| [kept.closes, kept.pings]);
        let closing = self.closing.iter().map(|(closes, _)| *closes);
        let taken = self.ids.iter().flat_map(|(_, seats)| &seats.seats);
        let pings = taken.filter_map(|seat| match seat {
            Seat::Open { link, pings } if link.is_alive() => Some(*pings),
            _ => None,
        });
        let all = self.next_tick.into_iter().chain(ready).chain(closing);
        all.chain(pings).min()
    }

    /// A discovered server may be used, once it can prove who it is.
    pub fn take_in(&mut self, server: &Server) {
        self.roster.take_in(server);
    }

    /// Discovered servers that are not among these may not be used any more.
    /// Returns connections to be closed.
    pub fn keep_discovered(&mut self, servers: &[Server]) -> Vec<Arc<L>> {
        self.roster.keep_discovered(servers);
        let roster = &self.roster;
        let gone = self
            .ready
            .extract_if(.., |kept| !roster.has(kept.link.server()));
        gone.map(|kept| kept.link).collect()
    }

    /// A server can prove who it is, as far as is known: isolation ids may ask
    /// it about names. Whether it is alive nobody has seen.
    pub fn vouch(&mut self, server: &Server) {
        self.roster.trust(server);
    }

    /// A server is likely to work: isolation ids may ask it as soon as it is
    /// trusted.
    pub fn expect(&mut self, server: &Server) {
        self.roster.expect(server);
    }

    /// A server works and can prove who it is, as a connection for headers
    /// found: it may be asked about names. The clock ticks quickly again for a
    /// while, as the ticks so far may have found nobody to connect to.
    pub fn meet(&mut self, server: &Server, now: Instant) {
        self.roster.trust(server);
        if !self.roster.works(server) {
            return;
        }
        self.ticks = 0;
        if let Some(tick) = self.next_tick {
            let lull = now + Duration::from_secs_f64(self.clock.random_range(LULL));
            self.next_tick = Some(tick.min(lull + self.gap()).max(lull));
        }
    }

    /// An exponentially distributed time.
    fn gap(&mut self) -> Duration {
        let mean = if self.ticks < QUICK_TICKS {
            QUICK_GAP
        } else {
            GAP
        };
        Duration::from_secs_f64(mean * exponential(&mut self.clock))
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
        self.ticks = self.ticks.saturating_add(u32::from(has_ticked));
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
            &self.roster,
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
        tasks.extend(self.take_overflow().into_iter().map(Task::Close));
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
            self.rest_broken(server, now);
            return None;
        };
        if self.resting.until(server, now).is_some() || !self.roster.has(server) {
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

    /// A server could not be reached, or was of no use.
    pub fn rest_broken(&mut self, server: &Server, now: Instant) {
        self.roster.fails(server);
        self.rest(server, REST_BROKEN, now);
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
