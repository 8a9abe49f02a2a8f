//! The authoritative engine for `bit.`: one DNS message in, one out, or the
//! names that are still needed to answer it.
//!
//! The engine does no I/O. It answers from a [`Snapshot`]; what it lacks it
//! names, and whoever asked fetches that and asks again. Queries carry the
//! isolation id in an EDNS0 option, and a snapshot is only ever asked under
//! the id it belongs to. Replies say why they are negative or failed in an
//! extended error ([`cause`]).

pub mod cause;
pub mod isolation_option;

use std::collections::BTreeSet;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, NS, SOA, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use crate::snapshot::{NameKey, Snapshot};
use crate::value::items::{TOR, dname};
use crate::value::object::Stop;
use crate::value::work::Parsed;
use crate::zone::{self, Cut, Located, TTL, Unanswered, Zone};

use cause::Cause;

/// How long "there is no such thing" may be kept, in seconds (RFC 2308).
const NEGATIVE_TTL: u32 = 60;

/// What the engine makes of a query.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The reply.
    Reply(Box<Message>),
    /// The names that the snapshot lacks; ask again with them.
    Need(BTreeSet<NameKey>),
}

/// Reads a query off a wire.
///
/// # Errors
/// The bytes are no DNS message, or one that has two OPT records. The error is
/// the FORMERR reply to send, or `None` if the bytes do not even have a header
/// to reply to.
pub fn read(octets: &[u8]) -> Result<Message, Option<Box<Message>>> {
    Message::from_vec(octets).map_err(|_| {
        let (id, rest) = octets.split_first_chunk::<2>()?;
        // The opcode is in the second to fifth bit of the third byte
        // (RFC 1035 section 4.1.1); a response is not replied to.
        let flags = *rest.first().filter(|_| octets.len() >= 12)?;
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
/// No message makes it panic; one that is not a query it can answer gets the
/// response code that DNS has for it.
pub fn answer(query: &Message, snapshot: &Snapshot) -> Outcome {
    answer_from(query, &mut Zone::new(snapshot, &mut Parsed::default()))
}

/// Like [`answer`], for one of the questions that a query leads to: what they
/// have in common is done once, and their work is counted together.
pub fn answer_from(query: &Message, zone: &mut Zone<'_>) -> Outcome {
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.add_queries(query.queries.iter().cloned());
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(isolation_option::PAYLOAD);
        reply.edns = Some(edns);
    }
    match fill(query, zone, &mut reply) {
        Ok(()) => {}
        Err(Refusal::Code(code)) => set_code(&mut reply, code),
        Err(Refusal::Need(keys)) => return Outcome::Need(keys),
    }
    Outcome::Reply(Box::new(reply))
}

/// Why there is nothing to say in the sections of a reply.
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
        isolation_option::read(query).map_err(|_| Refusal::Code(ResponseCode::FormErr))?;
    if isolation != *zone.snapshot().isolation() {
        // A caller's mistake must not show one id what another looked up.
        return Err(Refusal::Code(ResponseCode::Refused));
    }
    match question.query_class() {
        DNSClass::IN | DNSClass::ANY => in_zone(question, zone, reply),
        DNSClass::CH => chaos(question, reply),
        _ => Err(Refusal::Code(ResponseCode::Refused)),
    }
}

/// `version.bind` and `version.server` in CHAOS, as name servers have it.
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
        // Types that only exist inside messages, and the obsolete mail types
        // that BIND answers in the same way.
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
        Err(Unanswered::Need(keys)) => return Err(Refusal::Need(keys)),
        Err(Unanswered::Stop(stop)) => {
            reply.metadata.authoritative = false;
            set_code(reply, ResponseCode::ServFail);
            match stop {
                Stop::Transient(failure) => explain(reply, Cause::Failed(failure)),
                Stop::TooManyImports | Stop::Need => explain(reply, Cause::TooManyImports),
                Stop::TooComplicated => explain(reply, Cause::TooComplicated),
            }
            return Ok(());
        }
    };
    match located {
        Located::Node(data) => records(question, data, reply),
        Located::Delegated(cut) => delegated(question, &name, cut, reply),
        Located::Translated { owner, target } => translated(question, &name, owner, target, reply),
        Located::NoSubdomain => no_such_name(reply, None),
        Located::InvalidName => no_such_name(reply, Some(Cause::InvalidName)),
        Located::Absent(absence) => no_such_name(reply, Some(Cause::Absent(absence))),
        // The name exists, and nothing stands at it or below.
        Located::NoDomainObject if name.iter().count() == 2 => {
            explain(reply, Cause::NoDomainObject);
            negative(reply);
        }
        Located::NoDomainObject => no_such_name(reply, Some(Cause::NoDomainObject)),
    }
    Ok(())
}

/// Answers from the records at a name: those of the type asked, or the CNAME
/// record in their place.
fn records(question: &Query, data: impl IntoIterator<Item = RData>, reply: &mut Message) {
    let asked = question.query_type();
    for data in data {
        let kind = data.record_type();
        if kind == asked || asked == RecordType::ANY || kind == RecordType::CNAME {
            // The owner name is written as the question has it, in its case.
            reply.add_answer(Record::from_rdata(question.name().clone(), TTL, data));
        }
    }
    if reply.answers.is_empty() {
        negative(reply);
    }
}

/// A referral (RFC 1034 section 4.2.1), or the DS records, which belong to
/// this side of the cut (RFC 4035 section 3.1.4.1).
fn delegated(question: &Query, name: &Name, cut: Cut, reply: &mut Message) {
    if *name == cut.owner && question.query_type() == RecordType::DS {
        records(question, cut.ds, reply);
        return;
    }
    // Not of the DNS, and so not delegated with it.
    if *name == cut.owner && question.query_type() == TOR && !cut.tor.is_empty() {
        records(question, cut.tor, reply);
        return;
    }
    reply.metadata.authoritative = false;
    let owner = &cut.owner;
    let servers = cut.ns.into_iter().map(|target| RData::NS(NS(target)));
    for data in servers.chain(cut.ds) {
        reply.add_authority(Record::from_rdata(owner.clone(), TTL, data));
    }
    for (server, address) in cut.glue {
        reply.add_additional(Record::from_rdata(server, TTL, address));
    }
    explain(reply, Cause::Delegated);
}

/// The DNAME record and the CNAME record made from it (RFC 6672 section 3.1),
/// or YXDOMAIN if that would be too long a name.
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

/// The SOA record of a negative answer (RFC 2308 section 3).
fn negative(reply: &mut Message) {
    let data = RData::SOA(soa());
    reply.add_authority(Record::from_rdata(zone::apex(), NEGATIVE_TTL, data));
}

fn explain(reply: &mut Message, cause: Cause) {
    if let Some(edns) = &mut reply.edns {
        edns.options_mut().insert(cause.to_option());
    }
}

/// The zone's start of authority. There is no server behind it and no serial
/// number that would mean anything: every name changes by itself.
fn soa() -> SOA {
    let mut contact = Name::from_labels([b"hostmaster".as_slice(), b"invalid"]).unwrap_or_default();
    contact.set_fqdn(true);
    SOA::new(server_name(), contact, 1, 600, 600, 7200, NEGATIVE_TTL)
}

fn server() -> RData {
    RData::NS(NS(server_name()))
}

/// The name server that the zone gives itself. Its label has two hyphens in a
/// row, which no registered name can have; ncdns uses the same one.
fn server_name() -> Name {
    let labels: [&[u8]; 3] = [b"this", b"x--nmc", b"bit"];
    let mut name = Name::from_labels(labels).unwrap_or_default();
    name.set_fqdn(true);
    name
}
