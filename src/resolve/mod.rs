//! The answer policy: which of the things that a name's owner published is
//! the answer, and in which words there is none (`spec/resolution.md`).
//!
//! Everything is asked of the [`authority`] in DNS messages that
//! carry the isolation id. The policy itself does no I/O either: it yields a
//! [`Verdict`], or the names that it still needs.

mod query;

use std::collections::BTreeSet;
use std::net::IpAddr;

use hickory_proto::op::{Message, MessageType, OpCode, Query as DnsQuery, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use crate::address;
use crate::authority::cause::Cause;
use crate::authority::{self, Outcome, isolation_option};
use crate::onion::OnionAddress;
use crate::snapshot::{FetchFailure, NameKey, Snapshot};
use crate::value::items::TOR;
use crate::value::object::MAX_NAMES;
use crate::zone;

pub use query::Query;

/// How many aliases are followed inside `.bit`.
pub const MAX_HOPS: usize = 8;

/// What becomes of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// An onion service.
    Onion(OnionAddress),
    /// A public address.
    Address(IpAddr),
    /// A host name of the DNS, for the exit to resolve.
    Host(String),
    /// The name is not ours to resolve. Holds the name.
    NotInZone(String),
    /// There is no answer, and asking again soon changes nothing. Holds the
    /// message: the name, and why.
    NotFound(String),
    /// It cannot be known for now.
    Unknown(FetchFailure),
}

/// How far a query got with a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is decided.
    Done(Verdict),
    /// These names are missing from the snapshot.
    Need(BTreeSet<NameKey>),
}

/// Something that was looked at on the way, for people who debug a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The question, as owner name and type.
    pub question: String,
    /// What the engine replied, in a few words.
    pub reply: String,
}

/// Resolves a query as far as a snapshot goes.
pub fn resolve(query: &Query, snapshot: &Snapshot) -> Step {
    walk(query, snapshot, None)
}

/// Like [`resolve`], and notes every question it asked.
pub fn explain(query: &Query, snapshot: &Snapshot, log: &mut Vec<Looked>) -> Step {
    walk(query, snapshot, Some(log))
}

fn walk(query: &Query, snapshot: &Snapshot, log: Option<&mut Vec<Looked>>) -> Step {
    let mut policy = Policy {
        query,
        snapshot,
        log,
        asked: original(query.name()),
    };
    match policy.run() {
        Ok(verdict) => Step::Done(verdict),
        Err(Stop::Verdict(verdict)) => Step::Done(verdict),
        // A query's snapshot holds exactly the names that it has used so far.
        Err(Stop::Need(keys)) if snapshot.len() + keys.len() > MAX_NAMES => {
            let why = format!("{} {}", policy.asked, Cause::TooManyImports.words());
            Step::Done(Verdict::NotFound(why))
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
    snapshot: &'a Snapshot,
    log: Option<&'a mut Vec<Looked>>,
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
            if seen.contains(&target) {
                return Ok(self.not_found("follows aliases in a circle"));
            }
            if seen.len() > MAX_HOPS {
                let why = format!("follows more than {MAX_HOPS} aliases");
                return Ok(self.not_found(&why));
            }
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
        if !self.query.only_onion() {
            for kind in [RecordType::A, RecordType::AAAA] {
                let reply = self.ask(name, kind)?;
                if let Some(target) = reply.alias {
                    return Ok(At::Alias(target));
                }
                let public = reply
                    .data
                    .iter()
                    .filter_map(ip)
                    .find(|ip| address::is_public(*ip));
                if let Some(address) = public {
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
            for data in &reply.data {
                if let RData::TXT(txt) = data {
                    let text = txt.txt_data.concat();
                    let onion = std::str::from_utf8(&text).ok().map(OnionAddress::parse);
                    if let Some(Ok(onion)) = onion {
                        return Ok(Some(onion));
                    }
                }
            }
            match reply.alias {
                Some(target)
                    if zone::apex().zone_of(&target)
                        && !seen.contains(&target)
                        && seen.len() <= MAX_HOPS =>
                {
                    seen.push(target.clone());
                    owner = target;
                }
                _ => return Ok(None),
            }
        }
    }

    /// The first onion service in the item `tor` of a name (IFA-0002).
    fn onion_item(&mut self, name: &Name) -> Result<Option<OnionAddress>, Stop> {
        let reply = self.ask(name, TOR)?;
        Ok(reply.data.iter().find_map(|data| match data {
            RData::Unknown { rdata, .. } => {
                let text = std::str::from_utf8(&rdata.anything).ok()?;
                OnionAddress::parse(text).ok()
            }
            _ => None,
        }))
    }

    /// The verdict on an alias that leaves `.bit`.
    fn outside(&self, target: &Name) -> Verdict {
        let text = original(target);
        if let Ok(onion) = OnionAddress::parse(&text) {
            return Verdict::Onion(onion);
        }
        if self.query.only_onion() {
            return self.not_found("has no onion service");
        }
        match address::host_name(&text) {
            Ok(host) => Verdict::Host(host),
            Err(_) => self.not_found("is an alias of a name that Tor does not connect to"),
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
        isolation_option::write(&mut message, self.snapshot.isolation());
        let reply = match authority::answer(&message, self.snapshot) {
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
        if let Some(log) = &mut self.log {
            log.push(Looked {
                question: format!("{} {}", original(name), type_name(kind)),
                reply: summary(code, &data, alias.as_ref(), cause.as_ref()),
            });
        }
        match &cause {
            Some(Cause::Failed(failure)) => {
                return Err(Stop::Verdict(Verdict::Unknown(failure.clone())));
            }
            Some(Cause::TooManyImports) => {
                return Err(Stop::Verdict(self.not_found(Cause::TooManyImports.words())));
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

fn ip(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    }
}

fn summary(
    code: ResponseCode,
    data: &[RData],
    alias: Option<&Name>,
    cause: Option<&Cause>,
) -> String {
    if let Some(target) = alias {
        return format!("alias of {}", original(target));
    }
    match cause {
        // The failure itself is told where the name was fetched.
        Some(Cause::Failed(_)) => return "unknown for now".to_owned(),
        Some(cause) => return cause.words().to_owned(),
        None => {}
    }
    match code {
        ResponseCode::NoError => {}
        ResponseCode::NXDomain => return "no such name".to_owned(),
        other => return other.to_str().to_owned(),
    }
    if data.is_empty() {
        return "nothing".to_owned();
    }
    let data: Vec<String> = data.iter().map(shown).collect();
    data.join(", ")
}

/// The type of a question; onion items have none in the DNS.
fn type_name(kind: RecordType) -> String {
    if kind == TOR {
        return "tor".to_owned();
    }
    kind.to_string()
}

fn shown(data: &RData) -> String {
    match data {
        RData::Unknown { code: TOR, rdata } => {
            String::from_utf8_lossy(&rdata.anything).into_owned()
        }
        data => zone::present::data(data),
    }
}
