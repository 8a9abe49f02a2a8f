//! Errors that a name's owner made in a value.

use std::fmt;

use hickory_proto::rr::Name;

use crate::text::{clip, printable};

/// How many errors are kept for one value; a value of legal length cannot
/// usefully have more.
const MAX_ERRORS: usize = 1000;

/// One item of a value, or one part of an item, that has no meaning. It costs
/// nothing but itself (IFA-0001, "Error Recovery Considerations").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemError {
    /// The owner name at which the item stands, without the final dot.
    pub owner: String,
    /// The item's key.
    pub item: String,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for ItemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Owner, key and quoted parts come from a hostile value.
        let line = format!("{}: {}: {}", self.owner, self.item, self.reason);
        f.write_str(&printable(&line))
    }
}

/// The errors found in one value, in the order of finding. Only people who
/// debug a name read them; for an ordinary query they are not kept.
#[derive(Debug)]
pub struct Errors {
    list: Vec<ItemError>,
    kept: bool,
}

impl Errors {
    /// Keeps the errors.
    pub fn kept() -> Self {
        Self {
            list: Vec::new(),
            kept: true,
        }
    }

    /// Drops the errors.
    pub fn dropped() -> Self {
        Self {
            list: Vec::new(),
            kept: false,
        }
    }

    /// Whether errors are kept.
    pub fn are_kept(&self) -> bool {
        self.kept
    }

    /// Notes an error at an owner name; beyond a bound it is dropped.
    pub fn add(&mut self, owner: &Name, item: &str, reason: impl Into<String>) {
        if self.kept && self.list.len() < MAX_ERRORS {
            self.list.push(ItemError {
                owner: owner.to_ascii().trim_end_matches('.').to_owned(),
                item: shorten(item),
                reason: reason.into(),
            });
        }
    }

    /// How many errors there are.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Forgets all errors after the first `count`: of what is only looked at
    /// for another's sake, and will be counted where it stands.
    pub fn forget_after(&mut self, count: usize) {
        self.list.truncate(count);
    }

    /// The errors found.
    pub fn into_vec(self) -> Vec<ItemError> {
        self.list
    }
}

/// A piece of hostile text, short enough for a message.
pub fn shorten(text: &str) -> String {
    clip(text, 64)
}
