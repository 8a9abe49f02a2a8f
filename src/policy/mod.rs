//! The answer policy: which of the things that a name's owner published is the
//! answer, and how to put into words why there is none (`spec/resolution.md`).
//!
//! The policy asks the [`authority`] one question after another, in DNS messages
//! that carry the isolation id. Like the engine it does no I/O: it returns a
//! [`Verdict`], or the names that are still needed.

mod delegated;
mod query;
mod trace;
mod verdict;

use std::collections::BTreeSet;
use std::net::IpAddr;

use hickory_proto::op::{Message, MessageType, OpCode, Query as DnsQuery, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use crate::address;
use crate::authority::edns::{self, Cause};
use crate::authority::{self, Outcome};
use crate::onion::{OnionAddress, OnionError};
use crate::snapshot::{FetchError, Finding, Key, NameKey, Snapshot, delegated as servers};
use crate::value::items::TOR;
use crate::value::work::Parsed;
use crate::zone::{self, Zone};

use query::without_final_dot;
use trace::{Origin, Reply, Tracer};

pub use query::{Query, Question};
pub use trace::{Candidate, CandidateError, CandidateOutcome, QuestionTrace};
pub use verdict::{CachedAnswer, Status, Verdict};

/// How many aliases are followed inside `.bit`.
pub const MAX_HOPS: usize = 8;

/// How far a query got with a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The query has its verdict.
    Done(Verdict),
    /// The snapshot lacks these names.
    Need(BTreeSet<Key>),
}

/// A query, the names it knows, and what was parsed of their values: all that
/// one evaluation passes on to the next.
#[derive(Debug)]
pub struct Evaluation {
    query: Query,
    snapshot: Snapshot,
    parsed: Parsed,
}

impl Evaluation {
    /// A query that knows what is in a snapshot.
    pub fn new(query: Query, snapshot: Snapshot) -> Self {
        Self {
            query,
            snapshot,
            parsed: Parsed::default(),
        }
    }

    /// The query.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The names known so far.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Adds what was fetched, or failed to be.
    pub fn learn(&mut self, key: Key, result: Result<Finding, FetchError>) {
        if let Key::Name(key) = &key {
            self.parsed.forget(key);
        }
        self.snapshot.learn(key, result);
    }

    /// Resolves the query as far as the known names permit.
    pub fn step(&mut self) -> Step {
        evaluate(&self.query, &self.snapshot, &mut self.parsed, None)
    }
}

/// Resolves a query as far as a snapshot permits.
pub fn resolve(query: &Query, snapshot: &Snapshot) -> Step {
    evaluate(query, snapshot, &mut Parsed::default(), None)
}

/// Like [`resolve`], and records every question with its outcome.
pub fn explain(query: &Query, snapshot: &Snapshot, traces: &mut Vec<QuestionTrace>) -> Step {
    evaluate(query, snapshot, &mut Parsed::default(), Some(traces))
}

fn evaluate(
    query: &Query,
    snapshot: &Snapshot,
    parsed: &mut Parsed,
    traces: Option<&mut Vec<QuestionTrace>>,
) -> Step {
    let mut message = Message::new(0, MessageType::Query, OpCode::Query);
    edns::write_isolation(&mut message, snapshot.isolation());
    let mut policy = Policy {
        query,
        zone: Zone::new(snapshot, parsed),
        message,
        tracer: Tracer(traces),
        only_onion: query.only_onion(),
        asked: Vec::new(),
        resolving: Vec::new(),
        is_unsigned: false,
    };
    let step = policy.run().map_or_else(|step| step, Step::Done);
    require_progress(step, snapshot)
}

/// Replaces a step that needs nothing new, which only a bug can cause, by a
/// failure of this program. Otherwise the query would be evaluated endlessly.
fn require_progress(step: Step, snapshot: &Snapshot) -> Step {
    match step {
        Step::Need(keys) if keys.iter().all(|key| snapshot.has(key)) => {
            Step::Done(Verdict::Unknown(FetchError::bug()))
        }
        step => step,
    }
}

/// One evaluation of a query. In its methods, an error is the step that ends the
/// evaluation early.
struct Policy<'a> {
    query: &'a Query,
    zone: Zone<'a>,
    /// Carries the isolation id; each question is put into it in turn.
    message: Message,
    tracer: Tracer<'a>,
    /// Whether only onion services count.
    only_onion: bool,
    /// What name servers were asked so far.
    asked: Vec<servers::Question>,
    /// Name servers in `.bit` whose own names are being resolved.
    resolving: Vec<Name>,
    /// Whether an alias that nobody vouches for was followed: whoever forged it
    /// must not lead to an onion service of theirs.
    is_unsigned: bool,
}

/// What one name leads to.
enum Found {
    Verdict(Verdict),
    Alias(Name),
}

impl Policy<'_> {
    fn run(&mut self) -> Result<Verdict, Step> {
        let name = self.query.name().clone();
        self.follow(&name)
    }

    /// Resolves a name inside `.bit`, along its aliases.
    fn follow(&mut self, name: &Name) -> Result<Verdict, Step> {
        let mut name = name.clone();
        let mut seen = vec![name.clone()];
        loop {
            let target = match self.find_at(&name)? {
                Found::Verdict(verdict) => return Ok(verdict),
                Found::Alias(target) => target,
            };
            if !zone::apex().zone_of(&target) {
                return Ok(self.outside(&target));
            }
            if let Some(error) = obstacle(&target, &seen) {
                self.reject(&target, error);
                return Ok(match error {
                    CandidateError::Circle => self.not_found("follows aliases in a circle"),
                    _ => self.not_found(&format!("follows more than {MAX_HOPS} aliases")),
                });
            }
            self.tracer.alias(&target, CandidateOutcome::Followed);
            seen.push(target.clone());
            name = target;
        }
    }

    /// Examines one name: the onion service at `_tor`, that in the item `tor`,
    /// addresses, and an alias.
    fn find_at(&mut self, name: &Name) -> Result<Found, Step> {
        if let Some(onion) = self.onion_below(name)? {
            return Ok(Found::Verdict(Verdict::Onion(onion)));
        }
        if let Some(onion) = self.onion_item(name)? {
            return Ok(Found::Verdict(Verdict::Onion(onion)));
        }
        let mut reply = if self.only_onion {
            self.tracer.addresses_omitted(name);
            self.ask(name, RecordType::CNAME)?
        } else {
            self.ask(name, RecordType::A)?
        };
        // A reply to any question contains the alias, if there is one.
        if reply.alias.is_none() && !self.only_onion {
            if let Some(address) = self.tracer.choose(&reply.data, public_address) {
                return Ok(Found::Verdict(Verdict::Address(address)));
            }
            reply = self.ask(name, RecordType::AAAA)?;
            if let Some(address) = self.tracer.choose(&reply.data, public_address) {
                return Ok(Found::Verdict(Verdict::Address(address)));
            }
        }
        Ok(match reply.alias {
            Some(target) => {
                self.is_unsigned |= reply.from == Origin::Unsigned;
                Found::Alias(target)
            }
            None => Found::Verdict(self.nothing_at(name, &reply)),
        })
    }

    /// The first onion service that Tor accepts in the TXT records at
    /// `_tor.<name>`. An alias there is followed inside `.bit`.
    fn onion_below(&mut self, name: &Name) -> Result<Option<OnionAddress>, Step> {
        let Ok(mut owner) = name.prepend_label("_tor") else {
            return Ok(None);
        };
        let mut seen = vec![owner.clone()];
        loop {
            let reply = self.ask(&owner, RecordType::TXT)?;
            if reply.from == Origin::Unsigned {
                // Below a signed zone there may be one without signatures.
                self.tracer
                    .reject_all(&reply.data, CandidateError::Unsigned);
                return Ok(None);
            }
            if let Some(onion) = self.choose_onion(&reply.data, text_of_txt)? {
                return Ok(Some(onion));
            }
            let Some(target) = reply.alias else {
                return Ok(None);
            };
            let leaves_zone =
                (!zone::apex().zone_of(&target)).then_some(CandidateError::LeavesZone);
            if let Some(error) = leaves_zone.or_else(|| obstacle(&target, &seen)) {
                self.reject(&target, error);
                return Ok(None);
            }
            self.tracer.alias(&target, CandidateOutcome::Followed);
            seen.push(target.clone());
            owner = target;
        }
    }

    /// The first onion service in the item `tor` of a name (IFA-0002).
    fn onion_item(&mut self, name: &Name) -> Result<Option<OnionAddress>, Step> {
        let reply = self.ask(name, TOR)?;
        if let Some(target) = &reply.alias {
            self.reject(target, CandidateError::ItemOnly);
        }
        self.choose_onion(&reply.data, text_of_item)
    }

    /// The first onion service among texts in records. The checks count as work
    /// of the query.
    fn choose_onion(
        &mut self,
        data: &[RData],
        text: impl Fn(&RData) -> Result<String, CandidateError>,
    ) -> Result<Option<OnionAddress>, Step> {
        if self.is_unsigned {
            self.tracer.reject_all(data, CandidateError::Unsigned);
            return Ok(None);
        }
        let work = self.zone.work();
        let chosen = self
            .tracer
            .choose(data, |data| Ok(work.onion(&text(data)?)?));
        match work.check() {
            Ok(()) => Ok(chosen),
            Err(_) => Err(Step::Done(self.not_found(Cause::TooComplicated.words()))),
        }
    }

    /// The verdict on an alias that leaves `.bit`.
    fn outside(&mut self, target: &Name) -> Verdict {
        let text = without_final_dot(target);
        let not_onion = match OnionAddress::parse(&text) {
            Ok(_) if self.is_unsigned => {
                self.reject(target, CandidateError::Unsigned);
                return self.not_found(
                    "is an alias of an onion service, which its name servers did not sign",
                );
            }
            Ok(onion) => {
                self.tracer.alias(target, CandidateOutcome::Chosen);
                return Verdict::Onion(onion);
            }
            Err(error) => error,
        };
        if self.only_onion {
            self.reject(target, CandidateError::NotOnion);
            return self.not_found("has no onion service");
        }
        match address::host_name(&text) {
            Ok(host) => {
                self.tracer.alias(target, CandidateOutcome::Chosen);
                Verdict::Host(host)
            }
            Err(error) => {
                let error = match not_onion {
                    OnionError::NotOnion => error.into(),
                    onion => onion.into(),
                };
                self.reject(target, error);
                self.not_found("is an alias of a name that Tor does not connect to")
            }
        }
    }

    fn reject(&mut self, alias: &Name, error: CandidateError) {
        self.tracer.alias(alias, CandidateOutcome::Rejected(error));
    }

    /// The verdict on a name without any candidate.
    fn nothing_at(&self, name: &Name, reply: &Reply) -> Verdict {
        let missing = match self.only_onion {
            true => "has no onion service",
            false => "has no address",
        };
        let why = match &reply.cause {
            Some(Cause::Delegated) if self.zone.snapshot().follows_delegations() => {
                "has no onion service that its name servers signed"
            }
            Some(cause) => cause.words(),
            None if reply.code == ResponseCode::YXDomain => "becomes too long by a DNAME record",
            None if reply.code == ResponseCode::NXDomain => "has no such subdomain",
            None if reply.from == Origin::Chain => missing,
            None if self.only_onion => missing,
            None => "has no address at its name servers",
        };
        if name == self.query.name() {
            self.not_found(why)
        } else {
            let name = without_final_dot(name);
            self.not_found(&format!("is an alias of {name}, which {why}"))
        }
    }

    fn not_found(&self, why: &str) -> Verdict {
        Verdict::NotFound(format!("{} {why}", without_final_dot(self.query.name())))
    }

    /// Asks the engine one question. A failure ends the evaluation.
    fn ask(&mut self, name: &Name, kind: RecordType) -> Result<Reply, Step> {
        self.message.queries = vec![DnsQuery::query(name.clone(), kind)];
        let message = match authority::answer_from(&self.message, &mut self.zone) {
            Outcome::Reply(message) => message,
            Outcome::Need(keys) => return Err(need(keys)),
        };
        let mut reply = Reply {
            data: Vec::new(),
            alias: None,
            code: message.metadata.response_code,
            cause: Cause::of(&message),
            from: Origin::Chain,
        };
        for record in message.answers {
            match record.data {
                RData::CNAME(target) => reply.alias = Some(target.0),
                other if other.record_type() == kind => reply.data.push(other),
                _ => {}
            }
        }
        let is_delegated = matches!(reply.cause, Some(Cause::Delegated));
        if is_delegated && kind != TOR && self.zone.snapshot().follows_delegations() {
            reply = self.ask_servers(name, kind)?;
        }
        self.tracer
            .question(name, kind, &reply, self.zone.snapshot());
        match &reply.cause {
            Some(Cause::Failed(failure)) => Err(Step::Done(Verdict::Unknown(failure.clone()))),
            Some(cause @ (Cause::TooManyImports | Cause::TooComplicated)) => {
                Err(Step::Done(self.not_found(cause.words())))
            }
            _ => Ok(reply),
        }
    }
}

/// Why an alias inside the zone is not followed after the names in `seen`.
fn obstacle(target: &Name, seen: &[Name]) -> Option<CandidateError> {
    if seen.contains(target) {
        Some(CandidateError::Circle)
    } else {
        (seen.len() > MAX_HOPS).then_some(CandidateError::TooManyAliases)
    }
}

fn need(keys: BTreeSet<NameKey>) -> Step {
    Step::Need(keys.into_iter().map(Key::Name).collect())
}

fn public_address(data: &RData) -> Result<IpAddr, CandidateError> {
    let address = match data {
        RData::A(address) => IpAddr::V4(address.0),
        RData::AAAA(address) => IpAddr::V6(address.0),
        _ => return Err(CandidateError::NotText),
    };
    if address::is_public(address) {
        Ok(address)
    } else {
        Err(CandidateError::Internal)
    }
}

/// The text of a TXT record, its strings joined.
fn text_of_txt(data: &RData) -> Result<String, CandidateError> {
    match data {
        RData::TXT(txt) => text(txt.txt_data.concat()),
        _ => Err(CandidateError::NotText),
    }
}

/// The text of an item `tor`.
fn text_of_item(data: &RData) -> Result<String, CandidateError> {
    match data {
        RData::Unknown { rdata, .. } => text(rdata.anything.clone()),
        _ => Err(CandidateError::NotText),
    }
}

fn text(bytes: Vec<u8>) -> Result<String, CandidateError> {
    String::from_utf8(bytes).map_err(|_| CandidateError::NotText)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolation::IsolationId;
    use crate::snapshot::{Absence, Entry, FetchErrorKind, Fetched};

    fn key(text: &str) -> NameKey {
        NameKey::new(text).unwrap()
    }

    /// They do not count as imports.
    #[test]
    fn a_snapshot_may_know_names_that_the_query_does_not_use() {
        let mut snapshot = Snapshot::new(IsolationId::shared());
        for n in 0..100 {
            let absent = Entry::Known(Fetched::Absent(Absence::NeverExisted));
            snapshot.insert(key(&format!("d/{n}")), absent);
        }
        let query = Query::parse(b"example.bit", false).unwrap();
        let needed = BTreeSet::from([key("d/example").into()]);
        assert_eq!(resolve(&query, &snapshot), Step::Need(needed));
    }

    #[test]
    fn needing_nothing_new_is_a_bug_and_no_fault_of_the_owner() {
        let mut snapshot = Snapshot::new(IsolationId::shared());
        let needs = |keys: &[&str]| Step::Need(keys.iter().map(|one| key(one).into()).collect());
        let absent = Entry::Known(Fetched::Absent(Absence::NeverExisted));
        snapshot.insert(key("d/a"), absent);
        for step in [needs(&[]), needs(&["d/a"])] {
            let Step::Done(verdict) = require_progress(step, &snapshot) else {
                panic!("the query would be evaluated endlessly");
            };
            assert_eq!(verdict.status(), Status::Failure);
            assert!(
                matches!(&verdict, Verdict::Unknown(why) if why.kind == FetchErrorKind::Internal)
            );
        }
        let step = needs(&["d/a", "d/b"]);
        assert_eq!(require_progress(step.clone(), &snapshot), step);
    }
}
