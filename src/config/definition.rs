//! The command line as `clap` knows it: options from the table of settings, and
//! the subcommands.

use std::ffi::OsString;

use clap::builder::OsStringValueParser;
use clap::{Arg, ArgAction, ValueHint};

use super::go_options::takes_next;
use super::key::{Key, Kind};
use super::keys::KEYS;

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

const BEFORE_HELP: &str =
    "Without a command, serves a naming client on stdin and stdout (proposal 279).";

/// The help without a line between the two sentences in front.
const HELP: &str = "{about-with-newline}{before-help}{usage-heading} {usage}\n\n{all-args}";

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

With --tor-control auto it resolves names for every program that uses this Tor,
on Tor's control port, and opens no port unless --socks-listen is set.

  ncprop279 check serve --backend electrum
  ncprop279 serve --backend electrum
  curl --socks5-hostname 127.0.0.1:9250 http://NAME.bit/";

const CHECK_NOTES: &str = "\
With the word serve also tests what that command needs: whether Tor's SOCKS port
is at --proxy, whether the addresses of --socks-listen are free, and whether the
ports of --tor-control can be used. With --json prints one object: \"works\",
whether lookups would work, and \"findings\", each with \"label\", \"health\" (ok,
warn or fail), \"what\" and \"remedy\", which may be empty.";

const CONFIG_NOTES: &str = "\
The command line overrides the environment, TOR_NS_PLUGIN_OPTIONS=key=value;...,
which overrides the file of --config, key = \"value\". A switch without a value
is true. The output has the form of the file. Secrets are omitted.
A default that depends on other settings or on this system is commented out, so
that a file made from the output does not fix it.";

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

/// The options of the settings, without help.
fn options() -> impl Iterator<Item = (&'static Key, Arg)> {
    KEYS.iter().map(|key| {
        let arg = Arg::new(key.name)
            .long(key.name)
            .global(true)
            .value_name(key.placeholder)
            .value_parser(OsStringValueParser::new());
        let arg = match key.kind {
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
        };
        (key, arg)
    })
}

fn verbose() -> Arg {
    Arg::new("verbose")
        .short('v')
        .long("verbose")
        .help("Log progress to stderr; -vv logs each step")
        .global(true)
        .action(ArgAction::Count)
}

/// The command line of a plugin whose options are right: without subcommands, to
/// each of which `clap` copies all options, and without help. A client waits for
/// the plugin's first line.
pub(super) fn plugin_options() -> clap::Command {
    clap::Command::new(env!("CARGO_PKG_NAME"))
        .disable_help_flag(true)
        .args(options().map(|(_, arg)| arg))
        .arg(verbose())
}

/// The whole command line. The help lists the settings that matter to the
/// command, or all.
pub(super) fn definition(help_for: Option<&str>) -> clap::Command {
    let options = options().map(|(key, arg)| {
        // The file of settings and the log are options like any program's.
        let heading = (key.group != "Configuration").then_some(key.group);
        arg.help(key.help_with_default())
            .help_heading(heading)
            .hide(help_for.is_some_and(|command| !key.commands.contains(&command)))
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
        .about("Resolves Namecoin .bit names for Tor and programs that use it.")
        .before_help(BEFORE_HELP)
        .help_template(HELP)
        .subcommand_help_heading("Commands (each has --help)")
        .args(options)
        .arg(verbose())
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
            "Open a SOCKS port for programs, or resolve for all of Tor",
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
