//! What the program tells its user besides answers.
//!
//! Warnings are always told; the rest only when asked for with `-v`.
//! Credentials are in none of it. Names and isolation ids stand in it as
//! numbers (`name#1 under id#2`) unless the user wants them shown (`--log-names`).
//! With `-v` each line, warnings too, begins with the time in UTC.

mod labels;
pub mod notices;

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use der::DateTime;

use crate::isolation::IsolationId;
use crate::snapshot::NameKey;

use labels::{Kind, Numbers};

/// How much somebody wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something that the user should change.
    Warning,
    /// What goes on, in a few lines a minute at most.
    Info,
    /// Each step.
    Debug,
}

impl Level {
    /// The level that a number of `-v` asks for.
    pub fn from_verbosity(count: u8) -> Self {
        match count {
            0 => Self::Warning,
            1 => Self::Info,
            _ => Self::Debug,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        })
    }
}

/// What takes the lines.
type Sink = dyn Fn(Level, &str) + Send + Sync;

/// Takes what is told. Cloning is cheap; clones share the sink.
#[derive(Clone)]
pub struct Log {
    most: Level,
    sink: Arc<Sink>,
    clock: fn() -> SystemTime,
    /// `None` if names and ids are shown themselves.
    numbers: Option<Arc<Numbers>>,
}

/// Something that a closure writes.
struct Written<F>(F);

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Display for Written<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0(f)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

impl Log {
    /// A log that passes lines of `most` and more important ones to `sink`,
    /// with the level in front. If `most` is more than warnings, the time
    /// precedes the level.
    pub fn new(most: Level, sink: impl Fn(Level, &str) + Send + Sync + 'static) -> Self {
        Self {
            most,
            sink: Arc::new(sink),
            clock: SystemTime::now,
            numbers: Some(Arc::default()),
        }
    }

    /// The same log with another clock.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> SystemTime) -> Self {
        Self { clock, ..self }
    }

    /// The same log with names and isolation ids shown, or with numbers in
    /// their place.
    #[must_use]
    pub fn with_names(self, are_shown: bool) -> Self {
        let numbers = (!are_shown).then(Arc::default);
        Self { numbers, ..self }
    }

    /// Whether names and isolation ids are shown.
    pub fn shows_names(&self) -> bool {
        self.numbers.is_none()
    }

    /// Whether lines of a level are passed on.
    pub fn tells(&self, level: Level) -> bool {
        level <= self.most
    }

    /// What stands for an isolation id. Nothing is done before it is written.
    pub fn id<'a>(&'a self, isolation: &'a IsolationId) -> impl fmt::Display + 'a {
        Written(
            move |f: &mut fmt::Formatter<'_>| match (&self.numbers, isolation.as_str()) {
                (_, None) => f.write_str("no id"),
                (Some(numbers), Some(_)) => write!(f, "id#{}", numbers.id(isolation)),
                (None, Some(id)) => write!(f, "id {id}"),
            },
        )
    }

    /// What stands for a name that was asked for, with the isolation id.
    pub fn name<'a>(
        &'a self,
        isolation: &'a IsolationId,
        name: impl Fn() -> String + 'a,
    ) -> impl fmt::Display + 'a {
        self.named(isolation, Kind::Name, name)
    }

    /// What stands for a name key, with the isolation id that it is asked
    /// under.
    pub fn key<'a>(
        &'a self,
        isolation: &'a IsolationId,
        key: &'a NameKey,
    ) -> impl fmt::Display + 'a {
        self.named(isolation, Kind::Key, || key.as_str().to_owned())
    }

    fn named<'a>(
        &'a self,
        isolation: &'a IsolationId,
        kind: Kind,
        name: impl Fn() -> String + 'a,
    ) -> impl fmt::Display + 'a {
        Written(move |f: &mut fmt::Formatter<'_>| match &self.numbers {
            Some(numbers) => {
                let number = numbers.name(isolation, kind, name());
                write!(f, "{}#{number} under {}", kind.word(), self.id(isolation))
            }
            None => write!(f, "{} under {}", name(), self.id(isolation)),
        })
    }

    /// A log that drops everything.
    pub fn silent() -> Self {
        Self::new(Level::Warning, |_, _| {})
    }

    /// Tells a warning.
    pub fn warn(&self, text: impl fmt::Display) {
        self.tell(Level::Warning, text);
    }

    /// Tells what goes on.
    pub fn info(&self, text: impl fmt::Display) {
        self.tell(Level::Info, text);
    }

    /// Tells a step.
    pub fn debug(&self, text: impl fmt::Display) {
        self.tell(Level::Debug, text);
    }

    fn tell(&self, level: Level, text: impl fmt::Display) {
        if self.tells(level) {
            let time = Time((self.most > Level::Warning).then(self.clock));
            (self.sink)(level, &format!("{time}{level}: {text}"));
        }
    }
}

/// The time at the beginning of a line, as RFC 3339 writes it. A line does not
/// fail for a clock that is set before 1970 or after 9999.
struct Time(Option<SystemTime>);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        match since.map(DateTime::from_unix_duration) {
            Some(Ok(time)) => write!(f, "{time} "),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    #[test]
    fn passes_what_was_asked_for() {
        const TIMED: [&str; 3] = [
            "2026-11-27T19:43:58Z warning: a",
            "2026-11-27T19:43:58Z info: b",
            "2026-11-27T19:43:58Z debug: c",
        ];
        for (verbosity, expected) in [
            (0, &["warning: a"][..]),
            (1, &TIMED[..2]),
            (2, &TIMED),
            (9, &TIMED),
        ] {
            let heard = Arc::new(Mutex::new(Vec::new()));
            let sink = Arc::clone(&heard);
            let log = Log::new(Level::from_verbosity(verbosity), move |_, line| {
                sink.lock().unwrap().push(line.to_owned());
            })
            .with_clock(|| UNIX_EPOCH + Duration::from_millis(1_795_808_638_999));
            log.warn("a");
            log.info("b");
            log.debug("c");
            assert_eq!(*heard.lock().unwrap(), expected);
        }
    }
    #[test]
    fn a_clock_that_no_date_fits_costs_no_line() {
        for (since, expected) in [
            (Duration::ZERO, "1970-01-01T00:00:00Z "),
            (Duration::from_secs(951_782_400), "2000-02-29T00:00:00Z "),
            (
                Duration::from_secs(253_402_300_799),
                "9999-12-31T23:59:59Z ",
            ),
            (Duration::from_secs(253_402_300_800), ""),
        ] {
            assert_eq!(Time(Some(UNIX_EPOCH + since)).to_string(), expected);
        }
        let before = UNIX_EPOCH.checked_sub(Duration::from_secs(1));
        assert_eq!(Time(before).to_string(), "");
        assert_eq!(Time(None).to_string(), "");
    }
}
