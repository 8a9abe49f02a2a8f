//! The rules of Namecoin's proof of work.

mod forged;
mod recorded;
