//! The one table of settings.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use super::address;
use super::draft::{Backend, Draft};
use super::settings::{DialectSetting, ElectrumOperators, MissingIsolation};
use crate::chain::network::{Checkpoint, Network};

/// The longest time limit in seconds: a day.
const MAX_SECONDS: u32 = 86_400;

/// The most names for an isolation id, and the most isolation ids. Memory has
/// a bound of its own; these keep the bookkeeping sane.
const MAX_COUNT: u32 = 1_000_000;

/// The most confirmations; names live for 36,000 blocks.
const MAX_CONFIRMATIONS: u32 = 10_000;

/// The greatest height of a checkpoint; room is left for arithmetic.
const MAX_HEIGHT: u32 = 1 << 30;

/// A setting: its name, its help and its parser.
pub(super) struct Key {
    /// The name in every source, without hyphens in front.
    pub name: &'static str,
    /// What stands for the value in the help; `None` for a switch, whose
    /// value is `true` or `false` and may be left out to mean `true`.
    pub value_name: Option<&'static str>,
    /// The group in the help.
    pub heading: &'static str,
    /// The help, in lines of at most 40 columns.
    pub help: &'static str,
    /// Checks a value and puts it into the draft; the error completes the
    /// sentence "the setting …" and does not repeat a secret.
    pub set: fn(&mut Draft, &OsStr) -> Result<(), String>,
}

impl Key {
    /// Whether one source may have it several times, each adding a value.
    pub fn is_repeatable(&self) -> bool {
        self.name == "electrum-server"
    }
}

const SOURCE: &str = "Where values come from";
const NODE: &str = "Node (rpc)";
const ELECTRUM: &str = "Electrum servers (electrum)";
const ANSWERS: &str = "Answers";
const CACHE: &str = "Cache";

/// Every setting, in the order of the help.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "backend",
        value_name: Some("SOURCE"),
        heading: SOURCE,
        help: "rpc, electrum, file [implied, else rpc]",
        set: |draft, value| {
            draft.backend = Some(choice(
                value,
                &[
                    ("rpc", Backend::Rpc),
                    ("electrum", Backend::Electrum),
                    ("file", Backend::File),
                ],
            )?);
            Ok(())
        },
    },
    Key {
        name: "proxy",
        value_name: Some("HOST:PORT"),
        heading: SOURCE,
        help: "SOCKS5 proxy on the way, such as Tor's",
        set: |draft, value| {
            draft.proxy = Some(address::parse_with_port(text(value)?)?);
            Ok(())
        },
    },
    Key {
        name: "allow-unproxied-node",
        value_name: None,
        heading: SOURCE,
        help: "permit going past Tor",
        set: |draft, value| {
            draft.allow_unproxied_node = switch(value)?;
            Ok(())
        },
    },
    Key {
        name: "names-file",
        value_name: Some("PATH"),
        heading: SOURCE,
        help: "read names from this file",
        set: |draft, value| {
            draft.names_file = Some(path(value)?);
            Ok(())
        },
    },
    Key {
        name: "rpc-address",
        value_name: Some("HOST[:PORT]"),
        heading: NODE,
        help: "JSON-RPC of a node [127.0.0.1:8336]",
        set: |draft, value| {
            draft.rpc_address = Some(address::parse(text(value)?)?);
            Ok(())
        },
    },
    Key {
        name: "rpc-user",
        value_name: Some("USER"),
        heading: NODE,
        help: "user name for the node",
        set: |draft, value| {
            let user = secret(value)?;
            if user.contains(':') {
                return Err("has a colon, which a user name cannot have".into());
            }
            draft.rpc_user = Some(user);
            Ok(())
        },
    },
    Key {
        name: "rpc-password",
        value_name: Some("PASSWORD"),
        heading: NODE,
        help: "password; better put in the file",
        set: |draft, value| {
            draft.rpc_password = Some(secret(value)?);
            Ok(())
        },
    },
    Key {
        name: "rpc-cookie",
        value_name: Some("PATH"),
        heading: NODE,
        help: "cookie file [Namecoin Core's]",
        set: |draft, value| {
            draft.rpc_cookie = Some(path(value)?);
            Ok(())
        },
    },
    Key {
        name: "rpc-dialect",
        value_name: Some("DIALECT"),
        heading: NODE,
        help: "core, electrum-nmc, consensusj [auto]",
        set: |draft, value| {
            draft.rpc_dialect = choice(
                value,
                &[
                    ("auto", DialectSetting::Auto),
                    ("core", DialectSetting::Core),
                    ("electrum-nmc", DialectSetting::ElectrumNmc),
                    ("consensusj", DialectSetting::ConsensusJ),
                ],
            )?;
            Ok(())
        },
    },
    Key {
        name: "electrum-server",
        value_name: Some("HOST:PORT:s|t"),
        heading: ELECTRUM,
        help: "repeatable; s with TLS [bundled list]",
        set: |draft, value| {
            let server = address::parse_server(text(value)?)?;
            if !draft.electrum_servers.contains(&server) {
                draft.electrum_servers.push(server);
            }
            Ok(())
        },
    },
    Key {
        name: "electrum-operators",
        value_name: Some("OPERATORS"),
        heading: ELECTRUM,
        help: "operators needed: auto, 1 or 2 [auto]",
        set: |draft, value| {
            draft.electrum_operators = choice(
                value,
                &[
                    ("auto", ElectrumOperators::Auto),
                    ("1", ElectrumOperators::One),
                    ("2", ElectrumOperators::Two),
                ],
            )?;
            Ok(())
        },
    },
    Key {
        name: "network",
        value_name: Some("NETWORK"),
        heading: ELECTRUM,
        help: "mainnet or regtest [mainnet]",
        set: |draft, value| {
            draft.network = choice(
                value,
                &[("mainnet", Network::Mainnet), ("regtest", Network::Regtest)],
            )?;
            Ok(())
        },
    },
    Key {
        name: "checkpoint",
        value_name: Some("HEIGHT:HASH"),
        heading: ELECTRUM,
        help: "the block to start from",
        set: |draft, value| {
            draft.checkpoint = Some(checkpoint(value)?);
            Ok(())
        },
    },
    Key {
        name: "confirmations",
        value_name: Some("N"),
        heading: ELECTRUM,
        help: "blocks that must confirm a value [12]",
        set: |draft, value| {
            draft.confirmations = integer(value, 1, MAX_CONFIRMATIONS)?;
            Ok(())
        },
    },
    Key {
        name: "state-directory",
        value_name: Some("PATH"),
        heading: ELECTRUM,
        help: "where block headers and keys are kept",
        set: |draft, value| {
            draft.state_directory = Some(absolute(value)?);
            Ok(())
        },
    },
    Key {
        name: "verify-all-headers",
        value_name: None,
        heading: ELECTRUM,
        help: "verify every header's work",
        set: |draft, value| {
            draft.verify_all_headers = switch(value)?;
            Ok(())
        },
    },
    Key {
        name: "timeout",
        value_name: Some("SECONDS"),
        heading: ANSWERS,
        help: "time limit of a query or check, decimal [20]",
        set: |draft, value| {
            draft.timeout = decimal_seconds(value)?;
            Ok(())
        },
    },
    Key {
        name: "max-lookups",
        value_name: Some("N"),
        heading: ANSWERS,
        help: "requests under way at once [64]",
        set: |draft, value| {
            draft.lookups = integer(value, 1, 128)? as usize;
            Ok(())
        },
    },
    Key {
        name: "only-onion",
        value_name: None,
        heading: ANSWERS,
        help: "answer with onion services only",
        set: |draft, value| {
            draft.only_onion = switch(value)?;
            Ok(())
        },
    },
    Key {
        name: "missing-isolation",
        value_name: Some("MODE"),
        heading: ANSWERS,
        help: "without an isolation id: shared, unique\nor refuse [shared]",
        set: |draft, value| {
            draft.missing_isolation = choice(
                value,
                &[
                    ("shared", MissingIsolation::Shared),
                    ("unique", MissingIsolation::Unique),
                    ("refuse", MissingIsolation::Refuse),
                ],
            )?;
            Ok(())
        },
    },
    Key {
        name: "cache-entries",
        value_name: Some("N"),
        heading: CACHE,
        help: "names for each isolation id [100]",
        set: |draft, value| {
            draft.cache.entries = integer(value, 1, MAX_COUNT)? as usize;
            Ok(())
        },
    },
    Key {
        name: "cache-isolations",
        value_name: Some("N"),
        heading: CACHE,
        help: "isolation ids [1000]",
        set: |draft, value| {
            draft.cache.isolations = integer(value, 1, MAX_COUNT)? as usize;
            Ok(())
        },
    },
    Key {
        name: "cache-ttl",
        value_name: Some("SECONDS"),
        heading: CACHE,
        help: "keep values this long [600]",
        set: |draft, value| {
            draft.cache.ttl = whole_seconds(value)?;
            Ok(())
        },
    },
    Key {
        name: "cache-negative-ttl",
        value_name: Some("SECONDS"),
        heading: CACHE,
        help: "keep absence this long [60]",
        set: |draft, value| {
            draft.cache.negative_ttl = whole_seconds(value)?;
            Ok(())
        },
    },
    Key {
        name: "log-names",
        value_name: None,
        heading: "Configuration",
        help: "show names and ids in the log of -vv",
        set: |draft, value| {
            draft.log_names = switch(value)?;
            Ok(())
        },
    },
    Key {
        name: "config",
        value_name: Some("FILE"),
        heading: "Configuration",
        help: "TOML file with the same settings",
        set: |draft, value| {
            draft.config = Some(path(value)?);
            Ok(())
        },
    },
];

/// Finds a setting by its name; underscores stand for hyphens.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    let name = name.replace('_', "-");
    KEYS.iter().find(|key| key.name == name)
}

fn text(value: &OsStr) -> Result<&str, String> {
    value.to_str().ok_or_else(|| "is not UTF-8".into())
}

fn path(value: &OsStr) -> Result<PathBuf, String> {
    if value.is_empty() {
        return Err("is empty, but must be a path".into());
    }
    Ok(PathBuf::from(OsString::from(value)))
}

/// A path that means the same wherever the program starts. It may be created,
/// so a `~` that no shell has replaced must not name a directory.
fn absolute(value: &OsStr) -> Result<PathBuf, String> {
    let path = path(value)?;
    if path.is_absolute() {
        return Ok(path);
    }
    let value = quoted(value);
    Err(format!(
        "is {value} but must be an absolute path; ~ and $HOME mean nothing here"
    ))
}

/// A user name or password (RFC 7617 has no control characters in them).
fn secret(value: &OsStr) -> Result<String, String> {
    let value = text(value)?;
    if value.contains(char::is_control) {
        return Err("has a control character".into());
    }
    Ok(value.to_owned())
}

fn switch(value: &OsStr) -> Result<bool, String> {
    choice(value, &[("true", true), ("false", false)])
}

fn choice<T: Copy>(value: &OsStr, choices: &[(&str, T)]) -> Result<T, String> {
    let found = choices.iter().find(|(name, _)| value == *name);
    found.map(|&(_, choice)| choice).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|&(name, _)| name).collect();
        format!("is {} but must be {}", quoted(value), names.join(" or "))
    })
}

fn integer(value: &OsStr, least: u32, most: u32) -> Result<u32, String> {
    value
        .to_str()
        .filter(|digits| digits.bytes().all(|octet| octet.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| {
            let value = quoted(value);
            format!("is {value} but must be a whole number from {least} to {most}")
        })
}

fn checkpoint(value: &OsStr) -> Result<Checkpoint, String> {
    value
        .to_str()
        .and_then(|text| text.parse::<Checkpoint>().ok())
        .filter(|checkpoint| checkpoint.height <= MAX_HEIGHT)
        .ok_or_else(|| {
            let value = quoted(value);
            format!("is {value} but must be a block's height, a colon and its hash (64 hexadecimal digits)")
        })
}

fn whole_seconds(value: &OsStr) -> Result<Duration, String> {
    integer(value, 0, MAX_SECONDS).map(|seconds| Duration::from_secs(seconds.into()))
}

fn decimal_seconds(value: &OsStr) -> Result<Duration, String> {
    value
        .to_str()
        // Rust also reads exponents, "inf" and "nan".
        .filter(|digits| {
            digits
                .bytes()
                .all(|octet| octet.is_ascii_digit() || octet == b'.')
        })
        .and_then(|digits| digits.parse().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|&time| !time.is_zero() && time <= Duration::from_secs(MAX_SECONDS.into()))
        .ok_or_else(|| {
            let value = quoted(value);
            format!("is {value} but must be a number of seconds above 0, at most {MAX_SECONDS}")
        })
}

/// A value for a message: one line, not too long.
pub(super) fn quoted(value: impl AsRef<OsStr>) -> String {
    const MOST: usize = 60;
    let text = value.as_ref().to_string_lossy();
    match text.char_indices().nth(MOST) {
        Some((cut, _)) => format!("{:?}...", text.get(..cut).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}
