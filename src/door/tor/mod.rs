//! A naming client on Tor's control port: every program that uses Tor reaches
//! `.bit` names, without knowing of it.
//!
//! ```text
//! worker: connection → session: event → streams → lookup → redirect → attach
//! ```
//!
//! The door has Tor leave its streams unattached. Tor says of each that it waits.
//! Streams that are not ours are attached at once. The name of another is looked
//! up, the stream is redirected to the answer, and then attached. A name never is.
//!
//! Each Tor has a thread. `session`, `streams`, `conversation` and `isolation`
//! decide what happens, and do no I/O. Programs that may use Tor can forge what
//! Tor says (`spec/tor-control.md`), so these believe only what they can check.

mod authentication;
mod automap;
mod claims;
mod connection;
mod conversation;
pub mod diagnosis;
mod event;
pub mod guardian;
mod handled;
mod isolation;
mod line;
mod list;
mod session;
mod stream;
mod streams;
mod undo;
mod worker;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use thiserror::Error;

pub use self::authentication::AuthenticationError;
pub use self::connection::ControlError;
use self::guardian::Guardian;
use self::worker::{LEAVING, Shared, Stop, Worker};
use crate::config::settings::{ControlAddress, PluginCommand, Secret};
use crate::log::Log;
use crate::naming::{Deliver, Naming};
use crate::platform;
use crate::scheduler::Scheduler;

/// What the door needs to know.
pub struct Options {
    /// The control ports, at least one.
    pub control: Vec<ControlAddress>,
    /// For `HashedControlPassword`.
    pub password: Option<Secret>,
    /// The suffixes that are ours besides `bit`.
    pub plugins: Vec<PluginCommand>,
    /// Says something to the user, whatever the log's level.
    pub say: Box<dyn Fn(&str) + Send + Sync>,
}

/// Why the door cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The guardian cannot be started.
    #[error("the process that lets go of Tor if this one is killed cannot be started: {0}")]
    Guardian(io::Error),
    /// No thread can be started.
    #[error("no thread can be started ({0}); raise the limits on processes and memory")]
    Thread(io::Error),
}

/// The open door. When it is dropped, every Tor attaches its streams by itself
/// again.
pub struct TorDoor {
    workers: Vec<(Stop, JoinHandle<()>)>,
}

impl TorDoor {
    /// Controls each Tor in a thread of its own, whether it is there already or
    /// not.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        options: Options,
        scheduler: &Arc<Scheduler>,
        naming: &Arc<Naming>,
        log: &Log,
    ) -> Result<Self, OpenError> {
        let password = options.password.as_ref().map(Secret::expose);
        let guardian = Guardian::start(password, &options.plugins, log);
        let guardian = guardian.map_err(OpenError::Guardian)?;
        let lookups = {
            let (scheduler, naming) = (Arc::clone(scheduler), Arc::clone(naming));
            move |deliver: Deliver| naming.lookups(&scheduler, deliver)
        };
        let shared = Arc::new(Shared {
            naming: Arc::clone(naming),
            password: options.password,
            lookups: Box::new(lookups),
            say: options.say,
            guardian,
            log: log.clone(),
        });
        let mut door = Self {
            workers: Vec::new(),
        };
        for control in options.control {
            let worker = Worker::new(control, Arc::clone(&shared)).map_err(OpenError::Thread)?;
            let stop = worker.stopper();
            let thread = platform::thread("tor").spawn(move || worker.run());
            door.workers
                .push((stop, thread.map_err(OpenError::Thread)?));
        }
        Ok(door)
    }
}

/// What the fuzz target drives.
pub(crate) mod fuzzing {
    pub use super::line::Lines;
    pub use super::session::{Effect, Session, SessionError};
    pub use super::undo::Undo;
}

impl Drop for TorDoor {
    fn drop(&mut self) {
        self.workers.iter().for_each(|(stop, _)| stop.stop());
        // A Tor that does not answer is left to itself.
        let deadline = Instant::now() + LEAVING + Duration::from_millis(200);
        for (_, thread) in self.workers.drain(..) {
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
