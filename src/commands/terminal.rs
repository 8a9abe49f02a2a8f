//! Where the commands print: answers on stdout, everything else on stderr, with
//! a bar below it that shows progress, or a line now and then.

use std::io::{IsTerminal, Write, stderr, stdout};
use std::process::{ExitCode, exit};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use console::Term;
use indicatif::{ProgressBar, ProgressStyle};

use super::WIDTH;
use super::progress::{self, Meter, Reading};
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
        watch(source, &self.screen, &say, work)
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

//------------ The bar -------------------------------------------------------

/// Columns that a bar needs with its brackets; with fewer there are words only.
const BAR: usize = 12;

/// Standard error. Lines and the bar go through it, so that neither is written
/// into the other.
struct Screen {
    /// `None` where there can be no bar.
    bar: Option<Mutex<Option<ProgressBar>>>,
}

impl Screen {
    /// A screen that has a bar if stderr is a terminal which can show one.
    /// `is_plain` if the user wants none.
    fn new(is_plain: bool) -> Self {
        let has_bar = !is_plain && stderr().is_terminal() && !console::is_dumb();
        Self {
            bar: has_bar.then(Mutex::default),
        }
    }

    /// A screen without a bar.
    #[cfg(test)]
    fn plain() -> Self {
        Self { bar: None }
    }

    /// Whether there can be a bar.
    fn has_bar(&self) -> bool {
        self.bar.is_some()
    }

    /// Writes a line, above the bar if there is one.
    fn line(&self, text: &str) {
        let write = || drop(writeln!(stderr(), "{text}"));
        match self.lock().as_deref() {
            Some(Some(bar)) => bar.suspend(write),
            _ => write(),
        }
    }

    /// Shows the bar, or changes it.
    fn show(&self, reading: &Reading) {
        let Some(mut shown) = self.lock() else { return };
        // The last column stays free: some terminals begin a new line in it.
        let columns = Term::stderr().size_checked();
        let columns = columns.map_or(WIDTH, |(_, columns)| columns.into());
        let columns = columns.saturating_sub(1);
        let text = progress::fitting(reading, columns);
        let progress = &reading.progress;
        let has_bar = progress.total > 0 && columns.saturating_sub(text.len()) >= BAR;
        // The text is a part of the style, so that it never appears beside a
        // bar that was made for another. It has no braces.
        let template = match has_bar {
            true => format!("{text} [{{bar:{}}}]", columns - text.len() - 3),
            false => text,
        };
        let Ok(style) = ProgressStyle::with_template(&template) else {
            return;
        };
        let style = style.progress_chars("=> ");
        let bar = match &mut *shown {
            Some(bar) => {
                bar.set_style(style);
                bar
            }
            none => none.insert(ProgressBar::no_length().with_style(style)),
        };
        bar.update(|state| {
            state.set_len(progress.total.max(1));
            state.set_pos(progress.done.min(progress.total));
        });
    }

    /// Removes the bar.
    fn clear(&self) {
        if let Some(bar) = self.lock().as_deref_mut().and_then(Option::take) {
            bar.finish_and_clear();
        }
    }

    fn lock(&self) -> Option<MutexGuard<'_, Option<ProgressBar>>> {
        let bar = self.bar.as_ref()?;
        Some(bar.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

//------------ Watching a source ---------------------------------------------

/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(200);

/// What is done sooner shows no bar.
const PROMPT: Duration = Duration::from_millis(600);

/// The time between two lines, and before the first.
const LINES: Duration = Duration::from_secs(10);

/// Does the work, and shows the source's progress meanwhile: as a bar on the
/// screen, or, if that is no terminal, in lines that `say` takes. Nothing of
/// the bar is left when this returns.
fn watch<T>(
    source: &dyn Diagnose,
    screen: &Screen,
    say: &(dyn Fn(&str) + Sync),
    work: impl FnOnce() -> T,
) -> T {
    // Dropped when the work has ended, in whichever way.
    let (working, done) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let showing = platform::thread("progress").spawn_scoped(scope, move || {
            let mut shown = Shown::new(screen, say, Instant::now());
            while done.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                shown.look(source, Instant::now());
            }
            screen.clear();
        });
        // Without a thread nothing is shown.
        drop(showing);
        let result = work();
        drop(working);
        result
    })
}

/// What is shown.
struct Shown<'a> {
    screen: &'a Screen,
    say: &'a (dyn Fn(&str) + Sync),
    meter: Meter,
    begun: Instant,
    pace: Pace,
}

impl<'a> Shown<'a> {
    fn new(screen: &'a Screen, say: &'a (dyn Fn(&str) + Sync), now: Instant) -> Self {
        Self {
            screen,
            say,
            meter: Meter::default(),
            begun: now,
            pace: Pace(now),
        }
    }

    fn look(&mut self, source: &dyn Diagnose, now: Instant) {
        let Some(progress) = source.progress() else {
            return self.screen.clear();
        };
        let reading = self.meter.read(now, progress);
        if !self.screen.has_bar() {
            if self.pace.is_due(now) {
                (self.say)(&progress::full(&reading));
            }
        } else if now.saturating_duration_since(self.begun) >= PROMPT {
            self.screen.show(&reading);
        }
    }
}

/// Lets a line through, and then none for a while.
struct Pace(Instant);

impl Pace {
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now.saturating_duration_since(self.0) >= LINES;
        if is_due {
            self.0 = now;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::source::Bounds;
    use crate::source::diagnosis::{Finding, Progress, Stage};

    /// Brings a hundred headers, and as many kilobytes, with each look.
    struct Steady(AtomicU64);

    impl Diagnose for Steady {
        fn check(&self, _: &Bounds) -> Vec<Finding> {
            Vec::new()
        }

        fn progress(&self) -> Option<Progress> {
            let done = self.0.fetch_add(100, Ordering::Relaxed);
            (done < 30_000).then_some(Progress {
                stage: Stage::Fetching,
                done,
                total: 30_000,
                bytes: done * 1000,
                later: 0,
            })
        }
    }

    #[test]
    fn there_is_a_line_every_ten_seconds_and_none_before_and_after() {
        let lines = Mutex::new(Vec::new());
        let say = |line: &str| lines.lock().unwrap().push(line.to_owned());
        let (screen, begun) = (Screen::plain(), Instant::now());
        let (source, mut shown) = (Steady(AtomicU64::new(0)), Shown::new(&screen, &say, begun));
        // Five looks a second, for ten minutes; it takes one.
        for tick in 1..3000 {
            let before = lines.lock().unwrap().len();
            let now = begun + TICK * tick;
            shown.look(&source, now);
            let after = lines.lock().unwrap().len();
            assert!(after == before || tick % 50 == 0, "a line at tick {tick}");
        }
        let lines = lines.into_inner().unwrap();
        assert_eq!(
            lines,
            [
                "fetching block headers: 4900 of 30000, 4.9 MB, 500 kB/s, 50 s left",
                "fetching block headers: 9900 of 30000, 9.9 MB, 500 kB/s, 40 s left",
                "fetching block headers: 14900 of 30000, 14.9 MB, 500 kB/s, 30 s left",
                "fetching block headers: 19900 of 30000, 19.9 MB, 500 kB/s, 20 s left",
                "fetching block headers: 24900 of 30000, 24.9 MB, 500 kB/s, 10 s left",
                "fetching block headers: 29900 of 30000, 29.9 MB, 500 kB/s, 0 s left",
            ]
        );
    }

    #[test]
    fn whoever_watches_changes_nothing() {
        let source = Steady(AtomicU64::new(0));
        let say = |line: &str| panic!("{line}");
        assert_eq!(watch(&source, &Screen::plain(), &say, || 5), 5);
    }
}
