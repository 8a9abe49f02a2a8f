//! Values from a node's JSON-RPC interface.
//!
//! Namecoin Core, Electrum-NMC and ConsensusJ-Namecoin all have the method
//! `name_show`, in three dialects. Its option `streamID` carries the isolation
//! id. Electrum-NMC 4.0 chooses its server connection by it; other nodes ignore
//! it.

mod check;
mod connections;
mod credentials;
mod electrum_nmc;
mod http;
mod protocol;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use data_encoding::HEXLOWER;
use serde_json::value::RawValue;

use self::connections::Purpose;
use self::credentials::{Keyring, Secret};
use self::electrum_nmc::{InfoCache, Isolating, NodeInfo};
use self::http::{Http, HttpReply};
use self::protocol::{Dialect, DialectMemory, NodeState, Reply};
use super::diagnosis::{Diagnose, Finding};
use super::name_show::{NAME_ERROR, NameShow, RpcError};
use super::{Bounds, Cancel, Source, SourceReply};
use crate::config::settings::RpcSettings;
use crate::isolation::IsolationId;
use crate::log::Log;
use crate::platform;
use crate::snapshot::{FetchError, FetchErrorKind, Fetched, NameKey};

/// A node that is asked with `name_show` over HTTP.
///
/// Once its dialect is known, a fetch is one HTTP request. There are more if a
/// kept connection was closed, if the cookie has changed, and if an Electrum-NMC
/// node reports that a name cannot be used: then `getinfo` asks, at most once a
/// minute, whether the node has caught up.
///
/// Connections are kept. All isolation ids share those to a node that is reached
/// directly: a node that keeps its users apart does so by `streamID`. Through a
/// proxy, each isolation id has connections of its own, and so have questions
/// about the node itself.
pub struct RpcSource(Arc<Node>);

/// The node, and what is known of it.
struct Node {
    http: Http,
    keyring: Keyring,
    dialect: DialectMemory,
    info: InfoCache<NodeInfo>,
    /// Whether the log already says if the node honours isolation ids.
    is_isolation_reported: AtomicBool,
    log: Log,
    settings: RpcSettings,
}

impl fmt::Debug for RpcSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcSource")
            .field("address", &self.0.http.address())
            .field("dialect", &self.0.dialect)
            .finish_non_exhaustive()
    }
}

/// What messages say of a Namecoin Core older than the options of `name_show`,
/// and what to do. It looks names up in its own chain, so that a request without
/// the isolation id links nothing outside the machine.
const TOO_OLD: &str = "is too old for isolation ids";
const NEWER: &str = "use a newer Namecoin Core, or --rpc-dialect consensusj, which asks without \
                     them: a Namecoin Core needs no network for a lookup";

/// The outcome of asking in one dialect.
enum Asked {
    /// The node knows.
    Fetched(Fetched),
    /// The node does not understand the dialect.
    Refused,
}

/// One question, with what messages about its failure must not show.
struct Question<'a> {
    isolation: &'a IsolationId,
    key: &'a NameKey,
    bounds: &'a Bounds,
}

impl RpcSource {
    /// Prepares; nothing is connected, resolved or read before the first fetch.
    /// `log` gets one line that says whether an Electrum-NMC node isolates.
    pub fn new(settings: &RpcSettings, log: Log) -> Self {
        Self(Arc::new(Node {
            http: Http::new(&settings.address, settings.proxy.as_ref()),
            keyring: Keyring::new(&settings.credentials),
            dialect: DialectMemory::new(settings.dialect),
            info: InfoCache::default(),
            is_isolation_reported: AtomicBool::new(false),
            log,
            settings: settings.clone(),
        }))
    }
}

impl Node {
    fn ask(&self, dialect: Dialect, question: &Question<'_>) -> Result<Asked, FetchError> {
        let request = dialect.name_show(question.isolation, question.key);
        let purpose = Purpose::Lookup(question.isolation.clone());
        let (secret, answer) = self.call(&request, &purpose, question.bounds)?;
        self.take(&answer, dialect, question, &secret)
    }

    /// Interprets an answer.
    fn take(
        &self,
        answer: &HttpReply,
        dialect: Dialect,
        question: &Question<'_>,
        secret: &Secret,
    ) -> Result<Asked, FetchError> {
        match self.parse(answer)? {
            Reply::Result(result) => self.take_result(result, dialect, question.key),
            Reply::Error(error) if dialect.is_refused_by(&error) => Ok(Asked::Refused),
            Reply::Error(error) => self.take_error(&error, dialect, question, secret),
        }
    }

    /// Sends a request with the credentials, and once more if the cookie has
    /// changed since it was read. `purpose` chooses the connection.
    fn call(
        &self,
        request: &str,
        purpose: &Purpose,
        bounds: &Bounds,
    ) -> Result<(Arc<Secret>, HttpReply), FetchError> {
        let secret = self.keyring.current()?;
        let mut answer = self.http.post(&secret, request, purpose, bounds)?;
        if !refuses_credentials(&answer) {
            return Ok((secret, answer));
        }
        if let Some(renewed) = self.keyring.renewed(&secret) {
            answer = self.http.post(&renewed, request, purpose, bounds)?;
            if !refuses_credentials(&answer) {
                return Ok((renewed, answer));
            }
        }
        // Electrum-NMC sends this for wrong credentials, Namecoin Core for what
        // its configuration forbids.
        let or = match answer.status {
            403 => "; or does its configuration not permit this (rpcallowip, rpcwhitelist)?",
            _ => "",
        };
        let advice = self.keyring.advice();
        Err(self.failure(
            FetchErrorKind::Credentials,
            format_args!("refused our credentials: {advice}{or}"),
        ))
    }

    /// Parses an answer, or says what its HTTP status means.
    fn parse<'a>(&self, answer: &'a HttpReply) -> Result<Reply<'a>, FetchError> {
        let status = answer.status;
        let (kind, what) = match (Reply::parse(&answer.body), status) {
            (Some(Reply::Result(result)), 200) => return Ok(Reply::Result(result)),
            (Some(Reply::Error(error)), 200 | 400..) => return Ok(Reply::Error(error)),
            // Namecoin Core sends an empty one while it stops, and one with
            // text while its work queue is full.
            (_, 503) if answer.body.is_empty() => (
                FetchErrorKind::NotReady,
                "is not available: it may be stopping or starting".into(),
            ),
            (_, 503) => (FetchErrorKind::Overloaded, "has too much to do".into()),
            (_, 300..400) => (
                FetchErrorKind::BadReply,
                format!(
                    "answered with a redirection (HTTP status {status}), which is not followed"
                ),
            ),
            (_, 200) => (
                FetchErrorKind::BadReply,
                "answered with something that is no JSON-RPC answer".into(),
            ),
            _ => (
                FetchErrorKind::BadReply,
                format!("answered with HTTP status {status}: is it a Namecoin node's RPC port?"),
            ),
        };
        Err(self.failure(kind, what))
    }

    fn take_result(
        &self,
        result: &RawValue,
        dialect: Dialect,
        key: &NameKey,
    ) -> Result<Asked, FetchError> {
        let bad = |what: &str| {
            self.failure(
                FetchErrorKind::BadReply,
                format_args!("sent an answer that {what}"),
            )
        };
        let answer: NameShow =
            serde_json::from_str(result.get()).map_err(|_| bad("is not that of name_show"))?;
        if !answer.is_about(key.as_str(), dialect.encoding()) {
            return Err(bad("is about another name"));
        }
        answer
            .fetched(dialect.encoding())
            .map(Asked::Fetched)
            .map_err(bad)
    }

    fn take_error(
        &self,
        error: &RpcError,
        dialect: Dialect,
        question: &Question<'_>,
        secret: &Secret,
    ) -> Result<Asked, FetchError> {
        let is_electrum = dialect == Dialect::ElectrumNmc || error.is_hearsay();
        if error.code == NAME_ERROR && is_electrum {
            self.require_synced(question.bounds)?;
        }
        if let Some(absence) = error.absence() {
            return Ok(Asked::Fetched(Fetched::Absent(absence)));
        }
        let message = shown(error, question, secret);
        let code = error.code;
        Err(match protocol::node_state(error) {
            NodeState::NotReady => self.failure(
                FetchErrorKind::NotReady,
                format_args!("is not ready: {message}"),
            ),
            // These contain only our words, so they can be logged.
            NodeState::NoSuchMethod => self.failure(
                FetchErrorKind::Unsuitable,
                "knows no names: is it a Namecoin node?",
            ),
            NodeState::TooOld => self.failure(
                FetchErrorKind::Unsuitable,
                format_args!("{TOO_OLD}: {NEWER}"),
            ),
            NodeState::Refuses => self.failure(
                FetchErrorKind::Unsuitable,
                format_args!("does not take our requests (error {code}): check --rpc-dialect"),
            ),
            NodeState::Unknown => self.failure(
                FetchErrorKind::BadReply,
                format_args!("answered with error {code}: {message}"),
            ),
        })
    }

    /// What the node says of itself. It is asked at most once a minute, without an
    /// isolation id.
    fn info(&self, bounds: &Bounds) -> Result<NodeInfo, FetchError> {
        self.info.info(bounds, || {
            let (_, answer) = self.call(&protocol::getinfo(), &Purpose::Node, bounds)?;
            match Reply::parse(&answer.body) {
                Some(reply) => Ok(NodeInfo::of(&reply)),
                // Temporary trouble is no answer; anything else means that
                // the node has no such method.
                None if answer.status == 503 => self.parse(&answer).map(|_| NodeInfo::default()),
                None => Ok(NodeInfo::default()),
            }
        })
    }

    /// Logs once whether an Electrum-NMC node isolates. A thread of its own finds
    /// out, because the value that was just fetched does not wait for it.
    fn report_isolation(node: &Arc<Self>, bounds: &Bounds) {
        if node.is_isolation_reported.swap(true, Ordering::Relaxed) {
            return;
        }
        let looker = Arc::clone(node);
        // The fetch's own flag is set as soon as the fetch has ended.
        let bounds = Bounds {
            due: bounds.due,
            deadline: bounds.deadline,
            cancel: Cancel::new(),
        };
        let look = move || {
            let found = looker.info(&bounds).and_then(|info| {
                let isolating = Isolating::of(&looker, &info, &bounds)?;
                Ok((isolating, isolating.text(&info)))
            });
            match found {
                Ok((Isolating::Yes, text)) => looker.log.info(text),
                Ok((other, text)) => {
                    let remedy = other.remedy();
                    looker.log.warn(format_args!("{text}; {remedy}"));
                }
                // The next fetch tries again.
                Err(_) => looker.is_isolation_reported.store(false, Ordering::Relaxed),
            }
        };
        let spawned = platform::thread("look").spawn(look);
        if spawned.is_err() {
            node.is_isolation_reported.store(false, Ordering::Relaxed);
        }
    }

    /// Fails unless Electrum-NMC has caught up with its server.
    fn require_synced(&self, bounds: &Bounds) -> Result<(), FetchError> {
        let synced = self.info(bounds)?.is_synced();
        if synced {
            Ok(())
        } else {
            Err(self.failure(
                FetchErrorKind::NotReady,
                "knows of no such name, but its blockchain is still syncing",
            ))
        }
    }

    fn wrong_dialect(&self, refused: Dialect) -> FetchError {
        self.failure(
            FetchErrorKind::Unsuitable,
            format_args!(
                "does not understand the dialect of {}: check --rpc-dialect",
                refused.title()
            ),
        )
    }

    fn failure(&self, kind: FetchErrorKind, what: impl fmt::Display) -> FetchError {
        FetchError::new(kind, format!("the node at {} {what}", self.http.address()))
    }
}

impl Node {
    fn fetch(
        self: &Arc<Self>,
        isolation: &IsolationId,
        key: &NameKey,
        bounds: &Bounds,
    ) -> Result<Fetched, FetchError> {
        let question = Question {
            isolation,
            key,
            bounds,
        };
        let first = self.dialect.current();
        let (dialect, asked) = match self.ask(first, &question)? {
            Asked::Refused => {
                let Some(second) = self.dialect.switch_from(first) else {
                    return Err(self.wrong_dialect(first));
                };
                (second, self.ask(second, &question)?)
            }
            asked => (first, asked),
        };
        match asked {
            Asked::Fetched(fetched) => {
                if dialect == Dialect::ElectrumNmc {
                    Self::report_isolation(self, bounds);
                }
                Ok(fetched)
            }
            Asked::Refused => Err(self.wrong_dialect(dialect)),
        }
    }
}

impl Source for RpcSource {
    fn fetch(
        &self,
        isolation: &IsolationId,
        key: &NameKey,
        bounds: &Bounds,
    ) -> Result<SourceReply, FetchError> {
        self.0.fetch(isolation, key, bounds).map(SourceReply::from)
    }

    fn forget(&self, isolation: &IsolationId) {
        self.0.http.connections().forget(isolation);
    }
}

impl Diagnose for RpcSource {
    fn check(&self, bounds: &Bounds) -> Vec<Finding> {
        check::check(&self.0, bounds)
    }
}

fn refuses_credentials(answer: &HttpReply) -> bool {
    matches!(answer.status, 401 | 403)
}

/// A node's message, without anything of the question or the credentials.
fn shown(error: &RpcError, question: &Question<'_>, secret: &Secret) -> String {
    let name = question.key.as_str();
    let hex = HEXLOWER.encode(name.as_bytes());
    let label = name.split_once('/').map_or("", |(_, label)| label);
    let mut secrets = vec![name, label, &hex];
    secrets.extend(question.isolation.as_str());
    secrets.extend(secret.texts());
    credentials::redacted(&error.message, &secrets)
}

/// The fuzz targets' entry into this room.
pub(crate) mod fuzzing {
    use super::http::HttpReply;
    use super::*;
    use crate::config::settings::DialectSetting;

    /// What `source` makes of an HTTP reply to a request for `key` in a dialect;
    /// `None` if the node refuses the dialect.
    ///
    /// An absence that Electrum-NMC reports makes it ask the node whether it has
    /// caught up. A deadline in the past fails that without any I/O.
    ///
    /// # Errors
    /// As for [`Source::fetch`](crate::source::Source::fetch).
    pub fn take(
        source: &RpcSource,
        (status, body): (u16, &[u8]),
        dialect: DialectSetting,
        isolation: &IsolationId,
        key: &NameKey,
        bounds: &Bounds,
    ) -> Result<Option<Fetched>, FetchError> {
        let node = &source.0;
        let secret = node.keyring.current()?;
        let question = Question {
            isolation,
            key,
            bounds,
        };
        let body = body.to_vec();
        let dialect = DialectMemory::new(dialect).current();
        match node.take(&HttpReply { status, body }, dialect, &question, &secret)? {
            Asked::Fetched(fetched) => Ok(Some(fetched)),
            Asked::Refused => Ok(None),
        }
    }

    /// What a reply to `getinfo` says: whether the node has caught up, whether it
    /// is of the line that can isolate, and the longest text if it does not.
    pub fn info(body: &[u8]) -> Option<(bool, bool, String)> {
        let info = NodeInfo::of(&Reply::parse(body)?);
        let words = Isolating::OneServer.text(&info);
        Some((info.is_synced(), info.is_of_4_0(), words))
    }

    /// The setting in a reply to `getconfig`.
    pub fn setting(body: &[u8]) -> Option<serde_json::Value> {
        protocol::plain_result(body)
    }
}
