//! A session on a pair of streams, with the scheduler behind it.
//!
//! The thread that calls [`serve`] reads lines and gives answers that are
//! finished; it neither evaluates anything nor waits for a lookup. Answers that
//! come later are written by the threads that found them. All of them append to
//! one buffer under the session's lock and write it out in that order.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::settings::Settings;
use crate::log::Log;
use crate::platform;
use crate::scheduler::{Limits, Scheduler, Timekeeper};
use crate::source::Source;

use super::journal::{Found, Journal};
use super::line::LineReader;
use super::session::{Action, Options, Session};

/// Bytes of answers that are held back for one write while more lines are
/// there to be read.
const WRITE_AT: usize = 64 * 1024;

/// What is added to a query's time when the end of input waits for answers, and
/// for these to be read.
const GRACE: Duration = Duration::from_secs(2);

/// How often it is noticed that the client goes on reading, once its input has
/// ended.
const GLANCE: Duration = Duration::from_millis(50);

/// A client's streams.
pub struct Streams<R, W, C> {
    /// Where its requests come from.
    pub input: R,
    /// Where its answers go.
    pub output: W,
    /// Waits until nobody can write to the input any more, if that can be
    /// noticed without reading it: the thread that reads does not do so while
    /// it waits for the client to take its answers.
    pub hang_up: Option<HangUp>,
    /// Called, from any thread, when no more can be written: because the client
    /// is gone, because it does not read its answers for a query's time and two
    /// seconds after it closed the input, or with the error of writing.
    pub closed: C,
}

/// Serves a client until its input ends and every query is answered.
///
/// # Errors
/// The input could not be read.
pub fn serve<R, W, C>(
    streams: Streams<R, W, C>,
    source: Arc<dyn Source>,
    settings: &Settings,
    timekeeper: Timekeeper,
    log: &Log,
) -> io::Result<()>
where
    R: Read,
    W: Write + Send + 'static,
    C: Fn(io::Result<()>) + Send + Sync + 'static,
{
    let Streams {
        input,
        output,
        hang_up,
        closed,
    } = streams;
    let client = Arc::new(Client {
        session: Mutex::new(Session::new(Options {
            only_onion: settings.only_onion,
            missing_isolation: settings.missing_isolation,
        })),
        writer: Mutex::new(Writer {
            output,
            octets: Vec::new(),
        }),
        idle: Condvar::new(),
        writes: AtomicU64::new(0),
        is_done: AtomicBool::new(false),
        closed: Box::new(closed),
    });
    let patience = settings.timeout + GRACE;
    if let Some(hang_up) = hang_up {
        Client::give_up_after(&client, hang_up, patience);
    }
    log.info(format_args!("names are looked up in {}", settings.source));
    source.start();
    let journal = Arc::new(Journal::new(log.clone()));
    let (answered, noted) = (Arc::clone(&client), Arc::clone(&journal));
    let scheduler = Scheduler::new(source, Limits::with(settings), log.clone(), timekeeper);
    let lookups = scheduler.client(Box::new(move |ticket, verdict| {
        noted.answered(ticket, &verdict, Found::Lookup);
        answered.session().answer(ticket, &verdict);
        answered.flush_or_leave();
        answered.idle.notify_all();
    }));

    let mut lines = LineReader::new(input);
    // One look at the clock for all lines of a read, and one after whatever
    // took time of its own: a query, and a client that reads slowly.
    let mut now = Instant::now();
    loop {
        let waits = !lines.has_buffered_line();
        let line = lines.next_line().inspect_err(|_| client.end());
        let Some(line) = line? else {
            break;
        };
        if waits {
            now = Instant::now();
        }
        let mut session = client.session();
        let kept = |isolation: &[u8], question: &[u8]| match journal.is_silent() {
            true => lookups.answer(isolation, question, now),
            false => None,
        };
        let action = session.line(line, kept, |text| log.warn(text));
        let full = session.out.len() >= WRITE_AT;
        drop(session);
        match action {
            None => {}
            Some(Action::Cancel(ticket)) => {
                journal.withdrawn(ticket);
                lookups.cancel(ticket);
            }
            Some(Action::Resolve {
                ticket,
                query,
                isolation,
            }) => {
                journal.asked(ticket, &isolation, &query);
                let question = query.question();
                let kept = question.and_then(|question| {
                    lookups.answer(isolation.octets(), question.octets(), now)
                });
                match kept {
                    Some(answer) => {
                        let verdict = answer.verdict();
                        journal.answered(ticket, verdict, Found::Cache);
                        client.session().answer(ticket, verdict);
                    }
                    None => {
                        let deadline = Instant::now() + settings.timeout;
                        lookups.ask(ticket, &isolation, query, deadline);
                    }
                }
                now = Instant::now();
            }
        }
        if full || !lines.has_buffered_line() {
            client.flush();
        }
        if full {
            now = Instant::now();
        }
    }
    // The input may have ended without a hang-up, as a file does.
    Client::give_up_after(&client, Box::new(|| {}), patience);
    client.flush();
    client.finish(Instant::now() + patience);
    client.end();
    journal.tell_counts();
    Ok(())
}

/// What waits until nobody can write to the input any more.
pub type HangUp = Box<dyn FnOnce() + Send>;

struct Client<W> {
    session: Mutex<Session>,
    writer: Mutex<Writer<W>>,
    /// A query was answered.
    idle: Condvar,
    /// How often something was written.
    writes: AtomicU64,
    /// Nothing more is read or written.
    is_done: AtomicBool,
    closed: Box<dyn Fn(io::Result<()>) + Send + Sync>,
}

struct Writer<W> {
    output: W,
    /// Empty between writes; kept for its memory.
    octets: Vec<u8>,
}

impl<W: Write + Send + 'static> Client<W> {
    /// Gives a client up that closes the input but reads no answers: nothing is
    /// written for as long as the last query could take, and what blocks the
    /// threads that write cannot be interrupted.
    fn give_up_after(client: &Arc<Self>, hang_up: HangUp, patience: Duration) {
        let client = Arc::clone(client);
        let wait = move || {
            hang_up();
            let writes = || client.writes.load(Ordering::Relaxed);
            let (mut seen, mut since) = (writes(), Instant::now());
            while since.elapsed() < patience {
                thread::sleep(GLANCE);
                if client.is_done.load(Ordering::Relaxed) {
                    return;
                }
                if writes() != seen {
                    (seen, since) = (writes(), Instant::now());
                }
            }
            (client.closed)(Ok(()));
        };
        // Without a thread the end waits for the client.
        let _ = platform::thread("end").spawn(wait);
    }

    /// Nothing is written any more, so nobody is given up.
    fn end(&self) {
        self.is_done.store(true, Ordering::Relaxed);
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes out what the session has for the client, and waits for the client
    /// to take it. When it returns, all that was in the buffer before has been
    /// written, by this thread or by another.
    fn flush(&self) {
        let writer = self.writer.lock();
        self.write(writer.unwrap_or_else(PoisonError::into_inner));
        self.flush_or_leave();
    }

    /// Writes out what the session has for the client, unless another thread is
    /// writing, which then writes this too: one thread at most waits for a
    /// client that does not read.
    fn flush_or_leave(&self) {
        // Whoever writes looks again after it has let the writer go, so that
        // nothing stays behind.
        while !self.session().out.is_empty() {
            match self.writer.try_lock() {
                Ok(writer) => self.write(writer),
                Err(TryLockError::Poisoned(error)) => self.write(error.into_inner()),
                Err(TryLockError::WouldBlock) => return,
            }
        }
    }

    fn write(&self, mut writer: MutexGuard<'_, Writer<W>>) {
        let Writer { output, octets } = &mut *writer;
        std::mem::swap(&mut self.session().out, octets);
        if octets.is_empty() {
            return;
        }
        let written = output.write_all(octets).and_then(|()| output.flush());
        octets.clear();
        self.writes.fetch_add(1, Ordering::Relaxed);
        match written {
            Ok(()) => {}
            Err(error) if platform::is_closed(&error) => (self.closed)(Ok(())),
            Err(error) => (self.closed)(Err(error)),
        }
    }

    /// Waits until every query is answered, but not beyond `deadline`.
    fn finish(&self, deadline: Instant) {
        let mut session = self.session();
        while session.unanswered() > 0 {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return;
            };
            let waited = self.idle.wait_timeout(session, left);
            session = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(session);
        // Whoever answered last may not have written yet.
        self.flush();
    }
}
