//! Domain values: what a name's owner published, and what it means in DNS.
//!
//! [`tree`] parses a value, [`import`] and [`object`] merge imported values into
//! it, and [`items`] turns the items of an object into records. IFA-0001 is the
//! specification; `spec/domain-values.md` lists where we differ and why.

mod cbor;
pub mod error;
pub mod import;
pub mod items;
pub mod names;
pub mod object;
pub mod tree;
pub mod work;
