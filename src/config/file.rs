//! The configuration file: TOML with the settings as top-level keys.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use toml::{Table, Value};

use super::draft::{Setting, push};
use super::keys::{find, quoted};
use super::upstream::{self, Collected};
use crate::platform;

/// The largest file in bytes.
const MAX_OCTETS: u64 = 1 << 20;

/// Reads the settings in the file; with warnings.
pub(super) fn read(path: &Path) -> Result<(Vec<Setting>, Vec<String>), String> {
    let text = read_text(path)
        .map_err(|reason| format!("config: the file {path:?} cannot be read: {reason}"))?;
    parse(&text).map_err(|reason| format!("config: the file {path:?} {reason}"))
}

fn read_text(path: &Path) -> Result<String, String> {
    let mut octets = Vec::new();
    platform::open_to_read(path)
        .and_then(|(file, _)| file.take(MAX_OCTETS + 1).read_to_end(&mut octets))
        .map_err(|error| error.to_string())?;
    if octets.len() as u64 > MAX_OCTETS {
        return Err(format!("it has more than {MAX_OCTETS} bytes"));
    }
    String::from_utf8(octets).map_err(|_| "it is not UTF-8".into())
}

fn parse(text: &str) -> Result<(Vec<Setting>, Vec<String>), String> {
    // Display of the error would show the line, which may hold the password.
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error
            .span()
            .and_then(|span| text.get(..span.start))
            .unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        if error.message().starts_with("duplicate key") {
            return format!("has a setting for the second time in its line {line}; keep one");
        }
        format!(
            "is not valid TOML, see its line {line}; text stands in quotes, true and false do not"
        )
    })?;
    let mut settings = Vec::new();
    let mut older = Collected::default();
    let is_older = table.get(upstream::SECTION).is_some_and(Value::is_table);
    for (name, value) in table {
        if name == upstream::CERTSTORE {
            older.has_certstore = true;
            continue;
        }
        if name == upstream::SECTION
            && let Value::Table(section) = value
        {
            read_section(section, &mut older)?;
            continue;
        }
        if is_older && value.is_table() {
            older.unknown.push(format!("the section {}", quoted(&name)));
            continue;
        }
        if value.is_table() {
            return Err(format!(
                "has the section {}; settings stand at the top, outside sections",
                quoted(name)
            ));
        }
        let key = find(&name).ok_or_else(|| {
            format!(
                "has the unknown setting {}; see --help for those that exist",
                quoted(&name)
            )
        })?;
        if key.name == "config" {
            return Err("has the setting config; a file cannot name another".into());
        }
        let values = match value {
            Value::Array(values) if key.is_repeatable() => {
                if values.is_empty() {
                    return Err(format!("has {name} with an empty list; take it away"));
                }
                values
            }
            value => vec![value],
        };
        for value in values {
            push(&mut settings, key, OsString::from(scalar(key.name, value)?))?;
        }
    }
    let (older, warnings) = older.finish();
    for (key, value) in older {
        push(&mut settings, key, value)?;
    }
    Ok((settings, warnings))
}

/// Reads the section of ncprop279 (Go), which has settings by their old names.
fn read_section(section: Table, older: &mut Collected) -> Result<(), String> {
    for (name, value) in section {
        if find(&name).is_some() {
            return Err(format!(
                "has {name} in its section {}; new settings stand at the top, outside sections",
                upstream::SECTION
            ));
        }
        if !Collected::knows(&name) {
            let what = format!(
                "the setting {} in the section {}",
                quoted(&name),
                upstream::SECTION
            );
            older.unknown.push(what);
            continue;
        }
        let text = scalar(&name, value)?;
        older
            .add(&name, OsString::from(text))
            .map_err(|reason| format!("has {name} in its section, which {reason}"))?;
    }
    Ok(())
}

fn scalar(name: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(truth) => Ok(truth.to_string()),
        _ => Err(format!(
            "has {name} with a list or date; write a string, number, true or false"
        )),
    }
}
