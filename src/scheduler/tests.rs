//! What the threads owe to those who ask, with a source of one address.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use super::*;
use crate::isolation::IsolationId;
use crate::log::Log;
use crate::policy::{Query, Verdict};
use crate::snapshot::{FetchError, Fetched, NameKey};
use crate::source::{Bounds, Learned, Source, SourceReply};

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Forgotten(IsolationId),
    Answered(u64),
}

/// Gives every name an address, and tells what it is told to forget.
struct Telling(Sender<Event>);

impl Source for Telling {
    fn fetch(&self, _: &IsolationId, _: &NameKey, _: &Bounds) -> Result<SourceReply, FetchError> {
        Ok(Fetched::Value(br#"{"ip":"192.0.2.1"}"#.as_slice().into()).into())
    }

    fn forget(&self, isolation: &IsolationId) {
        // As if the processor were taken away at the worst moment.
        std::thread::sleep(Duration::from_millis(1));
        self.0.send(Event::Forgotten(isolation.clone())).unwrap();
    }
}

fn limits() -> Limits {
    Limits {
        slots: 4,
        slots_per_isolation: 4,
        evaluations: 4,
        queries: 10,
        queries_per_isolation: 10,
        background: Duration::ZERO,
        ttl: Duration::from_secs(60),
        negative_ttl: Duration::from_secs(60),
        cache: CacheLimits {
            entries: 10,
            isolations: 1,
            bytes: 1 << 20,
        },
    }
}

/// Whatever begins for an id after it was evicted must find nothing of what
/// belonged to it before.
#[test]
fn an_id_is_forgotten_before_the_answer_that_evicts_it() {
    let (events, seen) = channel();
    let answered = events.clone();
    let scheduler = Scheduler::new(
        Arc::new(Telling(events)),
        limits(),
        Log::silent(),
        Timekeeper::start().unwrap(),
    );
    let client = scheduler.client(Box::new(move |ticket, _| {
        answered.send(Event::Answered(ticket)).unwrap();
    }));
    let ids = [b"one", b"two"].map(|id| IsolationId::parse(id).unwrap());
    let next = || seen.recv_timeout(Duration::from_secs(20)).unwrap();
    for ticket in 0..300 {
        let isolation = &ids[(ticket % 2) as usize];
        let query = Query::parse(b"example.bit", false).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        client.ask(ticket, isolation, query, deadline);
        if ticket > 0 {
            let other = &ids[((ticket + 1) % 2) as usize];
            assert_eq!(next(), Event::Forgotten(other.clone()));
        }
        assert_eq!(next(), Event::Answered(ticket));
    }
}

/// Clients have the same numbers for their queries, and each its own answers.
#[test]
fn each_client_gets_its_own_answers_and_none_once_it_is_dropped() {
    let (events, _seen) = channel();
    let timekeeper = Timekeeper::start().unwrap();
    let scheduler = Scheduler::new(
        Arc::new(Telling(events)),
        limits(),
        Log::silent(),
        timekeeper,
    );
    let client = || {
        let (sender, answers) = channel();
        let client = scheduler.client(Box::new(move |number, _| sender.send(number).unwrap()));
        (client, answers)
    };
    let ask = |client: &Client, number, name: &str| {
        let query = Query::parse(name.as_bytes(), false).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        client.ask(number, &IsolationId::shared(), query, deadline);
    };
    let (one, to_one) = client();
    let (two, to_two) = client();
    ask(&one, 7, "one.bit");
    ask(&two, 7, "two.bit");
    for answers in [&to_one, &to_two] {
        assert_eq!(answers.recv_timeout(Duration::from_secs(20)), Ok(7));
        assert!(answers.try_recv().is_err());
    }
    drop(one);
    assert!(to_one.recv().is_err(), "nothing keeps its callback");
    ask(&two, 8, "three.bit");
    assert_eq!(to_two.recv_timeout(Duration::from_secs(20)), Ok(8));
}

/// Records which threads fetch and how often it is polled.
#[derive(Default)]
struct Recording {
    threads: Mutex<Vec<ThreadId>>,
    learned: Mutex<Option<Learned>>,
    polls: Mutex<Vec<Instant>>,
}

impl Source for Recording {
    fn fetch(&self, _: &IsolationId, _: &NameKey, _: &Bounds) -> Result<SourceReply, FetchError> {
        self.threads.lock().unwrap().push(thread::current().id());
        Ok(value(1).into())
    }

    fn on_learned(&self, learned: Learned) {
        *self.learned.lock().unwrap() = Some(learned);
    }

    fn poll(&self) -> Option<bool> {
        let mut polls = self.polls.lock().unwrap();
        polls.push(Instant::now());
        match polls.len() {
            1 | 2 => Some(false),
            3 => Some(true),
            _ => None,
        }
    }
}

fn value(last: u8) -> Fetched {
    let text = format!("{{\"ip\":\"192.0.2.{last}\"}}");
    Fetched::Value(text.into_bytes().into())
}

fn recording() -> (Arc<Recording>, Scheduler) {
    let source = Arc::new(Recording::default());
    let timekeeper = Timekeeper::start().unwrap();
    let scheduler = Scheduler::new(
        Arc::clone(&source) as Arc<dyn Source>,
        limits(),
        Log::silent(),
        timekeeper,
    );
    (source, scheduler)
}

fn client(scheduler: &Scheduler) -> (Client, Receiver<Verdict>) {
    let (sender, answers) = channel();
    let deliver = Box::new(move |_, verdict| sender.send(verdict).unwrap());
    (scheduler.client(deliver), answers)
}

fn resolve(client: &Client, answers: &Receiver<Verdict>, name: &str) -> Verdict {
    let query = Query::parse(name.as_bytes(), false).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    client.ask(0, &IsolationId::shared(), query, deadline);
    answers.recv_timeout(Duration::from_secs(20)).unwrap()
}

fn wait_until(condition: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < give_up);
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn one_worker_is_enough_for_one_query_at_a_time() {
    let (source, scheduler) = recording();
    let (client, answers) = client(&scheduler);
    for number in 0..10 {
        resolve(&client, &answers, &format!("n{number}.bit"));
        wait_until(|| scheduler.shared.free_workers() == 1);
        // It waits for the next query rather than ends.
        thread::sleep(Duration::from_millis(5));
    }
    let threads = source.threads.lock().unwrap();
    assert_eq!(threads.len(), 10);
    assert!(threads.iter().all(|id| *id == threads[0]), "{threads:?}");
}

#[test]
fn its_threads_end_with_the_scheduler() {
    let (source, scheduler) = recording();
    let (client, answers) = client(&scheduler);
    resolve(&client, &answers, "a.bit");
    drop((client, scheduler));
    wait_until(|| Arc::strong_count(&source) == 1);
}

#[test]
fn what_the_source_learns_replaces_what_is_kept() {
    let (source, scheduler) = recording();
    let (client, answers) = client(&scheduler);
    let before = resolve(&client, &answers, "a.bit");
    let learned = source.learned.lock().unwrap().take().unwrap();
    let key = NameKey::new("d/a").unwrap();
    learned(&IsolationId::shared(), key, value(2));
    let after = resolve(&client, &answers, "a.bit");
    assert_ne!(before, after);
    assert_eq!(source.threads.lock().unwrap().len(), 1);
}

/// Values are dropped when they have changed, and only then.
#[test]
fn a_source_is_polled_once_a_second_until_it_has_nothing_to_watch() {
    let (source, scheduler) = recording();
    let (client, answers) = client(&scheduler);
    let polls = || source.polls.lock().unwrap().len();
    let fetches = || source.threads.lock().unwrap().len();
    resolve(&client, &answers, "a.bit");
    wait_until(|| polls() == 2);
    thread::sleep(Duration::from_millis(50));
    resolve(&client, &answers, "a.bit");
    assert!(fetches() == 1 || polls() > 2);
    wait_until(|| polls() == 4);
    resolve(&client, &answers, "a.bit");
    assert_eq!(fetches(), 2);
    thread::sleep(Duration::from_millis(1200));
    assert_eq!(polls(), 4);
    let times = source.polls.lock().unwrap();
    assert!(times[3] - times[0] > Duration::from_secs(2));
}

#[test]
fn a_client_has_an_id_forgotten() {
    let (events, seen) = channel();
    let scheduler = Scheduler::new(
        Arc::new(Telling(events)),
        limits(),
        Log::silent(),
        Timekeeper::start().unwrap(),
    );
    let (client, answers) = client(&scheduler);
    resolve(&client, &answers, "a.bit");
    let isolation = IsolationId::shared();
    let question = Query::parse(b"a.bit", false).unwrap().question().unwrap();
    let is_kept = || {
        let kept = client.answer(isolation.as_bytes(), question.as_bytes(), Instant::now());
        kept.is_some()
    };
    assert!(is_kept());
    client.forget(&isolation);
    assert!(!is_kept());
    let event = seen.recv_timeout(Duration::from_secs(20));
    assert_eq!(event, Ok(Event::Forgotten(isolation.clone())));
}
