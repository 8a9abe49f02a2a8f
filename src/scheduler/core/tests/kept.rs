//! What activities keep beside each other: the bounds that they share.

use std::time::Duration;

use super::super::*;
use crate::scheduler::CacheLimits;
use crate::source::SourceReply;

const CACHE: CacheLimits = CacheLimits {
    entries: 3,
    isolations: 2,
    bytes: 1 << 20,
};
const MINUTE: Duration = Duration::from_secs(60);

fn ticket(number: u64) -> Ticket {
    Ticket { client: 1, number }
}

fn id(text: &str) -> IsolationId {
    IsolationId::parse(text.as_bytes()).unwrap()
}

fn key(name: &str) -> NameKey {
    NameKey::new(&format!("d/{name}")).unwrap()
}

struct World {
    core: Core,
    now: Instant,
    last: u64,
}

impl World {
    fn new(cache: CacheLimits) -> Self {
        let limits = Limits {
            slots: 4,
            slots_per_isolation: 4,
            evaluations: 4,
            queries: 10,
            queries_per_isolation: 10,
            background: Duration::ZERO,
            ttl: MINUTE,
            negative_ttl: MINUTE,
            cache,
        };
        Self {
            core: Core::new(limits),
            now: Instant::now(),
            last: 0,
        }
    }

    /// Resolves a name whose value has so many bytes more than it needs. The
    /// ids that were forgotten for it.
    fn resolve(&mut self, isolation: &str, name: &str, more: usize) -> Vec<IsolationId> {
        self.last += 1;
        let query = Query::parse(format!("{name}.bit").as_bytes(), false).unwrap();
        let due = self.now + MINUTE;
        let effects = self
            .core
            .ask(ticket(self.last), &id(isolation), query, due, self.now);
        assert!(effects.is_empty());
        let mut answers = Vec::new();
        while answers.is_empty() {
            if let Some(job) = self.core.next_job(self.now) {
                let value = format!("{{\"ip\":\"192.0.2.1\",\"x\":\"{}\"}}", "x".repeat(more));
                let value = Fetched::Value(value.into_bytes().into());
                self.core
                    .fetched(job, Ok(SourceReply::from(value)), 1.0, self.now);
            }
            let mut task = self.core.next_task().unwrap();
            let step = task.evaluation.step();
            answers = self.core.evaluated(task, step, self.now);
        }
        assert_eq!(answers.len(), 1);
        assert!(self.core.is_idle());
        self.core.take_forgotten()
    }

    fn keeps(&mut self, isolation: &str, name: &str) -> bool {
        let value = self.core.cached(&id(isolation), &key(name), self.now);
        value.is_some()
    }

    fn answers(&mut self, isolation: &str, name: &str) -> bool {
        let query = Query::parse(format!("{name}.bit").as_bytes(), false).unwrap();
        let question = query.question().unwrap();
        let answer = self
            .core
            .answer(isolation.as_bytes(), question.as_bytes(), self.now);
        answer.is_some()
    }

    /// Bytes, counted anew.
    fn bytes(&self) -> usize {
        let activities = self.core.activities.iter();
        activities.map(|(_, activity)| activity.share().bytes).sum()
    }
}

#[test]
fn an_id_sees_only_what_is_its_own() {
    let mut world = World::new(CACHE);
    world.resolve("a", "x", 0);
    assert!(world.keeps("a", "x") && world.answers("a", "x"));
    for other in ["b", "A", "aa"] {
        assert!(!world.keeps(other, "x") && !world.answers(other, "x"));
    }
    for other in ["", "\n"] {
        assert!(!world.answers(other, "x"));
    }
    let shared = IsolationId::shared();
    assert_eq!(world.core.cached(&shared, &key("x"), world.now), None);
}

#[test]
fn the_least_recently_used_id_goes_first_and_is_told() {
    let mut world = World::new(CACHE);
    assert_eq!(world.resolve("a", "x", 0), []);
    assert_eq!(world.resolve("b", "x", 0), []);
    assert!(world.answers("a", "x"));
    assert_eq!(world.resolve("c", "x", 0), [id("b")]);
    assert!(world.keeps("a", "x") && !world.keeps("b", "x"));
    assert_eq!(world.core.keeping(), 2);
    assert_eq!(world.core.kept_bytes(), world.bytes());
}

/// One that only waits has nothing to lose, and takes no place of another.
#[test]
fn an_id_that_keeps_nothing_is_passed_over() {
    let mut world = World::new(CACHE);
    let query = Query::parse(b"slow.bit", false).unwrap();
    let due = world.now + MINUTE;
    let _ = world
        .core
        .ask(ticket(100), &id("waits"), query, due, world.now);
    let job = world.core.next_job(world.now).unwrap();
    let idle = |world: &World| {
        let activity = world.core.activities.peek(&id("waits"));
        !activity.unwrap().is_idle()
    };
    for (other, gone) in [("a", None), ("b", None), ("c", Some("a"))] {
        let query = Query::parse(b"x.bit", false).unwrap();
        let _ = world.core.ask(ticket(1), &id(other), query, due, world.now);
        let other = world.core.next_job(world.now).unwrap();
        let value = SourceReply::from(Fetched::Value(b"{}"[..].into()));
        world.core.fetched(other, Ok(value), 1.0, world.now);
        let mut task = world.core.next_task().unwrap();
        let step = task.evaluation.step();
        let _ = world.core.evaluated(task, step, world.now);
        assert_eq!(
            world.core.take_forgotten(),
            gone.map(id).into_iter().collect::<Vec<_>>()
        );
        assert!(idle(&world));
    }
    // What comes for it then is kept, in the place of another.
    let value = SourceReply::from(Fetched::Value(b"{}"[..].into()));
    world.core.fetched(job, Ok(value), 1.0, world.now);
    assert_eq!(world.core.take_forgotten(), [id("b")]);
    assert!(world.keeps("waits", "slow"));
}

/// An id that is evicted while something is under way for it is forgotten by the
/// source when that has ended: before, it would end what is under way.
#[test]
fn a_busy_id_that_is_evicted_is_forgotten_at_its_end() {
    let mut world = World::new(CACHE);
    world.resolve("a", "x", 0);
    let query = Query::parse(b"slow.bit", false).unwrap();
    let due = world.now + MINUTE;
    let _ = world.core.ask(ticket(100), &id("a"), query, due, world.now);
    let job = world.core.next_job(world.now).unwrap();
    for other in ["b", "c"] {
        let query = Query::parse(b"x.bit", false).unwrap();
        let _ = world.core.ask(ticket(1), &id(other), query, due, world.now);
        let other = world.core.next_job(world.now).unwrap();
        let value = SourceReply::from(Fetched::Value(b"{}"[..].into()));
        world.core.fetched(other, Ok(value), 1.0, world.now);
        assert_eq!(world.core.take_forgotten(), []);
        let mut task = world.core.next_task().unwrap();
        let step = task.evaluation.step();
        let _ = world.core.evaluated(task, step, world.now);
    }
    assert!(!world.keeps("a", "x"));
    assert_eq!(job.isolation, id("a"));
    assert!(!job.limit.cancel.is_set());
    world.core.cancel(ticket(100));
    assert_eq!(world.core.take_forgotten(), [], "its request has not ended");
    let failure = FetchError::new(FetchErrorKind::TimedOut, "cancelled");
    world
        .core
        .fetched(job, Err::<SourceReply, _>(failure), 1.0, world.now);
    assert_eq!(world.core.take_forgotten(), [id("a")]);
}

#[test]
fn what_runs_out_is_swept_and_its_id_told() {
    let mut world = World::new(CACHE);
    world.resolve("a", "x", 0);
    let end = world.now + MINUTE;
    let nearly = end - Duration::from_nanos(1);
    world.core.sweep(nearly);
    assert_eq!(world.core.take_forgotten(), []);
    world.core.sweep(end);
    assert_eq!(world.core.take_forgotten(), [id("a")]);
    assert_eq!((world.core.kept_bytes(), world.core.keeping()), (0, 0));
}

#[test]
fn nothing_is_kept_of_values_that_have_changed() {
    let mut world = World::new(CACHE);
    world.resolve("a", "x", 0);
    world.core.invalidate();
    assert!(!world.keeps("a", "x") && !world.answers("a", "x"));
    assert_eq!((world.core.kept_bytes(), world.core.keeping()), (0, 0));
}

/// Its value may be from before the change.
#[test]
fn what_was_asked_before_values_changed_is_not_kept() {
    let mut world = World::new(CACHE);
    let query = Query::parse(b"x.bit", false).unwrap();
    let due = world.now + MINUTE;
    let _ = world.core.ask(ticket(1), &id("a"), query, due, world.now);
    let job = world.core.next_job(world.now).unwrap();
    world.core.invalidate();
    let value = SourceReply::from(Fetched::Value(b"{}"[..].into()));
    world.core.fetched(job, Ok(value), 1.0, world.now);
    assert!(!world.keeps("a", "x"));
    assert!(world.core.next_task().is_some(), "but it is an answer");
}

#[test]
fn bytes_are_bounded_whatever_is_asked_for() {
    let cache = CacheLimits {
        entries: 50,
        isolations: 20,
        bytes: 40_000,
    };
    let mut world = World::new(cache);
    for n in 0..1000usize {
        let isolation = "i".repeat(1 + n % 37);
        world.resolve(&isolation, &format!("n{}", n % 61), n * 7 % 3000);
        assert!(world.core.kept_bytes() <= cache.bytes, "after {n}");
        assert_eq!(world.core.kept_bytes(), world.bytes(), "after {n}");
        assert!(world.core.keeping() <= cache.isolations);
    }
    assert!(world.core.keeping() > 1);
    // What could never fit is not kept, and costs the others nothing.
    let before = world.core.kept_bytes();
    world.resolve("new", "huge", 50_000);
    assert_eq!(world.core.kept_bytes(), before);
}

#[test]
fn the_bound_on_bytes_may_be_reached() {
    let fill = |bytes: usize| {
        let mut world = World::new(CacheLimits { bytes, ..CACHE });
        world.resolve("a", "x", 0);
        world.resolve("a", "y", 0);
        world.core.kept_bytes()
    };
    let both = fill(CACHE.bytes);
    assert_eq!(fill(both), both);
    assert!(fill(both - 1) < both);
}

#[test]
fn bounds_of_nothing_keep_nothing() {
    for (entries, isolations) in [(0, 5), (5, 0)] {
        let bytes = 1 << 20;
        let mut world = World::new(CacheLimits {
            entries,
            isolations,
            bytes,
        });
        // Nothing is put in, and so nobody is to be forgotten for it.
        assert_eq!(world.resolve("a", "x", 0), []);
        assert!(!world.keeps("a", "x"));
        assert_eq!(world.core.kept_bytes(), 0);
    }
}

/// An id costs something of its own, beside what it keeps.
#[test]
fn an_id_weighs_its_text_and_its_maps() {
    let weigh = |isolation: &str| {
        let mut world = World::new(CACHE);
        world.resolve(isolation, "x", 0);
        world.core.kept_bytes()
    };
    let activity = size_of::<Activity>();
    assert!(weigh("a") > activity, "{} > {activity}", weigh("a"));
    assert_eq!(weigh("longer") - weigh("a"), 5);
}

/// What a query asked about when its id is forgotten.
struct Asked {
    world: World,
    job: Job,
}

/// An id that keeps one name, and asks for another.
fn asked() -> Asked {
    let mut world = World::new(CACHE);
    world.resolve("a", "x", 0);
    let query = Query::parse(b"y.bit", false).unwrap();
    let due = world.now + MINUTE;
    let answers = world.core.ask(ticket(100), &id("a"), query, due, world.now);
    assert!(answers.is_empty());
    let job = world.core.next_job(world.now).unwrap();
    Asked { world, job }
}

fn a_value() -> Result<SourceReply, FetchError> {
    Ok(Fetched::Value(br#"{"ip":"192.0.2.1"}"#[..].into()).into())
}

#[test]
fn an_id_without_queries_is_forgotten_at_once_and_no_other_is() {
    let mut world = World::new(CACHE);
    world.resolve("a", "x", 0);
    world.resolve("b", "x", 0);
    world.core.forget(&id("a"));
    assert_eq!(world.core.take_forgotten(), [id("a")]);
    assert!(!world.keeps("a", "x") && !world.answers("a", "x"));
    assert!(world.keeps("b", "x") && world.answers("b", "x"));
    assert_eq!(world.core.kept_bytes(), world.bytes());
    // The source may have connections for it though nothing is kept.
    world.core.forget(&id("c"));
    assert_eq!(world.core.take_forgotten(), [id("c")]);
    assert!(world.core.is_idle());
    // What comes afterwards is kept as usual.
    world.resolve("a", "x", 0);
    assert!(world.keeps("a", "x") && world.answers("a", "x"));
}

#[test]
fn a_query_under_way_is_answered_and_leaves_nothing_behind() {
    let Asked { mut world, job } = asked();
    world.core.forget(&id("a"));
    assert_eq!(world.core.take_forgotten(), []);
    assert!(!world.keeps("a", "x"));
    world.core.fetched(job, a_value(), 1.0, world.now);
    assert!(!world.keeps("a", "y"));
    let mut task = world.core.next_task().unwrap();
    let step = task.evaluation.step();
    let answers = world.core.evaluated(task, step, world.now);
    assert!(matches!(answers[..], [(_, Verdict::Address(_))]));
    assert_eq!(world.core.take_forgotten(), [id("a")]);
    assert!(!world.keeps("a", "y") && !world.answers("a", "y"));
    assert!(world.core.is_idle());
    assert_eq!(world.core.kept_bytes(), 0);
}

/// A request that goes on for nobody is asked to stop, and what it brings all
/// the same is dropped.
#[test]
fn an_id_is_forgotten_when_its_last_request_ends() {
    let Asked { mut world, job } = asked();
    world.core.forget(&id("a"));
    world.core.cancel(ticket(100));
    assert!(job.limit.cancel.is_set());
    assert_eq!(world.core.take_forgotten(), []);
    world.core.fetched(job, a_value(), 1.0, world.now);
    assert_eq!(world.core.take_forgotten(), [id("a")]);
    assert!(!world.keeps("a", "y"));
    assert!(world.core.is_idle());
}

/// A pause between attempts is nothing that has to end first.
#[test]
fn a_pause_does_not_delay_forgetting() {
    let Asked { mut world, job } = asked();
    let failure = FetchError::new(FetchErrorKind::Unreachable, "away");
    let failed: Result<SourceReply, _> = Err(failure);
    world.core.fetched(job, failed, 1.0, world.now);
    world.core.forget(&id("a"));
    world.core.cancel(ticket(100));
    assert_eq!(world.core.take_forgotten(), [id("a")]);
    assert!(world.core.is_idle());
}
