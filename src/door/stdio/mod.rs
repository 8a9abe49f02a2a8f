//! The naming protocol spoken on stdin and stdout: Tor proposal 279 with an
//! isolation id as a third word of `RESOLVE`.
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
//! `INIT` is the first line. Status 0 says that the plugin is ready, another
//! that it will exit. The client does not have to wait for it.
//!
//! `RESOLVE` asks for a name; its id is an integer of the client's choice that
//! the answer repeats. Answers may come in any order. The isolation id tells
//! which of the user's activities the query belongs to: nothing that the
//! plugin does may link two queries with different isolation ids.
//!
//! `RESOLVED` answers: status 0 with an address, any other with a quoted
//! message. Clients ask again after a status that may pass
//! ([`Failure`](crate::policy::Status::Failure), [`Timeout`](crate::policy::Status::Timeout))
//! and give up at once after the others, so which one is sent matters.
//!
//! `CANCEL` withdraws a query. `CANCELED` confirms it; after that nothing is
//! heard of the id until the client uses it again. Every usable `RESOLVE` ends
//! with exactly one `RESOLVED` or `CANCELED`.
//!
//! Unknown keywords are ignored in both directions, so that the protocol can
//! grow. A client can fail for good on an answer it did not ask for, a blank
//! line or a malformed result. What is written is therefore built only by
//! [`response`], which cannot produce such lines; what is read may be anything
//! at all, and [`line`](mod@line) and [`request`] bound what it costs.
//!
//! [`serve`] has the threads and the streams, and [`session`] remembers which
//! queries are open. The others are the leaves: bytes to lines, lines to
//! requests, answers to bytes.

mod journal;
pub mod line;
pub mod request;
pub mod response;
mod serve;
pub mod session;

pub use serve::{HangUp, Streams, serve};
