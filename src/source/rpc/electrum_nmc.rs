//! What an Electrum-NMC node says of itself: whether it has caught up with its
//! server, which version it is, and whether it asks servers for each isolation
//! id separately.
//!
//! Before it has caught up, it reports names it cannot know as names that never
//! existed. It isolates if it is of the 4.0 line, has a proxy and is not
//! confined to one server; a reply does not show that, but the node's settings
//! do.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use super::Node;
use super::connections::Purpose;
use super::protocol::{self, Reply};
use crate::snapshot::{FetchError, FetchErrorKind};
use crate::source::Bounds;
use crate::text::clip;

/// How long the node's answer is cached. The question is asked at most this
/// often.
const INFO_LIFETIME: Duration = Duration::from_secs(60);

/// The longest text of a node about itself that is shown, in characters.
pub(super) const MAX_WORD: usize = 60;

/// How long a fetch waits for another fetch that asks. A node answers in
/// milliseconds, as it needs no network for it.
const ASKER_PATIENCE: Duration = Duration::from_secs(1);

/// The node's last answer; of several fetches that need a new one, one asks.
#[derive(Debug)]
pub(super) struct InfoCache<T> {
    state: Mutex<CachedInfo<T>>,
    answered: Condvar,
}

#[derive(Debug)]
struct CachedInfo<T> {
    known: Option<(Instant, T)>,
    is_asking: bool,
}

/// Ends the asking, also after a panic, so that a waiting fetch can take over.
struct Asking<'a, T> {
    check: &'a InfoCache<T>,
    answer: Option<T>,
}

impl<T> Drop for Asking<'_, T> {
    fn drop(&mut self) {
        let mut state = self.check.lock();
        state.is_asking = false;
        if let Some(info) = self.answer.take() {
            state.known = Some((Instant::now(), info));
        }
        drop(state);
        self.check.answered.notify_all();
    }
}

impl<T> Default for InfoCache<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(CachedInfo {
                known: None,
                is_asking: false,
            }),
            answered: Condvar::new(),
        }
    }
}

impl<T> InfoCache<T> {
    fn lock(&self) -> MutexGuard<'_, CachedInfo<T>> {
        // The value is consistent at every moment, also after a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> InfoCache<T> {
    /// What the node says of itself. If that is not cached, one caller asks
    /// with `ask` while the others wait for the answer.
    ///
    /// # Errors
    /// `ask` failed, which is not cached, or no answer came before the deadline.
    pub fn info(
        &self,
        bounds: &Bounds,
        ask: impl FnOnce() -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let mut state = self.lock();
        let waited_until = Instant::now().checked_add(ASKER_PATIENCE);
        loop {
            if let Some((when, info)) = &state.known
                && when.elapsed() < INFO_LIFETIME
            {
                return Ok(info.clone());
            }
            if !state.is_asking {
                break;
            }
            let left = bounds.deadline.saturating_duration_since(Instant::now());
            if waited_until.is_none_or(|until| Instant::now() >= until) {
                // The fetch that asks is stuck. This one must not suffer from it.
                break;
            }
            if left.is_zero() {
                return Err(FetchError::new(
                    FetchErrorKind::TimedOut,
                    "the node did not say in time whether it has caught up",
                ));
            }
            (state, _) = self
                .answered
                .wait_timeout(state, left.min(ASKER_PATIENCE))
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.is_asking = true;
        drop(state);
        let mut asking = Asking {
            check: self,
            answer: None,
        };
        let info = ask()?;
        asking.answer = Some(info.clone());
        Ok(info)
    }
}

/// The members of a reply to `getinfo` that matter here. Nodes without the
/// method, or without a member, leave them unknown.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeInfo {
    /// The height up to which the node has verified headers; -1 for none.
    pub blockchain_height: Option<i64>,
    /// The height that its server claims.
    pub server_height: Option<i64>,
    /// The program's version, such as `4.0.6`.
    pub version: Option<String>,
}

impl NodeInfo {
    /// What a reply to `getinfo` says.
    pub fn of(reply: &Reply<'_>) -> Self {
        let mut info: Self = match reply {
            Reply::Result(result) => serde_json::from_str(result.get()).unwrap_or_default(),
            Reply::Error(_) => Self::default(),
        };
        // It is shown, and a reply may be a megabyte long.
        info.version = info.version.map(|version| clip(&version, MAX_WORD));
        info
    }

    /// Whether the node has caught up. One that does not say counts as having
    /// caught up, or its absences could never be believed.
    pub fn is_synced(&self) -> bool {
        match (self.blockchain_height, self.server_height) {
            (Some(own), Some(server)) => own == server,
            _ => true,
        }
    }

    /// Whether the node is of the 4.0 line, which knows isolation ids.
    pub fn is_of_4_0(&self) -> bool {
        self.version
            .as_ref()
            .is_some_and(|version| version.starts_with("4.0."))
    }
}

/// Whether the node keeps isolation ids apart at its servers, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isolating {
    /// Each id has a server connection of its own.
    Yes,
    /// The version knows no isolation ids.
    OtherVersion,
    /// There is no proxy.
    NoProxy,
    /// It is confined to one server.
    OneServer,
    /// The node does not disclose its settings.
    Undisclosed,
}

impl Isolating {
    /// Asks a node whose `getinfo` said `info`.
    ///
    /// # Errors
    /// It did not answer. An error in its answer is no failure.
    pub fn of(node: &Node, info: &NodeInfo, bounds: &Bounds) -> Result<Self, FetchError> {
        if !info.is_of_4_0() {
            return Ok(Self::OtherVersion);
        }
        let proxy = setting(node, "proxy", bounds)?;
        let one_server = setting(node, "oneserver", bounds)?;
        Ok(Self::with(proxy.as_ref(), one_server.as_ref()))
    }

    /// What the settings of the 4.0 line mean; `None` is a setting that the node
    /// does not disclose.
    fn with(proxy: Option<&Value>, one_server: Option<&Value>) -> Self {
        match (proxy, one_server) {
            (Some(Value::Null), _) => Self::NoProxy,
            (Some(Value::String(proxy)), _) if is_none(proxy) => Self::NoProxy,
            (_, Some(Value::Bool(true))) => Self::OneServer,
            (Some(Value::String(_)), Some(Value::Null | Value::Bool(false))) => Self::Yes,
            _ => Self::Undisclosed,
        }
    }

    /// Describes this for a user.
    pub fn text(self, info: &NodeInfo) -> String {
        let version = info.version.as_deref().unwrap_or("of unknown version");
        let links = "it looks up names of different activities over the same server \
                     connections, which links them";
        match self {
            Self::Yes => "each isolation id has a server connection of its own".to_owned(),
            Self::OtherVersion => {
                format!("this Electrum-NMC ({version}) ignores isolation ids: {links}")
            }
            Self::NoProxy => format!(
                "this Electrum-NMC ({version}) has no proxy and so ignores isolation ids: {links}"
            ),
            Self::OneServer => {
                format!(
                    "this Electrum-NMC ({version}) asks one server only and so ignores isolation ids: {links}"
                )
            }
            Self::Undisclosed => format!(
                "this Electrum-NMC ({version}) does not say whether it has a proxy and more servers than one; without \
                 either it ignores isolation ids"
            ),
        }
    }

    /// What to do about it; empty if nothing.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Yes => "",
            Self::OtherVersion => "use Namecoin Core, or Electrum-NMC 4.0.6",
            Self::NoProxy => {
                "start it with --proxy socks5:127.0.0.1:9050 (Tor Browser's port is 9150)"
            }
            Self::OneServer => {
                "start it without --oneserver, after electrum-nmc setconfig -o oneserver false"
            }
            Self::Undisclosed => {
                "see electrum-nmc getconfig proxy and electrum-nmc getconfig oneserver"
            }
        }
    }
}

/// Whether Electrum's text for a proxy means "none".
fn is_none(proxy: &str) -> bool {
    proxy.trim().is_empty() || proxy.eq_ignore_ascii_case("none")
}

/// A setting of the node, null if it is not set; `None` if the node does not
/// disclose it. It may hold a password and is never shown.
fn setting(node: &Node, key: &str, bounds: &Bounds) -> Result<Option<Value>, FetchError> {
    let (_, answer) = node.call(&protocol::getconfig(key), &Purpose::Node, bounds)?;
    let refuses = matches!(Reply::parse(&answer.body), Some(Reply::Error(_)));
    if answer.status == 503 && !refuses {
        // Temporary trouble.
        node.parse(&answer)?;
    }
    Ok(protocol::plain_result(&answer.body))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::source::Cancel;

    fn bounds() -> Bounds {
        let deadline = Instant::now() + Duration::from_secs(20);
        Bounds {
            due: deadline,
            deadline,
            cancel: Cancel::new(),
        }
    }

    fn never() -> Result<bool, FetchError> {
        unreachable!("the answer is known")
    }

    #[test]
    fn both_answers_are_remembered() {
        for synced in [true, false] {
            let check = InfoCache::default();
            assert_eq!(check.info(&bounds(), || Ok(synced)), Ok(synced));
            assert_eq!(check.info(&bounds(), never), Ok(synced));
        }
    }

    #[test]
    fn a_long_version_is_cut() {
        let version = "9".repeat(1 << 20);
        let body = format!(r#"{{"result":{{"version":"{version}"}}}}"#);
        let info = NodeInfo::of(&Reply::parse(body.as_bytes()).unwrap());
        assert_eq!(info.version.map(|version| version.len()), Some(63));
    }

    #[test]
    fn an_old_answer_is_asked_for_again() {
        let check = InfoCache::default();
        let Some(old) = Instant::now().checked_sub(INFO_LIFETIME) else {
            return; // a machine that started within the last minute
        };
        check.lock().known = Some((old, true));
        assert_eq!(check.info(&bounds(), || Ok(false)), Ok(false));
    }

    #[test]
    fn a_failure_is_not_remembered() {
        let check = InfoCache::default();
        let failure = FetchError::new(FetchErrorKind::Unreachable, "gone");
        let failed = check.info(&bounds(), || Err(failure.clone()));
        assert_eq!(failed, Err(failure));
        assert_eq!(check.info(&bounds(), || Ok(true)), Ok(true));
    }

    #[test]
    fn many_at_once_ask_once() {
        let check = InfoCache::default();
        let asked = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let synced = check.info(&bounds(), || {
                        asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        Ok(true)
                    });
                    assert_eq!(synced, Ok(true));
                });
            }
        });
        assert_eq!(asked.into_inner(), 1);
    }

    #[test]
    fn both_settings_count() {
        let socks = json!("socks5:127.0.0.1:9050::");
        for (proxy, one_server, expected) in [
            (Some(socks.clone()), Some(json!(null)), Isolating::Yes),
            (Some(socks.clone()), Some(json!(false)), Isolating::Yes),
            (Some(socks.clone()), Some(json!(true)), Isolating::OneServer),
            (None, Some(json!(true)), Isolating::OneServer),
            (Some(json!(null)), Some(json!(null)), Isolating::NoProxy),
            (Some(json!("None")), Some(json!(true)), Isolating::NoProxy),
            (Some(json!("")), None, Isolating::NoProxy),
            (Some(socks.clone()), None, Isolating::Undisclosed),
            (Some(socks), Some(json!("yes")), Isolating::Undisclosed),
            (Some(json!(true)), Some(json!(null)), Isolating::Undisclosed),
            (None, Some(json!(null)), Isolating::Undisclosed),
            (None, None, Isolating::Undisclosed),
        ] {
            let found = Isolating::with(proxy.as_ref(), one_server.as_ref());
            assert_eq!(found, expected, "{proxy:?} {one_server:?}");
        }
    }
}
