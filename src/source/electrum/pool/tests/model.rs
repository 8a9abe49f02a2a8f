use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::super::plan::READY;
use super::super::slot::DialPermit;
use super::*;

const MAX_IDS: usize = 5;

/// Random steps, and what must hold after each.
struct Model {
    world: World,
    random: StdRng,
    /// Every connection there ever was.
    links: Vec<Arc<Wire>>,
    /// Connections for the pool that are being opened.
    fills: Vec<Server>,
    /// Connections for slots that are being opened.
    dials: Vec<(usize, usize, DialPermit)>,
    /// The id that ever had a connection.
    owners: HashMap<*const Wire, usize>,
    /// What each id has, and when it asked last.
    slots: [[Option<Arc<Wire>>; 2]; MAX_IDS],
    asked: [Instant; MAX_IDS],
}

impl Model {
    fn new(seed: u8) -> Self {
        let mut world = World::new(servers(&[("a", 3), ("b", 2), ("c", 1)]), seed);
        world.plan.start(world.now);
        Self {
            asked: [world.now; MAX_IDS],
            world,
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
        self.asked[one] = self.world.now;
        match self.world.plan.slot(&id(one), index, true, self.world.now) {
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
    fn own(&mut self, one: usize, index: usize, link: Arc<Wire>) {
        assert_eq!(*self.owners.entry(Arc::as_ptr(&link)).or_insert(one), one);
        self.slots[one][index] = Some(link);
    }

    fn pick<T>(random: &mut StdRng, from: &mut Vec<T>) -> Option<T> {
        (!from.is_empty()).then(|| from.swap_remove(random.random_range(0..from.len())))
    }

    /// A new connection, most of the time.
    fn dial(&mut self, server: &Server) -> Option<Arc<Wire>> {
        let link = Arc::new(Wire::new(server));
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
        let now = self.world.now;
        self.world.plan.dialled(&id(one), index, &permit, link, now);
    }

    fn finish_fill(&mut self) {
        let Some(server) = Self::pick(&mut self.random, &mut self.fills) else {
            return;
        };
        let link = self.dial(&server);
        if let Some(refused) = self.world.plan.opened(&server, link, self.world.now) {
            refused.close();
        }
    }

    fn fail(&mut self, one: usize, index: usize) {
        if let Some(link) = self.slots[one][index].take() {
            let fault = *[Fault::Proof, Fault::Broken]
                .choose(&mut self.random)
                .unwrap();
            self.world
                .plan
                .failed(&id(one), &link, fault, self.world.now);
            link.close();
        }
    }

    fn forget(&mut self, one: usize) {
        self.world.plan.forget(&id(one), self.world.now);
        self.slots[one] = Default::default();
    }

    fn ban(&mut self) {
        let list = servers(&[("a", 3), ("b", 2), ("c", 1)]);
        let server = list.choose(&mut self.random).unwrap();
        for link in self.world.plan.ban(server, self.world.now) {
            assert_eq!(&link.server, server);
            link.close();
        }
    }

    fn pass(&mut self, milliseconds: std::ops::Range<u64>) {
        let time = self.random.random_range(milliseconds);
        self.world.now += Duration::from_millis(time);
        for task in self.world.plan.due(self.world.now) {
            match task {
                Task::Open(server) => self.fills.push(server),
                Task::Ping(link) => assert!(link.is_alive()),
                Task::Close(link) => link.close(),
            }
        }
        for one in 0..MAX_IDS {
            if self.asked[one] + seconds(600) <= self.world.now {
                self.slots[one] = Default::default();
            }
        }
    }

    fn check(&self) {
        let ready: Vec<_> = self.world.plan.ready().collect();
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
            self.world.now += seconds(1000);
            let tasks = self.world.plan.due(self.world.now);
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
