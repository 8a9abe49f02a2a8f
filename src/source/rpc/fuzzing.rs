//! The fuzz targets' entry into this room.

use super::electrum_nmc::{Isolating, NodeInfo};
use super::http::HttpReply;
use super::protocol::{self, DialectMemory, Reply};
use super::{Asked, Question, RpcSource};
use crate::config::settings::DialectSetting;
use crate::isolation::IsolationId;
use crate::snapshot::{FetchFailure, Fetched, NameKey};
use crate::source::Bounds;

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
) -> Result<Option<Fetched>, FetchFailure> {
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
