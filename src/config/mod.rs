//! Configuration: command line, environment and file.

pub mod settings;
