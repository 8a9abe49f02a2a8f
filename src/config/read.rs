//! Reads the command line, the environment and the file, and decides what runs.
//!
//! The variable `TOR_NS_PLUGIN_OPTIONS` (proposal 279) is
//! `key=value;key=value`, with a backslash before a colon, semicolon, equals
//! sign or backslash that belongs to a key or value. Colons need no backslash,
//! and neither do equals signs in a value. The file is TOML with the settings
//! as top-level keys.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use thiserror::Error;
use toml::de::{DeTable, DeValue};

use super::command_line::{self as arguments, Arguments, Command, PROTOCOL, Parsed};
use super::go_options::{self, Collected};
use super::key::Key;
use super::keys::find;
use super::layers::{Layer, Layers, OPTIONS_VARIABLE, Origin, Setting, push};
use super::mistakes::meant;
use super::settings::{Environment, Settings};
use super::values::quoted;
use super::{definition, documents};
use crate::platform;

/// The environment variable with the versions of the protocol that the client
/// speaks (proposal 279).
pub(super) const VERSIONS_VARIABLE: &str = "TOR_NS_PROTO_VERSION";

/// What the process should do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Run with these settings.
    Run(Box<Invocation>),
    /// Print this text, help or the version, to stdout and exit with success.
    Print(String),
}

/// A command with everything that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// What to do.
    pub command: Command,
    /// The settings, checked, with the defaults filled in.
    pub settings: Settings,
    /// How often `-v` was given.
    pub verbosity: u8,
    /// Single lines for stderr, about settings that work but are unwise. They
    /// hold no credentials.
    pub warnings: Vec<String>,
}

/// Why there is nothing to run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ConfigError {
    /// A single line that says what is wrong, where, and what to do. It contains
    /// no credentials.
    pub message: String,
    /// Whether the process was started as a plugin, so that its client waits
    /// for an `INIT` line. A subcommand's user reads stderr only.
    pub is_plugin: bool,
}

/// The command line for `clap`.
pub fn command_line() -> clap::Command {
    definition::definition(None)
}

/// Reads the command line (without the program's own name), the environment
/// and the configuration file.
///
/// # Errors
/// Something is unknown, malformed, out of bounds or contradictory, the file
/// cannot be read, or the client does not speak our version of the protocol.
pub fn read(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Outcome, ConfigError> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let is_plugin = !arguments::names_a_command(&arguments);
    let outcome = match arguments::parse(arguments) {
        Ok(Parsed::Print(text)) => Ok(Outcome::Print(text)),
        Ok(Parsed::Run(parsed)) => {
            assemble(parsed, environment).map(|run| Outcome::Run(Box::new(run)))
        }
        Err(message) => Err(message),
    };
    outcome.map_err(|message| ConfigError { message, is_plugin })
}

fn assemble(arguments: Arguments, environment: Environment<'_>) -> Result<Invocation, String> {
    let Arguments {
        mut command,
        verbosity,
        settings: words,
        warnings: mut older,
    } = arguments;
    if command == Command::Plugin {
        check_versions(environment)?;
    }
    let options = variable(environment, OPTIONS_VARIABLE)?.unwrap_or_default();
    let options = self::options(&options)?;
    // First without the file, to find it.
    let mut layers = combine(&[&options, &words])?;
    let named = layers.draft.config.take().or_else(|| {
        let path = go_options::usual_file(std::env::current_exe().ok().as_deref())?;
        older.push(format!(
            "settings are read from {path:?}, where ncprop279 (Go) looked for them; --config FILE \
             names another file"
        ));
        Some(path)
    });
    if let Some(path) = named {
        let (settings, warnings) = file(&path)?;
        older.extend(warnings);
        layers = combine(&[&settings, &options, &words])?;
    }
    let (settings, mut warnings) = layers.finish(command.serves(), environment)?;
    older.dedup();
    warnings.extend(older);
    if let Command::Config(text) = &mut command {
        *text = documents::effective(&layers, &settings, environment);
    }
    Ok(Invocation {
        command,
        verbosity,
        settings,
        warnings,
    })
}

/// The settings of several layers, the later of which override the earlier.
fn combine(all: &[&[Setting]]) -> Result<Layers, String> {
    let mut layers = Layers::default();
    for layer in all {
        layers.apply(layer)?;
    }
    Ok(layers)
}

/// Checks that the client speaks our version of the protocol. Without the
/// variable a user runs us by hand.
fn check_versions(environment: Environment<'_>) -> Result<(), String> {
    let Some(versions) = variable(environment, VERSIONS_VARIABLE)? else {
        return Ok(());
    };
    let ours = PROTOCOL.to_string();
    if versions.split(',').any(|version| version.trim() == ours) {
        return Ok(());
    }
    Err(format!(
        "{VERSIONS_VARIABLE} does not offer version {PROTOCOL} of the protocol, the only one that this plugin speaks"
    ))
}

fn variable(environment: Environment<'_>, name: &str) -> Result<Option<String>, String> {
    environment(name)
        .map(OsString::into_string)
        .transpose()
        .map_err(|_| format!("{name} is not UTF-8"))
}

//------------ The environment variable and the file -------------------------

/// The largest file in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Finds the setting that a line of the variable or the file names.
fn known(name: &str) -> Result<&'static Key, String> {
    find(name).ok_or_else(|| {
        let hint = meant(name).map_or_else(String::new, |key| format!("did you mean {key}? "));
        format!(
            "has the unknown setting {}; {hint}see --help for those that exist",
            quoted(name)
        )
    })
}

/// Reads the settings in the environment variable's value.
fn options(text: &str) -> Result<Vec<Setting>, String> {
    entries(text).map_err(|reason| format!("{OPTIONS_VARIABLE} {reason}"))
}

fn entries(text: &str) -> Result<Vec<Setting>, String> {
    let mut settings: Vec<Setting> = Vec::new();
    for (name, value) in split(text)? {
        let name = name.trim();
        if name.is_empty() {
            return Err("has an entry without a key; write key=value;key=value".into());
        }
        let key = known(name).map_err(|reason| match settings.last() {
            // What follows a secret may be the rest of it.
            Some(before) if before.key.is_secret => format!(
                "has an unknown setting after {}; a semicolon in a value is written \\;",
                before.key.name
            ),
            _ => reason,
        })?;
        let value = match value {
            Some(value) => value,
            None if key.is_switch() => "true".to_owned(),
            None => {
                let name = key.name;
                return Err(format!("has {name} without a value; write {name}=value"));
            }
        };
        let setting = Setting {
            key,
            value: value.into(),
            origin: Layer::Environment.into(),
        };
        push(&mut settings, setting)?;
    }
    Ok(settings)
}

/// Splits at unescaped semicolons, each entry at its first unescaped equals
/// sign, and removes the backslashes.
fn split(text: &str) -> Result<Vec<(String, Option<String>)>, String> {
    let mut entries = Vec::new();
    if text.is_empty() {
        return Ok(entries);
    }
    let mut name = String::new();
    let mut value: Option<String> = None;
    let mut characters = text.chars();
    let mut is_open = false;
    while let Some(character) = characters.next() {
        is_open = true;
        let literal = match character {
            ';' => {
                entries.push((std::mem::take(&mut name), value.take()));
                is_open = false;
                continue;
            }
            '=' if value.is_none() => {
                value = Some(String::new());
                continue;
            }
            '\\' => {
                match characters.next() {
                    Some(escaped @ (':' | ';' | '=' | '\\')) => escaped,
                    Some(_) => {
                        return Err("has a backslash that escapes nothing; write one before : ; = and \\ only".into());
                    }
                    None => return Err("ends with a single backslash; write \\\\ for one".into()),
                }
            }
            other => other,
        };
        value.as_mut().unwrap_or(&mut name).push(literal);
    }
    // A final semicolon does not begin an entry.
    if is_open {
        entries.push((name, value));
    }
    Ok(entries)
}

/// Reads the settings in the file; with warnings.
fn file(path: &Path) -> Result<(Vec<Setting>, Vec<String>), String> {
    let text = content(path)
        .map_err(|reason| format!("config: the file {path:?} cannot be read: {reason}"))?;
    toml(&text, path).map_err(|reason| format!("config: the file {path:?} {reason}"))
}

fn content(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    platform::open_to_read(path)
        .and_then(|(file, _)| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".into())
}

fn toml(text: &str, path: &Path) -> Result<(Vec<Setting>, Vec<String>), String> {
    let line_at = |position: usize| {
        let before = text.get(..position).unwrap_or_default();
        before.matches('\n').count() + 1
    };
    let origin = |position| Origin {
        line: Some(line_at(position)),
        ..Layer::File(path.to_owned()).into()
    };
    // Display of the error would show the line, which may hold the password.
    let table = DeTable::parse(text).map_err(|error| {
        let line = line_at(error.span().map_or(0, |span| span.start));
        if error.message().starts_with("duplicate key") {
            return format!("has a setting for the second time in its line {line}; keep one");
        }
        format!("is not valid TOML, see its line {line}; put text in quotes, but not true or false")
    })?;
    let mut settings = Vec::new();
    let mut go = Collected::default();
    let table = table.into_inner();
    let has_section = table.get(go_options::SECTION);
    let is_go = has_section.is_some_and(|value| value.get_ref().is_table());
    for (name, value) in table {
        let position = name.span().start;
        let name = name.into_inner();
        match value.into_inner() {
            _ if name == go_options::CERTSTORE => go.has_certstore = true,
            DeValue::Table(section) if name == go_options::SECTION => {
                read_section(section, &origin, &mut go)?;
            }
            DeValue::Table(_) if is_go => go
                .unknown
                .push(format!("the section {}", quoted(name.as_ref()))),
            DeValue::Table(_) => {
                return Err(format!(
                    "has the section {}; settings go at the top, outside sections",
                    quoted(name.as_ref())
                ));
            }
            value => {
                let key = known(&name)?;
                if !key.is_in_file {
                    return Err(format!(
                        "has the setting {}; a file cannot name another",
                        key.name
                    ));
                }
                let values = match value {
                    DeValue::Array(values) if key.is_repeatable() => {
                        if values.is_empty() {
                            return Err(format!("has {name} with an empty list; remove it"));
                        }
                        values.into_iter().map(|one| one.into_inner()).collect()
                    }
                    value => vec![value],
                };
                for value in values {
                    let setting = Setting {
                        key,
                        value: scalar(key.name, &value)?.into(),
                        origin: origin(position),
                    };
                    push(&mut settings, setting)?;
                }
            }
        }
    }
    let (older, warnings) = go.finish();
    for setting in older {
        push(&mut settings, setting)?;
    }
    Ok((settings, warnings))
}

/// Reads the section of ncprop279 (Go), which has settings by their old names.
fn read_section(
    section: DeTable<'_>,
    origin: &dyn Fn(usize) -> Origin,
    go: &mut Collected,
) -> Result<(), String> {
    const SECTION: &str = go_options::SECTION;
    for (name, value) in section {
        let position = name.span().start;
        let name = name.into_inner();
        if find(&name).is_some() {
            return Err(format!(
                "has {name} in its section {SECTION}; new settings go at the top, outside \
                 sections"
            ));
        }
        if !Collected::knows(&name) {
            let name = quoted(name.as_ref());
            go.unknown
                .push(format!("the setting {name} in the section {SECTION}"));
            continue;
        }
        let value = scalar(&name, value.get_ref())?;
        go.add(&name, value.into(), origin(position))
            .map_err(|reason| format!("has {name} in its section, which {reason}"))?;
    }
    Ok(())
}

fn scalar(name: &str, value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(decimal(number.as_str(), number.radix())),
        DeValue::Float(number) => Ok(float(number.as_str())),
        DeValue::Boolean(truth) => Ok(truth.to_string()),
        _ => Err(format!(
            "has {name} with a list or date; write a string, number, true or false"
        )),
    }
}

/// An integer in any of TOML's bases, as a decimal number.
fn decimal(digits: &str, radix: u32) -> String {
    let number = i64::from_str_radix(digits, radix);
    number.map_or_else(|_| digits.to_owned(), |number| number.to_string())
}

/// A number in any form of TOML's, without an exponent.
fn float(digits: &str) -> String {
    let number = digits.parse::<f64>();
    number.map_or_else(|_| digits.to_owned(), |number| number.to_string())
}
