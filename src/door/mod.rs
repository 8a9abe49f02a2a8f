//! Who asks. Each door turns a protocol into questions for the scheduler
//! ([`crate::scheduler::Client`]) and verdicts back into its protocol. None
//! knows another.

pub mod stdio;
