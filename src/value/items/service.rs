//! `srv` and `mx`.

use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::{MX, SRV};

use super::reader::ItemReader;
use crate::value::tree::Tree;

/// The port of mail servers, whose SRV records bring MX records (IFA-0001,
/// "MX").
const SMTP: u16 = 25;

/// Priority, weight, port, target (RFC 2782).
pub fn srv(reader: &mut ItemReader<'_, '_>, fields: &[Tree]) -> Option<RData> {
    let priority = reader.integer(fields.first(), "the priority")?;
    let weight = reader.integer(fields.get(1), "the weight")?;
    let port = reader.integer(fields.get(2), "the port")?;
    let target = target(reader, fields.get(3))?;
    Some(RData::SRV(SRV::new(priority, weight, port, target)))
}

/// Preference and mail server (RFC 1035 section 3.3.9), as ncdns has it.
pub fn mx(reader: &mut ItemReader<'_, '_>, fields: &[Tree]) -> Option<RData> {
    let preference = reader.integer(fields.first(), "the preference")?;
    let server = target(reader, fields.get(1))?;
    Some(RData::MX(MX::new(preference, server)))
}

fn target(reader: &mut ItemReader<'_, '_>, tree: Option<&Tree>) -> Option<hickory_proto::rr::Name> {
    let Some(tree) = tree else {
        return reader.error("the target is missing");
    };
    let text = reader.text(tree)?;
    reader.name(text)
}

/// The MX record of a mail service at `_smtp._tcp`; `None` for other ports.
pub fn mail(service: &RData) -> Option<RData> {
    match service {
        RData::SRV(srv) if srv.port == SMTP => {
            Some(RData::MX(MX::new(srv.priority, srv.target.clone())))
        }
        _ => None,
    }
}
