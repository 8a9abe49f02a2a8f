//! `o`: records of any type but a few, from their bytes.

use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::data_from_octets;
use super::reader::ItemReader;
use super::tor::TOR_NUMBER;
use crate::value::tree::Tree;

/// The types that IFA-0001 prohibits, because resolvers treat them specially:
/// NS, CNAME, SOA, DNAME, DS, RRSIG, NSEC, NSEC3.
const PROHIBITED: [u16; 8] = [2, 5, 6, 39, 43, 46, 47, 50];

/// Steps that a byte of data takes: it is read, written and read again.
const BYTE_STEPS: usize = 2;

/// Type number and data in base64. Records of other types than the one that is
/// asked for are not read, as their data can be costly.
pub fn opaque(
    reader: &mut ItemReader<'_, '_>,
    fields: &[Tree],
    asked: Option<RecordType>,
) -> Option<RData> {
    let kind: u16 = reader.integer(fields.first(), "the type")?;
    if asked.is_some_and(|asked| u16::from(asked) != kind) {
        return None;
    }
    let octets = reader.base64(fields.get(1), "the data")?;
    if !reader.take(octets.len() * BYTE_STEPS) {
        return None;
    }
    if PROHIBITED.contains(&kind) {
        return reader.error(format!("type {kind} is prohibited"));
    }
    // Types that exist in questions and messages only (RFC 6895 section 3.1),
    // and the one that this program uses inside itself.
    if matches!(kind, 0 | 41 | 128..=255 | TOR_NUMBER | u16::MAX) {
        return reader.error(format!("type {kind} is not one of records"));
    }
    match data_from_octets(kind, &octets).filter(is_answer) {
        Some(data) => Some(data),
        None => reader.error(format!("the data is not that of a record of type {kind}")),
    }
}

/// Whether a record may stand among answers and is read there as it is: some
/// types that are known only stand elsewhere in messages.
fn is_answer(data: &RData) -> bool {
    let mut message = Message::new(0, MessageType::Response, OpCode::Query);
    message.add_answer(Record::from_rdata(Name::root(), 0, data.clone()));
    let octets = message.to_vec().ok();
    let read = octets.and_then(|octets| Message::from_vec(&octets).ok());
    read.is_some_and(|read| read.answers == message.answers)
}
