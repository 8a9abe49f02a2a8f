//! Settings and subcommands.

mod check;
#[cfg(unix)]
mod check_serve;
mod configuration;
mod explain;
mod general;
mod progress;
mod subcommands;
