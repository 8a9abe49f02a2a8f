//! The `ncprop279` command: reads the configuration, puts the rooms together,
//! and turns what comes of it into an exit status.

use std::io::{IsTerminal, Read, Write};
use std::process::{ExitCode, exit};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ncprop279::commands;
use ncprop279::commands::progress::{self, Screen};
use ncprop279::commands::typed::{self, Typed};
use ncprop279::config::settings::{Settings, SourceSettings};
use ncprop279::config::{self, Command, ConfigError, Invocation, Outcome};
use ncprop279::door::stdio;
use ncprop279::door::stdio::response::{init_failed, init_ready};
use ncprop279::isolation::IsolationId;
use ncprop279::log::stderr::Stderr;
use ncprop279::log::{Level, Log};
use ncprop279::platform::Stream;
use ncprop279::policy::Status;
use ncprop279::scheduler::Timekeeper;
use ncprop279::source::Source;
use ncprop279::source::diagnosis::{Diagnose, Finding, Health};
use ncprop279::source::electrum::ElectrumSource;
use ncprop279::source::logged::LoggedSource;
use ncprop279::source::names_file::NamesFile;
use ncprop279::source::rpc::RpcSource;
use ncprop279::{platform, text, zone};

/// How long the last lines on stderr may take before the process ends.
const LAST_WORDS: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    platform::bound_arenas();
    let invocation = match config::read(std::env::args_os().skip(1), &|name| std::env::var_os(name))
    {
        Ok(Outcome::Run(invocation)) => *invocation,
        Ok(Outcome::Print(text)) => {
            print(&text);
            return ExitCode::SUCCESS;
        }
        Err(error) => return refuse(&error),
    };
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
        Command::Plugin => run_plugin(&settings, &warnings, level),
        Command::Resolve {
            name,
            isolation,
            explain,
        } => resolve(&settings, level, &name, isolation.as_deref(), explain),
        Command::Records {
            name,
            isolation,
            json,
        } => records(&settings, level, &name, isolation.as_deref(), json),
        Command::Check => check(&settings, level),
        Command::Checkpoint => checkpoint(&settings, level),
    }
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

/// Where a subcommand says what goes on.
struct Terminal {
    log: Log,
    screen: Arc<Screen>,
}

impl Terminal {
    fn new(settings: &Settings, level: Level) -> Self {
        // A bar has no colours, but whoever wants none wants plain text.
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let screen = Arc::new(Screen::new(is_plain));
        let lines = Arc::clone(&screen);
        let log = Log::new(level, move |_, line| lines.line(&complaint(line)))
            .with_names(settings.log_names);
        log.info(format_args!("names are looked up in {}", settings.source));
        Self { log, screen }
    }

    /// The source, with its requests logged.
    fn source(&self, settings: &Settings) -> (LoggedSource, Arc<dyn Diagnose>) {
        let (source, diagnosis) = source(settings, self.log.clone());
        (LoggedSource::new(source, self.log.clone()), diagnosis)
    }

    /// Does the work, and shows the source's progress meanwhile.
    fn watch<T>(&self, source: &dyn Diagnose, work: impl FnOnce() -> T) -> T {
        let say = |text: &str| match self.log.is_enabled(Level::Info) {
            true => self.log.info(text),
            false => complain(text),
        };
        progress::watch(source, &self.screen, &say, work)
    }
}

/// Serves a naming client on stdin and stdout.
fn run_plugin(settings: &Settings, warnings: &[String], level: Level) -> ExitCode {
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        // Ends the process from within the handler, so that no blocked stream
        // can keep it alive.
        let always = Arc::new(AtomicBool::new(true));
        if let Err(error) = signal_hook::flag::register_conditional_shutdown(signal, 0, always) {
            complain(&format!("signal {signal} is not handled: {error}"));
        }
    }
    let (Ok(stdin), Ok(mut stdout)) = (Stream::stdin(), Stream::stdout()) else {
        complain("stdin or stdout is closed; a naming client starts this program with both open");
        return ExitCode::FAILURE;
    };
    let timekeeper = match Timekeeper::start() {
        Ok(timekeeper) => timekeeper,
        Err(error) => {
            let why = format!(
                "no thread can be started ({error}); raise the limits on processes and memory"
            );
            let mut line = Vec::new();
            init_failed(&mut line, &why);
            let _ = stdout.write_all(&line);
            complain(&why);
            return ExitCode::FAILURE;
        }
    };
    let mut ready = Vec::new();
    init_ready(&mut ready);
    if let Err(error) = stdout.write_all(&ready) {
        return unwritable(&error);
    }
    // The client is waiting for the line above; files, sockets and all other
    // threads come after it.
    let notices = match Stream::stderr() {
        Ok(stderr) => Stderr::new(stderr),
        Err(_) => Stderr::new(std::io::sink()),
    };
    let notices = Arc::new(notices);
    let bugs = Arc::clone(&notices);
    std::panic::set_hook(Box::new(move |panic| {
        // The place and nothing else: a message could hold a name.
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
    warnings.iter().for_each(|warning| log.warn(warning));
    let (source, _) = source(settings, log.clone());
    let hang_up = stdin.hang_up();
    let input = requests(stdin, &notices);
    let last = Arc::clone(&notices);
    let closed = move |why: std::io::Result<()>| {
        let Err(error) = why else { exit(0) };
        last.line(&format!("stdout cannot be written: {}", error.kind()));
        last.flush(LAST_WORDS);
        exit(1)
    };
    let client = stdio::Streams {
        input,
        output: stdout,
        hang_up,
        closed,
    };
    let served = stdio::serve(client, source, settings, timekeeper, &log);
    if let Err(error) = served {
        notices.line(&format!("stdin cannot be read: {error}"));
    }
    notices.flush(LAST_WORDS);
    ExitCode::SUCCESS
}

/// What the client writes; a person at a terminal gets hints.
fn requests(stdin: Stream, notices: &Arc<Stderr>) -> Box<dyn Read> {
    if !std::io::stdin().is_terminal() {
        return Box::new(stdin);
    }
    notices.line(typed::WELCOME);
    let hints = Arc::clone(notices);
    Box::new(Typed::new(stdin, move |hint| hints.line(hint)))
}

fn resolve(
    settings: &Settings,
    level: Level,
    name: &str,
    isolation: Option<&str>,
    explain: bool,
) -> ExitCode {
    let isolation = match under(isolation) {
        Ok(isolation) => isolation,
        Err(status) => return status,
    };
    let terminal = Terminal::new(settings, level);
    let (source, diagnosis) = terminal.source(settings);
    let report = terminal.watch(&*diagnosis, || {
        let only_onion = settings.only_onion;
        commands::resolve::run(name, isolation, only_onion, settings.timeout, &source)
    });
    match report.status() {
        Status::Success => print(&(text::printable(&report.answer()) + "\n")),
        // A script must not take a failure for an address.
        _ => complain(&report.answer()),
    }
    if explain {
        print(&commands::explain::text(&report, &settings.source));
    }
    ExitCode::from(report.status().code())
}

/// The isolation id that a subcommand asks under, or how it ends if it is none.
fn under(written: Option<&str>) -> Result<IsolationId, ExitCode> {
    match written.map(|id| IsolationId::parse(id.as_bytes())) {
        None => Ok(IsolationId::shared()),
        Some(Ok(isolation)) => Ok(isolation),
        Some(Err(error)) => {
            complain(&error.to_string());
            Err(ExitCode::from(Status::NotRegistered.code()))
        }
    }
}

fn records(
    settings: &Settings,
    level: Level,
    name: &str,
    isolation: Option<&str>,
    json: bool,
) -> ExitCode {
    let isolation = match under(isolation) {
        Ok(isolation) => isolation,
        Err(status) => return status,
    };
    let terminal = Terminal::new(settings, level);
    let (source, diagnosis) = terminal.source(settings);
    let ended = terminal.watch(&*diagnosis, || {
        commands::records::run(name, isolation, settings.timeout, &source)
    });
    match ended {
        Ok(report) if json => {
            print(&report.to_json());
            ExitCode::SUCCESS
        }
        Ok(report) => {
            let is_told = !report.errors.is_empty() || report.wildcard.is_some();
            if report.records.is_empty() && !is_told {
                complain_plainly(&format!(
                    "note: {name} has no records; see resolve --explain"
                ));
            }
            let records = report.records.iter();
            let lines = records.map(|(owner, data)| zone::listing::record(owner, data) + "\n");
            print(&lines.collect::<String>());
            for error in report.errors {
                complain_plainly(&format!("error: {error}"));
            }
            if let Some(wildcard) = report.wildcard {
                complain_plainly(&format!(
                    "note: {name} has what {wildcard} has; see the records of the whole name"
                ));
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            complain(&failure.message);
            ExitCode::from(failure.verdict.status().code())
        }
    }
}

fn check(settings: &Settings, level: Level) -> ExitCode {
    let terminal = Terminal::new(settings, level);
    // What the plugin would warn about stands in the findings.
    let log = match level {
        Level::Warning => Log::silent(),
        _ => terminal.log.clone(),
    };
    // First, as the rest may take its time: with a setting forgotten it is
    // another source than was meant.
    let tried = Finding::ok("source", settings.source.to_string());
    print(&commands::check::line(&tried));
    let (_, source) = source(settings, log);
    let findings = terminal.watch(&*source, || {
        commands::check::run(settings.timeout, &*source)
    });
    let mut works = true;
    for finding in &findings {
        print(&commands::check::line(finding));
        works &= finding.health != Health::Fail;
    }
    if works {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn checkpoint(settings: &Settings, level: Level) -> ExitCode {
    let terminal = Terminal::new(settings, level);
    let (_, source) = terminal.source(settings);
    let found = terminal.watch(&*source, || {
        commands::checkpoint::run(settings.timeout, &*source)
    });
    match found {
        Ok(milestone) => {
            for note in commands::checkpoint::notes(&milestone) {
                complain_plainly(&format!("note: {note}"));
            }
            print(&commands::checkpoint::text(&milestone));
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Says why the configuration will not do, to the client and to the user.
fn refuse(error: &ConfigError) -> ExitCode {
    if error.is_plugin {
        let mut line = Vec::new();
        init_failed(&mut line, &error.to_string());
        print(&String::from_utf8_lossy(&line));
    }
    complain(&error.to_string());
    ExitCode::FAILURE
}

/// Prints to stdout. A closed one is nobody's mistake; a full disk is told.
fn print(text: &str) {
    let mut stdout = std::io::stdout();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    if let Err(error) = written
        && !platform::is_closed(&error)
    {
        unwritable(&error);
        exit(1);
    }
}

/// The exit status of a program whose stdout cannot be written. It says so
/// unless the reader is gone.
fn unwritable(error: &std::io::Error) -> ExitCode {
    if platform::is_closed(error) {
        return ExitCode::SUCCESS;
    }
    complain(&format!("stdout cannot be written: {}", error.kind()));
    ExitCode::FAILURE
}

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", complaint(text));
}

/// A line of ours on stderr.
fn complaint(text: &str) -> String {
    text::printable(&format!("ncprop279: {text}"))
}

fn complain_plainly(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", text::printable(text));
}
