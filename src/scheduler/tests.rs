//! What the threads owe to those who ask, with a source of one address.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use super::*;
use crate::isolation::IsolationId;
use crate::log::Log;
use crate::policy::Query;
use crate::snapshot::{FetchFailure, Fetched, NameKey};
use crate::source::{Bounds, Source, SourceReply};

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Forgotten(IsolationId),
    Answered(u64),
}

/// Gives every name an address, and tells what it is told to forget.
struct Telling(Sender<Event>);

impl Source for Telling {
    fn fetch(&self, _: &IsolationId, _: &NameKey, _: &Bounds) -> Result<SourceReply, FetchFailure> {
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
