//! The settings themselves, checked and ready to use, and where files are unless
//! a setting says otherwise.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::chain::network::{Checkpoint, Network};
use crate::platform::Platform;

pub use super::endpoints::{
    ControlAddress, ListenAddress, NodeAddress, ProxyAddress, ServerAddress,
};

/// Everything that can be configured, with the defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where values of names come from.
    pub source: SourceSettings,
    /// How long a query may take, from its line to its answer.
    pub timeout: Duration,
    /// How many requests to the source may be under way, 1 to 128.
    pub lookups: usize,
    /// Answer with onion services only, whatever the name.
    pub only_onion: bool,
    /// The SOCKS5 proxy, such as Tor's, through which the name servers of delegated
    /// names are asked. `None`: delegated names are not followed.
    pub delegations: Option<ProxyAddress>,
    /// Bounds of the caches.
    pub cache: CacheSettings,
    /// How to treat a query without an isolation id.
    pub missing_isolation: MissingIsolation,
    /// Show names and isolation ids in the log on stderr.
    pub log_names: bool,
    /// What the command `serve` does, and `check serve` tries. `None` with all
    /// other commands.
    pub serve: Option<ServeSettings>,
}

impl Default for Settings {
    /// What the program does without a configuration: ask Namecoin Core on
    /// this machine. No file is read for this.
    fn default() -> Self {
        Self {
            source: SourceSettings::Rpc(RpcSettings::default()),
            timeout: Duration::from_secs(20),
            lookups: 64,
            only_onion: false,
            delegations: None,
            cache: CacheSettings::default(),
            missing_isolation: MissingIsolation::Shared,
            log_names: false,
            serve: None,
        }
    }
}

/// The doors of the command `serve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeSettings {
    /// Where SOCKS clients connect; empty for no such door.
    pub socks: Vec<ListenAddress>,
    /// Tor's SOCKS port, to which streams of the SOCKS door go.
    pub tor: ProxyAddress,
    /// The control ports of the Tors whose streams are served; empty for no such
    /// door.
    pub control: Vec<ControlAddress>,
    /// The password of the control ports.
    pub control_password: Option<Secret>,
    /// Who resolves names under suffixes other than ours.
    pub plugins: Vec<PluginCommand>,
}

/// A password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The password itself, for whoever must prove to know it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(password: String) -> Self {
        Self(password)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A password must not reach a log by way of a derived Debug.
        f.write_str("Secret(…)")
    }
}

/// A plugin of proposal 279 and the names that it resolves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginCommand {
    /// One or more labels in lower case, without a dot in front. `bit` replaces
    /// our own resolver.
    pub suffix: String,
    /// The program with its arguments, as they were written.
    pub command: String,
}

/// The one source that values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSettings {
    /// A node's JSON-RPC interface.
    Rpc(RpcSettings),
    /// Electrum servers.
    Electrum(ElectrumSettings),
    /// A file with names and values.
    NamesFile(PathBuf),
}

impl SourceSettings {
    /// The source in a word or two.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rpc(_) => "the node",
            Self::Electrum(_) => "Electrum servers",
            Self::NamesFile(_) => "the file",
        }
    }
}

impl std::fmt::Display for SourceSettings {
    /// The source and how it is reached; no credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let proxy = match self {
            Self::Rpc(rpc) => {
                write!(f, "the node at {}", rpc.address)?;
                &rpc.proxy
            }
            Self::Electrum(electrum) => {
                match electrum.servers.len() {
                    0 => f.write_str("the bundled Electrum servers")?,
                    1 => f.write_str("1 Electrum server")?,
                    count => write!(f, "{count} Electrum servers")?,
                }
                &electrum.proxy
            }
            Self::NamesFile(path) => return write!(f, "the file {path:?}"),
        };
        match proxy {
            Some(proxy) => write!(f, ", through the proxy at {proxy}"),
            None => Ok(()),
        }
    }
}

/// How to reach a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcSettings {
    /// Where the node listens.
    pub address: NodeAddress,
    /// The credentials to present.
    pub credentials: Credentials,
    /// Which dialect of `name_show` to speak.
    pub dialect: DialectSetting,
    /// The SOCKS5 proxy, such as Tor's, through which the node is reached.
    ///
    /// `None` connects directly, to any host, and has the system resolve its name.
    /// Only the command refuses that for hosts elsewhere: a program that embeds the
    /// library must check that itself.
    pub proxy: Option<ProxyAddress>,
}

impl Default for RpcSettings {
    /// Namecoin Core on this machine, with its cookie file.
    fn default() -> Self {
        let environment = |name: &str| std::env::var_os(name);
        Self {
            address: NodeAddress::local(8336),
            credentials: Credentials::DefaultCookie(default_cookie(
                Platform::CURRENT,
                &environment,
            )),
            dialect: DialectSetting::Auto,
            proxy: None,
        }
    }
}

/// How to ask Electrum servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElectrumSettings {
    /// Which network's names.
    pub network: Network,
    /// The servers that the user names; empty for the bundled list.
    pub servers: Vec<ServerAddress>,
    /// How many operators must answer.
    pub operators: ElectrumOperators,
    /// The SOCKS5 proxy, such as Tor's, through which servers are reached.
    ///
    /// `None` connects directly, to any host, and has the system resolve its name.
    /// Only the command refuses that for hosts elsewhere: a program that embeds the
    /// library must check that itself.
    pub proxy: Option<ProxyAddress>,
    /// The block that verification starts from.
    pub checkpoint: Checkpoint,
    /// How many blocks an operation on a name must be deep to count, itself
    /// included; at least 1.
    pub confirmations: u32,
    /// Whether every header above the checkpoint is verified with its proof of
    /// work, and none by a sample.
    pub verifies_all: bool,
    /// The directory that headers and pins are kept in; `None` to keep them
    /// in memory only.
    pub state: Option<PathBuf>,
}

impl Default for ElectrumSettings {
    /// The bundled servers of the main network, through the SOCKS port of a
    /// Tor on this machine. Nothing is kept on disk.
    fn default() -> Self {
        Self {
            network: Network::Mainnet,
            servers: Vec::new(),
            operators: ElectrumOperators::Auto,
            proxy: Some(ProxyAddress::tor()),
            checkpoint: Network::Mainnet.checkpoint(),
            confirmations: 12,
            verifies_all: false,
            state: None,
        }
    }
}

/// How many operators of Electrum servers must answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ElectrumOperators {
    /// Two where two can be reached, else one.
    #[default]
    Auto,
    /// One is enough.
    One,
    /// Two, or every lookup fails.
    Two,
}

/// The credentials to present to a node.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user name and a password.
    Password {
        /// The user name; it has no colon.
        user: String,
        /// The password; it may be empty.
        password: String,
    },
    /// The cookie file at this path, read when it is needed.
    Cookie(PathBuf),
    /// The cookie file in Namecoin Core's default data directory; `None`
    /// where the home directory is unknown.
    DefaultCookie(Option<PathBuf>),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A password must not reach a log by way of a derived Debug.
        f.write_str(match self {
            Self::Password { .. } => "Password(…)",
            Self::Cookie(_) => "Cookie(…)",
            Self::DefaultCookie(_) => "DefaultCookie(…)",
        })
    }
}

/// Which dialect of `name_show` to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialectSetting {
    /// Find out from the node's answers.
    Auto,
    /// Namecoin Core: `[name, options]`.
    Core,
    /// Electrum-NMC: `{"identifier": name, "options": options}`.
    ElectrumNmc,
    /// ConsensusJ-Namecoin: `[name]`; the isolation id is not sent.
    ConsensusJ,
}

/// How to treat a query without an isolation id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingIsolation {
    /// All of them share one isolation id, after one warning.
    Shared,
    /// Each gets an id of its own, made up for it.
    Unique,
    /// They are refused with status 3.
    Refuse,
}

/// Bounds of the caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSettings {
    /// Names kept for each isolation id.
    pub entries: usize,
    /// Isolation ids kept.
    pub isolations: usize,
    /// Bytes kept in all, keys and bookkeeping included. Not configurable.
    pub bytes: usize,
    /// How long a value is kept.
    pub ttl: Duration,
    /// How long it is kept that a name has no value.
    pub negative_ttl: Duration,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            entries: 100,
            isolations: 1000,
            bytes: 32 << 20,
            ttl: Duration::from_secs(600),
            negative_ttl: Duration::from_secs(60),
        }
    }
}

/// Looks up an environment variable.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The environment variable with the directory for state (proposal 279). It
/// need not exist yet.
#[cfg(feature = "cli")]
pub(super) const STATE_VARIABLE: &str = "TOR_NS_STATE_LOCATION";

/// The cookie file in Namecoin Core's default data directory.
pub(super) fn default_cookie(platform: Platform, environment: Environment<'_>) -> Option<PathBuf> {
    let (variable, directories): (_, &[&str]) = match platform {
        Platform::Unix => ("HOME", &[".namecoin", ".cookie"]),
        Platform::MacOs => (
            "HOME",
            &["Library", "Application Support", "Namecoin", ".cookie"],
        ),
        Platform::Windows => ("APPDATA", &["Namecoin", ".cookie"]),
    };
    below(environment, variable, directories)
}

/// The directory for state: the one that the naming client gives, else the
/// platform's usual one.
#[cfg(feature = "cli")]
pub(super) fn state_directory(platform: Platform, environment: Environment<'_>) -> Option<PathBuf> {
    let own = env!("CARGO_PKG_NAME");
    below(environment, STATE_VARIABLE, &[]).or_else(|| match platform {
        Platform::Unix => below(environment, "XDG_STATE_HOME", &[own])
            .filter(|path| path.is_absolute())
            .or_else(|| below(environment, "HOME", &[".local", "state", own])),
        Platform::MacOs => below(
            environment,
            "HOME",
            &["Library", "Application Support", own],
        ),
        Platform::Windows => below(environment, "LOCALAPPDATA", &[own]),
    })
}

/// A directory from a variable, with more directories below it.
fn below(environment: Environment<'_>, variable: &str, directories: &[&str]) -> Option<PathBuf> {
    let base = environment(variable).filter(|base| !base.is_empty())?;
    let mut path = Path::new(&base).to_owned();
    path.extend(directories);
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_cookie_is_in_namecoin_cores_directory() {
        for (platform, variable, expected) in [
            (Platform::Unix, "HOME", &["h", ".namecoin", ".cookie"][..]),
            (
                Platform::MacOs,
                "HOME",
                &["h", "Library", "Application Support", "Namecoin", ".cookie"],
            ),
            (Platform::Windows, "APPDATA", &["h", "Namecoin", ".cookie"]),
        ] {
            let environment = |value: &'static str| {
                move |name: &str| (name == variable).then(|| OsString::from(value))
            };
            let expected: PathBuf = expected.iter().collect();
            assert_eq!(default_cookie(platform, &environment("h")), Some(expected));
            assert_eq!(default_cookie(platform, &environment("")), None);
            assert_eq!(default_cookie(platform, &|_| None), None);
        }
    }

    #[cfg(feature = "cli")]
    #[test]
    fn state_is_where_the_client_or_the_platform_says() {
        let lookup = |pairs: &'static [(&'static str, &'static str)]| {
            move |name: &str| {
                let found = pairs.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| OsString::from(value))
            }
        };
        for (platform, pairs, expected) in [
            (
                Platform::Unix,
                &[(STATE_VARIABLE, "/t"), ("HOME", "/h")][..],
                Some("/t"),
            ),
            (
                Platform::Unix,
                &[("XDG_STATE_HOME", "/x"), ("HOME", "/h")],
                Some("/x/ncprop279"),
            ),
            (
                Platform::Unix,
                &[("XDG_STATE_HOME", "relative"), ("HOME", "/h")],
                Some("/h/.local/state/ncprop279"),
            ),
            (Platform::Unix, &[("HOME", "")], None),
            (
                Platform::MacOs,
                &[("HOME", "/h")],
                Some("/h/Library/Application Support/ncprop279"),
            ),
            (
                Platform::Windows,
                &[("LOCALAPPDATA", "/l")],
                Some("/l/ncprop279"),
            ),
        ] {
            assert_eq!(
                state_directory(platform, &lookup(pairs)),
                expected.map(PathBuf::from),
                "{pairs:?}"
            );
        }
    }
}
