//! What the items of one object mean in DNS: its [`Level`].
//!
//! Readers take every well-formed part of an item and report an error for each
//! other part.

mod certificate;
pub mod loc;
mod records;

use std::collections::HashSet;
use std::net::IpAddr;

use der::asn1::BitString;
use der::{Any, Encode};
use hickory_proto::rr::rdata::{CNAME, NS, NULL};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::BinEncodable;
use p256::PublicKey;
use p256::elliptic_curve::sec1::ToSec1Point;
use x509_cert::spki::{AlgorithmIdentifierOwned, ObjectIdentifier, SubjectPublicKeyInfoOwned};

use self::certificate::DehydratedCertificate;
use self::records::{ItemReader, tlsa};
use super::import::Reader;
use super::names::Place;
use super::object::Object;
use super::shorten;
use super::tree::{Members, Tree};

pub use records::{TOR, mail};

/// What the items of one object mean in DNS.
#[derive(Debug, Clone, Default)]
pub struct Level {
    /// The name servers. If there are any, the name is delegated.
    pub ns: Vec<Server>,
    /// The DS records of the delegation.
    pub ds: Vec<RData>,
    /// Whether the owner wants signatures, though perhaps none of what is in `ds` is
    /// a record.
    pub has_ds: bool,
    /// The target of a DNAME record.
    pub translate: Option<Name>,
    /// The same as name servers read it: with a final dot, if it has several labels.
    pub translate_at_servers: Option<Name>,
    /// The target of a CNAME record.
    pub alias: Option<Name>,
    /// Records of all other types.
    pub data: Vec<RData>,
    /// Onion services in the private-use type [`TOR`]. They are no records of the
    /// zone and never suppressed (IFA-0002).
    pub tor: Vec<RData>,
}

/// A name server, as a value has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Server {
    /// Its name.
    Name {
        /// The name, completed as IFA-0001 says.
        name: Name,
        /// The name as it reads with a final dot, if the value has it without
        /// and with several labels. Values in use mean this one, unless they hold an
        /// address for the other.
        absolute: Option<Name>,
    },
    /// Its address, which old values have in place of the name.
    Address(IpAddr),
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
        // Where the name has addresses of its own, addresses in `ns` are mistakes.
        let has_address = ["ip", "ip6"].iter().any(|key| object.item(key).is_some());
        let server = |reader: &mut ItemReader<'_, '_>, tree: &Tree| {
            records::name_server(reader, tree, !has_address)
        };
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
                "tls" => tls(&mut reader, tree, &mut level.data),
                "loc" => reader.each("loc", tree, &mut level.data, loc::loc),
                "sshfp" => reader.elements("sshfp", tree, &mut level.data, records::sshfp),
                "o" => reader.elements("o", tree, &mut level.data, |reader, fields| {
                    records::opaque(reader, fields, part.asked())
                }),
                "tor" => reader.each("tor", tree, &mut level.tor, records::tor),
                "ds" => {
                    level.has_ds = !matches!(tree, Tree::Array(elements) if elements.is_empty());
                    reader.elements("ds", tree, &mut level.ds, records::ds);
                }
                "alias" => level.alias = reader.target("alias", tree),
                "translate" => {
                    level.translate = reader.target("translate", tree);
                    let absolute = reader.absolute(tree);
                    level.translate_at_servers = absolute.or_else(|| level.translate.clone());
                }
                // "dns" is the old name of "ns" and takes precedence over it.
                "dns" => reader.each("dns", tree, &mut level.ns, server),
                "ns" if object.item("dns").is_none() => {
                    reader.each("ns", tree, &mut level.ns, server);
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

    /// The names of the name servers, for NS records. Servers that the value names
    /// by their addresses have none.
    pub fn server_names(&self) -> Vec<Name> {
        let names = self.ns.iter().filter_map(|server| match server {
            Server::Name { name, .. } => Some(name.clone()),
            Server::Address(_) => None,
        });
        names.collect()
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
            let servers = self.server_names().into_iter();
            let servers = servers.map(|name| RData::NS(NS(name)));
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

//------------ TLSA records ---------------------------------------------------

// From their fields (IFA-0001) or from a dehydrated certificate (IFA-0003).

/// Length of a compressed point of P-256 in bytes (SEC 1 section 2.3.3).
const COMPRESSED_POINT: usize = 33;

/// Steps that an element takes, and those for a compressed key in it.
const ELEMENT_STEPS: usize = 8;
const POINT_STEPS: usize = 400;

/// Steps that rebuilding a certificate takes.
const CERTIFICATE_STEPS: usize = 400;

/// How many certificates one item may hold. Rebuilt, each is several times as
/// long as in the value, and all of them have to fit into one message.
const MAX_CERTIFICATES: usize = 16;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const PRIME256V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// Reads the item: an array of elements. Each is an array of fields, or an
/// object whose keys name the encoding.
fn tls(reader: &mut ItemReader<'_, '_>, tree: &Tree, into: &mut Vec<RData>) {
    reader.begin("tls");
    let elements = match tree {
        Tree::Array(elements) => elements.as_slice(),
        // IFA-0003 can also be read such that the whole item is an object.
        Tree::Object(_) => std::slice::from_ref(tree),
        other => {
            reader.error::<()>(format!(
                "neither an array nor an object but {}",
                other.kind()
            ));
            return;
        }
    };
    let mut certificates = 0;
    for element in elements {
        if !reader.take(ELEMENT_STEPS) {
            return;
        }
        match element {
            Tree::Array(fields) => into.extend(dane(reader, fields).into_iter().flatten()),
            Tree::Object(encodings) => {
                let records = encoded(reader, encodings, &mut certificates);
                into.extend(records.into_iter().flatten());
            }
            other => {
                reader.error::<()>(format!(
                    "an element is an array or an object, not {}",
                    other.kind()
                ));
            }
        }
    }
}

/// One element that is an object. All its encodings mean the same, so one is
/// enough: `dane`, which needs no rebuilding, is preferred to `d8`.
fn encoded(
    reader: &mut ItemReader<'_, '_>,
    encodings: &Members,
    certificates: &mut usize,
) -> Option<Vec<RData>> {
    let get = |key: &str| encodings.get(key).filter(|tree| !tree.is_null());
    if let Some(tree) = get("dane") {
        let records = match &**tree {
            // A list of records, or below, a single one.
            Tree::Array(fields) if fields.iter().any(|f| matches!(f, Tree::Array(_))) => {
                let mut records = Vec::new();
                for field in fields {
                    reader.take(ELEMENT_STEPS);
                    match field {
                        Tree::Array(fields) => records.extend(dane(reader, fields)),
                        other => {
                            reader
                                .error::<()>(format!("a record is an array, not {}", other.kind()));
                        }
                    }
                }
                (!records.is_empty()).then(|| records.concat())
            }
            Tree::Array(fields) => dane(reader, fields),
            other => reader.error(format!("\"dane\" is an array, not {}", other.kind())),
        };
        if records.is_some() {
            return records;
        }
    }
    match get("d8").map(|tree| &**tree) {
        Some(Tree::Array(fields)) => {
            *certificates += 1;
            if *certificates > MAX_CERTIFICATES {
                return reader.error(format!("more than {MAX_CERTIFICATES} certificates"));
            }
            if !reader.take(CERTIFICATE_STEPS) {
                return None;
            }
            dehydrated(reader, fields).map(|data| vec![data])
        }
        Some(other) => reader.error(format!("\"d8\" is an array, not {}", other.kind())),
        None if get("dane").is_some() => None,
        None => reader.error("no known encoding"),
    }
}

/// Certificate usage, selector, matching type, data (RFC 6698 section 2.1).
fn dane(reader: &mut ItemReader<'_, '_>, fields: &[Tree]) -> Option<Vec<RData>> {
    let usage = reader.integer(fields.first(), "the certificate usage")?;
    let selector = reader.integer(fields.get(1), "the selector")?;
    let matching = reader.integer(fields.get(2), "the matching type")?;
    let data = reader.base64(fields.get(3), "the association data")?;
    if selector != 1 || matching != 0 || data.len() != COMPRESSED_POINT {
        return Some(vec![tlsa(reader, [usage, selector, matching], &data)?]);
    }
    // No certificate holds a compressed key in this bare form. As in ncdns, it
    // stands for two records, one for each form that a certificate may have.
    // The first byte is the parity of y, 2 or 3; the library also accepts 5,
    // which no certificate has.
    let parity = matches!(data.first(), Some(2 | 3));
    let Some(key) = (parity && reader.take(POINT_STEPS))
        .then(|| PublicKey::from_sec1_bytes(&data).ok())
        .flatten()
    else {
        return reader.error("the association data is no compressed P-256 key");
    };
    let mut records = Vec::new();
    for compress in [true, false] {
        let Some(info) = key_info(key.to_sec1_point(compress).as_bytes()) else {
            return reader.error("the public key cannot be written in DER");
        };
        records.push(tlsa(reader, [usage, selector, matching], &info)?);
    }
    Some(records)
}

/// The SubjectPublicKeyInfo of a P-256 key (RFC 5480 section 2).
fn key_info(point: &[u8]) -> Option<Vec<u8>> {
    let info = SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned {
            oid: EC_PUBLIC_KEY,
            parameters: Some(Any::from(PRIME256V1)),
        },
        subject_public_key: BitString::from_bytes(point).ok()?,
    };
    info.to_der().ok()
}

/// Version, public key, start and end of the validity in units of five minutes,
/// signature algorithm, signature (IFA-0003).
fn dehydrated(reader: &mut ItemReader<'_, '_>, fields: &[Tree]) -> Option<RData> {
    let version: u64 = reader.integer(fields.first(), "the version")?;
    if version != 1 {
        return reader.error(format!("version {version} of \"d8\" is unknown"));
    }
    let key = reader.base64(fields.get(1), "the public key")?;
    let not_before = reader.integer(fields.get(2), "the begin of the validity")?;
    let not_after = reader.integer(fields.get(3), "the end of the validity")?;
    let algorithm = reader.integer(fields.get(4), "the signature algorithm")?;
    let signature = reader.base64(fields.get(5), "the signature")?;
    let dehydrated = DehydratedCertificate {
        key: &key,
        not_before,
        not_after,
        algorithm,
        signature: &signature,
    };
    let domain = certificate::domain(reader.place.owner());
    match dehydrated.rebuild(&domain) {
        // Usage 3, selector 0, matching type 0: exactly this certificate.
        Ok(certificate) => tlsa(reader, [3, 0, 0], &certificate),
        Err(error) => reader.error(format!("for {}: {error}", shorten(&domain))),
    }
}
