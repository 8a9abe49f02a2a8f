//! Settings while they are collected, and the checks across them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::Origin;
use super::keys::Key;
use super::settings::{
    CacheSettings, DialectSetting, ElectrumOperators, MissingIsolation, NodeAddress, ServerAddress,
    Settings,
};
use super::sources;
use crate::chain::network::{Checkpoint, Network};
use crate::platform;

/// A setting of one source with its value, not yet checked.
pub(super) type Setting = (&'static Key, OsString);

/// Adds a setting to those of one source, which may have most once only.
pub(super) fn push(
    settings: &mut Vec<Setting>,
    key: &'static Key,
    value: OsString,
) -> Result<(), String> {
    if !key.is_repeatable() && settings.iter().any(|(other, _)| other.name == key.name) {
        return Err(format!("has {} more than once; keep one", key.name));
    }
    settings.push((key, value));
    Ok(())
}

/// The kinds of sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    Rpc,
    Electrum,
    File,
}

/// What is set so far; each key's parser writes its own field.
pub(super) struct Draft {
    pub rpc_address: Option<NodeAddress>,
    pub rpc_user: Option<String>,
    pub rpc_password: Option<String>,
    pub rpc_cookie: Option<PathBuf>,
    pub rpc_dialect: DialectSetting,
    pub backend: Option<Backend>,
    pub electrum_servers: Vec<ServerAddress>,
    pub electrum_operators: ElectrumOperators,
    pub network: Network,
    pub checkpoint: Option<Checkpoint>,
    pub confirmations: u32,
    pub state_directory: Option<PathBuf>,
    pub verify_all_headers: bool,
    pub proxy: Option<NodeAddress>,
    pub allow_unproxied_node: bool,
    pub names_file: Option<PathBuf>,
    pub timeout: Duration,
    pub lookups: usize,
    pub only_onion: bool,
    pub missing_isolation: MissingIsolation,
    pub log_names: bool,
    pub cache: CacheSettings,
    pub config: Option<PathBuf>,
    /// Where each key that is set got its value.
    origins: HashMap<&'static str, Origin>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            rpc_address: None,
            rpc_user: None,
            rpc_password: None,
            rpc_cookie: None,
            rpc_dialect: DialectSetting::Auto,
            backend: None,
            electrum_servers: Vec::new(),
            electrum_operators: ElectrumOperators::Auto,
            network: Network::Mainnet,
            checkpoint: None,
            confirmations: 12,
            state_directory: None,
            verify_all_headers: false,
            proxy: None,
            allow_unproxied_node: false,
            names_file: None,
            timeout: Duration::from_secs(20),
            lookups: 64,
            only_onion: false,
            missing_isolation: MissingIsolation::Shared,
            log_names: false,
            cache: CacheSettings::default(),
            config: None,
            origins: HashMap::new(),
        }
    }
}

impl Draft {
    /// Checks the settings of a source and lets them override those before.
    pub fn apply(&mut self, settings: &[Setting], origin: &Origin) -> Result<(), String> {
        // A list replaces the one of the source before, it does not add to it.
        if settings.iter().any(|(key, _)| key.is_repeatable()) {
            self.electrum_servers.clear();
        }
        for (key, value) in settings {
            (key.set)(self, value).map_err(|reason| format!("{} ({origin}) {reason}", key.name))?;
            self.origins.insert(key.name, origin.clone());
        }
        Ok(())
    }

    /// Checks what the settings mean together; returns them with warnings.
    pub fn finish(
        mut self,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<(Settings, Vec<String>), String> {
        let mut warnings = Vec::new();
        match self.origins.get("rpc-password") {
            Some(Origin::CommandLine) => warnings.push(
                "rpc-password (command line) can be seen by other users of this machine; \
                 put it in the file of --config, or use rpc-cookie"
                    .to_owned(),
            ),
            Some(Origin::File(path)) if platform::everybody_can_read(path) => {
                warnings.push(format!(
                    "rpc-password ({path:?}) can be read by other users of this machine; take \
                     the file's permission for others away, as with chmod o-r"
                ));
            }
            _ => {}
        }
        if self.log_names {
            warnings.push(format!(
                "{} makes the log on stderr hold which names were visited, and under which \
                 isolation ids; take it away when you are done",
                self.named("log-names")
            ));
        }
        let source = sources::choose(&mut self, environment, &mut warnings)?;
        let settings = Settings {
            timeout: self.timeout,
            lookups: self.lookups,
            only_onion: self.only_onion,
            cache: self.cache,
            missing_isolation: self.missing_isolation,
            log_names: self.log_names,
            source,
        };
        Ok((settings, warnings))
    }

    /// The names of the keys that are set.
    pub fn set(&self) -> impl Iterator<Item = &'static str> {
        self.origins.keys().copied()
    }

    /// A key and where it was set.
    pub fn named(&self, name: &str) -> String {
        match self.origins.get(name) {
            Some(origin) => format!("{name} ({origin})"),
            None => name.to_owned(),
        }
    }
}
