//! `ds`.

use hickory_proto::rr::rdata::NULL;
use hickory_proto::rr::{RData, RecordType};

use super::reader::ItemReader;
use crate::value::tree::Tree;

/// Key tag, algorithm, digest type, digest (RFC 4034 section 5.1). The length
/// of the digest is not for us to judge (IFA-0001, "ds").
pub fn ds(reader: &mut ItemReader<'_, '_>, fields: &[Tree]) -> Option<RData> {
    let key_tag: u16 = reader.integer(fields.first(), "the key tag")?;
    let algorithm: u8 = reader.integer(fields.get(1), "the algorithm")?;
    let digest_type: u8 = reader.integer(fields.get(2), "the digest type")?;
    let digest = reader.base64(fields.get(3), "the digest")?;
    let mut data = key_tag.to_be_bytes().to_vec();
    data.extend([algorithm, digest_type]);
    data.extend(digest);
    Some(RData::Unknown {
        code: RecordType::DS,
        rdata: NULL::with(data),
    })
}
