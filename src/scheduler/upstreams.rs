//! Where lookups get what they need: values from the source, and what name servers
//! answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::delegation::Delegations;
use crate::isolation::IsolationId;
use crate::log::{Level, Log};
use crate::snapshot::delegated::Answer;
use crate::snapshot::{FetchError, Fetched, Finding, Key};
use crate::source::{Bounds, Source, SourceReply};
use crate::text::Milliseconds;

/// What lookups ask.
#[derive(Clone)]
pub struct Upstreams {
    /// For values of names.
    pub source: Arc<dyn Source>,
    /// For names that are delegated; `None` if their name servers are not asked.
    pub delegations: Option<Delegations>,
}

impl From<Arc<dyn Source>> for Upstreams {
    fn from(source: Arc<dyn Source>) -> Self {
        Self {
            source,
            delegations: None,
        }
    }
}

impl<S: Source + 'static> From<Arc<S>> for Upstreams {
    fn from(source: Arc<S>) -> Self {
        let source: Arc<dyn Source> = source;
        source.into()
    }
}

/// What a fetch brought.
#[derive(Debug, Clone)]
pub struct FetchReply {
    /// What is known now.
    pub finding: Finding,
    /// The longest time that it may be kept, whatever the settings say.
    pub keep_at_most: Option<Duration>,
}

impl From<SourceReply> for FetchReply {
    fn from(reply: SourceReply) -> Self {
        Self {
            finding: Finding::Name(reply.fetched),
            keep_at_most: reply.keep_at_most,
        }
    }
}

impl From<Fetched> for FetchReply {
    fn from(fetched: Fetched) -> Self {
        SourceReply::from(fetched).into()
    }
}

impl From<Answer> for FetchReply {
    fn from(answer: Answer) -> Self {
        Self {
            keep_at_most: Some(answer.ttl),
            finding: Finding::Delegated(Arc::new(answer)),
        }
    }
}

impl Upstreams {
    /// Carries a fetch out for an isolation id, and logs it at the level of `-vv`
    /// under its number, which is unique in the life of the process.
    ///
    /// # Errors
    /// It failed for now.
    pub fn fetch(
        &self,
        number: u64,
        isolation: &IsolationId,
        key: &Key,
        bounds: &Bounds,
        log: &Log,
    ) -> Result<FetchReply, FetchError> {
        let begin = Instant::now();
        let result = match (key, &self.delegations) {
            (Key::Name(key), _) => {
                let key_text = log.key(isolation, key);
                log.debug(format_args!("request {number} asks for {key_text}"));
                let result = self.source.fetch(isolation, key, bounds);
                result.map(FetchReply::from)
            }
            (Key::Delegated(question), Some(delegations)) => {
                let zone = log.name(isolation, || question.zone.to_ascii());
                log.debug(format_args!("request {number} asks name servers of {zone}"));
                delegations.ask(question, bounds).map(FetchReply::from)
            }
            // Nobody needs that where it cannot be had.
            (Key::Delegated(_), None) => Err(FetchError::bug()),
        };
        if log.is_enabled(Level::Debug) {
            let time = Milliseconds(begin.elapsed());
            let end = match &result {
                Ok(reply) => reply.finding.summary(),
                Err(failure) => format!("{} ({failure})", failure.kind.words()),
            };
            log.debug(format_args!("request {number} ended after {time}: {end}"));
        }
        result
    }
}
