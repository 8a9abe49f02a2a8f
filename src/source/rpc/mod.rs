//! A node's JSON-RPC interface: Namecoin Core, Electrum-NMC, and
//! ConsensusJ-Namecoin where it is asked for.
//!
//! The room's parts are the HTTP exchange (`http`), the credentials
//! (`credentials`), the dialects of the call (`dialect`), what replies mean
//! (`reply`), what an Electrum-NMC node says of itself (`state`), and the trying
//! out (`check`).

mod check;
mod connections;
mod credentials;
mod dialect;
mod http;
mod reply;
mod state;

use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::Value;

use crate::config::settings::{DialectSetting, RpcSettings};
use crate::isolation::IsolationId;
use crate::snapshot::{FailureKind, FetchFailure, Fetched, NameKey};

use super::{Finding, Limit, Source};
use credentials::CredentialStore;
use dialect::Dialect;
use http::Http;
use reply::Reply;
use state::NodeState;

/// A node that is asked with `name_show`.
pub struct RpcSource {
    node: Node,
    setting: DialectSetting,
    /// The dialect learned from the node's replies, as [`Dialect::number`].
    /// A plain atomic: nobody waits while somebody else finds out.
    learned: AtomicU8,
    state: NodeState,
    proxied_in_clear: bool,
}

/// The node itself: where it is and how it is shown that we may ask.
struct Node {
    http: Http,
    credentials: CredentialStore,
}

impl RpcSource {
    /// A source that asks the node of `settings`. Nothing is opened or read
    /// before the first fetch. `warn` is called, once at most, if the node
    /// turns out to ignore isolation ids.
    pub fn new(settings: &RpcSettings, warn: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self {
            node: Node {
                http: Http::new(&settings.address, settings.proxy.as_ref()),
                credentials: CredentialStore::new(settings.credentials.clone()),
            },
            setting: settings.dialect,
            learned: AtomicU8::new(Dialect::Core.number()),
            state: NodeState::new(warn),
            proxied_in_clear: settings.proxy.is_some() && !settings.address.is_onion(),
        }
    }

    fn dialect(&self) -> Dialect {
        match self.setting {
            DialectSetting::Core => Dialect::Core,
            DialectSetting::ElectrumNmc => Dialect::ElectrumNmc,
            DialectSetting::ConsensusJ => Dialect::ConsensusJ,
            // What has not been learned yet is tried as Core's: its call is
            // refused by Electrum-NMC before any network traffic.
            DialectSetting::Auto => Dialect::from_number(self.learned.load(Ordering::Relaxed)),
        }
    }

    /// Asks in one dialect, and once more in the other if the node does not
    /// understand it and we may choose.
    fn ask(
        &self,
        isolation: &IsolationId,
        key: &NameKey,
        limit: &Limit,
    ) -> Result<(Dialect, Reply), FetchFailure> {
        let dialect = self.dialect();
        let params = dialect.params(key, isolation);
        let reply = self.node.call("name_show", &params, isolation, limit)?;
        if !dialect.is_refused(&reply) {
            return Ok((dialect, reply));
        }
        let Some(other) = dialect
            .other()
            .filter(|_| self.setting == DialectSetting::Auto)
        else {
            return Err(self.wrong_dialect());
        };
        let params = other.params(key, isolation);
        let reply = self.node.call("name_show", &params, isolation, limit)?;
        if other.is_refused(&reply) {
            return Err(self.wrong_dialect());
        }
        self.learned.store(other.number(), Ordering::Relaxed);
        Ok((other, reply))
    }

    fn wrong_dialect(&self) -> FetchFailure {
        let address = self.node.http.address();
        let message = format!(
            "the node at {address} does not understand this name_show; check --rpc-dialect and \
             that it is a Namecoin node"
        );
        FetchFailure::new(FailureKind::BadReply, message)
    }
}

impl Source for RpcSource {
    fn fetch(
        &self,
        isolation: &IsolationId,
        key: &NameKey,
        limit: &Limit,
    ) -> Result<Fetched, FetchFailure> {
        let (dialect, reply) = self.ask(isolation, key, limit)?;
        let fetched = reply::fetched(reply, dialect, key)
            .map_err(|failure| reply::at(self.node.http.address(), failure))?;
        if let (Fetched::Absent(_), Dialect::ElectrumNmc) = (&fetched, dialect) {
            // Before it has the block headers it calls every name absent.
            self.state.require_synced(&self.node, limit)?;
        }
        if dialect == Dialect::ElectrumNmc {
            self.state.warn_once(&self.node, limit);
        }
        Ok(fetched)
    }

    fn check(&self, limit: &Limit) -> Vec<Finding> {
        check::check(self, limit)
    }

    fn forget(&self, isolation: &IsolationId) {
        self.node.http.forget(isolation);
    }

    fn tidy(&self) {
        self.node.http.tidy();
    }
}

impl Node {
    /// Calls a method. If the credentials are refused and have changed
    /// meanwhile (a node writes a new cookie at each start), calls once more.
    ///
    /// `isolation` chooses the connection; it is sent only if it is in the
    /// parameters.
    fn call(
        &self,
        method: &str,
        params: &Value,
        isolation: &IsolationId,
        limit: &Limit,
    ) -> Result<Reply, FetchFailure> {
        let body = serde_json::json!({
            "jsonrpc": "2.0",
            "id": 1,
            "method": method,
            "params": params,
        });
        let body = body.to_string();
        let shown = self.credentials.current()?;
        let reply = self.http.post(&body, &shown, isolation, limit)?;
        if !reply.is_unauthorized() {
            return Ok(reply);
        }
        if let Some(renewed) = self.credentials.renew(&shown)? {
            let reply = self.http.post(&body, &renewed, isolation, limit)?;
            if !reply.is_unauthorized() {
                return Ok(reply);
            }
        }
        let address = self.http.address();
        let advice = self.credentials.advice();
        let message = format!("the node at {address} refused the credentials: {advice}");
        Err(FetchFailure::new(FailureKind::Credentials, message))
    }
}
