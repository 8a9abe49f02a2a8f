//! What the items of one object say in DNS: its [`Level`].
//!
//! Each kind of item has a reader that takes what is well-formed and notes an
//! error for every part that is not.

mod address;
mod ds;
mod text;

use std::collections::HashSet;

use hickory_proto::rr::rdata::{CNAME, NS, NULL};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::BinEncodable;

use super::error::{Errors, shorten};
use super::names::Place;
use super::object::Object;
use super::tree::Tree;

/// The items of one object, read.
#[derive(Debug, Clone, Default)]
pub struct Level {
    /// The name servers; not empty means that the name is delegated.
    pub ns: Vec<Name>,
    /// The DS records of the delegation.
    pub ds: Vec<RData>,
    /// The target of a DNAME record.
    pub translate: Option<Name>,
    /// The target of a CNAME record.
    pub alias: Option<Name>,
    /// Records of all other types.
    pub data: Vec<RData>,
}

impl Level {
    /// Reads the items of an object.
    pub fn read(object: &Object, place: &Place, errors: &mut Errors) -> Self {
        let mut reader = ItemReader {
            place,
            owner: place.owner_text(),
            item: "",
            errors,
        };
        let mut level = Self::default();
        for key in object.keys() {
            let Some(tree) = object.item(key) else {
                continue;
            };
            match key {
                "ip" => reader.each("ip", tree, &mut level.data, address::ipv4),
                "ip6" => reader.each("ip6", tree, &mut level.data, address::ipv6),
                "txt" => reader.each("txt", tree, &mut level.data, text::txt),
                "ds" => reader.elements("ds", tree, &mut level.ds, ds::ds),
                "alias" => level.alias = reader.target("alias", tree),
                "translate" => level.translate = reader.target("translate", tree),
                // "dns" is the old name of "ns" and goes before it.
                "dns" => reader.each("dns", tree, &mut level.ns, name_server),
                "ns" if object.item("dns").is_none() => {
                    reader.each("ns", tree, &mut level.ns, name_server);
                }
                _ => {}
            }
        }
        level
    }

    /// Whether the name and all below it are delegated to name servers.
    pub fn is_delegated(&self) -> bool {
        !self.ns.is_empty()
    }

    /// The records of this level after suppression: `ns` suppresses everything
    /// but `ds`, then `translate` everything, then `alias` everything
    /// (IFA-0001, "Item Suppression Rules").
    pub fn records(self) -> Vec<RData> {
        let mut records: Vec<RData> = if self.is_delegated() {
            let servers = self.ns.into_iter().map(|name| RData::NS(NS(name)));
            servers.chain(self.ds).collect()
        } else if let Some(target) = self.translate {
            dname(&target).into_iter().collect()
        } else if let Some(target) = self.alias {
            vec![RData::CNAME(CNAME(target))]
        } else {
            self.ds.into_iter().chain(self.data).collect()
        };
        // An RRset has no two equal records (RFC 2181 section 5).
        let mut seen = HashSet::new();
        records.retain(|record| seen.insert(record.clone()));
        records
    }
}

/// The data of a DNAME record, which hickory-proto has no type for; `None`
/// never happens for a name that was built here.
pub fn dname(target: &Name) -> Option<RData> {
    Some(RData::Unknown {
        code: RecordType::DNAME,
        rdata: NULL::with(target.to_bytes().ok()?),
    })
}

fn name_server(reader: &mut ItemReader<'_>, tree: &Tree) -> Option<Name> {
    let text = reader.text(tree)?;
    if text.parse::<std::net::IpAddr>().is_ok() {
        return reader.error(format!("\"{text}\" is an address, not a name"));
    }
    reader.name(text)
}

/// Reads one item and knows where errors in it stand.
struct ItemReader<'a> {
    place: &'a Place,
    owner: String,
    item: &'static str,
    errors: &'a mut Errors,
}

impl ItemReader<'_> {
    /// Notes an error and yields nothing.
    fn error<T>(&mut self, reason: impl Into<String>) -> Option<T> {
        self.errors.add(&self.owner, self.item, reason);
        None
    }

    /// The form of most items: an array, or its only element by itself.
    fn each<T>(
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
    fn elements<T>(
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
            match element {
                Tree::Array(fields) => into.extend(read(self, fields)),
                other => {
                    self.error::<()>(format!("an element is an array, not {}", other.kind()));
                }
            }
        }
    }

    /// The form of an item that is one DNS name.
    fn target(&mut self, item: &'static str, tree: &Tree) -> Option<Name> {
        self.item = item;
        let text = self.text(tree)?;
        self.name(text)
    }

    fn text<'t>(&mut self, tree: &'t Tree) -> Option<&'t str> {
        match tree {
            Tree::Text(text) => Some(text),
            other => self.error(format!("not a string but {}", other.kind())),
        }
    }

    fn name(&mut self, text: &str) -> Option<Name> {
        match self.place.complete(text) {
            Ok(name) => Some(name),
            Err(error) => self.error(format!("\"{}\" {error}", shorten(text))),
        }
    }

    /// A non-negative integer. Numbers are compared as written: `1.0`, `1e2`
    /// and `-0` are no integers here.
    fn integer<T: std::str::FromStr>(&mut self, tree: Option<&Tree>, what: &str) -> Option<T> {
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

    /// Octets in base64 of RFC 4648 section 4, in canonical form (section 3.5).
    fn base64(&mut self, tree: Option<&Tree>, what: &str) -> Option<Vec<u8>> {
        match tree {
            Some(Tree::Text(text)) => match data_encoding::BASE64.decode(text.as_bytes()) {
                Ok(octets) => Some(octets),
                Err(_) => self.error(format!("{what} is no canonical base64")),
            },
            Some(other) => self.error(format!("{what} is a string, not {}", other.kind())),
            None => self.error(format!("{what} is missing")),
        }
    }
}
