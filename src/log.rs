//! What the program tells its user besides answers.
//!
//! Warnings are always told; the rest only when asked for with `-v`. Names,
//! isolation ids and credentials are in none of it.

use std::fmt;
use std::sync::Arc;

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

/// Takes what is told. Cloning is cheap; clones share the sink.
#[derive(Clone)]
pub struct Log {
    most: Level,
    sink: Arc<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("most", &self.most).finish()
    }
}

impl Log {
    /// A log that passes lines of `most` and more important ones to `sink`,
    /// with the level in front.
    pub fn new(most: Level, sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self {
            most,
            sink: Arc::new(sink),
        }
    }

    /// A log that drops everything.
    pub fn silent() -> Self {
        Self::new(Level::Warning, |_| {})
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
        if level <= self.most {
            (self.sink)(&format!("{level}: {text}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn passes_what_was_asked_for() {
        for (verbosity, expected) in [
            (0, &["warning: a"][..]),
            (1, &["warning: a", "info: b"]),
            (2, &["warning: a", "info: b", "debug: c"]),
            (9, &["warning: a", "info: b", "debug: c"]),
        ] {
            let heard = Arc::new(Mutex::new(Vec::new()));
            let sink = Arc::clone(&heard);
            let log = Log::new(Level::from_verbosity(verbosity), move |line| {
                sink.lock().unwrap().push(line.to_owned());
            });
            log.warn("a");
            log.info("b");
            log.debug("c");
            assert_eq!(*heard.lock().unwrap(), expected);
        }
    }
}
