//! The authoritative engine for `bit.`: it takes one DNS message, and returns
//! the reply or the names that are still needed for it.
//!
//! The engine does no I/O. It answers from a [`Snapshot`]; if names are missing
//! there, the caller fetches them and asks again. A query carries its isolation
//! id in an EDNS0 option, and the engine refuses a query whose id is not that of
//! the snapshot. A negative or failed reply carries its cause ([`edns`]).

pub mod edns;

use std::collections::BTreeSet;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, NS, SOA, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use crate::snapshot::{NameKey, Snapshot};
use crate::value::EvaluationError;
use crate::value::import::NoObject;
use crate::value::items::{Server, TOR, dname};
use crate::value::work::Parsed;
use crate::zone::{self, Cut, Located, TTL, Zone};

use edns::Cause;

/// How long a negative reply may be cached, in seconds (RFC 2308).
const NEGATIVE_TTL: u32 = 60;

/// The outcome of a query.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The reply.
    Reply(Box<Message>),
    /// The snapshot lacks these names. Ask again with them.
    Need(BTreeSet<NameKey>),
}

/// Decodes a query.
///
/// # Errors
/// The bytes are no DNS message, or one with two OPT records. The error is the
/// FORMERR reply to send, or `None` if the bytes do not even have the header of
/// a query.
pub fn read(bytes: &[u8]) -> Result<Message, Option<Box<Message>>> {
    Message::from_vec(bytes).map_err(|_| {
        let (id, rest) = bytes.split_first_chunk::<2>()?;
        // The opcode is in the second to fifth bit of the third byte
        // (RFC 1035 section 4.1.1). A response gets no reply.
        let flags = *rest.first().filter(|_| bytes.len() >= 12)?;
        if flags & 0x80 != 0 {
            return None;
        }
        let code = OpCode::from_u8(flags >> 3 & 0xf);
        let id = u16::from_be_bytes(*id);
        Some(Box::new(Message::error_msg(
            id,
            code,
            ResponseCode::FormErr,
        )))
    })
}

/// Answers a query as the authoritative server for `bit.`
/// (RFC 1034 section 4.3.2).
///
/// No message makes it panic. One that is no query it can answer gets the
/// response code that DNS defines for that case.
pub fn answer(query: &Message, snapshot: &Snapshot) -> Outcome {
    answer_from(query, &mut Zone::new(snapshot, &mut Parsed::default()))
}

/// Like [`answer`], for one of several questions about the same zone: work that
/// they share is done once, and all of it is counted together.
pub fn answer_from(query: &Message, zone: &mut Zone<'_>) -> Outcome {
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.add_queries(query.queries.iter().cloned());
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(edns::PAYLOAD);
        reply.edns = Some(edns);
    }
    match fill(query, zone, &mut reply) {
        Ok(()) => {}
        Err(Refusal::Code(code)) => set_code(&mut reply, code),
        Err(Refusal::Need(keys)) => return Outcome::Need(keys),
    }
    Outcome::Reply(Box::new(reply))
}

/// Why a reply has no records.
enum Refusal {
    Code(ResponseCode),
    Need(BTreeSet<NameKey>),
}

fn set_code(reply: &mut Message, code: ResponseCode) {
    reply.metadata.response_code = code;
    if let Some(edns) = &mut reply.edns {
        edns.set_rcode_high(code.high());
    }
}

fn fill(query: &Message, zone: &mut Zone<'_>, reply: &mut Message) -> Result<(), Refusal> {
    if query.metadata.message_type != MessageType::Query {
        return Err(Refusal::Code(ResponseCode::FormErr));
    }
    if query.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
        return Err(Refusal::Code(ResponseCode::BADVERS));
    }
    if query.metadata.op_code != OpCode::Query {
        return Err(Refusal::Code(ResponseCode::NotImp));
    }
    let [question] = query.queries.as_slice() else {
        return Err(Refusal::Code(ResponseCode::FormErr));
    };
    let isolation =
        edns::read_isolation(query).map_err(|_| Refusal::Code(ResponseCode::FormErr))?;
    if isolation != *zone.snapshot().isolation() {
        // A mistake of the caller must not reveal to one id what another looked up.
        return Err(Refusal::Code(ResponseCode::Refused));
    }
    match question.query_class() {
        DNSClass::IN | DNSClass::ANY => in_zone(question, zone, reply),
        DNSClass::CH => chaos(question, reply),
        _ => Err(Refusal::Code(ResponseCode::Refused)),
    }
}

/// `version.bind` and `version.server` in class CHAOS, as name servers do.
fn chaos(question: &Query, reply: &mut Message) -> Result<(), Refusal> {
    let name = question.name().to_lowercase().to_ascii();
    if !matches!(&*name, "version.bind." | "version.server.") {
        return Err(Refusal::Code(ResponseCode::Refused));
    }
    reply.metadata.authoritative = true;
    if matches!(question.query_type(), RecordType::TXT | RecordType::ANY) {
        let text = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));
        let data = RData::TXT(TXT::new(vec![text.to_owned()]));
        let mut record = Record::from_rdata(question.name().clone(), 0, data);
        record.dns_class = DNSClass::CH;
        reply.add_answer(record);
    }
    Ok(())
}

fn in_zone(question: &Query, zone: &mut Zone<'_>, reply: &mut Message) -> Result<(), Refusal> {
    let apex = zone::apex();
    let name = question.name().to_lowercase();
    if !apex.zone_of(&name) {
        return Err(Refusal::Code(ResponseCode::Refused));
    }
    match question.query_type() {
        RecordType::AXFR | RecordType::IXFR => return Err(Refusal::Code(ResponseCode::Refused)),
        // Types that occur only in other sections, and type 0. BIND does the same.
        RecordType::OPT | RecordType::TSIG | RecordType::ZERO => {
            return Err(Refusal::Code(ResponseCode::FormErr));
        }
        _ => {}
    }
    reply.metadata.authoritative = true;
    if name == apex {
        records(question, [RData::SOA(soa()), server()], reply);
        return Ok(());
    }
    let located = match zone.locate(&name, question.query_type()) {
        Ok(located) => located,
        Err(error) => {
            let cause = match error {
                EvaluationError::Need(keys) => return Err(Refusal::Need(keys)),
                EvaluationError::Failed(failure) => Cause::Failed(failure),
                EvaluationError::TooManyImports => Cause::TooManyImports,
                EvaluationError::TooComplicated => Cause::TooComplicated,
            };
            reply.metadata.authoritative = false;
            set_code(reply, ResponseCode::ServFail);
            explain(reply, cause);
            return Ok(());
        }
    };
    match located {
        Located::Node(data) => records(question, data, reply),
        Located::Delegated(cut) => delegated(question, &name, cut, reply),
        Located::Translated { owner, target } => translated(question, &name, owner, target, reply),
        Located::NoSubdomain => no_such_name(reply, None),
        Located::InvalidName => no_such_name(reply, Some(Cause::InvalidName)),
        // The name exists, without any records.
        Located::NoObject(NoObject::NoDomainObject) if name.iter().count() == 2 => {
            explain(reply, Cause::NoDomainObject);
            negative(reply);
        }
        Located::NoObject(none) => no_such_name(reply, Some(none.into())),
    }
    Ok(())
}

/// Answers with the records at a name of the type asked for, or with its CNAME
/// record instead.
fn records(question: &Query, data: impl IntoIterator<Item = RData>, reply: &mut Message) {
    let asked = question.query_type();
    for data in data {
        let kind = data.record_type();
        if kind == asked || asked == RecordType::ANY || kind == RecordType::CNAME {
            // The owner name keeps the case that it has in the question.
            reply.add_answer(Record::from_rdata(question.name().clone(), TTL, data));
        }
    }
    if reply.answers.is_empty() {
        negative(reply);
    }
}

/// Answers with a referral (RFC 1034 section 4.2.1), or with the DS records,
/// which belong to this side of the cut (RFC 4035 section 3.1.4.1).
fn delegated(question: &Query, name: &Name, cut: Cut, reply: &mut Message) {
    if *name == cut.owner && question.query_type() == RecordType::DS {
        records(question, cut.ds, reply);
        return;
    }
    // Onion services are no part of the DNS, so they are not delegated.
    if *name == cut.owner && question.query_type() == TOR && !cut.tor.is_empty() {
        records(question, cut.tor, reply);
        return;
    }
    reply.metadata.authoritative = false;
    let owner = &cut.owner;
    let servers = cut.ns.into_iter().filter_map(|server| match server {
        Server::Name { name, .. } => Some(RData::NS(NS(name))),
        // No record can hold the address of a server without a name.
        Server::Address(_) => None,
    });
    for data in servers.chain(cut.ds) {
        reply.add_authority(Record::from_rdata(owner.clone(), TTL, data));
    }
    for (server, address) in cut.glue {
        reply.add_additional(Record::from_rdata(server, TTL, address));
    }
    explain(reply, Cause::Delegated);
}

/// Answers with the DNAME record and the CNAME record synthesised from it (RFC
/// 6672 section 3.1), or with YXDOMAIN if that name would be too long.
fn translated(question: &Query, name: &Name, owner: Name, target: Name, reply: &mut Message) {
    if let Some(data) = dname(&target) {
        reply.add_answer(Record::from_rdata(owner.clone(), TTL, data));
    }
    let kept = name.iter().count().saturating_sub(owner.iter().count());
    let labels = question.name().iter().take(kept).chain(target.iter());
    match Name::from_labels(labels) {
        Ok(mut substitute) => {
            substitute.set_fqdn(true);
            let data = RData::CNAME(CNAME(substitute));
            reply.add_answer(Record::from_rdata(question.name().clone(), TTL, data));
        }
        Err(_) => set_code(reply, ResponseCode::YXDomain),
    }
}

fn no_such_name(reply: &mut Message, cause: Option<Cause>) {
    set_code(reply, ResponseCode::NXDomain);
    if let Some(cause) = cause {
        explain(reply, cause);
    }
    negative(reply);
}

/// Adds the SOA record of a negative answer (RFC 2308 section 3).
fn negative(reply: &mut Message) {
    let data = RData::SOA(soa());
    reply.add_authority(Record::from_rdata(zone::apex(), NEGATIVE_TTL, data));
}

fn explain(reply: &mut Message, cause: Cause) {
    if let Some(edns) = &mut reply.edns {
        edns.options_mut().insert(cause.to_option());
    }
}

/// The zone's start of authority. Its server does not exist and its serial
/// number means nothing, because every name changes independently.
fn soa() -> SOA {
    let mut contact = Name::from_labels([b"hostmaster".as_slice(), b"invalid"]).unwrap_or_default();
    contact.set_fqdn(true);
    SOA::new(server_name(), contact, 1, 600, 600, 7200, NEGATIVE_TTL)
}

fn server() -> RData {
    RData::NS(NS(server_name()))
}

/// The zone's name server. Its label contains two adjacent hyphens, which no
/// registered name can; ncdns uses the same name.
fn server_name() -> Name {
    let labels: [&[u8]; 3] = [b"this", b"x--nmc", b"bit"];
    let mut name = Name::from_labels(labels).unwrap_or_default();
    name.set_fqdn(true);
    name
}
