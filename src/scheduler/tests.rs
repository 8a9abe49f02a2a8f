//! What the threads owe to those who ask, with a source of one address.

use std::sync::mpsc::{Sender, channel};

use super::*;
use crate::snapshot::Fetched;
use crate::source::{Finding, Limit};

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Forgotten(IsolationId),
    Answered(Ticket),
}

/// Gives every name an address, and tells what it is told to forget.
struct Telling(Sender<Event>);

impl Source for Telling {
    fn fetch(&self, _: &IsolationId, _: &NameKey, _: &Limit) -> Result<Fetched, FetchFailure> {
        Ok(Fetched::Value(br#"{"ip":"192.0.2.1"}"#.as_slice().into()))
    }

    fn forget(&self, isolation: &IsolationId) {
        // As if the processor were taken away at the worst moment.
        std::thread::sleep(Duration::from_millis(1));
        self.0.send(Event::Forgotten(isolation.clone())).unwrap();
    }

    fn check(&self, _: &Limit) -> Vec<Finding> {
        Vec::new()
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
            octets: 1 << 20,
        },
    }
}

/// Whatever begins for an id after it was evicted must find nothing of what
/// belonged to it before.
#[test]
fn an_id_is_forgotten_before_the_answer_that_evicts_it() {
    let (events, seen) = channel();
    let answered = events.clone();
    let lookups = Lookups::new(
        Arc::new(Telling(events)),
        limits(),
        Log::silent(),
        Timekeeper::start().unwrap(),
        Box::new(move |ticket, _| answered.send(Event::Answered(ticket)).unwrap()),
    );
    let ids = [b"one", b"two"].map(|id| IsolationId::parse(id).unwrap());
    let next = || seen.recv_timeout(Duration::from_secs(20)).unwrap();
    for ticket in 0..300 {
        let isolation = &ids[(ticket % 2) as usize];
        let query = Query::parse(b"example.bit", false).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        lookups.ask(ticket, isolation, query, deadline);
        if ticket > 0 {
            let other = &ids[((ticket + 1) % 2) as usize];
            assert_eq!(next(), Event::Forgotten(other.clone()));
        }
        assert_eq!(next(), Event::Answered(ticket));
    }
}
