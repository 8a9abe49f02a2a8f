//! Settings while they are collected, and the checks across them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Origin;
use super::keys::Key;
use super::settings::{
    CacheSettings, Credentials, DialectSetting, MissingIsolation, NodeAddress, RpcSettings,
    Settings, SourceSettings,
};

/// A setting of one source with its value, not yet checked.
pub(super) type Setting = (&'static Key, OsString);

/// Adds a setting to those of one source, which may have it once only.
pub(super) fn push(
    settings: &mut Vec<Setting>,
    key: &'static Key,
    value: OsString,
) -> Result<(), String> {
    if settings.iter().any(|(other, _)| other.name == key.name) {
        return Err(format!("has {} more than once; keep one", key.name));
    }
    settings.push((key, value));
    Ok(())
}

/// What is set so far; each key's parser writes its own field.
pub(super) struct Draft {
    pub rpc_address: Option<NodeAddress>,
    pub rpc_user: Option<String>,
    pub rpc_password: Option<String>,
    pub rpc_cookie: Option<PathBuf>,
    pub rpc_dialect: DialectSetting,
    pub proxy: Option<NodeAddress>,
    pub allow_unproxied_node: bool,
    pub names_file: Option<PathBuf>,
    pub timeout: Duration,
    pub lookups: usize,
    pub only_onion: bool,
    pub missing_isolation: MissingIsolation,
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
            proxy: None,
            allow_unproxied_node: false,
            names_file: None,
            timeout: Duration::from_secs(20),
            lookups: 64,
            only_onion: false,
            missing_isolation: MissingIsolation::Shared,
            cache: CacheSettings::default(),
            config: None,
            origins: HashMap::new(),
        }
    }
}

impl Draft {
    /// Checks the settings of a source and lets them override those before.
    pub fn apply(&mut self, settings: &[Setting], origin: &Origin) -> Result<(), String> {
        for (key, value) in settings {
            (key.set)(self, value).map_err(|reason| format!("{} ({origin}) {reason}", key.name))?;
            self.origins.insert(key.name, origin.clone());
        }
        Ok(())
    }

    /// Checks what the settings mean together; returns them with warnings.
    pub fn finish(
        self,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<(Settings, Vec<String>), String> {
        let mut warnings = Vec::new();
        if self.origins.get("rpc-password") == Some(&Origin::CommandLine) {
            warnings.push(
                "rpc-password (command line) can be seen by other users of this machine; \
                 put it in the file of --config, or use rpc-cookie"
                    .to_owned(),
            );
        }
        self.check_source()?;
        self.check_proxy(&mut warnings)?;
        self.check_credentials()?;
        let settings = Settings {
            timeout: self.timeout,
            lookups: self.lookups,
            only_onion: self.only_onion,
            cache: self.cache,
            missing_isolation: self.missing_isolation,
            source: match self.names_file {
                Some(path) => SourceSettings::NamesFile(path),
                None => SourceSettings::Rpc(RpcSettings {
                    address: self.rpc_address.unwrap_or_else(default_address),
                    credentials: match (self.rpc_user, self.rpc_password, self.rpc_cookie) {
                        (Some(user), Some(password), _) => Credentials::Password { user, password },
                        (_, _, Some(path)) => Credentials::Cookie(path),
                        _ => Credentials::DefaultCookie(default_cookie(
                            Platform::CURRENT,
                            environment,
                        )),
                    },
                    dialect: self.rpc_dialect,
                    proxy: self.proxy,
                }),
            },
        };
        Ok((settings, warnings))
    }

    fn check_source(&self) -> Result<(), String> {
        if self.names_file.is_some() {
            let mut rpc: Vec<_> = self
                .origins
                .keys()
                .filter(|name| name.starts_with("rpc-") || **name == "proxy")
                .collect();
            rpc.sort();
            if let Some(rpc) = rpc.first() {
                return Err(format!(
                    "{} and {} exclude each other, as values come from one source only; take one of them away",
                    self.named("names-file"),
                    self.named(rpc),
                ));
            }
        }
        match &self.rpc_address {
            Some(address)
                if !address.is_loopback() && self.proxy.is_none() && !self.allow_unproxied_node =>
            {
                Err(format!(
                    "{} is another machine, and everyone on the way there could see which names are looked up; \
                     use a node or a tunnel on this machine, reach it through Tor with proxy, or set \
                     allow-unproxied-node to accept that",
                    self.named("rpc-address"),
                ))
            }
            _ => Ok(()),
        }
    }

    fn check_proxy(&self, warnings: &mut Vec<String>) -> Result<(), String> {
        let Some(proxy) = &self.proxy else {
            return Ok(());
        };
        if !proxy.is_loopback() && !self.allow_unproxied_node {
            return Err(format!(
                "{} is on another machine, and everyone on the way there could see what is asked of it; \
                 use a proxy on this machine, or set allow-unproxied-node to accept that",
                self.named("proxy"),
            ));
        }
        match &self.rpc_address {
            Some(address) if !address.is_loopback() => {
                if !address.is_onion() {
                    warnings.push(format!(
                        "{} is no onion service: the exit of the proxy sees the password and every \
                         name that is looked up; reach the node by an onion service",
                        self.named("rpc-address"),
                    ));
                }
                Ok(())
            }
            _ => Err(format!(
                "{} is set, but the node is on this machine, where a proxy such as Tor does not connect to; \
                 take proxy away, or set rpc-address to a node elsewhere",
                self.named("proxy"),
            )),
        }
    }

    fn check_credentials(&self) -> Result<(), String> {
        let user = self.rpc_user.as_ref().map(|_| "rpc-user");
        let password = self.rpc_password.as_ref().map(|_| "rpc-password");
        if self.rpc_cookie.is_some()
            && let Some(other) = user.or(password)
        {
            return Err(format!(
                "{} and {} exclude each other; take one of them away",
                self.named("rpc-cookie"),
                self.named(other),
            ));
        }
        let (present, missing) = match (user, password) {
            (Some(user), None) => (user, "rpc-password"),
            (None, Some(password)) => (password, "rpc-user"),
            _ => return Ok(()),
        };
        Err(format!(
            "{} needs {missing} too; set both, or neither to use the cookie file",
            self.named(present),
        ))
    }

    /// A key and where it was set.
    fn named(&self, name: &str) -> String {
        match self.origins.get(name) {
            Some(origin) => format!("{name} ({origin})"),
            None => name.to_owned(),
        }
    }
}

fn default_address() -> NodeAddress {
    NodeAddress {
        host: "127.0.0.1".to_owned(),
        port: 8336,
    }
}

/// Where Namecoin Core keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Platform {
    Unix,
    MacOs,
    Windows,
}

impl Platform {
    pub const CURRENT: Self = if cfg!(windows) {
        Self::Windows
    } else if cfg!(target_os = "macos") {
        Self::MacOs
    } else {
        Self::Unix
    };
}

/// The cookie file in Namecoin Core's default data directory.
pub(super) fn default_cookie(
    platform: Platform,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Option<PathBuf> {
    let (variable, directories): (_, &[&str]) = match platform {
        Platform::Unix => ("HOME", &[".namecoin"]),
        Platform::MacOs => ("HOME", &["Library", "Application Support", "Namecoin"]),
        Platform::Windows => ("APPDATA", &["Namecoin"]),
    };
    let home = environment(variable).filter(|home| !home.is_empty())?;
    let mut path = Path::new(&home).to_owned();
    path.extend(directories);
    path.push(".cookie");
    Some(path)
}
