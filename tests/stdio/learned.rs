//! What a source says about how long its answer may be kept, and what it
//! learns afterwards.

use std::time::{Duration, Instant};

use ncprop279::isolation::IsolationId;
use ncprop279::policy::Query;
use ncprop279::scheduler::{CacheLimits, Core, Limits, Ticket};
use ncprop279::snapshot::{Fetched, NameKey};
use ncprop279::source::SourceReply;

const TTL: Duration = Duration::from_secs(600);
const MOST: Duration = Duration::from_secs(60);

fn limits() -> Limits {
    Limits {
        slots: 4,
        slots_per_isolation: 4,
        evaluations: 2,
        queries: 10,
        queries_per_isolation: 10,
        background: Duration::from_secs(10),
        ttl: TTL,
        negative_ttl: MOST,
        cache: CacheLimits {
            entries: 10,
            isolations: 10,
            bytes: 1 << 20,
        },
    }
}

fn id(text: &str) -> IsolationId {
    IsolationId::parse(text.as_bytes()).unwrap()
}

fn key() -> NameKey {
    NameKey::new("d/example").unwrap()
}

fn value(text: &str) -> Fetched {
    Fetched::Value(text.as_bytes().into())
}

/// A core whose cache holds what a source said at `begin`, under the id `a`.
fn with(heard: SourceReply, begin: Instant) -> Core {
    let mut core = Core::new(limits());
    let query = Query::parse(b"example.bit", false).unwrap();
    let ticket = Ticket {
        client: 1,
        number: 1,
    };
    let effects = core.ask(
        ticket,
        &id("a"),
        query,
        begin + Duration::from_secs(20),
        begin,
    );
    assert!(effects.is_empty());
    let job = core.next_job(begin).unwrap();
    core.fetched(job, Ok(heard), 1.0, begin);
    assert!(core.next_task().is_some());
    core
}

/// What the cache holds of the name under an id.
fn kept(core: &mut Core, isolation: &str, now: Instant) -> Option<Fetched> {
    core.cached(&id(isolation), &key(), now)
}

#[test]
fn a_source_can_shorten_the_time_for_which_a_value_is_kept() {
    let begin = Instant::now();
    let nearly = |time: Duration| begin + time - Duration::from_millis(1);
    for (keep_at_most, time) in [
        (None, TTL),
        (Some(MOST), MOST),
        (Some(Duration::from_secs(3600)), TTL),
    ] {
        let fetched = value("old");
        let heard = SourceReply {
            fetched,
            keep_at_most,
        };
        let mut core = with(heard, begin);
        assert_eq!(kept(&mut core, "a", nearly(time)), Some(value("old")));
        assert_eq!(kept(&mut core, "a", begin + time), None);
    }
}

#[test]
fn what_is_learned_replaces_what_is_kept_and_nothing_else() {
    let begin = Instant::now();
    let heard = || SourceReply {
        fetched: value("old"),
        keep_at_most: Some(MOST),
    };
    let later = begin + MOST / 2;
    let mut core = with(heard(), begin);
    core.learned(&id("b"), key(), value("new"), later);
    assert!(core.take_forgotten().is_empty());
    assert_eq!(kept(&mut core, "b", later), None);
    assert_eq!(kept(&mut core, "a", later), Some(value("old")));
    core.learned(&id("a"), key(), value("new"), later);
    assert!(core.take_forgotten().is_empty());
    assert_eq!(kept(&mut core, "a", begin + TTL), Some(value("new")));
    assert_eq!(kept(&mut core, "a", later + TTL), None);
    // Too late: nobody has asked for it for a while.
    let mut core = with(heard(), begin);
    core.learned(&id("a"), key(), value("new"), begin + MOST);
    assert!(core.take_forgotten().is_empty());
    assert_eq!(kept(&mut core, "a", begin + MOST), None);
}
