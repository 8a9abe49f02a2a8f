//! Which connections exist, whose they are, and what is to be done with them. No
//! threads and no I/O; time is an argument.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::roster::{BackOff, Roster, exponential, fits, for_id, for_pool};
use super::slot::{
    Closing, DialPermit, Fault, IdSlots, Link, ReadyConnection, SLOTS, Slot, SlotReply, Task,
};
use crate::isolation::IsolationId;
use crate::source::electrum::servers::Server;

/// Ready connections.
pub(super) const READY: usize = 6;

/// Ready connections that one operator may have, if there are others.
const MAX_READY_OF_ONE: usize = READY / 2;

/// So many ticks come quickly at first, whatever comes of them, so that
/// connections are ready soon.
const QUICK_TICKS: u32 = 12;

/// Mean gaps between ticks, in seconds: at the start, and later. A burst would
/// show an operator which connections belong together.
const QUICK_GAP: f64 = 1.5;
const GAP: f64 = 15.0;

/// The pause, in seconds, after a connection for headers has shown that a
/// server works. A tick at once would follow that connection too closely.
const PAUSE_AFTER_HEADERS: std::ops::Range<f64> = 2.0..6.0;

/// How long a ready connection waits to be taken, in seconds.
const SHELF_LIFE: std::ops::Range<u64> = 300..900;

/// The time between pings on a connection, in milliseconds.
const PING: std::ops::Range<u64> = 30_000..150_000;

/// An isolation id that has not asked for this long loses its connections.
const IDLE: Duration = Duration::from_secs(600);

/// The delay before the connections of an isolation id close, in
/// milliseconds.
const LINGER: std::ops::Range<u64> = 0..60_000;

/// The most isolation ids that keep connections. Together with connections that
/// are to close, ready ones and those for headers, fewer than 256 files are
/// open, the smallest usual limit.
pub(super) const MAX_IDS: std::num::NonZeroUsize = std::num::NonZeroUsize::new(90).unwrap();

/// How long a server is not used, in seconds: after a bad proof, and after it
/// could not be reached or a connection broke.
const BAN: std::ops::Range<u64> = 600..3600;
const BACK_OFF: std::ops::Range<u64> = 60..180;

/// The state of the pool.
pub(super) struct Plan<L> {
    pub(super) roster: Roster,
    /// Slots of each isolation id: fewer than [`SLOTS`] if there are fewer
    /// operators.
    slots: usize,
    /// The clock's own randomness: nothing else draws from it, so that no
    /// tick depends on what happens between ticks.
    clock: StdRng,
    random: StdRng,
    /// When the clock ticks next, if it was started.
    pub(super) next_tick: Option<Instant>,
    ticks: u32,
    /// Connections that wait to be taken.
    pub(super) ready: Vec<ReadyConnection<L>>,
    /// Servers that the pool is connecting to.
    opening: Vec<Server>,
    ids: LruCache<IsolationId, IdSlots<L>>,
    /// Permits given so far to open a connection for a slot.
    permits: u64,
    closing: Closing<L>,
    backed_off: BackOff,
}

impl<L: Link> Plan<L> {
    /// An empty pool that trusts no server yet and whose clock has not been
    /// started. `seed` decides all draws.
    pub fn new(servers: Vec<Server>, seed: [u8; 32]) -> Self {
        let roster = Roster::new(servers);
        let mut random = StdRng::from_seed(seed);
        Self {
            slots: roster.operators().clamp(1, SLOTS),
            clock: StdRng::from_rng(&mut random),
            random,
            next_tick: None,
            ticks: 0,
            ready: Vec::new(),
            opening: Vec::new(),
            ids: LruCache::new(MAX_IDS),
            permits: 0,
            closing: Closing::default(),
            backed_off: BackOff::default(),
            roster,
        }
    }

    /// Connections that each isolation id has.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Has fewer or more connections for each isolation id from now on, as far
    /// as there are operators. Those that are open stay.
    pub fn set_slots(&mut self, slots: usize) {
        self.slots = self.roster.operators().min(slots).clamp(1, SLOTS);
    }

    /// Starts the clock.
    pub fn start(&mut self, now: Instant) {
        if self.next_tick.is_none() {
            self.next_tick = Some(now + self.gap());
        }
    }

    /// When something is due next: a tick, a ping or a close. The thread wakes
    /// up then and not at fixed intervals, which connections of different ids
    /// would have in common.
    pub fn next_due(&self) -> Option<Instant> {
        let ready = self.ready.iter().flat_map(|kept| [kept.closes, kept.pings]);
        let taken = self.ids.iter().flat_map(|(_, slots)| &slots.slots);
        let pings = taken.filter_map(|slot| match slot {
            Slot::Open { link, pings } if link.is_alive() => Some(*pings),
            _ => None,
        });
        let all = self.next_tick.into_iter().chain(ready);
        all.chain(pings).chain(self.closing.next()).min()
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

    /// A connection for headers found that a server works and can prove its
    /// identity: it may be asked about names. The clock ticks quickly again for
    /// a while, because earlier ticks may have found no server to connect to.
    pub fn mark_working(&mut self, server: &Server, now: Instant) {
        self.roster.trust(server);
        if !self.roster.works(server) {
            return;
        }
        self.ticks = 0;
        if let Some(tick) = self.next_tick {
            let lull = now + Duration::from_secs_f64(self.clock.random_range(PAUSE_AFTER_HEADERS));
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

    /// What is due.
    pub fn due(&mut self, now: Instant) -> Vec<Task<L>> {
        let mut tasks = Vec::new();
        self.age(now, &mut tasks);
        if self.has_ticked(now) {
            tasks.extend(self.fill(now));
        }
        self.ping(now, &mut tasks);
        tasks
    }

    /// Whether the clock has ticked since the last call. Ticks missed while the
    /// machine slept are not made up for.
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
        if self.ready.len() + self.opening.len() >= READY {
            return None;
        }
        let there: Vec<&Server> = self
            .ready
            .iter()
            .map(|kept| kept.link.server())
            .chain(&self.opening)
            .collect();
        let most = if self.slots == 1 {
            READY
        } else {
            MAX_READY_OF_ONE
        };
        let server = for_pool(
            &self.roster,
            &there,
            most,
            &self.backed_off,
            now,
            &mut self.random,
        )?
        .clone();
        self.opening.push(server.clone());
        Some(Task::Open(server))
    }

    /// Closes what has expired or broken.
    fn age(&mut self, now: Instant, tasks: &mut Vec<Task<L>>) {
        self.backed_off.tidy(now);
        self.ready.retain(|kept| {
            let stays = kept.closes > now && kept.link.is_alive();
            if !stays {
                tasks.push(Task::Close(Arc::clone(&kept.link)));
            }
            stays
        });
        tasks.extend(self.closing.take_due(now).map(Task::Close));
        let idle: Vec<_> = self
            .ids
            .iter()
            .filter(|(_, slots)| slots.asked + IDLE <= now)
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
        let taken = self.ids.iter_mut().flat_map(|(_, slots)| {
            slots.slots.iter_mut().filter_map(|slot| match slot {
                Slot::Open { link, pings } => Some((&*link, pings)),
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

    /// The outcome of [`Task::Open`]. Returns the connection if it is not
    /// wanted.
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
            self.back_off(server, now);
            return None;
        };
        if self.backed_off.holds(server, now) || !self.roster.has(server) {
            return Some(link);
        }
        let (closes, pings) = (self.after(SHELF_LIFE, 1000, now), self.after(PING, 1, now));
        self.ready.push(ReadyConnection {
            link,
            closes,
            pings,
        });
        None
    }

    /// A time after `now`, drawn from a range in units of so many milliseconds.
    fn after(&mut self, range: std::ops::Range<u64>, unit: u64, now: Instant) -> Instant {
        let range = range.start * unit..range.end * unit;
        now + Duration::from_millis(self.random.random_range(range))
    }

    fn back_off_for(&mut self, server: &Server, range: std::ops::Range<u64>, now: Instant) {
        let until = self.after(range, 1000, now);
        self.backed_off.put(server, until);
    }

    /// A server could not be reached, or its connection broke.
    pub fn back_off(&mut self, server: &Server, now: Instant) {
        self.roster.fails(server);
        self.back_off_for(server, BACK_OFF, now);
    }

    /// A connection for headers caught a server lying: nobody uses it for a
    /// while. Returns connections to be closed.
    pub fn ban(&mut self, server: &Server, now: Instant) -> Vec<Arc<L>> {
        self.back_off_for(server, BAN, now);
        let gone = self
            .ready
            .extract_if(.., |kept| kept.link.server() == server);
        gone.map(|kept| kept.link).collect()
    }

    /// Whether nobody is to use a server for now.
    pub fn is_backed_off(&self, server: &Server, now: Instant) -> bool {
        self.backed_off.holds(server, now)
    }

    /// The connection of one of an isolation id's slots: the one it has, a
    /// ready one, or a permit to open one. This changes no tick of the clock. A
    /// permit for a server that may well be dead is given only if
    /// `tries_unknown`.
    pub fn slot(
        &mut self,
        isolation: &IsolationId,
        index: usize,
        tries_unknown: bool,
        now: Instant,
    ) -> SlotReply<L> {
        self.admit(isolation, now);
        let Some(slots) = self.ids.get_mut(isolation) else {
            return SlotReply::NoServer;
        };
        slots.asked = now;
        slots.backed_off.tidy(now);
        let other = slots.slots.get(1 - index.min(1)).and_then(Slot::server);
        let other = other.cloned().filter(|_| self.slots > 1);
        let Some(slot) = slots.slots.get_mut(index) else {
            return SlotReply::NoServer;
        };
        match slot {
            Slot::Open { link, .. } if link.is_alive() => return SlotReply::Open(Arc::clone(link)),
            Slot::Opening { .. } => return SlotReply::Wait,
            _ => *slot = Slot::Empty,
        }
        let is_fit = |kept: &ReadyConnection<L>| {
            let server = kept.link.server();
            kept.link.is_alive()
                && fits(server, other.as_ref())
                && !slots.backed_off.holds(server, now)
        };
        if let Some(at) = self.ready.iter().position(is_fit) {
            let ReadyConnection { link, pings, .. } = self.ready.swap_remove(at);
            let taken = Arc::clone(&link);
            *slot = Slot::Open { link, pings };
            return SlotReply::Open(taken);
        }
        let has_working = self.roster.has_working(other.as_ref());
        let server = for_id(
            &self.roster,
            other.as_ref(),
            &slots.backed_off,
            &self.backed_off,
            now,
            &mut self.random,
        );
        let Some(server) = server.cloned() else {
            return match self.roster.has_untrusted(other.as_ref()) {
                true => SlotReply::NoneTrusted,
                false => SlotReply::NoServer,
            };
        };
        if !has_working && !tries_unknown {
            return SlotReply::NoneKnownToWork;
        }
        self.permits += 1;
        let number = self.permits;
        *slot = Slot::Opening {
            server: server.clone(),
            number,
        };
        SlotReply::Dial(DialPermit { server, number })
    }

    /// The slot of an isolation id that another operator's server has or will
    /// have; `None` if the id has no slots. Asking does not count as using
    /// them.
    pub fn slot_beside(&self, isolation: &IsolationId, operator: &str) -> Option<usize> {
        let slots = &self.ids.peek(isolation)?.slots;
        let taken = |slot: &Slot<L>| slot.server().is_some_and(|one| one.operator == operator);
        slots.iter().position(|slot| !taken(slot))
    }

    /// Makes room for an isolation id.
    fn admit(&mut self, isolation: &IsolationId, now: Instant) {
        if self.ids.contains(isolation) {
            return;
        }
        if self.ids.len() >= MAX_IDS.get()
            && let Some(oldest) = self.ids.peek_lru().map(|(oldest, _)| oldest.clone())
        {
            self.forget(&oldest, now);
        }
        self.ids.put(
            isolation.clone(),
            IdSlots {
                slots: [const { Slot::Empty }; SLOTS],
                backed_off: BackOff::default(),
                asked: now,
            },
        );
    }

    /// What came of [`SlotReply::Dial`]. A connection whose id was forgotten
    /// meanwhile is closed like the others of that id.
    pub fn dialled(
        &mut self,
        isolation: &IsolationId,
        index: usize,
        permit: &DialPermit,
        link: Option<Arc<L>>,
        now: Instant,
    ) {
        let pings = self.after(PING, 1, now);
        let until = self.after(BACK_OFF, 1000, now);
        let mut slots = self.ids.peek_mut(isolation);
        if let (Some(slots), None) = (&mut slots, &link) {
            slots.backed_off.put(&permit.server, until);
        }
        let slot = slots.and_then(|slots| slots.slots.get_mut(index));
        match (slot, link) {
            (Some(slot), link) if slot.is_for(permit) => {
                *slot = match link {
                    Some(link) => Slot::Open { link, pings },
                    None => Slot::Empty,
                };
            }
            (_, Some(link)) => self.linger(link, now),
            (_, None) => {}
        }
    }

    /// A connection failed an isolation id: it gets another one, to another
    /// server if there is one. No other id is affected.
    pub fn failed(&mut self, isolation: &IsolationId, link: &Arc<L>, fault: Fault, now: Instant) {
        let range = match fault {
            Fault::Proof => BAN,
            Fault::Broken => BACK_OFF,
        };
        let until = self.after(range, 1000, now);
        let Some(slots) = self.ids.peek_mut(isolation) else {
            return;
        };
        slots.backed_off.put(link.server(), until);
        for slot in &mut slots.slots {
            if slot.link().is_some_and(|held| Arc::ptr_eq(held, link)) {
                *slot = Slot::Empty;
            }
        }
    }

    /// Removes an isolation id's connections. Each closes after a random delay
    /// of its own.
    pub fn forget(&mut self, isolation: &IsolationId, now: Instant) {
        let Some(slots) = self.ids.pop(isolation) else {
            return;
        };
        for slot in slots.slots {
            if let Slot::Open { link, .. } = slot {
                self.linger(link, now);
            }
        }
    }

    /// Connections to be closed at once, because too many wait to be closed.
    pub fn take_overflow(&mut self) -> Vec<Arc<L>> {
        self.closing.take_overflow()
    }

    /// Closes a connection after a random delay.
    fn linger(&mut self, link: Arc<L>, now: Instant) {
        let closes = self.after(LINGER, 1, now);
        self.closing.add(link, closes);
    }
}
