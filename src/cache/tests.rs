//! What the cache keeps, and for how long.

use super::*;

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

fn recount(cache: &Cache<NameKey, Fetched>) -> usize {
    cache
        .partitions
        .iter()
        .map(|(id, p)| {
            partition_weight(id) + p.entries.iter().map(|(_, h)| h.weight).sum::<usize>()
        })
        .sum()
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
        let _ = cache.insert(&isolation, name, value(n * 7 % 3000), MINUTE, now);
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
    for (entries, isolations) in [(0, 5), (5, 0)] {
        let mut cache = Cache::new(Limits {
            entries,
            isolations,
            octets: 1000,
        });
        let _ = cache.insert(&id("a"), key("d/x"), value(1), MINUTE, now);
        assert!(cache.get(&id("a"), &key("d/x"), now).is_none());
        assert_eq!(cache.octets(), 0);
    }
}
