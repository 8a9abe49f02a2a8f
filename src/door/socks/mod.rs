//! A SOCKS port in front of Tor's: programs reach `.bit` names through it, and
//! everything else as through Tor's own port.
//!
//! ```text
//! listener → stream: request → name ours? → lookup → Tor's SOCKS port → relay
//! ```
//!
//! Every stream has a thread, which blocks on its own sockets with a limit for
//! everything but an open stream. `reader`, `reply` and
//! `isolation` say what the bytes mean and do no I/O.
//!
//! A name that is ours never reaches Tor: [`Naming::is_ours`] decides before Tor
//! is asked, and what cannot be resolved is refused here (`spec/socks.md`).

mod http;
mod isolation;
mod listener;
mod reader;
mod relay;
mod reply;
mod request;
mod socket;
mod stream;
mod tor;
mod waiting;

use std::io;
use std::sync::Arc;

use thiserror::Error;

use self::isolation::Isolation;
use self::listener::{Listener, Slots};
use self::stream::Shared;
use self::waiting::WaitingLookups;
use crate::config::settings::{ListenAddress, ProxyAddress};
use crate::log::Log;
use crate::naming::Naming;
use crate::scheduler::Scheduler;

/// What the door needs to know.
pub struct Options {
    /// Where clients connect, at least one.
    pub listeners: Vec<ListenAddress>,
    /// Tor's SOCKS port.
    pub tor: ProxyAddress,
}

/// Why the door cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Nothing can listen at an address.
    #[error("cannot listen on {address}: {}", advice(error))]
    Listen {
        /// The address.
        address: ListenAddress,
        /// Why.
        error: io::Error,
    },
    /// There is no randomness for the key.
    #[error("the operating system has no random numbers")]
    NoRandomness,
    /// No thread can be started.
    #[error("no thread can be started ({0}); raise the limits on processes and memory")]
    NoThread(io::Error),
}

fn advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program uses it, or ncprop279 runs already; see \
                                     check serve, or set --socks-listen to another address"
            .to_owned(),
        _ => error.to_string(),
    }
}

/// The open door. It serves until it is dropped, which removes its Unix sockets
/// and accepts no more streams; those that are open go on.
pub struct SocksDoor {
    listeners: Vec<Arc<Listener>>,
}

impl SocksDoor {
    /// Listens, and serves clients in threads of its own.
    ///
    /// # Errors
    /// See [`OpenError`]; then nothing listens.
    pub fn open(
        options: Options,
        scheduler: &Scheduler,
        naming: &Arc<Naming>,
        log: &Log,
    ) -> Result<Self, OpenError> {
        use rand::TryRng;

        let mut key = [0; 32];
        rand::rngs::SysRng
            .try_fill_bytes(&mut key)
            .map_err(|_| OpenError::NoRandomness)?;
        let shared = Arc::new(Shared::new(
            Isolation::new(key),
            Arc::clone(naming),
            WaitingLookups::new(naming, scheduler),
            options.tor,
            log.clone(),
        ));
        let slots = Arc::new(Slots::within_limits());
        // What is in the door is closed whenever this function fails.
        let mut door = Self {
            listeners: Vec::new(),
        };
        for (number, address) in (0..).zip(options.listeners) {
            match Listener::bind(&address, number) {
                Ok(listener) => door.listeners.push(Arc::new(listener)),
                Err(error) => return Err(OpenError::Listen { address, error }),
            }
        }
        for listener in &door.listeners {
            listener
                .start(Arc::clone(&shared), Arc::clone(&slots))
                .map_err(OpenError::NoThread)?;
        }
        Ok(door)
    }

    /// Where clients connect: with the ports that the system chose.
    pub fn addresses(&self) -> Vec<ListenAddress> {
        let addresses = self.listeners.iter();
        addresses.map(|listener| listener.address()).collect()
    }
}

/// What the fuzz target takes apart.
pub(crate) mod fuzzing {
    pub use super::isolation::{Distinction, Isolation, Origin};
    pub use super::reader::{Reader, Step};
    pub use super::request::{Command, Credentials, Host, Protocol, Request};
    pub use crate::door::socks::tor::{Outcome, TorReply, TorRequest};
    pub use crate::naming::is_ours;
}

impl Drop for SocksDoor {
    fn drop(&mut self) {
        for listener in &self.listeners {
            listener.close();
        }
    }
}
