//! A resolver for other programs: a source, the scheduler, and plain questions.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::config::settings::{ProxyAddress, Settings};
use crate::delegation::Delegations;
use crate::isolation::IsolationId;
use crate::log::Log;
use crate::policy::{Query, Verdict};
use crate::scheduler::{Client, Limits, Scheduler, Timekeeper, Upstreams};
use crate::snapshot::{FetchError, FetchErrorKind};
use crate::source::Source;

/// What Tor can connect to in place of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// A version 3 onion service, with its ending `.onion`.
    Onion(String),
    /// A public address.
    Address(IpAddr),
    /// A host name of the public DNS, for a Tor exit to resolve.
    Host(String),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Onion(name) | Self::Host(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// Why there is no [`Answer`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The name does not end in `.bit` or `.bit.onion`. Holds the name.
    #[error("{0} is not a Namecoin domain")]
    NotInZone(String),
    /// No name can be written like this: an empty label, a letter outside ASCII, too
    /// long. Holds the reason, which contains the name.
    #[error("{0}")]
    BadName(String),
    /// The name is not registered, or its owner published nothing that Tor can
    /// connect to. Holds the reason, which contains the name.
    #[error("{0}")]
    NotFound(String),
    /// The answer is not known at present. This says nothing about the name, and
    /// a later attempt may succeed.
    #[error(transparent)]
    Unavailable(FetchError),
}

/// Who can do something about a [`ResolveError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhoCanAct {
    /// The program or person that asked.
    Caller,
    /// The owner of the name.
    Owner,
    /// Whoever set up the source: an address, credentials or a file.
    Configuration,
    /// Whoever runs the node or the servers, or time itself.
    Source,
    /// The developers of this library or of the source: it is a bug.
    Developers,
}

impl ResolveError {
    /// Who can do something about it.
    pub fn who_can_act(&self) -> WhoCanAct {
        match self {
            Self::NotInZone(_) | Self::BadName(_) => WhoCanAct::Caller,
            Self::NotFound(_) => WhoCanAct::Owner,
            Self::Unavailable(failure) => match failure.kind {
                FetchErrorKind::Credentials | FetchErrorKind::Unsuitable | FetchErrorKind::File => {
                    WhoCanAct::Configuration
                }
                FetchErrorKind::Internal => WhoCanAct::Developers,
                _ => WhoCanAct::Source,
            },
        }
    }

    /// Whether a later attempt may succeed without anything having changed at
    /// the name.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Called with the result of a lookup, on a thread of the resolver, which it
/// must not block for long.
type Then = Box<dyn FnOnce(Result<Answer, ResolveError>) + Send>;

/// The lookups that [`Resolver::resolve_then`] began, by number.
type Waiting = Arc<Mutex<HashMap<u64, Then>>>;

/// Resolves `.bit` names, and keeps isolation ids apart while it does.
///
/// Everything the resolver remembers belongs to one isolation id: what it learned
/// for one changes neither the answer for another nor how long it takes. It
/// reads no configuration; values come from its [`Source`]. It opens connections
/// only to the proxy of [`ResolverBuilder::delegations`], if there is one.
///
/// Dropping the resolver cancels its lookups.
pub struct Resolver {
    // Dropped first, which cancels what is under way.
    client: Client,
    waiting: Waiting,
    last: AtomicU64,
    only_onion: bool,
    _scheduler: Scheduler,
}

/// The options of a [`Resolver`].
pub struct ResolverBuilder {
    source: Arc<dyn Source>,
    delegations: Option<Delegations>,
    limits: Limits,
    log: Log,
    only_onion: bool,
}

/// A lookup that is under way, for [`Resolver::cancel`] of the resolver that gave it.
/// Dropping it does not end the lookup.
#[derive(Debug)]
pub struct Lookup {
    number: u64,
}

impl ResolverBuilder {
    /// Keeps a value for this long, and the absence of a name for as long as
    /// `absence`; nothing if both are zero. The default is ten minutes for values,
    /// one minute for absences.
    #[must_use]
    pub fn keep(mut self, value: Duration, absence: Duration) -> Self {
        self.limits.ttl = value;
        self.limits.negative_ttl = absence;
        self
    }

    /// The maximum number of fetches under way at once, at least 1. The default
    /// is 64.
    #[must_use]
    pub fn lookups(mut self, most: usize) -> Self {
        self.limits.slots = most.max(1);
        self
    }

    /// The memory for cached values and answers of all isolation ids together,
    /// in bytes. The default is 32 MiB.
    #[must_use]
    pub fn cache_bytes(mut self, most: usize) -> Self {
        self.limits.cache.bytes = most;
        self
    }

    /// Answers with onion services only. The default is no.
    #[must_use]
    pub fn only_onion(mut self, only: bool) -> Self {
        self.only_onion = only;
        self
    }

    /// Resolves names that are delegated, by asking their name servers through a
    /// SOCKS5 proxy such as Tor's, with new credentials for each connection. Without
    /// it, which is the default, they are not found.
    #[must_use]
    pub fn delegations(mut self, proxy: ProxyAddress) -> Self {
        self.delegations = Some(Delegations::new(proxy));
        self
    }

    /// Where to log. The default is nowhere.
    #[must_use]
    pub fn log(mut self, log: Log) -> Self {
        self.log = log;
        self
    }

    /// Starts the resolver.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn build(self) -> io::Result<Resolver> {
        let timekeeper = Timekeeper::start()?;
        let mut limits = self.limits;
        limits.slots_per_isolation = limits.slots_per_isolation.min(limits.slots);
        let upstreams = Upstreams {
            source: Arc::clone(&self.source),
            delegations: self.delegations,
        };
        let scheduler = Scheduler::new(upstreams, limits, self.log, timekeeper);
        let waiting = Waiting::default();
        let answered = Arc::clone(&waiting);
        let client = scheduler.client(Box::new(move |number, verdict| {
            let then = lock(&answered).remove(&number);
            if let Some(then) = then {
                then(result(verdict));
            }
        }));
        self.source.start();
        Ok(Resolver {
            client,
            waiting,
            last: AtomicU64::new(0),
            only_onion: self.only_onion,
            _scheduler: scheduler,
        })
    }
}

impl Resolver {
    /// The options of a resolver that asks `source`, with the defaults of the
    /// program. Reads no file.
    pub fn builder(source: impl Source + 'static) -> ResolverBuilder {
        ResolverBuilder {
            source: Arc::new(source),
            delegations: None,
            limits: Limits::with(&Settings::default()),
            log: Log::silent(),
            only_onion: false,
        }
    }

    /// Looks `name` up under an isolation id, and waits for the answer until
    /// `deadline` at the latest.
    ///
    /// A name with the ending `.bit.onion` is answered with onion services only.
    ///
    /// # Errors
    /// There is no answer. If the time runs out, the error is
    /// [`ResolveError::Unavailable`] with [`FetchErrorKind::TimedOut`]. A failed fetch
    /// is tried again until `deadline`, except after
    /// [`FetchErrorKind::Credentials`], [`FetchErrorKind::Unsuitable`],
    /// [`FetchErrorKind::NameServers`] and [`FetchErrorKind::Internal`], which end
    /// the lookup at once. A fetch that is
    /// still running at `deadline` goes on for up to a minute, so that a later lookup
    /// finds its value.
    pub fn resolve(
        &self,
        isolation: &IsolationId,
        name: &str,
        deadline: Instant,
    ) -> Result<Answer, ResolveError> {
        let (sender, receiver) = sync_channel(1);
        self.resolve_then(isolation, name, deadline, move |result| {
            // Nobody receives it if this call has panicked.
            drop(sender.send(result));
        });
        receiver.recv().unwrap_or_else(|_| {
            let message = "the resolver ended before its answer";
            let failure = FetchError::new(FetchErrorKind::Internal, message);
            Err(ResolveError::Unavailable(failure))
        })
    }

    /// Like [`Resolver::resolve`], without waiting: `then` is called with the
    /// result exactly once, by `deadline`, unless the lookup is cancelled before.
    /// It is called on a thread of the resolver, or on this one if nothing has to
    /// be looked up, and must not block for long. If it panics, the panic is caught
    /// and only this lookup is over.
    pub fn resolve_then(
        &self,
        isolation: &IsolationId,
        name: &str,
        deadline: Instant,
        then: impl FnOnce(Result<Answer, ResolveError>) + Send + 'static,
    ) -> Lookup {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        match Query::parse(name.as_bytes(), self.only_onion) {
            Ok(query) => {
                lock(&self.waiting).insert(number, Box::new(then));
                self.client.ask(number, isolation, query, deadline);
            }
            Err(Verdict::NotFound(reason)) => then(Err(ResolveError::BadName(reason))),
            Err(verdict) => then(result(verdict)),
        }
        Lookup { number }
    }

    /// Ends a lookup of this resolver that nobody waits for any more. Its callback is
    /// dropped without being called, unless it is running already; so are those of a
    /// dropped resolver.
    pub fn cancel(&self, lookup: Lookup) {
        lock(&self.waiting).remove(&lookup.number);
        self.client.cancel(lookup.number);
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl fmt::Debug for ResolverBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolverBuilder")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

fn lock(waiting: &Mutex<HashMap<u64, Then>>) -> MutexGuard<'_, HashMap<u64, Then>> {
    // What is called is called without the lock, so that no panic leaves the
    // map half changed.
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn result(verdict: Verdict) -> Result<Answer, ResolveError> {
    match verdict {
        Verdict::Onion(onion) => Ok(Answer::Onion(onion.as_str().to_owned())),
        Verdict::Address(address) => Ok(Answer::Address(address)),
        Verdict::Host(host) => Ok(Answer::Host(host)),
        Verdict::NotInZone(name) => Err(ResolveError::NotInZone(name)),
        Verdict::NotFound(reason) => Err(ResolveError::NotFound(reason)),
        Verdict::Unknown(failure) => Err(ResolveError::Unavailable(failure)),
    }
}
