//! `txt`.

use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::TXT;

use super::reader::ItemReader;
use crate::value::tree::Tree;

/// The longest character string in bytes (RFC 1035 section 3.3).
const MAX_STRING: usize = 255;

/// One TXT record: a string, which is cut into character strings of 255
/// bytes of its UTF-8 form, or an array of character strings.
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
                    other => {
                        return reader.error(format!("not a string but {}", other.kind()));
                    }
                }
            }
            strings
        }
        other => {
            return reader.error(format!(
                "neither a string nor an array but {}",
                other.kind()
            ));
        }
    };
    if strings.is_empty() {
        return reader.error("a record without a string");
    }
    // They fit into a record, as a value is shorter than one can be.
    Some(RData::TXT(TXT::from_bytes(strings)))
}
