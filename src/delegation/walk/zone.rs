//! What a zone's replies say, by what vouches for the zone.

use hickory_proto::dnssec::rdata::DS;
use hickory_proto::dnssec::{Algorithm, DigestType};
use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RecordType};

use super::super::dnssec::{Bogus, Keys, Now, Validated, Work};
use super::super::message::{self, MAX_DATA, Meaning, Referral};
use crate::snapshot::delegated::{Question, Reply};

/// A zone on the way, and what is known of it.
pub struct Zone {
    /// Its name, in lower case.
    pub name: Name,
    /// Where a proxy is to connect to.
    pub servers: Vec<String>,
    /// What vouches for its answers.
    pub trust: Trust,
    /// For how many seconds the way to it holds.
    pub ttl: u32,
    /// The zone that referred to it, and which of its servers did: nobody vouches
    /// for the names of servers, so this one may have lied.
    pub parent: Option<(Name, String)>,
}

/// What vouches for the answers of a zone.
pub enum Trust {
    /// Nothing.
    Unsigned,
    /// These records, which its keys have to match.
    Delegation(Vec<DS>),
    /// Its keys.
    Keys(Keys),
}

/// What one reply said.
pub enum Said {
    Reply(Reply, u32),
    Zone(Box<Zone>),
    /// There may be a cut at or above this name.
    Hidden(Name),
}

/// The DS records of a question (RFC 4034 section 5.1). Data too short for one
/// vouches for nothing, but still demands signatures.
pub fn ds(question: &Question) -> Vec<DS> {
    let ds = question.ds.iter().map(|data| match data.as_slice() {
        [tag, tag2, algorithm, digest_type, digest @ ..] => DS::new(
            u16::from_be_bytes([*tag, *tag2]),
            Algorithm::from_u8(*algorithm),
            DigestType::from(*digest_type),
            digest.to_vec(),
        ),
        _ => DS::new(0, Algorithm::Unknown(0), DigestType::Unknown(0), Vec::new()),
    });
    ds.collect()
}

/// What a reply of a zone's server says; the error is why it says nothing, in
/// words that follow "a name server", or `None` if its keys are not known.
pub fn said(
    zone: &Zone,
    name: &Name,
    kind: RecordType,
    reply: &Message,
    now: Now,
    work: &mut Work,
) -> Result<Said, Option<String>> {
    match &zone.trust {
        Trust::Delegation(_) => Err(None),
        Trust::Unsigned => {
            let meaning = message::meaning(reply, name, kind, &zone.name);
            unsigned(meaning.map_err(|lame| Some(lame.to_string()))?)
        }
        Trust::Keys(keys) => match keys.answer(name, kind, reply, now, work) {
            Ok(Validated::OptOut { ttl }) => {
                let meaning = message::meaning(reply, name, kind, &zone.name);
                let meaning = meaning.map_err(|lame| Some(lame.to_string()))?;
                Ok(match unsigned(meaning)? {
                    Said::Reply(reply, own) => Said::Reply(reply, own.min(ttl).min(keys.ttl())),
                    other => other,
                })
            }
            Ok(validated) => Ok(match signed(zone, name, reply, validated)? {
                Said::Reply(reply, ttl) => Said::Reply(reply, ttl.min(keys.ttl())),
                other => other,
            }),
            Err(Bogus::Unsigned) => Ok(Said::Hidden(name.clone())),
            Err(bogus) => Err(Some(words(&bogus))),
        },
    }
}

fn unsigned(meaning: Meaning) -> Result<Said, Option<String>> {
    let reply = Reply {
        exists: true,
        data: Vec::new(),
        alias: None,
        is_signed: false,
    };
    Ok(match meaning {
        Meaning::Data { data, ttl } => Said::Reply(Reply { data, ..reply }, ttl),
        Meaning::Alias { target, ttl } => {
            let alias = Some(target);
            Said::Reply(Reply { alias, ..reply }, ttl)
        }
        Meaning::Absent { exists, ttl } => Said::Reply(Reply { exists, ..reply }, ttl),
        Meaning::Referral(Referral { zone, servers, ttl }) => Said::Zone(Box::new(Zone {
            name: zone,
            servers,
            trust: Trust::Unsigned,
            ttl,
            parent: None,
        })),
    })
}

fn signed(
    zone: &Zone,
    name: &Name,
    reply: &Message,
    validated: Validated,
) -> Result<Said, Option<String>> {
    let nothing = Reply {
        exists: true,
        data: Vec::new(),
        alias: None,
        is_signed: true,
    };
    Ok(match validated {
        Validated::Data {
            records: mut data,
            ttl,
        } => {
            data.truncate(MAX_DATA);
            Said::Reply(Reply { data, ..nothing }, ttl)
        }
        Validated::Alias { target, ttl } => {
            let alias = Some(target.to_lowercase());
            Said::Reply(Reply { alias, ..nothing }, ttl)
        }
        Validated::NoData { ttl } => Said::Reply(nothing, ttl),
        Validated::NoName { ttl } => {
            let exists = false;
            Said::Reply(Reply { exists, ..nothing }, ttl)
        }
        Validated::Below { child } => Said::Hidden(child),
        // The caller takes it for what an unsigned reply says.
        Validated::OptOut { .. } => return Err(Some("contradicted itself".to_owned())),
        Validated::Referral { child, ds, ttl } => {
            let referral = message::referral(reply, name, &zone.name);
            let referral = referral.filter(|referral| referral.zone == child);
            let Some(Referral {
                zone,
                servers,
                ttl: of_servers,
            }) = referral
            else {
                return Err(Some("contradicted itself".to_owned()));
            };
            let trust = ds.map_or(Trust::Unsigned, Trust::Delegation);
            Said::Zone(Box::new(Zone {
                name: zone,
                servers,
                trust,
                ttl: ttl.min(of_servers),
                parent: None,
            }))
        }
    })
}

/// Why a reply is not believed, in words that follow "a name server".
pub fn words(bogus: &Bogus) -> String {
    format!("gave an answer that cannot be verified: {bogus}")
}
