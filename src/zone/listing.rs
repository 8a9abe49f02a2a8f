//! Listing the zone: every record of a registered name, and records as text in
//! the presentation format of zone files (RFC 1035 section 5.1, RFC 3597 section
//! 5).

use std::fmt::Write;

use data_encoding::{HEXLOWER, HEXUPPER};
use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable};

use crate::snapshot::Snapshot;
use crate::value::import::{NoObject, Reader};
use crate::value::items::loc::{self, LOC};
use crate::value::items::{Level, Part};
use crate::value::names::Place;
use crate::value::object::Object;
use crate::value::work::Parsed;
use crate::value::{EvaluationError, ItemError};

use super::{TTL, locate_key, mail_servers, settle};

/// How many records are listed; only a hostile value has more.
const MAX_RECORDS: usize = 10_000;

/// The records and errors of a registered name and all its subdomains.
#[derive(Debug, Default)]
pub struct Listing {
    /// Owner names and records.
    pub records: Vec<(Name, RData)>,
    /// The errors in the value and in those that it imports.
    pub errors: Vec<ItemError>,
}

/// Lists the records of a name and all its subdomains; a wildcard has the label
/// `*`. `domain` is the owner name directly below `bit`. The inner error says why
/// the name has no domain object; it is `None` if its label cannot be registered.
///
/// # Errors
/// See [`EvaluationError`].
pub fn list(
    domain: &Name,
    snapshot: &Snapshot,
) -> Result<Result<Listing, Option<NoObject>>, EvaluationError> {
    let Some((key, _)) = locate_key(domain) else {
        return Ok(Err(None));
    };
    let place = Place::top(domain.clone());
    let mut parsed = Parsed::default();
    let mut reader = Reader::with_errors(snapshot, &mut parsed);
    let object = match reader.root(&key, place.owner())? {
        Ok(object) => object,
        Err(none) => return Ok(Err(Some(none))),
    };
    let mut listing = Listing::default();
    list_level(&object, &place, &mut reader, &mut listing.records)?;
    listing.errors = reader.errors.into_vec();
    Ok(Ok(listing))
}

fn list_level(
    object: &Object,
    place: &Place,
    reader: &mut Reader<'_>,
    records: &mut Vec<(Name, RData)>,
) -> Result<(), EvaluationError> {
    let mut level = Level::read(object, place, Part::All, reader);
    reader.work.check()?;
    let owner = place.owner();
    if level.is_delegated() {
        records.extend(settle(object, place, &mut level, reader)?);
    }
    let servers = match level.is_suppressed() {
        true => Vec::new(),
        false => mail_servers(object, place, reader)?,
    };
    // Below a cut or a DNAME, only the glue is in the zone.
    let ends_here = level.is_delegated() || level.translate.is_some();
    let data = level.records_with(servers).into_iter();
    records.extend(data.map(|data| (owner.clone(), data)));
    if ends_here {
        return Ok(());
    }
    for (label, branch) in object.branches() {
        if records.len() >= MAX_RECORDS {
            return Ok(());
        }
        let Ok(place) = place.child(label) else {
            let errors = &mut reader.errors;
            errors.add(owner, "map", "a subdomain's name is too long");
            continue;
        };
        if let Some(object) = reader.merge(branch, place.owner())? {
            list_level(&object, &place, reader, records)?;
        }
    }
    Ok(())
}

/// Sorts records as in a zone file: by owner name, outermost first, then by
/// type, then by data.
pub fn sort(records: &mut [(Name, RData)]) {
    records
        .sort_by_cached_key(|(name, one)| (name.clone(), u16::from(one.record_type()), data(one)));
}

/// A record as one line of a zone file, without its line end.
pub fn record(owner: &Name, data: &RData) -> String {
    let kind = data.record_type();
    format!(
        "{} {TTL} IN {} {}",
        name(owner),
        type_name(kind),
        self::data(data)
    )
}

/// The name of a type whose presentation format is implemented here; `TYPEn` for
/// all others (RFC 3597 section 5).
pub fn type_name(kind: RecordType) -> String {
    match kind {
        LOC => "LOC".to_owned(),
        RecordType::A
        | RecordType::AAAA
        | RecordType::CNAME
        | RecordType::DNAME
        | RecordType::DS
        | RecordType::MX
        | RecordType::NS
        | RecordType::SOA
        | RecordType::SRV
        | RecordType::SSHFP
        | RecordType::TLSA
        | RecordType::TXT => kind.to_string(),
        other => format!("TYPE{}", u16::from(other)),
    }
}

/// A name, fully qualified. Names in opaque records may contain any byte; they
/// are escaped as RFC 1035 section 5.1 says.
pub fn name(name: &Name) -> String {
    let mut text = String::new();
    for label in name.iter() {
        for &byte in label {
            match byte {
                b'.' | b'"' | b'\\' | b'(' | b')' | b';' | b'@' | b'$' => {
                    text.push('\\');
                    text.push(char::from(byte));
                }
                byte if byte.is_ascii_graphic() => text.push(char::from(byte)),
                other => decimal(other, &mut text),
            }
        }
        text.push('.');
    }
    if text.is_empty() {
        text.push('.');
    }
    text
}

fn decimal(byte: u8, text: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(text, "\\{byte:03}");
}

/// The data of a record.
pub fn data(data: &RData) -> String {
    match data {
        RData::A(address) => address.to_string(),
        RData::AAAA(address) => address.to_string(),
        RData::NS(target) => name(target),
        RData::CNAME(target) => name(target),
        RData::SOA(soa) => format!(
            "{} {} {} {} {} {} {}",
            name(&soa.mname),
            name(&soa.rname),
            soa.serial,
            soa.refresh,
            soa.retry,
            soa.expire,
            soa.minimum
        ),
        RData::TXT(txt) => {
            let strings: Vec<String> = txt.txt_data.iter().map(|s| character_string(s)).collect();
            strings.join(" ")
        }
        RData::MX(mx) => format!("{} {}", mx.preference, name(&mx.exchange)),
        RData::SRV(srv) => format!(
            "{} {} {} {}",
            srv.priority,
            srv.weight,
            srv.port,
            name(&srv.target)
        ),
        RData::DNSSEC(DNSSECRData::DS(_)) => {
            ds(&data_bytes(data)).unwrap_or_else(|| unknown(&data_bytes(data)))
        }
        RData::TLSA(_) => tlsa(&data_bytes(data)).unwrap_or_else(|| unknown(&data_bytes(data))),
        RData::SSHFP(_) => sshfp(&data_bytes(data)).unwrap_or_else(|| unknown(&data_bytes(data))),
        RData::Unknown { code, rdata } => match *code {
            RecordType::DNAME => target(&rdata.anything),
            LOC => loc::present(&rdata.anything),
            _ => None,
        }
        .unwrap_or_else(|| unknown(&rdata.anything)),
        other => unknown(&data_bytes(other)),
    }
}

/// The bytes of a record's data.
fn data_bytes(data: &RData) -> Vec<u8> {
    data.to_bytes().unwrap_or_default()
}

/// RFC 6698 section 2.2.
fn tlsa(bytes: &[u8]) -> Option<String> {
    let ([usage, selector, matching], data) = bytes.split_first_chunk::<3>()?;
    let data = HEXUPPER.encode(data);
    let text = format!("{usage} {selector} {matching} {data}");
    Some(text.trim_end().to_owned())
}

/// RFC 4255 section 3.2.
fn sshfp(bytes: &[u8]) -> Option<String> {
    let ([algorithm, kind], fingerprint) = bytes.split_first_chunk::<2>()?;
    let fingerprint = HEXUPPER.encode(fingerprint);
    let text = format!("{algorithm} {kind} {fingerprint}");
    Some(text.trim_end().to_owned())
}

/// A quoted character string (RFC 1035 section 5.1).
fn character_string(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' '..=b'~' => text.push(char::from(byte)),
            other => decimal(other, &mut text),
        }
    }
    text.push('"');
    text
}

/// Data of a type without a presentation format (RFC 3597 section 5).
fn unknown(bytes: &[u8]) -> String {
    let hex = HEXLOWER.encode(bytes);
    format!("\\# {} {hex}", bytes.len()).trim_end().to_owned()
}

fn target(bytes: &[u8]) -> Option<String> {
    let target = Name::read(&mut BinDecoder::new(bytes)).ok()?;
    Some(name(&target))
}

/// RFC 4034 section 5.3.
fn ds(bytes: &[u8]) -> Option<String> {
    let (tag, rest) = bytes.split_first_chunk::<2>()?;
    let ([algorithm, digest_type], digest) = rest.split_first_chunk::<2>()?;
    let tag = u16::from_be_bytes(*tag);
    let digest = HEXUPPER.encode(digest);
    Some(
        format!("{tag} {algorithm} {digest_type} {digest}")
            .trim_end()
            .to_owned(),
    )
}
