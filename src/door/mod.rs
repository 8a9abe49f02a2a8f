//! The ways in. A door turns a protocol into questions for the scheduler
//! ([`crate::scheduler::Client`]), and verdicts back into its protocol. No door
//! knows another.

#[cfg(unix)]
pub mod socks;
pub mod stdio;
#[cfg(all(unix, feature = "cli"))]
pub mod tor;
