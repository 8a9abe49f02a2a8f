//! Reading items: the forms they have in common ([`ItemReader`]), and every item
//! whose elements become one record each.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use hickory_proto::dnssec::rdata::{DNSSECRData, DS};
use hickory_proto::dnssec::{Algorithm, DigestType};
use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::rr::rdata::{MX, NULL, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecoder, BinEncodable, Restrict};

use super::Server;
use crate::onion::{OnionAddress, OnionError};
use crate::value::import::Reader;
use crate::value::names::Place;
use crate::value::tree::Tree;
use crate::value::work::Work;
use crate::value::{Errors, shorten};

/// Steps ([`Work`]) that one element of an item takes.
const ELEMENT_STEPS: usize = 2;

/// Reads the items of one object, counts the work, and reports errors at the
/// object's owner name.
pub struct ItemReader<'a, 'w> {
    /// The place of the object.
    pub place: &'a Place,
    item: &'static str,
    work: &'a mut Work<'w>,
    errors: &'a mut Errors,
}

impl<'a, 'w> ItemReader<'a, 'w> {
    /// A reader of the items of the object at `place`.
    pub fn new(place: &'a Place, reader: &'a mut Reader<'w>) -> Self {
        Self {
            place,
            item: "",
            work: &mut reader.work,
            errors: &mut reader.errors,
        }
    }

    /// Checks an onion address.
    ///
    /// # Errors
    /// Tor would refuse it.
    pub fn onion(&mut self, text: &str) -> Result<OnionAddress, OnionError> {
        self.work.onion(text)
    }

    /// Takes steps for reading something; false if none are left.
    pub fn take(&mut self, steps: usize) -> bool {
        self.work.take(steps)
    }

    /// Sets the item that is read next, for error messages.
    pub fn begin(&mut self, item: &'static str) {
        self.item = item;
    }

    /// Reports an error and returns nothing.
    pub fn error<T>(&mut self, reason: impl Into<String>) -> Option<T> {
        self.errors.add(self.place.owner(), self.item, reason);
        None
    }

    /// Reads an item that is an array, or a single element without one.
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

    /// Reads an item whose elements are arrays of fields.
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

    /// Reads an item that is one DNS name.
    pub fn target(&mut self, item: &'static str, tree: &Tree) -> Option<Name> {
        self.item = item;
        self.name(tree)
    }

    /// A string.
    pub fn text<'t>(&mut self, tree: &'t Tree) -> Option<&'t str> {
        match tree {
            Tree::Text(text) => Some(text),
            other => self.error(format!("not a string but {}", other.kind())),
        }
    }

    /// A DNS name, completed.
    pub fn name(&mut self, tree: &Tree) -> Option<Name> {
        let text = self.text(tree)?;
        self.take(1 + text.len() / 16);
        match self.place.complete(text) {
            Ok(name) => Some(name),
            Err(error) => self.error(format!("\"{}\" {error}", shorten(text))),
        }
    }

    /// A DNS name of several labels that has no final dot, with one.
    pub fn absolute(&self, tree: &Tree) -> Option<Name> {
        let Tree::Text(text) = tree else { return None };
        if !text.contains('.') || text.ends_with('.') || text.ends_with(".@") {
            return None;
        }
        self.place.complete(&format!("{text}.")).ok()
    }

    /// A non-negative integer, judged as it is written: `1.0`, `1e2` and `-0`
    /// are no integers here.
    pub fn integer<T: FromStr>(&mut self, tree: Option<&Tree>, what: &str) -> Option<T> {
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

    /// Bytes in the canonical base64 of RFC 4648 (sections 4 and 3.5).
    pub fn base64(&mut self, tree: Option<&Tree>, what: &str) -> Option<Vec<u8>> {
        match tree {
            Some(Tree::Text(text)) if !self.take(text.len() / 64) => None,
            Some(Tree::Text(text)) => match data_encoding::BASE64.decode(text.as_bytes()) {
                Ok(bytes) => Some(bytes),
                Err(_) => self.error(format!("{what} is no canonical base64")),
            },
            // A byte string of CBOR needs no base64.
            Some(Tree::Bytes(bytes)) => Some(bytes.to_vec()),
            Some(other) => self.error(format!("{what} is a string, not {}", other.kind())),
            None => self.error(format!("{what} is missing")),
        }
    }
}

/// The data of a record of any type from its bytes; `None` if a program that
/// reads messages would reject it or read it as something else.
///
/// The bytes must not depend on the message around them, so a compressed name
/// in them is refused.
pub fn data_from_bytes(kind: RecordType, bytes: &[u8]) -> Option<RData> {
    let length = u16::try_from(bytes.len()).ok().filter(|n| *n > 0)?;
    let mut decoder = BinDecoder::new(bytes);
    let data = RData::read(&mut decoder, kind, Restrict::new(length)).ok()?;
    // Encoding it again yields the same bytes: nothing was left over, and no
    // name was compressed.
    (data.record_type() == kind && data.to_bytes().ok()? == bytes).then_some(data)
}

/// `ip`: an IPv4 address in dotted-decimal form without leading zeros.
pub fn ipv4(reader: &mut ItemReader<'_, '_>, tree: &Tree) -> Option<RData> {
    let text = reader.text(tree)?;
    match text.parse::<Ipv4Addr>() {
        Ok(address) => Some(RData::A(address.into())),
        Err(_) => reader.error(format!("\"{}\" is no IPv4 address", shorten(text))),
    }
}

/// `ip6`: an IPv6 address in the text form of RFC 4291 section 2.2.
pub fn ipv6(reader: &mut ItemReader<'_, '_>, tree: &Tree) -> Option<RData> {
    let text = reader.text(tree)?;
    match text.parse::<Ipv6Addr>() {
        Ok(address) => Some(RData::AAAA(address.into())),
        Err(_) => reader.error(format!("\"{}\" is no IPv6 address", shorten(text))),
    }
}

/// `ns`: the name of a name server, or its address if that is permitted.
pub fn name_server(
    reader: &mut ItemReader<'_, '_>,
    tree: &Tree,
    may_be_address: bool,
) -> Option<Server> {
    let text = reader.text(tree)?;
    match text.parse() {
        Ok(address) if may_be_address => Some(Server::Address(address)),
        Ok(_) => reader.error(format!("\"{text}\" is an address, not a name")),
        Err(_) => Some(Server::Name {
            name: reader.name(tree)?,
            absolute: reader.absolute(tree),
        }),
    }
}

/// `ds`: key tag, algorithm, digest type, digest (RFC 4034 section 5.1). The
/// length of the digest is not checked (IFA-0001, "ds").
pub fn ds(reader: &mut ItemReader<'_, '_>, fields: &[Tree]) -> Option<RData> {
    let key_tag: u16 = reader.integer(fields.first(), "the key tag")?;
    let algorithm: u8 = reader.integer(fields.get(1), "the algorithm")?;
    let digest_type: u8 = reader.integer(fields.get(2), "the digest type")?;
    let digest = reader.base64(fields.get(3), "the digest")?;
    let algorithm = Algorithm::from_u8(algorithm);
    let digest_type = DigestType::from(digest_type);
    let ds = DS::new(key_tag, algorithm, digest_type, digest);
    Some(RData::DNSSEC(DNSSECRData::DS(ds)))
}

/// `sshfp`: algorithm, fingerprint type, fingerprint (RFC 4255 section 3.1).
/// The length of the fingerprint is not checked.
pub fn sshfp(reader: &mut ItemReader<'_, '_>, fields: &[Tree]) -> Option<RData> {
    let algorithm = reader.integer(fields.first(), "the algorithm")?;
    let kind = reader.integer(fields.get(1), "the fingerprint type")?;
    let fingerprint = reader.base64(fields.get(2), "the fingerprint")?;
    let mut data = vec![algorithm, kind];
    data.extend(fingerprint);
    match data_from_bytes(RecordType::SSHFP, &data) {
        Some(data) => Some(data),
        None => reader.error("no SSHFP record"),
    }
}

/// A TLSA record (RFC 6698 section 2.1): certificate usage, selector and
/// matching type, then the association data.
pub fn tlsa(reader: &mut ItemReader<'_, '_>, fields: [u8; 3], data: &[u8]) -> Option<RData> {
    match data_from_bytes(RecordType::TLSA, &[&fields, data].concat()) {
        Some(data) => Some(data),
        None => reader.error("no TLSA record"),
    }
}

/// The port of mail servers, whose SRV records yield MX records (IFA-0001,
/// "MX").
const SMTP: u16 = 25;

/// `srv`: priority, weight, port, target (RFC 2782).
pub fn srv(reader: &mut ItemReader<'_, '_>, fields: &[Tree]) -> Option<RData> {
    let priority = reader.integer(fields.first(), "the priority")?;
    let weight = reader.integer(fields.get(1), "the weight")?;
    let port = reader.integer(fields.get(2), "the port")?;
    let target = target(reader, fields.get(3))?;
    Some(RData::SRV(SRV::new(priority, weight, port, target)))
}

/// `mx`: preference and mail server (RFC 1035 section 3.3.9), as in ncdns.
pub fn mx(reader: &mut ItemReader<'_, '_>, fields: &[Tree]) -> Option<RData> {
    let preference = reader.integer(fields.first(), "the preference")?;
    let server = target(reader, fields.get(1))?;
    Some(RData::MX(MX::new(preference, server)))
}

fn target(reader: &mut ItemReader<'_, '_>, tree: Option<&Tree>) -> Option<Name> {
    match tree {
        Some(tree) => reader.name(tree),
        None => reader.error("the target is missing"),
    }
}

/// The MX record for a mail service at `_smtp._tcp`; `None` for other ports.
pub fn mail(service: &RData) -> Option<RData> {
    match service {
        RData::SRV(srv) if srv.port == SMTP => {
            Some(RData::MX(MX::new(srv.priority, srv.target.clone())))
        }
        _ => None,
    }
}

/// The longest character string in bytes (RFC 1035 section 3.3).
const MAX_STRING: usize = 255;

/// `txt`: a string, whose UTF-8 form is cut into character strings of 255
/// bytes, or an array of character strings.
pub fn txt(reader: &mut ItemReader<'_, '_>, tree: &Tree) -> Option<RData> {
    let strings: Vec<&[u8]> = match tree {
        Tree::Text(text) if text.is_empty() => vec![b""],
        Tree::Text(text) => text.as_bytes().chunks(MAX_STRING).collect(),
        Tree::Array(parts) if !reader.take(parts.len()) => return None,
        Tree::Array(parts) => {
            let mut strings = Vec::new();
            for part in parts {
                match part {
                    Tree::Text(text) if text.len() <= MAX_STRING => strings.push(text.as_bytes()),
                    Tree::Text(_) => return reader.error("a string is longer than 255 bytes"),
                    other => return reader.error(format!("not a string but {}", other.kind())),
                }
            }
            strings
        }
        other => {
            let kind = other.kind();
            return reader.error(format!("neither a string nor an array but {kind}"));
        }
    };
    if strings.is_empty() {
        return reader.error("a record without a string");
    }
    // They fit into a record, because no value is as long as one may be.
    Some(RData::TXT(TXT::from_bytes(strings)))
}

/// The number of [`TOR`], the first of the private-use range (RFC 6895 section
/// 3.1).
const TOR_NUMBER: u16 = 65_280;

/// The record type in which the engine returns onion services. Its data is an
/// onion name in lower case without a final dot. It is internal to this program:
/// neither listings nor replies to ANY questions include it.
pub const TOR: RecordType = RecordType::Unknown(TOR_NUMBER);

/// `tor` of IFA-0002: an onion name, including `.onion`, without a final dot.
pub fn tor(reader: &mut ItemReader<'_, '_>, tree: &Tree) -> Option<RData> {
    let text = reader.text(tree)?;
    if text.ends_with('.') {
        return reader.error(format!("\"{}\" ends in a dot", shorten(text)));
    }
    match reader.onion(text) {
        Ok(onion) => Some(RData::Unknown {
            code: TOR,
            rdata: NULL::with(onion.into_string().into_bytes()),
        }),
        Err(error) => reader.error(format!("\"{}\": {error}", shorten(text))),
    }
}

/// The types that IFA-0001 prohibits, because resolvers treat them specially:
/// NS, CNAME, SOA, DNAME, DS, RRSIG, NSEC, NSEC3.
const PROHIBITED: [u16; 8] = [2, 5, 6, 39, 43, 46, 47, 50];

/// Steps that a byte of data takes: it is read, written and read again.
const BYTE_STEPS: usize = 2;

/// `o`: a type number, and the data in base64. If only one type is asked for,
/// records of others are not decoded, because that can be costly.
pub fn opaque(
    reader: &mut ItemReader<'_, '_>,
    fields: &[Tree],
    asked: Option<RecordType>,
) -> Option<RData> {
    let kind: u16 = reader.integer(fields.first(), "the type")?;
    if asked.is_some_and(|asked| u16::from(asked) != kind) {
        return None;
    }
    let data = reader.base64(fields.get(1), "the data")?;
    if !reader.take(data.len() * BYTE_STEPS) {
        return None;
    }
    if PROHIBITED.contains(&kind) {
        return reader.error(format!("type {kind} is prohibited"));
    }
    // Types that occur only in questions and messages (RFC 6895 section 3.1),
    // and our internal one.
    if matches!(kind, 0 | 41 | 128..=255 | TOR_NUMBER | u16::MAX) {
        return reader.error(format!("type {kind} is not one of records"));
    }
    match data_from_bytes(kind.into(), &data).filter(is_answer) {
        Some(data) => Some(data),
        None => reader.error(format!("the data is not that of a record of type {kind}")),
    }
}

/// Whether a record is read back unchanged from the answer section of a
/// message. Some known types may occur only in other sections.
fn is_answer(data: &RData) -> bool {
    let mut message = Message::new(0, MessageType::Response, OpCode::Query);
    message.add_answer(Record::from_rdata(Name::root(), 0, data.clone()));
    let bytes = message.to_vec().ok();
    let read = bytes.and_then(|bytes| Message::from_vec(&bytes).ok());
    read.is_some_and(|read| read.answers == message.answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_data_if_they_survive_a_round_trip() {
        let data = |kind, bytes: &[u8]| data_from_bytes(kind, bytes).is_some();
        assert!(data(RecordType::A, &[192, 0, 2, 1]));
        assert!(data(RecordType::MX, b"\0\x01\x01a\0"));
        assert!(data(RecordType::Unknown(65_400), b"anything"));
        // Too long, too short, compressed, and empty.
        assert!(!data(RecordType::A, &[192, 0, 2, 1, 0]));
        assert!(!data(RecordType::A, &[192, 0, 2]));
        assert!(!data(RecordType::MX, b"\0\x01\xc0\0"));
        assert!(!data(RecordType::Unknown(65_400), b""));
        // A type that is read as another.
        assert!(!data(RecordType::ZERO, b"\0"));
    }
}
