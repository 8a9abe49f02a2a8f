//! Domain values: what a name's owner wrote, and what it means in DNS.
//!
//! A value is read as a [`tree`], its imports are merged into objects
//! ([`object`]), and the items of an object become records ([`items`]).
//! IFA-0001 is the specification; `spec/domain-values.md` lists where we
//! differ and why.

mod cbor;
pub mod error;
mod import;
pub mod items;
mod misspelt;
pub mod names;
pub mod object;
pub mod tree;
pub mod work;
