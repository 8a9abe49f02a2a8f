//! How much one query may make this program do.
//!
//! A name's owner chooses the value, and thereby how much work it takes to
//! evaluate. [`Work`] counts that work in steps during an evaluation; a query
//! that exceeds the limits gets no answer. [`Parsed`] keeps results between
//! evaluations of the same query, so that nothing is done twice when another of
//! its names has arrived.

use std::collections::HashMap;
use std::sync::Arc;

use crate::onion::{OnionAddress, OnionError};
use crate::snapshot::NameKey;

use super::EvaluationError;
use super::cbor;
use super::tree::{MAX_VALUE_LENGTH, Tree, parsing_cost, read_json};

/// Steps that one evaluation may take. A step takes about a fifth of a
/// microsecond, and an ordinary name 50 to 300 steps.
const MAX_STEPS: u32 = 4_000;

/// Steps that listing all records of a name may take; only a person does that.
const MAX_LISTING_STEPS: u32 = 1_000_000;

/// Bytes that the parser may visit for one query. A byte counts once for each
/// level of nesting around it.
const MAX_PARSED: usize = 512 << 10;

/// Distinct onion addresses whose key is checked for one query. A check takes
/// as long as several hundred steps.
const MAX_ONIONS: usize = 32;

/// Results that one query reuses: each value is parsed once and each onion
/// address checked once, however often the query is evaluated.
#[derive(Debug, Default)]
pub struct Parsed {
    trees: HashMap<NameKey, Option<Arc<Tree>>>,
    /// Bytes that the parser has visited.
    visited: usize,
    onions: HashMap<Box<str>, Result<OnionAddress, OnionError>>,
}

impl Parsed {
    /// Drops the parsed value of a name, because the value has changed.
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
    /// The limits for evaluating one query.
    pub fn new(parsed: &'a mut Parsed) -> Self {
        Self {
            parsed,
            left: MAX_STEPS,
            exceeded: false,
        }
    }

    /// The limits for listing a whole name.
    pub fn for_listing(parsed: &'a mut Parsed) -> Self {
        Self {
            left: MAX_LISTING_STEPS,
            ..Self::new(parsed)
        }
    }

    /// Takes steps; false if fewer are left. A caller that cannot stop at once
    /// may go on with less, as [`Work::check`] ends the query later.
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
    /// [`EvaluationError::TooComplicated`] if a limit was exceeded.
    pub fn check(&self) -> Result<(), EvaluationError> {
        match self.exceeded {
            true => Err(EvaluationError::TooComplicated),
            false => Ok(()),
        }
    }

    /// The value of a name as a tree; `None` if it is no domain object.
    pub(super) fn tree(
        &mut self,
        key: &NameKey,
        value: &[u8],
    ) -> Result<Option<Arc<Tree>>, EvaluationError> {
        if let Some(tree) = self.parsed.trees.get(key) {
            return Ok(tree.clone());
        }
        let visited = self.parsed.visited.saturating_add(parsing_cost(value));
        if visited > MAX_PARSED {
            self.exceeded = true;
            return Err(EvaluationError::TooComplicated);
        }
        self.parsed.visited = visited;
        let tree = read_object(value);
        self.parsed.trees.insert(key.clone(), tree.clone());
        Ok(tree)
    }

    /// Checks an onion address found in a value.
    ///
    /// # Errors
    /// Tor would refuse the address. After too many checks every further
    /// address is refused, and [`Work::check`] ends the query.
    pub fn onion(&mut self, text: &str) -> Result<OnionAddress, OnionError> {
        if !self.take(1) {
            return Err(OnionError::NotOnion);
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
            return Err(OnionError::NotOnion);
        }
        self.parsed.onions.insert(Box::from(text), checked.clone());
        checked
    }
}

/// Reads a value as a domain object: a JSON object, or a CBOR map if it is not
/// JSON, as in ncdns. `None` if it is anything else, or too long.
fn read_object(value: &[u8]) -> Option<Arc<Tree>> {
    if value.len() > MAX_VALUE_LENGTH {
        return None;
    }
    let tree = read_json(value).or_else(|| cbor::read_map(value))?;
    matches!(tree, Tree::Object(_)).then(|| Arc::new(tree))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key of low order with a correct checksum.
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
        assert_eq!(work.check(), Err(EvaluationError::TooComplicated));
    }

    #[test]
    fn an_onion_address_is_checked_once_and_only_so_many_are() {
        let mut parsed = Parsed::default();
        for _ in 0..2 {
            let mut work = Work::new(&mut parsed);
            for n in 0..MAX_ONIONS {
                assert_eq!(work.onion(&weak(n)), Err(OnionError::WeakKey));
                assert_eq!(work.onion("x.onion"), Err(OnionError::Length));
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
        // A value that was parsed is still there.
        let mut work = Work::new(&mut parsed);
        assert!(work.tree(&key(0), value.as_bytes()).is_ok());
        parsed.forget(&key(0));
        let mut work = Work::new(&mut parsed);
        assert!(work.tree(&key(0), value.as_bytes()).is_err());
    }

    #[test]
    fn a_value_beyond_the_limit_is_not_read() {
        let fill = |n: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(n - 8));
        assert!(read_object(fill(MAX_VALUE_LENGTH).as_bytes()).is_some());
        assert!(read_object(fill(MAX_VALUE_LENGTH + 1).as_bytes()).is_none());
    }
}
