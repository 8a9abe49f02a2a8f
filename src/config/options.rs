//! The environment variable `TOR_NS_PLUGIN_OPTIONS` (proposal 279):
//! `key=value;key=value`, with a backslash before a colon, semicolon, equals
//! sign or backslash that belongs to a key or value. Colons may also stand
//! bare, and so may equals signs in a value.

use std::ffi::OsString;

use super::OPTIONS_VARIABLE;
use super::draft::{Setting, push};
use super::keys::{find, quoted};

/// Reads the settings in the variable's value.
pub(super) fn parse(text: String) -> Result<Vec<Setting>, String> {
    parse_entries(&text).map_err(|reason| format!("{OPTIONS_VARIABLE} {reason}"))
}

fn parse_entries(text: &str) -> Result<Vec<Setting>, String> {
    let mut settings: Vec<Setting> = Vec::new();
    for (name, value) in split(text)? {
        let name = name.trim();
        if name.is_empty() {
            return Err("has an entry without a key; write key=value;key=value".into());
        }
        let key = find(name).ok_or_else(|| {
            // What follows a secret may be the rest of it.
            if let Some((before, _)) = settings.last()
                && before.name.starts_with("rpc-")
            {
                return format!(
                    "has an unknown setting after {}; a semicolon in a value is written \\;",
                    before.name
                );
            }
            format!(
                "has the unknown setting {}; see --help for those that exist",
                quoted(name)
            )
        })?;
        let value = match (value, key.value_name) {
            (Some(value), _) => value,
            (None, None) => "true".to_owned(),
            (None, Some(_)) => {
                let name = key.name;
                return Err(format!("has {name} without a value; write {name}=value"));
            }
        };
        push(&mut settings, key, OsString::from(value))?;
    }
    Ok(settings)
}

/// Splits at unescaped semicolons, each entry at its first unescaped equals
/// sign, and takes the backslashes away.
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
            '\\' => match characters.next() {
                Some(escaped @ (':' | ';' | '=' | '\\')) => escaped,
                Some(_) => {
                    return Err("has a backslash that escapes nothing; a backslash may stand before : ; = and \\ only".into());
                }
                None => return Err("ends with a single backslash; write \\\\ for one".into()),
            },
            other => other,
        };
        value.as_mut().unwrap_or(&mut name).push(literal);
    }
    // A semicolon at the end is no beginning of an entry.
    if is_open {
        entries.push((name, value));
    }
    Ok(entries)
}
