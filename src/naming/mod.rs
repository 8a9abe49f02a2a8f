//! Which names are ours, and who resolves them: our own resolver, or a naming
//! plugin of the user's. The doors in front of Tor share it.
//!
//! ```text
//! door → Lookups → names: whose? → scheduler
//! ```

mod answer;
mod names;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::answer::Answer;
pub use self::names::{Suffixes, is_ours};

use crate::config::settings::PluginCommand;
use crate::isolation::IsolationId;
use crate::log::Log;
use crate::log::lookups::{QueryLog, QueryResult};
use crate::policy::{Query, Verdict};
use crate::scheduler::{Client, Scheduler};

/// What is called with every answer that is not given at once. It must not
/// block.
pub type Deliver = Box<dyn Fn(u64, Answer) + Send + Sync>;

/// Which names are ours and who resolves them, for all doors of a process.
pub struct Naming {
    suffixes: Suffixes,
    /// How long a lookup may take.
    timeout: Duration,
    only_onion: bool,
    log: Log,
}

impl Naming {
    /// Names in `bit`, and those of plugins, are ours. A lookup takes at most
    /// `timeout`; `only_onion` restricts answers to onion services.
    pub fn new(
        plugins: Vec<PluginCommand>,
        timeout: Duration,
        only_onion: bool,
        log: &Log,
    ) -> Self {
        Self {
            suffixes: Suffixes::new(&plugins),
            timeout,
            only_onion,
            log: log.clone(),
        }
    }

    /// The suffixes of the names that are ours.
    pub fn suffixes(&self) -> &Suffixes {
        &self.suffixes
    }

    /// Whether a host must not reach Tor unresolved.
    pub fn is_ours(&self, host: &[u8]) -> bool {
        self.suffixes.is_ours(host)
    }

    /// Lookups for one door. `deliver` is called with every answer that is not
    /// given at once.
    pub fn lookups(self: &Arc<Self>, scheduler: &Scheduler, deliver: Deliver) -> Lookups {
        let delivery = Arc::new(Delivery {
            naming: Arc::clone(self),
            log: QueryLog::new(self.log.clone()),
            deliver,
        });
        let answered = Arc::clone(&delivery);
        let client = scheduler.client(Box::new(move |number, verdict| {
            let answer = answered.judge(number, &verdict, false);
            (answered.deliver)(number, answer);
        }));
        Lookups { delivery, client }
    }
}

/// The lookups of one door. When it is dropped they are cancelled.
pub struct Lookups {
    delivery: Arc<Delivery>,
    client: Client,
}

/// The way of an answer to its door.
struct Delivery {
    naming: Arc<Naming>,
    log: QueryLog,
    deliver: Deliver,
}

impl Lookups {
    /// Looks a name up. `number` is the caller's, unique as long as this value
    /// lives. Returns the answer if it is known at once; otherwise the answer is
    /// delivered in time, exactly once, unless the lookup is cancelled before.
    /// It may be delivered before this function returns.
    pub fn start(&self, number: u64, host: &[u8], isolation: &IsolationId) -> Option<Answer> {
        let naming = &self.delivery.naming;
        let query = match Query::parse(host, naming.only_onion) {
            Ok(query) => query,
            Err(verdict) => return Some(Answer::from(&verdict)),
        };
        self.delivery
            .log
            .asked(number, isolation, || query.name_text(), query.only_onion());
        let now = Instant::now();
        let kept = query.question().and_then(|question| {
            let question = question.as_bytes();
            self.client.answer(isolation.as_bytes(), question, now)
        });
        if let Some(kept) = kept {
            return Some(self.delivery.judge(number, kept.verdict(), true));
        }
        self.client
            .ask(number, isolation, query, now + naming.timeout);
        None
    }

    /// Withdraws a lookup. An answer that is on its way may still be delivered.
    pub fn cancel(&self, number: u64) {
        self.client.cancel(number);
        self.delivery.log.withdrawn(number);
    }

    /// Drops everything that is kept for an id: cached values and answers, and
    /// connections. Lookups that are under way end as usual, and leave nothing
    /// behind.
    pub fn forget(&self, isolation: &IsolationId) {
        self.client.forget(isolation);
    }
}

impl Delivery {
    /// The answer that a verdict of our own resolver means, which is logged.
    fn judge(&self, number: u64, verdict: &Verdict, is_cached: bool) -> Answer {
        if self.log.is_enabled() {
            let failure = match verdict {
                Verdict::Unknown(failure) => Some(failure.kind),
                _ => None,
            };
            self.log.answered(
                number,
                &QueryResult {
                    status: verdict.status().code(),
                    text: &verdict.text(),
                    failure,
                    is_cached,
                },
            );
        }
        match Answer::from(verdict) {
            // A name in `bit` may be an alias of one that a plugin resolves.
            Answer::Host(host) if self.naming.is_ours(host.as_bytes()) => {
                Answer::NoSuchName(format!("{host} is an alias that leads to another resolver"))
            }
            answer => answer,
        }
    }
}
