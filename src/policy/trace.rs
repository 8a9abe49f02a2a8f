//! A trace of how a verdict came about, for people who debug a name.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, RecordType};
use thiserror::Error;

use crate::address::HostError;
use crate::authority::edns::Cause;
use crate::onion::OnionError;
use crate::snapshot::Snapshot;
use crate::value::ItemError;
use crate::value::items::TOR;
use crate::zone;

use super::query::without_final_dot;

/// One question to the engine, its reply, and what the policy did with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuestionTrace {
    /// The question, as type and owner name.
    pub question: String,
    /// The engine's reply in a few words.
    pub reply: String,
    /// The owner name as the value has it, if a `*` in it matched.
    pub wildcard: Option<String>,
    /// The candidates for the answer, in order.
    pub candidates: Vec<Candidate>,
    /// The errors in the items on the path to the owner name.
    pub errors: Vec<ItemError>,
}

/// Something that could be the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// An onion service, an address, or the target of an alias.
    pub what: String,
    /// What the policy did with it.
    pub outcome: CandidateOutcome,
}

/// What the policy did with a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidateOutcome {
    /// It is the answer.
    Chosen,
    /// It is an alias, and the search continues at its target.
    Followed,
    /// It is not the answer.
    Rejected(CandidateError),
}

/// Why a candidate is not the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CandidateError {
    /// Data that is no text.
    #[error("it is no text")]
    NotText,
    /// An onion service that Tor refuses.
    #[error(transparent)]
    Onion(#[from] OnionError),
    /// An address that Tor refuses.
    #[error("an internal address, to which Tor does not connect")]
    Internal,
    /// A host name that no exit can resolve.
    #[error(transparent)]
    Host(#[from] HostError),
    /// An earlier candidate is the answer.
    #[error("another one comes before it")]
    Later,
    /// No onion service, although only these may be answered.
    #[error("only onion services are answered")]
    NotOnion,
    /// An alias at a name whose item `tor` was asked for.
    #[error("the item is not looked for behind an alias")]
    ItemOnly,
    /// An alias below `_tor` that leaves the zone.
    #[error("it leaves .bit, where no onion service is looked for")]
    LeavesZone,
    /// An alias of a name that was visited before.
    #[error("it leads in a circle")]
    Circle,
    /// What a name server without signatures says of onion services.
    #[error("no signature vouches for it, and the exit relay could have made it up")]
    Unsigned,
    /// One alias more than are followed.
    #[error("too many aliases were followed before it")]
    TooManyAliases,
}

/// Records the trace of a query, if anybody wants one.
pub(super) struct Tracer<'a>(pub Option<&'a mut Vec<QuestionTrace>>);

impl Tracer<'_> {
    /// Records a question and its reply.
    pub fn question(&mut self, name: &Name, kind: RecordType, reply: &Reply, from: &Snapshot) {
        let Some(traces) = &mut self.0 else { return };
        let traced = zone::trace(name, kind, from).ok();
        let (wildcard, errors) = traced.map_or((None, Vec::new()), |traced| {
            (traced.wildcard, traced.errors)
        });
        traces.push(QuestionTrace {
            question: format!("{} {}", type_name(kind), without_final_dot(name)),
            reply: reply.summary(),
            wildcard,
            candidates: Vec::new(),
            errors,
        });
    }

    /// Records that the addresses of a name are not asked for.
    pub fn addresses_omitted(&mut self, name: &Name) {
        if let Some(traces) = &mut self.0 {
            traces.push(QuestionTrace {
                question: format!("A and AAAA {}", without_final_dot(name)),
                reply: format!("not asked, as {}", CandidateError::NotOnion),
                wildcard: None,
                candidates: Vec::new(),
                errors: Vec::new(),
            });
        }
    }

    /// Records the outcome of an alias in the last reply.
    pub fn alias(&mut self, target: &Name, outcome: CandidateOutcome) {
        self.candidate(|| without_final_dot(target), outcome);
    }

    /// Records that none of the data in the last reply counts.
    pub fn reject_all(&mut self, data: &[RData], error: CandidateError) {
        for one in data {
            self.candidate(|| data_text(one), CandidateOutcome::Rejected(error));
        }
    }

    /// Chooses the first data in the last reply that passes a check, and records
    /// the outcome of all.
    pub fn choose<T>(
        &mut self,
        data: &[RData],
        mut check: impl FnMut(&RData) -> Result<T, CandidateError>,
    ) -> Option<T> {
        let mut chosen = None;
        for one in data {
            let outcome = match &chosen {
                Some(_) if self.0.is_none() => break,
                Some(_) => CandidateOutcome::Rejected(CandidateError::Later),
                None => match check(one) {
                    Ok(found) => {
                        chosen = Some(found);
                        CandidateOutcome::Chosen
                    }
                    Err(error) => CandidateOutcome::Rejected(error),
                },
            };
            self.candidate(|| data_text(one), outcome);
        }
        chosen
    }

    fn candidate(&mut self, what: impl FnOnce() -> String, outcome: CandidateOutcome) {
        if let Some(question) = self.0.as_mut().and_then(|traces| traces.last_mut()) {
            let what = what();
            question.candidates.push(Candidate { what, outcome });
        }
    }
}

/// Who vouches for a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The chain: it comes from values.
    Chain,
    /// A name server whose signatures the chain vouches for.
    Signed,
    /// A name server, or whoever is on the way to it.
    Unsigned,
}

/// The parts of a reply that matter to the policy.
pub(super) struct Reply {
    /// The data of the type asked for.
    pub data: Vec<RData>,
    /// The target of a CNAME record in the answer, synthesised or not.
    pub alias: Option<Name>,
    pub code: ResponseCode,
    pub cause: Option<Cause>,
    /// Who vouches for it.
    pub from: Origin,
}

impl Reply {
    fn summary(&self) -> String {
        let by = match self.from {
            Origin::Chain => "",
            Origin::Signed => ", signed by its name servers",
            Origin::Unsigned => ", as its name servers say, unsigned",
        };
        if let Some(target) = &self.alias {
            return format!("an alias of {}{by}", without_final_dot(target));
        }
        let summary = match (&self.cause, self.code, self.data.len()) {
            // The failure itself is reported with the fetch.
            (Some(Cause::Failed(_)), ..) => "not known for now".to_owned(),
            (Some(cause), ..) => format!("the name {}", cause.words()),
            (None, ResponseCode::NXDomain, _) => "no such name".to_owned(),
            (None, ResponseCode::NoError, 0) => "no record".to_owned(),
            (None, ResponseCode::NoError, 1) => "1 record".to_owned(),
            (None, ResponseCode::NoError, count) => format!("{count} records"),
            (None, other, _) => other.to_str().to_owned(),
        };
        summary + by
    }
}

/// The type of a question; that of onion services is none of the DNS.
fn type_name(kind: RecordType) -> String {
    if kind == TOR {
        return "tor".to_owned();
    }
    kind.to_string()
}

fn data_text(data: &RData) -> String {
    match data {
        RData::Unknown { code: TOR, rdata } => {
            String::from_utf8_lossy(&rdata.anything).into_owned()
        }
        data => zone::listing::data(data),
    }
}
