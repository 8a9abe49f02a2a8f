//! Settings as the environment variable and the configuration file have them.
//!
//! The variable `TOR_NS_PLUGIN_OPTIONS` (proposal 279) is
//! `key=value;key=value`, with a backslash before a colon, semicolon, equals
//! sign or backslash that belongs to a key or value. Colons need no backslash,
//! and neither do equals signs in a value. The file is TOML with the settings
//! as top-level keys.

use std::io::Read;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::draft::{Layer, Origin, Setting, push};
use super::go_options::{self, Collected};
use super::keys::{Key, find};
use super::mistakes::meant;
use super::read::OPTIONS_VARIABLE;
use super::values::quoted;
use crate::platform;

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
pub(super) fn variable(text: &str) -> Result<Vec<Setting>, String> {
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
pub(super) fn file(path: &Path) -> Result<(Vec<Setting>, Vec<String>), String> {
    let text = read(path)
        .map_err(|reason| format!("config: the file {path:?} cannot be read: {reason}"))?;
    parse(&text, path).map_err(|reason| format!("config: the file {path:?} {reason}"))
}

fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    platform::open_to_read(path)
        .and_then(|(file, _)| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".into())
}

fn parse(text: &str, path: &Path) -> Result<(Vec<Setting>, Vec<String>), String> {
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
