//! Asks the name servers of delegated names, by DNS over TCP through the proxy
//! (`spec/delegations.md`).
//!
//! A [`Delegations`] answers one [`Question`] at a time and remembers nothing: each
//! question has connections of its own, with credentials of their own, which are
//! closed when it is answered. What is kept of the answer is kept by the
//! scheduler, with the activity that asked. So nothing here could link two isolation
//! ids.

mod asking;
pub mod dnssec;
mod exchange;
mod message;
mod walk;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::settings::ProxyAddress;
use crate::snapshot::FetchError;
use crate::snapshot::delegated::{Answer, Question};
use crate::source::Bounds;

use asking::Asking;
use dnssec::Now;
use walk::Walk;

/// Asks name servers.
#[derive(Debug, Clone)]
pub struct Delegations {
    proxy: Arc<ProxyAddress>,
}

impl Delegations {
    /// Asks through this proxy, and in no other way.
    pub fn new(proxy: ProxyAddress) -> Self {
        Self {
            proxy: Arc::new(proxy),
        }
    }

    /// Asks the name servers of a delegated name. Blocks until `bounds.deadline`
    /// at the latest, or until `bounds.cancel` is set.
    ///
    /// # Errors
    /// [`crate::FetchErrorKind::NameServers`] if none of them gave a usable answer,
    /// [`crate::FetchErrorKind::Unreachable`] if the proxy cannot be used, and
    /// [`crate::FetchErrorKind::TimedOut`].
    pub fn ask(&self, question: &Question, bounds: &Bounds) -> Result<Answer, FetchError> {
        let asking = Asking::new(&self.proxy, bounds, question.messages);
        Walk::new(asking, now()).run(question)
    }
}

/// What the fuzz target drives.
pub(crate) mod fuzzing {
    pub use super::asking::{Ask, AskError, Judge, Judgement};
    pub use super::exchange::{Heard, collect, heard};
    pub use super::message::{Extensions, Lame, Meaning, Referral, Sent, meaning, read};
    pub use super::walk::Walk;
}

/// The time as DNSSEC counts it (RFC 4034 section 3.1.5).
fn now() -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.unwrap_or_default().as_secs();
    // It wraps around in 2106, and so do signatures.
    Now((seconds & u64::from(u32::MAX)) as u32)
}
