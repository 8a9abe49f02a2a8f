//! The forms that items have in common: strings, arrays, numbers, base64.

use hickory_proto::rr::Name;

use crate::onion::{InvalidOnion, OnionAddress};
use crate::value::error::{Errors, shorten};
use crate::value::names::Place;
use crate::value::object::Reader;
use crate::value::tree::Tree;
use crate::value::work::Work;

/// Steps ([`Work`]) that one element of an item takes.
const ELEMENT_STEPS: usize = 2;

/// Reads one item, counts the work, and knows where errors in it stand.
pub struct ItemReader<'a, 'w> {
    /// Where the object stands.
    pub place: &'a Place,
    item: &'static str,
    work: &'a mut Work<'w>,
    errors: &'a mut Errors,
}

impl<'a, 'w> ItemReader<'a, 'w> {
    /// A reader of the items of the object at a place.
    pub fn new(place: &'a Place, reader: &'a mut Reader<'w>) -> Self {
        Self {
            place,
            item: "",
            work: &mut reader.work,
            errors: &mut reader.errors,
        }
    }

    /// An onion address, checked.
    ///
    /// # Errors
    /// Tor would refuse it.
    pub fn onion(&mut self, text: &str) -> Result<OnionAddress, InvalidOnion> {
        self.work.onion(text)
    }

    /// Takes steps for reading something; false if there are none left.
    pub fn take(&mut self, steps: usize) -> bool {
        self.work.take(steps)
    }

    /// Says which item is read next.
    pub fn begin(&mut self, item: &'static str) {
        self.item = item;
    }

    /// Notes an error and yields nothing.
    pub fn error<T>(&mut self, reason: impl Into<String>) -> Option<T> {
        self.errors.add(self.place.owner(), self.item, reason);
        None
    }

    /// The form of most items: an array, or its only element by itself.
    pub fn each<T>(
        &mut self,
        item: &'static str,
        tree: &Tree,
        into: &mut Vec<T>,
        read: impl Fn(&mut Self, &Tree) -> Option<T>,
    ) {
        self.item = item;
        match tree {
            Tree::Array(elements) => {
                for element in elements {
                    if !self.take(ELEMENT_STEPS) {
                        return;
                    }
                    into.extend(read(self, element));
                }
            }
            Tree::Text(_) => into.extend(read(self, tree)),
            other => {
                self.error::<()>(format!(
                    "neither a string nor an array but {}",
                    other.kind()
                ));
            }
        }
    }

    /// The form of items whose elements are arrays themselves.
    pub fn elements<T>(
        &mut self,
        item: &'static str,
        tree: &Tree,
        into: &mut Vec<T>,
        read: impl Fn(&mut Self, &[Tree]) -> Option<T>,
    ) {
        self.item = item;
        let Tree::Array(elements) = tree else {
            self.error::<()>(format!("not an array but {}", tree.kind()));
            return;
        };
        for element in elements {
            if !self.take(ELEMENT_STEPS) {
                return;
            }
            match element {
                Tree::Array(fields) => into.extend(read(self, fields)),
                other => {
                    self.error::<()>(format!("an element is an array, not {}", other.kind()));
                }
            }
        }
    }

    /// The form of an item that is one DNS name.
    pub fn target(&mut self, item: &'static str, tree: &Tree) -> Option<Name> {
        self.item = item;
        let text = self.text(tree)?;
        self.name(text)
    }

    /// A string.
    pub fn text<'t>(&mut self, tree: &'t Tree) -> Option<&'t str> {
        match tree {
            Tree::Text(text) => Some(text),
            other => self.error(format!("not a string but {}", other.kind())),
        }
    }

    /// A DNS name, completed.
    pub fn name(&mut self, text: &str) -> Option<Name> {
        self.take(1 + text.len() / 16);
        match self.place.complete(text) {
            Ok(name) => Some(name),
            Err(error) => self.error(format!("\"{}\" {error}", shorten(text))),
        }
    }

    /// A non-negative integer. Numbers are compared as written: `1.0`, `1e2`
    /// and `-0` are no integers here.
    pub fn integer<T: std::str::FromStr>(&mut self, tree: Option<&Tree>, what: &str) -> Option<T> {
        match tree {
            Some(Tree::Number(number)) if number.bytes().all(|b| b.is_ascii_digit()) => {
                match number.parse() {
                    Ok(number) => Some(number),
                    Err(_) => self.error(format!("{what} {} is out of range", shorten(number))),
                }
            }
            Some(Tree::Number(number)) => {
                self.error(format!("{what} {} is no integer", shorten(number)))
            }
            Some(other) => self.error(format!("{what} is a number, not {}", other.kind())),
            None => self.error(format!("{what} is missing")),
        }
    }

    /// Bytes in base64 of RFC 4648 section 4, in canonical form (section 3.5).
    pub fn base64(&mut self, tree: Option<&Tree>, what: &str) -> Option<Vec<u8>> {
        match tree {
            Some(Tree::Text(text)) if !self.take(text.len() / 64) => None,
            Some(Tree::Text(text)) => match data_encoding::BASE64.decode(text.as_bytes()) {
                Ok(octets) => Some(octets),
                Err(_) => self.error(format!("{what} is no canonical base64")),
            },
            // CBOR has strings of bytes, which need no base64.
            Some(Tree::Octets(octets)) => Some(octets.to_vec()),
            Some(other) => self.error(format!("{what} is a string, not {}", other.kind())),
            None => self.error(format!("{what} is missing")),
        }
    }
}
