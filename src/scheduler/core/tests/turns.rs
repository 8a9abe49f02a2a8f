//! Whose fetch begins, and whose lookup is evaluated, when not all can be.

use std::time::Duration;

use super::super::*;
use crate::scheduler::CacheLimits;

const PATIENCE: Duration = Duration::from_secs(20);

fn ticket(number: u64) -> Ticket {
    Ticket { client: 1, number }
}

fn id(text: &str) -> IsolationId {
    IsolationId::parse(text.as_bytes()).unwrap()
}

struct World {
    core: Core,
    now: Instant,
    last: u64,
}

impl World {
    fn new(slots: usize, slots_per_isolation: usize, evaluations: usize) -> Self {
        let limits = Limits {
            slots,
            slots_per_isolation,
            evaluations,
            queries: 100,
            queries_per_isolation: 100,
            background: 10 * PATIENCE,
            ttl: PATIENCE,
            negative_ttl: PATIENCE,
            cache: CacheLimits {
                entries: 100,
                isolations: 100,
                bytes: 1 << 20,
            },
        };
        Self {
            core: Core::new(limits),
            now: Instant::now(),
            last: 0,
        }
    }

    fn ask(&mut self, isolation: &str, name: &str) -> u64 {
        self.last += 1;
        let query = Query::parse(format!("{name}.bit").as_bytes(), false).unwrap();
        let due = self.now + PATIENCE;
        let effects = self
            .core
            .ask(ticket(self.last), &id(isolation), query, due, self.now);
        assert!(effects.is_empty());
        self.last
    }

    /// The deadlines of all queries come.
    fn expire(&mut self) {
        self.now += PATIENCE;
        assert!(!self.core.tick(self.now).is_empty());
    }

    fn begin(&mut self) -> Option<Job> {
        self.core.next_job(self.now)
    }

    /// The name of the fetch that begins.
    fn begun(&mut self) -> Option<String> {
        self.begin()
            .map(|job| job.key.name().unwrap().as_str().to_owned())
    }

    fn end(&mut self, job: Job) {
        let value = Fetched::Value(b"{}"[..].into());
        self.core.fetched(job, Ok(value), 1.0, self.now);
    }

    fn fail(&mut self, job: Job, kind: FetchErrorKind, pause_factor: f64) {
        let failure = Err::<Fetched, _>(FetchError::new(kind, "scripted"));
        self.core.fetched(job, failure, pause_factor, self.now);
    }
}

#[test]
fn ids_take_turns() {
    let mut world = World::new(100, 100, 1);
    for number in 0..50 {
        world.ask("many", &format!("m{number}"));
    }
    world.ask("one", "o");
    let begun = [(); 3].map(|()| world.begun().unwrap());
    assert_eq!(begun, ["d/m0", "d/o", "d/m1"]);
}

#[test]
fn slots_are_bounded_in_all_and_for_each_id() {
    let mut world = World::new(3, 2, 1);
    for number in 0..10 {
        world.ask("a", &format!("a{number}"));
    }
    let first = world.begin().unwrap();
    assert!(world.begin().is_some());
    assert!(world.begin().is_none(), "two of one id");
    world.ask("b", "b0");
    world.ask("b", "b1");
    assert_eq!(world.begun().unwrap(), "d/b0");
    assert!(world.begin().is_none(), "three in all");
    assert_eq!(world.core.under_way(), 3);
    world.end(first);
    // Both ids want the slot: one gets it.
    assert!(world.begin().is_some());
    assert!(world.begin().is_none());
}

#[test]
fn what_nobody_waits_for_yields_its_slot() {
    let mut world = World::new(1, 1, 1);
    world.ask("a", "a0");
    let unwatched = world.begin().unwrap();
    world.expire();
    world.ask("b", "b0");
    let second = world.begin().unwrap();
    assert!(unwatched.limit.cancel.is_set());
    assert_eq!(world.core.under_way(), 2);
    assert!(!world.core.is_idle());
    // As many may have yielded as there are slots, no more.
    world.expire();
    world.ask("b", "b1");
    assert!(world.begin().is_none());
    assert!(!second.limit.cancel.is_set());
    world.end(unwatched);
    assert_eq!(world.begun().unwrap(), "d/b1");
    assert!(second.limit.cancel.is_set());
}

/// An id at its own bound takes no slot of another, though that yields.
#[test]
fn an_id_at_its_bound_frees_a_slot_of_its_own() {
    let mut world = World::new(3, 1, 1);
    world.ask("other", "o");
    let other = world.begin().unwrap();
    world.expire();
    world.ask("a", "a0");
    let own = world.begin().unwrap();
    world.ask("a", "a1");
    assert!(world.begin().is_none());
    world.expire();
    world.ask("a", "a2");
    assert_eq!(world.begun().unwrap(), "d/a2");
    assert!(own.limit.cancel.is_set() && !other.limit.cancel.is_set());
}

/// A lookup that outlived its query needs another name: that is fetched in a
/// free slot, after all that a query waits for.
#[test]
fn what_nobody_waits_for_begins_last_and_in_free_slots_only() {
    let mut world = World::new(2, 2, 1);
    world.ask("a", "a0");
    let job = world.begin().unwrap();
    world.expire();
    let value = br#"{"import":"d/imported"}"#;
    let value = Fetched::Value(value[..].into());
    world.core.fetched(job, Ok(value), 1.0, world.now);
    let mut task = world.core.next_task().unwrap();
    let step = task.evaluation.step();
    let _ = world.core.evaluated(task, step, world.now);
    world.ask("b", "b0");
    world.ask("b", "b1");
    let first = world.begin().unwrap();
    assert_eq!(first.key.name().unwrap().as_str(), "d/b0");
    assert_eq!(world.begun().unwrap(), "d/b1");
    assert!(world.begin().is_none(), "no slot is free");
    world.end(first);
    assert_eq!(world.begun().unwrap(), "d/imported");
}

#[test]
fn ids_take_turns_at_evaluation_and_have_one_each() {
    let mut world = World::new(100, 100, 2);
    for (isolation, name) in [
        ("many", "m0"),
        ("many", "m1"),
        ("many", "m2"),
        ("one", "o"),
        ("two", "t"),
    ] {
        world.ask(isolation, name);
        let job = world.begin().unwrap();
        world.end(job);
    }
    let name = |task: &Task| task.evaluation.query().name().to_ascii();
    let end = |world: &mut World, mut task: Task| {
        let step = task.evaluation.step();
        assert_eq!(world.core.evaluated(task, step, world.now).len(), 1);
    };
    let first = world.core.next_task().unwrap();
    let second = world.core.next_task().unwrap();
    assert_eq!(
        (name(&first), name(&second)),
        ("m0.bit.".into(), "o.bit.".into())
    );
    assert!(world.core.next_task().is_none(), "both places are taken");
    end(&mut world, second);
    let third = world.core.next_task().unwrap();
    assert_eq!(name(&third), "t.bit.", "not a second of the same id");
    end(&mut world, third);
    assert!(world.core.next_task().is_none());
    end(&mut world, first);
    assert_eq!(name(&world.core.next_task().unwrap()), "m1.bit.");
}

#[test]
fn a_client_that_is_gone_leaves_nothing_behind() {
    let mut world = World::new(1, 1, 1);
    for name in ["a0", "a1"] {
        world.ask("a", name);
    }
    let job = world.begin().unwrap();
    world.core.cancel_all(2);
    assert_eq!(world.core.unanswered(), 2);
    world.core.cancel_all(1);
    assert!(job.limit.cancel.is_set());
    world.end(job);
    assert!(world.core.is_idle());
    assert_eq!(world.core.unanswered(), 0);
}

/// Only what is under way goes on for nobody, and no more lookups than there may
/// be queries: also if their last query is withdrawn after an earlier one has
/// run out.
#[test]
fn what_is_withdrawn_late_goes_on_only_if_it_is_under_way() {
    let mut world = World::new(1, 1, 1);
    world.ask("a", "slow");
    let slow = world.begin().unwrap();
    world.ask("b", "waits");
    world.now += PATIENCE / 2;
    let late = world.ask("b", "waits");
    let early = world.ask("a", "slow");
    world.now += PATIENCE / 2;
    assert_eq!(world.core.tick(world.now).len(), 2);
    for number in [late, early] {
        world.core.cancel(ticket(number));
    }
    assert!(!slow.limit.cancel.is_set(), "it is under way");
    world.end(slow);
    assert!(
        world.begin().is_none(),
        "nobody waits for what has not begun"
    );
}

#[test]
fn no_more_lookups_go_on_for_nobody_than_there_may_be_queries() {
    let mut world = World::new(1000, 1000, 1);
    for round in 0..5 {
        let asked: Vec<_> = (0..40)
            .map(|number| {
                let name = format!("n{round}-{number}");
                world.ask("a", &name);
                assert!(world.begin().is_some());
                name
            })
            .collect();
        world.now += PATIENCE / 2;
        let late: Vec<_> = asked.iter().map(|name| world.ask("a", name)).collect();
        world.now += PATIENCE / 2;
        assert_eq!(world.core.tick(world.now).len(), 40);
        for number in late {
            world.core.cancel(ticket(number));
        }
        assert!(world.core.lookups() <= 100, "{}", world.core.lookups());
    }
    assert_eq!(world.core.lookups(), 100);
}

#[test]
fn pauses_between_attempts_double_up_to_a_bound() {
    for factor in [1.0, 0.5] {
        let mut world = World::new(1, 1, 1);
        world.ask("a", "x");
        for millis in [100, 200, 400, 800, 1600, 3000, 3000] {
            let pause = Duration::from_millis(millis).mul_f64(factor);
            let job = world.begin().unwrap();
            world.fail(job, FetchErrorKind::Unreachable, factor);
            assert_eq!(world.core.next_tick(), Some(world.now + pause));
            assert!(world.begin().is_none());
            world.now += pause;
            assert!(world.core.tick(world.now).is_empty());
        }
    }
}

/// A fetch that began so long before the client asked again, after its first
/// query had run out.
fn asked_again_after(time: Duration) -> (World, Job) {
    let mut world = World::new(2, 2, 1);
    world.ask("a", "x");
    world.now += PATIENCE - time;
    let first = world.begin().unwrap();
    world.now += time;
    assert_eq!(world.core.tick(world.now).len(), 1);
    world.ask("a", "x");
    (world, first)
}

#[test]
fn a_request_is_thought_lost_after_three_seconds() {
    let suspect = Duration::from_secs(3);
    let (mut world, first) = asked_again_after(suspect);
    let second = world.begin().unwrap();
    assert_eq!(second.key, first.key);
    let (mut world, _first) = asked_again_after(suspect - Duration::from_nanos(1));
    assert!(world.begin().is_none());
}

#[test]
fn the_first_value_of_a_repeated_request_decides() {
    let (mut world, first) = asked_again_after(PATIENCE);
    let second = world.begin().unwrap();
    world.end(first);
    assert!(second.limit.cancel.is_set());
    assert!(world.core.next_task().is_some());
}

#[test]
fn the_failure_of_a_lost_request_decides_nothing() {
    let (mut world, first) = asked_again_after(PATIENCE);
    let second = world.begin().unwrap();
    world.fail(first, FetchErrorKind::Credentials, 1.0);
    assert!(!second.limit.cancel.is_set());
    assert!(world.core.next_task().is_none());
    world.end(second);
    assert!(world.core.next_task().is_some());
}
