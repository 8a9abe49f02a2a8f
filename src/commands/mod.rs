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
use crate::delegation::Delegations;
use crate::door::stdio::response::init_failed;
use crate::log::stderr::Stderr;
use crate::log::{Level, Log};
use crate::platform::Stream;
use crate::scheduler::Upstreams;
use crate::snapshot::{FetchError, Finding, Key, Snapshot};
use crate::source::diagnosis::Diagnose;
use crate::source::electrum::ElectrumSource;
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

/// What lookups ask, and the source to be examined.
fn upstreams(settings: &Settings, log: &Log) -> (Upstreams, Arc<dyn Diagnose>) {
    let (source, diagnosis) = source(settings, log.clone());
    let upstreams = Upstreams {
        source,
        delegations: settings.delegations.clone().map(Delegations::new),
    };
    (upstreams, diagnosis)
}

/// What was fetched for a command, and what came of it.
struct Fetch {
    key: Key,
    result: Result<Finding, FetchError>,
    time: Duration,
}

/// What a command fetches, each once.
struct Fetcher<'a> {
    upstreams: &'a Upstreams,
    log: &'a Log,
    deadline: Instant,
    /// How many fetches there were.
    count: u64,
}

impl<'a> Fetcher<'a> {
    fn new(upstreams: &'a Upstreams, log: &'a Log, timeout: Duration) -> Self {
        Self {
            upstreams,
            log,
            deadline: Instant::now() + timeout,
            count: 0,
        }
    }

    /// Fetches what a snapshot lacks.
    fn fetch(&mut self, keys: BTreeSet<Key>, snapshot: &mut Snapshot) -> Vec<Fetch> {
        let fetches = keys.into_iter().map(|key| {
            self.count += 1;
            let begin = Instant::now();
            let bounds = until(self.deadline);
            let isolation = snapshot.isolation();
            let reply = self
                .upstreams
                .fetch(self.count, isolation, &key, &bounds, self.log);
            let result = reply.map(|reply| reply.finding);
            let time = begin.elapsed();
            snapshot.learn(key.clone(), result.clone());
            Fetch { key, result, time }
        });
        fetches.collect()
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
