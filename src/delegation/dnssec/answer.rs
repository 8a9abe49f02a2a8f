//! The answer that a reply proves: records, an alias, a zone cut, or that there is
//! nothing (RFC 4035 section 5).

use hickory_proto::dnssec::rdata::{DNSSECRData, DS};
use hickory_proto::op::Message;
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};

use super::denial::{Absent, Denial};
use super::denial3::Denial3;
use super::names::{canonical, is_below, label_count, substitute};
use super::rrset::{RrSet, dname_target};
use super::work::Work;
use super::{Bogus, Keys, Now, Validated};

/// One question to be answered, and the reply.
struct Question<'a> {
    keys: &'a Keys,
    name: Name,
    kind: RecordType,
    reply: &'a Message,
    now: Now,
}

impl Keys {
    /// Validates the answer to a question in `reply`, which comes from a server of
    /// the zone.
    ///
    /// The response code and the flags do not matter: the records prove what they
    /// prove. Records of other names are ignored.
    ///
    /// # Errors
    /// The reply proves nothing about the question.
    pub fn answer(
        &self,
        name: &Name,
        kind: RecordType,
        reply: &Message,
        now: Now,
        work: &mut Work,
    ) -> Result<Validated, Bogus> {
        let name = canonical(name);
        // A zone's own DS records are its parent's.
        if !self.zone().zone_of(&name) || kind == RecordType::DS && name == *self.zone() {
            return Err(Bogus::NotInZone);
        }
        let question = Question {
            keys: self,
            name,
            kind,
            reply,
            now,
        };
        question.answer(work)
    }
}

impl Question<'_> {
    fn answer(&self, work: &mut Work) -> Result<Validated, Bogus> {
        let answers = &self.reply.answers;
        let kinds = [self.kind, RecordType::CNAME];
        let found = kinds.map(|kind| RrSet::find(answers, &self.name, kind));
        let found: Vec<_> = found.into_iter().flatten().collect();
        if let Some(rrset) = found.iter().find(|rrset| rrset.is_signed()) {
            return self.found(rrset, work);
        }
        // The CNAME record that goes with a DNAME record is not signed.
        if let Some(rrset) = self.dname() {
            return self.dname_alias(&rrset, work);
        }
        let referral = self.authority(RecordType::NS);
        if !found.is_empty() {
            // The name servers of an unsigned child zone may come with its records.
            let below = referral.map(|child| Validated::Below { child });
            return below.ok_or(Bogus::Unsigned);
        }
        if let Some(child) = referral {
            return self.cut(child, work);
        }
        // The reply is about a zone below ours.
        if let Some(child) = self.authority(RecordType::SOA) {
            return Ok(Validated::Below { child });
        }
        self.absence(work)
    }

    /// The records of the name, or its alias.
    fn found(&self, rrset: &RrSet<'_>, work: &mut Work) -> Result<Validated, Bogus> {
        let verified = match self.keys.verify(rrset, self.now, work) {
            Ok(verified) => verified,
            Err(bogus) => {
                let below = rrset.signers().find(|signer| self.is_cut(signer));
                return match below {
                    Some(child) if bogus == Bogus::OtherSigner => Ok(Validated::Below { child }),
                    _ => Err(bogus),
                };
            }
        };
        let mut ttl = verified.ttl;
        if let Some(labels) = verified.expanded_from {
            match self.wildcard_applies(labels, work)? {
                (Absent::OptOut, proof) => {
                    return Ok(Validated::OptOut {
                        ttl: ttl.min(proof),
                    });
                }
                (_, proof) => ttl = ttl.min(proof),
            }
        }
        match verified.records.as_slice() {
            [RData::CNAME(target)] => Ok(Validated::Alias {
                target: canonical(&target.0),
                ttl,
            }),
            // A name has one alias (RFC 2181 section 10.1).
            [RData::CNAME(_), ..] => Err(Bogus::Malformed),
            // No wildcard delegates (RFC 4592 section 4.2).
            _ if self.kind == RecordType::DS && verified.expanded_from.is_some() => {
                Err(Bogus::Malformed)
            }
            records if self.kind == RecordType::DS => Ok(Validated::Referral {
                child: self.name.clone(),
                ds: Some(delegation_signers(records)),
                ttl,
            }),
            _ => Ok(Validated::Data {
                records: verified.records,
                ttl,
            }),
        }
    }

    /// The DNAME records above the name.
    fn dname(&self) -> Option<RrSet<'_>> {
        let answers = &self.reply.answers;
        let dname = answers.iter().find(|record| {
            let owner = canonical(&record.name);
            record.record_type() == RecordType::DNAME
                && self.keys.zone().zone_of(&owner)
                && is_below(&self.name, &owner)
        })?;
        RrSet::find(answers, &canonical(&dname.name), RecordType::DNAME)
    }

    /// The alias that a DNAME record makes of the name (RFC 6672 section 3.1). It
    /// is made here, because nothing protects the CNAME record in the reply.
    fn dname_alias(&self, rrset: &RrSet<'_>, work: &mut Work) -> Result<Validated, Bogus> {
        let verified = self.keys.verify(rrset, self.now, work)?;
        // One at a name (RFC 6672 section 2.4), and none from a wildcard (section
        // 3.3): nothing would prove that it applies.
        let ([data], None) = (verified.records.as_slice(), verified.expanded_from) else {
            return Err(Bogus::Malformed);
        };
        let target = dname_target(data).ok_or(Bogus::Malformed)?;
        let target = substitute(&self.name, &rrset.owner, &canonical(&target));
        Ok(Validated::Alias {
            target: target.ok_or(Bogus::AliasTooLong)?,
            ttl: verified.ttl,
        })
    }

    /// Whether a zone of that name could have the name in it, below our zone. The
    /// DS records of a zone are not in it.
    fn is_cut(&self, child: &Name) -> bool {
        is_below(child, self.keys.zone())
            && child.zone_of(&self.name)
            && !(self.kind == RecordType::DS && *child == self.name)
    }

    /// The owner of the records of this type in the authority section, if there
    /// could be a zone cut. These records are not signed.
    fn authority(&self, kind: RecordType) -> Option<Name> {
        let records = self.reply.authorities.iter();
        let mut records = records
            .filter(|record| record.record_type() == kind && record.dns_class == DNSClass::IN);
        records.find_map(|record| Some(canonical(&record.name)).filter(|name| self.is_cut(name)))
    }

    /// A zone cut: the child's DS records, or that there are none (RFC 4035 section
    /// 5.2, RFC 5155 section 8.9).
    fn cut(&self, child: Name, work: &mut Work) -> Result<Validated, Bogus> {
        let section = &self.reply.authorities;
        if let Some(rrset) = RrSet::find(section, &child, RecordType::DS) {
            let verified = self.keys.verify(&rrset, self.now, work)?;
            if verified.expanded_from.is_some() {
                return Err(Bogus::Malformed);
            }
            return Ok(Validated::Referral {
                child,
                ds: Some(delegation_signers(&verified.records)),
                ttl: verified.ttl,
            });
        }
        match self.prove(&child, RecordType::DS, work) {
            Ok((Absent::Ds | Absent::OptOut, ttl)) => Ok(Validated::Referral {
                child,
                ds: None,
                ttl,
            }),
            Ok(_) | Err(Bogus::UnprovedAbsence) => Err(Bogus::UnprovedReferral),
            Err(bogus) => Err(bogus),
        }
    }

    /// The name or its records do not exist.
    fn absence(&self, work: &mut Work) -> Result<Validated, Bogus> {
        let (absent, mut ttl) = self.prove(&self.name, self.kind, work)?;
        let zone = self.keys.zone();
        if let Some(rrset) = RrSet::find(&self.reply.authorities, zone, RecordType::SOA) {
            let soa = self.keys.verify(&rrset, self.now, work)?;
            ttl = ttl.min(soa.ttl);
            for record in &soa.records {
                if let RData::SOA(soa) = record {
                    ttl = ttl.min(soa.minimum);
                }
            }
        }
        Ok(match absent {
            Absent::Data => Validated::NoData { ttl },
            Absent::Name => Validated::NoName { ttl },
            Absent::OptOut if self.kind != RecordType::DS => Validated::OptOut { ttl },
            Absent::Ds | Absent::OptOut => Validated::Referral {
                child: self.name.clone(),
                ds: None,
                ttl,
            },
        })
    }

    /// What the reply's NSEC or NSEC3 records prove about a name and type, and for
    /// how long.
    fn prove(
        &self,
        name: &Name,
        kind: RecordType,
        work: &mut Work,
    ) -> Result<(Absent, u32), Bogus> {
        let section = &self.reply.authorities;
        let denial = Denial::read(self.keys, section, self.now, work)?;
        if let Some(absent) = denial.absent(name, kind) {
            return Ok((absent, denial.ttl()));
        }
        let denial3 = Denial3::read(self.keys, section, self.now, work)?;
        if let Some(absent) = denial3.absent(name, kind, work)? {
            return Ok((absent, denial3.ttl()));
        }
        let refused = denial.refused().or(denial3.refused());
        Err(refused.unwrap_or(Bogus::UnprovedAbsence))
    }

    /// Proves that no name closer than the wildcard exists (RFC 4035 section 5.3.4,
    /// RFC 5155 section 8.8).
    fn wildcard_applies(&self, labels: usize, work: &mut Work) -> Result<(Absent, u32), Bogus> {
        debug_assert!(labels < label_count(&self.name));
        let section = &self.reply.authorities;
        let denial = Denial::read(self.keys, section, self.now, work)?;
        if denial.closest_is(&self.name, labels) {
            return Ok((Absent::Name, denial.ttl()));
        }
        let denial3 = Denial3::read(self.keys, section, self.now, work)?;
        if let Some(absent) = denial3.nothing_closer(&self.name, labels, work)? {
            return Ok((absent, denial3.ttl()));
        }
        let refused = denial.refused().or(denial3.refused());
        Err(refused.unwrap_or(Bogus::UnprovedWildcard))
    }
}

fn delegation_signers(records: &[RData]) -> Vec<DS> {
    let records = records.iter().filter_map(|record| match record {
        RData::DNSSEC(DNSSECRData::DS(ds)) => Some(ds.clone()),
        _ => None,
    });
    records.collect()
}
