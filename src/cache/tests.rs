//! What the cache keeps, and for how long.

use super::*;
use crate::snapshot::Absence;

/// With words for answers.
type Cache = super::Cache<NameKey, Fetched, &'static str>;

impl Weigh for &'static str {
    fn weight(&self) -> usize {
        self.len()
    }
}

const LIMITS: Limits = Limits {
    entries: 3,
    isolations: 2,
    octets: 1 << 20,
};
const MINUTE: Duration = Duration::from_secs(60);

fn id(text: &str) -> IsolationId {
    IsolationId::parse(text.as_bytes()).unwrap()
}

fn key(text: &str) -> NameKey {
    NameKey::new(text).unwrap()
}

fn value(octets: usize) -> Fetched {
    Fetched::Value(vec![b'x'; octets].into())
}

fn recount(cache: &Cache) -> usize {
    let partitions = cache.partitions.iter();
    partitions
        .map(|(id, partition)| partition_weight(id) + partition.weight())
        .sum()
}

/// Keeps an answer that was made of values of one octet.
fn keep(
    cache: &mut Cache,
    isolation: &str,
    question: &str,
    made_of: &[&str],
    now: Instant,
) -> Vec<IsolationId> {
    let made_of: Vec<_> = made_of.iter().map(|name| (key(name), value(1))).collect();
    let made_of = made_of.iter().map(|(key, value)| (key, value));
    cache.keep_answer(&id(isolation), question.as_bytes(), "yes", made_of, now)
}

fn is_kept(cache: &mut Cache, isolation: &str, question: &str, now: Instant) -> bool {
    let octets = cache.octets();
    let kept = cache.answer(isolation.as_bytes(), question.as_bytes(), now);
    assert_eq!(cache.octets(), recount(cache));
    assert!(kept.is_none() || cache.octets() == octets);
    kept.is_some()
}

/// A cache in which `a` has `d/1` and `d/2`, the first for a shorter time, and
/// an answer made of both.
fn with_answer(now: Instant) -> Cache {
    let mut cache = Cache::new(LIMITS);
    let _ = cache.insert(&id("a"), key("d/1"), value(1), MINUTE, now);
    let _ = cache.insert(&id("a"), key("d/2"), value(1), 2 * MINUTE, now);
    assert_eq!(keep(&mut cache, "a", "q", &["d/1", "d/2"], now), []);
    assert!(is_kept(&mut cache, "a", "q", now));
    cache
}

#[test]
fn an_answer_is_its_ids_alone() {
    let now = Instant::now();
    let mut cache = with_answer(now);
    let _ = cache.insert(&id("b"), key("d/1"), value(1), MINUTE, now);
    let _ = cache.insert(&id("b"), key("d/2"), value(1), MINUTE, now);
    for other in ["b", "A", "aa", "", "\n"] {
        assert!(!is_kept(&mut cache, other, "q", now), "{other:?}");
    }
    assert!(!is_kept(&mut cache, "a", "Q", now));
    assert!(is_kept(&mut cache, "a", "q", now));
}

#[test]
fn an_answer_ends_with_the_first_value_that_runs_out() {
    let now = Instant::now();
    let mut cache = with_answer(now);
    let end = now + MINUTE;
    assert!(is_kept(&mut cache, "a", "q", end - Duration::from_nanos(1)));
    assert!(!is_kept(&mut cache, "a", "q", end));
    // The clock of the answer is that of the values: it is gone.
    assert!(!is_kept(&mut cache, "a", "q", now));

    let mut cache = with_answer(now);
    let before = cache.octets();
    assert_eq!(cache.sweep(end), []);
    assert!(cache.octets() < before - ENTRY_OVERHEAD - 200);
    assert!(!is_kept(&mut cache, "a", "q", now));
}

#[test]
fn an_answer_ends_with_a_value_that_is_replaced_even_by_its_like() {
    let now = Instant::now();
    for renewed in [value(1), value(2), Fetched::Absent(Absence::Expired)] {
        let mut cache = with_answer(now);
        let _ = cache.insert(&id("a"), key("d/2"), renewed, MINUTE, now);
        assert!(!is_kept(&mut cache, "a", "q", now));
    }
}

#[test]
fn an_answer_ends_with_a_value_that_is_evicted_and_with_its_id() {
    let now = Instant::now();
    let mut cache = with_answer(now);
    for name in ["d/3", "d/4"] {
        let _ = cache.insert(&id("a"), key(name), value(1), MINUTE, now);
    }
    assert!(!is_kept(&mut cache, "a", "q", now));

    let mut cache = with_answer(now);
    let _ = cache.insert(&id("b"), key("d/1"), value(1), MINUTE, now);
    let gone = cache.insert(&id("c"), key("d/1"), value(1), MINUTE, now);
    assert_eq!(gone, [id("a")]);
    assert!(!is_kept(&mut cache, "a", "q", now));

    let mut cache = with_answer(now);
    cache.clear();
    assert!(!is_kept(&mut cache, "a", "q", now));
    assert_eq!(cache.octets(), 0);
}

#[test]
fn an_answer_uses_what_it_was_made_of() {
    let now = Instant::now();
    let mut cache = Cache::new(LIMITS);
    for name in ["d/1", "d/2", "d/3"] {
        let _ = cache.insert(&id("a"), key(name), value(1), MINUTE, now);
    }
    let _ = cache.insert(&id("b"), key("d/1"), value(1), MINUTE, now);
    let _ = keep(&mut cache, "a", "q", &["d/1"], now);
    assert!(is_kept(&mut cache, "a", "q", now));
    // `a` was used after `b`, and its `d/1` after `d/2`.
    let gone = cache.insert(&id("c"), key("d/1"), value(1), MINUTE, now);
    assert_eq!(gone, [id("b")]);
    let _ = cache.insert(&id("a"), key("d/4"), value(1), MINUTE, now);
    assert!(is_kept(&mut cache, "a", "q", now));
    assert!(cache.get(&id("a"), &key("d/2"), now).is_none());
}

#[test]
fn an_answer_is_kept_only_beside_the_values_it_was_made_of() {
    let now = Instant::now();
    let mut cache = Cache::new(LIMITS);
    let _ = cache.insert(&id("a"), key("d/1"), value(1), MINUTE, now);
    let _ = cache.insert(&id("a"), key("d/2"), value(2), MINUTE, now);
    let _ = cache.insert(&id("b"), key("d/3"), value(1), MINUTE, now);
    let before = cache.octets();
    for (isolation, made_of, when) in [
        ("a", &[][..], now),
        ("a", &["d/2"], now),
        ("a", &["d/1", "d/2"], now),
        ("a", &["d/1", "d/3"], now),
        ("c", &["d/1"], now),
        ("a", &["d/1"], now + MINUTE),
    ] {
        assert_eq!(keep(&mut cache, isolation, "q", made_of, when), []);
        assert!(!is_kept(&mut cache, isolation, "q", now), "{made_of:?}");
    }
    assert_eq!(cache.octets(), before);
}

#[test]
fn answers_are_bounded_in_number() {
    let now = Instant::now();
    let mut cache = with_answer(now);
    for question in ["r", "s", "q", "t"] {
        let _ = keep(&mut cache, "a", question, &["d/1"], now);
    }
    let kept = ["q", "r", "s", "t"].map(|question| is_kept(&mut cache, "a", question, now));
    assert_eq!(kept, [true, false, true, true]);
}

#[test]
fn an_id_sees_only_its_own_entries() {
    let now = Instant::now();
    let mut cache = Cache::new(LIMITS);
    assert!(
        cache
            .insert(&id("a"), key("d/x"), value(1), MINUTE, now)
            .is_empty()
    );
    assert_eq!(cache.get(&id("a"), &key("d/x"), now), Some(value(1)));
    assert_eq!(cache.get(&id("b"), &key("d/x"), now), None);
    assert_eq!(cache.get(&IsolationId::shared(), &key("d/x"), now), None);
}

#[test]
fn entries_end_with_their_time() {
    let now = Instant::now();
    let mut cache = Cache::new(LIMITS);
    let _ = cache.insert(&id("a"), key("d/x"), value(1), MINUTE, now);
    let later = now + MINUTE - Duration::from_nanos(1);
    assert!(cache.get(&id("a"), &key("d/x"), later).is_some());
    assert!(cache.get(&id("a"), &key("d/x"), now + MINUTE).is_none());
    assert_eq!(cache.sweep(later), []);
    assert_eq!(cache.sweep(now + MINUTE), [id("a")]);
    assert_eq!((cache.octets(), cache.isolations()), (0, 0));
}

#[test]
fn the_least_recently_used_entry_of_an_id_goes_first() {
    let now = Instant::now();
    let mut cache = Cache::new(LIMITS);
    for name in ["d/1", "d/2", "d/3"] {
        let _ = cache.insert(&id("a"), key(name), value(1), MINUTE, now);
    }
    assert!(cache.get(&id("a"), &key("d/1"), now).is_some());
    assert!(cache.sweep(now).is_empty());
    let _ = cache.insert(&id("a"), key("d/4"), value(1), MINUTE, now);
    assert!(cache.get(&id("a"), &key("d/2"), now).is_none());
    for name in ["d/1", "d/3", "d/4"] {
        assert!(cache.get(&id("a"), &key(name), now).is_some(), "{name}");
    }
    assert_eq!(cache.octets(), recount(&cache));
}

#[test]
fn the_least_recently_used_id_goes_first_and_is_told() {
    let now = Instant::now();
    let mut cache = Cache::new(LIMITS);
    assert!(
        cache
            .insert(&id("a"), key("d/x"), value(1), MINUTE, now)
            .is_empty()
    );
    assert!(
        cache
            .insert(&id("b"), key("d/x"), value(1), MINUTE, now)
            .is_empty()
    );
    assert!(cache.get(&id("a"), &key("d/x"), now).is_some());
    assert_eq!(
        cache.insert(&id("c"), key("d/x"), value(1), MINUTE, now),
        [id("b")]
    );
    assert!(cache.get(&id("a"), &key("d/x"), now).is_some());
    assert_eq!(cache.octets(), recount(&cache));
}

#[test]
fn octets_are_bounded_whatever_is_put_in() {
    let now = Instant::now();
    let limits = Limits {
        entries: 50,
        isolations: 20,
        octets: 20_000,
    };
    let mut cache = Cache::new(limits);
    for n in 0..2000usize {
        let isolation = id(&"i".repeat(1 + n % 37));
        let name = key(&format!("d/{}", n % 61));
        let _ = cache.insert(&isolation, name.clone(), value(n * 7 % 3000), MINUTE, now);
        let question = "q".repeat(n % 29);
        let made_of = [(name, value(n * 7 % 3000))];
        let made_of = made_of.iter().map(|(key, value)| (key, value));
        let _ = cache.keep_answer(&isolation, question.as_bytes(), "yes", made_of, now);
        assert!(cache.octets() <= limits.octets, "after {n}");
        assert_eq!(cache.octets(), recount(&cache), "after {n}");
        assert!(cache.isolations() <= limits.isolations);
    }
    assert!(cache.isolations() > 1);
    // What could never fit is not kept, and costs the others nothing.
    let before = cache.octets();
    let _ = cache.insert(&id("i"), key("d/huge"), value(30_000), MINUTE, now);
    assert_eq!(cache.octets(), before);
    cache.clear();
    assert_eq!((cache.octets(), cache.isolations()), (0, 0));
}

#[test]
fn the_bound_on_octets_may_be_reached() {
    let now = Instant::now();
    let fill = |octets: usize| {
        let mut cache = Cache::new(Limits { octets, ..LIMITS });
        let _ = cache.insert(&id("a"), key("d/x"), value(9), MINUTE, now);
        let _ = cache.insert(&id("a"), key("d/y"), value(9), MINUTE, now);
        cache
    };
    let both = fill(LIMITS.octets).octets();
    assert_eq!(fill(both).octets(), both);
    assert!(fill(both - 1).octets() < both);
}

#[test]
fn an_entry_is_replaced_not_doubled() {
    let now = Instant::now();
    let mut cache = Cache::new(LIMITS);
    let _ = cache.insert(&id("a"), key("d/x"), value(1000), MINUTE, now);
    let _ = cache.insert(&id("a"), key("d/x"), value(2), MINUTE, now);
    assert_eq!(cache.get(&id("a"), &key("d/x"), now), Some(value(2)));
    assert_eq!(cache.octets(), recount(&cache));
}

#[test]
fn bounds_of_nothing_keep_nothing() {
    let now = Instant::now();
    for (entries, isolations, ttl) in [(0, 5, MINUTE), (5, 0, MINUTE), (5, 5, Duration::ZERO)] {
        let mut cache = Cache::new(Limits {
            entries,
            isolations,
            octets: 1 << 20,
        });
        // Nothing is put in, and so nobody is to be forgotten for it.
        assert_eq!(cache.insert(&id("a"), key("d/x"), value(1), ttl, now), []);
        assert!(cache.get(&id("a"), &key("d/x"), now).is_none());
        assert_eq!(cache.octets(), 0);
    }
}

/// The names themselves count too: they can be longer than their values.
#[test]
fn names_and_values_weigh_what_they_have() {
    let name = NameKey::new("d/example").unwrap();
    assert_eq!(name.weight(), 9);
    assert_eq!(Fetched::Value(b"{}"[..].into()).weight(), 2);
    assert_eq!(Fetched::Absent(Absence::NeverExisted).weight(), 0);
}

/// What an answer costs is its question, itself, and the keys it depends on;
/// none of them for nothing.
#[test]
fn an_answer_weighs_what_it_has() {
    let now = Instant::now();
    let weigh = |question: &str, made_of: &[&str]| {
        let mut cache = Cache::new(Limits {
            octets: 1 << 13,
            ..LIMITS
        });
        let _ = cache.insert(&id("a"), key("d/1"), value(1), MINUTE, now);
        let _ = cache.insert(&id("a"), key("d/12345"), value(1), MINUTE, now);
        let before = cache.octets();
        let _ = keep(&mut cache, "a", question, made_of, now);
        cache.octets() - before
    };
    let least = weigh("q", &["d/1"]);
    let (one, slot) = (
        "yes".len() + "q".len() + "d/1".len(),
        size_of::<(NameKey, Serial)>(),
    );
    assert_eq!(least, one + slot + answers::ANSWER_OVERHEAD);
    assert_eq!(weigh("question", &["d/1"]), least + 7);
    assert_eq!(weigh("q", &["d/12345"]), least + 4);
    assert_eq!(weigh("q", &["d/1", "d/12345"]), least + 7 + slot);
}

/// An id costs something of its own, beside what it holds.
#[test]
fn an_id_weighs_its_text_and_its_maps() {
    let now = Instant::now();
    let weigh = |isolation: &str| {
        let mut cache = Cache::new(LIMITS);
        let _ = cache.insert(&id(isolation), key("d/x"), value(1), MINUTE, now);
        cache.octets()
    };
    let entry = "d/x".len() + 1 + ENTRY_OVERHEAD;
    assert_eq!(weigh("a"), id("a").weight() + PARTITION_OVERHEAD + entry);
    assert_eq!(
        weigh("longer") - weigh("a"),
        id("longer").weight() - id("a").weight()
    );
}
