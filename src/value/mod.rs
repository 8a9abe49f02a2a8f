//! Domain values: what a name's owner published, and what it means in DNS.
//!
//! [`tree`] parses a value, [`import`] and [`object`] merge imported values into
//! it, and [`items`] turns the items of an object into records. IFA-0001 is the
//! specification; `spec/domain-values.md` lists where we differ and why.
//!
//! Here is what can go wrong with a value: mistakes of its owner, and reasons to
//! stop evaluating it.

mod cbor;
pub mod import;
pub mod items;
pub mod names;
pub mod object;
pub mod tree;
pub mod work;

use std::collections::BTreeSet;
use std::fmt;

use hickory_proto::rr::Name;
use thiserror::Error;

use crate::snapshot::{FetchError, NameKey};
use crate::text::{clip, is_near, printable};

/// How many errors are kept for one value; a value of legal length cannot
/// usefully have more.
const MAX_ERRORS: usize = 1000;

/// Why an evaluation cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EvaluationError {
    /// The snapshot lacks these names.
    #[error("names are missing from the snapshot")]
    Need(BTreeSet<NameKey>),
    /// A name could not be fetched for now.
    #[error(transparent)]
    Failed(#[from] FetchError),
    /// The answer depends on more names than permitted.
    #[error("too many imports")]
    TooManyImports,
    /// The answer takes more work than permitted ([`work`]).
    #[error("too complicated to resolve")]
    TooComplicated,
}

/// An item of a value, or a part of one, that has no meaning and is ignored.
/// The rest of the value stays valid (IFA-0001, "Error Recovery
/// Considerations").
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ItemError {
    /// The owner name that the item belongs to, without the final dot.
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

/// Collects the errors in a value, in the order in which they are found. Only
/// people who debug a name read them; ordinary queries ignore them.
#[derive(Debug)]
pub struct Errors(Option<Vec<ItemError>>);

impl Errors {
    /// A list that keeps errors.
    pub fn kept() -> Self {
        Self(Some(Vec::new()))
    }

    /// A list that ignores errors.
    pub fn ignored() -> Self {
        Self(None)
    }

    /// Whether errors are kept.
    pub fn are_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Adds an error at an owner name, unless there are too many already.
    pub fn add(&mut self, owner: &Name, item: &str, reason: impl Into<String>) {
        if let Some(list) = &mut self.0
            && list.len() < MAX_ERRORS
        {
            list.push(ItemError {
                owner: owner.to_ascii().trim_end_matches('.').to_owned(),
                item: shorten(item),
                reason: reason.into(),
            });
        }
    }

    /// How many errors there are.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(0, Vec::len)
    }

    /// Removes all errors after the first `count`, because the items they are
    /// in will be read again, at their own owner name.
    pub fn truncate(&mut self, count: usize) {
        if let Some(list) = &mut self.0 {
            list.truncate(count);
        }
    }

    /// The errors found.
    pub fn into_vec(self) -> Vec<ItemError> {
        self.0.unwrap_or_default()
    }
}

/// A piece of hostile text, short enough for a message.
pub fn shorten(text: &str) -> String {
    clip(text, 64)
}

/// Keys that are defined elsewhere and resemble a key that is defined here.
const DEFINED_ELSEWHERE: [&str; 2] = ["i2p", "id"];

/// Common mistakes that differ by more than one letter.
const COMMON_MISTAKES: [(&str, &str); 1] = [("ipv4", "ip")];

/// The longest key for which a suggestion is sought, in bytes; every known key
/// is shorter.
const LONGEST_KEY: usize = 12;

/// The known key that the owner probably meant by an unknown one: it differs by
/// one letter inserted, removed or replaced, by two adjacent letters swapped, by
/// case, or is listed in [`COMMON_MISTAKES`].
///
/// A single letter resembles too much to suggest anything, and a service label
/// such as `_tcp` is a misplaced subdomain.
fn suggestion<'k>(key: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if !(2..=LONGEST_KEY).contains(&key.len())
        || key.starts_with('_')
        || DEFINED_ELSEWHERE.contains(&key)
    {
        return None;
    }
    let key = key.to_ascii_lowercase();
    let mut known = known.into_iter().filter(|known| known.len() > 1);
    known.find(|known| is_near(&key, known) || COMMON_MISTAKES.contains(&(key.as_str(), known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 8] = ["alias", "import", "ip", "ip6", "map", "o", "tor", "txt"];

    #[test]
    fn a_suggestion_is_one_letter_or_one_swap_away() {
        for (item, expected) in [
            ("ipp", Some("ip")),
            ("IP", Some("ip")),
            ("ip4", Some("ip")),
            ("i6", Some("ip")),
            ("ipv4", Some("ip")),
            ("IPv4", Some("ip")),
            ("ipv6", Some("ip6")),
            ("iip6", Some("ip6")),
            ("mapp", Some("map")),
            ("amp", Some("map")),
            ("text", Some("txt")),
            ("alais", Some("alias")),
            ("Imports", Some("import")),
            ("p", None),
            ("", None),
            ("a", None),
            ("i2p", None),
            ("id", None),
            ("info", None),
            ("email", None),
            ("freenet", None),
            ("_tor", None),
            ("ipppp", None),
            ("pmax", None),
            ("importimporti", None),
            ("ï", None),
        ] {
            assert_eq!(suggestion(item, KNOWN), expected, "{item}");
        }
    }
}
