//! Lines on stderr: few, and never in anybody's way.
//!
//! A reader that stops reading stderr must not stop answers, so lines go
//! through a bounded queue to a thread of their own and are dropped when it is
//! full. A burst of more than [`BURST`] lines is cut to one a second. What a
//! user asked for with `-v` has a wider bound of its own, and takes nothing
//! from what everybody must see.

use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::platform;
use crate::text::printable;

/// Lines that may be written at once.
pub const BURST: u32 = 20;

/// Lines about what goes on that may be written at once.
pub const WIDE_BURST: u32 = 200;

/// Lines about what goes on that may be written for each second after that.
const WIDE_REFILL: u32 = 50;

/// Lines that may wait for stderr to be read.
const QUEUE: usize = 512;

/// Where warnings and errors go that belong to no answer.
pub struct Notices {
    queue: SyncSender<Message>,
    budget: Mutex<Budget>,
    wide_budget: Mutex<Budget>,
}

enum Message {
    Line(String),
    Flushed(SyncSender<()>),
}

struct Budget {
    burst: u32,
    /// Lines for each second.
    refill: u32,
    left: u32,
    refilled: Instant,
    dropped: u64,
}

impl Budget {
    fn new(burst: u32, refill: u32) -> Self {
        Self {
            burst,
            refill,
            left: burst,
            refilled: Instant::now(),
            dropped: 0,
        }
    }

    /// Whether another line may be written.
    fn take(&mut self) -> bool {
        let seconds = self.refilled.elapsed().as_secs();
        if seconds > 0 {
            self.left = u32::try_from(seconds)
                .unwrap_or(u32::MAX)
                .saturating_mul(self.refill)
                .saturating_add(self.left)
                .min(self.burst);
            self.refilled = Instant::now();
        }
        let may = self.left > 0;
        if may {
            self.left -= 1;
        } else {
            self.dropped += 1;
        }
        may
    }
}

impl Notices {
    /// Notices that are written to `stderr` by a thread of their own. Each
    /// line begins with the program's name.
    pub fn new(stderr: impl Write + Send + 'static) -> Self {
        let (queue, lines) = sync_channel(QUEUE);
        let writer = platform::thread("stderr");
        // Without a thread the queue fills up and lines are dropped.
        let _ = writer.spawn(move || write(stderr, &lines));
        Self {
            queue,
            budget: Mutex::new(Budget::new(BURST, 1)),
            wide_budget: Mutex::new(Budget::new(WIDE_BURST, WIDE_REFILL)),
        }
    }

    /// Writes a line, or drops it if there were too many. Whatever is not
    /// printable ASCII is escaped.
    pub fn line(&self, text: &str) {
        self.write(&self.budget, text);
    }

    /// Writes a line about what goes on, or drops it if there were too many of
    /// these.
    pub fn detail(&self, text: &str) {
        self.write(&self.wide_budget, text);
    }

    fn write(&self, budget: &Mutex<Budget>, text: &str) {
        let mut budget = budget.lock().unwrap_or_else(PoisonError::into_inner);
        if !budget.take() {
            return;
        }
        let mut line = format!("ncprop279: {}", printable(text));
        if budget.dropped > 0 {
            line.push_str(&format!(
                " ({} lines were left out before this)",
                budget.dropped
            ));
        }
        line.push('\n');
        match self.queue.try_send(Message::Line(line)) {
            Ok(()) => budget.dropped = 0,
            Err(_) => budget.dropped += 1,
        }
    }

    /// Waits until everything is written, but no longer than `patience`.
    pub fn flush(&self, patience: Duration) {
        let (done, flushed) = sync_channel(1);
        if self.queue.try_send(Message::Flushed(done)).is_ok() {
            match flushed.recv_timeout(patience) {
                Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }
}

fn write(mut stderr: impl Write, lines: &Receiver<Message>) {
    while let Ok(message) = lines.recv() {
        match message {
            // Nobody is left to be told that stderr is closed.
            Message::Line(line) => drop(stderr.write_all(line.as_bytes())),
            Message::Flushed(done) => drop(done.try_send(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Condvar};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_printable_and_begin_with_the_program() {
        let sink = Sink::default();
        let notices = Notices::new(sink.clone());
        notices.line("a\nb\x1b[31m\u{fc}");
        notices.flush(Duration::from_secs(20));
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "ncprop279: a\\u{a}b\\u{1b}[31m\\u{fc}\n");
    }

    #[test]
    fn a_flood_is_cut() {
        let sink = Sink::default();
        let notices = Notices::new(sink.clone());
        for _ in 0..10_000 {
            notices.line("x");
        }
        notices.flush(Duration::from_secs(20));
        let lines = sink
            .0
            .lock()
            .unwrap()
            .iter()
            .filter(|b| **b == b'\n')
            .count();
        // A slow machine may refill the budget meanwhile, a line a second.
        assert!((1..=40).contains(&lines), "{lines}");
    }

    /// Nor does it cost the lines that everybody must see.
    #[test]
    fn a_flood_of_details_is_cut_later() {
        let sink = Sink::default();
        let notices = Notices::new(sink.clone());
        for _ in 0..10_000 {
            notices.detail("x");
        }
        notices.flush(Duration::from_secs(20));
        let details = sink.0.lock().unwrap().len() / "ncprop279: x\n".len();
        assert!((100..=1000).contains(&details), "{details}");
        notices.line("warning");
        notices.flush(Duration::from_secs(20));
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert!(text.ends_with("ncprop279: warning\n"), "{text}");
    }

    #[test]
    fn a_blocked_reader_blocks_nobody() {
        struct Blocked(Arc<(Mutex<bool>, Condvar)>);
        impl Write for Blocked {
            fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
                let mut open = self.0.0.lock().unwrap();
                while !*open {
                    open = self.0.1.wait(open).unwrap();
                }
                Ok(octets.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let notices = Notices::new(Blocked(gate.clone()));
        for _ in 0..10_000 {
            notices.line("x");
        }
        notices.flush(Duration::from_millis(1));
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
    }
}
