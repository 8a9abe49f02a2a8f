//! The plan with a clock of its own, and the threads with servers that are
//! made up.

mod clock;
mod model;
mod pool;
mod slots;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::plan::Plan;
use super::slot::{SlotReply, Task};
use super::*;
use crate::source::electrum::testing;

/// A connection that is none.
#[derive(Debug)]
struct Wire {
    server: Server,
    is_broken: AtomicBool,
    closes: AtomicUsize,
    pings: AtomicUsize,
}

impl Wire {
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

impl Link for Wire {
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
struct World {
    plan: Plan<Wire>,
    begin: Instant,
    now: Instant,
    /// Whether a connection to the server comes about.
    answers: fn(&Server) -> bool,
    /// Connections for the pool, and when they were opened.
    opened: Vec<(Instant, Arc<Wire>)>,
    /// Connections that the plan had closed, and when.
    closed: Vec<(Instant, Arc<Wire>)>,
    /// When connections were pinged.
    pinged: Vec<Instant>,
}

impl World {
    /// One that trusts all servers.
    fn new(servers: Vec<Server>, seed: u8) -> Self {
        let mut world = Self::wary(servers.clone(), seed);
        for server in &servers {
            world.plan.mark_working(server, world.now);
        }
        world
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
        let mut world = Self::new(servers, seed);
        world.plan.start(world.now);
        world.run(seconds(60));
        world
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
        let link = (self.answers)(server).then(|| Arc::new(Wire::new(server)));
        if let Some(link) = &link {
            self.opened.push((self.now, Arc::clone(link)));
        }
        if let Some(refused) = self.plan.opened(server, link, self.now) {
            refused.close();
            self.closed.push((self.now, refused));
        }
    }

    /// The connection of a slot, opened if need be.
    fn slot(&mut self, isolation: &IsolationId, index: usize) -> Arc<Wire> {
        match self.plan.slot(isolation, index, false, self.now) {
            SlotReply::Open(link) => link,
            SlotReply::Dial(permit) => {
                let link = Arc::new(Wire::new(&permit.server));
                let given = Some(Arc::clone(&link));
                self.plan
                    .dialled(isolation, index, &permit, given, self.now);
                link
            }
            other => panic!("no seat: {other:?}"),
        }
    }

    fn pair(&mut self, isolation: &IsolationId) -> [Arc<Wire>; 2] {
        [0, 1].map(|index| self.slot(isolation, index))
    }

    /// How long after `since` a connection was closed, if it was.
    fn closed_after(&self, link: &Arc<Wire>, since: Instant) -> Option<Duration> {
        let mut closed = self.closed.iter();
        let (when, _) = closed.find(|(_, other)| Arc::ptr_eq(other, link))?;
        Some(*when - since)
    }
}
