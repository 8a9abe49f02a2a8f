//! Where the commands print: answers on stdout, everything else on stderr.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::{ExitCode, exit};
use std::sync::Arc;

use super::progress::{self, Screen};
use crate::config::settings::Settings;
use crate::log::{Level, Log};
use crate::source::diagnosis::Diagnose;
use crate::{platform, text};

/// Standard error of a command: its log, and a bar for its progress.
pub struct Terminal {
    /// The log.
    pub log: Log,
    screen: Arc<Screen>,
}

impl Terminal {
    /// A log of this level, which says first where names are looked up.
    pub fn new(settings: &Settings, level: Level) -> Self {
        // A bar has no colours, but whoever wants none wants plain text.
        let screen = Arc::new(Screen::new(wants_no_color()));
        let lines = Arc::clone(&screen);
        let log = Log::new(level, move |_, line| lines.line(&complaint(line)))
            .with_names(settings.log_names);
        log.info(format_args!("names are looked up in {}", settings.source));
        Self { log, screen }
    }

    /// Does the work, and shows the source's progress meanwhile.
    pub fn watch<T>(&self, source: &dyn Diagnose, work: impl FnOnce() -> T) -> T {
        let say = |text: &str| match self.log.is_enabled(Level::Info) {
            true => self.log.info(text),
            false => complain(text),
        };
        progress::watch(source, &self.screen, &say, work)
    }
}

/// Whether the user wants plain text (<https://no-color.org>).
fn wants_no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Whether stdout shows colours.
pub fn has_color() -> bool {
    let is_able = stdout().is_terminal() && !console::is_dumb();
    is_able && !wants_no_color()
}

/// Prints to stdout. A closed stdout is no error; a full disk ends the process
/// with a message.
pub fn print(text: &str) {
    let mut stdout = stdout();
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
pub fn unwritable(error: &std::io::Error) -> ExitCode {
    if platform::is_closed(error) {
        return ExitCode::SUCCESS;
    }
    complain(&format!("stdout cannot be written: {}", error.kind()));
    ExitCode::FAILURE
}

/// Prints a line of ours to stderr.
pub fn complain(text: &str) {
    let _ = writeln!(stderr(), "{}", complaint(text));
}

/// The same without our name in front.
pub fn complain_plainly(text: &str) {
    let _ = writeln!(stderr(), "{}", text::printable(text));
}

fn complaint(text: &str) -> String {
    text::printable(&format!("ncprop279: {text}"))
}
