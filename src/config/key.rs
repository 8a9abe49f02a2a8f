//! What a setting is: its key, what it accepts, and the draft that it is put into.

use std::ffi::{OsStr, OsString};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::settings::{
    ControlAddress, ElectrumSettings, ListenAddress, PluginCommand, ProxyAddress, RpcSettings,
    Secret, Settings, SourceSettings,
};
use super::values::{self, GoOption, decimal_seconds, integer, switch};
use crate::chain::network::Checkpoint;

/// A setting.
pub(super) struct Key {
    /// The name everywhere, without hyphens in front.
    pub name: &'static str,
    /// The group of the help that it is listed in.
    pub group: &'static str,
    /// The one source that has this setting.
    pub owner: Option<Backend>,
    /// What represents the value in the help.
    pub placeholder: &'static str,
    /// What values there are, and what each sets.
    pub kind: Kind,
    pub default: DefaultValue,
    /// A value for the documentation where the default is none.
    pub example: &'static str,
    /// The meaning in a few words, for the help. With the default it fits 40
    /// columns, 42 among "Answers and cache".
    pub help: &'static str,
    /// The meaning in whole sentences, for everything else.
    pub about: &'static str,
    /// Whether the value must not appear in any output.
    pub is_secret: bool,
    /// Whether the file may have it.
    pub is_in_file: bool,
    /// The option of ncprop279 (Go) that it replaces.
    pub go: Option<GoOption>,
    /// The commands whose help lists it.
    pub commands: &'static [&'static str],
}

/// What applies without a setting.
pub(super) enum DefaultValue {
    /// This value.
    Fixed(&'static str),
    /// Nothing.
    Unset,
    /// Something that is not a value: in two words for the help, and in words, to
    /// follow "the default is".
    Described(&'static str, &'static str),
    /// A value that depends on other settings or on the system.
    Derived {
        /// In two words for the help, or empty.
        help: &'static str,
        /// In words, to follow "the default is".
        words: &'static str,
        /// The environment variable that it comes from, if that is set.
        variable: Option<&'static str>,
        /// The value itself; none if the setting does not apply.
        value: fn(&Settings) -> Option<OsString>,
    },
}

impl Key {
    pub fn is_switch(&self) -> bool {
        matches!(self.kind, Kind::Switch(_))
    }

    /// Whether one layer may have it several times, each adding a value.
    pub fn is_repeatable(&self) -> bool {
        matches!(self.kind, Kind::List { .. })
    }

    /// The help with the default.
    pub fn help_with_default(&self) -> String {
        let default = match self.default {
            DefaultValue::Fixed(value) if !self.is_switch() => value,
            DefaultValue::Derived { help, .. } | DefaultValue::Described(help, _) => help,
            _ => "",
        };
        match default {
            "" => self.help.to_owned(),
            default => format!("{} [{default}]", self.help),
        }
    }
}

/// What a setting accepts, and how it gets into a draft. An error completes
/// the sentence "the setting …" and does not repeat a secret.
pub(super) enum Kind {
    /// `true` or `false`; without a value `true`.
    Switch(fn(&mut Draft, bool)),
    /// One of a few words.
    Choice(&'static [Choice]),
    /// A whole number in a range.
    Number(RangeInclusive<u32>, fn(&mut Draft, u32)),
    /// A decimal number of seconds.
    Decimal(fn(&mut Draft, Duration)),
    /// A text with a form of its own.
    Text(fn(&mut Draft, &OsStr) -> Result<(), String>),
    /// Several such texts. Those of one layer replace those of the layer
    /// below.
    List {
        clear: fn(&mut Draft),
        add: fn(&mut Draft, &OsStr) -> Result<(), String>,
    },
}

/// A word, and what it sets.
pub(super) type Choice = (&'static str, fn(&mut Draft));

impl Kind {
    /// Checks a value and puts it into the draft.
    pub fn set(&self, draft: &mut Draft, value: &OsStr) -> Result<(), String> {
        match self {
            Self::Switch(set) => set(draft, switch(value)?),
            Self::Choice(choices) => values::choice(value, choices)?(draft),
            Self::Number(range, set) => set(draft, integer(value, range)?),
            Self::Decimal(set) => set(draft, decimal_seconds(value)?),
            Self::Text(set) | Self::List { add: set, .. } => return set(draft, value),
        }
        Ok(())
    }

    /// The words that are accepted, if they are a fixed few.
    pub fn words(&self) -> Vec<&'static str> {
        match self {
            Self::Switch(_) => vec!["true", "false"],
            Self::Choice(choices) => choices.iter().map(|(word, _)| *word).collect(),
            _ => Vec::new(),
        }
    }

    /// A value as the configuration file has it.
    pub fn to_toml(&self, value: &str) -> String {
        let is_bare = match self {
            Self::Switch(_) => true,
            Self::Number(..) => value.parse::<u32>().is_ok_and(|n| n.to_string() == value),
            Self::Decimal(_) => value.parse::<f64>().is_ok_and(|n| n.to_string() == value),
            _ => false,
        };
        match is_bare {
            true => value.to_owned(),
            // Basic strings of TOML have the escapes of JSON.
            false => serde_json::Value::from(value)
                .to_string()
                .replace('\u{7f}', "\\u007f"),
        }
    }
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

/// What the setting `delegations` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Delegations {
    /// Follow them where there is a proxy.
    #[default]
    Auto,
    /// Never follow them.
    Off,
}

/// What is set so far; each key's kind writes its own field.
#[derive(Default)]
pub(super) struct Draft {
    /// The settings without source, proxies and doors.
    pub settings: Settings,
    pub backend: Option<Backend>,
    pub proxy: Option<ProxyAddress>,
    pub allow_unproxied_node: bool,
    pub delegations: Delegations,
    pub socks_listen: Vec<ListenAddress>,
    pub allow_remote_clients: bool,
    pub tor_control: Vec<ControlAddress>,
    pub tor_password: Option<Secret>,
    pub naming_plugins: Vec<PluginCommand>,
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
}

//------------ Kinds, as the table of settings writes them ---------------------

/// A text that a function reads into a field of the draft.
macro_rules! text {
    ($($field:ident).+ = $read:path) => {
        Kind::Text(|draft, value| {
            draft.$($field).+ = $read(value)?.into();
            Ok(())
        })
    };
}

/// Texts that a function reads into a list of the draft, each of them once.
macro_rules! list {
    ($($field:ident).+ = $read:path) => {
        Kind::List {
            clear: |draft| draft.$($field).+.clear(),
            add: |draft, value| {
                let value = $read(value)?;
                if !draft.$($field).+.contains(&value) {
                    draft.$($field).+.push(value);
                }
                Ok(())
            },
        }
    };
}

/// Words, each of which sets a field of the draft to a variant of a type.
macro_rules! choice {
    (|$draft:ident| $place:expr, $type:ident, $($word:literal $variant:ident),+) => {
        Kind::Choice(&[$(($word, |$draft| $place = $type::$variant.into())),+])
    };
}

pub(super) use {choice, list, text};
