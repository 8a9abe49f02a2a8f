//! What an activity keeps, and for how long.

use super::*;
use crate::policy::Verdict;
use crate::snapshot::{Absence, NameKey};

const ROOM: Room = Room {
    entries: 3,
    bytes: 1 << 20,
};
const MINUTE: Duration = Duration::from_secs(60);

fn key(text: &str) -> Key {
    NameKey::new(text).unwrap().into()
}

fn value(bytes: usize) -> Finding {
    Fetched::Value(vec![b'x'; bytes].into()).into()
}

fn answer() -> Arc<CachedAnswer> {
    Arc::new(CachedAnswer::new(Verdict::Host("host.example".to_owned())))
}

/// Holdings of these names, each with a value of one byte.
fn with(names: &[&str], now: Instant) -> Holdings {
    let mut holdings = Holdings::default();
    for name in names {
        holdings.keep(key(name), value(1), MINUTE, now, ROOM);
    }
    holdings
}

/// Keeps an answer that was made of values of one byte.
fn keep_answer(holdings: &mut Holdings, question: &str, made_of: &[&str], now: Instant) {
    let made_of = made_of.iter().map(|name| (key(name), value(1)));
    holdings.keep_answer(question.as_bytes(), answer(), made_of, now, ROOM);
}

fn is_kept(holdings: &mut Holdings, question: &str, now: Instant) -> bool {
    let before = holdings.bytes();
    let is_kept = holdings.answer(question.as_bytes(), now).is_some();
    assert_eq!(holdings.bytes(), holdings.weight());
    assert!(!is_kept || holdings.bytes() == before);
    is_kept
}

/// Holdings of `d/1` and `d/2`, the first for a shorter time, with an answer
/// made of both.
fn with_answer(now: Instant) -> Holdings {
    let mut holdings = with(&["d/1"], now);
    holdings.keep(key("d/2"), value(1), 2 * MINUTE, now, ROOM);
    keep_answer(&mut holdings, "q", &["d/1", "d/2"], now);
    assert!(is_kept(&mut holdings, "q", now));
    holdings
}

#[test]
fn an_answer_is_that_of_its_question() {
    let now = Instant::now();
    let mut holdings = with_answer(now);
    for other in ["Q", "", "qq"] {
        assert!(!is_kept(&mut holdings, other, now));
    }
    assert!(is_kept(&mut holdings, "q", now));
}

#[test]
fn an_answer_ends_with_the_first_value_that_runs_out() {
    let now = Instant::now();
    let mut holdings = with_answer(now);
    let end = now + MINUTE;
    assert!(is_kept(&mut holdings, "q", end - Duration::from_nanos(1)));
    assert!(!is_kept(&mut holdings, "q", end));
    // The clock of the answer is that of the values: it is gone.
    assert!(!is_kept(&mut holdings, "q", now));

    let mut holdings = with_answer(now);
    let before = holdings.bytes();
    holdings.sweep(end);
    assert!(holdings.bytes() < before - VALUE_OVERHEAD - ANSWER_OVERHEAD);
    assert!(!holdings.is_empty());
    assert!(!is_kept(&mut holdings, "q", now));
    holdings.sweep(end + MINUTE);
    assert!(holdings.is_empty());
    assert_eq!(holdings.bytes(), 0);
}

#[test]
fn an_answer_ends_with_a_value_that_is_replaced_even_by_its_like() {
    let now = Instant::now();
    for renewed in [value(1), value(2), Fetched::Absent(Absence::Expired).into()] {
        let mut holdings = with_answer(now);
        holdings.keep(key("d/2"), renewed, MINUTE, now, ROOM);
        assert!(!is_kept(&mut holdings, "q", now));
    }
}

#[test]
fn an_answer_ends_with_a_value_that_makes_room() {
    let now = Instant::now();
    let mut holdings = with_answer(now);
    for name in ["d/3", "d/4"] {
        holdings.keep(key(name), value(1), MINUTE, now, ROOM);
    }
    assert!(!is_kept(&mut holdings, "q", now));
}

#[test]
fn an_answer_uses_what_it_was_made_of() {
    let now = Instant::now();
    let mut holdings = with(&["d/1", "d/2", "d/3"], now);
    keep_answer(&mut holdings, "q", &["d/1"], now);
    assert!(is_kept(&mut holdings, "q", now));
    // `d/1` was used after `d/2`.
    holdings.keep(key("d/4"), value(1), MINUTE, now, ROOM);
    assert!(is_kept(&mut holdings, "q", now));
    assert!(holdings.value(&key("d/2"), now).is_none());
}

#[test]
fn an_answer_is_kept_only_beside_the_values_it_was_made_of() {
    let now = Instant::now();
    let mut holdings = with(&["d/1"], now);
    holdings.keep(key("d/2"), value(2), MINUTE, now, ROOM);
    let before = holdings.bytes();
    for (made_of, when) in [
        (&[][..], now),
        (&["d/2"], now),
        (&["d/1", "d/2"], now),
        (&["d/1", "d/3"], now),
        (&["d/1"], now + MINUTE),
    ] {
        keep_answer(&mut holdings, "q", made_of, when);
        assert!(!is_kept(&mut holdings, "q", now), "{made_of:?}");
    }
    assert_eq!(holdings.bytes(), before);
}

#[test]
fn answers_are_bounded_in_number() {
    let now = Instant::now();
    let mut holdings = with_answer(now);
    for question in ["r", "s", "q", "t"] {
        keep_answer(&mut holdings, question, &["d/1"], now);
    }
    let kept = ["q", "r", "s", "t"].map(|question| is_kept(&mut holdings, question, now));
    assert_eq!(kept, [true, false, true, true]);
}

#[test]
fn values_end_with_their_time() {
    let now = Instant::now();
    let mut holdings = with(&["d/x"], now);
    let later = now + MINUTE - Duration::from_nanos(1);
    assert_eq!(holdings.value(&key("d/x"), later), Some(&value(1)));
    assert_eq!(holdings.value(&key("d/x"), now + MINUTE), None);
    holdings.sweep(later);
    assert!(!holdings.is_empty());
    holdings.sweep(now + MINUTE);
    assert!(holdings.is_empty());
}

#[test]
fn the_least_recently_used_value_goes_first() {
    let now = Instant::now();
    let mut holdings = with(&["d/1", "d/2", "d/3"], now);
    assert!(holdings.value(&key("d/1"), now).is_some());
    holdings.sweep(now);
    holdings.keep(key("d/4"), value(1), MINUTE, now, ROOM);
    assert!(holdings.value(&key("d/2"), now).is_none());
    for name in ["d/1", "d/3", "d/4"] {
        assert!(holdings.value(&key(name), now).is_some(), "{name}");
    }
    assert_eq!(holdings.bytes(), holdings.weight());
}

#[test]
fn answers_make_room_before_values() {
    let now = Instant::now();
    let mut holdings = with_answer(now);
    holdings.drop_oldest();
    assert!(!is_kept(&mut holdings, "q", now));
    assert!(holdings.value(&key("d/1"), now).is_some());
    holdings.drop_oldest();
    assert!(holdings.value(&key("d/2"), now).is_none());
    holdings.drop_oldest();
    assert!(holdings.is_empty());
    assert_eq!(holdings.bytes(), 0);
    holdings.drop_oldest();
}

#[test]
fn a_value_is_replaced_not_doubled() {
    let now = Instant::now();
    let mut holdings = Holdings::default();
    holdings.keep(key("d/x"), value(1000), MINUTE, now, ROOM);
    holdings.keep(key("d/x"), value(2), MINUTE, now, ROOM);
    assert_eq!(holdings.value(&key("d/x"), now), Some(&value(2)));
    assert_eq!(holdings.bytes(), holdings.weight());
}

#[test]
fn without_room_or_time_nothing_is_kept() {
    let now = Instant::now();
    for (entries, bytes, ttl) in [
        (0, 1000, MINUTE),
        (5, 3 + VALUE_OVERHEAD, MINUTE),
        (5, 1000, Duration::ZERO),
        (5, 1000, Duration::MAX),
    ] {
        let mut holdings = Holdings::default();
        holdings.keep(key("d/x"), value(1), ttl, now, Room { entries, bytes });
        assert!(holdings.is_empty());
        assert_eq!(holdings.bytes(), 0);
    }
}

#[test]
fn what_just_fits_is_kept() {
    let now = Instant::now();
    let mut holdings = Holdings::default();
    let exact = "d/x".len() + 1 + VALUE_OVERHEAD;
    let room = |bytes| Room { bytes, ..ROOM };
    holdings.keep(key("d/x"), value(1), MINUTE, now, room(exact));
    assert_eq!(holdings.bytes(), exact);
    let mut keep_answer = |question: &str, bytes| {
        let before = holdings.bytes();
        let of = std::iter::once((key("d/x"), value(1)));
        holdings.keep_answer(question.as_bytes(), answer(), of, now, room(bytes));
        holdings.bytes() - before
    };
    let exact = keep_answer("q", ROOM.bytes);
    assert_eq!(keep_answer("r", exact), exact);
    assert_eq!(keep_answer("s", exact - 1), 0);
    assert_eq!(keep_answer("t", exact - 2), 0);
}

/// The names themselves count too: they can be longer than their values.
#[test]
fn a_value_weighs_what_it_has() {
    let now = Instant::now();
    for (name, fetched, text) in [
        ("d/x", value(2), 5),
        ("d/example", value(2), 11),
        (
            "d/example",
            Fetched::Absent(Absence::NeverExisted).into(),
            9,
        ),
    ] {
        let mut holdings = Holdings::default();
        holdings.keep(key(name), fetched, MINUTE, now, ROOM);
        assert_eq!(holdings.bytes(), text + VALUE_OVERHEAD);
    }
}

/// What an answer costs is its question, itself, and the names it depends on;
/// none of them for nothing.
#[test]
fn an_answer_weighs_what_it_has() {
    let now = Instant::now();
    let weigh = |question: &str, made_of: &[&str]| {
        let mut holdings = with(&["d/1", "d/12345"], now);
        let before = holdings.bytes();
        keep_answer(&mut holdings, question, made_of, now);
        holdings.bytes() - before
    };
    let least = weigh("q", &["d/1"]);
    let (one, slot) = (
        answer().weight() + "q".len() + "d/1".len(),
        size_of::<(Key, Serial)>(),
    );
    assert_eq!(least, one + slot + ANSWER_OVERHEAD);
    assert_eq!(weigh("question", &["d/1"]), least + 7);
    assert_eq!(weigh("q", &["d/12345"]), least + 4);
    assert_eq!(weigh("q", &["d/1", "d/12345"]), least + 7 + slot);
}
