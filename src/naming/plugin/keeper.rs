//! The thread that keeps a plugin running: it starts the process, exchanges lines
//! with it, ends one that misbehaves, and starts the next.
//!
//! One thread waits for everything (the plugin's pipes, new queries, deadlines),
//! so a plugin that neither writes nor reads delays nobody.

use std::collections::HashMap;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use thiserror::Error;

use super::Shared;
use super::process::{Possible, Process, timespec};
use super::protocol::{Lines, Message};
use super::reply::Rules;
use crate::log::Log;
use crate::text::printable;

/// How long a plugin may take until it is ready.
const INIT: Duration = Duration::from_secs(30);

/// How long a plugin may leave its input unread.
const STALL: Duration = Duration::from_secs(10);

/// How many bytes that answer nothing a plugin may write within [`INTERVAL`].
const MAX_IGNORED: usize = 8 << 20;

/// The period of [`MAX_IGNORED`], and the least time between two warnings of one
/// kind.
const INTERVAL: Duration = Duration::from_secs(60);

/// The first pause before a plugin is started again.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A plugin that ran this long counts as one that works.
const STABLE: Duration = Duration::from_secs(60);

/// How long a plugin that has closed a pipe may take to end.
const EXIT_GRACE: Duration = Duration::from_millis(100);

/// How long a plugin may take to end when the program does.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// How many bytes are prepared for one write.
const WRITE_SIZE: usize = 4 << 10;

/// Why a plugin was ended, or ended by itself.
#[derive(Debug, Error)]
enum Failure {
    #[error("cannot be run: {0}")]
    System(std::io::Error),
    #[error("could not start its work: {0}")]
    Init(String),
    #[error("has not sent INIT within {} seconds", INIT.as_secs())]
    NoInit,
    #[error("ended ({0})")]
    Ended(String),
    #[error("closed its input or output")]
    Closed,
    #[error("does not read its input")]
    NotReading,
    #[error("writes too much that answers nothing")]
    Flood,
}

/// Keeps one plugin running.
pub struct Keeper {
    shared: Arc<Shared>,
    suffix: String,
    command: String,
    rules: Rules,
    /// Becomes readable when something has changed in `shared`.
    wake: UnixStream,
    log: Log,
    running: Option<Running>,
    /// When the plugin may be started.
    start_at: Instant,
    /// How long to wait after the next failure.
    pause: Duration,
    /// When each kind of failure was logged last.
    warned: HashMap<std::mem::Discriminant<Failure>, Instant>,
}

/// A running process of the plugin.
struct Running {
    process: Process,
    began: Instant,
    is_ready: bool,
    lines: Lines,
    /// What has not been written yet.
    out: Vec<u8>,
    /// When the plugin last read something or had nothing to read.
    last_read: Instant,
    ignored: Ignored,
}

/// How much the plugin wrote that answered no query.
struct Ignored {
    since: Instant,
    bytes: usize,
}

impl Ignored {
    /// Counts more bytes. Returns whether they are too many.
    fn add(&mut self, bytes: usize, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= INTERVAL {
            *self = Self {
                since: now,
                bytes: 0,
            };
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes > MAX_IGNORED
    }
}

impl Keeper {
    /// For a plugin that has not been started yet.
    pub fn new(
        shared: Arc<Shared>,
        plugin: crate::config::settings::PluginCommand,
        rules: Rules,
        wake: UnixStream,
        log: Log,
    ) -> Self {
        Self {
            shared,
            suffix: plugin.suffix,
            command: plugin.command,
            rules,
            wake,
            log,
            running: None,
            start_at: Instant::now(),
            pause: FIRST_PAUSE,
            warned: HashMap::new(),
        }
    }

    /// Keeps the plugin running until [`Shared`] is closed.
    pub fn run(&mut self) {
        while let Some(due) = self.shared.pass_time(Instant::now()) {
            if let Err(failure) = self.step(due) {
                self.fail(&failure);
            }
        }
        if let Some(mut running) = self.running.take() {
            running.process.close_stdin();
            running.process.end_within(SHUTDOWN_GRACE);
        }
    }

    /// Waits until something is possible, and does it.
    fn step(&mut self, due: Option<Instant>) -> Result<(), Failure> {
        let now = Instant::now();
        if self.running.is_none() && self.start_at <= now {
            self.start(now)?;
        }
        let Some(running) = &mut self.running else {
            self.wait_for_start(due);
            return Ok(());
        };
        running.check(now)?;
        if running.is_ready {
            running.fill(&self.shared, now);
        }
        let due = due.into_iter().chain(running.due()).min();
        let limit = due.map(|due| due.saturating_duration_since(now));
        let wants_to_write = !running.out.is_empty();
        let waited = running.process.wait(&self.wake, wants_to_write, limit);
        let possible = waited.map_err(Failure::System)?;
        if possible.is_woken {
            drain(&mut self.wake);
        }
        self.exchange(&possible)
    }

    /// Reads and writes.
    fn exchange(&mut self, possible: &Possible) -> Result<(), Failure> {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        let now = Instant::now();
        let mut messages = Vec::new();
        if possible.read {
            let mut buffer = [0; 16 << 10];
            match running.process.read(&mut buffer) {
                Ok(None) => {}
                Ok(Some(0)) | Err(_) => return Err(running.ended()),
                Ok(Some(count)) => {
                    let bytes = buffer.get(..count).unwrap_or_default();
                    running.lines.feed(bytes, |line| {
                        messages.push((Message::parse(line), line.len()));
                    });
                    if running.ignored.add(count, now) {
                        return Err(Failure::Flood);
                    }
                }
            }
        }
        for (message, length) in messages {
            let was_ready = running.is_ready;
            running.handle(message, length, &self.shared, &self.rules, now)?;
            if running.is_ready && !was_ready {
                let suffix = &self.suffix;
                self.log
                    .info(format_args!("the naming plugin for {suffix} is ready"));
            }
        }
        if possible.is_stdin_closed {
            // Read first what it wrote before.
            if !possible.read {
                return Err(running.ended());
            }
        } else if possible.write {
            match running.process.write(&running.out) {
                Ok(None) => {}
                Ok(Some(count)) => {
                    running.out.drain(..count.min(running.out.len()));
                    running.last_read = now;
                }
                Err(_) => return Err(running.ended()),
            }
        }
        Ok(())
    }

    fn start(&mut self, now: Instant) -> Result<(), Failure> {
        let process = Process::start(&self.command).map_err(Failure::System)?;
        self.running = Some(Running {
            process,
            began: now,
            is_ready: false,
            lines: Lines::default(),
            out: Vec::new(),
            last_read: now,
            ignored: Ignored {
                since: now,
                bytes: 0,
            },
        });
        Ok(())
    }

    /// Waits while no plugin is running.
    fn wait_for_start(&mut self, due: Option<Instant>) {
        let due = due.into_iter().chain([self.start_at]).min();
        let limit = due.map(|due| due.saturating_duration_since(Instant::now()));
        let mut watched = [PollFd::new(&self.wake, PollFlags::IN)];
        let polled = poll(&mut watched, timespec(limit).as_ref());
        if polled.is_ok_and(|count| count > 0) {
            drain(&mut self.wake);
        }
    }

    /// Ends the plugin, and has it started again later.
    fn fail(&mut self, failure: &Failure) {
        let running = self.running.take();
        let now = Instant::now();
        let age = running.as_ref().map(|running| now - running.began);
        if age.is_some_and(|age| age >= STABLE) {
            self.pause = FIRST_PAUSE;
        }
        // Killed before the next one is started.
        drop(running);
        self.start_at = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.shared.restart();
        let kind = std::mem::discriminant(failure);
        let last = self.warned.get(&kind);
        if last.is_none_or(|last| now.saturating_duration_since(*last) >= INTERVAL) {
            self.warned.insert(kind, now);
            let suffix = &self.suffix;
            let failure = printable(&failure.to_string());
            self.log.warn(format_args!(
                "the naming plugin for {suffix} {failure}; it is started again"
            ));
        }
    }
}

impl Running {
    /// Checks that the plugin has met its deadlines.
    fn check(&self, now: Instant) -> Result<(), Failure> {
        match self.due() {
            Some(due) if due <= now && !self.is_ready => Err(Failure::NoInit),
            Some(due) if due <= now => Err(Failure::NotReading),
            _ => Ok(()),
        }
    }

    /// The next deadline of the plugin: for `INIT`, or for reading its input.
    fn due(&self) -> Option<Instant> {
        match self.is_ready {
            false => Some(self.began + INIT),
            true if !self.out.is_empty() => Some(self.last_read + STALL),
            true => None,
        }
    }

    /// Prepares the next lines.
    fn fill(&mut self, shared: &Shared, now: Instant) {
        if self.out.is_empty() {
            self.last_read = now;
        }
        while self.out.len() < WRITE_SIZE {
            match shared.next_line() {
                Some(line) => self.out.extend(line.as_bytes()),
                None => return,
            }
        }
    }

    /// Acts on a line of the plugin.
    fn handle(
        &mut self,
        message: Message,
        length: usize,
        shared: &Shared,
        rules: &Rules,
        now: Instant,
    ) -> Result<(), Failure> {
        match message {
            Message::Ready => self.is_ready = true,
            Message::NotReady(why) if !self.is_ready => return Err(Failure::Init(why)),
            Message::Resolved {
                number,
                status,
                text,
            } if shared.expects(number) => {
                shared.replied(number, rules.read(status, &text), now);
                self.ignored.bytes = self.ignored.bytes.saturating_sub(length);
            }
            _ => {}
        }
        Ok(())
    }

    /// Why a pipe was closed.
    fn ended(&mut self) -> Failure {
        match self.process.end_within(EXIT_GRACE) {
            Some(status) => Failure::Ended(status),
            None => Failure::Closed,
        }
    }
}

/// Discards the bytes that woke the thread.
fn drain(wake: &mut UnixStream) {
    let mut buffer = [0; 256];
    while wake
        .read(&mut buffer)
        .is_ok_and(|count| count == buffer.len())
    {}
}
