//! Settings and subcommands.

mod check;
mod configuration;
mod explain;
mod general;
mod progress;
mod subcommands;
