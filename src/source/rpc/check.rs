//! `ncprop279 check` for a node, step by step.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::connections::Purpose;
use super::electrum_nmc::{Isolating, MAX_WORD, NodeInfo};
use super::http::HttpReply;
use super::protocol::{self, Dialect, NodeState, Reply, node_state};
use super::{NEWER, Node, Question, TOO_OLD, shown};
use crate::config::settings::{Credentials, DialectSetting};
use crate::isolation::IsolationId;
use crate::snapshot::{FetchError, FetchErrorKind, NameKey};
use crate::source::Bounds;
use crate::source::diagnosis::{Finding, Health, proxy_trouble};
use crate::text::clip;

/// The name that a check asks for. Namecoin Core looks it up in its own copy of
/// the chain; Electrum-NMC refuses Core's call before it asks any server.
const HARMLESS: &str = "d/ncprop279-check";

/// Shown in place of a version that the node does not report, or not yet.
const UNKNOWN: &str = "of unknown version";

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

/// Tries the node out, and stops at a step without which no other can work.
pub fn check(source: &Node, bounds: &Bounds) -> Vec<Finding> {
    if let Some(proxy) = &source.settings.proxy
        && let Some(obstacle) = proxy_trouble(proxy, bounds)
    {
        return vec![obstacle];
    }
    let mut found = Vec::new();
    let how = steps(source, bounds, &mut found);
    found.push(way(source));
    if let Some(how) = how {
        found.push(Finding::result(how));
    }
    found
}

/// How names are looked up, if the steps get so far.
fn steps(source: &Node, bounds: &Bounds, found: &mut Vec<Finding>) -> Option<String> {
    let key = NameKey::new(HARMLESS)?;
    let setting = source.settings.dialect;
    let probe = match setting {
        DialectSetting::ConsensusJ => Dialect::ConsensusJ,
        _ => Dialect::Core,
    };
    let isolation = IsolationId::shared();
    let question = Question {
        isolation: &isolation,
        key: &key,
        bounds,
    };
    let request = probe.name_show(&isolation, &key);
    let (secret, answer) = match source.call(&request, &Purpose::Lookup(isolation.clone()), bounds)
    {
        Ok(answered) => answered,
        Err(failure) => {
            found.push(unreachable(source, &failure));
            return None;
        }
    };
    let reply = match source.parse(&answer) {
        Ok(reply) => reply,
        Err(failure) => {
            found.push(unreachable(source, &failure));
            return None;
        }
    };
    let address = source.http.address();
    found.push(Finding::ok("reachable", format!("{address} answers")));
    found.push(Finding::ok("credentials", "accepted"));
    if setting == DialectSetting::ConsensusJ {
        found.push(Finding::ok("dialect", "ConsensusJ-Namecoin, as configured"));
        found.push(Finding::warn(
            "isolation",
            "isolation ids are not sent",
            "fine if the node needs no network for a lookup (its leveldbtxcache mode)",
        ));
        return Some(format!(
            "in ConsensusJ-Namecoin at {address}, without isolation ids"
        ));
    }
    match reply {
        Reply::Error(error) if probe.is_refused_by(&error) => electrum(source, bounds, found),
        Reply::Error(error) => {
            let state = node_state(&error);
            let how = core(source, Some(state), bounds, found);
            if matches!(state, NodeState::Unknown | NodeState::Refuses) && error.absence().is_none()
            {
                let message = shown(&error, &question, &secret);
                found.push(Finding::fail(
                    "lookups",
                    format!("the node answered with error {}: {message}", error.code),
                    "the node may be too old, or of another kind: see --rpc-dialect",
                ));
            }
            Some(how)
        }
        Reply::Result(_) => Some(core(source, None, bounds, found)),
    }
}

fn call(source: &Node, request: &str, bounds: &Bounds) -> Result<HttpReply, FetchError> {
    let (_, answer) = source.call(request, &Purpose::Node, bounds)?;
    Ok(answer)
}

/// The result of a method without parameters; `None` if there is none.
fn ask<T: DeserializeOwned>(source: &Node, method: &str, bounds: &Bounds) -> Option<T> {
    let answer = call(source, &protocol::request(method, &json!([])), bounds).ok()?;
    match Reply::parse(&answer.body)? {
        Reply::Result(result) => serde_json::from_str(result.get()).ok(),
        Reply::Error(_) => None,
    }
}

fn unreachable(source: &Node, failure: &FetchError) -> Finding {
    let (label, remedy) = match failure.kind {
        // Nothing is configured: perhaps there is no node.
        FetchErrorKind::File
            if matches!(source.settings.credentials, Credentials::DefaultCookie(_)) =>
        {
            (
                "credentials",
                "start Namecoin Core, or set --rpc-cookie or --rpc-user; without a node set \
             --backend electrum and --proxy",
            )
        }
        FetchErrorKind::Credentials | FetchErrorKind::File => (
            "credentials",
            match source.settings.credentials {
                Credentials::Password { .. } => "check --rpc-user and --rpc-password",
                _ => "check --rpc-cookie, or set --rpc-user and --rpc-password",
            },
        ),
        FetchErrorKind::NotReady | FetchErrorKind::Overloaded => {
            ("reachable", "wait, and try again")
        }
        FetchErrorKind::BadReply => (
            "reachable",
            "another program may listen there: check --rpc-address",
        ),
        _ if source.settings.proxy.is_some() => (
            "reachable",
            "check that the node runs with its RPC server on, and --rpc-address; with \
             __LeaveStreamsUnattached 1 in torrc StemNS must run too",
        ),
        _ => (
            "reachable",
            "start the node with its RPC server on, and check --rpc-address",
        ),
    };
    Finding::fail(label, failure.to_string(), remedy)
}

fn core(
    source: &Node,
    state: Option<NodeState>,
    bounds: &Bounds,
    found: &mut Vec<Finding>,
) -> String {
    let info: Option<NetworkInfo> = ask(source, "getnetworkinfo", bounds);
    let version = info.map(|info| info.subversion).unwrap_or_default();
    let version = version.trim_matches('/');
    let version = match version.strip_prefix("Satoshi:").unwrap_or(version) {
        "" => UNKNOWN.to_owned(),
        version => clip(version, MAX_WORD),
    };
    match source.settings.dialect {
        DialectSetting::ElectrumNmc => found.push(Finding::fail(
            "dialect",
            format!("Namecoin Core {version}, but Electrum-NMC is configured"),
            "take --rpc-dialect away",
        )),
        _ if state == Some(NodeState::NoSuchMethod) => found.push(Finding::fail(
            "dialect",
            format!("the node ({version}) knows no names"),
            "set --rpc-address to a Namecoin node",
        )),
        _ => found.push(Finding::ok("dialect", format!("Namecoin Core {version}"))),
    }
    let chain: Option<ChainInfo> = ask(source, "getblockchaininfo", bounds);
    let name = chain.as_ref().map(|info| clip(&info.chain, MAX_WORD));
    let name = name.unwrap_or_default();
    let wait = "wait until the node has the chain";
    let newest = chain.as_ref().map(|info| newest(info.blocks));
    found.push(match chain {
        Some(info) if info.initialblockdownload || info.blocks < info.headers => Finding::fail(
            "chain",
            format!(
                "the node has block {} of {} ({name})",
                info.blocks, info.headers
            ),
            wait,
        ),
        _ if state == Some(NodeState::NotReady) => {
            Finding::fail("chain", "the node is still starting", wait)
        }
        Some(info) => Finding::ok("chain", format!("{name}: synced at block {}", info.blocks)),
        None => Finding::warn(
            "chain",
            "the node does not tell its state",
            "see in the node itself whether it is synced",
        ),
    });
    found.push(match state {
        Some(NodeState::TooOld) => Finding::fail("isolation", format!("the node {TOO_OLD}"), NEWER),
        _ => Finding::ok("isolation", "a lookup needs no network"),
    });
    let address = source.http.address();
    let newest = newest.unwrap_or_default();
    format!("in Namecoin Core {version} at {address}{newest}")
}

/// The newest block of a node, for the result.
fn newest(height: i64) -> String {
    format!(", whose newest block is {height}")
}

fn electrum(source: &Node, bounds: &Bounds, found: &mut Vec<Finding>) -> Option<String> {
    let info = match source.info(bounds) {
        Ok(info) => info,
        Err(failure) => {
            found.push(unreachable(source, &failure));
            return None;
        }
    };
    let version = info.version.as_deref().unwrap_or(UNKNOWN);
    match source.settings.dialect {
        DialectSetting::Core => found.push(Finding::fail(
            "dialect",
            format!("Electrum-NMC {version}, but Namecoin Core is configured"),
            "take --rpc-dialect away",
        )),
        _ => found.push(Finding::ok("dialect", format!("Electrum-NMC {version}"))),
    }
    found.push(match &info {
        NodeInfo {
            blockchain_height: Some(own),
            server_height: Some(server),
            ..
        } if !info.is_synced() => Finding::fail(
            "chain",
            format!("the node has header {own} of {server}"),
            "wait until Electrum-NMC has synced and is connected",
        ),
        NodeInfo {
            blockchain_height: Some(own),
            ..
        } => Finding::ok("chain", format!("synced at header {own}")),
        _ => Finding::warn(
            "chain",
            "the node does not tell its state",
            "see in the node itself whether it is synced",
        ),
    });
    let isolating = match Isolating::of(source, &info, bounds) {
        Ok(isolating) => isolating,
        Err(failure) => {
            found.push(unreachable(source, &failure));
            return None;
        }
    };
    let text = isolating.text(&info);
    found.push(match isolating {
        Isolating::Yes => Finding::ok("isolation", text),
        other => Finding::warn("isolation", text, other.remedy()),
    });
    let address = source.http.address();
    let newest = info.blockchain_height.map(newest).unwrap_or_default();
    let asks = match isolating {
        Isolating::Yes => "it asks Electrum servers for each isolation id separately",
        Isolating::Undisclosed => "it may not keep isolation ids apart",
        _ => "it does not keep isolation ids apart",
    };
    Some(format!(
        "in Electrum-NMC {version} at {address}{newest}; {asks}"
    ))
}

/// How the node is reached.
fn way(source: &Node) -> Finding {
    let address = &source.settings.address;
    if source.settings.proxy.is_some() && !address.is_onion() {
        return Finding::warn(
            "proxy",
            "the exit of the proxy sees the password and every name that is looked up",
            "reach the node by an onion service",
        );
    }
    Finding {
        label: "proxy",
        health: Health::Ok,
        what: if address.is_loopback() {
            "none needed for the node, which is on this machine".to_owned()
        } else if source.settings.proxy.is_some() {
            "the node is an onion service".to_owned()
        } else {
            "none, as permitted by allow-unproxied-node".to_owned()
        },
        remedy: String::new(),
    }
}
