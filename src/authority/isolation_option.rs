//! The isolation id in a DNS message: EDNS0 option 65312
//! (`spec/edns0-isolation.md`).

use hickory_proto::op::{Edns, Message};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};

use crate::isolation::IsolationId;

/// The option's code, from the range for local use (RFC 6891 section 9).
pub const OPTION: u16 = 65_312;

/// The UDP payload size that we announce, in bytes.
pub(super) const PAYLOAD: u16 = 1232;

/// The option's value makes no sense: present twice, or no isolation id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MalformedOption;

/// Puts an isolation id into a query; the shared id leaves the option out.
pub fn write(query: &mut Message, isolation: &IsolationId) {
    let edns = query.edns.get_or_insert_with(Edns::new);
    edns.set_max_payload(PAYLOAD);
    edns.options_mut().remove(EdnsCode::Unknown(OPTION));
    if let Some(id) = isolation.as_str() {
        edns.options_mut()
            .insert(EdnsOption::Unknown(OPTION, id.as_bytes().to_vec()));
    }
}

/// Reads the isolation id of a query; without the option it is the shared id.
///
/// # Errors
/// The option is there twice or holds no valid id.
pub fn read(query: &Message) -> Result<IsolationId, MalformedOption> {
    let Some(edns) = &query.edns else {
        return Ok(IsolationId::shared());
    };
    match edns.options().get_all(EdnsCode::Unknown(OPTION)).as_slice() {
        [] => Ok(IsolationId::shared()),
        [EdnsOption::Unknown(_, id)] => IsolationId::parse(id).map_err(|_| MalformedOption),
        _ => Err(MalformedOption),
    }
}
