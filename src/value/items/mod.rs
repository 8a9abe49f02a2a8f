//! What the items of one object mean in DNS: its [`Level`].
//!
//! Readers take every well-formed part of an item and report an error for each
//! other part.

mod certificate;
pub mod loc;
mod records;
mod tls;

use std::collections::HashSet;

use hickory_proto::rr::rdata::{CNAME, NS, NULL};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::BinEncodable;

use super::import::Reader;
use super::names::Place;
use super::object::Object;
use records::ItemReader;

pub use records::{TOR, mail};

/// What the items of one object mean in DNS.
#[derive(Debug, Clone, Default)]
pub struct Level {
    /// The name servers. If there are any, the name is delegated.
    pub ns: Vec<Name>,
    /// The DS records of the delegation.
    pub ds: Vec<RData>,
    /// The target of a DNAME record.
    pub translate: Option<Name>,
    /// The target of a CNAME record.
    pub alias: Option<Name>,
    /// Records of all other types.
    pub data: Vec<RData>,
    /// Onion services in the private-use type [`TOR`]. They are no records of the
    /// zone and never suppressed (IFA-0002).
    pub tor: Vec<RData>,
}

/// Which items of an object to read. A hostile value can repeat costly items at
/// every level of a name, so only those that matter are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All items.
    All,
    /// Those that may keep a subdomain out of the zone: delegation and
    /// translation.
    Path,
    /// Addresses only, for glue.
    Addresses,
    /// Those needed to answer a question for this type.
    Asked(RecordType),
}

impl Part {
    /// The type asked for, if it is a single one.
    fn asked(self) -> Option<RecordType> {
        match self {
            Self::Asked(asked) if asked != RecordType::ANY => Some(asked),
            _ => None,
        }
    }

    fn includes(self, item: &str) -> bool {
        let asked = match self {
            Self::All | Self::Asked(RecordType::ANY) => return true,
            Self::Path => return matches!(item, "dns" | "ns" | "ds" | "translate"),
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
            // "o" can hold records of any type, and the others determine which
            // records are suppressed.
            _ => true,
        }
    }
}

impl Level {
    /// Reads the items of an object that belong to `part`.
    pub fn read(object: &Object, place: &Place, part: Part, reader: &mut Reader<'_>) -> Self {
        let mut reader = ItemReader::new(place, reader);
        let mut level = Self::default();
        for key in object.keys().filter(|key| part.includes(key)) {
            let Some(tree) = object.item(key) else {
                continue;
            };
            if !reader.take(1) {
                break;
            }
            match key {
                "ip" => reader.each("ip", tree, &mut level.data, records::ipv4),
                "ip6" => reader.each("ip6", tree, &mut level.data, records::ipv6),
                "txt" => reader.each("txt", tree, &mut level.data, records::txt),
                "srv" => reader.elements("srv", tree, &mut level.data, records::srv),
                "mx" => reader.elements("mx", tree, &mut level.data, records::mx),
                "tls" => tls::tls(&mut reader, tree, &mut level.data),
                "loc" => reader.each("loc", tree, &mut level.data, loc::loc),
                "sshfp" => reader.elements("sshfp", tree, &mut level.data, records::sshfp),
                "o" => reader.elements("o", tree, &mut level.data, |reader, fields| {
                    records::opaque(reader, fields, part.asked())
                }),
                "tor" => reader.each("tor", tree, &mut level.tor, records::tor),
                "ds" => reader.elements("ds", tree, &mut level.ds, records::ds),
                "alias" => level.alias = reader.target("alias", tree),
                "translate" => level.translate = reader.target("translate", tree),
                // "dns" is the old name of "ns" and takes precedence over it.
                "dns" => reader.each("dns", tree, &mut level.ns, records::name_server),
                "ns" if object.item("dns").is_none() => {
                    reader.each("ns", tree, &mut level.ns, records::name_server);
                }
                _ => {}
            }
        }
        level
    }

    /// Whether a delegation, translation or alias suppresses all other records
    /// of this level, including those derived from other levels.
    pub fn is_suppressed(&self) -> bool {
        self.is_delegated() || self.translate.is_some() || self.alias.is_some()
    }

    /// Whether the name and everything below it is delegated to name servers.
    pub fn is_delegated(&self) -> bool {
        !self.ns.is_empty()
    }

    /// The records of this level after suppression: `ns` suppresses everything
    /// but `ds`; otherwise `translate`, and after it `alias`, suppress everything
    /// (IFA-0001, "Item Suppression Rules").
    pub fn records(self) -> Vec<RData> {
        self.records_with(Vec::new())
    }

    /// The same with more records, which are suppressed like this level's own.
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

/// The data of a DNAME record, for which hickory-proto has no type. Never
/// `None` for a valid name.
pub fn dname(target: &Name) -> Option<RData> {
    Some(RData::Unknown {
        code: RecordType::DNAME,
        rdata: NULL::with(target.to_bytes().ok()?),
    })
}
