//! What the items of one object say in DNS: its [`Level`].
//!
//! Each kind of item has a reader that takes what is well-formed and notes an
//! error for every part that is not.

mod address;
mod certificate;
mod ds;
pub mod loc;
mod opaque;
mod reader;
mod service;
mod sshfp;
mod text;
mod tls;
mod tor;

use std::collections::HashSet;

use hickory_proto::rr::rdata::{CNAME, NS, NULL};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecoder, BinEncodable, Restrict};

use super::names::Place;
use super::object::{Object, Reader};
use super::tree::Tree;
use reader::ItemReader;

pub use service::mail;
pub use tor::TOR;

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
    /// Onion services in the private-use type [`TOR`], which are no records of
    /// the zone and never suppressed (IFA-0002).
    pub tor: Vec<RData>,
}

/// Which items of an object are read. Reading an item costs time, and a
/// hostile value can repeat a costly one on every level of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All items.
    All,
    /// Those that end the way to a subdomain: a delegation or a translation.
    Way,
    /// Addresses only, for glue.
    Addresses,
    /// Those that a question for this type needs.
    Asked(RecordType),
}

impl Part {
    /// The only type of records that is wanted, if there is one.
    fn asked(self) -> Option<RecordType> {
        match self {
            Self::Asked(asked) if asked != RecordType::ANY => Some(asked),
            _ => None,
        }
    }

    fn has(self, item: &str) -> bool {
        let asked = match self {
            Self::All | Self::Asked(RecordType::ANY) => return true,
            Self::Way => return matches!(item, "dns" | "ns" | "ds" | "translate"),
            Self::Addresses => return matches!(item, "ip" | "ip6"),
            Self::Asked(asked) => asked,
        };
        match item {
            "ip" => asked == RecordType::A,
            "ip6" => asked == RecordType::AAAA,
            "txt" => asked == RecordType::TXT,
            "srv" => asked == RecordType::SRV,
            "mx" => asked == RecordType::MX,
            "tls" => asked == RecordType::TLSA,
            "loc" => asked == loc::LOC,
            "sshfp" => asked == RecordType::SSHFP,
            "tor" => asked == TOR,
            // "o" can hold records of any type; the rest decides what becomes
            // of all others.
            _ => true,
        }
    }
}

impl Level {
    /// Reads those items of an object that `part` calls for.
    pub fn read(object: &Object, place: &Place, part: Part, reader: &mut Reader<'_>) -> Self {
        let mut reader = ItemReader::new(place, reader);
        let mut level = Self::default();
        for key in object.keys().filter(|key| part.has(key)) {
            let Some(tree) = object.item(key) else {
                continue;
            };
            if !reader.take(1) {
                break;
            }
            match key {
                "ip" => reader.each("ip", tree, &mut level.data, address::ipv4),
                "ip6" => reader.each("ip6", tree, &mut level.data, address::ipv6),
                "txt" => reader.each("txt", tree, &mut level.data, text::txt),
                "srv" => reader.elements("srv", tree, &mut level.data, service::srv),
                "mx" => reader.elements("mx", tree, &mut level.data, service::mx),
                "tls" => tls::tls(&mut reader, tree, &mut level.data),
                "loc" => reader.each("loc", tree, &mut level.data, loc::loc),
                "sshfp" => reader.elements("sshfp", tree, &mut level.data, sshfp::sshfp),
                "o" => reader.elements("o", tree, &mut level.data, |reader, fields| {
                    opaque::opaque(reader, fields, part.asked())
                }),
                "tor" => reader.each("tor", tree, &mut level.tor, tor::tor),
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

    /// Whether this level's own records are suppressed by a delegation or an
    /// alias, so that records that are made from something else are too.
    pub fn is_closed(&self) -> bool {
        self.is_delegated() || self.translate.is_some() || self.alias.is_some()
    }

    /// Whether the name and all below it are delegated to name servers.
    pub fn is_delegated(&self) -> bool {
        !self.ns.is_empty()
    }

    /// The records of this level after suppression: `ns` suppresses everything
    /// but `ds`, then `translate` everything, then `alias` everything
    /// (IFA-0001, "Item Suppression Rules").
    pub fn records(self) -> Vec<RData> {
        self.records_with(Vec::new())
    }

    /// The same with further records, which are suppressed like this level's
    /// own.
    pub fn records_with(self, more: Vec<RData>) -> Vec<RData> {
        let mut records: Vec<RData> = if self.is_delegated() {
            let servers = self.ns.into_iter().map(|name| RData::NS(NS(name)));
            servers.chain(self.ds).collect()
        } else if let Some(target) = self.translate {
            dname(&target).into_iter().collect()
        } else if let Some(target) = self.alias {
            vec![RData::CNAME(CNAME(target))]
        } else {
            let own = self.ds.into_iter().chain(self.data);
            own.chain(more).collect()
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

fn name_server(reader: &mut ItemReader<'_, '_>, tree: &Tree) -> Option<Name> {
    let text = reader.text(tree)?;
    if text.parse::<std::net::IpAddr>().is_ok() {
        return reader.error(format!("\"{text}\" is an address, not a name"));
    }
    reader.name(text)
}

/// The data of a record from its bytes, of whatever type; `None` if a program
/// that reads messages would stumble over it or read it as something else.
///
/// The bytes stand by themselves: a compressed name in them would depend on
/// where in a message they end up.
pub fn data_from_octets(kind: u16, octets: &[u8]) -> Option<RData> {
    let length = u16::try_from(octets.len()).ok().filter(|n| *n > 0)?;
    let kind = RecordType::from(kind);
    let mut decoder = BinDecoder::new(octets);
    let data = RData::read(&mut decoder, kind, Restrict::new(length)).ok()?;
    // The same bytes again: nothing is left over, nothing was compressed.
    (data.record_type() == kind && data.to_bytes().ok()? == octets).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_data_if_they_can_be_written_again() {
        let data = |kind, octets: &[u8]| data_from_octets(u16::from(kind), octets).is_some();
        assert!(data(RecordType::A, &[192, 0, 2, 1]));
        assert!(data(RecordType::MX, b"\0\x01\x01a\0"));
        assert!(data(RecordType::Unknown(65_400), b"anything"));
        // Too long, too short, compressed, and nothing at all.
        assert!(!data(RecordType::A, &[192, 0, 2, 1, 0]));
        assert!(!data(RecordType::A, &[192, 0, 2]));
        assert!(!data(RecordType::MX, b"\0\x01\xc0\0"));
        assert!(!data(RecordType::Unknown(65_400), b""));
        // Types that are read as something else.
        assert!(!data(RecordType::ZERO, b"\0"));
    }
}
