//! `sshfp`.

use hickory_proto::rr::RData;

use super::data_from_octets;
use super::reader::ItemReader;
use crate::value::tree::Tree;

/// The type number of SSHFP records (RFC 4255 section 3.1).
const SSHFP: u16 = 44;

/// Algorithm, fingerprint type, fingerprint (RFC 4255 section 3.1). The length
/// of the fingerprint is not for us to judge.
pub fn sshfp(reader: &mut ItemReader<'_, '_>, fields: &[Tree]) -> Option<RData> {
    let algorithm = reader.integer(fields.first(), "the algorithm")?;
    let kind = reader.integer(fields.get(1), "the fingerprint type")?;
    let fingerprint = reader.base64(fields.get(2), "the fingerprint")?;
    let mut octets = vec![algorithm, kind];
    octets.extend(fingerprint);
    match data_from_octets(SSHFP, &octets) {
        Some(data) => Some(data),
        None => reader.error("no SSHFP record"),
    }
}
