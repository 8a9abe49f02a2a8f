//! Settings while they are collected, and the checks across them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::keys::Key;
use super::paths::Environment;
use super::read::OPTIONS_VARIABLE;
use super::settings::{ElectrumSettings, NodeAddress, RpcSettings, Settings, SourceSettings};
use super::sources;
use super::values::Kind;
use crate::chain::network::Checkpoint;
use crate::platform;

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
    pub proxy: Option<NodeAddress>,
    pub allow_unproxied_node: bool,
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

    /// Checks what the settings mean together; returns them with warnings.
    pub fn finish(
        &mut self,
        environment: Environment<'_>,
    ) -> Result<(Settings, Vec<String>), String> {
        let mut warnings = Vec::new();
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
        let source = sources::choose(self, environment, &mut warnings)?;
        let settings = Settings {
            source,
            ..self.settings.clone()
        };
        Ok((settings, warnings))
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
