//! Lookups: many at once, none of which waits for another.
//!
//! [`Scheduler`] owns the threads; what is to be done next is decided by
//! [`Core`], which has none. Those who ask are its [`Client`]s.

mod activity;
mod client;
mod core;
mod limits;
mod ring;
mod threads;
mod upstreams;

pub use self::activity::{Answers, Job, Task, Ticket};
pub use self::client::{Client, Scheduler};
pub use self::core::Core;
pub use self::limits::{CacheLimits, Limits};
pub(crate) use self::ring::Ring;
pub use self::threads::{Deliver, Timekeeper};
pub use self::upstreams::{FetchReply, Upstreams};

#[cfg(test)]
mod tests;
