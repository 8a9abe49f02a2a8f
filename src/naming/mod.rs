//! Which names are ours, and who resolves them: our own resolver, or a naming
//! plugin of the user's. The doors in front of Tor share it.
//!
//! ```text
//! door → Lookups → names: whose? → scheduler, or plugin → process
//! ```

mod answer;
mod names;
mod plugin;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub use self::answer::Answer;
pub use self::names::{Suffixes, is_ours};

use self::names::Owner;
use self::plugin::{Plugin, Rules, Ticket};
use crate::config::settings::PluginCommand;
use crate::isolation::IsolationId;
use crate::log::Log;
use crate::log::lookups::{QueryLog, QueryResult};
use crate::policy::{Query, Status, Verdict};
use crate::scheduler::{Client, Scheduler};
use crate::snapshot::FetchErrorKind;
use crate::text::{clip, printable};

/// The longest name that a reason repeats, in characters.
const MAX_SHOWN: usize = 253;

/// What is called with every answer that is not given at once. It must not
/// block.
pub type Deliver = Box<dyn Fn(u64, Answer) + Send + Sync>;

/// Which names are ours and who resolves them, for all doors of a process.
pub struct Naming {
    suffixes: Arc<Suffixes>,
    /// In the order of their numbers ([`Owner::Plugin`]).
    plugins: Vec<Plugin>,
    /// The number of the last [`Lookups`].
    last: AtomicU64,
    /// How long a lookup may take.
    timeout: Duration,
    only_onion: bool,
    log: Log,
}

impl Naming {
    /// Names in `bit`, and those of plugins, are ours. A lookup takes at most
    /// `timeout`; `only_onion` restricts answers to onion services. The plugins
    /// are started at once, each in a thread of its own.
    pub fn new(
        plugins: Vec<PluginCommand>,
        timeout: Duration,
        only_onion: bool,
        log: &Log,
    ) -> Self {
        let suffixes = Arc::new(Suffixes::new(&plugins));
        let plugins = plugins.into_iter().map(|plugin| {
            let rules = Rules {
                suffixes: Arc::clone(&suffixes),
                only_onion,
            };
            Plugin::start(plugin, rules, log)
        });
        Self {
            plugins: plugins.collect(),
            suffixes,
            last: AtomicU64::new(0),
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
            suffixes: Arc::clone(&self.suffixes),
            log: QueryLog::new(self.log.clone()),
            deliver,
        });
        let answered = Arc::clone(&delivery);
        let client = scheduler.client(Box::new(move |number, verdict| {
            let answer = answered.resolved(number, &verdict, false);
            (answered.deliver)(number, answer);
        }));
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        for plugin in &self.plugins {
            let delivery = Arc::clone(&delivery);
            plugin.register(
                number,
                Arc::new(move |number, answer| {
                    delivery.log_answer(number, &answer, FetchErrorKind::TimedOut);
                    (delivery.deliver)(number, answer);
                }),
            );
        }
        Lookups {
            naming: Arc::clone(self),
            number,
            delivery,
            client,
        }
    }

    /// Ends the plugins, within a second or so. From then on their names are
    /// answered with `NotNow`.
    pub fn close(&self) {
        self.plugins.iter().for_each(Plugin::close);
        self.plugins.iter().for_each(Plugin::join);
    }
}

impl Drop for Naming {
    fn drop(&mut self) {
        self.close();
    }
}

/// The lookups of one door. When it is dropped they are cancelled.
pub struct Lookups {
    naming: Arc<Naming>,
    /// Distinguishes it from the lookups of other doors.
    number: u64,
    delivery: Arc<Delivery>,
    client: Client,
}

/// What takes an answer to its door.
struct Delivery {
    suffixes: Arc<Suffixes>,
    log: QueryLog,
    deliver: Deliver,
}

impl Lookups {
    /// Looks a name up. `number` is the caller's, unique as long as this value
    /// lives. Returns the answer if it is known at once; otherwise the answer is
    /// delivered in time, exactly once, unless the lookup is cancelled before.
    /// It may be delivered before this function returns.
    pub fn start(&self, number: u64, host: &[u8], isolation: &IsolationId) -> Option<Answer> {
        if let Some(Owner::Plugin(plugin)) = self.naming.suffixes.owner(host) {
            return self.ask_plugin(plugin, number, host, isolation);
        }
        let query = match Query::parse(host, self.naming.only_onion) {
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
            return Some(self.delivery.resolved(number, kept.verdict(), true));
        }
        self.client
            .ask(number, isolation, query, now + self.naming.timeout);
        None
    }

    fn ask_plugin(
        &self,
        plugin: usize,
        number: u64,
        host: &[u8],
        isolation: &IsolationId,
    ) -> Option<Answer> {
        let Some(name) = names::host_name(host) else {
            let host = printable(&String::from_utf8_lossy(host));
            let why = format!("{} is not a host name", clip(&host, MAX_SHOWN));
            return Some(Answer::NoSuchName(why));
        };
        let log = &self.delivery.log;
        log.asked(number, isolation, || name.clone(), self.naming.only_onion);
        let ticket = self.ticket(number);
        let deadline = Instant::now() + self.naming.timeout;
        let answer = match self.naming.plugins.get(plugin) {
            Some(plugin) => plugin.ask(ticket, name, isolation, deadline)?,
            None => Answer::NotNow("there is no such plugin; please report this".to_owned()),
        };
        self.delivery
            .log_answer(number, &answer, FetchErrorKind::Overloaded);
        Some(answer)
    }

    fn ticket(&self, number: u64) -> Ticket {
        Ticket {
            asker: self.number,
            number,
        }
    }

    /// Withdraws a lookup. An answer that is on its way may still be delivered.
    pub fn cancel(&self, number: u64) {
        self.client.cancel(number);
        let ticket = self.ticket(number);
        for plugin in &self.naming.plugins {
            plugin.cancel(ticket);
        }
        self.delivery.log.withdrawn(number);
    }

    /// Drops everything that is kept for an id: cached values and answers, and
    /// connections. Lookups that are under way end as usual, and leave nothing
    /// behind. Plugins are not asked to forget anything: their protocol has no
    /// word for it.
    pub fn forget(&self, isolation: &IsolationId) {
        self.client.forget(isolation);
    }
}

impl Drop for Lookups {
    fn drop(&mut self) {
        for plugin in &self.naming.plugins {
            plugin.unregister(self.number);
        }
    }
}

impl Delivery {
    /// Logs a verdict of our own resolver, and turns it into an answer.
    fn resolved(&self, number: u64, verdict: &Verdict, is_cached: bool) -> Answer {
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
            Answer::Host(host) if self.suffixes.is_ours(host.as_bytes()) => {
                Answer::NoSuchName(format!("{host} is an alias that leads to another resolver"))
            }
            answer => answer,
        }
    }

    /// Logs the answer of a plugin; `kind` is the kind of failure if it is one.
    fn log_answer(&self, number: u64, answer: &Answer, kind: FetchErrorKind) {
        if !self.log.is_enabled() {
            return;
        }
        let (status, failure) = match answer {
            Answer::Onion(_) | Answer::Address(_) | Answer::Host(_) => (Status::Success, None),
            Answer::NoSuchName(_) => (Status::NotRegistered, None),
            Answer::NotNow(_) => (Status::Timeout, Some(kind)),
        };
        let text = match answer {
            Answer::Address(address) => address.to_string(),
            Answer::Onion(text)
            | Answer::Host(text)
            | Answer::NoSuchName(text)
            | Answer::NotNow(text) => text.clone(),
        };
        self.log.answered(
            number,
            &QueryResult {
                status: status.code(),
                text: &text,
                failure,
                is_cached: false,
            },
        );
    }
}
