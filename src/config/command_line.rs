//! The command line.

use std::ffi::OsString;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{ArgMatches, ValueHint};
use clap_complete::Shell;

use super::definition::{COMMANDS, command_words, definition, plugin_options};
use super::go_options;
use super::key::Key;
use super::keys::KEYS;
use super::layers::{Layer, Setting, push};
use super::mistakes::{self, explain};
use super::values::quoted;
use crate::chain::network::Network;
use crate::isolation::IsolationId;

/// The shells that `completions` knows.
const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

/// The version of the protocol that the plugin speaks (proposal 279).
pub(super) const PROTOCOL: u32 = 1;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Serve a naming client over stdin and stdout.
    Plugin,
    /// Resolve one name and print the answer.
    Resolve {
        /// The name as the user wrote it.
        name: String,
        /// The isolation id to ask under.
        isolation: IsolationId,
        /// What to print.
        form: Form,
    },
    /// Print the records of one name.
    Records {
        /// The name as the user wrote it.
        name: String,
        /// The isolation id to ask under.
        isolation: IsolationId,
        /// Print JSON for programs instead of lines.
        json: bool,
    },
    /// Test the configuration and report what works.
    Check {
        /// Also test what the command `serve` needs.
        serve: bool,
        /// Print JSON for programs instead of lines.
        json: bool,
    },
    /// Print a block from which later runs can start their verification.
    Checkpoint,
    /// Open doors, and serve until stopped.
    Serve,
    /// Print these settings.
    Config(String),
}

impl Command {
    /// Whether the settings of the command `serve` matter.
    pub(super) fn serves(&self) -> bool {
        matches!(self, Self::Serve | Self::Check { serve: true, .. })
    }
}

/// What `resolve` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The answer.
    Plain,
    /// The answer, and how it was found.
    Explained,
    /// JSON for programs.
    Json,
}

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

/// Whether a command line has a subcommand.
pub(super) fn names_a_command(arguments: &[OsString]) -> bool {
    match go_options::extract(arguments.to_vec()) {
        Ok(extracted) => command_words(&extracted.rest).is_some(),
        Err(_) => command_words(arguments).is_some(),
    }
}

/// Reads the command line, given without the program's own name.
pub(super) fn parse(arguments: Vec<OsString>) -> Result<Parsed, String> {
    let go_options::Extracted {
        rest,
        mut settings,
        warnings,
    } = go_options::extract(arguments)?;
    let help_for = match command_words(&rest) {
        Some(("help", word)) => COMMANDS
            .into_iter()
            .find(|one| word.is_some_and(|w| w == one)),
        found => found.map(|(command, _)| command),
    };
    let words = std::iter::once(OsString::from(env!("CARGO_PKG_NAME"))).chain(rest);
    let words: Vec<_> = words.collect();
    if let Some(reason) = mistakes::split_switch(&words).or(mistakes::missing_value(&words)) {
        return Err(reason);
    }
    let is_option = |word: &OsString| word.to_string_lossy().starts_with("--");
    let quick = match words.iter().skip(1).all(is_option) {
        true => plugin_options().try_get_matches_from(&words).ok(),
        false => None,
    };
    let whole = || for_reading(definition(help_for)).try_get_matches_from(&words);
    let matches = match quick.map_or_else(whole, Ok) {
        Ok(matches) => matches,
        Err(error) => {
            return match error.kind() {
                ErrorKind::DisplayHelp => Ok(Parsed::Print(error.render().to_string())),
                ErrorKind::DisplayVersion => Ok(Parsed::Print(version())),
                _ => Err(explain(&error, &words)),
            };
        }
    };
    let (command, matches) = match matches.subcommand() {
        None => (Command::Plugin, &matches),
        Some(("completions", inner)) => return completions(inner).map(Parsed::Print),
        Some((name, inner)) => (command(name, inner)?, inner),
    };
    for key in KEYS {
        let values = matches.get_many::<OsString>(key.name);
        for value in values.into_iter().flatten() {
            let setting = Setting {
                key,
                value: value.clone(),
                origin: Layer::CommandLine.into(),
            };
            push(&mut settings, setting).map_err(|reason| format!("the command line {reason}"))?;
        }
    }
    Ok(Parsed::Run(Arguments {
        command,
        verbosity: matches.get_count("verbose"),
        settings,
        warnings,
    }))
}

/// A definition whose help does not list the command `help`: the heading of the
/// commands says that each has `--help`.
fn for_reading(mut definition: clap::Command) -> clap::Command {
    // Only then there is such a command.
    definition.build();
    definition.mut_subcommand("help", |help| help.hide(true))
}

/// What a subcommand should do.
fn command(name: &str, matches: &ArgMatches) -> Result<Command, String> {
    let written = || text(matches, "NAME").map(Option::unwrap_or_default);
    Ok(match name {
        "resolve" => Command::Resolve {
            name: written()?,
            isolation: isolation(matches)?,
            form: match (matches.get_flag("explain"), matches.get_flag("json")) {
                (true, true) => {
                    return Err(
                        "--explain and --json (command line) cannot be used together; keep one"
                            .into(),
                    );
                }
                (true, false) => Form::Explained,
                (false, true) => Form::Json,
                (false, false) => Form::Plain,
            },
        },
        "records" => Command::Records {
            name: written()?,
            isolation: isolation(matches)?,
            json: matches.get_flag("json"),
        },
        "check" => Command::Check {
            serve: match text(matches, "serve")?.as_deref() {
                None => false,
                Some("serve") => true,
                Some(_) => {
                    return Err(
                        "unexpected argument (command line); check takes no word but \
                                serve, to test what that command needs"
                            .into(),
                    );
                }
            },
            json: matches.get_flag("json"),
        },
        "serve" => Command::Serve,
        "checkpoint" => Command::Checkpoint,
        _ => Command::Config(String::new()),
    })
}

/// The isolation id of `--isolation`.
fn isolation(matches: &ArgMatches) -> Result<IsolationId, String> {
    match text(matches, "isolation")? {
        None => Ok(IsolationId::shared()),
        Some(id) => IsolationId::parse(id.as_bytes())
            .map_err(|error| format!("--isolation (command line) cannot be used: {error}")),
    }
}

/// A shell's rules for completing our command line.
fn completions(matches: &ArgMatches) -> Result<String, String> {
    let shell = text(matches, "SHELL")?.unwrap_or_default();
    let shell: Shell = shell.parse().map_err(|_| {
        format!(
            "SHELL (command line) is {} but must be bash, elvish, fish, powershell or zsh",
            quoted(shell)
        )
    })?;
    // The command line is read without these, as our messages about wrong
    // values are better than those of clap.
    let mut definition = KEYS.iter().fold(definition(None), |definition, key| {
        definition.mut_arg(key.name, |arg| match key.kind.words().as_slice() {
            // A colon in its name ends the name for zsh.
            [] => arg.value_hint(hint(key)).value_name("VALUE"),
            words => arg.value_parser(PossibleValuesParser::new(words.to_vec())),
        })
    });
    definition = definition.mut_subcommand("check", |command| {
        command.mut_arg("serve", |arg| {
            arg.value_parser(PossibleValuesParser::new(["serve"]))
        })
    });
    definition = definition.mut_subcommand("completions", |command| {
        command.mut_arg("SHELL", |arg| {
            arg.value_parser(PossibleValuesParser::new(SHELLS))
        })
    });
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition, env!("CARGO_PKG_NAME"), &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if shell == Shell::Fish {
        // clap_complete omits words that are no options.
        for (command, words) in [("check", "serve"), ("completions", &SHELLS.join(" "))] {
            script.push_str(&format!(
                "complete -c ncprop279 -n \"__fish_ncprop279_using_subcommand {command}\" \
                 -f -a \"{words}\"\n"
            ));
        }
    }
    Ok(script)
}

/// What a shell may offer for the value of a setting.
fn hint(key: &Key) -> ValueHint {
    match key.placeholder {
        "PATH" | "FILE" => ValueHint::FilePath,
        _ => ValueHint::Other,
    }
}

/// What a report of a bug needs. The first line is the version, with the
/// commit if the build knew it.
fn version() -> String {
    let commit = match env!("NCPROP279_COMMIT") {
        "" => String::new(),
        commit => format!(" ({commit})"),
    };
    let network = Network::Mainnet;
    format!(
        "ncprop279 {}{commit}\ncheckpoint {} {}\nprotocol {PROTOCOL} (Tor proposal 279)\n",
        env!("CARGO_PKG_VERSION"),
        network.as_str(),
        network.checkpoint(),
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
