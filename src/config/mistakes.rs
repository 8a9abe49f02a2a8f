//! Messages about a command line that is wrong.
//!
//! Words that are no options are not repeated: they could be names or a part
//! of a password.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::definition::{COMMANDS, command_words, definition};
use super::go_options::takes_next;
use super::keys::{KEYS, find};
use crate::text::is_near;

/// The types of DNS records that somebody may ask for.
const TYPES: [&str; 18] = [
    "A", "AAAA", "ANY", "CAA", "CNAME", "DNAME", "DS", "HTTPS", "LOC", "MX", "NS", "PTR", "SOA",
    "SRV", "SSHFP", "SVCB", "TLSA", "TXT",
];

/// One line about what `clap` refused.
pub(super) fn explain(error: &clap::Error, words: &[OsString]) -> String {
    let option = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(ContextValue::Strings(texts)) => texts.first().map(String::as_str),
        _ => None,
    }
    // The context may go on with a value or its placeholder.
    .and_then(|text| text.split(['=', ' ', '[']).next())
    .unwrap_or_default();
    let is_option = option.starts_with('-');
    match error.kind() {
        ErrorKind::UnknownArgument if is_among_letters(option, words) => with_one_hyphen(words)
            .unwrap_or_else(|| {
                format!(
                    "{option:?} (command line) is an unknown option; long ones begin with two \
                     hyphens"
                )
            }),
        ErrorKind::UnknownArgument if is_option => {
            of_another_command(option).unwrap_or_else(|| {
                let hint = near_option(option)
                    .map_or_else(String::new, |near| format!("did you mean --{near}? "));
                format!("{option:?} (command line) is an unknown option; {hint}see --help")
            })
        }
        ErrorKind::UnknownArgument => unexpected(option, words),
        ErrorKind::InvalidSubcommand => {
            let hint = near_command(words)
                .map_or_else(String::new, |near| format!("did you mean {near}? "));
            format!(
                "no such command (command line); {hint}to look up a name, write ncprop279 resolve \
                 NAME; the commands are {}",
                COMMANDS.join(", ")
            )
        }
        ErrorKind::InvalidValue if is_option => {
            format!("{option} (command line) needs a value; write {option}=value")
        }
        ErrorKind::ArgumentConflict if is_option => {
            format!("{option} (command line) is given more than once; keep one")
        }
        ErrorKind::MissingRequiredArgument => {
            let what = match option {
                "<SHELL>" => "a shell: bash, elvish, fish, powershell or zsh",
                _ => "a name",
            };
            format!("the command (command line) needs {what}; see --help")
        }
        kind => format!("the command line cannot be used: {kind}; see --help"),
    }
}

/// The setting that an unknown name is probably meant to be.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let near = KEYS.iter().find(|key| is_near(&name, key.name));
    near.map(|key| key.name)
}

/// The option that an unknown one is probably meant to be.
fn near_option(option: &str) -> Option<String> {
    let name = option.strip_prefix("--")?;
    let definition = definition(None);
    let commands = definition.get_subcommands();
    let mut own = commands.flat_map(|command| command.get_opts().filter_map(|one| one.get_long()));
    let general = ["help", "verbose", "version"].into_iter();
    let near = own.find(|own| is_near(name, own));
    let near = near.or_else(|| general.into_iter().find(|one| is_near(name, one)));
    near.or_else(|| meant(name)).map(str::to_owned)
}

/// The command that the first word which is no option is probably meant to be.
fn near_command(words: &[OsString]) -> Option<&'static str> {
    let mut words = options(words.get(1..)?).map(|(word, _)| word);
    let word = words.find(|word| !word.starts_with('-'))?;
    COMMANDS.into_iter().find(|command| is_near(word, command))
}

/// The message about an option that other commands have.
fn of_another_command(option: &str) -> Option<String> {
    let long = option.strip_prefix("--")?;
    let definition = definition(None);
    let commands = definition.get_subcommands();
    let owners: Vec<_> = commands
        .filter(|command| command.get_opts().any(|own| own.get_long() == Some(long)))
        .map(|command| command.get_name())
        .collect();
    let (last, others) = owners.split_last()?;
    let owners = match others {
        [] => (*last).to_owned(),
        others => format!("{} and {last}", others.join(", ")),
    };
    Some(format!(
        "{option} (command line) is an option of {owners}; write it after the command"
    ))
}

/// Whether an option of one letter is part of a longer word, which may be meant
/// as one option or as the option with its value.
fn is_among_letters(option: &str, words: &[OsString]) -> bool {
    let Some(letter) = option.strip_prefix('-') else {
        return false;
    };
    words.iter().filter_map(|word| word.to_str()).any(|word| {
        let letters = word.strip_prefix('-').unwrap_or_default();
        !letters.starts_with('-') && letters.len() > letter.len() && letters.contains(letter)
    })
}

/// The message about a long option with one hyphen in front, if there is one.
fn with_one_hyphen(words: &[OsString]) -> Option<String> {
    let names = options(words).filter_map(|(word, _)| {
        let name = word.strip_prefix('-')?.split('=').next()?;
        let is_long = matches!(name, "help" | "version" | "verbose");
        (is_long || find(name).is_some() || of_another_command(&format!("--{name}")).is_some())
            .then(|| name.to_owned())
    });
    let name = names.into_iter().next()?;
    Some(format!(
        "-{name} (command line) has one hyphen; write --{name}"
    ))
}

/// The message about a switch whose value is a word of its own, which would be
/// taken for a name.
pub(super) fn split_switch(words: &[OsString]) -> Option<String> {
    options(words).find_map(|(word, next)| {
        let key = find(word.strip_prefix("--")?).filter(|key| key.is_switch())?;
        let value = match next?.to_str()? {
            "true" | "yes" | "on" | "1" => true,
            "false" | "no" | "off" | "0" => false,
            _ => return None,
        };
        let name = key.name;
        Some(format!(
            "--{name} (command line) takes its value after an equals sign; write --{name}={value}"
        ))
    })
}

/// The message about an option whose value would be the option after it. A value
/// may begin with hyphens, but one that is an option's name is a value
/// forgotten, and the option after it would silently mean nothing.
pub(super) fn missing_value(words: &[OsString]) -> Option<String> {
    words.windows(2).find_map(|pair| {
        let [option, next] = pair else { return None };
        let name = option.to_str()?.strip_prefix("--")?;
        let next = next.to_str()?.strip_prefix("--")?.split('=').next()?;
        let is_option = matches!(next, "help" | "version" | "verbose")
            || find(next).is_some()
            || of_another_command(&format!("--{next}")).is_some();
        (takes_next(option) && is_option)
            .then(|| format!("--{name} (command line) needs a value; write --{name}=value"))
    })
}

/// The words that may be options, each with the word after it: not the values
/// of other options, nor what follows `--`.
fn options(words: &[OsString]) -> impl Iterator<Item = (&str, Option<&OsString>)> {
    let mut words = words.iter().peekable();
    std::iter::from_fn(move || {
        let word = words.next().filter(|word| *word != "--")?;
        if takes_next(word) {
            words.next();
        }
        Some((word.to_str().unwrap_or_default(), words.peek().copied()))
    })
}

/// The message about a word that has no place. It is not repeated.
fn unexpected(word: &str, words: &[OsString]) -> String {
    let command = command_words(words.get(1..).unwrap_or_default());
    match command.map(|(command, _)| command) {
        Some("resolve") if TYPES.iter().any(|kind| word.eq_ignore_ascii_case(kind)) => {
            "resolve (command line) takes no type of record: it prints the one answer that a \
             naming client would get; see records NAME for all records, and write an isolation \
             id as --isolation=ID"
                .to_owned()
        }
        Some(command @ ("resolve" | "records")) => format!(
            "unexpected argument (command line); {command} takes one name; write an isolation id \
             as --isolation=ID"
        ),
        _ => "unexpected argument (command line); see --help".to_owned(),
    }
}
