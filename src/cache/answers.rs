//! Finished answers, beside the entries that they were made of.
//!
//! An answer holds for as long as each of those entries is kept: when one
//! outlives its time, is evicted or replaced, the answer ends with it. There is
//! no second clock and nothing to invalidate, because every use looks at the
//! entries, which thereby count as used just as if the answer were made anew.

use std::hash::Hash;
use std::time::Instant;

use lru::LruCache;

use super::{Cache, Held, Partition, Serial, Weigh, partition_weight};
use crate::isolation::IsolationId;

/// Octets that an answer takes beside its question, itself and its keys.
pub(super) const ANSWER_OVERHEAD: usize = 224;

/// An answer and what it was made of.
pub(super) struct Answer<K, A> {
    answer: A,
    made_of: Box<[(K, Serial)]>,
    pub weight: usize,
}

impl<V> Held<V> {
    /// Whether it is the value of that serial, and its time has not run out.
    fn is(&self, serial: Serial, now: Instant) -> bool {
        self.serial == serial && now < self.expires
    }
}

impl<K: Hash + Eq, V, A> Partition<K, V, A> {
    /// Drops the answers that hold no more. Returns their octets.
    pub fn sweep_answers(&mut self, now: Instant) -> usize {
        let mut freed = 0;
        let mut kept = LruCache::unbounded();
        while let Some((question, answer)) = self.answers.pop_lru() {
            let holds = answer.made_of.iter().all(|(key, serial)| {
                let held = self.entries.peek(key);
                held.is_some_and(|held| held.is(*serial, now))
            });
            if holds {
                kept.put(question, answer);
            } else {
                freed += answer.weight;
            }
        }
        self.answers = kept;
        freed
    }
}

impl<K, V, A> Cache<K, V, A>
where
    K: Hash + Eq + Weigh + Clone,
    V: Clone + Weigh + PartialEq,
    A: Clone + Weigh,
{
    /// The answer to a question under an id, if it still holds. The id is
    /// given as octets, which need not be those of a valid one.
    pub fn answer(&mut self, isolation: &[u8], question: &[u8], now: Instant) -> Option<A> {
        let Partition { entries, answers } = self.partitions.get_mut(isolation)?;
        let kept = answers.get(question)?;
        let holds = kept.made_of.iter().all(|(key, serial)| {
            let held = entries.get(key);
            held.is_some_and(|held| held.is(*serial, now))
        });
        if holds {
            return Some(kept.answer.clone());
        }
        let ended = answers.pop(question)?;
        self.octets = self.octets.saturating_sub(ended.weight);
        None
    }

    /// Keeps the answer to a question beside the entries that it was made of.
    /// It is not kept if those are not, with the same values; nor if it was
    /// made of none, since then nothing would end it. Returns the ids of which
    /// nothing is left now.
    #[must_use = "the ids of which nothing is left are to be forgotten elsewhere too"]
    pub fn keep_answer<'a>(
        &mut self,
        isolation: &IsolationId,
        question: &[u8],
        answer: A,
        made_of: impl Iterator<Item = (&'a K, &'a V)>,
        now: Instant,
    ) -> Vec<IsolationId>
    where
        K: 'a,
        V: 'a,
    {
        let Some(partition) = self.partitions.peek_mut(isolation) else {
            return Vec::new();
        };
        let made_of = made_of.map(|(key, value)| {
            let held = partition.entries.peek(key)?;
            let is_same = held.value == *value && now < held.expires;
            is_same.then(|| (key.clone(), held.serial))
        });
        let made_of: Box<[_]> = match made_of.collect::<Option<Vec<_>>>() {
            Some(made_of) if !made_of.is_empty() => made_of.into(),
            _ => return Vec::new(),
        };
        // A key's text is shared with the entry, but may outlive it.
        let keys = made_of.iter().map(|(key, _)| key.weight());
        let keys = keys.sum::<usize>() + size_of_val(&*made_of);
        let weight = question.len() + answer.weight() + keys + ANSWER_OVERHEAD;
        if weight + partition_weight(isolation) > self.limits.octets {
            return Vec::new();
        }
        self.octets += weight;
        let kept = Answer {
            answer,
            made_of,
            weight,
        };
        if let Some((_, old)) = partition.answers.push(question.into(), kept) {
            self.octets = self.octets.saturating_sub(old.weight);
        }
        while partition.answers.len() > self.limits.entries {
            if let Some((_, old)) = partition.answers.pop_lru() {
                self.octets = self.octets.saturating_sub(old.weight);
            }
        }
        self.shrink()
    }
}
