//! The command line.

use std::ffi::OsString;

use clap::builder::{OsStringValueParser, PossibleValuesParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, ValueHint};
use clap_complete::Shell;

use super::draft::{Setting, push};
use super::keys::{KEYS, Key, quoted};
use super::mistakes::{self, explain};
use super::{Command, upstream};

/// The subcommands; without one the process is a plugin.
pub(super) const COMMANDS: [&str; 6] = [
    "resolve",
    "records",
    "check",
    "checkpoint",
    "completions",
    "help",
];

/// The shells that `completions` knows.
const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

const AFTER_HELP: &str = "\
Without a command, serves a naming client on stdin and stdout (proposal 279).
A switch without a value is true. Settings may also stand in the environment,
TOR_NS_PLUGIN_OPTIONS=key=value;..., and in the file of --config, key = \"value\".
The command line comes first, then the environment, then the file.";

/// A command line that can be used.
pub(super) struct Arguments {
    pub command: Command,
    pub verbosity: u8,
    pub settings: Vec<Setting>,
    /// About options that work but are no longer needed.
    pub warnings: Vec<String>,
}

/// What the command line asks for.
pub(super) enum Parsed {
    Run(Arguments),
    Print(String),
}

/// Whether the first word that is no option names a subcommand. This also
/// works for a command line that is wrong elsewhere.
pub(super) fn names_a_command(arguments: &[OsString]) -> bool {
    let extracted = upstream::extract(arguments.to_vec());
    let rest = extracted
        .as_ref()
        .map_or(arguments, |extracted| &extracted.rest);
    let mut arguments = rest.iter();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        if !text.starts_with('-') {
            return COMMANDS.contains(&text.as_ref());
        }
        if upstream::takes_next(argument) {
            arguments.next();
        }
    }
    false
}

/// Reads the command line, given without the program's own name.
pub(super) fn parse(arguments: Vec<OsString>) -> Result<Parsed, String> {
    let upstream::Extracted {
        rest,
        settings: mut older,
        warnings,
    } = upstream::extract(arguments)?;
    let words = std::iter::once(OsString::from(env!("CARGO_PKG_NAME"))).chain(rest);
    let words: Vec<_> = words.collect();
    if let Some(reason) = mistakes::split_switch(&words).or(mistakes::missing_value(&words)) {
        return Err(reason);
    }
    let matches = match definition().try_get_matches_from(&words) {
        Ok(matches) => matches,
        Err(error) => {
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                    Ok(Parsed::Print(error.render().to_string()))
                }
                _ => Err(explain(&error, &words)),
            };
        }
    };
    let (command, matches) = match matches.subcommand() {
        Some(("resolve", inner)) => (
            Command::Resolve {
                name: text(inner, "NAME")?.unwrap_or_default(),
                isolation: isolation(inner)?,
                explain: inner.get_flag("explain"),
            },
            inner,
        ),
        Some(("check", inner)) => (Command::Check, inner),
        Some(("checkpoint", inner)) => (Command::Checkpoint, inner),
        Some(("completions", inner)) => return completions(inner),
        Some((_, inner)) => (
            Command::Records {
                name: text(inner, "NAME")?.unwrap_or_default(),
                isolation: text(inner, "isolation")?,
                json: inner.get_flag("json"),
            },
            inner,
        ),
        None => (Command::Plugin, &matches),
    };
    let verbosity = matches.get_count("verbose");
    let settings: Vec<Setting> = KEYS
        .iter()
        .flat_map(|key| {
            let values = matches.get_many::<OsString>(key.name);
            values
                .into_iter()
                .flatten()
                .map(move |value| (key, value.clone()))
        })
        .collect();
    for (key, value) in settings {
        push(&mut older, key, value).map_err(|reason| format!("the command line {reason}"))?;
    }
    Ok(Parsed::Run(Arguments {
        command,
        verbosity,
        settings: older,
        warnings,
    }))
}

/// The isolation id of `resolve`: an option, or the word after the name, as it
/// was written before there was the option.
fn isolation(matches: &ArgMatches) -> Result<Option<String>, String> {
    let word = text(matches, "ISOLATION_ID")?;
    if let Some(reason) = word.as_deref().and_then(mistakes::meant_otherwise) {
        return Err(reason.to_owned());
    }
    let option = text(matches, "isolation")?;
    if word.is_some() && option.is_some() {
        return Err(
            "--isolation (command line) is given, and a word after the name too; \
                    keep one"
                .to_owned(),
        );
    }
    Ok(option.or(word))
}

/// A shell's rules for completing our command line.
fn completions(matches: &ArgMatches) -> Result<Parsed, String> {
    let shell = text(matches, "SHELL")?.unwrap_or_default();
    let shell: Shell = shell.parse().map_err(|_| {
        format!(
            "SHELL (command line) is {} but must be bash, elvish, fish, powershell or zsh",
            quoted(shell)
        )
    })?;
    // Reading the command line has words of its own for values that are wrong,
    // and none for a shell.
    let mut definition = KEYS.iter().fold(definition(), |definition, key| {
        definition.mut_arg(key.name, |arg| match values(key) {
            // A colon in its name ends the name for zsh.
            [] => arg.value_hint(hint(key)).value_name("VALUE"),
            values => arg.value_parser(PossibleValuesParser::new(values)),
        })
    });
    definition = definition.mut_subcommand("completions", |command| {
        command.mut_arg("SHELL", |arg| {
            arg.value_parser(PossibleValuesParser::new(SHELLS))
        })
    });
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition, env!("CARGO_PKG_NAME"), &mut script);
    if shell == Shell::Fish {
        // clap_complete leaves out words that are no options.
        let words = SHELLS.join(" ");
        script.extend_from_slice(
            format!(
                "complete -c ncprop279 -n \"__fish_ncprop279_using_subcommand completions\" \
                 -f -a \"{words}\"\n"
            )
            .as_bytes(),
        );
    }
    Ok(Parsed::Print(String::from_utf8_lossy(&script).into_owned()))
}

/// The values of a setting, if they are a fixed few.
pub(super) fn values(key: &Key) -> &'static [&'static str] {
    match (key.name, key.value_name) {
        ("backend", _) => &["rpc", "electrum", "file"],
        ("rpc-dialect", _) => &["auto", "core", "electrum-nmc", "consensusj"],
        ("electrum-operators", _) => &["auto", "1", "2"],
        ("network", _) => &["mainnet", "regtest"],
        ("missing-isolation", _) => &["shared", "unique", "refuse"],
        (_, None) => &["true", "false"],
        _ => &[],
    }
}

/// What a shell may offer for the value of a setting.
fn hint(key: &Key) -> ValueHint {
    match key.value_name {
        Some("PATH" | "FILE") => ValueHint::FilePath,
        _ => ValueHint::Other,
    }
}

/// The command line as `clap` knows it, for the manual page.
pub(super) fn definition() -> clap::Command {
    let options = KEYS.iter().map(|key| {
        let arg = Arg::new(key.name)
            .long(key.name)
            .help(key.help)
            .help_heading(key.heading)
            .global(true)
            .value_parser(OsStringValueParser::new());
        let arg = match key.is_repeatable() {
            true => arg.action(ArgAction::Append),
            false => arg,
        };
        match key.value_name {
            // A password or number with a hyphen in front is a value, and an
            // error about it must not take it for an option and repeat it.
            Some(name) => arg.value_name(name).allow_hyphen_values(true),
            // The value lets the command line switch off what a file
            // switches on.
            None => arg
                .value_name("BOOL")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true"),
        }
    });
    let positional = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .help(help)
            .value_hint(ValueHint::Other)
            .value_parser(OsStringValueParser::new())
    };
    let name = || positional("NAME", "a name in .bit").required(true);
    let isolation = || {
        Arg::new("isolation")
            .long("isolation")
            .value_name("ID")
            .help("Ask under this isolation id")
            .value_hint(ValueHint::Other)
            .allow_hyphen_values(true)
            .value_parser(OsStringValueParser::new())
    };
    clap::Command::new(env!("CARGO_PKG_NAME"))
        .version(env!("CARGO_PKG_VERSION"))
        .about("Resolves Namecoin .bit names for Tor's naming clients.")
        .after_help(AFTER_HELP)
        .args(options)
        .arg(
            Arg::new("verbose")
                .short('v')
                .long("verbose")
                .help("Tell on stderr what goes on; -vv more")
                .global(true)
                .action(ArgAction::Count),
        )
        .subcommand(
            clap::Command::new("resolve")
                .about("Resolve one name, print the answer")
                .arg(name())
                .arg(
                    Arg::new("explain")
                        .long("explain")
                        .help("Tell after the answer how it was found")
                        .action(ArgAction::SetTrue),
                )
                .arg(isolation())
                .arg(positional("ISOLATION_ID", "the same as --isolation").hide(true)),
        )
        .subcommand(
            clap::Command::new("records")
                .about("Print the records of one name")
                .arg(name())
                .arg(isolation())
                .arg(
                    Arg::new("json")
                        .long("json")
                        .help("Print JSON for programs")
                        .action(ArgAction::SetTrue),
                ),
        )
        .subcommand(clap::Command::new("check").about("Try the configuration out"))
        .subcommand(clap::Command::new("checkpoint").about("Print a newer block for --checkpoint"))
        .subcommand(
            clap::Command::new("completions")
                .about("Print completions for a shell")
                .arg(positional("SHELL", "bash, elvish, fish, powershell or zsh").required(true)),
        )
}

fn text(matches: &ArgMatches, name: &str) -> Result<Option<String>, String> {
    matches
        .get_one::<OsString>(name)
        .cloned()
        .map(OsString::into_string)
        .transpose()
        .map_err(|_| format!("{name} (command line) is not UTF-8"))
}
