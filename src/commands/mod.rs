//! What the program does once it has its settings: the plugin, and the
//! subcommands for people, which ask the source directly.

mod check;
mod checkpoint;
mod explain;
mod names;
mod plugin;
mod progress;
mod records;
mod resolve;
mod terminal;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::terminal::{Terminal, complain, complain_plainly};
use crate::config::settings::{Settings, SourceSettings};
use crate::config::{Command, ConfigError, Form, Invocation};
use crate::door::stdio::response::init_failed;
use crate::isolation::IsolationId;
use crate::log::{Level, Log};
use crate::policy::Status;
use crate::snapshot::{Entry, NameKey, Snapshot};
use crate::source::diagnosis::{Diagnose, Finding};
use crate::source::electrum::ElectrumSource;
use crate::source::logged::LoggedSource;
use crate::source::names_file::NamesFile;
use crate::source::rpc::RpcSource;
use crate::source::{Bounds, Cancel, Source};
use crate::text;

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
    if command != Command::Plugin {
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
        } => resolve(&settings, level, &name, isolation, form),
        Command::Records {
            name,
            isolation,
            json,
        } => records(&settings, level, &name, isolation, json),
        Command::Check { json } => check(&settings, level, json),
        Command::Checkpoint => checkpoint(&settings, level),
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

fn resolve(
    settings: &Settings,
    level: Level,
    name: &str,
    isolation: IsolationId,
    form: Form,
) -> ExitCode {
    let terminal = Terminal::new(settings, level);
    let (source, diagnosis) = logged_source(settings, &terminal.log);
    let report = terminal.watch(&*diagnosis, || {
        let only_onion = settings.only_onion;
        resolve::run(name, isolation, only_onion, settings.timeout, &source)
    });
    match (form, report.status()) {
        (Form::Json, _) => terminal::print(&report.to_json()),
        (_, Status::Success) => terminal::print(&(text::printable(&report.answer()) + "\n")),
        // A script must not take a failure for an address.
        _ => complain(&report.answer()),
    }
    if form == Form::Explained {
        terminal::print(&explain::text(&report, &settings.source));
    }
    ExitCode::from(report.status().code())
}

fn records(
    settings: &Settings,
    level: Level,
    name: &str,
    isolation: IsolationId,
    json: bool,
) -> ExitCode {
    let terminal = Terminal::new(settings, level);
    let (source, diagnosis) = logged_source(settings, &terminal.log);
    let ended = terminal.watch(&*diagnosis, || {
        records::run(name, isolation, settings.timeout, &source)
    });
    match ended {
        Ok(report) if json => print(&report.to_json()),
        Ok(report) => {
            terminal::print(&report.to_lines());
            let notes = report.notes(name);
            notes.iter().for_each(|note| complain_plainly(note));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            complain(&failure.message);
            ExitCode::from(failure.verdict.status().code())
        }
    }
}

fn check(settings: &Settings, level: Level, json: bool) -> ExitCode {
    let terminal = Terminal::new(settings, level);
    // The plugin's warnings are among the findings.
    let log = match level {
        Level::Warning => Log::silent(),
        _ => terminal.log.clone(),
    };
    let has_color = terminal::has_color();
    // First, as the rest may take its time: with a setting forgotten it is
    // another source than was meant.
    let tried = Finding::ok("source", settings.source.to_string());
    if !json {
        terminal::print(&check::line(&tried, has_color));
    }
    let (_, source) = source(settings, log);
    let findings = terminal.watch(&*source, || check::run(settings.timeout, &*source));
    if json {
        let all: Vec<_> = std::iter::once(tried).chain(findings.clone()).collect();
        terminal::print(&check::to_json(&all));
    } else {
        let lines = findings
            .iter()
            .map(|finding| check::line(finding, has_color));
        terminal::print(&lines.collect::<String>());
    }
    match check::works(&findings) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn checkpoint(settings: &Settings, level: Level) -> ExitCode {
    let terminal = Terminal::new(settings, level);
    let (_, source) = logged_source(settings, &terminal.log);
    let found = terminal.watch(&*source, || checkpoint::run(settings.timeout, &*source));
    match found {
        Ok(milestone) => {
            for note in checkpoint::notes(&milestone) {
                complain_plainly(&format!("note: {note}"));
            }
            print(&checkpoint::text(&milestone))
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
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
        let limit = Bounds {
            due: deadline,
            deadline,
            cancel: Cancel::new(),
        };
        let begin = Instant::now();
        let entry = match source.fetch(snapshot.isolation(), &key, &limit) {
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
