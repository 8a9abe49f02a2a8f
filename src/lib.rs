//! A stream-isolated resolver of Namecoin `.bit` names for Tor.
//!
//! The `ncprop279` command is one user of this library. Other programs embed a
//! [`Resolver`]:
//!
//! ```
//! use std::collections::HashMap;
//! use std::time::{Duration, Instant};
//!
//! use ncprop279::{
//!     Absence, Answer, Bounds, FetchError, Fetched, IsolationId, NameKey, Resolver, Source,
//!     SourceReply,
//! };
//!
//! /// Values by name key.
//! struct Names(HashMap<&'static str, &'static str>);
//!
//! impl Source for Names {
//!     // A source that opens connections keeps those of one isolation id apart
//!     // from those of others, and returns by `bounds.deadline`.
//!     fn fetch(
//!         &self,
//!         _isolation: &IsolationId,
//!         key: &NameKey,
//!         _bounds: &Bounds,
//!     ) -> Result<SourceReply, FetchError> {
//!         let fetched = match self.0.get(key.as_str()) {
//!             Some(value) => Fetched::Value(value.as_bytes().into()),
//!             None => Fetched::Absent(Absence::NeverExisted),
//!         };
//!         Ok(fetched.into())
//!     }
//! }
//!
//! let names = Names(HashMap::from([("d/example", r#"{"ip":"93.184.216.34"}"#)]));
//! let resolver = Resolver::builder(names).build()?;
//! let activity = IsolationId::parse(b"tab-1")?;
//! let deadline = Instant::now() + Duration::from_secs(20);
//! let answer = resolver.resolve(&activity, "example.bit", deadline)?;
//! assert_eq!(answer, Answer::Address("93.184.216.34".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Values come from a [`Source`]: [`RpcSource`] asks Namecoin Core or
//! Electrum-NMC, [`ElectrumSource`] asks Electrum servers and verifies their
//! answers, [`NamesFile`] reads a file. Their settings are in [`settings`].
//! Nothing here reads a configuration file or a command line.
//! The default feature `cli` is for the command; programs that embed the library
//! do without it (`default-features = false`).
//!
//! Each lookup belongs to an [`IsolationId`], which names the
//! activity that causes it. Use one id for everything that may travel on one Tor
//! circuit, and another for everything that must not be linked with it.
//!
//! The modules that this page does not list are unstable: the command and the
//! tests use them, and any version may change them. `docs/architecture.md`
//! describes them.

#[doc(hidden)]
pub mod address;
#[doc(hidden)]
pub mod authority;
#[doc(hidden)]
pub mod chain;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod commands;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod delegation;
#[doc(hidden)]
pub mod door;
#[doc(hidden)]
pub mod fuzzing;
#[doc(hidden)]
pub mod isolation;
#[doc(hidden)]
pub mod log;
#[cfg(unix)]
#[doc(hidden)]
pub mod naming;
#[doc(hidden)]
pub mod onion;
#[doc(hidden)]
pub mod platform;
#[doc(hidden)]
pub mod policy;
mod resolver;
#[doc(hidden)]
pub mod scheduler;
#[doc(hidden)]
pub mod snapshot;
#[doc(hidden)]
pub mod source;
#[doc(hidden)]
pub mod text;
#[doc(hidden)]
pub mod value;
#[doc(hidden)]
pub mod zone;

pub use isolation::{IsolationId, IsolationIdError};
pub use log::{Level, Log};
pub use resolver::{Answer, Lookup, ResolveError, Resolver, ResolverBuilder, WhoCanAct};
pub use snapshot::{Absence, FetchError, FetchErrorKind, Fetched, NameKey};
pub use source::electrum::ElectrumSource;
pub use source::names_file::NamesFile;
pub use source::rpc::RpcSource;
pub use source::{Bounds, Cancel, Learned, Source, SourceReply};

/// The settings of the sources.
pub mod settings {
    pub use crate::chain::network::{Checkpoint, Network};
    pub use crate::config::settings::{
        Credentials, DialectSetting, ElectrumOperators, ElectrumSettings, NodeAddress,
        ProxyAddress, RpcSettings, ServerAddress,
    };
}
