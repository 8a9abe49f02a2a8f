//! Reads the command line, the environment and the file, and decides what runs.

use std::ffi::OsString;

use thiserror::Error;

use super::command_line::{self as arguments, Arguments, Parsed};
use super::draft::{Draft, Setting};
use super::paths::Environment;
use super::settings::Settings;
use super::{documents, go_options, input};
use crate::isolation::IsolationId;

/// The version of the protocol that the plugin speaks (proposal 279).
pub(super) const PROTOCOL: u32 = 1;

/// The environment variable with the versions of the protocol that the client
/// speaks (proposal 279).
pub(super) const VERSIONS_VARIABLE: &str = "TOR_NS_PROTO_VERSION";

/// The environment variable with settings (proposal 279).
pub(super) const OPTIONS_VARIABLE: &str = "TOR_NS_PLUGIN_OPTIONS";

/// What the process is to do.
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
    /// Try the configuration out and say what works.
    Check {
        /// Print JSON for programs instead of lines.
        json: bool,
    },
    /// Print a block from which later runs can start their verification.
    Checkpoint,
    /// Print these settings.
    Config(String),
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

/// The command line for `clap`.
pub fn command_line() -> clap::Command {
    arguments::definition(None)
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
    let options = input::variable(&options)?;
    // First without the file, to find it.
    let mut draft = layers(&[&options, &words])?;
    let file = draft.config.take().or_else(|| {
        let path = go_options::usual_file(std::env::current_exe().ok().as_deref())?;
        older.push(format!(
            "settings are read from {path:?}, where ncprop279 (Go) looked for them; --config FILE \
             names another file"
        ));
        Some(path)
    });
    if let Some(path) = file {
        let (settings, warnings) = input::file(&path)?;
        older.extend(warnings);
        draft = layers(&[&settings, &options, &words])?;
    }
    let (settings, mut warnings) = draft.finish(environment)?;
    older.dedup();
    warnings.extend(older);
    if let Command::Config(text) = &mut command {
        *text = documents::effective(&draft, &settings, environment);
    }
    Ok(Invocation {
        command,
        verbosity,
        settings,
        warnings,
    })
}

/// The settings of several layers, the later of which override the earlier.
fn layers(layers: &[&[Setting]]) -> Result<Draft, String> {
    let mut draft = Draft::default();
    for layer in layers {
        draft.apply(layer)?;
    }
    Ok(draft)
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
