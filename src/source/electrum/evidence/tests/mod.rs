//! Claims that were recorded, and claims about transactions built here.

mod built;
mod genuine;

use super::*;

fn key(name: &str) -> NameKey {
    NameKey::new(name).unwrap()
}
