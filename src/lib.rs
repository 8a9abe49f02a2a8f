//! Stream-isolated resolver of Namecoin `.bit` names for Tor's naming clients.
//!
//! # The story of a query
//!
//! A naming client writes `RESOLVE 7 www.example.bit 3f9c-2` to our stdin. The
//! third word is the *isolation id*: it says which of the user's activities the
//! query belongs to. Tor keeps activities on separate circuits, and nothing
//! here may link two of them.
//!
//! 1. [`door::stdio`] makes a request of the line, gives it a ticket, and
//!    remembers that the id 7 is unanswered.
//! 2. The [`policy`] decides what is asked: it asks for the TXT records at
//!    `_tor.www.example.bit`, then for addresses, then for an alias.
//! 3. Each question goes as a DNS message, with the isolation id in an EDNS0
//!    option, to the [`authority`], an authoritative engine for `bit.`
//! 4. The engine finds in [`zone`] that the name is kept under the name key
//!    `d/example`, and reads its [`value`].
//!
//! None of these rooms does I/O. They read a [`snapshot`], and where a name is
//! missing from it they say so. Then
//!
//! 5. The [`scheduler`] takes the missing names from what is kept for the
//!    isolation id, or has a worker thread fetch them from a [`source`], and
//!    asks again. All that belongs to one isolation id is in one value there.
//!    One source asks Electrum servers and believes what [`chain`], the rules
//!    of Namecoin's proof of work, lets it believe.
//! 6. [`door::stdio`] writes `RESOLVED 7 0 192.0.2.1`.
//!
//! # Embedding
//!
//! The pure rooms can be used by themselves:
//!
//! ```
//! use ncprop279::isolation::IsolationId;
//! use ncprop279::policy::{Query, Step, Verdict, resolve};
//! use ncprop279::snapshot::{Entry, Fetched, NameKey, Snapshot};
//!
//! let isolation = IsolationId::parse(b"activity-1")?;
//! let query = Query::parse(b"example.bit", false).expect("a name in our zone");
//! let mut snapshot = Snapshot::new(isolation);
//!
//! // Nothing is known yet, so the query tells what it needs.
//! let d_example = NameKey::new("d/example").expect("a short key");
//! let Step::Need(keys) = resolve(&query, &snapshot) else { panic!() };
//! assert!(keys.contains(&d_example));
//!
//! let value = Fetched::Value(br#"{"ip":"192.0.2.1"}"#.as_slice().into());
//! snapshot.insert(d_example, Entry::Known(value));
//! let Step::Done(verdict) = resolve(&query, &snapshot) else { panic!() };
//! assert_eq!(verdict, Verdict::Address("192.0.2.1".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A program with a source of its own implements [`source::Source`] and hands it
//! to [`door::stdio::serve`], which speaks the protocol on any pair of streams,
//! or to [`scheduler::Scheduler`]:
//!
//! ```
//! use std::sync::{Arc, mpsc};
//! use std::time::{Duration, Instant};
//!
//! use ncprop279::config::{self, Outcome};
//! use ncprop279::isolation::IsolationId;
//! use ncprop279::log::Log;
//! use ncprop279::scheduler::{Limits, Scheduler, Timekeeper};
//! use ncprop279::policy::{Query, Verdict};
//! use ncprop279::snapshot::{Absence, FetchFailure, Fetched, NameKey};
//! use ncprop279::source::{Bounds, Source, SourceReply};
//!
//! /// Knows one name.
//! struct One;
//!
//! impl Source for One {
//!     fn fetch(
//!         &self,
//!         isolation: &IsolationId,
//!         key: &NameKey,
//!         bounds: &Bounds,
//!     ) -> Result<SourceReply, FetchFailure> {
//!         // Connections that others could see are kept apart by `isolation`,
//!         // and nothing here takes longer than until `bounds.deadline`.
//!         let fetched = match key.as_str() {
//!             "d/example" => Fetched::Value(br#"{"ip":"192.0.2.1"}"#.as_slice().into()),
//!             _ => Fetched::Absent(Absence::NeverExisted),
//!         };
//!         Ok(fetched.into())
//!     }
//! }
//!
//! // The usual settings; this is what the command does without options.
//! let Outcome::Run(usual) = config::read([], &|_| None)? else { panic!() };
//! let (sender, answers) = mpsc::channel();
//! let scheduler = Scheduler::new(
//!     Arc::new(One),
//!     Limits::with(&usual.settings),
//!     Log::silent(),
//!     Timekeeper::start()?,
//! );
//! let client = scheduler.client(Box::new(move |number, verdict| {
//!     drop(sender.send((number, verdict)));
//! }));
//! let isolation = IsolationId::parse(b"activity-1")?;
//! let query = Query::parse(b"example.bit", false).expect("a name in our zone");
//! let deadline = Instant::now() + Duration::from_secs(20);
//! client.ask(7, &isolation, query, deadline);
//! assert_eq!(answers.recv()?, (7, Verdict::Address("192.0.2.1".parse()?)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod address;
pub mod authority;
pub mod chain;
pub mod commands;
pub mod config;
pub mod door;
pub mod isolation;
pub mod log;
pub mod onion;
pub mod platform;
pub mod policy;
pub mod scheduler;
pub mod snapshot;
pub mod source;
pub mod text;
pub mod value;
pub mod zone;
