//! Writing lines to stderr without ever delaying an answer.
//!
//! Lines go through a bounded queue to a thread of their own, and are dropped if
//! nobody reads stderr and the queue is full. After a burst of [`BURST`] lines,
//! one a second is written. Lines that a user asked for with `-v` have a larger
//! budget of their own, so that they displace no warning.

use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::platform;
use crate::text::printable;

/// How many lines may be written at once.
pub const BURST: u32 = 20;

/// How many lines that `-v` adds may be written at once.
pub const WIDE_BURST: u32 = 200;

/// How many of these may be written in each second after that.
const WIDE_REFILL: u32 = 50;

/// How many lines may wait for stderr to be read.
const QUEUE: usize = 512;

/// Writes lines to stderr.
pub struct Stderr {
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

impl Stderr {
    /// Starts a thread that writes to `stderr`. Each line begins with the
    /// program's name.
    pub fn new(stderr: impl Write + Send + 'static) -> Self {
        let (queue, lines) = sync_channel(QUEUE);
        let writer = platform::thread("stderr");
        // Without the thread, the queue fills up and lines are dropped.
        let _ = writer.spawn(move || write(stderr, &lines));
        Self {
            queue,
            budget: Mutex::new(Budget::new(BURST, 1)),
            wide_budget: Mutex::new(Budget::new(WIDE_BURST, WIDE_REFILL)),
        }
    }

    /// Writes a line, or drops it if there were too many. Everything but printable
    /// ASCII is escaped.
    pub fn line(&self, text: &str) {
        self.write(&self.budget, text);
    }

    /// Writes a line that `-v` adds, or drops it if there were too many.
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

    /// Waits until everything is written, but not longer than `patience`.
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
            // There is nowhere to report that stderr is closed.
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
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_printable_and_begin_with_the_program() {
        let sink = Sink::default();
        let stderr = Stderr::new(sink.clone());
        stderr.line("a\nb\x1b[31m\u{fc}");
        stderr.flush(Duration::from_secs(20));
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "ncprop279: a\\u{a}b\\u{1b}[31m\\u{fc}\n");
    }

    #[test]
    fn a_flood_is_limited() {
        let sink = Sink::default();
        let stderr = Stderr::new(sink.clone());
        for _ in 0..10_000 {
            stderr.line("x");
        }
        stderr.flush(Duration::from_secs(20));
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

    /// It displaces no warning.
    #[test]
    fn a_flood_of_details_has_its_own_limit() {
        let sink = Sink::default();
        let stderr = Stderr::new(sink.clone());
        for _ in 0..10_000 {
            stderr.detail("x");
        }
        stderr.flush(Duration::from_secs(20));
        let details = sink.0.lock().unwrap().len() / "ncprop279: x\n".len();
        assert!((100..=1000).contains(&details), "{details}");
        stderr.line("warning");
        stderr.flush(Duration::from_secs(20));
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert!(text.ends_with("ncprop279: warning\n"), "{text}");
    }

    #[test]
    fn a_blocked_reader_delays_nobody() {
        struct Blocked(Arc<(Mutex<bool>, Condvar)>);
        impl Write for Blocked {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                let mut open = self.0.0.lock().unwrap();
                while !*open {
                    open = self.0.1.wait(open).unwrap();
                }
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let stderr = Stderr::new(Blocked(gate.clone()));
        for _ in 0..10_000 {
            stderr.line("x");
        }
        stderr.flush(Duration::from_millis(1));
        *gate.0.lock().unwrap() = true;
        gate.1.notify_all();
    }
}
