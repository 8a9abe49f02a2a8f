//! A map for each isolation id, with a time to live for every entry and bounds
//! on entries, ids and octets.
//!
//! Nothing that one id put in can be seen under another. The only thing that
//! ids share is the bounds: once they are reached, the least recently used
//! goes first (`spec/isolation.md`, "Shared bounds").

use std::hash::Hash;
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::isolation::IsolationId;
use crate::snapshot::{Fetched, NameKey};

/// Octets that an entry takes beside its key and value.
const ENTRY_OVERHEAD: usize = 192;

/// Octets that an id takes beside its text and entries.
const PARTITION_OVERHEAD: usize = 768;

/// The octets that something keeps on the heap, for the byte budget.
pub trait Weigh {
    /// An estimate from above.
    fn weight(&self) -> usize;
}

impl Weigh for NameKey {
    fn weight(&self) -> usize {
        self.as_str().len()
    }
}

impl Weigh for Fetched {
    fn weight(&self) -> usize {
        match self {
            Self::Value(value) => value.len(),
            Self::Absent(_) => 0,
        }
    }
}

/// How much may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries for each id; 0 keeps nothing.
    pub entries: usize,
    /// Ids; 0 keeps nothing.
    pub isolations: usize,
    /// Octets over all ids, keys and bookkeeping included.
    pub octets: usize,
}

/// A map for each isolation id.
pub struct Cache<K: Hash + Eq, V> {
    limits: Limits,
    partitions: LruCache<IsolationId, Partition<K, V>>,
    octets: usize,
}

struct Partition<K: Hash + Eq, V> {
    entries: LruCache<K, Held<V>>,
}

struct Held<V> {
    value: V,
    expires: Instant,
    weight: usize,
}

fn partition_weight(isolation: &IsolationId) -> usize {
    isolation.weight() + PARTITION_OVERHEAD
}

impl<K: Hash + Eq + Weigh, V: Clone + Weigh> Cache<K, V> {
    /// An empty cache.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            partitions: LruCache::unbounded(),
            octets: 0,
        }
    }

    /// What is kept under an id and a key, if its time has not run out.
    pub fn get(&mut self, isolation: &IsolationId, key: &K, now: Instant) -> Option<V> {
        let held = self.partitions.get_mut(isolation)?.entries.get(key)?;
        (now < held.expires).then(|| held.value.clone())
    }

    /// Keeps a value for `ttl` from `now`, in place of one of the same key.
    /// Returns the ids of which nothing is left now.
    #[must_use = "the ids of which nothing is left are to be forgotten elsewhere too"]
    pub fn insert(
        &mut self,
        isolation: &IsolationId,
        key: K,
        value: V,
        ttl: Duration,
        now: Instant,
    ) -> Vec<IsolationId> {
        let weight = key.weight() + value.weight() + ENTRY_OVERHEAD;
        let fits = weight + partition_weight(isolation) <= self.limits.octets;
        let Some(expires) = now.checked_add(ttl).filter(|_| fits) else {
            return Vec::new();
        };
        if self.limits.entries == 0 || self.limits.isolations == 0 || ttl.is_zero() {
            return Vec::new();
        }
        let octets = &mut self.octets;
        let partition = self.partitions.get_or_insert_mut(isolation.clone(), || {
            *octets += partition_weight(isolation);
            Partition {
                entries: LruCache::unbounded(),
            }
        });
        self.octets += weight;
        let held = Held {
            value,
            expires,
            weight,
        };
        if let Some((_, old)) = partition.entries.push(key, held) {
            self.octets = self.octets.saturating_sub(old.weight);
        }
        while partition.entries.len() > self.limits.entries {
            if let Some((_, old)) = partition.entries.pop_lru() {
                self.octets = self.octets.saturating_sub(old.weight);
            }
        }
        self.shrink()
    }

    /// Evicts until the bounds on ids and octets hold.
    fn shrink(&mut self) -> Vec<IsolationId> {
        let mut gone = Vec::new();
        while self.partitions.len() > self.limits.isolations {
            gone.extend(self.pop_oldest());
        }
        while self.octets > self.limits.octets {
            let Some((isolation, _)) = self.partitions.peek_lru() else {
                break;
            };
            let isolation = isolation.clone();
            // `peek_mut` does not count as use.
            let Some(partition) = self.partitions.peek_mut(&isolation) else {
                break;
            };
            if let Some((_, old)) = partition.entries.pop_lru() {
                self.octets = self.octets.saturating_sub(old.weight);
            }
            if partition.entries.is_empty() {
                gone.extend(self.pop_oldest());
            }
        }
        gone
    }

    fn pop_oldest(&mut self) -> Option<IsolationId> {
        let (isolation, partition) = self.partitions.pop_lru()?;
        self.drop_weight(&isolation, &partition);
        Some(isolation)
    }

    fn drop_weight(&mut self, isolation: &IsolationId, partition: &Partition<K, V>) {
        let entries: usize = partition.entries.iter().map(|(_, held)| held.weight).sum();
        self.octets = self
            .octets
            .saturating_sub(entries + partition_weight(isolation));
    }

    /// Drops what has outlived its time; memory is freed for it and for ids
    /// that have nothing left, which are returned.
    #[must_use = "the ids of which nothing is left are to be forgotten elsewhere too"]
    pub fn sweep(&mut self, now: Instant) -> Vec<IsolationId> {
        let mut empty = Vec::new();
        for (isolation, partition) in self.partitions.iter_mut() {
            // Rebuilt in the old order, which pop_lru gives.
            let mut kept = LruCache::unbounded();
            while let Some((key, held)) = partition.entries.pop_lru() {
                if now < held.expires {
                    kept.put(key, held);
                } else {
                    self.octets = self.octets.saturating_sub(held.weight);
                }
            }
            partition.entries = kept;
            if partition.entries.is_empty() {
                empty.push(isolation.clone());
            }
        }
        for isolation in &empty {
            self.partitions.pop(isolation);
            self.octets = self.octets.saturating_sub(partition_weight(isolation));
        }
        empty
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.partitions = LruCache::unbounded();
        self.octets = 0;
    }

    /// Octets kept, as counted against the budget.
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// Ids of which something is kept.
    pub fn isolations(&self) -> usize {
        self.partitions.len()
    }
}

#[cfg(test)]
mod tests {
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
}
