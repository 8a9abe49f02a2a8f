//! Values of settings as text, and what each kind of setting accepts.

use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::settings::{
    ControlAddress, ListenAddress, NodeAddress, PluginCommand, ProxyAddress, Secret, ServerAddress,
};
use crate::chain::network::Checkpoint;

/// The longest time limit in seconds: a day.
pub(super) const MAX_SECONDS: u32 = 86_400;

/// The longest path of a Unix socket in bytes, on the strictest of our systems.
const MAX_SOCKET_PATH: usize = 103;

/// The greatest height of a checkpoint; sums with it do not overflow.
const MAX_HEIGHT: u32 = 1 << 30;

fn utf8(value: &OsStr) -> Result<&str, String> {
    value.to_str().ok_or_else(|| "is not UTF-8".into())
}

pub(super) fn path(value: &OsStr) -> Result<PathBuf, String> {
    if value.is_empty() {
        return Err("is empty, but must be a path".into());
    }
    Ok(PathBuf::from(OsString::from(value)))
}

/// A path that means the same wherever the program starts. It may be created,
/// so a `~` that no shell has replaced must not name a directory.
pub(super) fn absolute_path(value: &OsStr) -> Result<PathBuf, String> {
    let path = path(value)?;
    if path.is_absolute() {
        return Ok(path);
    }
    let value = quoted(value);
    Err(format!(
        "is {value} but must be an absolute path; ~ and $HOME mean nothing here"
    ))
}

/// A user name (RFC 7617 has no colon in one).
pub(super) fn user(value: &OsStr) -> Result<String, String> {
    match secret(value)? {
        user if user.contains(':') => Err("has a colon, which a user name cannot have".into()),
        user => Ok(user),
    }
}

/// A user name or password (RFC 7617 has no control characters in them).
pub(super) fn secret(value: &OsStr) -> Result<String, String> {
    let value = utf8(value)?;
    if value.contains(char::is_control) {
        return Err("has a control character".into());
    }
    Ok(value.to_owned())
}

pub(super) fn tor_password(value: &OsStr) -> Result<Secret, String> {
    secret(value).map(Secret::from)
}

pub(super) fn switch(value: &OsStr) -> Result<bool, String> {
    choice(value, &[("true", true), ("false", false)])
}

pub(super) fn choice<T: Copy>(value: &OsStr, choices: &[(&str, T)]) -> Result<T, String> {
    let found = choices.iter().find(|(name, _)| value == *name);
    found.map(|&(_, choice)| choice).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|&(name, _)| name).collect();
        format!("is {} but must be {}", quoted(value), names.join(" or "))
    })
}

pub(super) fn integer(value: &OsStr, range: &RangeInclusive<u32>) -> Result<u32, String> {
    value
        .to_str()
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let (value, least, most) = (quoted(value), range.start(), range.end());
            format!("is {value} but must be a whole number from {least} to {most}")
        })
}

pub(super) fn checkpoint(value: &OsStr) -> Result<Checkpoint, String> {
    value
        .to_str()
        .and_then(|text| text.parse::<Checkpoint>().ok())
        .filter(|checkpoint| checkpoint.height <= MAX_HEIGHT)
        .ok_or_else(|| {
            let value = quoted(value);
            format!("is {value} but must be a block's height, a colon and its hash (64 hexadecimal digits)")
        })
}

pub(super) fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

pub(super) fn decimal_seconds(value: &OsStr) -> Result<Duration, String> {
    value
        .to_str()
        // Rust also reads exponents, "inf" and "nan".
        .filter(|digits| {
            digits
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
        })
        .and_then(|digits| digits.parse().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|&time| !time.is_zero() && time <= seconds(MAX_SECONDS))
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

/// Namecoin Core's port for JSON-RPC.
const DEFAULT_PORT: u16 = 8336;

/// Reads `host`, `host:port`, `ipv6`, `[ipv6]` or `[ipv6]:port`.
pub(super) fn address(value: &OsStr) -> Result<NodeAddress, String> {
    let text = utf8(value)?;
    let error = |reason: &str| Err(format!("is {} but {reason}", quoted(text)));
    if text.contains("//") {
        return error("must be HOST or HOST:PORT, not a URL");
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok(NodeAddress {
            host: text.to_owned(),
            port: DEFAULT_PORT,
        });
    }
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((host, rest)) = rest.split_once(']') else {
            return error("lacks the closing bracket");
        };
        if host.parse::<Ipv6Addr>().is_err() {
            return error("has something other than an IPv6 address in brackets");
        }
        match (rest, rest.strip_prefix(':')) {
            ("", _) => (host, None),
            (_, Some(port)) => (host, Some(port)),
            _ => return error("has something other than a port after the bracket"),
        }
    } else {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        if !is_host(host) {
            return error("its host is neither an IP address nor a host name");
        }
        (host, port)
    };
    let port = match port {
        None => DEFAULT_PORT,
        Some(digits) => match digits.parse() {
            Ok(port) if port > 0 && !digits.starts_with('+') => port,
            _ => return error("its port is not a number from 1 to 65535"),
        },
    };
    Ok(NodeAddress {
        host: host.to_owned(),
        port,
    })
}

/// Reads `host:port` or `[ipv6]:port`; the port has no default.
pub(super) fn address_with_port(value: &OsStr) -> Result<NodeAddress, String> {
    let text = utf8(value)?;
    if text.contains("//") {
        return Err(format!(
            "is {} but must be HOST:PORT, not a URL",
            quoted(text)
        ));
    }
    let ends_in_port = text
        .rsplit_once(':')
        .is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
    if ends_in_port {
        address(value)
    } else {
        Err(format!("is {} but must be HOST:PORT", quoted(text)))
    }
}

/// The path of a Unix socket, if the value begins with `unix:`.
fn unix_socket(value: &OsStr) -> Result<Option<PathBuf>, String> {
    match utf8(value)?.strip_prefix("unix:") {
        None => Ok(None),
        Some(path) if path.len() > MAX_SOCKET_PATH => Err(format!(
            "has a path of more than {MAX_SOCKET_PATH} bytes, which no Unix socket can have"
        )),
        Some(path) => absolute_path(path.as_ref()).map(Some),
    }
}

/// Reads `host:port`, `[ipv6]:port` or `unix:/path`.
pub(super) fn proxy(value: &OsStr) -> Result<ProxyAddress, String> {
    match unix_socket(value)? {
        Some(path) => Ok(ProxyAddress::Unix(path)),
        None => address_with_port(value).map(ProxyAddress::Tcp),
    }
}

/// Reads `auto`, `unix:/path`, or `host:port` where the host is this machine.
pub(super) fn control(value: &OsStr) -> Result<ControlAddress, String> {
    if value == "auto" {
        return Ok(ControlAddress::Auto);
    }
    let address = proxy(value).map_err(|reason| format!("{reason}; or write auto"))?;
    if !address.is_loopback() {
        // Whoever reads on the way to a control port can take Tor over.
        return Err(format!(
            "is {address}, but must be on this machine: set it to 127.0.0.1:PORT or unix:/PATH"
        ));
    }
    Ok(ControlAddress::At(address))
}

/// The longest command of a plugin in bytes.
const MAX_COMMAND: usize = 4096;

/// Reads `suffix=command`.
pub(super) fn naming_plugin(value: &OsStr) -> Result<PluginCommand, String> {
    let text = utf8(value)?;
    let Some((suffix, command)) = text.split_once('=') else {
        return Err(format!(
            "is {} but must be SUFFIX=COMMAND, such as gns=/usr/local/bin/gns-plugin",
            quoted(text)
        ));
    };
    let command = command.trim();
    if command.is_empty() {
        return Err(format!(
            "has no command for {}; write SUFFIX=COMMAND",
            quoted(suffix)
        ));
    }
    if command.len() > MAX_COMMAND || command.contains(char::is_control) {
        return Err(format!(
            "has a command with a control character, or of more than {MAX_COMMAND} bytes"
        ));
    }
    Ok(PluginCommand {
        suffix: self::suffix(suffix)?,
        command: command.to_owned(),
    })
}

/// The suffix of names that a plugin resolves, in lower case and without the dot
/// in front.
fn suffix(text: &str) -> Result<String, String> {
    let suffix = text.strip_prefix('.').unwrap_or(text).to_ascii_lowercase();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if suffix.len() > 253 || !suffix.split('.').all(is_label) {
        return Err(format!(
            "has the suffix {}, which must be labels of letters, digits and hyphens, such as gns",
            quoted(text)
        ));
    }
    if suffix == "onion" || suffix == "exit" {
        return Err(format!(
            "has the suffix {suffix}, whose names Tor itself resolves; choose another"
        ));
    }
    // Those of bit.onion are names of ours that only an onion service may answer.
    if suffix == "bit.onion" || suffix.ends_with(".bit.onion") {
        return Err(format!(
            "has the suffix {suffix}, whose names this program itself resolves; choose another"
        ));
    }
    let last = suffix.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "has the suffix {suffix}, which IP addresses end in; choose another"
        ));
    }
    Ok(suffix)
}

/// Reads `ipv4:port`, `[ipv6]:port`, `localhost:port` or `unix:/path`. Port 0
/// lets the system choose.
pub(super) fn listen(value: &OsStr) -> Result<ListenAddress, String> {
    if let Some(path) = unix_socket(value)? {
        return Ok(ListenAddress::Unix(path));
    }
    let text = utf8(value)?;
    let local = text
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"));
    local
        .as_deref()
        .unwrap_or(text)
        .parse()
        .map(ListenAddress::Tcp)
        .map_err(|_| {
            format!(
                "is {} but must be ADDRESS:PORT, such as 127.0.0.1:9250, [IPV6]:PORT or unix:/PATH",
                quoted(text)
            )
        })
}

/// Whether a text is an IPv4 address or a host name that cannot be mistaken
/// for one. Local names are allowed here.
fn is_host(host: &str) -> bool {
    if host.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253
        && host.split('.').all(is_label)
        && !last.starts_with(|first: char| first.is_ascii_digit())
}

/// Reads `host:port:s` or `host:port:t`; the letter says whether the server
/// speaks TLS.
pub(super) fn server(value: &OsStr) -> Result<ServerAddress, String> {
    let text = utf8(value)?;
    let (address, is_tls) = match text.rsplit_once(':') {
        Some((address, "s")) => (address, true),
        Some((address, "t")) => (address, false),
        _ => {
            return Err(format!(
                "is {} but must be HOST:PORT:s with TLS or HOST:PORT:t without",
                quoted(text)
            ));
        }
    };
    Ok(ServerAddress {
        address: address_with_port(address.as_ref())?,
        is_tls,
    })
}

//------------ Values of ncprop279 (Go) --------------------------------------

/// An option of ncprop279 (Go): its name without its prefix, and how its value
/// becomes that of our setting, `None` if it means not set.
pub(super) type GoOption = (
    &'static str,
    fn(OsString) -> Result<Option<OsString>, String>,
);

/// The value as it is.
pub(super) fn go_unchanged(value: OsString) -> Result<Option<OsString>, String> {
    Ok(Some(value))
}

/// Empty means not set, as in its example file.
pub(super) fn go_unless_empty(value: OsString) -> Result<Option<OsString>, String> {
    Ok(Some(value).filter(|value| !value.is_empty()))
}

/// Seconds from milliseconds.
pub(super) fn go_milliseconds(value: OsString) -> Result<Option<OsString>, String> {
    let milliseconds: u32 = value
        .to_str()
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .filter(|milliseconds| *milliseconds > 0)
        .ok_or_else(|| {
            let value = quoted(value);
            format!("is {value} but must be a number of milliseconds above 0")
        })?;
    let seconds = format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
    let seconds = seconds.trim_end_matches('0').trim_end_matches('.');
    Ok(Some(seconds.into()))
}

/// An address that is only a port means this machine, as in Go.
pub(super) fn go_address(address: OsString) -> Result<Option<OsString>, String> {
    match address.to_str() {
        Some(port) if port.starts_with(':') => Ok(Some(format!("127.0.0.1{port}").into())),
        _ => go_unless_empty(address),
    }
}

/// A switch in the spellings that Go accepts.
pub(super) fn go_truth(value: OsString) -> Result<Option<OsString>, String> {
    match value.to_str() {
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(Some("true".into())),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(Some("false".into())),
        _ => Err(format!("is {} but must be true or false", quoted(value))),
    }
}

/// A number above 0.
pub(super) fn go_positive(value: OsString) -> Result<Option<OsString>, String> {
    match value == "0" {
        true => Err("is \"0\" but must be 1 or more".into()),
        false => Ok(Some(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        for (text, host, port) in [
            ("127.0.0.1", "127.0.0.1", 8336),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("localhost:65535", "localhost", 65535),
            ("localhost.", "localhost", 8336),
            ("node_1.example-net:80", "node_1.example-net", 80),
            ("::1", "::1", 8336),
            ("[::1]", "::1", 8336),
            ("[2001:db8::1]:8337", "2001:db8::1", 8337),
        ] {
            let address = address(text.as_ref()).unwrap();
            assert_eq!(
                (address.host.as_str(), address.port),
                (host, port),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_other_texts() {
        let long = "a".repeat(64);
        for text in [
            "",
            ":8336",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:x",
            "a:1:2",
            "http://a",
            "a/b",
            "a b",
            "a..b",
            ".a",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[a]:1",
            "[127.0.0.1]:1",
            "fe80::1%eth0",
            "127.1",
            "256.0.0.1",
            "0x7f000001",
            "2130706433",
            "a\n",
            "é",
            &long,
            "user@a",
        ] {
            let error = address(text.as_ref()).unwrap_err();
            assert!(!error.contains('\n'), "{text:?}");
        }
    }
}
