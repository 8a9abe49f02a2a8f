use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;

use super::*;
use crate::source::electrum::testing::bounds;

type Answer = dyn Fn(usize, &Server, Instant) -> Result<FakeLink, FetchError> + Send + Sync;

/// Servers that are made up, and what was dialled.
struct Servers {
    answer: Box<Answer>,
    calls: Arc<Calls>,
}

#[derive(Default)]
struct Calls {
    state: Mutex<DialLog>,
    changed: Condvar,
}

#[derive(Default)]
struct DialLog {
    dialled: Vec<(Server, Instant)>,
    /// Servers that are not trusted.
    untrusted: Vec<Server>,
    is_gone: bool,
}

impl Calls {
    fn state(&self) -> MutexGuard<'_, DialLog> {
        self.state.lock().unwrap()
    }

    fn dialled(&self) -> Vec<(Server, Instant)> {
        self.state().dialled.clone()
    }

    /// Waits for something to have happened, but not for ever.
    fn wait(&self, mut has_happened: impl FnMut(&DialLog) -> bool) {
        let waiting = |state: &mut DialLog| !has_happened(state);
        let waited = self
            .changed
            .wait_timeout_while(self.state(), seconds(30), waiting);
        assert!(!waited.unwrap().1.timed_out());
    }
}

impl Dial for Servers {
    type Link = FakeLink;

    fn trusts(&self, server: &Server) -> bool {
        !self.calls.state().untrusted.contains(server)
    }

    fn dial(&self, server: &Server, deadline: Instant, _: &Cancel) -> Result<FakeLink, FetchError> {
        let number = {
            let mut state = self.calls.state();
            state.dialled.push((server.clone(), deadline));
            self.calls.changed.notify_all();
            state.dialled.len()
        };
        (self.answer)(number, server, deadline)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.calls.state().is_gone = true;
        self.calls.changed.notify_all();
    }
}

/// A pool whose connections come about as `answer` says, given how many were
/// dialled.
fn pool(
    servers: Vec<Server>,
    answer: impl Fn(usize, &Server, Instant) -> Result<FakeLink, FetchError> + Send + Sync + 'static,
) -> (Pool<Servers>, Arc<Calls>) {
    wary_pool(servers, &[], answer)
}

/// The same, with servers that are not trusted yet.
fn wary_pool(
    servers: Vec<Server>,
    untrusted: &[Server],
    answer: impl Fn(usize, &Server, Instant) -> Result<FakeLink, FetchError> + Send + Sync + 'static,
) -> (Pool<Servers>, Arc<Calls>) {
    let calls = Arc::<Calls>::default();
    calls.state().untrusted = untrusted.to_vec();
    let dial = Servers {
        answer: Box::new(answer),
        calls: Arc::clone(&calls),
    };
    let pool = Pool::new(dial, servers.clone());
    servers.iter().for_each(|server| pool.met(server));
    (pool, calls)
}

fn answers(server: &Server) -> Result<FakeLink, FetchError> {
    Ok(FakeLink::new(server))
}

fn refuses() -> Result<FakeLink, FetchError> {
    Err(FetchError::new(FetchErrorKind::Unreachable, "refused"))
}

#[test]
fn lookups_of_one_id_share_its_two_connections() {
    // The first of either slot takes until all have asked.
    let barrier = Arc::new(Barrier::new(16));
    let slow = Arc::clone(&barrier);
    let (pool, calls) = pool(servers(&[("a", 9), ("b", 9)]), move |_, server, _| {
        slow.wait();
        answers(server)
    });
    let links: Vec<(usize, Arc<FakeLink>)> = thread::scope(|scope| {
        let asking: Vec<_> = (0..16)
            .map(|number| {
                let (pool, barrier) = (&pool, &barrier);
                scope.spawn(move || {
                    let slot = number % 2;
                    if number >= 2 {
                        barrier.wait();
                    }
                    (slot, pool.slot(&id(1), slot, &bounds(seconds(30))).unwrap())
                })
            })
            .collect();
        asking
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(calls.dialled().len(), 2);
    let distinct: HashSet<_> = links
        .iter()
        .map(|(slot, link)| (*slot, Arc::as_ptr(link)))
        .collect();
    assert_eq!(distinct.len(), 2);
    assert_ne!(links[0].1.operator(), links[1].1.operator());
}

#[test]
fn after_a_failure_another_server_is_tried() {
    let (pool, calls) = pool(servers(&[("a", 9)]), |number, server, _| match number {
        1..3 => refuses(),
        _ => answers(server),
    });
    let link = pool.slot(&id(1), 0, &bounds(seconds(30))).unwrap();
    let dialled = calls.dialled();
    assert_eq!(dialled[2].0, link.server);
    let distinct: HashSet<_> = dialled.iter().map(|(server, _)| server).collect();
    assert_eq!(distinct.len(), 3);
}

/// A proxy that is not there refuses at once, again and again.
#[test]
fn where_nothing_answers_a_few_servers_are_tried_and_no_more() {
    let (pool, calls) = pool(servers(&[("a", 2)]), |_, _, _| refuses());
    let bounds = bounds(seconds(3));
    let failure = pool.slot(&id(1), 0, &bounds).unwrap_err();
    assert_eq!(failure.kind, FetchErrorKind::Unreachable);
    assert!(calls.dialled().len() <= 6, "{}", calls.dialled().len());
    assert!(Instant::now() < bounds.deadline);
}

/// No attempt takes what another one needs, and none gets too little to be worth
/// making.
#[test]
fn a_server_that_hangs_leaves_time_for_another() {
    let (pool, calls) = pool(servers(&[("a", 9)]), |_, _, _| refuses());
    let begun = Instant::now();
    let _ = pool.slot(&id(1), 0, &bounds(seconds(60)));
    let (_, deadline) = calls.dialled()[0];
    assert!(deadline >= begun + seconds(30) && deadline < begun + seconds(35));
    let short = bounds(seconds(2));
    let _ = pool.slot(&id(2), 0, &short);
    let (_, deadline) = *calls.dialled().last().unwrap();
    assert_eq!(deadline, short.deadline);
}

#[test]
fn nobody_waits_longer_than_the_limit() {
    let (pool, calls) = pool(servers(&[("a", 9)]), |_, server, _| answers(server));
    let failure = pool.slot(&id(1), 0, &bounds(Duration::ZERO)).unwrap_err();
    assert_eq!(failure.kind, FetchErrorKind::TimedOut);
    let cancelled = bounds(seconds(30));
    cancelled.cancel.set();
    assert!(pool.slot(&id(1), 0, &cancelled).is_err());
    assert!(calls.dialled().is_empty());
    // Nor for one that another lookup opens.
    let opening = pool.0.plan().slot(&id(1), 0, false, Instant::now());
    assert!(matches!(opening, SlotReply::Dial(_)));
    let waiting = bounds(Duration::from_millis(100));
    let failure = pool.slot(&id(1), 0, &waiting).unwrap_err();
    assert_eq!(failure.kind, FetchErrorKind::TimedOut);
}

#[test]
fn a_panic_leaves_no_slot_behind() {
    let (pool, _) = pool(servers(&[("a", 9)]), |number, server, _| match number {
        1 => panic!("on purpose"),
        _ => answers(server),
    });
    let slot = || pool.slot(&id(1), 0, &bounds(seconds(5)));
    assert!(catch_unwind(AssertUnwindSafe(slot)).is_err());
    assert!(slot().is_ok());
}

/// Each panic costs one connection of the pool, not a place in it.
#[test]
fn a_panic_leaves_no_place_in_the_pool_behind() {
    let (pool, calls) = pool(
        servers(&[("a", 20), ("b", 20)]),
        |number, server, _| match number {
            1..=6 => panic!("on purpose"),
            _ => answers(server),
        },
    );
    pool.start();
    calls.wait(|state| state.dialled.len() > 6);
}

#[test]
fn what_failed_is_closed_and_what_was_banned_too() {
    let (pool, _) = pool(servers(&[("a", 9), ("b", 9)]), |_, server, _| {
        answers(server)
    });
    let link = pool.slot(&id(1), 0, &bounds(seconds(30))).unwrap();
    pool.failed(&id(1), &link, Fault::Broken);
    assert_eq!(link.closes(), 1);
    let ready = Arc::new(FakeLink::new(&server("a", 0, "example")));
    let kept = Some(Arc::clone(&ready));
    let refused = pool.0.plan().opened(&ready.server, kept, Instant::now());
    assert!(refused.is_none());
    pool.ban(&ready.server);
    assert_eq!(ready.closes(), 1);
}

#[test]
fn the_threads_end_with_the_pool() {
    let (pool, calls) = pool(servers(&[("a", 9), ("b", 9)]), |_, server, _| {
        answers(server)
    });
    pool.start();
    calls.wait(|state| !state.dialled.is_empty());
    drop(pool);
    calls.wait(|state| state.is_gone);
}

/// A server that does not read holds up neither the clock nor anything else.
#[test]
fn a_stuck_ping_does_not_stop_the_clock() {
    struct Stuck(Server, Arc<Barrier>);
    impl Link for Stuck {
        fn server(&self) -> &Server {
            &self.0
        }
        fn is_alive(&self) -> bool {
            true
        }
        fn keep_alive(&self) {
            self.1.wait();
        }
        fn close(&self) {}
    }
    let barrier = Arc::new(Barrier::new(2));
    let hand = spawn_worker::<Stuck>();
    let server = servers(&[("a", 1)]).remove(0);
    let link = Arc::new(Stuck(server, Arc::clone(&barrier)));
    // Neither of these waits for the ping.
    hand.send(Job::Ping(Arc::clone(&link))).unwrap();
    hand.send(Job::Close(link)).unwrap();
    drop(hand);
    barrier.wait();
}

#[test]
fn a_lookup_waits_until_a_server_is_trusted() {
    let all = servers(&[("a", 2), ("b", 2)]);
    let (pool, calls) = wary_pool(all.clone(), &all, |_, server, _| answers(server));
    // It says so before the query's end, not at its own.
    let short = Bounds {
        due: Instant::now() + WAITER_POLL,
        ..bounds(seconds(30))
    };
    let failure = pool.slot(&id(1), 0, &short);
    assert_eq!(failure.unwrap_err().kind, FetchErrorKind::NotReady);
    thread::scope(|scope| {
        let slots = [0, 1].map(|index| {
            let pool = &pool;
            scope.spawn(move || pool.slot(&id(1), index, &bounds(seconds(30))).unwrap())
        });
        calls
            .state()
            .untrusted
            .retain(|one| *one != all[1] && *one != all[2]);
        all.iter().for_each(|server| pool.met(server));
        let mut taken = slots.map(|slot| slot.join().unwrap().server.clone());
        taken.sort_by_key(ToString::to_string);
        assert_eq!(taken, [all[1].clone(), all[2].clone()]);
    });
    assert_eq!(calls.dialled().len(), 2, "nobody else was tried");
}
