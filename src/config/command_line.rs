//! The command line.

use std::ffi::OsString;

use clap::builder::{OsStringValueParser, PossibleValuesParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, ValueHint};
use clap_complete::Shell;

use super::draft::{Layer, Setting, push};
use super::go_options::{self, takes_next};
use super::keys::{KEYS, Key};
use super::mistakes::{self, explain};
use super::read::{Command, Form, PROTOCOL};
use super::values::{Kind, quoted};
use crate::chain::network::Network;
use crate::isolation::IsolationId;

/// The subcommands; without one the process is a plugin.
pub(super) const COMMANDS: [&str; 8] = [
    "resolve",
    "records",
    "check",
    "serve",
    "checkpoint",
    "config",
    "completions",
    "help",
];

/// The shells that `completions` knows.
const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

const AFTER_HELP: &str = "\
Without a command, serves a naming client on stdin and stdout (proposal 279).
A switch without a value is true. Settings may also be in the environment,
TOR_NS_PLUGIN_OPTIONS=key=value;..., and in the file of --config, key = \"value\".
The command line overrides the environment, which overrides the file.";

const AFTER_COMMAND: &str = "For all settings see ncprop279 --help.";

const RESOLVE_JSON: &str = "\
With --json prints one object: \"name\"; \"isolation\", the id or null; \"status\",
the exit status; and either \"kind\" (onion, address or host) with \"answer\", or
\"error\".";

const RECORDS_JSON: &str = "\
With --json prints one object: \"records\", each with \"owner\", \"ttl\", \"class\",
\"type\" and \"data\"; \"errors\", each with \"owner\", \"item\" and \"reason\"; and
\"wildcard\" where one matches the name.";

const SERVE_NOTES: &str = "\
Programs that use 127.0.0.1:9250 as their SOCKS5 or HTTP proxy, and have it
resolve host names, reach names in .bit. All connections go on to Tor's SOCKS
port, --proxy (default: 127.0.0.1:9050), and keep the isolation that they ask
for. SIGTERM and SIGINT end the command and all open connections.

  ncprop279 check serve --backend electrum
  ncprop279 serve --backend electrum
  curl --socks5-hostname 127.0.0.1:9250 http://NAME.bit/";

const CHECK_NOTES: &str = "\
With the word serve also tests what that command needs: whether Tor's SOCKS port
is at --proxy, and whether the addresses of --socks-listen are free. With --json
prints one object: \"works\", whether lookups would work, and \"findings\", each
with \"label\", \"health\" (ok, warn or fail), \"what\" and \"remedy\", which may be
empty.";

const CONFIG_NOTES: &str = "\
The output has the form of the configuration file. Secrets are omitted.
A default that depends on other settings or on this system is commented out, so
that a file made from the output does not fix it.";

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

/// The first word that is no option, if it names a subcommand, and the word
/// after it. This also works for a command line that is wrong elsewhere.
pub(super) fn command_words(arguments: &[OsString]) -> Option<(&'static str, Option<&OsString>)> {
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if !word.to_string_lossy().starts_with('-') {
            let command = COMMANDS.into_iter().find(|command| word == command)?;
            return Some((command, words.next()));
        }
        if takes_next(word) {
            words.next();
        }
    }
    None
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
    let matches = match definition(help_for).try_get_matches_from(&words) {
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

/// What a subcommand is to do.
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

/// The command line for `clap`. The help lists the settings that matter to the
/// command, or all.
pub(super) fn definition(help_for: Option<&str>) -> clap::Command {
    let options = KEYS.iter().map(|key| {
        let arg = Arg::new(key.name)
            .long(key.name)
            .help(key.help_with_default())
            .help_heading(key.group)
            .hide(help_for.is_some_and(|command| !key.commands.contains(&command)))
            .global(true)
            .value_name(key.placeholder)
            .value_parser(OsStringValueParser::new());
        match key.kind {
            // The value lets the command line switch off what a file
            // switches on.
            Kind::Switch(_) => arg
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true"),
            // A password or number with a hyphen in front is a value, and an
            // error about it must not take it for an option and repeat it.
            Kind::List { .. } => arg.allow_hyphen_values(true).action(ArgAction::Append),
            _ => arg.allow_hyphen_values(true),
        }
    });
    let positional = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .help(help)
            .value_hint(ValueHint::Other)
            .value_parser(OsStringValueParser::new())
    };
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .help(help)
            .action(ArgAction::SetTrue)
    };
    let name = || positional("NAME", "a name in .bit").required(true);
    let json = || flag("json", "Print JSON for programs");
    let isolation = || {
        Arg::new("isolation")
            .long("isolation")
            .value_name("ID")
            .help("Ask under this isolation id")
            .value_hint(ValueHint::Other)
            .allow_hyphen_values(true)
            .value_parser(OsStringValueParser::new())
    };
    let command = |name: &'static str, about: &'static str, notes: &str| {
        let notes = match notes {
            "" => AFTER_COMMAND.to_owned(),
            notes => format!("{notes}\n\n{AFTER_COMMAND}"),
        };
        clap::Command::new(name).about(about).after_help(notes)
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
                .help("Log progress to stderr; -vv logs each step")
                .global(true)
                .action(ArgAction::Count),
        )
        .subcommand(
            command(
                "resolve",
                "Resolve one name and print the answer",
                RESOLVE_JSON,
            )
            .arg(name())
            .arg(flag("explain", "Explain how the answer was found"))
            .arg(isolation())
            .arg(json()),
        )
        .subcommand(
            command("records", "Print the records of one name", RECORDS_JSON)
                .arg(name())
                .arg(isolation())
                .arg(json()),
        )
        .subcommand(
            command(
                "check",
                "Test the configuration and the source",
                CHECK_NOTES,
            )
            .arg(positional(
                "serve",
                "serve, to test the ports of that command, too",
            ))
            .arg(json()),
        )
        .subcommand(command(
            "serve",
            "Open a SOCKS port for programs, in front of Tor",
            SERVE_NOTES,
        ))
        .subcommand(command(
            "checkpoint",
            "Print a newer block for --checkpoint",
            "",
        ))
        .subcommand(command(
            "config",
            "Print the settings in effect and their origins",
            CONFIG_NOTES,
        ))
        .subcommand(
            command("completions", "Print completions for a shell", "")
                .arg(positional("SHELL", "bash, elvish, fish, powershell or zsh").required(true)),
        )
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
