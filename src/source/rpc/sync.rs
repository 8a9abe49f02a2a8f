//! Whether an Electrum-NMC node knows the chain to its end, so that its word
//! that a name does not exist can be believed.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use crate::isolation::IsolationId;
use crate::snapshot::{FailureKind, FetchFailure};

use super::super::Limit;
use super::{Node, reply};

/// How long a node's word on its state counts.
const VALID: Duration = Duration::from_secs(60);

/// The last word of a node on its state, and when it was asked.
pub struct SyncState {
    last: Mutex<Option<(Instant, bool)>>,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    blockchain_height: Option<i64>,
    #[serde(default)]
    server_height: Option<i64>,
}

impl SyncState {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self {
            last: Mutex::new(None),
        }
    }

    /// Fails unless the node is synced; asks it at most once a minute, and
    /// without an isolation id. A node that does not tell counts as synced.
    pub fn check(&self, node: &Node, limit: &Limit) -> Result<(), FetchFailure> {
        let Ok(mut last) = self.last.try_lock() else {
            // Another lookup is asking; this one does not wait for it.
            let failure = FetchFailure::new(FailureKind::NotReady, "its state is being asked");
            return Err(reply::at(node.http.address(), failure));
        };
        let synced = match *last {
            Some((asked, synced)) if asked.elapsed() < VALID => synced,
            _ => {
                let synced = ask(node, limit)?;
                *last = Some((Instant::now(), synced));
                synced
            }
        };
        if synced {
            return Ok(());
        }
        let failure = FetchFailure::new(FailureKind::NotReady, "it is still syncing");
        Err(reply::at(node.http.address(), failure))
    }
}

fn ask(node: &Node, limit: &Limit) -> Result<bool, FetchFailure> {
    let reply = node.call("getinfo", &json!([]), &IsolationId::shared(), limit)?;
    let info = reply
        .result()
        .and_then(|result| serde_json::from_str::<Info>(result.get()).ok());
    Ok(match info {
        Some(Info {
            blockchain_height: Some(own),
            server_height: Some(server),
        }) => own == server,
        _ => true,
    })
}
