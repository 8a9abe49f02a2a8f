//! `tor` of IFA-0002.

use hickory_proto::rr::rdata::NULL;
use hickory_proto::rr::{RData, RecordType};

use super::reader::ItemReader;
use crate::value::error::shorten;
use crate::value::tree::Tree;

/// The number of [`TOR`], the first of the private-use range (RFC 6895
/// section 3.1).
pub const TOR_NUMBER: u16 = 65_280;

/// The record type in which the engine hands out onion services. Its data is
/// an onion name in lower case without a final dot. It exists inside this
/// program only: listings and questions for ANY do not show it.
pub const TOR: RecordType = RecordType::Unknown(TOR_NUMBER);

/// An onion name, with `.onion` and without a final dot.
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
