//! Records as text: the presentation format of zone files (RFC 1035 section
//! 5.1, RFC 3597 section 5).

use std::fmt::Write;

use data_encoding::{HEXLOWER, HEXUPPER};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable};

use super::TTL;
use crate::value::items::loc::{self, LOC};

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

/// The name of a type that has a form of its own here; `TYPEn` for others
/// (RFC 3597 section 5).
pub fn kind_name(kind: RecordType) -> String {
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

/// A name, fully qualified. Names in opaque records may hold any byte, which
/// is escaped as RFC 1035 section 5.1 says.
pub fn name(name: &Name) -> String {
    let mut text = String::new();
    for label in name.iter() {
        for &octet in label {
            match octet {
                b'.' | b'"' | b'\\' | b'(' | b')' | b';' | b'@' | b'$' => {
                    text.push('\\');
                    text.push(char::from(octet));
                }
                octet if octet.is_ascii_graphic() => text.push(char::from(octet)),
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

fn decimal(octet: u8, text: &mut String) {
    // Writing to a String does not fail.
    let _ = write!(text, "\\{octet:03}");
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
        RData::TLSA(_) => tlsa(&octets(data)).unwrap_or_else(|| unknown(&octets(data))),
        RData::SSHFP(_) => sshfp(&octets(data)).unwrap_or_else(|| unknown(&octets(data))),
        RData::Unknown { code, rdata } => match *code {
            RecordType::DNAME => target(&rdata.anything),
            RecordType::DS => ds(&rdata.anything),
            LOC => loc::present(&rdata.anything),
            _ => None,
        }
        .unwrap_or_else(|| unknown(&rdata.anything)),
        other => unknown(&octets(other)),
    }
}

/// The bytes of a record's data.
fn octets(data: &RData) -> Vec<u8> {
    data.to_bytes().unwrap_or_default()
}

/// RFC 6698 section 2.2.
fn tlsa(octets: &[u8]) -> Option<String> {
    let ([usage, selector, matching], data) = octets.split_first_chunk::<3>()?;
    let data = HEXUPPER.encode(data);
    let text = format!("{usage} {selector} {matching} {data}");
    Some(text.trim_end().to_owned())
}

/// RFC 4255 section 3.2.
fn sshfp(octets: &[u8]) -> Option<String> {
    let ([algorithm, kind], fingerprint) = octets.split_first_chunk::<2>()?;
    let fingerprint = HEXUPPER.encode(fingerprint);
    let text = format!("{algorithm} {kind} {fingerprint}");
    Some(text.trim_end().to_owned())
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
            other => decimal(other, &mut text),
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
