//! Trying a node out, step by step.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::isolation::IsolationId;
use crate::snapshot::{FailureKind, FetchFailure, NameKey};

use super::super::{Finding, Health, Limit};
use super::dialect::Dialect;
use super::reply::{self, Reply};
use super::state::{self, Info};
use super::{DialectSetting, RpcSource};

/// A name to try the call with. Namecoin Core looks it up in its own copy of
/// the chain; Electrum-NMC refuses Core's call before it asks any server.
const HARMLESS: &str = "d/ncprop279-check";

#[derive(Deserialize)]
struct NetworkInfo {
    #[serde(default)]
    subversion: String,
}

#[derive(Deserialize)]
struct ChainInfo {
    #[serde(default)]
    chain: String,
    #[serde(default)]
    blocks: i64,
    #[serde(default)]
    headers: i64,
    #[serde(default)]
    initialblockdownload: bool,
}

/// Tries the node out. Later steps are left out after one that fails for good.
pub fn check(source: &RpcSource, limit: &Limit) -> Vec<Finding> {
    let mut found = Vec::new();
    steps(source, limit, &mut found);
    found.push(proxy(source));
    found
}

fn steps(source: &RpcSource, limit: &Limit, found: &mut Vec<Finding>) {
    let address = source.node.http.address();
    let Some(key) = NameKey::new(HARMLESS) else {
        return;
    };
    let probe = match source.setting {
        DialectSetting::ConsensusJ => Dialect::ConsensusJ,
        _ => Dialect::Core,
    };
    let params = probe.params(&key, &IsolationId::shared());
    let reply = match call(source, "name_show", &params, limit) {
        Ok(reply) => reply,
        Err(failure) => return found.push(unreachable(&failure)),
    };
    found.push(Finding::ok("reachable", format!("{address} answers")));
    found.push(Finding::ok("credentials", "accepted"));
    if source.setting == DialectSetting::ConsensusJ {
        found.push(Finding::ok("dialect", "ConsensusJ-Namecoin, as configured"));
        found.push(Finding::warn(
            "isolation",
            "isolation ids are not sent",
            "fine if the node needs no network for a lookup (its leveldbtxcache mode)",
        ));
        return;
    }
    if probe.is_refused(&reply) {
        electrum(source, limit, found);
    } else {
        core(source, key, reply, limit, found);
    }
}

fn call(
    source: &RpcSource,
    method: &str,
    params: &Value,
    limit: &Limit,
) -> Result<Reply, FetchFailure> {
    source
        .node
        .call(method, params, &IsolationId::shared(), limit)
}

fn unreachable(failure: &FetchFailure) -> Finding {
    let (label, remedy) = match failure.kind {
        FailureKind::Credentials | FailureKind::File => (
            "credentials",
            "check --rpc-cookie, or --rpc-user and --rpc-password",
        ),
        _ => (
            "reachable",
            "start the node with its RPC server on, and check --rpc-address",
        ),
    };
    Finding::fail(label, failure.to_string(), remedy)
}

fn core(source: &RpcSource, key: NameKey, probe: Reply, limit: &Limit, found: &mut Vec<Finding>) {
    let version = call(source, "getnetworkinfo", &json!([]), limit)
        .ok()
        .and_then(|reply| serde_json::from_str::<NetworkInfo>(reply.result()?.get()).ok())
        .map(|info| info.subversion)
        .unwrap_or_default();
    let version = version.trim_matches('/');
    match source.setting {
        DialectSetting::ElectrumNmc => found.push(Finding::fail(
            "dialect",
            format!("Namecoin Core {version}, but Electrum-NMC is configured"),
            "take --rpc-dialect away",
        )),
        _ => found.push(Finding::ok("dialect", format!("Namecoin Core {version}"))),
    }
    let chain = call(source, "getblockchaininfo", &json!([]), limit)
        .ok()
        .and_then(|reply| serde_json::from_str::<ChainInfo>(reply.result()?.get()).ok());
    found.push(match (reply::fetched(probe, Dialect::Core, &key), chain) {
        (Err(failure), _) => Finding::fail(
            "chain",
            format!("the node is not ready: {failure}"),
            "wait until the node is ready",
        ),
        (Ok(_), Some(info)) if info.initialblockdownload || info.blocks < info.headers => {
            Finding::fail(
                "chain",
                format!("{}: block {} of {}", info.chain, info.blocks, info.headers),
                "wait until the node has the chain",
            )
        }
        (Ok(_), Some(info)) => Finding::ok(
            "chain",
            format!("{}: synced at block {}", info.chain, info.blocks),
        ),
        (Ok(_), None) => Finding::warn(
            "chain",
            "the node does not tell its state",
            "see in the node itself whether it is synced",
        ),
    });
    found.push(Finding::ok("isolation", "a lookup needs no network"));
}

fn electrum(source: &RpcSource, limit: &Limit, found: &mut Vec<Finding>) {
    let info = match state::ask(&source.node, limit) {
        Ok(info) => info,
        Err(failure) => return found.push(unreachable(&failure)),
    };
    let version = info.version.as_deref().unwrap_or("of unknown version");
    match source.setting {
        DialectSetting::Core => found.push(Finding::fail(
            "dialect",
            format!("Electrum-NMC {version}, but Namecoin Core is configured"),
            "take --rpc-dialect away",
        )),
        _ => found.push(Finding::ok("dialect", format!("Electrum-NMC {version}"))),
    }
    found.push(match &info {
        Info {
            blockchain_height: Some(own),
            server_height: Some(server),
            ..
        } if !info.is_synced() => Finding::fail(
            "chain",
            format!("header {own} of {server}"),
            "wait until Electrum-NMC has synced and is connected",
        ),
        Info {
            blockchain_height: Some(own),
            ..
        } => Finding::ok("chain", format!("synced at header {own}")),
        _ => Finding::warn(
            "chain",
            "the node does not tell its state",
            "see in the node itself whether it is synced",
        ),
    });
    found.push(if info.isolates() {
        Finding::ok(
            "isolation",
            "each isolation id has a server connection of its own",
        )
    } else {
        Finding::warn(
            "isolation",
            state::unisolated(&info),
            "use Namecoin Core, or Electrum-NMC 4.0.6",
        )
    });
}

fn proxy(source: &RpcSource) -> Finding {
    if source.proxied_in_clear {
        return Finding::warn(
            "proxy",
            "the exit of the proxy sees the password and every name that is looked up",
            "reach the node by an onion service",
        );
    }
    let address = source.node.http.address();
    Finding {
        label: "proxy",
        health: Health::Ok,
        what: if address.is_loopback() {
            "none needed: the node is on this machine".to_owned()
        } else if address.is_onion() {
            "the node is an onion service".to_owned()
        } else {
            "none, as permitted by allow-unproxied-node".to_owned()
        },
        remedy: String::new(),
    }
}
