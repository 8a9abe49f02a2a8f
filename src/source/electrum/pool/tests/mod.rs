//! The plan with a clock of its own, and the threads with servers that are
//! made up.

mod clock;
mod pool;
mod slots;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::plan::READY;
use super::*;
use crate::source::electrum::testing;

/// A connection that counts what is done to it.
#[derive(Debug)]
struct FakeLink {
    server: Server,
    is_broken: AtomicBool,
    closes: AtomicUsize,
    pings: AtomicUsize,
}

impl FakeLink {
    fn new(server: &Server) -> Self {
        Self {
            server: server.clone(),
            is_broken: AtomicBool::new(false),
            closes: AtomicUsize::new(0),
            pings: AtomicUsize::new(0),
        }
    }

    fn operator(&self) -> &str {
        &self.server.operator
    }

    /// How often the pool closed it.
    fn closes(&self) -> usize {
        self.closes.load(SeqCst)
    }

    /// The server ends it.
    fn break_off(&self) {
        self.is_broken.store(true, SeqCst);
    }
}

impl Link for FakeLink {
    fn server(&self) -> &Server {
        &self.server
    }

    fn is_alive(&self) -> bool {
        !self.is_broken.load(SeqCst) && self.closes() == 0
    }

    fn keep_alive(&self) {
        self.pings.fetch_add(1, SeqCst);
    }

    fn close(&self) {
        self.closes.fetch_add(1, SeqCst);
    }
}

fn server(operator: &str, number: usize, top: &str) -> Server {
    testing::server(operator, &format!("{operator}{number}.{top}"))
}

/// So many servers of each operator.
fn servers(operators: &[(&str, usize)]) -> Vec<Server> {
    operators
        .iter()
        .flat_map(|&(operator, count)| (0..count).map(move |at| server(operator, at, "example")))
        .collect()
}

fn id(number: usize) -> IsolationId {
    IsolationId::parse(format!("id{number}").as_bytes()).unwrap()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A plan, its time, and what it did.
struct Simulation {
    plan: Plan<FakeLink>,
    begin: Instant,
    now: Instant,
    /// Whether a connection to the server comes about.
    answers: fn(&Server) -> bool,
    /// Connections for the pool, and when they were opened.
    opened: Vec<(Instant, Arc<FakeLink>)>,
    /// Connections that the plan had closed, and when.
    closed: Vec<(Instant, Arc<FakeLink>)>,
    /// When connections were pinged.
    pinged: Vec<Instant>,
}

impl Simulation {
    /// One that trusts all servers.
    fn new(servers: Vec<Server>, seed: u8) -> Self {
        let mut sim = Self::wary(servers.clone(), seed);
        for server in &servers {
            sim.plan.mark_working(server, sim.now);
        }
        sim
    }

    /// One that trusts none yet.
    fn wary(servers: Vec<Server>, seed: u8) -> Self {
        let now = Instant::now();
        Self {
            plan: Plan::new(servers, [seed; 32]),
            begin: now,
            now,
            answers: |_| true,
            opened: Vec::new(),
            closed: Vec::new(),
            pinged: Vec::new(),
        }
    }

    /// One whose clock has run for long enough to fill the pool.
    fn filled(servers: Vec<Server>, seed: u8) -> Self {
        let mut sim = Self::new(servers, seed);
        sim.plan.start(sim.now);
        sim.run(seconds(60));
        sim
    }

    /// Lets time pass, with a look at what is due as often as the thread has
    /// one.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let due = self.plan.next_due().unwrap_or(end);
            let poll = self.now + Duration::from_millis(500);
            self.now = due.max(self.now).min(poll).min(end);
            self.look();
        }
    }

    /// Does what is due.
    fn look(&mut self) -> usize {
        let tasks = self.plan.due(self.now);
        let opens = tasks.iter().filter(|task| matches!(task, Task::Open(_)));
        let opens = opens.count();
        for task in tasks {
            match task {
                Task::Open(server) => self.open(&server),
                Task::Ping(link) => {
                    link.keep_alive();
                    self.pinged.push(self.now);
                }
                Task::Close(link) => {
                    link.close();
                    self.closed.push((self.now, link));
                }
            }
        }
        opens
    }

    fn open(&mut self, server: &Server) {
        let link = (self.answers)(server).then(|| Arc::new(FakeLink::new(server)));
        if let Some(link) = &link {
            self.opened.push((self.now, Arc::clone(link)));
        }
        if let Some(refused) = self.plan.opened(server, link, self.now) {
            refused.close();
            self.closed.push((self.now, refused));
        }
    }

    /// The connection of a slot, opened if need be.
    fn slot(&mut self, isolation: &IsolationId, index: usize) -> Arc<FakeLink> {
        match self.plan.slot(isolation, index, false, self.now) {
            SlotReply::Open(link) => link,
            SlotReply::Dial(permit) => {
                let link = Arc::new(FakeLink::new(&permit.server));
                let given = Some(Arc::clone(&link));
                self.plan
                    .dialled(isolation, index, &permit, given, self.now);
                link
            }
            other => panic!("no slot: {other:?}"),
        }
    }

    fn pair(&mut self, isolation: &IsolationId) -> [Arc<FakeLink>; 2] {
        [0, 1].map(|index| self.slot(isolation, index))
    }

    /// Connections that wait to be taken.
    fn ready(&self) -> impl Iterator<Item = &Arc<FakeLink>> {
        self.plan.ready.iter().map(|kept| &kept.link)
    }

    /// How long after `since` a connection was closed, if it was.
    fn closed_after(&self, link: &Arc<FakeLink>, since: Instant) -> Option<Duration> {
        let mut closed = self.closed.iter();
        let (when, _) = closed.find(|(_, other)| Arc::ptr_eq(other, link))?;
        Some(*when - since)
    }
}

const MAX_IDS: usize = 5;

/// Random steps, and what must hold after each.
struct Model {
    sim: Simulation,
    random: StdRng,
    /// Every connection there ever was.
    links: Vec<Arc<FakeLink>>,
    /// Connections for the pool that are being opened.
    fills: Vec<Server>,
    /// Connections for slots that are being opened.
    dials: Vec<(usize, usize, DialPermit)>,
    /// The id that ever had a connection.
    owners: HashMap<*const FakeLink, usize>,
    /// What each id has, and when it asked last.
    slots: [[Option<Arc<FakeLink>>; 2]; MAX_IDS],
    asked: [Instant; MAX_IDS],
}

impl Model {
    fn new(seed: u8) -> Self {
        let mut sim = Simulation::new(servers(&[("a", 3), ("b", 2), ("c", 1)]), seed);
        sim.plan.start(sim.now);
        Self {
            asked: [sim.now; MAX_IDS],
            sim,
            random: StdRng::from_seed([seed; 32]),
            links: Vec::new(),
            fills: Vec::new(),
            dials: Vec::new(),
            owners: HashMap::new(),
            slots: Default::default(),
        }
    }

    fn step(&mut self) {
        let one = self.random.random_range(0..MAX_IDS);
        let index = self.random.random_range(0..2);
        match self.random.random_range(0..100) {
            0..40 => self.slot(one, index),
            40..60 => self.finish_dial(),
            60..75 => self.finish_fill(),
            75..78 => self.fail(one, index),
            78..80 => self.forget(one),
            80..82 => self.ban(),
            82..84 => {
                if let Some(link) = self.links.choose(&mut self.random) {
                    link.break_off();
                }
            }
            84..99 => self.pass(0..20_000),
            _ => self.pass(0..700_000),
        }
        self.check();
    }

    fn slot(&mut self, one: usize, index: usize) {
        self.asked[one] = self.sim.now;
        match self.sim.plan.slot(&id(one), index, true, self.sim.now) {
            SlotReply::Open(link) => {
                assert!(link.is_alive());
                self.own(one, index, link);
            }
            SlotReply::Dial(permit) => {
                let other = self.slots[one][1 - index].as_ref();
                assert!(other.is_none_or(|other| other.operator() != permit.server.operator));
                self.slots[one][index] = None;
                self.dials.push((one, index, permit));
            }
            SlotReply::Wait => assert!(
                self.dials
                    .iter()
                    .any(|dial| (dial.0, dial.1) == (one, index))
            ),
            SlotReply::NoneTrusted | SlotReply::NoneKnownToWork => panic!("all are trusted"),
            SlotReply::NoServer => panic!("there are three operators"),
        }
    }

    /// A connection is seen in a slot.
    fn own(&mut self, one: usize, index: usize, link: Arc<FakeLink>) {
        assert_eq!(*self.owners.entry(Arc::as_ptr(&link)).or_insert(one), one);
        self.slots[one][index] = Some(link);
    }

    fn pick<T>(random: &mut StdRng, from: &mut Vec<T>) -> Option<T> {
        (!from.is_empty()).then(|| from.swap_remove(random.random_range(0..from.len())))
    }

    /// A new connection, most of the time.
    fn dial(&mut self, server: &Server) -> Option<Arc<FakeLink>> {
        let link = Arc::new(FakeLink::new(server));
        let is_there = self.random.random_bool(0.8);
        is_there.then(|| {
            self.links.push(Arc::clone(&link));
            link
        })
    }

    fn finish_dial(&mut self) {
        let Some((one, index, permit)) = Self::pick(&mut self.random, &mut self.dials) else {
            return;
        };
        let link = self.dial(&permit.server);
        let now = self.sim.now;
        self.sim.plan.dialled(&id(one), index, &permit, link, now);
    }

    fn finish_fill(&mut self) {
        let Some(server) = Self::pick(&mut self.random, &mut self.fills) else {
            return;
        };
        let link = self.dial(&server);
        if let Some(refused) = self.sim.plan.opened(&server, link, self.sim.now) {
            refused.close();
        }
    }

    fn fail(&mut self, one: usize, index: usize) {
        if let Some(link) = self.slots[one][index].take() {
            let fault = *[Fault::Proof, Fault::Broken]
                .choose(&mut self.random)
                .unwrap();
            self.sim.plan.failed(&id(one), &link, fault, self.sim.now);
            link.close();
        }
    }

    fn forget(&mut self, one: usize) {
        self.sim.plan.forget(&id(one), self.sim.now);
        self.slots[one] = Default::default();
    }

    fn ban(&mut self) {
        let list = servers(&[("a", 3), ("b", 2), ("c", 1)]);
        let server = list.choose(&mut self.random).unwrap();
        for link in self.sim.plan.ban(server, self.sim.now) {
            assert_eq!(&link.server, server);
            link.close();
        }
    }

    fn pass(&mut self, milliseconds: std::ops::Range<u64>) {
        let time = self.random.random_range(milliseconds);
        self.sim.now += Duration::from_millis(time);
        for task in self.sim.plan.due(self.sim.now) {
            match task {
                Task::Open(server) => self.fills.push(server),
                Task::Ping(link) => assert!(link.is_alive()),
                Task::Close(link) => link.close(),
            }
        }
        for one in 0..MAX_IDS {
            if self.asked[one] + seconds(600) <= self.sim.now {
                self.slots[one] = Default::default();
            }
        }
    }

    fn check(&self) {
        let ready: Vec<_> = self.sim.ready().collect();
        assert!(ready.len() + self.fills.len() <= READY);
        for link in ready {
            assert_eq!(link.closes(), 0);
            assert!(!self.owners.contains_key(&Arc::as_ptr(link)));
        }
        for pair in &self.slots {
            if let [Some(one), Some(two)] = pair {
                assert_ne!(one.operator(), two.operator());
            }
        }
        assert!(self.links.iter().all(|link| link.closes() <= 1));
    }

    /// Ends everything; then nothing may be left.
    fn end(mut self) {
        while !self.dials.is_empty() {
            self.finish_dial();
        }
        while !self.fills.is_empty() {
            self.finish_fill();
        }
        self.slots = Default::default();
        for _ in 0..3 {
            self.sim.now += seconds(1000);
            let tasks = self.sim.plan.due(self.sim.now);
            for task in tasks {
                if let Task::Close(link) = task {
                    link.close();
                }
            }
        }
        for link in self.links {
            let is_broken = link.is_broken.load(SeqCst);
            assert!(link.closes() == 1 || is_broken, "{link:?} was left open");
            assert_eq!(Arc::strong_count(&link), 1, "{link:?} is held");
        }
    }
}

/// No connection is ever shared, lost, closed twice, or one of two of an operator.
#[test]
fn whatever_happens_no_connection_is_shared_or_lost() {
    for seed in 0..10 {
        println!("seed {seed}");
        let mut model = Model::new(seed);
        (0..2000).for_each(|_| model.step());
        assert!(model.links.len() > 100);
        model.end();
    }
}
