//! The way from the servers that a value names to those that answer: zone by zone,
//! along referrals (RFC 1034 section 5.3.3), with signatures verified on the way.

mod zone;

use std::sync::Arc;
use std::time::Duration;

use hickory_proto::rr::{Name, RecordType};

use super::asking::{Ask, AskError, Judgement, ROUNDS};
use super::dnssec::{Bogus, Keys, Now, Validated, Work};
use super::exchange::Heard;
use super::message::Extensions;
use crate::snapshot::delegated::{Answer, Question, Reply, server_by_data};
use crate::snapshot::{FetchError, FetchErrorKind};

use zone::{Said, Trust, Zone, ds, said, words};

/// A walk for one fetch.
pub struct Walk<A> {
    asking: A,
    now: Now,
    work: Work,
    zones: Vec<Zone>,
    hints: Vec<Hint>,
    /// By the position of the question: what is known of it, and for how many
    /// seconds that holds.
    known: Vec<Option<Result<(Reply, u32), FetchError>>>,
}

/// A cut that a reply hints at without a referral, because the zone and the one
/// below it have the same servers.
struct Hint {
    zone: Name,
    /// A name at or below the cut.
    name: Name,
    /// Which server hinted at it. Nothing proves a hint, so it may have lied.
    server: String,
}

impl<A: Ask> Walk<A> {
    /// Will ask through `asking` at the time `now`.
    pub fn new(asking: A, now: Now) -> Self {
        Self {
            asking,
            now,
            work: Work::new(),
            zones: Vec::new(),
            hints: Vec::new(),
            known: Vec::new(),
        }
    }

    /// Finds the answer to a question.
    ///
    /// # Errors
    /// Nothing could be found, for a reason that has nothing to do with the name
    /// servers.
    pub fn run(mut self, question: &Question) -> Result<Answer, FetchError> {
        self.zones = vec![Zone {
            name: question.zone.clone(),
            servers: question.servers.clone(),
            trust: match ds(question) {
                ds if ds.is_empty() => Trust::Unsigned,
                ds => Trust::Delegation(ds),
            },
            ttl: u32::MAX,
            parent: None,
        }];
        self.known = question.asked.iter().map(|_| None).collect();
        while let Some(open) = self.known.iter().position(Option::is_none) {
            if let Some(hint) = self.next_hint() {
                self.follow(question, &hint);
                continue;
            }
            let zone = self.zone_of(question, open);
            let batch: Vec<usize> = (open..question.asked.len())
                .filter(|at| self.known.get(*at).is_some_and(Option::is_none))
                .filter(|at| self.zone_of(question, *at) == zone)
                .collect();
            if let Err(failure) = self.ask(question, zone, &batch) {
                let is_everybodys = failure.kind != FetchErrorKind::NameServers;
                if !is_everybodys && self.go_back(zone) {
                    continue;
                }
                for at in batch {
                    let failure = || Some(Err(failure.clone()));
                    // Referred questions go on in another zone.
                    if self.zone_of(question, at) == zone
                        && let Some(known) = self.known.get_mut(at)
                    {
                        *known = known.take().or_else(failure);
                    }
                }
                if is_everybodys {
                    break;
                }
            }
        }
        self.answer()
    }

    /// The innermost known zone of a question.
    fn zone_of(&self, question: &Question, at: usize) -> usize {
        let Some((name, _)) = question.asked.get(at) else {
            return 0;
        };
        let holds = |zone: &Zone| zone.name.zone_of(name);
        self.zones.iter().rposition(holds).unwrap_or(0)
    }

    /// Asks the servers of a zone some of the questions.
    fn ask(
        &mut self,
        question: &Question,
        zone_at: usize,
        batch: &[usize],
    ) -> Result<(), FetchError> {
        // If this zone was a lie, enough messages must be left to ask another server
        // of the one above.
        let rounds = match self.can_go_back(zone_at) {
            true => 1,
            false => ROUNDS,
        };
        let Some(zone) = self.zones.get_mut(zone_at) else {
            return Err(FetchError::bug());
        };
        let mut asked: Vec<_> = batch
            .iter()
            .filter_map(|at| question.asked.get(*at).cloned())
            .collect();
        let keys_at = asked.len();
        if let Trust::Delegation(_) = zone.trust {
            asked.push((zone.name.clone(), RecordType::DNSKEY));
        }
        let extensions = match zone.trust {
            Trust::Unsigned => Extensions::Padded,
            _ => Extensions::Signed,
        };
        let servers = zone.servers.clone();
        let (now, work, known) = (self.now, &mut self.work, &mut self.known);
        let hints = &mut self.hints;
        let mut found = Vec::new();
        let mut judge = |server: &str, replies: Vec<(usize, Heard)>| {
            let mut judgement = Judgement::default();
            let mut others = Vec::new();
            for (position, heard) in replies {
                let Ok(reply) = heard else { continue };
                if position != keys_at {
                    others.push((position, reply));
                } else if let Trust::Delegation(ds) = &zone.trust {
                    match Keys::believe(&zone.name, ds, &reply, now, work) {
                        Ok(keys) => {
                            zone.trust = Trust::Keys(keys);
                            judgement.settled.push(position);
                        }
                        Err(bogus) => judgement.why_not = Some(words(&bogus)),
                    }
                }
            }
            for (position, reply) in others {
                let (Some((name, kind)), Some(at)) = (asked.get(position), batch.get(position))
                else {
                    continue;
                };
                match said(zone, name, *kind, &reply, now, work) {
                    Ok(Said::Reply(reply, ttl)) => {
                        if let Some(known) = known.get_mut(*at) {
                            *known = Some(Ok((reply, ttl.min(zone.ttl))));
                        }
                        judgement.settled.push(position);
                    }
                    Ok(Said::Hidden(child)) => {
                        hint_at(hints, &zone.name, child, server);
                        judgement.settled.push(position);
                    }
                    Ok(Said::Zone(mut below)) => {
                        below.parent = Some((zone.name.clone(), server.to_owned()));
                        below.ttl = below.ttl.min(zone.ttl);
                        found.push(*below);
                        judgement.settled.push(position);
                    }
                    Err(Some(why_not)) => judgement.why_not = Some(why_not),
                    // Without the keys nothing can be said of it.
                    Err(None) => {}
                }
            }
            for position in needless(&asked, batch, known) {
                judgement.settled.push(position);
            }
            judgement
        };
        let result = self
            .asking
            .ask(&servers, &asked, extensions, rounds, &mut judge);
        self.add(found);
        result.map_err(failure)
    }

    /// Whether another server than the one that referred to a zone may know better.
    fn can_go_back(&self, at: usize) -> bool {
        let parent = self.zones.get(at).and_then(|zone| zone.parent.as_ref());
        let Some((parent, liar)) = parent else {
            return false;
        };
        let parent = self.zones.iter().find(|zone| zone.name == *parent);
        parent.is_some_and(|zone| zone.servers.iter().any(|other| other != liar))
    }

    /// Forgets a zone whose servers failed, and the server that referred to them,
    /// if another may know better.
    fn go_back(&mut self, at: usize) -> bool {
        let failed = self.zones.get(at);
        let Some((name, parent, liar)) = failed.and_then(|zone| {
            let (parent, server) = zone.parent.clone()?;
            Some((zone.name.clone(), parent, server))
        }) else {
            return false;
        };
        let can_go_back = self.give_up(&parent, &liar);
        if can_go_back {
            self.zones.retain(|zone| !name.zone_of(&zone.name));
        }
        can_go_back
    }

    /// Asks a server of a zone no more, if the zone has others.
    fn give_up(&mut self, zone: &Name, server: &str) -> bool {
        let Some(zone) = self.zones.iter_mut().find(|one| one.name == *zone) else {
            return false;
        };
        let has_others = zone.servers.iter().any(|other| other != server);
        if has_others {
            zone.servers.retain(|other| other != server);
        }
        has_others
    }

    /// The hint at the name with the fewest labels: a cut above the other names is
    /// one for them, too.
    fn next_hint(&mut self) -> Option<Hint> {
        let hints = self.hints.iter().enumerate();
        let next = hints.min_by_key(|(_, hint)| hint.name.iter().count());
        let (at, _) = next?;
        Some(self.hints.swap_remove(at))
    }

    /// Finds the cut that a server hinted at. If there is none, others are asked
    /// what that server was asked.
    fn follow(&mut self, question: &Question, hint: &Hint) {
        let is_known = |one: &Zone| {
            one.name != hint.zone && hint.zone.zone_of(&one.name) && one.name.zone_of(&hint.name)
        };
        if self.zones.iter().any(is_known) {
            return;
        }
        let Err(failure) = self.reveal(hint) else {
            return;
        };
        let is_servers = failure.kind == FetchErrorKind::NameServers;
        if is_servers && self.give_up(&hint.zone, &hint.server) {
            let is_liars = |one: &Hint| one.zone == hint.zone && one.server == hint.server;
            self.hints.retain(|one| !is_liars(one));
        } else {
            self.fail_below(question, &hint.zone, &hint.name, &failure);
        }
    }

    /// Asks the servers of a zone for the cut at or above a name.
    ///
    /// # Errors
    /// There is none, or nobody proves it.
    fn reveal(&mut self, hint: &Hint) -> Result<(), FetchError> {
        let (zone, name) = (&hint.zone, &hint.name);
        let Some(parent) = self.zones.iter().find(|one| one.name == *zone) else {
            return Err(FetchError::bug());
        };
        let Trust::Keys(keys) = &parent.trust else {
            return Err(FetchError::bug());
        };
        let above = name.base_name();
        let is_inside = |name: &Name| zone.zone_of(name) && name != zone;
        let (now, work, hints) = (self.now, &mut self.work, &mut self.hints);
        let mut found = None;
        let mut is_refuted = false;
        let mut judge = |server: &str, replies: Vec<(usize, Heard)>| {
            let mut judgement = Judgement::default();
            for (position, heard) in replies {
                let Ok(reply) = heard else { continue };
                match keys.answer(name, RecordType::DS, &reply, now, work) {
                    Ok(Validated::Referral { child, ds, ttl }) => {
                        found = Some((child, ds, ttl));
                        judgement.settled.push(position);
                    }
                    Ok(Validated::Below { child }) if child != *name => {
                        hint_at(hints, zone, child, server);
                        judgement.settled.push(position);
                    }
                    // An alias in an unsigned zone answers any question, this one too.
                    Err(Bogus::Unsigned) if is_inside(&above) => {
                        hint_at(hints, zone, above.clone(), server);
                        judgement.settled.push(position);
                    }
                    // The name is the zone's own, and so was what had no signature.
                    Ok(
                        Validated::NoData { .. }
                        | Validated::NoName { .. }
                        | Validated::Alias { .. },
                    ) => {
                        is_refuted = true;
                        judgement.settled.push(position);
                    }
                    Ok(_) => judgement.why_not = Some(words(&Bogus::Unsigned)),
                    Err(bogus) => judgement.why_not = Some(words(&bogus)),
                }
            }
            judgement
        };
        let asked = [(name.clone(), RecordType::DS)];
        let (servers, parent_ttl) = (parent.servers.clone(), parent.ttl);
        self.asking
            .ask(&servers, &asked, Extensions::Signed, ROUNDS, &mut judge)
            .map_err(failure)?;
        if is_refuted {
            return Err(failure(AskError::Servers(words(&Bogus::Unsigned))));
        }
        if let Some((name, ds, ttl)) = found {
            let trust = ds.map_or(Trust::Unsigned, Trust::Delegation);
            self.add([Zone {
                name,
                servers,
                trust,
                ttl: ttl.min(parent_ttl),
                parent: None,
            }]);
        }
        Ok(())
    }

    /// Gives up the questions at and below a name that are asked of a zone.
    fn fail_below(&mut self, question: &Question, zone: &Name, name: &Name, failure: &FetchError) {
        for (at, (asked, _)) in question.asked.iter().enumerate() {
            let own = self.zones.get(self.zone_of(question, at));
            let is_there = own.is_some_and(|own| own.name == *zone) && name.zone_of(asked);
            if let Some(known) = self.known.get_mut(at)
                && is_there
            {
                *known = known.take().or_else(|| Some(Err(failure.clone())));
            }
        }
    }

    /// Adds zones that are not known yet, each behind its parent.
    fn add(&mut self, zones: impl IntoIterator<Item = Zone>) {
        for zone in zones {
            // Two questions may lead to the same one.
            if self.zones.iter().all(|known| known.name != zone.name) {
                self.zones.push(zone);
            }
        }
        self.zones.sort_by_key(|zone| zone.name.iter().count());
    }

    fn answer(self) -> Result<Answer, FetchError> {
        let known = self.known.into_iter();
        let known: Vec<_> = known
            .map(|known| known.unwrap_or_else(|| Err(timed_out())))
            .collect();
        // What concerns more than this name is no answer.
        let failures = known.iter().filter_map(|one| one.as_ref().err());
        let mut others = failures.filter(|one| one.kind != FetchErrorKind::NameServers);
        if known.iter().all(Result::is_err)
            && let Some(failure) = others.next()
        {
            return Err(failure.clone());
        }
        let ttl = known
            .iter()
            .map(|one| one.as_ref().map_or(0, |(_, ttl)| *ttl));
        Ok(Answer {
            ttl: Duration::from_secs(ttl.min().unwrap_or(0).into()),
            messages: self.asking.sent(),
            replies: known
                .into_iter()
                .map(|one| one.map(|(reply, _)| reply))
                .collect(),
        })
    }
}

/// The positions of questions for IPv6 addresses that are not waited for, because
/// the name has an IPv4 address, which comes first. There are servers that never
/// answer them.
fn needless(
    asked: &[(Name, RecordType)],
    batch: &[usize],
    known: &mut [Option<Result<(Reply, u32), FetchError>>],
) -> Vec<usize> {
    let mut needless = Vec::new();
    for (position, (name, kind)) in asked.iter().enumerate() {
        if *kind != RecordType::AAAA {
            continue;
        }
        let other = asked
            .iter()
            .position(|(other, kind)| other == name && *kind == RecordType::A);
        let reply = other.and_then(|at| known.get(*batch.get(at)?)?.as_ref()?.as_ref().ok());
        let has_address = reply.is_some_and(|(reply, _)| {
            let mut data = reply.data.iter();
            data.any(|data| server_by_data(data).is_some())
        });
        if let Some(known) = batch.get(position).and_then(|at| known.get_mut(*at))
            && known.is_none()
            && has_address
        {
            let message = "a name server answered no question for IPv6 addresses";
            *known = Some(Err(FetchError::new(FetchErrorKind::NameServers, message)));
            needless.push(position);
        }
    }
    needless
}

/// Notes a hint at a cut, once.
fn hint_at(hints: &mut Vec<Hint>, zone: &Name, name: Name, server: &str) {
    let is_known = |hint: &Hint| hint.zone == *zone && hint.name == name;
    if !hints.iter().any(is_known) {
        hints.push(Hint {
            zone: zone.clone(),
            name,
            server: server.to_owned(),
        });
    }
}

fn failure(error: AskError) -> FetchError {
    match error {
        AskError::TimedOut => timed_out(),
        AskError::Proxy(error) => FetchError::new(FetchErrorKind::Unreachable, error.to_string()),
        AskError::Servers(what) => FetchError::new(
            FetchErrorKind::NameServers,
            format!(
                "the name is delegated, and no name server gave a usable answer; the last one {what}"
            ),
        ),
    }
}

fn timed_out() -> FetchError {
    let message: Arc<str> = "no name server answered in time".into();
    FetchError::new(FetchErrorKind::TimedOut, message)
}

#[cfg(test)]
mod tests;
