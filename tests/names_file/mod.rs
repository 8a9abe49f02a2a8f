//! A names file as a source.

mod plugin;
mod source;
