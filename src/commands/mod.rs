//! What the program does once it has its settings: the plugin, and the
//! subcommands for people, which ask the source directly.

mod check;
mod names;
mod plugin;
mod progress;
mod records;
mod resolve;
#[cfg(unix)]
mod serve;
mod terminal;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::terminal::complain;
use crate::config::settings::{Settings, SourceSettings};
use crate::config::{Command, ConfigError, Invocation};
use crate::door::stdio::response::init_failed;
use crate::log::stderr::Stderr;
use crate::log::{Level, Log};
use crate::platform::Stream;
use crate::snapshot::{Entry, NameKey, Snapshot};
use crate::source::diagnosis::Diagnose;
use crate::source::electrum::ElectrumSource;
use crate::source::logged::LoggedSource;
use crate::source::names_file::NamesFile;
use crate::source::rpc::RpcSource;
use crate::source::{Bounds, Cancel, Source};

/// Columns of a line.
const WIDTH: usize = 80;

/// Runs a command; gives the exit status.
pub fn run(invocation: Invocation) -> ExitCode {
    let Invocation {
        command,
        verbosity,
        settings,
        warnings,
    } = invocation;
    let level = Level::from_verbosity(verbosity);
    if !matches!(command, Command::Plugin | Command::Serve) {
        let log = Log::new(level, |_, line| complain(line));
        warnings.iter().for_each(|warning| log.warn(warning));
    }
    match command {
        Command::Plugin => plugin::run(&settings, &warnings, level),
        Command::Config(text) => print(&text),
        Command::Resolve {
            name,
            isolation,
            form,
        } => resolve::run(&settings, level, &name, isolation, form),
        Command::Records {
            name,
            isolation,
            json,
        } => records::run(&settings, level, &name, isolation, json),
        Command::Check { json, .. } => check::check(&settings, level, json),
        Command::Checkpoint => check::checkpoint(&settings, level),
        #[cfg(unix)]
        Command::Serve => serve::run(&settings, &warnings, level),
        #[cfg(not(unix))]
        Command::Serve => {
            complain("the command serve needs a Unix system, such as Linux or macOS");
            ExitCode::FAILURE
        }
    }
}

/// Prints a text to stdout; gives the exit status.
pub fn print(text: &str) -> ExitCode {
    terminal::print(text);
    ExitCode::SUCCESS
}

/// Says why the configuration cannot be used, to the client and to the user.
pub fn refuse(error: &ConfigError) -> ExitCode {
    if error.is_plugin {
        let mut line = Vec::new();
        init_failed(&mut line, &error.to_string());
        terminal::print(&String::from_utf8_lossy(&line));
    }
    complain(&error.to_string());
    ExitCode::FAILURE
}

/// The log of a process that runs until it is stopped: its lines are written by
/// a thread of their own, and a panic anywhere becomes one of them.
fn background_log(settings: &Settings, level: Level) -> (Arc<Stderr>, Log) {
    let notices = match Stream::stderr() {
        Ok(stderr) => Stderr::new(stderr),
        Err(_) => Stderr::new(std::io::sink()),
    };
    let notices = Arc::new(notices);
    let bugs = Arc::clone(&notices);
    std::panic::set_hook(Box::new(move |panic| {
        // Only the place, as a message could hold a name.
        let place = panic.location().map(ToString::to_string);
        let place = place.as_deref().unwrap_or("an unknown place");
        bugs.line(&format!("a bug was met at {place}; please report it"));
    }));
    let sink = Arc::clone(&notices);
    let log = Log::new(level, move |level, line| match level {
        Level::Warning => sink.line(line),
        Level::Info | Level::Debug => sink.detail(line),
    })
    .with_names(settings.log_names);
    (notices, log)
}

/// The configured source: to ask it for names, and to examine it.
fn source(settings: &Settings, log: Log) -> (Arc<dyn Source>, Arc<dyn Diagnose>) {
    fn both<S: Source + Diagnose + 'static>(source: S) -> (Arc<dyn Source>, Arc<dyn Diagnose>) {
        let source = Arc::new(source);
        (Arc::<S>::clone(&source), source)
    }
    match &settings.source {
        SourceSettings::Rpc(rpc) => both(RpcSource::new(rpc, log)),
        SourceSettings::Electrum(electrum) => both(ElectrumSource::new(electrum, log)),
        SourceSettings::NamesFile(path) => both(NamesFile::new(path.clone())),
    }
}

/// The source, with its requests logged.
fn logged_source(settings: &Settings, log: &Log) -> (LoggedSource, Arc<dyn Diagnose>) {
    let (source, diagnosis) = source(settings, log.clone());
    (LoggedSource::new(source, log.clone()), diagnosis)
}

/// A name that was fetched for a command, and what came of it.
pub struct Fetch {
    /// The name key.
    pub key: NameKey,
    /// What the source said.
    pub entry: Entry,
    /// How long that took.
    pub time: Duration,
}

/// Fetches names into a snapshot, each once, and notes what came of it.
fn fetch(
    keys: BTreeSet<NameKey>,
    snapshot: &mut Snapshot,
    source: &dyn Source,
    deadline: Instant,
    log: &mut Vec<Fetch>,
) {
    for key in keys {
        let begin = Instant::now();
        let entry = match source.fetch(snapshot.isolation(), &key, &until(deadline)) {
            Ok(reply) => Entry::Known(reply.fetched),
            Err(failure) => Entry::Failed(failure),
        };
        let time = begin.elapsed();
        snapshot.insert(key.clone(), entry.clone());
        log.push(Fetch { key, entry, time });
    }
}

fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout
}

/// Bounds that nothing but a deadline sets.
fn until(deadline: Instant) -> Bounds {
    Bounds {
        due: deadline,
        deadline,
        cancel: Cancel::new(),
    }
}
