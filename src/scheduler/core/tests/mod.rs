//! The scheduler without threads.

mod kept;
mod turns;
