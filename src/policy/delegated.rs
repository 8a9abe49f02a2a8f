//! Names that end at a delegation: which name servers to ask, and for what
//! (`spec/delegations.md`).

use std::collections::BTreeSet;
use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::BinEncodable;

use crate::authority::edns::Cause;
use crate::snapshot::delegated::{
    self, MAX_MESSAGES, Question, server_at, server_by_data, server_by_name,
};
use crate::snapshot::{FetchError, FetchErrorKind, Key};
use crate::value::items::Server;
use crate::zone::{self, Cut, Located};

use super::trace::{Origin, Reply};
use super::verdict::Verdict;
use super::{MAX_HOPS, Policy, Step};

/// How many name servers of one delegation count.
const MAX_SERVERS: usize = 8;

/// The label of onion services.
const TOR_LABEL: &[u8] = b"_tor";

impl Policy<'_> {
    /// What the name servers answer to a question that the engine answered with
    /// a referral.
    pub(super) fn ask_servers(&mut self, name: &Name, kind: RecordType) -> Result<Reply, Step> {
        let cut = match self.zone.locate(name, RecordType::NS) {
            Ok(Located::Delegated(cut)) => cut,
            _ => return Err(Step::Done(Verdict::Unknown(FetchError::bug()))),
        };
        let Some(name_there) = translated(name, &cut) else {
            return Ok(nothing(ResponseCode::YXDomain));
        };
        if cut.has_ds && !cut.ds.iter().any(is_verifiable) {
            let why = "is delegated with DS records that cannot be verified";
            return Err(Step::Done(self.not_found(why)));
        }
        let asked = self.questions(name, &name_there, kind, &cut);
        if !asked.contains(&(name_there.clone(), kind)) {
            // Whoever answers without signatures is not believed about it.
            return Ok(Reply {
                cause: Some(Cause::Delegated),
                ..nothing(ResponseCode::NoError)
            });
        }
        let question = Question {
            zone: cut.translate.clone().unwrap_or_else(|| cut.owner.clone()),
            servers: Vec::new(),
            ds: cut.ds.iter().filter_map(|ds| ds.to_bytes().ok()).collect(),
            asked,
            messages: 0,
        };
        // What has to be resolved first waits for what can be asked at once.
        let mut last = match known_servers(&cut) {
            servers if servers.is_empty() => None,
            servers => Some(self.ask_some(&question, servers, &name_there, kind)?),
        };
        let is_answered = last.as_ref().is_some_and(|reply| match reply {
            Ok(_) => true,
            Err(failure) => failure.kind != FetchErrorKind::NameServers,
        });
        if !is_answered {
            match self.servers_in_bit(&cut)? {
                Ok(servers) if servers.is_empty() => {}
                Ok(servers) => {
                    last = Some(self.ask_some(&question, servers, &name_there, kind)?);
                }
                // One that is not known for now might be the right one.
                Err(failure) => last = last.or(Some(Err(failure))),
            }
        }
        let Some(reply) = last else {
            let why = "is delegated to name servers that Tor cannot connect to";
            return Err(Step::Done(self.not_found(why)));
        };
        let reply = reply.map_err(|failure| Step::Done(Verdict::Unknown(failure)))?;
        Ok(Reply {
            data: reply.data,
            alias: reply.alias.map(|alias| translated_back(alias, &cut)),
            code: match reply.exists {
                true => ResponseCode::NoError,
                false => ResponseCode::NXDomain,
            },
            cause: None,
            from: match reply.is_signed {
                true => Origin::Signed,
                false => Origin::Unsigned,
            },
        })
    }

    /// What some servers answer, as far as it is known.
    fn ask_some(
        &mut self,
        question: &Question,
        servers: Vec<String>,
        name: &Name,
        kind: RecordType,
    ) -> Result<Result<delegated::Reply, FetchError>, Step> {
        let mut question = Question {
            servers,
            ..question.clone()
        };
        let snapshot = self.zone.snapshot();
        let Some(answer) = snapshot.delegated(&question) else {
            question.messages = self.messages_left()?;
            let key = Key::Delegated(Arc::new(question));
            return Err(Step::Need(BTreeSet::from([key])));
        };
        let reply = match answer {
            Err(failure) => Err(failure.clone()),
            Ok(answer) => question
                .position(name, kind)
                .and_then(|at| answer.replies.get(at).cloned())
                .unwrap_or_else(|| Err(FetchError::bug())),
        };
        if !self.asked.contains(&question) {
            self.asked.push(question);
        }
        Ok(reply)
    }

    /// All that the servers are asked at once with a question: what the policy
    /// might ask next about the same name.
    fn questions(
        &self,
        name: &Name,
        name_there: &Name,
        kind: RecordType,
        cut: &Cut,
    ) -> Vec<(Name, RecordType)> {
        let is_tor = name.iter().next() == Some(TOR_LABEL);
        if kind == RecordType::TXT && !is_tor {
            // The target of an alias at `_tor`.
            return match cut.ds.is_empty() {
                true => Vec::new(),
                false => vec![(name_there.clone(), kind)],
            };
        }
        let is_tor = is_tor && kind == RecordType::TXT;
        let (base, base_there) = match is_tor {
            true => (name.base_name(), name_there.base_name()),
            false => (name.clone(), name_there.clone()),
        };
        let mut questions = Vec::new();
        // Only what is signed may lead to an onion service.
        if !cut.ds.is_empty()
            && let Ok(tor) = base_there.prepend_label(TOR_LABEL)
        {
            questions.push((tor, RecordType::TXT));
        }
        // Where only `_tor` is delegated, the rest is ours.
        if cut.owner.zone_of(&base) {
            let kinds: &[_] = match self.only_onion {
                true if cut.ds.is_empty() => &[],
                true => &[RecordType::CNAME],
                false => &[RecordType::A, RecordType::AAAA],
            };
            questions.extend(kinds.iter().map(|kind| (base_there.clone(), *kind)));
        }
        questions
    }

    /// Where a proxy is to connect to for those servers of a cut whose own names
    /// are in `.bit`; the error is why one of them is not known for now.
    fn servers_in_bit(&mut self, cut: &Cut) -> Result<Result<Vec<String>, FetchError>, Step> {
        let mut servers = Vec::new();
        let mut failure = None;
        for server in cut.ns.iter().take(MAX_SERVERS) {
            let Server::Name { name, .. } = server else {
                continue;
            };
            if cut.owner.zone_of(name) || !zone::apex().zone_of(name) {
                continue;
            }
            match self.server_in_bit(name)? {
                Verdict::Onion(onion) => add(&mut servers, onion.into_string()),
                Verdict::Address(address) => add(&mut servers, address.to_string()),
                Verdict::Host(host) => add(&mut servers, host),
                Verdict::Unknown(why) => failure = Some(why),
                Verdict::NotInZone(_) | Verdict::NotFound(_) => {}
            }
        }
        Ok(match failure {
            Some(failure) if servers.is_empty() => Err(failure),
            _ => Ok(servers),
        })
    }

    /// What a name server inside `.bit` leads to. Its name is resolved like any
    /// other, within the bounds of the query; one that is being resolved already
    /// leads nowhere.
    fn server_in_bit(&mut self, name: &Name) -> Result<Verdict, Step> {
        let name = name.to_lowercase();
        if self.resolving.contains(&name) || self.resolving.len() >= MAX_HOPS {
            let why = "is delegated in a circle";
            return Ok(Verdict::NotFound(why.to_owned()));
        }
        self.resolving.push(name.clone());
        // What may be answered, and what was signed so far, does not matter here.
        let is_unsigned = std::mem::take(&mut self.is_unsigned);
        let only_onion = std::mem::take(&mut self.only_onion);
        let found = self.follow(&name);
        (self.is_unsigned, self.only_onion) = (is_unsigned, only_onion);
        self.resolving.pop();
        match found {
            // Whatever keeps its name from being resolved, others may do.
            Err(Step::Done(verdict)) => Ok(verdict),
            other => other,
        }
    }

    /// How many more messages may be sent for this query.
    fn messages_left(&self) -> Result<u8, Step> {
        let snapshot = self.zone.snapshot();
        let sent = self.asked.iter().map(|question| {
            let answer = snapshot.delegated(question);
            answer.map_or(0, |answer| answer.as_ref().map_or(0, |one| one.messages))
        });
        let sent = sent.fold(0, u8::saturating_add);
        match MAX_MESSAGES.checked_sub(sent).filter(|left| *left > 0) {
            Some(left) => Ok(left),
            None => Err(Step::Done(Verdict::Unknown(FetchError::new(
                FetchErrorKind::NameServers,
                "the name servers of the name and its aliases would have to be asked too often",
            )))),
        }
    }
}

/// Whether a DS record has an algorithm and a digest that are believed
/// (`spec/delegations.md`).
fn is_verifiable(ds: &RData) -> bool {
    // Key tag, algorithm, digest type, digest (RFC 4034 section 5.1).
    let bytes = ds.to_bytes().unwrap_or_default();
    matches!(bytes.as_slice(), [_, _, 8 | 13 | 14 | 15, 2 | 4, ..])
}

/// Those servers of a cut that need not be resolved first, in the order of the
/// value.
fn known_servers(cut: &Cut) -> Vec<String> {
    let mut servers = Vec::new();
    for server in cut.ns.iter().take(MAX_SERVERS) {
        let found: Vec<String> = match server {
            Server::Address(address) => server_at(*address).into_iter().collect(),
            Server::Name { name, .. } if cut.owner.zone_of(name) => {
                let glue = cut.glue.iter().filter(|(owner, _)| owner == name);
                glue.filter_map(|(_, data)| server_by_data(data)).collect()
            }
            Server::Name { name, .. } => server_by_name(name).into_iter().collect(),
        };
        found.into_iter().for_each(|one| add(&mut servers, one));
    }
    servers
}

/// Adds a server, once, if there are not too many.
fn add(servers: &mut Vec<String>, server: String) {
    if servers.len() < MAX_SERVERS && !servers.contains(&server) {
        servers.push(server);
    }
}

/// A name that the servers of a cut gave, as it is called in `.bit`, if it is one
/// of those that are translated.
fn translated_back(name: Name, cut: &Cut) -> Name {
    let Some(target) = cut
        .translate
        .as_ref()
        .filter(|target| target.zone_of(&name))
    else {
        return name;
    };
    let kept = name.iter().count() - target.iter().count();
    let labels = name.iter().take(kept).chain(cut.owner.iter());
    match Name::from_labels(labels) {
        Ok(mut back) => {
            back.set_fqdn(true);
            back
        }
        // Longer than a name may be: it is left to the rules for other names.
        Err(_) => name,
    }
}

fn nothing(code: ResponseCode) -> Reply {
    Reply {
        data: Vec::new(),
        alias: None,
        code,
        cause: None,
        from: Origin::Chain,
    }
}

/// What a name below a cut is called at the name servers; `None` if that would
/// be too long.
fn translated(name: &Name, cut: &Cut) -> Option<Name> {
    let Some(target) = &cut.translate else {
        return Some(name.clone());
    };
    let kept = name.iter().count().saturating_sub(cut.owner.iter().count());
    let labels = name.iter().take(kept).chain(target.iter());
    let mut name = Name::from_labels(labels).ok()?;
    name.set_fqdn(true);
    Some(name.to_lowercase())
}
