//! The answer policy: which of the things that a name's owner published is
//! the answer, and in which words there is none (`spec/resolution.md`).
//!
//! Everything is asked of the [`authority`] in DNS messages that
//! carry the isolation id. The policy itself does no I/O either: it yields a
//! [`Verdict`], or the names that it still needs.

mod answer;
mod query;
mod trail;
mod verdict;

use std::collections::BTreeSet;
use std::net::IpAddr;

use hickory_proto::op::{Message, MessageType, OpCode, Query as DnsQuery, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use crate::address;
use crate::authority::cause::Cause;
use crate::authority::{self, Outcome, isolation_option};
use crate::isolation::IsolationId;
use crate::onion::{InvalidOnion, OnionAddress};
use crate::snapshot::{Entry, NameKey, Snapshot};
use crate::value::items::TOR;
use crate::value::object::MAX_NAMES;
use crate::value::work::Parsed;
use crate::zone::{self, Zone};

pub use answer::Answer;
pub use query::{Query, Question};
pub use trail::{Candidate, Fate, Looked, Reason};
use trail::{Summary, Trail};
pub use verdict::{Status, Verdict};

/// How many aliases are followed inside `.bit`.
pub const MAX_HOPS: usize = 8;

/// How far a query got with a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is decided.
    Done(Verdict),
    /// These names are missing from the snapshot.
    Need(BTreeSet<NameKey>),
}

/// A query, what is known of the names that it needs, and what was made of
/// them: all that is handed on from one evaluation to the next.
#[derive(Debug)]
pub struct Evaluation {
    query: Query,
    snapshot: Snapshot,
    parsed: Parsed,
}

impl Evaluation {
    /// A query under an isolation id, with nothing known yet.
    pub fn new(query: Query, isolation: IsolationId) -> Self {
        Self {
            query,
            snapshot: Snapshot::new(isolation),
            parsed: Parsed::default(),
        }
    }

    /// What is asked.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// What is known.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Takes note of what came of a name.
    pub fn learn(&mut self, key: NameKey, entry: Entry) {
        self.parsed.forget(&key);
        self.snapshot.insert(key, entry);
    }

    /// Resolves the query as far as what is known goes.
    pub fn step(&mut self) -> Step {
        walk(&self.query, &self.snapshot, &mut self.parsed, None)
    }
}

/// Resolves a query as far as a snapshot goes.
pub fn resolve(query: &Query, snapshot: &Snapshot) -> Step {
    walk(query, snapshot, &mut Parsed::default(), None)
}

/// Like [`resolve`], and notes every question it asked and what became of the
/// candidates.
pub fn explain(query: &Query, snapshot: &Snapshot, log: &mut Vec<Looked>) -> Step {
    walk(query, snapshot, &mut Parsed::default(), Some(log))
}

fn walk(
    query: &Query,
    snapshot: &Snapshot,
    parsed: &mut Parsed,
    log: Option<&mut Vec<Looked>>,
) -> Step {
    let mut policy = Policy {
        query,
        zone: Zone::new(snapshot, parsed),
        trail: Trail(log),
        asked: original(query.name()),
    };
    match policy.run() {
        Ok(verdict) => Step::Done(verdict),
        Err(Stop::Verdict(verdict)) => Step::Done(verdict),
        // A query's snapshot holds exactly the names that it has used so far.
        Err(Stop::Need(keys)) if snapshot.len() + keys.len() > MAX_NAMES => {
            Step::Done(policy.not_found(Cause::TooManyImports.words()))
        }
        Err(Stop::Need(keys)) => Step::Need(keys),
    }
}

/// A name without its final dot, for messages.
fn original(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_owned()
}

enum Stop {
    Verdict(Verdict),
    Need(BTreeSet<NameKey>),
}

/// What a question brought.
struct Reply {
    /// The data of the type asked.
    data: Vec<RData>,
    /// The target of a CNAME record in the answer, synthesised or not.
    alias: Option<Name>,
    code: ResponseCode,
    cause: Option<Cause>,
}

struct Policy<'a> {
    query: &'a Query,
    zone: Zone<'a>,
    trail: Trail<'a>,
    asked: String,
}

impl Policy<'_> {
    fn run(&mut self) -> Result<Verdict, Stop> {
        let mut name = self.query.name().clone();
        let mut seen = vec![name.clone()];
        loop {
            let target = match self.at(&name)? {
                At::Verdict(verdict) => return Ok(verdict),
                At::Alias(target) => target,
            };
            if !zone::apex().zone_of(&target) {
                return Ok(self.outside(&target));
            }
            if let Some(reason) = obstacle(&target, &seen) {
                self.trail.alias(&target, Fate::Passed(reason));
                return Ok(match reason {
                    Reason::Circle => self.not_found("follows aliases in a circle"),
                    _ => self.not_found(&format!("follows more than {MAX_HOPS} aliases")),
                });
            }
            self.trail.alias(&target, Fate::Followed);
            seen.push(target.clone());
            name = target;
        }
    }

    /// Looks at one name: the onion service at `_tor`, then in the item `tor`,
    /// then addresses, then an alias.
    fn at(&mut self, name: &Name) -> Result<At, Stop> {
        if let Some(onion) = self.onion_below(name)? {
            return Ok(At::Verdict(Verdict::Onion(onion)));
        }
        if let Some(onion) = self.onion_item(name)? {
            return Ok(At::Verdict(Verdict::Onion(onion)));
        }
        if self.query.only_onion() {
            self.trail.addresses_left_out(name);
        } else {
            for kind in [RecordType::A, RecordType::AAAA] {
                let reply = self.ask(name, kind)?;
                if let Some(target) = reply.alias {
                    return Ok(At::Alias(target));
                }
                if let Some(address) = self.trail.pick(&reply.data, public) {
                    return Ok(At::Verdict(Verdict::Address(address)));
                }
            }
        }
        let reply = self.ask(name, RecordType::CNAME)?;
        if let Some(target) = reply.alias {
            return Ok(At::Alias(target));
        }
        Ok(At::Verdict(self.nothing(name, &reply)))
    }

    /// The first onion service that Tor accepts in the TXT records at
    /// `_tor.<name>`. An alias there is followed inside `.bit`.
    fn onion_below(&mut self, name: &Name) -> Result<Option<OnionAddress>, Stop> {
        let Ok(mut owner) = name.prepend_label("_tor") else {
            return Ok(None);
        };
        let mut seen = vec![owner.clone()];
        loop {
            let reply = self.ask(&owner, RecordType::TXT)?;
            if let Some(onion) = self.pick_onion(&reply.data, text_of_txt)? {
                return Ok(Some(onion));
            }
            let Some(target) = reply.alias else {
                return Ok(None);
            };
            let outside = (!zone::apex().zone_of(&target)).then_some(Reason::Leaves);
            if let Some(reason) = outside.or_else(|| obstacle(&target, &seen)) {
                self.trail.alias(&target, Fate::Passed(reason));
                return Ok(None);
            }
            self.trail.alias(&target, Fate::Followed);
            seen.push(target.clone());
            owner = target;
        }
    }

    /// The first onion service in the item `tor` of a name (IFA-0002).
    fn onion_item(&mut self, name: &Name) -> Result<Option<OnionAddress>, Stop> {
        let reply = self.ask(name, TOR)?;
        if let Some(target) = &reply.alias {
            self.trail.alias(target, Fate::Passed(Reason::ItemOnly));
        }
        self.pick_onion(&reply.data, text_of_item)
    }

    /// The first of the texts in records that is an onion service. The checks
    /// count as work of the query.
    fn pick_onion(
        &mut self,
        data: &[RData],
        text: impl Fn(&RData) -> Result<String, Reason>,
    ) -> Result<Option<OnionAddress>, Stop> {
        let work = self.zone.work();
        let picked = self.trail.pick(data, |data| Ok(work.onion(&text(data)?)?));
        match work.check() {
            Ok(()) => Ok(picked),
            Err(_) => Err(Stop::Verdict(self.not_found(Cause::TooComplicated.words()))),
        }
    }

    /// The verdict on an alias that leaves `.bit`.
    fn outside(&mut self, target: &Name) -> Verdict {
        let text = original(target);
        if let Ok(onion) = OnionAddress::parse(&text) {
            self.trail.alias(target, Fate::Taken);
            return Verdict::Onion(onion);
        }
        if self.query.only_onion() {
            self.trail.alias(target, Fate::Passed(Reason::NotOnion));
            return self.not_found("has no onion service");
        }
        match address::host_name(&text) {
            Ok(host) => {
                self.trail.alias(target, Fate::Taken);
                Verdict::Host(host)
            }
            Err(error) => {
                let reason = match OnionAddress::parse(&text) {
                    Err(InvalidOnion::NotOnion) | Ok(_) => error.into(),
                    Err(onion) => onion.into(),
                };
                self.trail.alias(target, Fate::Passed(reason));
                self.not_found("is an alias of a name that Tor does not connect to")
            }
        }
    }

    /// The words for a name with nothing to answer.
    fn nothing(&self, name: &Name, reply: &Reply) -> Verdict {
        let why = match &reply.cause {
            Some(cause) => cause.words(),
            None if reply.code == ResponseCode::YXDomain => "becomes too long by a DNAME record",
            None if reply.code == ResponseCode::NXDomain => "has no such subdomain",
            None if self.query.only_onion() => "has no onion service",
            None => "has no address",
        };
        if name == self.query.name() {
            self.not_found(why)
        } else {
            self.not_found(&format!("is an alias of {}, which {why}", original(name)))
        }
    }

    fn not_found(&self, why: &str) -> Verdict {
        Verdict::NotFound(format!("{} {why}", self.asked))
    }

    /// Asks the engine one question. What cannot be known stops the query.
    fn ask(&mut self, name: &Name, kind: RecordType) -> Result<Reply, Stop> {
        let mut message = Message::new(0, MessageType::Query, OpCode::Query);
        message.add_query(DnsQuery::query(name.clone(), kind));
        isolation_option::write(&mut message, self.zone.snapshot().isolation());
        let reply = match authority::answer_from(&message, &mut self.zone) {
            Outcome::Reply(reply) => reply,
            Outcome::Need(keys) => return Err(Stop::Need(keys)),
        };
        let code = reply.metadata.response_code;
        let cause = Cause::of(&reply);
        let mut data = Vec::new();
        let mut alias = None;
        for record in reply.answers {
            match record.data {
                RData::CNAME(target) => alias = Some(target.0),
                other if other.record_type() == kind => data.push(other),
                _ => {}
            }
        }
        let summary = Summary {
            code,
            records: data.len(),
            alias: alias.as_ref(),
            cause: cause.as_ref(),
        };
        self.trail.asked(name, kind, &summary, self.zone.snapshot());
        match &cause {
            Some(Cause::Failed(failure)) => {
                return Err(Stop::Verdict(Verdict::Unknown(failure.clone())));
            }
            Some(cause @ (Cause::TooManyImports | Cause::TooComplicated)) => {
                return Err(Stop::Verdict(self.not_found(cause.words())));
            }
            _ => {}
        }
        Ok(Reply {
            data,
            alias,
            code,
            cause,
        })
    }
}

enum At {
    Verdict(Verdict),
    Alias(Name),
}

/// Why an alias inside the zone is not followed after those `seen`.
fn obstacle(target: &Name, seen: &[Name]) -> Option<Reason> {
    if seen.contains(target) {
        Some(Reason::Circle)
    } else {
        (seen.len() > MAX_HOPS).then_some(Reason::TooMany)
    }
}

/// A public address.
fn public(data: &RData) -> Result<IpAddr, Reason> {
    let address = match data {
        RData::A(address) => IpAddr::V4(address.0),
        RData::AAAA(address) => IpAddr::V6(address.0),
        _ => return Err(Reason::NotText),
    };
    if address::is_public(address) {
        Ok(address)
    } else {
        Err(Reason::Internal)
    }
}

/// The text of a TXT record, its strings joined.
fn text_of_txt(data: &RData) -> Result<String, Reason> {
    match data {
        RData::TXT(txt) => text(txt.txt_data.concat()),
        _ => Err(Reason::NotText),
    }
}

/// The text of an item `tor`.
fn text_of_item(data: &RData) -> Result<String, Reason> {
    match data {
        RData::Unknown { rdata, .. } => text(rdata.anything.clone()),
        _ => Err(Reason::NotText),
    }
}

fn text(bytes: Vec<u8>) -> Result<String, Reason> {
    String::from_utf8(bytes).map_err(|_| Reason::NotText)
}
