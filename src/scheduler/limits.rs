//! How much may be under way, waiting and kept.

use std::time::Duration;

use crate::config::settings::Settings;
use crate::snapshot::{Fetched, Finding};

/// Fetches under way for one isolation id.
const SLOTS_PER_ISOLATION: usize = 8;

/// Evaluations under way, each of another isolation id. They take processor
/// time and nothing else, so that more of them at once would gain nothing.
const EVALUATIONS: usize = 4;

/// How much may be under way, waiting and kept (`spec/isolation.md`).
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Fetches under way.
    pub slots: usize,
    /// Fetches under way for one isolation id.
    pub slots_per_isolation: usize,
    /// Evaluations under way.
    pub evaluations: usize,
    /// Unanswered queries.
    pub queries: usize,
    /// Unanswered queries of one isolation id.
    pub queries_per_isolation: usize,
    /// How long a lookup goes on after its last query's deadline.
    pub background: Duration,
    /// How long a value is kept.
    pub ttl: Duration,
    /// How long an absence is kept.
    pub negative_ttl: Duration,
    /// How much is kept.
    pub cache: CacheLimits,
}

/// How much may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// Names for each id, and as many answers; 0 keeps nothing.
    pub entries: usize,
    /// Ids; 0 keeps nothing.
    pub isolations: usize,
    /// Bytes over all ids, names and bookkeeping included.
    pub bytes: usize,
}

impl Limits {
    /// The bounds of `spec/isolation.md`, as configured.
    pub fn with(settings: &Settings) -> Self {
        let cache = &settings.cache;
        Self {
            slots: settings.lookups,
            slots_per_isolation: SLOTS_PER_ISOLATION.min(settings.lookups),
            evaluations: EVALUATIONS,
            queries: 10_000,
            queries_per_isolation: 1_000,
            background: Duration::from_secs(60),
            ttl: cache.ttl,
            negative_ttl: cache.negative_ttl,
            cache: CacheLimits {
                entries: cache.entries,
                isolations: cache.isolations,
                bytes: cache.bytes,
            },
        }
    }

    /// How long something is kept.
    pub(super) fn ttl(&self, finding: &Finding) -> Duration {
        let is_positive = match finding {
            Finding::Name(fetched) => matches!(fetched, Fetched::Value(_)),
            Finding::Delegated(answer) => answer.is_positive(),
        };
        match is_positive {
            true => self.ttl,
            false => self.negative_ttl,
        }
    }
}
