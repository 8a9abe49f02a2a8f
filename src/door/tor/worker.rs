//! The thread that controls one Tor, and comes back whenever Tor does.

use std::io;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::connection::{Connection, ControlError, connect};
use super::guardian::Guardian;
use super::session::{Effect, Session, SessionError};
use super::undo;
use crate::config::settings::{ControlAddress, ProxyAddress, Secret};
use crate::log::Log;
use crate::naming::{Answer, Deliver, Lookups, Naming};
use crate::source::Cancel;

/// How long Tor may take to let us in.
const LOGIN: Duration = Duration::from_secs(10);

/// How long to wait after a failure, at first and at most.
const BACK_OFF: Duration = Duration::from_millis(250);
const MAX_BACK_OFF: Duration = Duration::from_secs(10);

/// How long leaving may take.
pub const LEAVING: Duration = Duration::from_secs(1);

/// The longest time without looking around.
const IDLE: Duration = Duration::from_secs(60);

/// What all workers of a door share.
pub struct Shared {
    /// Which names are ours.
    pub naming: Arc<Naming>,
    /// For `HashedControlPassword`.
    pub password: Option<Secret>,
    /// Starts lookups in the name of one worker.
    pub lookups: Box<dyn Fn(Deliver) -> Lookups + Send + Sync>,
    /// Says something to the user, whatever the log's level.
    pub say: Box<dyn Fn(&str) + Send + Sync>,
    /// Lets go of each Tor if this process is killed.
    pub guardian: Guardian,
    /// The log.
    pub log: Log,
}

/// Why a worker lost its Tor.
#[derive(Debug, Error)]
enum Loss {
    #[error("{0}")]
    Control(#[from] ControlError),
    #[error("{0}")]
    Session(#[from] SessionError),
    #[error("the connection broke ({})", .0.kind())]
    Io(#[from] io::Error),
    #[error("a bug was met; please report it")]
    Bug,
}

/// Ends a worker, and wakes it.
#[derive(Clone)]
pub struct Stop {
    is_set: Arc<AtomicBool>,
    cancel: Cancel,
    waker: Arc<UnixStream>,
}

impl Stop {
    /// Has the worker leave its Tor and end.
    pub fn stop(&self) {
        self.is_set.store(true, Ordering::SeqCst);
        self.cancel.set();
        wake(&self.waker);
    }
}

/// A full pipe wakes as well.
fn wake(mut waker: &UnixStream) {
    let _ = waker.write(&[0]);
}

/// The life of a worker.
pub struct Worker {
    control: ControlAddress,
    shared: Arc<Shared>,
    stop: Stop,
    woken: UnixStream,
    /// Where it controlled Tor last.
    address: Option<ProxyAddress>,
    /// What went wrong last, which is said once.
    last_trouble: Option<String>,
}

impl Worker {
    /// One that controls the Tor at `control`.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn new(control: ControlAddress, shared: Arc<Shared>) -> io::Result<Self> {
        let (waker, woken) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let stop = Stop {
            is_set: Arc::default(),
            cancel: Cancel::new(),
            waker: Arc::new(waker),
        };
        Ok(Self {
            control,
            shared,
            stop,
            woken,
            address: None,
            last_trouble: None,
        })
    }

    /// What ends it.
    pub fn stopper(&self) -> Stop {
        self.stop.clone()
    }

    /// Controls Tor until it is stopped.
    pub fn run(mut self) {
        let mut pause = BACK_OFF;
        while !self.is_stopped() {
            let begin = Instant::now();
            let attempt = AssertUnwindSafe(|| self.control());
            let result = catch_unwind(attempt).unwrap_or(Err(Loss::Bug));
            if let Err(Loss::Bug) = result {
                // Its connection is closed, and streams must not hang meanwhile.
                let undone = AssertUnwindSafe(|| self.undo_anew());
                drop(catch_unwind(undone));
            }
            let Err(loss) = result else {
                return;
            };
            self.report(&loss);
            if begin.elapsed() > MAX_BACK_OFF {
                pause = BACK_OFF;
            }
            self.rest(Instant::now() + pause);
            pause = (2 * pause).min(MAX_BACK_OFF);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_set.load(Ordering::SeqCst)
    }

    fn report(&mut self, loss: &Loss) {
        let trouble = loss.to_string();
        if self.last_trouble.as_ref() != Some(&trouble) && !self.is_stopped() {
            let place = match &self.control {
                ControlAddress::Auto => String::new(),
                ControlAddress::At(address) => format!(" at {address}"),
            };
            self.shared.log.warn(format_args!(
                "Tor's control port{place} cannot be used: {trouble}; trying again"
            ));
            self.last_trouble = Some(trouble);
        }
    }

    /// Waits until a moment, or until something wakes the worker.
    fn rest(&self, until: Instant) {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};

        while !self.is_stopped() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let timeout = Timespec::try_from(left).ok();
            let mut watched = [PollFd::new(&self.woken, PollFlags::IN)];
            let _ = poll(&mut watched, timeout.as_ref());
            self.drain();
        }
    }

    fn drain(&self) {
        let mut woken = &self.woken;
        while matches!(woken.read(&mut [0; 64]), Ok(count) if count > 0) {}
    }

    /// Controls Tor until it goes away, or until this worker is stopped.
    fn control(&mut self) -> Result<(), Loss> {
        let password = self.shared.password.as_ref().map(Secret::expose);
        let deadline = Instant::now() + LOGIN;
        let (tcp, address) = connect(&self.control, password, deadline, &self.stop.cancel)?;
        let mut connection = Connection::new(tcp, &address)?;
        self.shared.guardian.watch(&address);
        self.address = Some(address.clone());
        let (answers, lookups) = self.lookups();
        let mut session = Session::new(Arc::clone(&self.shared.naming), Instant::now());
        loop {
            let now = Instant::now();
            session.tick(now)?;
            self.carry_out(&mut session, &lookups, &address);
            connection.write(&session.take_output(Instant::now()))?;
            if self.is_stopped() {
                self.undo(&mut connection)?;
                self.shared.guardian.left(&address);
                return Ok(());
            }
            let due = session.next_tick().unwrap_or(now + IDLE).min(now + IDLE);
            let ready = connection.wait(Some(&self.woken), due)?;
            if ready.is_woken {
                self.drain();
                for (number, answer) in answers.try_iter() {
                    session.answered(number, answer, Instant::now());
                }
            }
            if ready.can_read {
                let now = Instant::now();
                connection.read(|line| session.line(line, now))?;
            }
        }
    }

    fn lookups(&self) -> (Receiver<(u64, Answer)>, Lookups) {
        let (sender, answers): (Sender<_>, _) = channel();
        let waker = Arc::clone(&self.stop.waker);
        let deliver = move |number, answer| {
            // Nobody may be waiting any more.
            if sender.send((number, answer)).is_ok() {
                wake(&waker);
            }
        };
        (answers, (self.shared.lookups)(Box::new(deliver)))
    }

    /// Does what the session wants, which may make it want more.
    fn carry_out(&mut self, session: &mut Session, lookups: &Lookups, address: &ProxyAddress) {
        let log = &self.shared.log;
        loop {
            let effects = session.take_effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                match effect {
                    Effect::TookOver => {
                        let text = format!("resolving .bit names for Tor at {address}");
                        (self.shared.say)(&text);
                        self.last_trouble = None;
                    }
                    Effect::Lookup(number, name, isolation) => {
                        let answer = lookups.start(number, name.as_bytes(), &isolation);
                        if let Some(answer) = answer {
                            session.answered(number, answer, Instant::now());
                        }
                    }
                    Effect::Cancel(number) => lookups.cancel(number),
                    Effect::Forget(isolation) => lookups.forget(&isolation),
                    Effect::AnotherController => log.warn(format_args!(
                        "another controller of Tor at {address} attaches streams, too; names in \
                         .bit may reach exits unless you stop it"
                    )),
                    Effect::OldTor => log.warn(format_args!(
                        "Tor at {address} does not say by what it isolates streams, so every \
                         name is looked up anew; update Tor"
                    )),
                }
            }
        }
    }

    fn undo_anew(&self) -> Result<(), Loss> {
        let password = self.shared.password.as_ref().map(Secret::expose);
        let deadline = Instant::now() + LEAVING;
        let control = match &self.address {
            Some(address) => ControlAddress::At(address.clone()),
            None => return Ok(()),
        };
        let (tcp, address) = connect(&control, password, deadline, &Cancel::new())?;
        Ok(self.undo(&mut Connection::new(tcp, &address)?)?)
    }

    fn undo(&self, connection: &mut Connection) -> io::Result<()> {
        let ours = self.shared.naming.suffixes();
        undo::run(connection, ours, Instant::now() + LEAVING)
    }
}
