//! What an Electrum-NMC node says of itself: whether it knows the chain to its
//! end, so that its word that a name does not exist can be believed, and
//! whether it honours isolation ids.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use crate::isolation::IsolationId;
use crate::snapshot::{FailureKind, FetchFailure};

use super::super::Limit;
use super::{Node, reply};

/// How long a node's word on its state counts.
const VALID: Duration = Duration::from_secs(60);

/// Electrum-NMC's answer to `getinfo`, as far as it matters.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Info {
    /// The height up to which the node has verified headers; -1 for none.
    #[serde(default)]
    pub blockchain_height: Option<i64>,
    /// The height that its server claims.
    #[serde(default)]
    pub server_height: Option<i64>,
    /// The program's version, such as `4.0.6`.
    #[serde(default)]
    pub version: Option<String>,
}

impl Info {
    /// Whether the node knows the chain to its end. One that does not tell
    /// counts as synced.
    pub fn is_synced(&self) -> bool {
        match (self.blockchain_height, self.server_height) {
            (Some(own), Some(server)) => own == server,
            _ => true,
        }
    }

    /// Whether the node asks its servers for each isolation id separately:
    /// the 4.0 line does.
    pub fn isolates(&self) -> bool {
        self.version
            .as_ref()
            .is_some_and(|version| version.starts_with("4.0."))
    }
}

/// The last word of a node on its state.
pub struct NodeState {
    last: Mutex<Option<(Instant, Info)>>,
    looked: AtomicBool,
    warn: Box<dyn Fn(&str) + Send + Sync>,
}

impl NodeState {
    /// Nothing is known yet.
    pub fn new(warn: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self {
            last: Mutex::new(None),
            looked: AtomicBool::new(false),
            warn: Box::new(warn),
        }
    }

    /// Fails unless the node is synced.
    pub fn require_synced(&self, node: &Node, limit: &Limit) -> Result<(), FetchFailure> {
        let fail = |why: &str| {
            let failure = FetchFailure::new(FailureKind::NotReady, why);
            Err(reply::at(node.http.address(), failure))
        };
        match self.info(node, limit)? {
            None => fail("its state is being asked"),
            Some(info) if info.is_synced() => Ok(()),
            Some(_) => fail("it is still syncing"),
        }
    }

    /// Says once if the node ignores isolation ids.
    pub fn warn_once(&self, node: &Node, limit: &Limit) {
        if self.looked.swap(true, Ordering::Relaxed) {
            return;
        }
        match self.info(node, limit) {
            Ok(Some(info)) if info.isolates() => {}
            Ok(Some(info)) => (self.warn)(&unisolated(&info)),
            // Asked again with the next name.
            Ok(None) | Err(_) => self.looked.store(false, Ordering::Relaxed),
        }
    }

    /// The node's state, asked at most once a minute and without an isolation
    /// id. `None` while another lookup asks, which is not waited for.
    fn info(&self, node: &Node, limit: &Limit) -> Result<Option<Info>, FetchFailure> {
        let Ok(mut last) = self.last.try_lock() else {
            return Ok(None);
        };
        if let Some((asked, info)) = &*last
            && asked.elapsed() < VALID
        {
            return Ok(Some(info.clone()));
        }
        let info = ask(node, limit)?;
        *last = Some((Instant::now(), info.clone()));
        Ok(Some(info))
    }
}

/// Asks the node for its state.
pub fn ask(node: &Node, limit: &Limit) -> Result<Info, FetchFailure> {
    let reply = node.call("getinfo", &json!([]), &IsolationId::shared(), limit)?;
    let info = reply
        .result()
        .and_then(|info| serde_json::from_str(info.get()).ok());
    Ok(info.unwrap_or_default())
}

/// What it means that a node does not isolate.
pub fn unisolated(info: &Info) -> String {
    let version = info.version.as_deref().unwrap_or("of unknown version");
    format!(
        "this Electrum-NMC ({version}) ignores isolation ids: it looks up names of different \
         activities over the same server connections, which links them"
    )
}
