//! Records as text: the presentation format of zone files (RFC 1035 section
//! 5.1, RFC 3597 section 5).

use std::fmt::Write;

use data_encoding::{HEXLOWER, HEXUPPER};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable};

use super::TTL;

/// A record as one line of a zone file, without the line end.
pub fn record(owner: &Name, data: &RData) -> String {
    let kind = data.record_type();
    format!(
        "{} {TTL} IN {} {}",
        name(owner),
        kind_name(kind),
        self::data(data)
    )
}

fn kind_name(kind: RecordType) -> String {
    match kind {
        RecordType::Unknown(number) => format!("TYPE{number}"),
        kind => kind.to_string(),
    }
}

/// A name, fully qualified. Labels hold only letters, digits, hyphens and
/// underscores, or are `*`, which needs no escape.
pub fn name(name: &Name) -> String {
    name.to_ascii()
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
        RData::Unknown { code, rdata } => match code {
            RecordType::DNAME => target(&rdata.anything),
            RecordType::DS => ds(&rdata.anything),
            _ => None,
        }
        .unwrap_or_else(|| unknown(&rdata.anything)),
        other => unknown(&other.to_bytes().unwrap_or_default()),
    }
}

/// A quoted character string (RFC 1035 section 5.1).
fn character_string(octets: &[u8]) -> String {
    let mut text = String::from("\"");
    for &octet in octets {
        match octet {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(octet));
            }
            b' '..=b'~' => text.push(char::from(octet)),
            other => {
                // Writing to a String does not fail.
                let _ = write!(text, "\\{other:03}");
            }
        }
    }
    text.push('"');
    text
}

/// Data of a type without a presentation format of its own (RFC 3597
/// section 5).
fn unknown(octets: &[u8]) -> String {
    let hex = HEXLOWER.encode(octets);
    format!("\\# {} {hex}", octets.len()).trim_end().to_owned()
}

fn target(octets: &[u8]) -> Option<String> {
    let target = Name::read(&mut BinDecoder::new(octets)).ok()?;
    Some(name(&target))
}

/// RFC 4034 section 5.3.
fn ds(octets: &[u8]) -> Option<String> {
    let (tag, rest) = octets.split_first_chunk::<2>()?;
    let ([algorithm, digest_type], digest) = rest.split_first_chunk::<2>()?;
    let tag = u16::from_be_bytes(*tag);
    let digest = HEXUPPER.encode(digest);
    Some(
        format!("{tag} {algorithm} {digest_type} {digest}")
            .trim_end()
            .to_owned(),
    )
}
