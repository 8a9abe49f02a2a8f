//! Settings as the layers give them, and the checks across them: which source
//! values come from, and whether its settings fit together.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::key::{Backend, Delegations, Draft, Key, Kind};
use super::settings::{
    Credentials, ElectrumOperators, ElectrumSettings, Environment, ListenAddress, ProxyAddress,
    RpcSettings, ServeSettings, ServerAddress, Settings, SourceSettings, default_cookie,
    state_directory,
};
use crate::chain::network::Network;
use crate::platform::{self, Platform};

/// The environment variable with settings (proposal 279).
pub(super) const OPTIONS_VARIABLE: &str = "TOR_NS_PLUGIN_OPTIONS";

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

/// The settings of all layers, the later of which override the earlier.
#[derive(Default)]
pub(super) struct Layers {
    pub draft: Draft,
    /// Each setting as it was written, by name.
    given: BTreeMap<&'static str, Vec<Setting>>,
}

impl Layers {
    /// Checks the settings of a layer and lets them override those before.
    pub fn apply(&mut self, settings: &[Setting]) -> Result<(), String> {
        for Setting { key, .. } in settings {
            self.given.remove(key.name);
            if let Kind::List { clear, .. } = key.kind {
                clear(&mut self.draft);
            }
        }
        for setting in settings {
            let Setting { key, value, origin } = setting;
            let set = key.kind.set(&mut self.draft, value);
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
        for (name, other_way) in [
            ("rpc-password", "use rpc-cookie"),
            ("tor-password", "set CookieAuthentication 1 in torrc"),
        ] {
            warnings.extend(self.exposed(name, other_way));
        }
        if self.draft.settings.log_names {
            warnings.push(format!(
                "{} makes the log on stderr show which names were visited, and under which \
                 isolation ids; remove it when you are done",
                self.named("log-names")
            ));
        }
        let delegations = self.delegations(serve.as_ref())?;
        let source = source(self, environment, &mut warnings)?;
        let settings = Settings {
            source,
            delegations,
            serve,
            ..self.draft.settings.clone()
        };
        Ok((settings, warnings))
    }

    /// The proxy through which name servers are asked. `serve` always has one, even
    /// if its source does without.
    fn delegations(&self, serve: Option<&ServeSettings>) -> Result<Option<ProxyAddress>, String> {
        let proxy = match self.draft.delegations {
            Delegations::Off => return Ok(None),
            Delegations::Auto => serve.map(|serve| &serve.tor).or(self.draft.proxy.as_ref()),
        };
        // The source need not use the proxy, and then would not check it.
        check_proxy(self)?;
        Ok(proxy.cloned())
    }

    /// The doors. Streams go through the proxy in any case, lookups only if their
    /// source is elsewhere.
    fn serve(&mut self) -> Result<ServeSettings, String> {
        let tor = self
            .draft
            .proxy
            .get_or_insert_with(ProxyAddress::tor)
            .clone();
        check_proxy(self)?;
        if match backend(self)? {
            Backend::File => true,
            Backend::Rpc => self.draft.rpc.address.is_loopback(),
            Backend::Electrum => false,
        } {
            self.draft.proxy = None;
        }
        let control = self.draft.tor_control.clone();
        let control_password = self.draft.tor_password.clone();
        if control.is_empty() && control_password.is_some() {
            return Err(format!(
                "{} needs tor-control too; set it to auto, or remove the password",
                self.named("tor-password"),
            ));
        }
        let mut socks = self.draft.socks_listen.clone();
        // Whoever wants all of Tor served needs no port of ours.
        if socks.is_empty() && control.is_empty() {
            socks.push(ListenAddress::Tcp(ListenAddress::SOCKS));
        }
        if let Some(remote) = socks.iter().find(|address| !address.is_loopback())
            && !self.draft.allow_remote_clients
        {
            return Err(format!(
                "{} is {remote}, where other machines could connect, read what programs send \
                 and use Tor through this one; listen on 127.0.0.1, [::1] or a Unix socket, or \
                 set allow-remote-clients to accept that",
                self.named("socks-listen"),
            ));
        }
        if let Some(own) = socks.iter().find(|address| address.is_at(&tor)) {
            return Err(format!(
                "{} is {own}, where this program itself listens; set proxy to Tor's SOCKS port",
                self.named("proxy"),
            ));
        }
        Ok(ServeSettings {
            socks,
            tor,
            control,
            control_password,
            plugins: self.draft.naming_plugins.clone(),
        })
    }

    /// A warning about a password that other users of this machine can read.
    fn exposed(&self, name: &str, other_way: &str) -> Option<String> {
        match self.layer(name)? {
            Layer::CommandLine => Some(format!(
                "{name} (command line) can be seen by other users of this machine; put it in the \
                 file of --config, or {other_way}"
            )),
            Layer::File(path) if platform::everybody_can_read(path) => Some(format!(
                "{name} ({path:?}) can be read by other users of this machine; remove the read \
                 permission of others, as with chmod o-r"
            )),
            _ => None,
        }
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
    layers: &mut Layers,
    environment: Environment<'_>,
    warnings: &mut Vec<String>,
) -> Result<SourceSettings, String> {
    match backend(layers)? {
        Backend::File => match layers.draft.names_file.take() {
            // A file needs no connection: a proxy is for name servers and the
            // streams of `serve`.
            Some(path) => Ok(SourceSettings::NamesFile(path)),
            None => Err(format!(
                "{} needs names-file too; set it to the file with the names",
                layers.named("backend"),
            )),
        },
        Backend::Rpc => rpc(layers, environment, warnings).map(SourceSettings::Rpc),
        Backend::Electrum => electrum(layers, environment, warnings).map(SourceSettings::Electrum),
    }
}

/// The source that is asked for by name, or by settings that only it has.
fn backend(layers: &Layers) -> Result<Backend, String> {
    let owned = || layers.keys().filter(|key| key.owner.is_some());
    let implied = owned().next();
    let chosen = layers
        .draft
        .backend
        .or_else(|| implied?.owner)
        .unwrap_or(Backend::Rpc);
    let Some(other) = owned().find(|key| key.owner != Some(chosen)) else {
        return Ok(chosen);
    };
    let one = match layers.draft.backend {
        Some(_) => "backend",
        None => implied.map_or("", |key| key.name),
    };
    Err(format!(
        "{} and {} cannot be used together, as values come from one source only; remove one of them",
        layers.named(one),
        layers.named(other.name),
    ))
}

fn rpc(
    layers: &mut Layers,
    environment: Environment<'_>,
    warnings: &mut Vec<String>,
) -> Result<RpcSettings, String> {
    check_node(layers)?;
    check_proxied_node(layers, warnings)?;
    check_credentials(layers)?;
    // Tor does not connect to this machine.
    let proxy = layers.draft.proxy.take();
    let proxy = proxy.filter(|_| !layers.draft.rpc.address.is_loopback());
    let credentials = match (
        layers.draft.rpc_user.take(),
        layers.draft.rpc_password.take(),
        layers.draft.rpc_cookie.take(),
    ) {
        (Some(user), Some(password), _) => Credentials::Password { user, password },
        (_, _, Some(path)) => Credentials::Cookie(path),
        _ => Credentials::DefaultCookie(default_cookie(Platform::CURRENT, environment)),
    };
    Ok(RpcSettings {
        credentials,
        proxy,
        ..layers.draft.rpc.clone()
    })
}

fn check_node(layers: &Layers) -> Result<(), String> {
    if layers.draft.rpc.address.is_loopback()
        || layers.draft.proxy.is_some()
        || layers.draft.allow_unproxied_node
    {
        return Ok(());
    }
    Err(format!(
        "{} is another machine, and everyone on the way there could see which names are looked up; \
         use a node or a tunnel on this machine, reach it through Tor with proxy, or set \
         allow-unproxied-node to accept that",
        layers.named("rpc-address"),
    ))
}

fn check_proxied_node(layers: &Layers, warnings: &mut Vec<String>) -> Result<(), String> {
    if layers.draft.proxy.is_none() {
        return Ok(());
    }
    check_proxy(layers)?;
    if layers.draft.rpc.address.is_loopback() {
        // The node is reached directly; without delegations nothing would use the proxy.
        return match layers.draft.delegations {
            Delegations::Auto => Ok(()),
            Delegations::Off => Err(format!(
                "{} is set, but the node is on this machine, where a proxy such as Tor does not \
                 connect to, and {} is off; set delegations to auto, backend to electrum for \
                 Electrum servers, or rpc-address to a node elsewhere, or remove proxy",
                layers.named("proxy"),
                layers.named("delegations"),
            )),
        };
    }
    if !layers.draft.rpc.address.is_onion() {
        warnings.push(format!(
            "{} is no onion service: the exit of the proxy sees the password and every \
             name that is looked up; reach the node by an onion service",
            layers.named("rpc-address"),
        ));
    }
    Ok(())
}

fn check_proxy(layers: &Layers) -> Result<(), String> {
    match &layers.draft.proxy {
        Some(proxy) if !proxy.is_loopback() && !layers.draft.allow_unproxied_node => Err(format!(
            "{} is on another machine, and everyone on the way there could see what is asked of it; \
             use a proxy on this machine, or set allow-unproxied-node to accept that",
            layers.named("proxy"),
        )),
        _ => Ok(()),
    }
}

fn check_credentials(layers: &Layers) -> Result<(), String> {
    let user = layers.draft.rpc_user.as_ref().map(|_| "rpc-user");
    let password = layers.draft.rpc_password.as_ref().map(|_| "rpc-password");
    if layers.draft.rpc_cookie.is_some()
        && let Some(other) = user.or(password)
    {
        return Err(format!(
            "{} and {} cannot be used together; remove one of them",
            layers.named("rpc-cookie"),
            layers.named(other),
        ));
    }
    let (present, missing) = match (user, password) {
        (Some(user), None) => (user, "rpc-password"),
        (None, Some(password)) => (password, "rpc-user"),
        _ => return Ok(()),
    };
    Err(format!(
        "{} needs {missing} too; set both, or neither to use the cookie file",
        layers.named(present),
    ))
}

fn electrum(
    layers: &mut Layers,
    environment: Environment<'_>,
    warnings: &mut Vec<String>,
) -> Result<ElectrumSettings, String> {
    check_proxy(layers)?;
    check_servers(layers, warnings)?;
    let network = layers.draft.electrum.network;
    let state = layers.draft.electrum.state.take();
    Ok(ElectrumSettings {
        proxy: layers.draft.proxy.take(),
        checkpoint: layers
            .draft
            .checkpoint
            .unwrap_or_else(|| network.checkpoint()),
        state: state.or_else(|| state_directory(Platform::CURRENT, environment)),
        ..layers.draft.electrum.clone()
    })
}

fn check_servers(layers: &Layers, warnings: &mut Vec<String>) -> Result<(), String> {
    let servers = &layers.draft.electrum.servers;
    if layers.draft.electrum.network == Network::Regtest && servers.is_empty() {
        return Err(format!(
            "{} has no public servers; name one with electrum-server",
            layers.named("network"),
        ));
    }
    let is_remote = |server: &&ServerAddress| !server.address.is_loopback();
    let goes_out = servers.is_empty() || servers.iter().any(|server| is_remote(&server));
    if layers.draft.proxy.is_none()
        && !layers.draft.allow_unproxied_node
        && (goes_out || layers.draft.electrum.network == Network::Mainnet)
    {
        // "backend" is the first in order.
        let is_why = |key: &&Key| key.name == "backend" || key.owner == Some(Backend::Electrum);
        let why = layers.keys().find(is_why).map_or("backend", |key| key.name);
        return Err(format!(
            "{} is for Electrum servers, which are asked through Tor, as everyone on the way there could see which \
             names are looked up, and by whom; set proxy to Tor's SOCKS port, such as 127.0.0.1:9050, or set \
             allow-unproxied-node to accept that",
            layers.named(why),
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
            layers.named("electrum-server"),
            readable.join(", "),
        ));
    }
    if layers.draft.proxy.is_none() && servers.iter().any(|server| server.address.is_onion()) {
        return Err(format!(
            "{} names an onion service, which only Tor reaches; set proxy to Tor's SOCKS port, such as 127.0.0.1:9050",
            layers.named("electrum-server"),
        ));
    }
    if servers.len() == 1 && layers.draft.electrum.operators == ElectrumOperators::Two {
        return Err(format!(
            "{} is 2, but {} names one server; name another too, of somebody else",
            layers.named("electrum-operators"),
            layers.named("electrum-server"),
        ));
    }
    if let [only] = servers.as_slice() {
        warnings.push(format!(
            "{} names {} only, which alone says which names exist and which block is the newest; \
             name another server too, of somebody else",
            layers.named("electrum-server"),
            only.address,
        ));
    }
    Ok(())
}
