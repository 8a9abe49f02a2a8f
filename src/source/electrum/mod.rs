//! Values from public Electrum servers, verified by proof of work.
//!
//! A name is asked of two servers of different operators, over connections
//! that belong to the isolation id alone (`pool`), and each server's answer
//! must be proven (`evidence`) by a block header that was verified before
//! anybody asked for the name (`sync`). See `spec/electrum.md`.

mod availability;
mod connections;
mod diagnose;
mod discovery;
mod evidence;
mod fetch;
pub(crate) mod fuzzing;
mod header_file;
mod lookup;
mod name_script;
mod pins;
mod pool;
mod protocol;
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
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use rand::SeedableRng;
use rand::rngs::StdRng;

use self::availability::Availability;
use self::connections::HeaderPeers;
use self::connections::LookupDialer;
use self::diagnose::Kept;
use self::discovery::Discovery;
use self::header_file::HeaderFile;
use self::pins::Pins;
use self::pool::Pool;
use self::second_operator::{First, Waiting};
use self::servers::{Server, servers};
use self::state_dir::{LockError, SET_STATE_DIRECTORY, StateDir};
use self::sync::{Driver, Ledger, Sampling, TrackRecord, needed};
use self::wire::Dialer;
use super::diagnosis::{Diagnose, Finding, Milestone, MilestoneError, Progress, proxy_trouble};
use super::{Bounds, Cancel, Learned, Source, SourceReply};
use crate::chain::headers::Headers;
use crate::chain::network::Network;
use crate::config::settings::{ElectrumOperators, ElectrumSettings, NodeAddress};
use crate::isolation::IsolationId;
use crate::log::Log;
use crate::platform;
use crate::snapshot::{FailureKind, FetchFailure, NameKey};

/// Electrum servers that are asked for names, each isolation id's on
/// connections of their own.
pub struct ElectrumSource(Arc<Inner>);

struct Inner {
    settings: ElectrumSettings,
    log: Log,
    shared: OnceLock<Arc<Shared>>,
    /// Values that one operator alone has given.
    waiting: Waiting,
    /// Whom to tell what a second operator says of them.
    learned: OnceLock<Learned>,
    /// Set when the source is dropped: its threads end.
    cancel: Cancel,
}

/// What lookups share. Nothing in it depends on a name.
struct Shared {
    network: Network,
    confirmations: u32,
    proxy: Option<NodeAddress>,
    kept: Kept,
    ledger: Arc<Ledger>,
    pool: Arc<Pool<LookupDialer>>,
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
            shared: OnceLock::new(),
            waiting: Waiting::default(),
            learned: OnceLock::new(),
            cancel: Cancel::new(),
        }))
    }
}

impl Inner {
    /// What lookups share; the headers begin to be fetched when it is asked
    /// for the first time.
    fn shared(&self) -> &Arc<Shared> {
        self.shared.get_or_init(|| Arc::new(self.begin()))
    }

    fn begin(&self) -> Shared {
        let settings = &self.settings;
        let servers = self.servers();
        let (state, kept) = self.open_state();
        let (pins, notes) = Pins::open(state.clone());
        notes.iter().for_each(|note| self.log.warn(note));
        let (availability, note) = Availability::open(state.clone(), now());
        note.iter().for_each(|note| self.log.warn(note));
        let (discovery, note) = self.discovery(&servers, state.clone());
        note.iter().for_each(|note| self.log.warn(note));
        let (file, headers) = self.load_headers(state);
        let pins = Arc::new(pins);
        let dialer = Arc::new(Dialer::new(settings.proxy.clone(), Arc::clone(&pins)));
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
        let ledger = Arc::new(Ledger::new(headers, needed, now));
        if file.as_ref().is_some_and(HeaderFile::is_sampled) {
            ledger.note_sample();
        }
        let driver = Driver {
            peers: Arc::new(HeaderPeers {
                dialer,
                pins,
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
            wanted: settings.operators,
            short_rounds: 0,
            is_warned: false,
        };
        let spawned = platform::thread("headers").spawn(move || driver.run());
        if let Err(error) = spawned {
            ledger.trouble(format!("no thread can be started: {error}"));
        }
        Shared {
            network: settings.network,
            confirmations: settings.confirmations,
            proxy: settings.proxy.clone(),
            kept,
            ledger,
            pool,
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
    fn discovery(
        &self,
        listed: &[Server],
        state: Option<Arc<StateDir>>,
    ) -> (Discovery, Option<String>) {
        let settings = &self.settings;
        match settings.servers.is_empty() && settings.operators == ElectrumOperators::Auto {
            true => Discovery::open(listed, settings.proxy.is_some(), state, now()),
            false => (Discovery::off(), None),
        }
    }

    fn open_state(&self) -> (Option<Arc<StateDir>>, Kept) {
        let Some(path) = &self.settings.state else {
            let why = "the environment names no home directory".to_owned();
            return (None, Kept::Nowhere(why));
        };
        match StateDir::open(path) {
            Ok(state) if state.is_writable() => {
                (Some(Arc::new(state)), Kept::Directory(path.clone()))
            }
            Ok(state) => {
                let why = self.tell_read_only(path, &state);
                let kept = match state.read_only() {
                    Some(LockError::Busy) => Kept::Shared(path.clone(), why),
                    _ => Kept::ReadOnly(path.clone(), why),
                };
                (Some(Arc::new(state)), kept)
            }
            Err(error) => {
                self.log.warn(format_args!(
                    "the state directory {path:?} cannot be used ({error}); block headers \
                     will be fetched anew each time; {SET_STATE_DIRECTORY}"
                ));
                (None, Kept::Nowhere(format!("{path:?}: {error}")))
            }
        }
    }

    /// Tells why nothing is written, and returns it.
    fn tell_read_only(&self, path: &Path, state: &StateDir) -> String {
        let why = state.read_only();
        let words = why.map(ToString::to_string).unwrap_or_default();
        let text = format!("the state directory {path:?} is only read: {words}");
        match why {
            Some(LockError::Denied(_)) => {
                self.log.warn(format_args!("{text}; {SET_STATE_DIRECTORY}"))
            }
            // That is nobody's mistake.
            _ => self.log.info(text),
        }
        words
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
        loaded.notes.iter().for_each(|note| self.log.warn(note));
        self.log
            .info(format_args!("block headers were loaded: {}", loaded.kept));
        (Some(file), headers)
    }
}

impl Drop for ElectrumSource {
    fn drop(&mut self) {
        self.0.cancel.set();
        self.0.waiting.end();
    }
}

impl Source for ElectrumSource {
    fn fetch(
        &self,
        isolation: &IsolationId,
        key: &NameKey,
        bounds: &Bounds,
    ) -> Result<SourceReply, FetchFailure> {
        let outcome = fetch::fetch(self.0.shared(), isolation, key, bounds)?;
        let reply = SourceReply::from(&outcome);
        if let Some(operator) = outcome.alone {
            let (key, status) = (key.clone(), outcome.status);
            let first = First {
                key,
                status,
                operator,
            };
            second_operator::ask_later(&self.0, isolation, first);
        }
        Ok(reply)
    }

    fn on_learned(&self, learned: Learned) {
        let _ = self.0.learned.set(learned);
    }

    fn start(&self) {
        // Reading what is kept takes a moment, for which nobody waits.
        let inner = Arc::clone(&self.0);
        let _ = platform::thread("electrum").spawn(move || inner.shared().pool.start());
    }

    fn forget(&self, isolation: &IsolationId) {
        self.0.waiting.forget(isolation);
        if let Some(shared) = self.0.shared.get() {
            shared.pool.forget(isolation);
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
        diagnose::check(self.0.shared(), &self.0.servers(), bounds)
    }

    fn progress(&self) -> Option<Progress> {
        // Whoever looks on begins nothing.
        let shared = self.0.shared.get()?;
        let received = shared.received.load(Ordering::Relaxed);
        diagnose::progress(&shared.ledger, received)
    }

    fn milestone(&self, bounds: &Bounds) -> Result<Milestone, MilestoneError> {
        if let Some(proxy) = &self.0.settings.proxy
            && let Some(Finding { what, remedy, .. }) = proxy_trouble(proxy, bounds)
        {
            let failure = FetchFailure::new(
                FailureKind::Unreachable,
                format!("the proxy cannot be used: {what}; {remedy}"),
            );
            return Err(MilestoneError::Unreachable(failure));
        }
        diagnose::milestone(&self.0.shared().ledger, bounds)
    }
}

/// The seconds of Unix time.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}
