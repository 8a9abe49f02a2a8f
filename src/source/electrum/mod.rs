//! Values from public Electrum servers, verified by proof of work.
//!
//! Electrum servers index Namecoin's transactions by name. Nobody has to trust
//! them: a server proves with a Merkle branch that an operation on a name is in a
//! block, and the block's header proves itself by its work. What no server can
//! prove is that there is no newer operation, so two operators are asked.
//!
//! 1. A thread (`sync`) downloads block headers, verifies them by the rules of
//!    [`crate::chain`], and keeps the chain with the most work in a `Ledger`. It
//!    follows a clock of its own, so that its traffic says nothing about lookups.
//! 2. A lookup (`fetch`) asks two servers of different operators at once, over
//!    connections that belong to its isolation id alone (`pool`).
//! 3. `lookup` asks one server: `reply` parses what it sends, `verdict` chooses
//!    the newest operation that counts, and `evidence` proves it against the
//!    header in the ledger.
//! 4. The newest proven operation wins. If one operator alone has answered in
//!    time, `second_operator` asks another in the background.
//!
//! `servers` is the bundled list of servers, and `discovery` finds others.
//! `availability`, `pins` and `header_file` remember across runs which servers
//! answer, which keys they have, and the headers, all in the `state_dir`. `wire`
//! speaks the protocol, and `header_peer` fetches headers with it. `diagnose` is
//! what `check`, `checkpoint` and the progress display report.
//!
//! Start reading with `verdict`, `evidence`, `lookup` and `fetch`, then `pool`,
//! then `sync`. `spec/electrum.md` is normative.

mod availability;
mod diagnose;
mod discovery;
mod evidence;
mod fetch;
pub(crate) mod fuzzing;
mod header_file;
mod header_peer;
mod lookup;
mod pins;
mod pool;
mod reply;
mod second_operator;
mod servers;
mod state_dir;
mod sync;
#[cfg(test)]
mod testing;
mod verdict;
mod wire;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use rand::SeedableRng;
use rand::rngs::StdRng;

use self::availability::Availability;
use self::discovery::Discovery;
use self::fetch::Backend;
use self::header_file::HeaderFile;
use self::header_peer::HeaderPeers;
use self::lookup::LookupDialer;
use self::pins::Pins;
use self::pool::Pool;
use self::second_operator::{SecondOpinions, SingleAnswer};
use self::servers::{Server, servers};
use self::state_dir::{StateDir, Storage};
use self::sync::{Driver, Ledger, Sampling, TrackRecord, needed, unix_time};
use self::wire::Dialer;
use super::diagnosis::{Diagnose, Finding, Milestone, MilestoneError, Progress, proxy_trouble};
use super::{Bounds, Cancel, Learned, Source, SourceReply};
use crate::chain::headers::Headers;
use crate::config::settings::{ElectrumOperators, ElectrumSettings};
use crate::isolation::IsolationId;
use crate::log::Log;
use crate::platform;
use crate::snapshot::{FetchError, FetchErrorKind, NameKey};

/// Electrum servers that are asked for names, each isolation id's on
/// connections of their own.
pub struct ElectrumSource(Arc<Inner>);

struct Inner {
    settings: ElectrumSettings,
    log: Log,
    started: OnceLock<Started>,
    /// Asks again where one operator alone has answered.
    second_opinions: Arc<SecondOpinions>,
    /// Set when the source is dropped: its threads end.
    cancel: Cancel,
}

/// What exists once the source is in use.
struct Started {
    backend: Arc<Backend>,
    storage: Storage,
    /// Bytes that came in on connections for headers.
    received: Arc<AtomicU64>,
}

impl fmt::Debug for ElectrumSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ElectrumSource")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

impl ElectrumSource {
    /// Prepares; nothing is connected, looked up or read before
    /// [`Source::start`], the first fetch or the first check.
    pub fn new(settings: &ElectrumSettings, log: Log) -> Self {
        Self(Arc::new(Inner {
            settings: settings.clone(),
            log,
            started: OnceLock::new(),
            second_opinions: Arc::default(),
            cancel: Cancel::new(),
        }))
    }
}

impl Inner {
    /// Starts fetching headers, if that has not begun yet.
    fn started(&self) -> &Started {
        self.started.get_or_init(|| self.begin())
    }

    fn begin(&self) -> Started {
        let settings = &self.settings;
        let servers = self.servers();
        let (state, storage) = Storage::open(settings.state.as_deref(), &self.log);
        let pins = Arc::new(Pins::open(state.clone()));
        let availability = Availability::open(state.clone(), unix_time());
        let discovery = self.discovery(&servers, state.clone());
        let (file, headers) = self.load_headers(state);
        let dialer = Arc::new(Dialer::new(settings.proxy.clone(), pins));
        let received = dialer.headers_received();
        let pool = Arc::new(Pool::new(
            LookupDialer(Arc::clone(&dialer)),
            servers.clone(),
        ));
        for server in &servers {
            if !settings.servers.is_empty() || availability.answered_before(&server.address) {
                pool.expect(server);
            }
        }
        let needed = needed(&servers, settings.operators);
        pool.set_slots(needed);
        let ledger = Arc::new(Ledger::new(headers, needed, unix_time));
        if file.as_ref().is_some_and(HeaderFile::is_sampled) {
            ledger.note_sample();
        }
        let driver = Driver {
            peers: Arc::new(HeaderPeers {
                dialer,
                availability,
                log: self.log.clone(),
                pool: Arc::clone(&pool),
                genesis: settings.network.genesis(),
                changed: Mutex::default(),
                cancel: self.cancel.clone(),
            }),
            servers,
            discovery,
            ledger: Arc::clone(&ledger),
            file,
            cancel: self.cancel.clone(),
            log: self.log.clone(),
            random: StdRng::from_rng(&mut rand::rng()),
            sampling: Sampling::new(settings.verifies_all),
            next_probe: None,
            record: TrackRecord::default(),
            operators: settings.operators,
            short_rounds: 0,
            is_warned: false,
        };
        let spawned = platform::thread("headers").spawn(move || driver.run());
        if let Err(error) = spawned {
            ledger.trouble(format!("no thread can be started: {error}"));
        }
        let backend = Backend {
            network: settings.network,
            confirmations: settings.confirmations,
            ledger,
            pool,
        };
        Started {
            backend: Arc::new(backend),
            storage,
            received,
        }
    }

    /// The servers that can be reached: onion services only through a proxy.
    fn servers(&self) -> Vec<Server> {
        let mut servers = servers(&self.settings.servers);
        if self.settings.proxy.is_none() {
            servers.retain(|server| !server.address.is_onion());
        }
        servers
    }

    /// Servers beside the listed ones; none where the user named servers, or
    /// where they would not count.
    fn discovery(&self, listed: &[Server], state: Option<Arc<StateDir>>) -> Discovery {
        let settings = &self.settings;
        match settings.servers.is_empty() && settings.operators == ElectrumOperators::Auto {
            true => Discovery::open(listed, settings.proxy.is_some(), state, unix_time()),
            false => Discovery::off(),
        }
    }

    fn load_headers(&self, state: Option<Arc<StateDir>>) -> (Option<HeaderFile>, Headers) {
        let ElectrumSettings {
            network,
            checkpoint,
            verifies_all,
            ..
        } = self.settings;
        let Some(state) = state else {
            return (None, Headers::new(network, checkpoint));
        };
        let (file, headers, loaded) = HeaderFile::load(state, network, checkpoint, verifies_all);
        self.log
            .info(format_args!("block headers were loaded: {}", loaded.kept));
        (Some(file), headers)
    }
}

impl Drop for ElectrumSource {
    fn drop(&mut self) {
        self.0.cancel.set();
        self.0.second_opinions.end();
    }
}

impl Source for ElectrumSource {
    fn fetch(
        &self,
        isolation: &IsolationId,
        key: &NameKey,
        bounds: &Bounds,
    ) -> Result<SourceReply, FetchError> {
        let backend = &self.0.started().backend;
        let outcome = fetch::fetch(backend, isolation, key, bounds)?;
        let reply = SourceReply::from(&outcome);
        if let Some(operator) = outcome.only_operator {
            let (key, status) = (key.clone(), outcome.status);
            let first = SingleAnswer {
                key,
                status,
                operator,
            };
            self.0.second_opinions.ask(backend, isolation, first);
        }
        Ok(reply)
    }

    fn on_learned(&self, learned: Learned) {
        self.0.second_opinions.on_learned(learned);
    }

    fn start(&self) {
        // Reading what is kept takes a moment, for which nobody waits.
        let inner = Arc::clone(&self.0);
        let _ = platform::thread("electrum").spawn(move || inner.started().backend.pool.start());
    }

    fn forget(&self, isolation: &IsolationId) {
        self.0.second_opinions.forget(isolation);
        if let Some(started) = self.0.started.get() {
            started.backend.pool.forget(isolation);
        }
    }
}

impl Diagnose for ElectrumSource {
    fn check(&self, bounds: &Bounds) -> Vec<Finding> {
        if let Some(proxy) = &self.0.settings.proxy
            && let Some(obstacle) = proxy_trouble(proxy, bounds)
        {
            return vec![obstacle];
        }
        let Started {
            backend, storage, ..
        } = self.0.started();
        let proxy = self.0.settings.proxy.as_ref();
        diagnose::check(backend, storage, proxy, &self.0.servers(), bounds)
    }

    fn progress(&self) -> Option<Progress> {
        // Whoever looks on begins nothing.
        let started = self.0.started.get()?;
        let received = started.received.load(Ordering::Relaxed);
        diagnose::progress(&started.backend.ledger, received)
    }

    fn milestone(&self, bounds: &Bounds) -> Result<Milestone, MilestoneError> {
        if let Some(proxy) = &self.0.settings.proxy
            && let Some(Finding { what, remedy, .. }) = proxy_trouble(proxy, bounds)
        {
            let failure = FetchError::new(
                FetchErrorKind::Unreachable,
                format!("the proxy cannot be used: {what}; {remedy}"),
            );
            return Err(MilestoneError::Unreachable(failure));
        }
        diagnose::milestone(&self.0.started().backend.ledger, bounds)
    }
}
