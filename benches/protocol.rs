//! Lines in, lines out, without the streams: `cargo bench --bench protocol`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::sync::Arc;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use ncprop279::config::settings::MissingIsolation;
use ncprop279::door::stdio::line::{Line, LineReader};
use ncprop279::door::stdio::request::{QueryId, Request};
use ncprop279::door::stdio::response::resolved;
use ncprop279::door::stdio::session::{Options, Session};
use ncprop279::policy::{CachedAnswer, Query, Status, Verdict};

const LINE: &[u8] = b"RESOLVE 31337 www.example.bit isolation-id-1";
const LINES: usize = 1000;

fn session() -> Session {
    Session::new(Options {
        only_onion: false,
        missing_isolation: MissingIsolation::Refuse,
    })
}

/// Finding the ends of lines.
#[divan::bench]
fn lines(bencher: Bencher) {
    let input = [LINE, b"\n"].concat().repeat(LINES);
    bencher
        .counter(ItemsCount::new(LINES))
        .counter(BytesCount::of_slice(&input))
        .bench(|| {
            let mut reader = LineReader::new(&input[..]);
            while let Some(line) = reader.next_line().unwrap() {
                divan::black_box(line);
            }
        });
}

/// A line to a request.
#[divan::bench]
fn request() -> Request<'static> {
    Request::parse(divan::black_box(LINE))
}

/// A name to what is looked up, which a kept answer does without.
#[divan::bench]
fn query() -> Result<Query, Verdict> {
    Query::parse(divan::black_box(b"www.example.bit"), false)
}

/// A line that a kept answer belongs to, up to the bytes of the answer.
#[divan::bench]
fn kept_answer(bencher: Bencher) {
    let answer = Arc::new(CachedAnswer::new(Verdict::Address([192, 0, 2, 1].into())));
    bencher.with_inputs(session).bench_refs(|session| {
        let line = Line::Complete(divan::black_box(LINE));
        let action = session.line(line, |_, _, _| Some(Arc::clone(&answer)), |_| {});
        assert!(action.is_none());
        session.out.len()
    });
}

/// An answer with a message in quotes.
#[divan::bench]
fn message(bencher: Bencher) {
    let id = QueryId::parse(b"31337").unwrap();
    bencher.with_inputs(Vec::new).bench_refs(|out| {
        let message = "www.example.bit is not registered";
        resolved(out, &id, Status::NotRegistered, divan::black_box(message));
    });
}

fn main() {
    divan::main();
}
