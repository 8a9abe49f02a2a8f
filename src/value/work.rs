//! How much one query may make this program do.
//!
//! A name's owner chooses the value, and with it the work of evaluating it.
//! [`Work`] counts that work in steps while a query is evaluated; beyond the
//! bounds the query ends without an answer. [`Parsed`] holds what need not be
//! done again when the same query is evaluated once more because another of
//! its names has arrived.

use std::collections::HashMap;
use std::sync::Arc;

use crate::onion::{InvalidOnion, OnionAddress};
use crate::snapshot::NameKey;

use super::object::Stop;
use super::tree::{Tree, parsing_cost, read_object};

/// Steps that one evaluation may take. A step is about a fifth of a
/// microsecond; an ordinary name takes 50 to 300.
const MAX_STEPS: u32 = 4_000;

/// Steps for a listing of all records of a name, which only a person asks for.
const MAX_LISTING_STEPS: u32 = 1_000_000;

/// Bytes that the parser may visit for one query, one byte for each level of
/// nesting that it lies in.
const MAX_PARSED: usize = 512 << 10;

/// Distinct onion addresses whose key is checked for one query. A check takes
/// as long as several hundred steps.
const MAX_ONIONS: usize = 32;

/// What was made of the values of one query: each value is parsed once and each
/// onion address checked once, however often the query is evaluated.
#[derive(Debug, Default)]
pub struct Parsed {
    trees: HashMap<NameKey, Option<Arc<Tree>>>,
    /// Bytes that the parser has visited.
    visited: usize,
    onions: HashMap<Box<str>, Result<OnionAddress, InvalidOnion>>,
}

impl Parsed {
    /// Forgets what was made of a name's value, which is replaced by another.
    pub fn forget(&mut self, key: &NameKey) {
        self.trees.remove(key);
    }
}

/// The work of one evaluation.
#[derive(Debug)]
pub struct Work<'a> {
    parsed: &'a mut Parsed,
    left: u32,
    exceeded: bool,
}

impl<'a> Work<'a> {
    /// The bounds for one query's evaluation.
    pub fn new(parsed: &'a mut Parsed) -> Self {
        Self {
            parsed,
            left: MAX_STEPS,
            exceeded: false,
        }
    }

    /// The bounds for the listing of a whole name.
    pub fn for_listing(parsed: &'a mut Parsed) -> Self {
        Self {
            left: MAX_LISTING_STEPS,
            ..Self::new(parsed)
        }
    }

    /// Takes steps; false if there are not as many left. Whoever cannot stop
    /// at once goes on with less, and [`Work::check`] ends the query later.
    pub fn take(&mut self, steps: usize) -> bool {
        let left = u32::try_from(steps)
            .ok()
            .and_then(|steps| self.left.checked_sub(steps));
        match left {
            Some(left) => self.left = left,
            None => {
                self.left = 0;
                self.exceeded = true;
            }
        }
        !self.exceeded
    }

    /// Whether the evaluation may go on.
    ///
    /// # Errors
    /// [`Stop::TooComplicated`] if a bound was exceeded.
    pub fn check(&self) -> Result<(), Stop> {
        match self.exceeded {
            true => Err(Stop::TooComplicated),
            false => Ok(()),
        }
    }

    /// The value of a name as a tree; `None` if it is no domain object.
    pub(super) fn tree(&mut self, key: &NameKey, value: &[u8]) -> Result<Option<Arc<Tree>>, Stop> {
        if let Some(tree) = self.parsed.trees.get(key) {
            return Ok(tree.clone());
        }
        let visited = self.parsed.visited.saturating_add(parsing_cost(value));
        if visited > MAX_PARSED {
            self.exceeded = true;
            return Err(Stop::TooComplicated);
        }
        self.parsed.visited = visited;
        let tree = read_object(value);
        self.parsed.trees.insert(key.clone(), tree.clone());
        Ok(tree)
    }

    /// An onion address that a value holds, checked.
    ///
    /// # Errors
    /// Tor would refuse the address. After too many checks that is said of
    /// every further address, and [`Work::check`] ends the query.
    pub fn onion(&mut self, text: &str) -> Result<OnionAddress, InvalidOnion> {
        if !self.take(1) {
            return Err(InvalidOnion::NotOnion);
        }
        if let Some(checked) = self.parsed.onions.get(text) {
            return checked.clone();
        }
        let checked = OnionAddress::parse(text);
        if matches!(checked, Err(error) if error.is_cheap()) {
            return checked;
        }
        if self.parsed.onions.len() >= MAX_ONIONS {
            self.exceeded = true;
            return Err(InvalidOnion::NotOnion);
        }
        self.parsed.onions.insert(Box::from(text), checked.clone());
        checked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of low order, with a right checksum.
    fn weak(n: usize) -> String {
        format!(
            "{}aeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaahmjqd.onion",
            "a.".repeat(n)
        )
    }

    #[test]
    fn steps_end_and_stay_ended() {
        let mut parsed = Parsed::default();
        let mut work = Work::new(&mut parsed);
        assert!(work.take(MAX_STEPS as usize));
        assert!(work.check().is_ok());
        assert!(!work.take(1));
        assert!(!work.take(0));
        assert_eq!(work.check(), Err(Stop::TooComplicated));
    }

    #[test]
    fn an_onion_address_is_checked_once_and_only_so_many_are() {
        let mut parsed = Parsed::default();
        for _ in 0..2 {
            let mut work = Work::new(&mut parsed);
            for n in 0..MAX_ONIONS {
                assert_eq!(work.onion(&weak(n)), Err(InvalidOnion::WeakKey));
                assert_eq!(work.onion("x.onion"), Err(InvalidOnion::Length));
            }
            assert!(work.check().is_ok());
        }
        let mut work = Work::new(&mut parsed);
        assert!(work.onion(&weak(MAX_ONIONS)).is_err());
        assert!(work.check().is_err());
    }

    #[test]
    fn a_value_is_parsed_once_and_only_so_much_is() {
        let mut parsed = Parsed::default();
        let value = format!("{}1{}", "{\"a\":".repeat(260), "}".repeat(260));
        let cost = parsing_cost(value.as_bytes());
        let key = |n: usize| NameKey::new(&format!("d/{n}")).unwrap();
        let fit = MAX_PARSED / cost;
        for _ in 0..2 {
            let mut work = Work::new(&mut parsed);
            for n in 0..fit {
                assert!(work.tree(&key(n), value.as_bytes()).unwrap().is_some());
            }
        }
        let mut work = Work::new(&mut parsed);
        assert!(work.tree(&key(fit), value.as_bytes()).is_err());
        assert!(work.check().is_err());
        // What was parsed is there still.
        let mut work = Work::new(&mut parsed);
        assert!(work.tree(&key(0), value.as_bytes()).is_ok());
        parsed.forget(&key(0));
        let mut work = Work::new(&mut parsed);
        assert!(work.tree(&key(0), value.as_bytes()).is_err());
    }
}
