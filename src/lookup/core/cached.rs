//! What is kept of values and answers, and what is had from it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::Weigh;
use crate::isolation::IsolationId;
use crate::resolve::{Answer, Evaluation, Verdict};
use crate::snapshot::{Entry, Fetched, NameKey};

use super::Core;

impl Weigh for Arc<Answer> {
    fn weight(&self) -> usize {
        Answer::weight(self)
    }
}

impl Core {
    /// What is kept of a name under an isolation id.
    pub fn cached(
        &mut self,
        isolation: &IsolationId,
        key: &NameKey,
        now: Instant,
    ) -> Option<Fetched> {
        self.cache.get(isolation, key, now)
    }

    /// The answer to a question ([`crate::resolve::Question::octets`]) that
    /// was kept for an isolation id, given as octets, if all that it was made
    /// of is still kept.
    pub fn answer(
        &mut self,
        isolation: &[u8],
        question: &[u8],
        now: Instant,
    ) -> Option<Arc<Answer>> {
        self.cache.answer(isolation, question, now)
    }

    /// Keeps the answer that a query's evaluation ended with. What cannot be
    /// known for now is not kept, nor what depends on a name that the cache
    /// does not hold. Returns the isolation ids of which nothing is left.
    #[must_use]
    pub(super) fn keep(
        &mut self,
        evaluation: &Evaluation,
        answer: &Arc<Answer>,
        now: Instant,
    ) -> Vec<IsolationId> {
        let snapshot = evaluation.snapshot();
        let is_known = !matches!(answer.verdict(), Verdict::Unknown(_));
        let made_of: Option<Vec<_>> = snapshot
            .iter()
            .map(|(key, entry)| match entry {
                Entry::Known(fetched) => Some((key, fetched)),
                Entry::Failed(_) => None,
            })
            .collect();
        let question = evaluation.query().question();
        let (true, Some(made_of), Some(question)) = (is_known, made_of, question) else {
            return Vec::new();
        };
        let gone = self.cache.keep_answer(
            snapshot.isolation(),
            question.octets(),
            Arc::clone(answer),
            made_of.into_iter(),
            now,
        );
        self.idle(gone)
    }

    /// The source has learned more of a name than what is kept of it under an
    /// isolation id, which this takes the place of; nothing is kept of a name
    /// whose time has run out. Returns the isolation ids of which nothing is
    /// left.
    #[must_use]
    pub fn learned(
        &mut self,
        isolation: &IsolationId,
        key: NameKey,
        fetched: Fetched,
        now: Instant,
    ) -> Vec<IsolationId> {
        if self.cache.get(isolation, &key, now).is_none() {
            return Vec::new();
        }
        let ttl = self.ttl(&fetched);
        let gone = self.cache.insert(isolation, key, fetched, ttl, now);
        self.idle(gone)
    }

    /// How long something is kept, as the settings have it.
    pub(super) fn ttl(&self, fetched: &Fetched) -> Duration {
        match fetched {
            Fetched::Value(_) => self.limits.ttl,
            Fetched::Absent(_) => self.limits.negative_ttl,
        }
    }

    /// Drops cached entries that have outlived their time. Returns the
    /// isolation ids of which nothing is left.
    pub fn sweep(&mut self, now: Instant) -> Vec<IsolationId> {
        let gone = self.cache.sweep(now);
        self.idle(gone)
    }

    /// Drops everything cached, because the source's values have changed.
    pub fn invalidate(&mut self) {
        self.epoch += 1;
        self.cache.clear();
    }
}
