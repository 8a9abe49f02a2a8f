//! Where files are unless a setting says otherwise.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::platform::Platform;

/// Looks a variable of the environment up.
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

#[cfg(feature = "cli")]
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
