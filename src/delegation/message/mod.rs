//! One question to a name server as a DNS message, and what the server's reply
//! means. No I/O.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use rand::seq::SliceRandom;
use thiserror::Error;

use crate::snapshot::delegated::{server_by_data, server_by_name};

/// The size of our queries is a multiple of this, in bytes (RFC 8467 section
/// 4.1), as far as EDNS is allowed.
const BLOCK: usize = 128;

/// The EDNS option for padding (RFC 7830 section 3), and what it takes beside
/// the padding.
const PADDING: u16 = 12;
const PADDING_HEADER: usize = 4;

/// The UDP payload size that we announce. It has no meaning over TCP.
const PAYLOAD: u16 = 1232;

/// Records in one message.
const MAX_RECORDS: usize = 500;

/// Records of one answer that count.
pub const MAX_DATA: usize = 32;

/// Name servers in one referral, and addresses of one of them, that count.
const MAX_SERVERS: usize = 8;

/// A question as it was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    id: u16,
    /// The name with its letters in random case ("0x20"), which the reply must
    /// repeat.
    name: Name,
    kind: RecordType,
}

impl Sent {
    /// A question as it is sent with this id and the letters of the name as they
    /// are.
    pub fn new(id: u16, name: Name, kind: RecordType) -> Self {
        Self { id, name, kind }
    }

    /// Whether a reply to one could be taken for a reply to the other.
    pub fn has_id_of(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// Which extensions a query has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extensions {
    /// EDNS, padding, and signatures are wanted.
    Signed,
    /// EDNS and padding.
    Padded,
    /// None, for servers that do not know EDNS.
    None,
}

/// Why a reply says nothing. Each says what the server did, in words that follow
/// "a name server".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Lame {
    /// The bytes are no DNS message.
    #[error("sent something that is not a DNS message")]
    Malformed,
    /// There are more records than anybody needs.
    #[error("sent too many records")]
    TooManyRecords,
    /// The reply has another id, question or opcode.
    #[error("answered something that was not asked")]
    Mismatch,
    /// The reply is truncated, which it cannot be over TCP.
    #[error("sent part of its answer")]
    Truncated,
    /// The server does not know EDNS.
    #[error("does not know EDNS")]
    NoEdns,
    /// The server failed.
    #[error("failed (SERVFAIL)")]
    ServFail,
    /// The server refused to answer.
    #[error("refused to answer")]
    Refused,
    /// Another response code.
    #[error("answered with an unexpected code")]
    Code,
    /// The server has no authority for the zone and refers to nobody who has.
    #[error("is not responsible for the zone")]
    NotAuthoritative,
    /// The answer contradicts itself.
    #[error("contradicted itself")]
    Contradiction,
}

/// What a reply means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Records of the type asked for.
    Data {
        /// The records' data.
        data: Vec<RData>,
        /// For how long they hold, in seconds.
        ttl: u32,
    },
    /// The name is an alias.
    Alias {
        /// What of.
        target: Name,
        /// For how long that holds, in seconds.
        ttl: u32,
    },
    /// There is no such record, or no such name.
    Absent {
        /// Whether the name exists.
        exists: bool,
        /// For how long that holds, in seconds.
        ttl: u32,
    },
    /// Other servers are responsible.
    Referral(Referral),
}

/// A zone below the one that was asked, and its name servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referral {
    /// The zone, in lower case.
    pub zone: Name,
    /// Where a proxy is to connect to; at most 8.
    pub servers: Vec<String>,
    /// For how many seconds it holds.
    pub ttl: u32,
}

/// A query for one question, encoded.
///
/// Its id and the case of its letters are random; there is no client subnet and
/// no cookie. `None` for a question that cannot be encoded.
pub fn query(name: &Name, kind: RecordType, extensions: Extensions) -> Option<(Sent, Vec<u8>)> {
    let sent = Sent::new(rand::random(), in_random_case(name)?, kind);
    let mut message = Message::new(sent.id, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(sent.name.clone(), kind));
    if extensions == Extensions::None {
        return Some((sent, message.to_vec().ok()?));
    }
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD);
    edns.set_dnssec_ok(extensions == Extensions::Signed);
    message.edns = Some(edns);
    let bare = message.to_vec().ok()?.len() + PADDING_HEADER;
    let padding = bare.next_multiple_of(BLOCK) - bare;
    if let Some(edns) = &mut message.edns {
        let option = EdnsOption::Unknown(PADDING, vec![0; padding]);
        edns.options_mut().insert(option);
    }
    Some((sent, message.to_vec().ok()?))
}

fn in_random_case(name: &Name) -> Option<Name> {
    let labels = name.iter().map(|label| {
        let letters = label.iter().map(|byte| match rand::random() {
            true => byte.to_ascii_uppercase(),
            false => byte.to_ascii_lowercase(),
        });
        letters.collect::<Vec<u8>>()
    });
    let labels: Vec<_> = labels.collect();
    let mut name = Name::from_labels(labels.iter().map(Vec::as_slice)).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// Finds the question that a reply answers, by its id.
pub fn position(bytes: &[u8], sent: &[Sent]) -> Option<usize> {
    let (id, _) = bytes.split_first_chunk::<2>()?;
    let id = u16::from_be_bytes(*id);
    sent.iter().position(|one| one.id == id)
}

/// Decodes a reply and checks that it is one to a question.
///
/// # Errors
/// It is not, or the server answers no questions of this kind.
pub fn read(bytes: &[u8], sent: &Sent) -> Result<Message, Lame> {
    // The numbers of records in the three sections (RFC 1035 section 4.1.1): a
    // message of 64 KiB can make a hundred times as many bytes of names.
    let header = bytes.get(6..12).ok_or(Lame::Malformed)?;
    let counts = header.chunks_exact(2).map(|count| match count {
        [high, low] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    });
    if counts.sum::<usize>() > MAX_RECORDS {
        return Err(Lame::TooManyRecords);
    }
    let mut message = Message::from_vec(bytes).map_err(|_| Lame::Malformed)?;
    // Nobody asked for another class, and nothing of it may count.
    for section in [
        &mut message.answers,
        &mut message.authorities,
        &mut message.additionals,
    ] {
        section.retain(|record| record.dns_class == DNSClass::IN);
    }
    let metadata = &message.metadata;
    if metadata.id != sent.id
        || metadata.message_type != MessageType::Response
        || metadata.op_code != OpCode::Query
    {
        return Err(Lame::Mismatch);
    }
    match metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        // Such a server may not repeat the question.
        ResponseCode::FormErr | ResponseCode::NotImp if message.edns.is_none() => {
            return Err(Lame::NoEdns);
        }
        ResponseCode::ServFail => return Err(Lame::ServFail),
        ResponseCode::Refused | ResponseCode::NotAuth => return Err(Lame::Refused),
        _ => return Err(Lame::Code),
    }
    let [question] = message.queries.as_slice() else {
        return Err(Lame::Mismatch);
    };
    if !question.name().eq_case(&sent.name)
        || question.query_type() != sent.kind
        || question.query_class() != DNSClass::IN
    {
        return Err(Lame::Mismatch);
    }
    if metadata.truncation {
        return Err(Lame::Truncated);
    }
    Ok(message)
}

/// What a reply of a server for `zone` means, if nobody signed it.
///
/// # Errors
/// It says nothing.
pub fn meaning(
    reply: &Message,
    name: &Name,
    kind: RecordType,
    zone: &Name,
) -> Result<Meaning, Lame> {
    if !reply.metadata.authoritative {
        return match referral(reply, name, zone) {
            Some(referral) if reply.answers.is_empty() => Ok(Meaning::Referral(referral)),
            _ => Err(Lame::NotAuthoritative),
        };
    }
    let of_name = |record: &&Record| record.dns_class == DNSClass::IN && record.name == *name;
    let mut aliases = Vec::new();
    let mut data = Vec::new();
    let mut ttl = u32::MAX;
    for record in reply.answers.iter().filter(of_name) {
        match &record.data {
            RData::CNAME(target) => {
                aliases.push((target.0.to_lowercase(), sane(record.ttl)));
            }
            other if other.record_type() == kind => {
                if data.len() < MAX_DATA && !data.contains(other) {
                    data.push(other.clone());
                }
                ttl = ttl.min(sane(record.ttl));
            }
            _ => {}
        }
    }
    match (aliases.as_slice(), data.is_empty()) {
        ([], false) => return Ok(Meaning::Data { data, ttl }),
        ([], true) => {}
        ([(target, ttl)], true) => {
            return Ok(Meaning::Alias {
                target: target.clone(),
                ttl: *ttl,
            });
        }
        _ => return Err(Lame::Contradiction),
    }
    if !reply.answers.is_empty() {
        return Err(Lame::Contradiction);
    }
    Ok(Meaning::Absent {
        exists: reply.metadata.response_code == ResponseCode::NoError,
        ttl: negative_ttl(reply, name, zone),
    })
}

/// A TTL; those that are too long for one count as 0 (RFC 2181 section 8).
fn sane(ttl: u32) -> u32 {
    if ttl > i32::MAX.cast_unsigned() {
        0
    } else {
        ttl
    }
}

/// For how long a negative reply holds, in seconds (RFC 2308 section 5).
fn negative_ttl(reply: &Message, name: &Name, zone: &Name) -> u32 {
    let soa = reply
        .authorities
        .iter()
        .find_map(|record| match &record.data {
            RData::SOA(soa) if zone.zone_of(&record.name) && record.name.zone_of(name) => {
                Some(sane(record.ttl).min(sane(soa.minimum)))
            }
            _ => None,
        });
    soa.unwrap_or(0)
}

/// The referral in a reply to a zone that is below `zone` and holds `name`.
pub fn referral(reply: &Message, name: &Name, zone: &Name) -> Option<Referral> {
    let cuts = reply.authorities.iter().filter_map(|record| {
        let RData::NS(target) = &record.data else {
            return None;
        };
        let is_below = zone.zone_of(&record.name) && record.name != *zone;
        let is_ours = is_below && record.name.zone_of(name) && record.dns_class == DNSClass::IN;
        is_ours.then(|| {
            let owner = record.name.to_lowercase();
            (owner, target.0.to_lowercase(), record.ttl)
        })
    });
    let cuts: Vec<_> = cuts.collect();
    let owner = cuts.first()?.0.clone();
    if cuts.iter().any(|(other, ..)| *other != owner) {
        return None;
    }
    let ttl = cuts.iter().map(|(_, _, ttl)| sane(*ttl)).min()?;
    let mut servers = Vec::new();
    for (_, target, _) in cuts.iter().take(MAX_SERVERS) {
        if zone.zone_of(target) {
            // A name in the zone is reached by its address here, or not at all.
            let glue = reply.additionals.iter().filter(|one| one.name == *target);
            let glue = glue.filter_map(|record| server_by_data(&record.data));
            servers.extend(glue.take(MAX_SERVERS));
        } else {
            servers.extend(server_by_name(target));
        }
    }
    servers.sort();
    servers.dedup();
    // Those that are left out are drawn: a server may have many addresses.
    servers.shuffle(&mut rand::rng());
    servers.truncate(MAX_SERVERS);
    Some(Referral {
        zone: owner,
        servers,
        ttl,
    })
}

#[cfg(test)]
mod tests;
