//! A session on a pair of streams, connected to the scheduler.
//!
//! The thread that calls [`serve`] reads lines and writes answers that are
//! cached; it neither evaluates anything nor waits for a lookup. All other answers
//! are written by the threads that found them. All threads append to one buffer
//! under the session's lock, and write it in that order.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::settings::Settings;
use crate::isolation::IsolationId;
use crate::log::Log;
use crate::log::lookups::{QueryLog, QueryResult};
use crate::platform;
use crate::policy::{Question, Verdict};
use crate::scheduler::{Limits, Scheduler, Timekeeper, Upstreams};

use super::line::LineReader;
use super::session::{Action, Options, QueryNumber, Session};

/// How many bytes of answers are collected for one write while more lines can be
/// read.
const WRITE_AT: usize = 64 * 1024;

/// How long the end of input waits for answers and for the client to read them,
/// in addition to a query's time.
const GRACE: Duration = Duration::from_secs(2);

/// How often to check whether the client still reads, once its input has ended.
const PROGRESS_CHECK: Duration = Duration::from_millis(50);

/// A client's streams.
pub struct Streams<R, W, C> {
    /// Its requests.
    pub input: R,
    /// Our answers.
    pub output: W,
    /// Waits until nobody can write to the input any more, if that can be detected
    /// without reading. The thread that reads cannot detect it while it waits for
    /// the client to read answers.
    pub hang_up: Option<HangUp>,
    /// Called from any thread when writing is over: the client is gone, it closed
    /// its input and then did not read answers for a query's time and two seconds,
    /// or writing failed with this error.
    pub closed: C,
}

/// Serves a client until its input ends and every query is answered.
///
/// # Errors
/// The input could not be read.
pub fn serve<R, W, C>(
    streams: Streams<R, W, C>,
    upstreams: Upstreams,
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
            bytes: Vec::new(),
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
    upstreams.source.start();
    let queries = Arc::new(QueryLog::new(log.clone()));
    let (answered, logged) = (Arc::clone(&client), Arc::clone(&queries));
    let scheduler = Scheduler::new(upstreams, Limits::with(settings), log.clone(), timekeeper);
    let lookups = scheduler.client(Box::new(move |number, verdict| {
        log_answer(&logged, number, &verdict, false);
        answered.session().answer(number, &verdict);
        answered.flush_or_leave();
        answered.idle.notify_all();
    }));

    let mut lines = LineReader::new(input);
    // The clock is read once for all lines that arrive together, and again after
    // anything that takes time: a query, and a client that reads slowly.
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
        let cached = |number, isolation: &[u8], question: &Question| {
            let answer = lookups.answer(isolation, question.as_bytes(), now)?;
            log_cached(&queries, number, isolation, question, answer.verdict());
            Some(answer)
        };
        let action = session.line(line, cached, |text| log.warn(text));
        let full = session.out.len() >= WRITE_AT;
        drop(session);
        match action {
            None => {}
            Some(Action::Cancel(number)) => {
                queries.withdrawn(number);
                lookups.cancel(number);
            }
            Some(Action::Resolve {
                number,
                query,
                isolation,
            }) => {
                let name = || query.name_text();
                queries.asked(number, &isolation, name, query.only_onion());
                let deadline = Instant::now() + settings.timeout;
                lookups.ask(number, &isolation, query, deadline);
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
    queries.log_counts();
    Ok(())
}

fn log_answer(queries: &QueryLog, number: QueryNumber, verdict: &Verdict, is_cached: bool) {
    if queries.is_enabled() {
        let failure = match verdict {
            Verdict::Unknown(failure) => Some(failure.kind),
            _ => None,
        };
        let result = QueryResult {
            status: verdict.status().code(),
            text: &verdict.text(),
            failure,
            is_cached,
        };
        queries.answered(number, &result);
    }
}

fn log_cached(
    queries: &QueryLog,
    number: QueryNumber,
    isolation: &[u8],
    question: &Question,
    verdict: &Verdict,
) {
    if queries.is_enabled() {
        let isolation = IsolationId::parse(isolation).unwrap_or_else(|_| IsolationId::shared());
        let name = || String::from_utf8_lossy(question.name()).into_owned();
        queries.asked(number, &isolation, name, question.only_onion());
        log_answer(queries, number, verdict, true);
    }
}

/// Waits until nobody can write to the input any more.
pub type HangUp = Box<dyn FnOnce() + Send>;

struct Client<W> {
    session: Mutex<Session>,
    writer: Mutex<Writer<W>>,
    /// Notified when a query is answered.
    idle: Condvar,
    /// How many writes there were.
    writes: AtomicU64,
    /// Whether reading and writing are over.
    is_done: AtomicBool,
    closed: Box<dyn Fn(io::Result<()>) + Send + Sync>,
}

struct Writer<W> {
    output: W,
    /// Empty between writes. Kept to reuse its memory.
    bytes: Vec<u8>,
}

impl<W: Write + Send + 'static> Client<W> {
    /// Starts a thread that waits for the client to close its input, and calls
    /// `closed` if it then reads no answers for as long as the last query may
    /// take: the threads that write to it are blocked and cannot be interrupted.
    fn give_up_after(client: &Arc<Self>, hang_up: HangUp, patience: Duration) {
        let client = Arc::clone(client);
        let wait = move || {
            hang_up();
            let writes = || client.writes.load(Ordering::Relaxed);
            let (mut seen, mut since) = (writes(), Instant::now());
            while since.elapsed() < patience {
                thread::sleep(PROGRESS_CHECK);
                if client.is_done.load(Ordering::Relaxed) {
                    return;
                }
                if writes() != seen {
                    (seen, since) = (writes(), Instant::now());
                }
            }
            (client.closed)(Ok(()));
        };
        // Without the thread, the process ends only when the client does.
        let _ = platform::thread("end").spawn(wait);
    }

    /// Marks the end of reading and writing, so that the client is not given up.
    fn end(&self) {
        self.is_done.store(true, Ordering::Relaxed);
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the session's buffer, and waits until the client has read it. On
    /// return, everything that was in the buffer before has been written, by this
    /// thread or another.
    fn flush(&self) {
        let writer = self.writer.lock();
        self.write(writer.unwrap_or_else(PoisonError::into_inner));
        self.flush_or_leave();
    }

    /// Writes the session's buffer, or leaves it to a thread that is already
    /// writing. So at most one thread waits for a client that does not read.
    fn flush_or_leave(&self) {
        // A thread that has written checks again after it released the writer, so
        // that nothing is left behind.
        while !self.session().out.is_empty() {
            match self.writer.try_lock() {
                Ok(writer) => self.write(writer),
                Err(TryLockError::Poisoned(error)) => self.write(error.into_inner()),
                Err(TryLockError::WouldBlock) => return,
            }
        }
    }

    fn write(&self, mut writer: MutexGuard<'_, Writer<W>>) {
        let Writer { output, bytes } = &mut *writer;
        std::mem::swap(&mut self.session().out, bytes);
        if bytes.is_empty() {
            return;
        }
        let written = output.write_all(bytes).and_then(|()| output.flush());
        bytes.clear();
        self.writes.fetch_add(1, Ordering::Relaxed);
        match written {
            Ok(()) => {}
            Err(error) if platform::is_closed(&error) => (self.closed)(Ok(())),
            Err(error) => (self.closed)(Err(error)),
        }
    }

    /// Waits until every query is answered, but not longer than until `deadline`.
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
        // The thread with the last answer may not have written it yet.
        self.flush();
    }
}
