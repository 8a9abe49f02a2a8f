//! Configuration: command line, environment and file.
//!
//! A setting has one name everywhere: `--rpc-address` on the command line,
//! `rpc-address=…` in the environment variable `TOR_NS_PLUGIN_OPTIONS`, and
//! `rpc-address = "…"` in the TOML file of `--config`. The command line
//! overrides the environment, the environment the file, the file the
//! defaults. A setting that is wrong is an error even where another layer
//! overrides it. Settings that exclude each other do so wherever they come
//! from: a forgotten line in a file must not change silently what a query is
//! shown to.
//!
//! Each setting is one entry in the table of `keys`, and everything that lists
//! settings comes from there. A program that embeds the library needs
//! [`settings`] only.

mod endpoints;
pub mod settings;

#[cfg(feature = "cli")]
mod command_line;
#[cfg(feature = "cli")]
mod definition;
#[cfg(feature = "cli")]
pub mod documents;
#[cfg(feature = "cli")]
mod go_options;
#[cfg(feature = "cli")]
mod key;
#[cfg(feature = "cli")]
mod keys;
#[cfg(feature = "cli")]
mod layers;
#[cfg(feature = "cli")]
mod mistakes;
#[cfg(feature = "cli")]
mod read;
#[cfg(feature = "cli")]
#[cfg(test)]
mod tests;
#[cfg(feature = "cli")]
mod values;

#[cfg(feature = "cli")]
pub use command_line::{Command, Form};
#[cfg(feature = "cli")]
pub use read::{ConfigError, Invocation, Outcome, command_line, read};
