//! How far the header thread is with headers that are not in the ledger yet.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Headers that are kept beside the ledger until a sample of their proofs of
/// work is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Held {
    /// There are none.
    #[default]
    Nothing,
    /// They have been fetched up to a height.
    Linked {
        /// That height.
        tip: u32,
    },
    /// All are there, and their sample is being verified.
    Drawn {
        /// Proofs that are verified.
        proven: usize,
        /// Proofs that were drawn.
        drawn: usize,
    },
}

/// What is held now. The header thread sets it, and whoever shows progress
/// reads it; nothing depends on it.
#[derive(Debug, Default)]
pub struct Gauge(Mutex<Held>);

impl Gauge {
    /// Notes what is held.
    pub fn set(&self, held: Held) {
        *self.lock() = held;
    }

    /// What is held.
    pub fn get(&self) -> Held {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
