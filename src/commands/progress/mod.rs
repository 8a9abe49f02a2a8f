//! Progress for somebody who waits: a bar on a terminal, else a line now and
//! then.
//!
//! A command works on its own thread, unaware of this. Another thread looks at
//! the source's progress and shows it until the command is done.

mod meter;
mod screen;
mod words;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use self::meter::Meter;
use crate::platform;
use crate::source::diagnosis::Diagnose;

pub use self::screen::Screen;

/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(200);

/// What is done sooner shows no bar.
const PROMPT: Duration = Duration::from_millis(600);

/// The time between two lines, and before the first.
const LINES: Duration = Duration::from_secs(10);

/// Does the work, and shows the source's progress meanwhile: as a bar on the
/// screen, or, if that is no terminal, in lines that `say` takes. Nothing of
/// the bar is left when this returns.
pub fn watch<T>(
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
                (self.say)(&words::full(&reading));
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
