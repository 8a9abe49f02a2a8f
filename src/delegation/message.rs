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
mod tests {
    use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, SOA, TXT};

    use super::*;

    const ADDRESS: [u8; 4] = [93, 184, 216, 34];

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn zone() -> Name {
        name("example.bit.")
    }

    fn sent() -> Sent {
        Sent::new(7, name("wWw.eXample.bit."), RecordType::A)
    }

    fn record(owner: &str, data: RData) -> Record {
        Record::from_rdata(name(owner), 300, data)
    }

    fn a(owner: &str, last: u8) -> Record {
        let [a, b, c, _] = ADDRESS;
        record(owner, RData::A(A::new(a, b, c, last)))
    }

    fn cname(to: &str) -> Record {
        record("www.example.bit.", RData::CNAME(CNAME(name(to))))
    }

    fn ns(owner: &str, to: &str) -> Record {
        record(owner, RData::NS(NS(name(to))))
    }

    fn in_class(mut record: Record, class: DNSClass) -> Record {
        record.dns_class = class;
        record
    }

    fn soa(owner: &str, ttl: u32, minimum: u32) -> Record {
        let soa = SOA::new(name("a."), name("b."), 1, 1, 1, 1, minimum);
        Record::from_rdata(name(owner), ttl, RData::SOA(soa))
    }

    fn reply(answers: &[Record], authorities: &[Record]) -> Message {
        let sent = sent();
        let mut reply = Message::response(sent.id, OpCode::Query);
        reply.metadata.authoritative = true;
        reply.add_query(Query::query(sent.name, sent.kind));
        reply.answers = answers.to_vec();
        reply.authorities = authorities.to_vec();
        reply
    }

    fn meant(reply: &Message) -> Result<Meaning, Lame> {
        meaning(reply, &name("www.example.bit."), RecordType::A, &zone())
    }

    /// Only what repeats all of the question is a reply to it.
    #[test]
    fn a_reply_to_something_else_is_refused() {
        type Change = fn(&mut Message);
        let changes: [(Lame, Change); 15] = [
            (Lame::Mismatch, |reply| reply.metadata.id ^= 1),
            (Lame::Mismatch, |reply| {
                reply.metadata.message_type = MessageType::Query;
            }),
            (Lame::Mismatch, |reply| {
                reply.metadata.op_code = OpCode::Status;
            }),
            (Lame::Mismatch, |reply| reply.queries.clear()),
            (Lame::Mismatch, |reply| {
                reply.queries.push(reply.queries[0].clone());
            }),
            (Lame::Mismatch, |reply| {
                reply.queries[0].set_name(name("www.example.bit."));
            }),
            (Lame::Mismatch, |reply| {
                reply.queries[0].set_name(name("wWw.eXample.bix."));
            }),
            (Lame::Mismatch, |reply| {
                reply.queries[0].set_query_type(RecordType::AAAA);
            }),
            (Lame::Mismatch, |reply| {
                reply.queries[0].set_query_class(DNSClass::CH);
            }),
            (Lame::Truncated, |reply| reply.metadata.truncation = true),
            (Lame::ServFail, |reply| {
                reply.metadata.response_code = ResponseCode::ServFail;
            }),
            (Lame::Refused, |reply| {
                reply.metadata.response_code = ResponseCode::Refused;
            }),
            (Lame::Refused, |reply| {
                reply.metadata.response_code = ResponseCode::NotAuth;
            }),
            (Lame::Code, |reply| {
                reply.metadata.response_code = ResponseCode::YXDomain;
            }),
            (Lame::NoEdns, |reply| {
                reply.metadata.response_code = ResponseCode::FormErr;
                reply.queries.clear();
            }),
        ];
        let honest = reply(&[a("www.example.bit.", 34)], &[]);
        assert!(read(&honest.to_vec().unwrap(), &sent()).is_ok());
        for (number, (lame, change)) in changes.into_iter().enumerate() {
            let mut reply = honest.clone();
            change(&mut reply);
            let read = read(&reply.to_vec().unwrap(), &sent());
            assert_eq!(read.err(), Some(lame), "change {number}");
        }
        assert_eq!(read(b"\0\x07", &sent()).err(), Some(Lame::Malformed));
    }

    #[test]
    fn a_reply_belongs_to_the_question_with_its_id() {
        let sent = [3, 0x102, 7].map(|id| Sent::new(id, zone(), RecordType::A));
        assert_eq!(position(&[1, 2, 0], &sent), Some(1));
        assert_eq!(position(&[0, 7], &sent), Some(2));
        assert_eq!(position(&[2, 1], &sent), None);
        assert_eq!(position(&[1], &sent), None);
    }

    #[test]
    fn records_of_the_question_are_data_and_others_are_not() {
        let own = "wWW.example.bit.";
        let mut short = a(own, 35);
        short.ttl = 60;
        let six = RData::AAAA(AAAA::new(0x2606, 0, 0, 0, 0, 0, 0, 1));
        let records = [
            a(own, 34),
            short.clone(),
            a(own, 34),
            record(own, six),
            record(own, RData::TXT(TXT::new(vec!["x".to_owned()]))),
            a("other.example.bit.", 66),
            a("example.bit.", 67),
            in_class(a(own, 68), DNSClass::CH),
        ];
        let data = vec![records[0].data.clone(), short.data];
        let ttl = 60;
        assert_eq!(
            meant(&reply(&records, &[])),
            Ok(Meaning::Data { data, ttl })
        );
        for other in &records[3..] {
            let only = reply(std::slice::from_ref(other), &[]);
            assert_eq!(meant(&only), Err(Lame::Contradiction), "{other}");
        }
    }

    #[test]
    fn a_name_has_one_alias_and_nothing_else() {
        let alias = Ok(Meaning::Alias {
            target: name("host.example.net."),
            ttl: 300,
        });
        let to_host = cname("Host.example.NET.");
        assert_eq!(meant(&reply(std::slice::from_ref(&to_host), &[])), alias);
        // What the target has comes with it, and is asked for anew.
        let target = a("host.example.net.", 66);
        assert_eq!(meant(&reply(&[to_host.clone(), target], &[])), alias);
        for second in [cname("other.example.net."), a("www.example.bit.", 34)] {
            for records in [
                [to_host.clone(), second.clone()],
                [second.clone(), to_host.clone()],
            ] {
                let reply = reply(&records, &[]);
                assert_eq!(meant(&reply), Err(Lame::Contradiction), "{second}");
            }
        }
    }

    #[test]
    fn absences_hold_as_long_as_the_zone_says() {
        let absent = |soas: &[Record]| match meant(&reply(&[], soas)) {
            Ok(Meaning::Absent { exists: true, ttl }) => ttl,
            other => panic!("{other:?}"),
        };
        assert_eq!(absent(&[soa("example.bit.", 300, 60)]), 60);
        assert_eq!(absent(&[soa("example.bit.", 30, 60)]), 30);
        assert_eq!(absent(&[soa("sub.example.bit.", 30, 60)]), 0);
        assert_eq!(absent(&[]), 0);
        assert_eq!(absent(&[soa("other.bit.", 300, 60)]), 0);
        assert_eq!(absent(&[a("example.bit.", 34)]), 0);
        let mut nothing = reply(&[], &[]);
        nothing.metadata.response_code = ResponseCode::NXDomain;
        let absent = Meaning::Absent {
            exists: false,
            ttl: 0,
        };
        assert_eq!(meant(&nothing), Ok(absent));
    }

    #[test]
    fn without_authority_only_referrals_count() {
        let below = [ns("www.example.bit.", "ns.example.net.")];
        for (answers, authorities, is_referral) in [
            (&[][..], &below[..], true),
            (&[], &[], false),
            (&[a("www.example.bit.", 34)], &[], false),
            (&[a("www.example.bit.", 34)], &below, false),
            (&[cname("a.net.")], &below, false),
        ] {
            let mut reply = reply(answers, authorities);
            reply.metadata.authoritative = false;
            match meant(&reply) {
                Ok(Meaning::Referral(_)) => assert!(is_referral),
                other => {
                    assert_eq!(other, Err(Lame::NotAuthoritative));
                    assert!(!is_referral);
                }
            }
        }
    }

    fn referred(authorities: &[Record], additionals: &[Record]) -> Option<Referral> {
        let mut reply = reply(&[], authorities);
        reply.additionals = additionals.to_vec();
        referral(&reply, &name("a.www.example.bit."), &zone())
    }

    #[test]
    fn referrals_lead_downward_and_to_one_zone() {
        let to = "ns.example.net.";
        for zone in ["www.example.bit.", "a.www.example.bit."] {
            let referral = referred(&[ns(zone, to)], &[]).unwrap();
            assert_eq!(referral.zone, name(zone));
            assert_eq!(referral.servers, ["ns.example.net"]);
        }
        for zone in [
            ".",
            "bit.",
            "example.bit.",
            "other.example.bit.",
            "b.a.www.example.bit.",
            "www.other.bit.",
        ] {
            assert_eq!(referred(&[ns(zone, to)], &[]), None, "{zone}");
        }
        let two = ["www.example.bit.", "a.www.example.bit."].map(|zone| ns(zone, to));
        assert_eq!(referred(&two, &[]), None);
        let other_class = in_class(ns("www.example.bit.", to), DNSClass::CH);
        assert_eq!(referred(&[other_class], &[]), None);
    }

    /// A server outside of the zone is resolved by an exit relay, whatever address
    /// the reply has of it.
    #[test]
    fn glue_counts_for_names_in_the_zone_only() {
        let zone = "www.example.bit.";
        let glue = [
            a("ns.example.net.", 66),
            a("ns.www.example.bit.", 40),
            a("ns.example.bit.", 41),
            a("other.www.example.bit.", 67),
            record("ns.www.example.bit.", RData::A(A::new(10, 0, 0, 1))),
            record("ns.www.example.bit.", RData::A(A::new(127, 0, 0, 1))),
        ];
        for (to, servers) in [
            ("ns.example.net.", &["ns.example.net"][..]),
            ("ns.www.example.bit.", &["93.184.216.40"]),
            ("ns.example.bit.", &["93.184.216.41"]),
            // In `.bit`, where no exit relay finds it.
            ("ns.other.bit.", &[]),
            ("none.www.example.bit.", &[]),
            ("localhost.", &[]),
        ] {
            let referral = referred(&[ns(zone, to)], &glue).unwrap();
            assert_eq!(referral.servers, servers, "{to}");
        }
    }

    #[test]
    fn servers_in_a_referral_are_bounded() {
        let servers = (0..50).map(|n| ns("www.example.bit.", &format!("ns{n}.example.net.")));
        let servers: Vec<_> = servers.collect();
        assert_eq!(referred(&servers, &[]).unwrap().servers.len(), MAX_SERVERS);
        let glue = (0..50).map(|n| a("ns.example.bit.", n));
        let glue: Vec<_> = glue.collect();
        let inside = [ns("www.example.bit.", "ns.example.bit.")];
        assert_eq!(referred(&inside, &glue).unwrap().servers.len(), MAX_SERVERS);
    }
}
