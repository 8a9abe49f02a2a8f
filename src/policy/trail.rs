//! What was looked at on the way to a verdict, for people who debug a name.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, RecordType};
use thiserror::Error;

use crate::address::InvalidHost;
use crate::authority::cause::Cause;
use crate::onion::InvalidOnion;
use crate::snapshot::Snapshot;
use crate::value::error::ItemError;
use crate::value::items::TOR;
use crate::zone;

use super::original;

/// A question and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The question, as type and owner name.
    pub question: String,
    /// What the engine replied, in a few words.
    pub reply: String,
    /// The owner name with the `*` that stands for a label of it, if any does.
    pub wildcard: Option<String>,
    /// What was considered as the answer, in its order.
    pub candidates: Vec<Candidate>,
    /// What is wrong in the items on the way to the owner name.
    pub errors: Vec<ItemError>,
}

/// Something that could have been the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// An onion service, an address, or the target of an alias.
    pub what: String,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is the answer.
    Taken,
    /// It is an alias, and the search goes on at its target.
    Followed,
    /// It was passed over.
    Passed(Reason),
}

/// Why a candidate was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Reason {
    /// A text that cannot be an onion service.
    #[error("it is no text")]
    NotText,
    /// An onion service that Tor refuses.
    #[error(transparent)]
    Onion(#[from] InvalidOnion),
    /// An address that Tor refuses.
    #[error("an internal address, to which Tor does not connect")]
    Internal,
    /// A host name that no exit resolves.
    #[error(transparent)]
    Host(#[from] InvalidHost),
    /// Something else is the answer already.
    #[error("another one comes before it")]
    Later,
    /// No onion service, where nothing else is answered.
    #[error("only onion services are answered")]
    NotOnion,
    /// An alias where only the item itself counts.
    #[error("the item is not looked for behind an alias")]
    ItemOnly,
    /// An alias below `_tor` that leaves the zone.
    #[error("it leaves .bit, where no onion service is looked for")]
    Leaves,
    /// An alias of a name that was met before.
    #[error("it leads in a circle")]
    Circle,
    /// One alias more than are followed.
    #[error("too many aliases were followed before it")]
    TooMany,
}

/// The record of a query's way; without a log it keeps nothing.
pub(super) struct Trail<'a>(pub Option<&'a mut Vec<Looked>>);

impl Trail<'_> {
    /// Notes a question and its reply.
    pub fn asked(&mut self, name: &Name, kind: RecordType, reply: &Summary<'_>, from: &Snapshot) {
        let Some(log) = &mut self.0 else { return };
        let traced = zone::trace(name, kind, from).ok();
        let (wildcard, errors) = traced.map_or((None, Vec::new()), |traced| {
            (traced.wildcard, traced.errors)
        });
        log.push(Looked {
            question: format!("{} {}", type_name(kind), original(name)),
            reply: reply.words(),
            wildcard,
            candidates: Vec::new(),
            errors,
        });
    }

    /// Notes that a name's addresses are not asked for.
    pub fn addresses_left_out(&mut self, name: &Name) {
        if let Some(log) = &mut self.0 {
            log.push(Looked {
                question: format!("A and AAAA {}", original(name)),
                reply: format!("not asked, as {}", Reason::NotOnion),
                wildcard: None,
                candidates: Vec::new(),
                errors: Vec::new(),
            });
        }
    }

    /// Notes what became of an alias that the last question brought.
    pub fn alias(&mut self, target: &Name, fate: Fate) {
        self.candidate(|| original(target), fate);
    }

    /// Picks the first of the data that the last question brought which passes
    /// a check, and notes what became of each.
    pub fn pick<T>(
        &mut self,
        data: &[RData],
        mut check: impl FnMut(&RData) -> Result<T, Reason>,
    ) -> Option<T> {
        let mut picked = None;
        for one in data {
            let fate = match &picked {
                Some(_) if self.0.is_none() => break,
                Some(_) => Fate::Passed(Reason::Later),
                None => match check(one) {
                    Ok(found) => {
                        picked = Some(found);
                        Fate::Taken
                    }
                    Err(reason) => Fate::Passed(reason),
                },
            };
            self.candidate(|| shown(one), fate);
        }
        picked
    }

    fn candidate(&mut self, what: impl FnOnce() -> String, fate: Fate) {
        if let Some(log) = &mut self.0
            && let Some(looked) = log.last_mut()
        {
            let what = what();
            looked.candidates.push(Candidate { what, fate });
        }
    }
}

/// A reply in so far as it is told.
pub(super) struct Summary<'a> {
    pub code: ResponseCode,
    pub records: usize,
    pub alias: Option<&'a Name>,
    pub cause: Option<&'a Cause>,
}

impl Summary<'_> {
    fn words(&self) -> String {
        if let Some(target) = self.alias {
            return format!("an alias of {}", original(target));
        }
        match (self.cause, self.code, self.records) {
            // The failure itself is told where the name was fetched.
            (Some(Cause::Failed(_)), ..) => "not known for now".to_owned(),
            (Some(cause), ..) => format!("the name {}", cause.words()),
            (None, ResponseCode::NXDomain, _) => "no such name".to_owned(),
            (None, ResponseCode::NoError, 0) => "no record".to_owned(),
            (None, ResponseCode::NoError, 1) => "1 record".to_owned(),
            (None, ResponseCode::NoError, count) => format!("{count} records"),
            (None, other, _) => other.to_str().to_owned(),
        }
    }
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
