//! The session and the scheduler against a small model: random interleavings
//! of lines, evaluations, fetches, failures and time.
//!
//! What must hold in every one of them: a usable RESOLVE has exactly one
//! answer, none comes after its CANCELED, isolation ids are never mixed, and
//! the bounds on fetches are kept. A failing seed is printed; set `MODEL_SEED`
//! to run it alone, or `MODEL_INTERLEAVINGS` to run more of them.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ncprop279::config::settings::MissingIsolation;
use ncprop279::door::stdio::line::Line;
use ncprop279::door::stdio::session::{Action, Options, Session};
use ncprop279::isolation::IsolationId;
use ncprop279::policy::{CachedAnswer, Query, Step, Verdict};
use ncprop279::scheduler::{Answers, CacheLimits, Core, Job, Limits, Task, Ticket};
use ncprop279::snapshot::{
    Absence, Entry, FetchError, FetchErrorKind, Fetched, Key, NameKey, Snapshot,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const INTERLEAVINGS: u64 = 25_000;
const STEPS: usize = 50;
const TIMEOUT: Duration = Duration::from_secs(20);
const SLOTS: usize = 3;
const SLOTS_PER_ISOLATION: usize = 2;
const EVALUATIONS: usize = 2;

const NAMES: [&str; 4] = ["one.bit", "two.bit", "three.bit", "hop.bit"];
const ISOLATIONS: [&str; 3] = ["red", "green", "blue"];

/// The value of a name differs for each isolation id, so that a mix-up shows.
fn value(isolation: &IsolationId, key: &NameKey) -> Fetched {
    let id = isolation.as_str().unwrap();
    Fetched::Value(format!("{id} {key}").into_bytes().into())
}

/// An address that stands for a value; the first byte for its isolation id.
fn address(value: &[u8]) -> IpAddr {
    let text = std::str::from_utf8(value).unwrap();
    let (id, _) = text.split_once(' ').unwrap();
    let place = ISOLATIONS.iter().position(|known| *known == id).unwrap();
    IpAddr::V4(Ipv4Addr::new(u8::try_from(place + 1).unwrap(), 2, 3, 4))
}

/// Stands for the answer policy: `hop.bit` needs two names, the others one.
fn resolve(query: &Query, snapshot: &Snapshot) -> Step {
    let name = query.name().to_ascii();
    let key = |label: &str| NameKey::new(&format!("d/{label}")).unwrap();
    let keys: Vec<NameKey> = match &*name {
        "hop.bit." => vec![key("hop"), key("one")],
        name => vec![key(name.split('.').next().unwrap())],
    };
    let mut last = None;
    for key in keys {
        match snapshot.get(&key) {
            None => return Step::Need(BTreeSet::from([key.into()])),
            Some(Entry::Failed(failure)) => {
                return Step::Done(Verdict::Unknown(failure.clone()));
            }
            Some(Entry::Known(Fetched::Absent(_))) => {
                return Step::Done(Verdict::NotFound("absent".to_owned()));
            }
            Some(Entry::Known(Fetched::Value(value))) => last = Some(address(value)),
        }
    }
    Step::Done(Verdict::Address(last.unwrap()))
}

fn ticket_of(number: u64) -> Ticket {
    Ticket { client: 1, number }
}

/// What the client believes: the ids that are open, and under which isolation.
#[derive(Default)]
struct Client {
    open: HashMap<String, String>,
}

impl Client {
    /// Reads what was written to it, in order.
    fn read(&mut self, bytes: &[u8]) {
        for line in std::str::from_utf8(bytes).unwrap().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[0] {
                "RESOLVED" => {
                    let isolation = self.open.remove(words[1]);
                    let isolation = isolation.unwrap_or_else(|| panic!("unexpected {line}"));
                    if words[2] == "0" {
                        let place = ISOLATIONS.iter().position(|known| *known == isolation);
                        let expected = format!("{}.2.3.4", place.unwrap() + 1);
                        assert_eq!(words[3], expected, "an answer of another isolation id");
                    }
                }
                "CANCELED" => {
                    self.open.remove(words[1]);
                }
                _ => panic!("unexpected {line}"),
            }
        }
    }
}

struct World {
    random: StdRng,
    now: Instant,
    session: Session,
    core: Core,
    client: Client,
    tasks: Vec<Task>,
    jobs: Vec<Job>,
    on_the_way: Vec<(u64, Verdict)>,
    answers: u64,
    /// Answers that were kept.
    kept: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            now: Instant::now(),
            session: Session::new(Options {
                only_onion: false,
                missing_isolation: MissingIsolation::Refuse,
            }),
            core: Core::new(Limits {
                slots: SLOTS,
                slots_per_isolation: SLOTS_PER_ISOLATION,
                evaluations: EVALUATIONS,
                queries: 6,
                queries_per_isolation: 4,
                background: Duration::from_secs(60),
                ttl: Duration::from_secs(30),
                negative_ttl: Duration::from_secs(5),
                cache: CacheLimits {
                    entries: 2,
                    isolations: 2,
                    bytes: 1 << 20,
                },
            }),
            client: Client::default(),
            tasks: Vec::new(),
            jobs: Vec::new(),
            on_the_way: Vec::new(),
            answers: 0,
            kept: 0,
        }
    }

    fn apply(&mut self, answers: Answers) {
        // Answers are on their way for a while, and lines can overtake them.
        let answers = answers.into_iter();
        self.on_the_way
            .extend(answers.map(|(ticket, verdict)| (ticket.number, verdict)));
        let _ = self.core.take_forgotten();
        while let Some(task) = self.core.next_task() {
            self.tasks.push(task);
        }
        if let [one, other] = &self.tasks[..] {
            let of = |task: &Task| task.evaluation.snapshot().isolation().clone();
            assert_ne!(of(one), of(other), "two evaluations of one id");
        }
        assert!(self.tasks.len() <= EVALUATIONS);
        while let Some(job) = self.core.next_job(self.now) {
            self.jobs.push(job);
        }
        // Twice as many as there are slots: those that lost theirs may not
        // have ended yet.
        assert!(self.jobs.len() <= 2 * SLOTS, "{} fetches", self.jobs.len());
        let live = |job: &&Job| !job.limit.cancel.is_set();
        assert!(self.jobs.iter().filter(live).count() <= SLOTS);
        for isolation in ISOLATIONS {
            let of_id = self.jobs.iter().filter(live);
            let of_id = of_id.filter(|job| job.isolation.as_str() == Some(isolation));
            assert!(of_id.count() <= SLOTS_PER_ISOLATION);
        }
        let out = std::mem::take(&mut self.session.out);
        self.client.read(&out);
    }

    fn resolve(&mut self) {
        let id = self.random.random_range(1..=5u32).to_string();
        let name = NAMES[self.random.random_range(0..NAMES.len())];
        let isolation = ISOLATIONS[self.random.random_range(0..ISOLATIONS.len())];
        let was_open = self.client.open.contains_key(&id);
        let line = format!("RESOLVE {id} {name} {isolation}");
        let mut notices = 0;
        let mut answer = None;
        let (core, now) = (&mut self.core, self.now);
        let action = self.session.line(
            Line::Complete(line.as_bytes()),
            |_, isolation, question| {
                answer = core.answer(isolation, question.as_bytes(), now);
                answer.clone()
            },
            |_| notices += 1,
        );
        assert_eq!(was_open, notices == 1, "{line}");
        assert_eq!(was_open || answer.is_some(), action.is_none(), "{line}");
        if was_open {
            return;
        }
        self.client.open.insert(id, isolation.to_owned());
        if let Some(answer) = answer {
            self.kept += 1;
            self.check_kept(name, isolation, answer.verdict());
            self.apply(Answers::new());
            return;
        }
        let Some(Action::Resolve {
            number,
            query,
            isolation: under,
        }) = action
        else {
            panic!("{line} led to nothing");
        };
        let deadline = self.now + TIMEOUT;
        let answers = self
            .core
            .ask(ticket_of(number), &under, query, deadline, self.now);
        self.apply(answers);
    }

    /// As far as the values in the cache go.
    fn cached_values_say(&mut self, isolation: &IsolationId, query: &Query) -> Step {
        let mut snapshot = Snapshot::new(isolation.clone());
        loop {
            let step = resolve(query, &snapshot);
            let Step::Need(keys) = &step else { return step };
            for key in keys.iter().filter_map(Key::name) {
                match self.core.cached(isolation, key, self.now) {
                    Some(fetched) => snapshot.insert(key.clone(), Entry::Known(fetched)),
                    None => return step,
                }
            }
        }
    }

    /// A kept answer is what the values in the cache say at this moment.
    fn check_kept(&mut self, name: &str, isolation: &str, verdict: &Verdict) {
        let isolation = IsolationId::parse(isolation.as_bytes()).unwrap();
        let query = Query::parse(name.as_bytes(), false).unwrap();
        let step = self.cached_values_say(&isolation, &query);
        assert_eq!(step, Step::Done(verdict.clone()), "{name}");
    }

    fn cancel(&mut self) {
        let id = self.random.random_range(1..=5u32).to_string();
        let line = format!("CANCEL {id}");
        let action = self.session.line(
            Line::Complete(line.as_bytes()),
            |_, _, _| None::<Arc<CachedAnswer>>,
            |_| {},
        );
        let expected = format!("CANCELED {id}\n");
        assert!(self.session.out.ends_with(expected.as_bytes()));
        assert_eq!(action.is_some(), self.client.open.contains_key(&id));
        if let Some(Action::Cancel(number)) = action {
            self.core.cancel(ticket_of(number));
        }
        self.apply(Answers::new());
    }

    fn evaluate(&mut self) {
        if self.tasks.is_empty() {
            return;
        }
        let task = self
            .tasks
            .swap_remove(self.random.random_range(0..self.tasks.len()));
        let step = resolve(task.evaluation.query(), task.evaluation.snapshot());
        let answers = self.core.evaluated(task, step, self.now);
        self.apply(answers);
    }

    fn fetch(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        let job = self
            .jobs
            .swap_remove(self.random.random_range(0..self.jobs.len()));
        let failure = |kind| Err(FetchError::new(kind, "scripted"));
        let result = match self.random.random_range(0..10) {
            0 => failure(FetchErrorKind::Unreachable),
            1 => failure(FetchErrorKind::NotReady),
            2 => failure(FetchErrorKind::Credentials),
            3 => Ok(Fetched::Absent(Absence::NeverExisted)),
            _ => Ok(value(&job.isolation, job.key.name().unwrap())),
        };
        self.core.fetched(job, result, 0.7, self.now);
        self.apply(Answers::new());
    }

    fn deliver(&mut self) {
        if self.on_the_way.is_empty() {
            return;
        }
        let at = self.random.random_range(0..self.on_the_way.len());
        let (number, verdict) = self.on_the_way.swap_remove(at);
        self.session.answer(number, &verdict);
        self.answers += 1;
        self.apply(Answers::new());
    }

    fn pass_time(&mut self) {
        let next = self.core.next_tick().unwrap_or(self.now);
        self.now = match self.random.random_range(0..3) {
            0 => next.max(self.now),
            1 => self.now + Duration::from_millis(self.random.random_range(0..500)),
            _ => self.now + Duration::from_secs(self.random.random_range(0..30)),
        };
        let answers = self.core.tick(self.now);
        self.apply(answers);
    }

    /// Whatever is under way, nothing is kept for the id any more.
    fn forget(&mut self) {
        let isolation = ISOLATIONS[self.random.random_range(0..ISOLATIONS.len())];
        let isolation = IsolationId::parse(isolation.as_bytes()).unwrap();
        self.core.forget(&isolation);
        for name in ["one", "two", "three", "hop"] {
            let key = NameKey::new(&format!("d/{name}")).unwrap();
            assert_eq!(self.core.cached(&isolation, &key, self.now), None);
        }
    }

    fn step(&mut self) {
        match self.random.random_range(0..25) {
            20..=24 => self.deliver(),
            0..=5 => self.resolve(),
            6..=7 => self.cancel(),
            8..=12 => self.evaluate(),
            13..=16 => self.fetch(),
            17..=18 => self.pass_time(),
            _ => {
                match self.random.random_range(0..10) {
                    0..=1 => self.core.invalidate(),
                    2 => self.forget(),
                    _ => {}
                }
                self.core.sweep(self.now);
            }
        }
    }

    /// The end of input: every query is answered by its deadline, whatever
    /// hangs.
    fn end(&mut self) {
        self.now += TIMEOUT;
        let answers = self.core.tick(self.now);
        self.apply(answers);
        while !self.on_the_way.is_empty() {
            self.deliver();
        }
        assert!(
            self.client.open.is_empty(),
            "unanswered: {:?}",
            self.client.open
        );
        assert_eq!(self.session.unanswered(), 0);
        assert_eq!(self.core.unanswered(), 0);
    }

    /// Nothing is left behind when everything has run out.
    fn drain(&mut self) {
        for _ in 0..200 {
            while !self.tasks.is_empty() {
                self.evaluate();
            }
            while !self.jobs.is_empty() {
                self.fetch();
            }
            match self.core.next_tick() {
                None => break,
                Some(next) => {
                    self.now = next.max(self.now);
                    let answers = self.core.tick(self.now);
                    self.apply(answers);
                }
            }
        }
        assert!(self.core.is_idle(), "something was left behind");
    }
}

/// How many answers the scheduler gave, and how many were kept ones.
fn run(seed: u64) -> (u64, u64) {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
    }
    world.end();
    world.drain();
    (world.answers, world.kept)
}

#[test]
fn every_interleaving_keeps_the_promises() {
    if let Ok(seed) = std::env::var("MODEL_SEED") {
        run(seed.parse().unwrap());
        return;
    }
    let interleavings = std::env::var("MODEL_INTERLEAVINGS");
    let interleavings: u64 = interleavings.map_or(INTERLEAVINGS, |count| count.parse().unwrap());
    let begin: u64 = rand::random::<u64>() >> 1;
    let halves = [0, interleavings / 2].map(|offset| {
        std::thread::spawn(move || {
            let mut counts = (0, 0);
            for seed in begin + offset..begin + offset + interleavings / 2 {
                let result = std::panic::catch_unwind(|| run(seed));
                let (answers, kept) = result.unwrap_or_else(|_| panic!("MODEL_SEED={seed}"));
                counts = (counts.0 + answers, counts.1 + kept);
            }
            counts
        })
    });
    let (answers, kept) = halves
        .map(|half| half.join().unwrap())
        .into_iter()
        .fold((0, 0), |sum, half| (sum.0 + half.0, sum.1 + half.1));
    // The scheduler itself has answered often enough for this to mean much.
    assert!(
        answers > interleavings,
        "{answers} answers from seed {begin}"
    );
    assert!(kept > interleavings / 10, "{kept} kept from seed {begin}");
}
