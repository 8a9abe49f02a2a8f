//! Configuration: command line, environment and file.
//!
//! A setting has one name everywhere: `--rpc-address` on the command line,
//! `rpc-address=…` in the environment variable `TOR_NS_PLUGIN_OPTIONS`, and
//! `rpc-address = "…"` in the TOML file of `--config`. The command line comes
//! before the environment, the environment before the file, the file before
//! the defaults. A setting that is wrong is an error even where another
//! source overrides it. Settings that exclude each other do so wherever they
//! come from: a forgotten line in a file must not change silently what a
//! query is shown to.

mod address;
mod arguments;
mod draft;
mod file;
mod keys;
mod mistakes;
mod options;
mod paths;
pub mod settings;
mod sources;
#[cfg(test)]
mod tests;
mod upstream;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use arguments::Arguments;
use draft::Draft;
use settings::Settings;

/// The environment variable with the versions of the protocol that the client
/// speaks (proposal 279).
const VERSIONS_VARIABLE: &str = "TOR_NS_PROTO_VERSION";

/// The environment variable with settings (proposal 279).
const OPTIONS_VARIABLE: &str = "TOR_NS_PLUGIN_OPTIONS";

/// What the process is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Run with these settings.
    Run(Box<Invocation>),
    /// Print this text, help or the version, to stdout and exit with success.
    Print(String),
}

/// A command with everything that it needs to know.
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

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Serve a naming client over stdin and stdout.
    Plugin,
    /// Resolve one name and print the answer.
    Resolve {
        /// The name as the user wrote it.
        name: String,
        /// The isolation id as the user wrote it, not yet checked.
        isolation: Option<String>,
        /// Tell how the answer was found.
        explain: bool,
    },
    /// Print the records of one name.
    Records {
        /// The name as the user wrote it.
        name: String,
        /// The isolation id as the user wrote it, not yet checked.
        isolation: Option<String>,
        /// Print JSON for programs instead of lines.
        json: bool,
    },
    /// Try the configuration out and say what works.
    Check,
    /// Print a block from which later runs can start their verification.
    Checkpoint,
}

/// Why there is nothing to run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ConfigError {
    /// A single line that says what is wrong, where, and what to do. It holds
    /// no credentials.
    pub message: String,
    /// Whether the process was started as a plugin, so that its client waits
    /// for an `INIT` line. A subcommand's user reads stderr only.
    pub is_plugin: bool,
}

/// Where a setting came from, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    CommandLine,
    Options,
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::Options => f.write_str(OPTIONS_VARIABLE),
            // Debug form, as a path may hold a line break.
            Self::File(path) => write!(f, "{path:?}"),
        }
    }
}

/// The command line as `clap` knows it, from which the manual page and
/// completions are made.
pub fn command_line() -> clap::Command {
    arguments::definition()
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
    match arguments::parse(arguments) {
        Ok(arguments::Parsed::Print(text)) => Ok(Outcome::Print(text)),
        Ok(arguments::Parsed::Run(parsed)) => {
            assemble(parsed, environment).map(|run| Outcome::Run(Box::new(run)))
        }
        Err(message) => Err(message),
    }
    .map_err(|message| ConfigError { message, is_plugin })
}

fn assemble(
    arguments: Arguments,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Invocation, String> {
    if arguments.command == Command::Plugin {
        check_versions(environment)?;
    }
    let options = options::parse(variable(environment, OPTIONS_VARIABLE)?.unwrap_or_default())?;
    // First only to find the file, which is applied before them.
    let mut draft = Draft::default();
    draft.apply(&options, &Origin::Options)?;
    draft.apply(&arguments.settings, &Origin::CommandLine)?;
    let mut older = arguments.warnings;
    let file = draft.config.take().or_else(|| {
        let path = upstream::usual_file(std::env::current_exe().ok().as_deref())?;
        older.push(format!(
            "settings are read from {path:?}, where ncprop279 (Go) looked for them; --config FILE \
             names another file"
        ));
        Some(path)
    });
    if let Some(path) = file {
        let (settings, warnings) = file::read(&path)?;
        older.extend(warnings);
        draft = Draft::default();
        draft.apply(&settings, &Origin::File(path))?;
        draft.apply(&options, &Origin::Options)?;
        draft.apply(&arguments.settings, &Origin::CommandLine)?;
    }
    let (settings, mut warnings) = draft.finish(environment)?;
    older.dedup();
    warnings.extend(older);
    Ok(Invocation {
        command: arguments.command,
        verbosity: arguments.verbosity,
        settings,
        warnings,
    })
}

/// Checks that the client speaks our version of the protocol. Without the
/// variable a user runs us by hand.
fn check_versions(environment: &dyn Fn(&str) -> Option<OsString>) -> Result<(), String> {
    let Some(versions) = variable(environment, VERSIONS_VARIABLE)? else {
        return Ok(());
    };
    if versions.split(',').any(|version| version.trim() == "1") {
        return Ok(());
    }
    Err(format!(
        "{VERSIONS_VARIABLE} does not offer version 1 of the protocol, the only one that this plugin speaks"
    ))
}

fn variable(
    environment: &dyn Fn(&str) -> Option<OsString>,
    name: &str,
) -> Result<Option<String>, String> {
    environment(name)
        .map(OsString::into_string)
        .transpose()
        .map_err(|_| format!("{name} is not UTF-8"))
}
