//! Which source values come from, and whether its settings fit together.

use super::draft::{Backend, Draft};
use super::keys::Key;
use super::paths::{Environment, default_cookie, state_directory};
use super::settings::{
    Credentials, ElectrumOperators, ElectrumSettings, RpcSettings, ServerAddress, SourceSettings,
};
use crate::chain::network::Network;
use crate::platform::Platform;

/// Takes the source out of a draft, with warnings.
pub(super) fn choose(
    draft: &mut Draft,
    environment: Environment<'_>,
    warnings: &mut Vec<String>,
) -> Result<SourceSettings, String> {
    match backend(draft)? {
        Backend::File => match draft.names_file.take() {
            Some(_) if draft.proxy.is_some() => Err(format!(
                "{} and {} cannot be used together, as a file needs no connection; remove one of them",
                draft.named("proxy"),
                draft.named("names-file"),
            )),
            Some(path) => Ok(SourceSettings::NamesFile(path)),
            None => Err(format!(
                "{} needs names-file too; set it to the file with the names",
                draft.named("backend"),
            )),
        },
        Backend::Rpc => rpc(draft, environment, warnings).map(SourceSettings::Rpc),
        Backend::Electrum => electrum(draft, environment, warnings).map(SourceSettings::Electrum),
    }
}

/// The source that is asked for by name, or by settings that only it has.
fn backend(draft: &Draft) -> Result<Backend, String> {
    let owned = || draft.keys().filter(|key| key.owner.is_some());
    let implied = owned().next();
    let chosen = draft
        .backend
        .or_else(|| implied?.owner)
        .unwrap_or(Backend::Rpc);
    let Some(other) = owned().find(|key| key.owner != Some(chosen)) else {
        return Ok(chosen);
    };
    let one = match draft.backend {
        Some(_) => "backend",
        None => implied.map_or("", |key| key.name),
    };
    Err(format!(
        "{} and {} cannot be used together, as values come from one source only; remove one of them",
        draft.named(one),
        draft.named(other.name),
    ))
}

fn rpc(
    draft: &mut Draft,
    environment: Environment<'_>,
    warnings: &mut Vec<String>,
) -> Result<RpcSettings, String> {
    check_node(draft)?;
    check_proxied_node(draft, warnings)?;
    check_credentials(draft)?;
    let credentials = match (
        draft.rpc_user.take(),
        draft.rpc_password.take(),
        draft.rpc_cookie.take(),
    ) {
        (Some(user), Some(password), _) => Credentials::Password { user, password },
        (_, _, Some(path)) => Credentials::Cookie(path),
        _ => Credentials::DefaultCookie(default_cookie(Platform::CURRENT, environment)),
    };
    Ok(RpcSettings {
        credentials,
        proxy: draft.proxy.take(),
        ..draft.rpc.clone()
    })
}

fn check_node(draft: &Draft) -> Result<(), String> {
    if draft.rpc.address.is_loopback() || draft.proxy.is_some() || draft.allow_unproxied_node {
        return Ok(());
    }
    Err(format!(
        "{} is another machine, and everyone on the way there could see which names are looked up; \
         use a node or a tunnel on this machine, reach it through Tor with proxy, or set \
         allow-unproxied-node to accept that",
        draft.named("rpc-address"),
    ))
}

fn check_proxied_node(draft: &Draft, warnings: &mut Vec<String>) -> Result<(), String> {
    if draft.proxy.is_none() {
        return Ok(());
    }
    check_proxy(draft)?;
    if draft.rpc.address.is_loopback() {
        return Err(format!(
            "{} is set, but the node is on this machine, where a proxy such as Tor does not connect to; \
             set backend to electrum for Electrum servers, or rpc-address to a node elsewhere, \
             or remove proxy",
            draft.named("proxy"),
        ));
    }
    if !draft.rpc.address.is_onion() {
        warnings.push(format!(
            "{} is no onion service: the exit of the proxy sees the password and every \
             name that is looked up; reach the node by an onion service",
            draft.named("rpc-address"),
        ));
    }
    Ok(())
}

fn check_proxy(draft: &Draft) -> Result<(), String> {
    match &draft.proxy {
        Some(proxy) if !proxy.is_loopback() && !draft.allow_unproxied_node => Err(format!(
            "{} is on another machine, and everyone on the way there could see what is asked of it; \
             use a proxy on this machine, or set allow-unproxied-node to accept that",
            draft.named("proxy"),
        )),
        _ => Ok(()),
    }
}

fn check_credentials(draft: &Draft) -> Result<(), String> {
    let user = draft.rpc_user.as_ref().map(|_| "rpc-user");
    let password = draft.rpc_password.as_ref().map(|_| "rpc-password");
    if draft.rpc_cookie.is_some()
        && let Some(other) = user.or(password)
    {
        return Err(format!(
            "{} and {} cannot be used together; remove one of them",
            draft.named("rpc-cookie"),
            draft.named(other),
        ));
    }
    let (present, missing) = match (user, password) {
        (Some(user), None) => (user, "rpc-password"),
        (None, Some(password)) => (password, "rpc-user"),
        _ => return Ok(()),
    };
    Err(format!(
        "{} needs {missing} too; set both, or neither to use the cookie file",
        draft.named(present),
    ))
}

fn electrum(
    draft: &mut Draft,
    environment: Environment<'_>,
    warnings: &mut Vec<String>,
) -> Result<ElectrumSettings, String> {
    check_proxy(draft)?;
    check_servers(draft, warnings)?;
    let network = draft.electrum.network;
    let state = draft.electrum.state.take();
    Ok(ElectrumSettings {
        proxy: draft.proxy.take(),
        checkpoint: draft.checkpoint.unwrap_or_else(|| network.checkpoint()),
        state: state.or_else(|| state_directory(Platform::CURRENT, environment)),
        ..draft.electrum.clone()
    })
}

fn check_servers(draft: &Draft, warnings: &mut Vec<String>) -> Result<(), String> {
    let servers = &draft.electrum.servers;
    if draft.electrum.network == Network::Regtest && servers.is_empty() {
        return Err(format!(
            "{} has no public servers; name one with electrum-server",
            draft.named("network"),
        ));
    }
    let is_remote = |server: &&ServerAddress| !server.address.is_loopback();
    let goes_out = servers.is_empty() || servers.iter().any(|server| is_remote(&server));
    if draft.proxy.is_none()
        && !draft.allow_unproxied_node
        && (goes_out || draft.electrum.network == Network::Mainnet)
    {
        // "backend" is the first in order.
        let is_why = |key: &&Key| key.name == "backend" || key.owner == Some(Backend::Electrum);
        let why = draft.keys().find(is_why).map_or("backend", |key| key.name);
        return Err(format!(
            "{} is for Electrum servers, which are asked through Tor, as everyone on the way there could see which \
             names are looked up, and by whom; set proxy to Tor's SOCKS port, such as 127.0.0.1:9050, or set \
             allow-unproxied-node to accept that",
            draft.named(why),
        ));
    }
    let readable: Vec<_> = servers
        .iter()
        .filter(is_remote)
        .filter(|server| !server.is_tls && !server.address.is_onion())
        .map(|server| server.address.to_string())
        .collect();
    if !readable.is_empty() {
        let plural = if readable.len() == 1 { "" } else { "s" };
        warnings.push(format!(
            "{} has the server{plural} {} without TLS: the exit of the proxy sees every name that is looked up there; \
             use s instead of t, or an onion service",
            draft.named("electrum-server"),
            readable.join(", "),
        ));
    }
    if draft.proxy.is_none() && servers.iter().any(|server| server.address.is_onion()) {
        return Err(format!(
            "{} names an onion service, which only Tor reaches; set proxy to Tor's SOCKS port, such as 127.0.0.1:9050",
            draft.named("electrum-server"),
        ));
    }
    if servers.len() == 1 && draft.electrum.operators == ElectrumOperators::Two {
        return Err(format!(
            "{} is 2, but {} names one server; name another too, of somebody else",
            draft.named("electrum-operators"),
            draft.named("electrum-server"),
        ));
    }
    if let [only] = servers.as_slice() {
        warnings.push(format!(
            "{} names {} only, which alone says which names exist and which block is the newest; \
             name another server too, of somebody else",
            draft.named("electrum-server"),
            only.address,
        ));
    }
    Ok(())
}
