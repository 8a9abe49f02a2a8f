//! What is kept of one activity's values, and the answers that were made of
//! them.
//!
//! Every value has a time to live. An answer holds for as long as each of the
//! values that it was made of is kept: when one outlives its time, is evicted
//! or replaced, the answer ends with it. There is no second clock and nothing
//! to invalidate, because every use looks at the values, which thereby count as
//! used just as if the answer were made anew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;

use crate::policy::CachedAnswer;
use crate::snapshot::{Fetched, Finding, Key};

/// Bytes that a value takes beside its name and itself.
const VALUE_OVERHEAD: usize = 192;

/// Bytes that an answer takes beside its question, itself and its names.
const ANSWER_OVERHEAD: usize = 224;

/// Which of the values that a name has had in the life of its activity.
type Serial = u64;

/// How much one activity may keep.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Values, and as many answers; 0 keeps nothing.
    pub entries: usize,
    /// Bytes of one value or answer.
    pub bytes: usize,
}

/// The values and answers of one activity, the least recently used first to go.
#[derive(Debug)]
pub struct Holdings {
    values: LruCache<Key, Held>,
    /// By their questions.
    answers: LruCache<Box<[u8]>, Made>,
    bytes: usize,
    last_serial: Serial,
}

#[derive(Debug)]
struct Held {
    value: Finding,
    expires: Instant,
    weight: usize,
    serial: Serial,
}

/// An answer and what it was made of.
#[derive(Debug)]
struct Made {
    answer: Arc<CachedAnswer>,
    of: Box<[(Key, Serial)]>,
    weight: usize,
}

impl Held {
    fn is_fresh(&self, now: Instant) -> bool {
        now < self.expires
    }

    /// Whether it is the value of that serial, and its time has not run out.
    fn is(&self, serial: Serial, now: Instant) -> bool {
        self.serial == serial && self.is_fresh(now)
    }
}

impl Default for Holdings {
    fn default() -> Self {
        Self {
            values: LruCache::unbounded(),
            answers: LruCache::unbounded(),
            bytes: 0,
            last_serial: 0,
        }
    }
}

impl Holdings {
    /// Whether no value is kept, and so no answer.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Bytes of all values and answers.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is kept of a key, if its time has not run out.
    pub fn value(&mut self, key: &Key, now: Instant) -> Option<&Finding> {
        let held = self.values.get(key)?;
        held.is_fresh(now).then_some(&held.value)
    }

    /// Keeps a value for `ttl` from `now`, in place of an older one of the key.
    pub fn keep(&mut self, key: Key, value: Finding, ttl: Duration, now: Instant, room: Room) {
        let weight = weight_of(&key) + value_weight(&value) + VALUE_OVERHEAD;
        let Some(expires) = now.checked_add(ttl) else {
            return;
        };
        if weight > room.bytes || room.entries == 0 || ttl.is_zero() {
            return;
        }
        self.bytes += weight;
        self.last_serial += 1;
        let held = Held {
            value,
            expires,
            weight,
            serial: self.last_serial,
        };
        if let Some((_, old)) = self.values.push(key, held) {
            self.bytes -= old.weight;
        }
        while self.values.len() > room.entries {
            self.drop_oldest_value();
        }
    }

    /// The answer to a question, if it still holds.
    pub fn answer(&mut self, question: &[u8], now: Instant) -> Option<&Arc<CachedAnswer>> {
        let values = &mut self.values;
        let holds = self.answers.get(question)?.of.iter().all(|(key, serial)| {
            let held = values.get(key);
            held.is_some_and(|held| held.is(*serial, now))
        });
        if !holds {
            let ended = self.answers.pop(question)?;
            self.bytes -= ended.weight;
            return None;
        }
        self.answers.peek(question).map(|made| &made.answer)
    }

    /// Keeps the answer to a question beside the values that it was made of.
    /// It is not kept if those are not, or others are; nor if it was made of
    /// none, since then nothing would end it.
    pub fn keep_answer(
        &mut self,
        question: &[u8],
        answer: Arc<CachedAnswer>,
        of: impl Iterator<Item = (Key, Finding)>,
        now: Instant,
        room: Room,
    ) {
        let of = of.map(|(key, value)| {
            let held = self.values.peek(&key)?;
            let is_same = held.value == value && held.is_fresh(now);
            is_same.then_some((key, held.serial))
        });
        let of: Box<[_]> = match of.collect::<Option<Vec<_>>>() {
            Some(of) if !of.is_empty() => of.into(),
            _ => return,
        };
        // A key's text is shared with the value, but may outlive it.
        let keys = of.iter().map(|(key, _)| weight_of(key));
        let keys = keys.sum::<usize>() + size_of_val(&*of);
        let weight = question.len() + answer.weight() + keys + ANSWER_OVERHEAD;
        if weight > room.bytes {
            return;
        }
        self.bytes += weight;
        let made = Made { answer, of, weight };
        if let Some((_, old)) = self.answers.push(question.into(), made) {
            self.bytes -= old.weight;
        }
        while self.answers.len() > room.entries {
            self.drop_oldest_answer();
        }
    }

    /// Drops what is to go first: answers, which can be made again without
    /// asking anybody, then values.
    pub fn drop_oldest(&mut self) {
        if !self.drop_oldest_answer() {
            self.drop_oldest_value();
        }
    }

    fn drop_oldest_answer(&mut self) -> bool {
        let oldest = self.answers.pop_lru();
        self.bytes -= oldest.as_ref().map_or(0, |(_, made)| made.weight);
        oldest.is_some()
    }

    fn drop_oldest_value(&mut self) {
        self.bytes -= self.values.pop_lru().map_or(0, |(_, held)| held.weight);
    }

    /// Drops what has outlived its time. Its memory is freed.
    pub fn sweep(&mut self, now: Instant) {
        // Rebuilt in the old order, which pop_lru gives.
        let mut values = LruCache::unbounded();
        while let Some((key, held)) = self.values.pop_lru() {
            if held.is_fresh(now) {
                values.put(key, held);
            }
        }
        let mut answers = LruCache::unbounded();
        while let Some((question, made)) = self.answers.pop_lru() {
            let holds = made.of.iter().all(|(key, serial)| {
                let held = values.peek(key);
                held.is_some_and(|held: &Held| held.is(*serial, now))
            });
            if holds {
                answers.put(question, made);
            }
        }
        (self.values, self.answers) = (values, answers);
        self.bytes = self.weight();
    }

    /// The sum of all weights.
    fn weight(&self) -> usize {
        let values = self.values.iter().map(|(_, held)| held.weight);
        let answers = self.answers.iter().map(|(_, made)| made.weight);
        values.chain(answers).sum()
    }
}

/// Bytes of what a key refers to.
fn weight_of(key: &Key) -> usize {
    match key {
        Key::Name(key) => key.as_str().len(),
        Key::Delegated(question) => question.weight(),
    }
}

/// Bytes of what a value refers to.
fn value_weight(value: &Finding) -> usize {
    match value {
        Finding::Name(Fetched::Value(value)) => value.len(),
        Finding::Name(Fetched::Absent(_)) => 0,
        Finding::Delegated(answer) => answer.weight(),
    }
}

#[cfg(test)]
mod tests;
