//! Settings while they are collected, and the checks across them: which source
//! values come from, and whether its settings fit together.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::keys::Key;
use super::read::OPTIONS_VARIABLE;
use super::settings::{
    Credentials, ElectrumOperators, ElectrumSettings, Environment, ListenAddress, ProxyAddress,
    RpcSettings, ServeSettings, ServerAddress, Settings, SourceSettings, default_cookie,
    state_directory,
};
use super::values::Kind;
use crate::chain::network::{Checkpoint, Network};
use crate::platform::{self, Platform};

/// A setting with its value, not yet checked.
#[derive(Clone)]
pub(super) struct Setting {
    pub key: &'static Key,
    pub value: OsString,
    pub origin: Origin,
}

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub layer: Layer,
    /// The line of the file.
    pub line: Option<usize>,
    /// The name of the option of ncprop279 (Go) that was written.
    pub go: Option<&'static str>,
}

/// The places that settings are read from; a later one overrides those before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layer {
    File(PathBuf),
    Environment,
    CommandLine,
}

impl From<Layer> for Origin {
    fn from(layer: Layer) -> Self {
        Self {
            layer,
            line: None,
            go: None,
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::Environment => f.write_str(OPTIONS_VARIABLE),
            // Debug form, as a path may hold a line break.
            Self::File(path) => write!(f, "{path:?}"),
        }
    }
}

/// Adds a setting to those of one layer, which may have most only once.
pub(super) fn push(settings: &mut Vec<Setting>, new: Setting) -> Result<(), String> {
    let name = new.key.name;
    if !new.key.is_repeatable() && settings.iter().any(|other| other.key.name == name) {
        return Err(format!("has {name} more than once; keep one"));
    }
    settings.push(new);
    Ok(())
}

/// The kinds of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    Rpc,
    Electrum,
    File,
}

impl Backend {
    pub fn of(source: &SourceSettings) -> Self {
        match source {
            SourceSettings::Rpc(_) => Self::Rpc,
            SourceSettings::Electrum(_) => Self::Electrum,
            SourceSettings::NamesFile(_) => Self::File,
        }
    }

    /// What the setting `backend` calls it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rpc => "rpc",
            Self::Electrum => "electrum",
            Self::File => "file",
        }
    }
}

/// What is set so far; each key's kind writes its own field.
#[derive(Default)]
pub(super) struct Draft {
    /// The settings without their source.
    pub settings: Settings,
    pub backend: Option<Backend>,
    pub proxy: Option<ProxyAddress>,
    pub allow_unproxied_node: bool,
    pub socks_listen: Vec<ListenAddress>,
    pub allow_remote_clients: bool,
    pub names_file: Option<PathBuf>,
    /// The node, without credentials and proxy.
    pub rpc: RpcSettings,
    pub rpc_user: Option<String>,
    pub rpc_password: Option<String>,
    pub rpc_cookie: Option<PathBuf>,
    /// The servers, without checkpoint and proxy.
    pub electrum: ElectrumSettings,
    pub checkpoint: Option<Checkpoint>,
    pub config: Option<PathBuf>,
    /// Each setting as it was written, by name.
    given: BTreeMap<&'static str, Vec<Setting>>,
}

impl Draft {
    /// Checks the settings of a layer and lets them override those before.
    pub fn apply(&mut self, settings: &[Setting]) -> Result<(), String> {
        for Setting { key, .. } in settings {
            self.given.remove(key.name);
            if let Kind::List { clear, .. } = key.kind {
                clear(self);
            }
        }
        for setting in settings {
            let Setting { key, value, origin } = setting;
            let set = key.kind.set(self, value);
            set.map_err(|reason| format!("{} ({}) {reason}", key.name, origin.layer))?;
            let given = self.given.entry(key.name).or_default();
            given.push(setting.clone());
        }
        Ok(())
    }

    /// Checks what the settings mean together; returns them with warnings. `serves`
    /// for the command `serve` and its check: it has doors and always goes through Tor.
    pub fn finish(
        &mut self,
        serves: bool,
        environment: Environment<'_>,
    ) -> Result<(Settings, Vec<String>), String> {
        let mut warnings = Vec::new();
        let serve = match serves {
            true => Some(self.serve()?),
            false => None,
        };
        match self.layer("rpc-password") {
            Some(Layer::CommandLine) => warnings.push(
                "rpc-password (command line) can be seen by other users of this machine; \
                 put it in the file of --config, or use rpc-cookie"
                    .to_owned(),
            ),
            Some(Layer::File(path)) if platform::everybody_can_read(path) => {
                warnings.push(format!(
                    "rpc-password ({path:?}) can be read by other users of this machine; remove \
                     the read permission of others, as with chmod o-r"
                ));
            }
            _ => {}
        }
        if self.settings.log_names {
            warnings.push(format!(
                "{} makes the log on stderr show which names were visited, and under which \
                 isolation ids; remove it when you are done",
                self.named("log-names")
            ));
        }
        let source = source(self, environment, &mut warnings)?;
        let settings = Settings {
            source,
            serve,
            ..self.settings.clone()
        };
        Ok((settings, warnings))
    }

    /// The doors. Streams go through the proxy in any case, lookups only if their
    /// source is elsewhere.
    fn serve(&mut self) -> Result<ServeSettings, String> {
        let tor = self.proxy.get_or_insert_with(ProxyAddress::tor).clone();
        check_proxy(self)?;
        if match backend(self)? {
            Backend::File => true,
            Backend::Rpc => self.rpc.address.is_loopback(),
            Backend::Electrum => false,
        } {
            self.proxy = None;
        }
        let mut socks = self.socks_listen.clone();
        if socks.is_empty() {
            socks.push(ListenAddress::Tcp(ListenAddress::SOCKS));
        }
        if let Some(remote) = socks.iter().find(|address| !address.is_loopback())
            && !self.allow_remote_clients
        {
            return Err(format!(
                "{} is {remote}, where other machines could connect, read what programs send \
                 and use Tor through this one; listen on 127.0.0.1, [::1] or a Unix socket, or \
                 set allow-remote-clients to accept that",
                self.named("socks-listen"),
            ));
        }
        Ok(ServeSettings { socks, tor })
    }

    /// The values of a setting as they were written.
    pub fn given(&self, name: &str) -> &[Setting] {
        self.given.get(name).map_or(&[], Vec::as_slice)
    }

    /// The settings that are set, in the order of their names.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.given.values().flatten().map(|setting| setting.key)
    }

    /// A setting and where it was set.
    pub fn named(&self, name: &str) -> String {
        match self.layer(name) {
            Some(layer) => format!("{name} ({layer})"),
            None => name.to_owned(),
        }
    }

    fn layer(&self, name: &str) -> Option<&Layer> {
        Some(&self.given(name).first()?.origin.layer)
    }
}

/// Takes the source out of a draft, with warnings.
fn source(
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
