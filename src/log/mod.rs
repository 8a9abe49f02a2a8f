//! Everything the program writes to stderr.
//!
//! Warnings are always logged, everything else only with `-v`. Credentials are
//! never logged. Names and isolation ids appear as numbers (`name#1 under id#2`)
//! unless the user asks for them (`--log-names`). With `-v` every line, including
//! warnings, begins with the time in UTC.
//!
//! [`Log`] formats lines, [`stderr`] writes them, and [`lookups`] knows what to
//! log about queries and failing lookups.

pub mod lookups;
pub mod stderr;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use der::DateTime;
use lru::LruCache;

use crate::isolation::IsolationId;
use crate::snapshot::NameKey;

/// How important a line is, and how much the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A problem that the user should fix.
    Warning,
    /// Progress, a few lines a minute at most.
    Info,
    /// Every step.
    Debug,
}

impl Level {
    /// The level that `count` times `-v` asks for.
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

/// Receives the lines.
type Sink = dyn Fn(Level, &str) + Send + Sync;

/// Formats log lines and passes them on. Cloning is cheap, and clones share one
/// sink.
#[derive(Clone)]
pub struct Log {
    most: Level,
    sink: Arc<Sink>,
    clock: fn() -> SystemTime,
    /// `None` if names and isolation ids are shown.
    numbers: Option<Arc<Numbers>>,
}

/// Displays what a closure writes.
struct FromFn<F>(F);

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Display for FromFn<F> {
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
    /// A log that passes lines of the level `most` and of more important ones to
    /// `sink`, each beginning with its level. If `most` is more than warnings,
    /// the time precedes the level.
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

    /// The same log, showing names and isolation ids, or numbers instead.
    #[must_use]
    pub fn with_names(self, are_shown: bool) -> Self {
        let numbers = (!are_shown).then(Arc::default);
        Self { numbers, ..self }
    }

    /// Whether names and isolation ids are shown.
    pub fn shows_names(&self) -> bool {
        self.numbers.is_none()
    }

    /// Whether lines of a level are logged.
    pub fn is_enabled(&self, level: Level) -> bool {
        level <= self.most
    }

    /// An isolation id as the log shows it. Formatted only if it is logged.
    pub fn id<'a>(&'a self, isolation: &'a IsolationId) -> impl fmt::Display + 'a {
        FromFn(
            move |f: &mut fmt::Formatter<'_>| match (&self.numbers, isolation.as_str()) {
                (_, None) => f.write_str("no id"),
                (Some(numbers), Some(_)) => write!(f, "id#{}", numbers.id(isolation)),
                (None, Some(id)) => write!(f, "id {id}"),
            },
        )
    }

    /// A queried name and its isolation id as the log shows them.
    pub fn name<'a>(
        &'a self,
        isolation: &'a IsolationId,
        name: impl Fn() -> String + 'a,
    ) -> impl fmt::Display + 'a {
        self.named(isolation, Kind::Name, name)
    }

    /// A name key and its isolation id as the log shows them.
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
        FromFn(move |f: &mut fmt::Formatter<'_>| match &self.numbers {
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

    /// Logs a warning.
    pub fn warn(&self, text: impl fmt::Display) {
        self.log(Level::Warning, text);
    }

    /// Logs progress.
    pub fn info(&self, text: impl fmt::Display) {
        self.log(Level::Info, text);
    }

    /// Logs a step.
    pub fn debug(&self, text: impl fmt::Display) {
        self.log(Level::Debug, text);
    }

    fn log(&self, level: Level, text: impl fmt::Display) {
        if self.is_enabled(level) {
            let time = Time((self.most > Level::Warning).then(self.clock));
            (self.sink)(level, &format!("{time}{level}: {text}"));
        }
    }
}

/// The time at the beginning of a line, in the format of RFC 3339. It is omitted
/// if the clock is set before 1970 or after 9999.
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

/// How many isolation ids keep their numbers.
const MAX_IDS: usize = 256;

/// How many names of each isolation id and kind keep their numbers.
const MAX_NAMES: usize = 64;

/// The kinds of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// A name that a client asked for.
    Name,
    /// A key in the name database.
    Key,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Key => "key",
        }
    }
}

/// The numbers that replace names and isolation ids, assigned at first use.
///
/// Each isolation id numbers its names separately, so that the log does not
/// reveal that two of them asked for the same name. The least recently used
/// entries are dropped and get a new number later; no number is assigned twice.
#[derive(Default)]
struct Numbers(Mutex<Ids>);

#[derive(Default)]
struct Ids {
    last: u64,
    known: Option<LruCache<IsolationId, Id>>,
}

struct Id {
    number: u64,
    names: NameNumbers,
    keys: NameNumbers,
}

struct NameNumbers {
    last: u64,
    known: LruCache<String, u64>,
}

impl NameNumbers {
    fn new() -> Self {
        Self {
            last: 0,
            known: LruCache::unbounded(),
        }
    }

    fn number(&mut self, text: String) -> u64 {
        if let Some(number) = self.known.get(&text) {
            return *number;
        }
        self.last += 1;
        self.known.put(text, self.last);
        if self.known.len() > MAX_NAMES {
            self.known.pop_lru();
        }
        self.last
    }
}

impl Ids {
    fn of(&mut self, isolation: &IsolationId) -> &mut Id {
        let known = self.known.get_or_insert_with(LruCache::unbounded);
        if known.len() >= MAX_IDS && !known.contains(isolation) {
            known.pop_lru();
        }
        let last = &mut self.last;
        known.get_or_insert_mut(isolation.clone(), || {
            *last += 1;
            Id {
                number: *last,
                names: NameNumbers::new(),
                keys: NameNumbers::new(),
            }
        })
    }
}

impl Numbers {
    fn lock(&self) -> MutexGuard<'_, Ids> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn id(&self, isolation: &IsolationId) -> u64 {
        self.lock().of(isolation).number
    }

    fn name(&self, isolation: &IsolationId, kind: Kind, text: String) -> u64 {
        let mut ids = self.lock();
        let id = ids.of(isolation);
        match kind {
            Kind::Name => id.names.number(text),
            Kind::Key => id.keys.number(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lines_of_the_level_asked_for_are_logged() {
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
            let logged = Arc::new(Mutex::new(Vec::new()));
            let sink = Arc::clone(&logged);
            let log = Log::new(Level::from_verbosity(verbosity), move |_, line| {
                sink.lock().unwrap().push(line.to_owned());
            })
            .with_clock(|| UNIX_EPOCH + Duration::from_millis(1_795_808_638_999));
            log.warn("a");
            log.info("b");
            log.debug("c");
            assert_eq!(*logged.lock().unwrap(), expected);
        }
    }

    #[test]
    fn a_line_does_not_need_a_valid_date() {
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

    fn id(text: &str) -> IsolationId {
        IsolationId::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn each_id_numbers_its_names_separately() {
        let numbers = Numbers::default();
        assert_eq!(numbers.id(&id("a")), 1);
        assert_eq!(numbers.id(&id("b")), 2);
        assert_eq!(numbers.id(&IsolationId::shared()), 3);
        assert_eq!(numbers.id(&id("a")), 1);
        let name =
            |isolation: &str, text: &str| numbers.name(&id(isolation), Kind::Name, text.to_owned());
        assert_eq!([name("a", "x"), name("a", "y"), name("a", "x")], [1, 2, 1]);
        // Another id has its own number for the same name.
        assert_eq!([name("b", "y"), name("b", "x")], [1, 2]);
        assert_eq!(numbers.name(&id("a"), Kind::Key, "x".to_owned()), 1);
    }

    #[test]
    fn numbers_are_bounded_in_memory_and_never_reused() {
        let numbers = Numbers::default();
        let isolation = id("a");
        for n in 1..1000 {
            let text = n.to_string();
            assert_eq!(numbers.name(&isolation, Kind::Name, text), n);
        }
        assert_eq!(numbers.name(&isolation, Kind::Name, "1".to_owned()), 1000);
        for n in 2..1000 {
            assert_eq!(numbers.id(&id(&n.to_string())), n);
        }
        assert_eq!(numbers.id(&isolation), 1000);
        let ids = numbers.lock();
        let known = ids.known.as_ref().unwrap();
        assert_eq!(known.len(), MAX_IDS);
        assert!(
            known
                .iter()
                .all(|(_, id)| id.names.known.len() <= MAX_NAMES)
        );
    }
}
