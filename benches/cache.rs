//! What a hit and a miss cost with as much kept for many ids as may be:
//! `cargo bench --bench cache`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::time::{Duration, Instant};

use divan::Bencher;
use ncprop279::isolation::IsolationId;
use ncprop279::policy::{Query, Question};
use ncprop279::scheduler::{CacheLimits, Core, Limits, Ticket};
use ncprop279::snapshot::{Fetched, NameKey};

const ENTRIES: usize = 100;
const TTL: Duration = Duration::from_secs(600);

fn id(number: usize) -> IsolationId {
    IsolationId::parse(format!("isolation-{number}").as_bytes()).unwrap()
}

fn name(number: usize) -> String {
    format!("name{number}.bit")
}

/// Resolves a name, as a client and a node would have it done.
fn resolve(core: &mut Core, isolation: &IsolationId, number: usize, now: Instant) {
    let query = Query::parse(name(number).as_bytes(), false).unwrap();
    let ticket = Ticket {
        client: 1,
        number: 1,
    };
    let _ = core.ask(ticket, isolation, query, now + TTL, now);
    let job = core.next_job(now).unwrap();
    let value = Fetched::Value(br#"{"ip":"192.0.2.1"}"#.as_slice().into());
    core.fetched(job, Ok(value), 1.0, now);
    let mut task = core.next_task().unwrap();
    let step = task.evaluation.step();
    let answers = core.evaluated(task, step, now);
    assert_eq!(answers.len(), 1);
    let _ = core.take_forgotten();
}

/// So many ids, each with as many names and answers as it may have.
fn full(ids: usize, now: Instant) -> Core {
    let mut core = Core::new(Limits {
        slots: 1,
        slots_per_isolation: 1,
        evaluations: 1,
        queries: 1,
        queries_per_isolation: 1,
        background: TTL,
        ttl: TTL,
        negative_ttl: TTL,
        cache: CacheLimits {
            entries: ENTRIES,
            isolations: ids,
            bytes: 1 << 30,
        },
    });
    for number in 0..ids * ENTRIES {
        resolve(&mut core, &id(number / ENTRIES), number % ENTRIES, now);
    }
    core
}

#[divan::bench(args = [1, 1000])]
fn answer(bencher: Bencher, ids: usize) {
    let now = Instant::now();
    let mut core = full(ids, now);
    let (id, question) = (id(ids / 2), Question::new(b"name50.bit", false).unwrap());
    bencher.bench_local(|| {
        core.answer(id.as_bytes(), question.as_bytes(), now)
            .unwrap()
    });
}

#[divan::bench(args = [1, 1000])]
fn value_of_a_name(bencher: Bencher, ids: usize) {
    let now = Instant::now();
    let mut core = full(ids, now);
    let (id, key) = (id(ids / 2), NameKey::new("d/name50").unwrap());
    bencher.bench_local(|| core.cached(&id, &key, now).unwrap());
}

/// Another name for an id that keeps as much as it may, from question to answer.
#[divan::bench(args = [1, 1000])]
fn another_name(bencher: Bencher, ids: usize) {
    let now = Instant::now();
    let mut core = full(ids, now);
    let id = id(ids / 2);
    let mut number = ENTRIES;
    bencher.bench_local(|| {
        number += 1;
        resolve(&mut core, &id, number, now);
    });
}

fn main() {
    divan::main();
}
