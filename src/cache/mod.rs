//! A map for each isolation id, with a time to live for every entry and bounds
//! on entries, ids and octets; and beside the entries the answers that were
//! made of them (`answers`).
//!
//! Nothing that one id put in can be seen under another. The only thing that
//! ids share is the bounds: once they are reached, the least recently used
//! goes first (`spec/isolation.md`, "Shared bounds").

mod answers;
#[cfg(test)]
mod tests;

use std::hash::Hash;
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::isolation::IsolationId;
use crate::snapshot::{Fetched, NameKey};

use answers::Answer;

/// Octets that an entry takes beside its key and value.
const ENTRY_OVERHEAD: usize = 192;

/// Octets that an id takes beside its text, entries and answers.
const PARTITION_OVERHEAD: usize = 1024;

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
    /// Entries for each id, and as many answers; 0 keeps nothing.
    pub entries: usize,
    /// Ids; 0 keeps nothing.
    pub isolations: usize,
    /// Octets over all ids, keys and bookkeeping included.
    pub octets: usize,
}

/// A map for each isolation id, of keys `K` to values `V`, with answers `A`.
pub struct Cache<K: Hash + Eq, V, A> {
    limits: Limits,
    partitions: LruCache<IsolationId, Partition<K, V, A>>,
    octets: usize,
    last_serial: Serial,
}

/// Which of the values that a key has had in the life of the process.
type Serial = u64;

struct Partition<K: Hash + Eq, V, A> {
    entries: LruCache<K, Held<V>>,
    /// By their questions.
    answers: LruCache<Box<[u8]>, Answer<K, A>>,
}

impl<K: Hash + Eq, V, A> Partition<K, V, A> {
    fn new() -> Self {
        Self {
            entries: LruCache::unbounded(),
            answers: LruCache::unbounded(),
        }
    }

    /// Octets of all entries and answers.
    fn weight(&self) -> usize {
        let entries = self.entries.iter().map(|(_, held)| held.weight);
        let answers = self.answers.iter().map(|(_, answer)| answer.weight);
        entries.chain(answers).sum()
    }

    /// Takes out what is to go first: answers, which can be made again without
    /// asking anybody, then entries. Returns its octets.
    fn pop_oldest(&mut self) -> usize {
        match self.answers.pop_lru() {
            Some((_, answer)) => answer.weight,
            None => self.entries.pop_lru().map_or(0, |(_, held)| held.weight),
        }
    }
}

struct Held<V> {
    value: V,
    expires: Instant,
    weight: usize,
    serial: Serial,
}

fn partition_weight(isolation: &IsolationId) -> usize {
    isolation.weight() + PARTITION_OVERHEAD
}

impl<K: Hash + Eq + Weigh, V: Clone + Weigh, A> Cache<K, V, A> {
    /// An empty cache.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            partitions: LruCache::unbounded(),
            octets: 0,
            last_serial: 0,
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
            Partition::new()
        });
        self.octets += weight;
        self.last_serial += 1;
        let held = Held {
            value,
            expires,
            weight,
            serial: self.last_serial,
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
            self.octets = self.octets.saturating_sub(partition.pop_oldest());
            if partition.entries.is_empty() {
                gone.extend(self.pop_oldest());
            }
        }
        gone
    }

    fn pop_oldest(&mut self) -> Option<IsolationId> {
        let (isolation, partition) = self.partitions.pop_lru()?;
        let weight = partition.weight() + partition_weight(&isolation);
        self.octets = self.octets.saturating_sub(weight);
        Some(isolation)
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
            let freed = partition.sweep_answers(now);
            self.octets = self.octets.saturating_sub(freed);
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
