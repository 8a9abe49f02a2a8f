//! The naming protocol on stdin and stdout: Tor proposal 279, with an isolation
//! id as the third word of `RESOLVE`.
//!
//! A naming client starts this process and exchanges lines with it. A line is
//! US-ASCII, ends with LF on every platform, and begins with a keyword:
//!
//! ```text
//! plugin → client   INIT <version> <status> [<message>]
//! client → plugin   RESOLVE <id> <name> [<isolation id>]
//! plugin → client   RESOLVED <id> <status> <result>
//! client → plugin   CANCEL <id>
//! plugin → client   CANCELED <id>
//! ```
//!
//! `INIT` is the first line. Status 0 means that the plugin is ready, any other
//! that it will exit. The client need not wait for it.
//!
//! `RESOLVE` asks for a name. The answer repeats its id, an integer that the
//! client chooses. Answers may arrive in any order. The isolation id says which
//! of the user's activities the query belongs to: nothing that the plugin does
//! may link two queries with different isolation ids.
//!
//! `RESOLVED` answers a query: with an address if the status is 0, with a quoted
//! message otherwise. Clients retry after a status that may pass
//! ([`Failure`](crate::policy::Status::Failure), [`Timeout`](crate::policy::Status::Timeout))
//! and give up after all others, so it matters which one is sent.
//!
//! `CANCEL` withdraws a query. `CANCELED` confirms that; afterwards the plugin
//! does not mention the id until the client uses it again. Every usable `RESOLVE`
//! gets exactly one `RESOLVED` or `CANCELED`.
//!
//! Both sides ignore unknown keywords, so that the protocol can be extended. A
//! client may fail for good on an answer it did not ask for, a blank line or a
//! malformed result. Therefore only [`response`] builds output, and cannot
//! produce such lines. Input may be anything; [`line`](mod@line) and [`request`]
//! limit what it costs.
//!
//! `serve` owns the threads and streams, and [`session`] knows which queries
//! are open.

pub mod line;
pub mod request;
pub mod response;
mod serve;
pub mod session;

pub use serve::{HangUp, Streams, serve};
