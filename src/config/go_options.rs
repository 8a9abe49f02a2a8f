//! The options and the file of ncprop279 (Go), which this program replaces.
//!
//! (Each setting of ours names the option that it replaces, in `keys`.)
//!
//! Its options follow Go's flag package: one hyphen or two, `-name=value` or
//! `-name value`, switches without a value, and the last one counts if one is
//! repeated. Each becomes the setting of ours that replaced it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::key::Key;
use super::keys::{KEYS, find};
use super::layers::{Layer, Origin, Setting};
use super::values::GoOption;
use crate::platform::Platform;

/// The prefix of its options, and the section of its file.
pub(super) const SECTION: &str = "ncprop279";

/// The prefix of options about a certificate store, which it accepted for another
/// program.
pub(super) const CERTSTORE: &str = "certstore";

/// The switches among them.
const CERTSTORE_SWITCHES: [&str; 2] = ["certstore.cryptoapi", "certstore.nss"];

/// The name of its file.
const FILE: &str = "ncprop279.conf";

/// The file that it read if no option named one: of those that exist the last
/// in this order. It also looked below the working directory, where a file
/// could be anybody's; this program does not.
pub(super) fn usual_file(binary: Option<&Path>) -> Option<PathBuf> {
    let mut places = Vec::new();
    // On Windows /etc is a folder of the current drive, which anybody may make.
    if Platform::CURRENT != Platform::Windows {
        let etc = Path::new("/etc");
        places.extend([etc.join(SECTION).join(FILE), etc.join(FILE)]);
    }
    if let Some(beside) = binary.and_then(Path::parent) {
        places.push(beside.join(FILE));
        if let Some(above) = beside.parent() {
            let etc = above.join("etc");
            places.extend([etc.join(SECTION).join(FILE), etc.join(FILE)]);
        }
    }
    places.into_iter().rev().find(|place| place.is_file())
}

/// What came of a command line.
pub(super) struct Extracted {
    /// The arguments that are ours.
    pub rest: Vec<OsString>,
    /// Our settings in place of the others.
    pub settings: Vec<Setting>,
    pub warnings: Vec<String>,
}

/// Takes the options of ncprop279 (Go) out of a command line.
pub(super) fn extract(arguments: Vec<OsString>) -> Result<Extracted, String> {
    let mut collected = Collected::default();
    let mut rest = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let Some((name, value)) = option(&argument) else {
            let takes_next = takes_next(&argument);
            rest.push(argument);
            if takes_next {
                rest.extend(arguments.next());
            }
            continue;
        };
        if name == "conf" {
            let value = value.or_else(|| arguments.next());
            let value = value.ok_or("-conf (command line) needs a value; write -conf=FILE")?;
            rest.extend([OsString::from("--config"), value]);
        } else if let Some(name) = name.strip_prefix("ncprop279.") {
            let is_switch = own(name).is_some_and(|(key, _)| key.is_switch());
            let value = match value {
                None if is_switch => Some("true".into()),
                None => arguments.next(),
                value => value,
            };
            let value = value.ok_or_else(|| {
                format!(
                    "-{SECTION}.{name} (command line) needs a value; write -{SECTION}.{name}=value"
                )
            })?;
            collected
                .add(name, value, Layer::CommandLine.into())
                .map_err(|reason| format!("-{SECTION}.{name} (command line) {reason}"))?;
        } else {
            collected.has_certstore = true;
            // Its other switches look like its other options, but a word with a
            // hyphen in front is not a value.
            let is_switch = CERTSTORE_SWITCHES.contains(&name.as_str());
            let next = arguments.as_slice().first().and_then(|next| next.to_str());
            let follows = next.is_some_and(|next| !next.starts_with('-'));
            if value.is_none() && !is_switch && follows {
                arguments.next();
            }
        }
    }
    let (settings, warnings) = collected.finish();
    Ok(Extracted {
        rest,
        settings,
        warnings,
    })
}

/// The name and value in an option of ncprop279 (Go).
fn option(argument: &OsStr) -> Option<(String, Option<OsString>)> {
    let text = argument.to_str()?;
    let bare = text.strip_prefix('-')?;
    let bare = bare.strip_prefix('-').unwrap_or(bare);
    let (name, value) = match bare.split_once('=') {
        Some((name, value)) => (name, Some(OsString::from(value))),
        None => (bare, None),
    };
    let is_its = name == "conf" || name.starts_with("ncprop279.") || name.starts_with("certstore.");
    is_its.then(|| (name.to_owned(), value))
}

/// Whether the argument after one of ours is its value.
pub(super) fn takes_next(argument: &OsStr) -> bool {
    argument
        .to_str()
        .and_then(|text| text.strip_prefix("--"))
        .is_some_and(|name| name == "isolation" || find(name).is_some_and(|key| !key.is_switch()))
}

/// Our setting for an option without its prefix.
fn own(name: &str) -> Option<(&'static Key, &'static GoOption)> {
    let mut all = KEYS.iter().filter_map(|key| Some((key, key.go.as_ref()?)));
    all.find(|(_, go)| go.0 == name)
}

/// Its settings in one layer.
#[derive(Default)]
pub(super) struct Collected {
    settings: Vec<Setting>,
    pub has_certstore: bool,
    /// Unknown entries of its file, which it ignored.
    pub unknown: Vec<String>,
}

impl Collected {
    /// Whether there is a setting of this name.
    pub fn knows(name: &str) -> bool {
        own(name).is_some()
    }

    /// Adds a setting by its old name; the last one counts.
    pub fn add(&mut self, name: &str, value: OsString, origin: Origin) -> Result<(), String> {
        let (key, (name, convert)) =
            own(name).ok_or("is no option of ncprop279, neither old nor new; see --help")?;
        self.settings.retain(|other| other.key.name != key.name);
        if let Some(value) = convert(value)? {
            let go = Some(*name);
            let origin = Origin { go, ..origin };
            self.settings.push(Setting { key, value, origin });
        }
        Ok(())
    }

    /// The settings, with warnings.
    pub fn finish(mut self) -> (Vec<Setting>, Vec<String>) {
        let mut warnings = Vec::new();
        if self.has_certstore {
            warnings
                .push("the options certstore.* have no effect here and can be removed".to_owned());
        }
        warnings.extend(
            self.unknown
                .iter()
                .map(|what| format!("{what} is unknown and has no effect; is it misspelt?")),
        );
        let has = |name: &str| {
            let mut settings = self.settings.iter();
            settings
                .find(|setting| setting.key.name == name)
                .map(|setting| !setting.value.is_empty())
        };
        // It used the cookie only without a password.
        match (has("rpc-password"), has("rpc-cookie")) {
            (Some(true), Some(_)) => {
                warnings.push(
                    "the cookie file is not used, as there is a user name with a password; \
                     remove one of them"
                        .to_owned(),
                );
                self.settings
                    .retain(|setting| setting.key.name != "rpc-cookie");
            }
            (Some(false), _) | (None, Some(_)) => self
                .settings
                .retain(|setting| !matches!(setting.key.name, "rpc-user" | "rpc-password")),
            _ => {}
        }
        (self.settings, warnings)
    }
}
