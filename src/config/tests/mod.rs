//! Runs of [`read`] with a command line, an environment and a file.

mod accepted;
mod go_options;
mod help;
mod proxies;
mod refused;
mod serve;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::command_line::PROTOCOL;
use super::key::DefaultValue;
use super::keys::KEYS;
use super::layers::OPTIONS_VARIABLE;
use super::read::VERSIONS_VARIABLE;
use super::settings::*;
use super::*;
use crate::chain::network::{Checkpoint, Network};
use crate::isolation::IsolationId;
use crate::platform::Platform;

/// A run with a command line, an environment and a file.
#[derive(Default, Clone)]
struct Case<'a> {
    arguments: Vec<&'a str>,
    versions: Option<&'a str>,
    options: Option<&'a str>,
    file: Option<&'a str>,
}

impl Case<'_> {
    fn read(&self) -> Result<Outcome, ConfigError> {
        let mut arguments: Vec<OsString> = self.arguments.iter().map(OsString::from).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        if let Some(text) = self.file {
            file.write_all(text.as_bytes()).unwrap();
            arguments.insert(0, "--config".into());
            arguments.insert(1, file.path().into());
        }
        read(arguments, &|name| {
            match name {
                VERSIONS_VARIABLE => self.versions,
                OPTIONS_VARIABLE => self.options,
                _ => None,
            }
            .map(OsString::from)
            .or_else(|| home(name))
        })
    }

    fn run(&self) -> Invocation {
        match self.read().unwrap() {
            Outcome::Run(invocation) => *invocation,
            Outcome::Print(text) => panic!("{text}"),
        }
    }

    /// The message of the error, which must be one line and name all parts.
    #[track_caller]
    fn fails(&self, parts: &[&str]) -> String {
        let error = self.read().unwrap_err();
        let message = error.to_string();
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
        assert!(!message.contains('\n'), "{message:?}");
        message
    }
}

/// The settings that an empty command line leads to.
fn read_settings(environment: &dyn Fn(&str) -> Option<OsString>) -> Settings {
    match read([], environment).unwrap() {
        Outcome::Run(invocation) => invocation.settings,
        Outcome::Print(text) => panic!("{text}"),
    }
}

fn arguments<'a>(arguments: &[&'a str]) -> Case<'a> {
    Case {
        arguments: arguments.to_vec(),
        ..Case::default()
    }
}

fn options(options: &str) -> Case<'_> {
    Case {
        options: Some(options),
        ..Case::default()
    }
}

fn file(file: &str) -> Case<'_> {
    Case {
        file: Some(file),
        ..Case::default()
    }
}

fn defaults() -> Settings {
    let cookie = default_cookie(Platform::CURRENT, &home);
    Settings {
        source: SourceSettings::Rpc(RpcSettings {
            credentials: Credentials::DefaultCookie(cookie),
            ..RpcSettings::default()
        }),
        ..Settings::default()
    }
}

/// The defaults, changed.
fn changed(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = defaults();
    change(&mut settings);
    settings
}

/// The defaults with the node changed. Its proxy serves delegations too.
fn changed_rpc(change: impl FnOnce(&mut RpcSettings)) -> Settings {
    changed(|settings| match &mut settings.source {
        SourceSettings::Rpc(rpc) => {
            change(rpc);
            settings.delegations = rpc.proxy.clone();
        }
        _ => unreachable!(),
    })
}

/// The bundled servers on mainnet through Tor's usual port, changed.
fn changed_electrum(change: impl FnOnce(&mut ElectrumSettings)) -> Settings {
    let mut electrum = ElectrumSettings {
        state: state_directory(Platform::CURRENT, &home),
        ..ElectrumSettings::default()
    };
    change(&mut electrum);
    changed(|all| {
        all.delegations = electrum.proxy.clone();
        all.source = SourceSettings::Electrum(electrum);
    })
}

fn home(name: &str) -> Option<OsString> {
    matches!(name, "HOME" | "APPDATA" | "LOCALAPPDATA").then(|| "/home/alice".into())
}

fn address(host: &str, port: u16) -> NodeAddress {
    NodeAddress {
        host: host.into(),
        port,
    }
}

fn server(host: &str, port: u16, is_tls: bool) -> ServerAddress {
    ServerAddress {
        address: address(host, port),
        is_tls,
    }
}

fn escape(value: &str) -> String {
    value
        .chars()
        .flat_map(|c| ":;=\\".contains(c).then_some('\\').into_iter().chain([c]))
        .collect()
}
