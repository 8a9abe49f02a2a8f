//! Proofs by NSEC records that names or records do not exist (RFC 4035 section
//! 5.4).

use hickory_proto::dnssec::rdata::{DNSSECRData, NSEC};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, RecordTypeSet};

use super::keys::Keys;
use super::names::{canonical, common_ancestor, is_below, label_count, wildcard};
use super::rrset::RrSet;
use super::work::Work;
use super::{Bogus, Now};

/// What NSEC or NSEC3 records prove about a name and type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// The name exists without records of the type.
    Data,
    /// The name does not exist.
    Name,
    /// There is a zone cut at the name, without DS records.
    Ds,
    /// Unsigned delegations may exist there.
    OptOut,
}

/// NSEC or NSEC3 records of a reply that we look at. Three are enough for any proof
/// (RFC 5155 section 7.2).
const MAX_OWNERS: usize = 16;

/// Signals that a name does not exist although it has an NSEC record (RFC 9824
/// section 2).
const NXNAME: u16 = 128;

/// A name of the zone, and the next one after it.
#[derive(Debug)]
struct Span {
    owner: Name,
    next: Name,
    nsec: NSEC,
}

/// The valid NSEC records of a reply.
#[derive(Debug)]
pub struct Denial {
    zone: Name,
    spans: Vec<Span>,
    validity: Validity,
}

/// What is known of NSEC or NSEC3 records beside what they say.
#[derive(Debug)]
pub struct Validity {
    /// How long the valid ones hold.
    pub ttl: u32,
    /// Why some record did not count.
    pub refused: Option<Bogus>,
}

/// Gives the records of each owner to `take`, if the zone signed them.
///
/// # Errors
/// Only that the work is exhausted.
pub fn verify_each(
    keys: &Keys,
    section: &[Record],
    kind: RecordType,
    owners: &[Name],
    now: Now,
    work: &mut Work,
    mut take: impl FnMut(&Name, &[RData]),
) -> Result<Validity, Bogus> {
    let mut validity = Validity {
        ttl: u32::MAX,
        refused: None,
    };
    for owner in owners {
        let Some(rrset) = RrSet::find(section, owner, kind) else {
            continue;
        };
        let refused = match keys.verify(&rrset, now, work) {
            // Never from a wildcard: that would move the span.
            Ok(verified) if verified.expanded_from.is_none() => {
                validity.ttl = validity.ttl.min(verified.ttl);
                take(owner, &verified.records);
                continue;
            }
            Ok(_) => Bogus::Malformed,
            Err(exhausted @ Bogus::TooManySignatures) => return Err(exhausted),
            Err(bogus) => bogus,
        };
        validity.refused.get_or_insert(refused);
    }
    Ok(validity)
}

/// The owners of the records of one type in a section, in canonical form, each
/// once, up to [`MAX_OWNERS`].
pub fn owners(section: &[Record], kind: RecordType) -> Vec<Name> {
    let records = section.iter();
    let records = records.filter(|record| record.record_type() == kind);
    let records = records.filter(|record| record.dns_class == DNSClass::IN);
    let mut owners: Vec<_> = records.map(|record| canonical(&record.name)).collect();
    owners.sort();
    owners.dedup();
    owners.truncate(MAX_OWNERS);
    owners
}

/// Whether the types at a name say that this zone does not answer for what is
/// below it: the parent's side of a zone cut, or a DNAME record (RFC 6840 section
/// 4.1).
pub fn ends_zone(types: &RecordTypeSet) -> bool {
    is_parent_side(types) || types.contains(RecordType::DNAME)
}

/// Whether the types at a name are those on the parent's side of a zone cut.
pub fn is_parent_side(types: &RecordTypeSet) -> bool {
    types.contains(RecordType::NS) && !types.contains(RecordType::SOA)
}

/// What the types at a name prove about records of `kind` there (RFC 6840 sections
/// 4.1, 4.3 and 4.4).
pub fn absent_at(types: &RecordTypeSet, kind: RecordType) -> Option<Absent> {
    if types.contains(kind) || types.contains(RecordType::CNAME) {
        return None;
    }
    if kind == RecordType::DS {
        // The child's side of the cut knows nothing of DS records.
        return match (types.contains(RecordType::SOA), is_parent_side(types)) {
            (true, _) => None,
            (false, true) => Some(Absent::Ds),
            (false, false) => Some(Absent::Data),
        };
    }
    // At a zone cut, the child answers.
    (!is_parent_side(types)).then_some(Absent::Data)
}

impl Denial {
    /// The NSEC records of the section with a valid signature by the zone.
    ///
    /// # Errors
    /// Only that the work is exhausted.
    pub fn read(keys: &Keys, section: &[Record], now: Now, work: &mut Work) -> Result<Self, Bogus> {
        let owners = owners(section, RecordType::NSEC);
        let mut spans_found = Vec::new();
        let validity = verify_each(
            keys,
            section,
            RecordType::NSEC,
            &owners,
            now,
            work,
            |owner, records| {
                spans_found.extend(spans(owner, records));
            },
        )?;
        Ok(Self {
            zone: keys.zone().clone(),
            spans: spans_found,
            validity,
        })
    }

    /// How long the proofs hold.
    pub fn ttl(&self) -> u32 {
        self.validity.ttl
    }

    /// Why some record did not count.
    pub fn refused(&self) -> Option<Bogus> {
        self.validity.refused
    }

    /// What is proved about records of the type at the name, in canonical form.
    pub fn absent(&self, name: &Name, kind: RecordType) -> Option<Absent> {
        if let Some(span) = self.at(name) {
            return span.absent(kind);
        }
        let span = self.covering(name)?;
        // The name is not in the zone, but has names below it (RFC 4592 section
        // 2.2.2).
        if is_below(&span.next, name) {
            return Some(Absent::Data);
        }
        let wildcard = wildcard(&span.closest(name))?;
        match self.at(&wildcard) {
            // What a wildcard makes of the name is no zone cut.
            Some(span) => match span.absent(kind)? {
                Absent::Data => Some(Absent::Data),
                _ => None,
            },
            None => {
                let span = self.covering(&wildcard)?;
                let has_names = is_below(&span.next, &wildcard);
                Some(if has_names {
                    Absent::Data
                } else {
                    Absent::Name
                })
            }
        }
    }

    /// Whether the closest existing name above `name`, which does not exist, is the
    /// one of this many labels.
    pub fn closest_is(&self, name: &Name, labels: usize) -> bool {
        let span = self.covering(name);
        // For an empty non-terminal, it is the name itself.
        span.is_some_and(|span| label_count(&span.closest(name)) == labels)
    }

    fn at(&self, name: &Name) -> Option<&Span> {
        self.spans.iter().find(|span| span.owner == *name)
    }

    /// A span that the name is in.
    fn covering(&self, name: &Name) -> Option<&Span> {
        let mut spans = self.spans.iter();
        spans.find(|span| span.covers(name, &self.zone))
    }
}

impl Span {
    /// Whether the name, which is in the zone, sorts between the owner and the next name (RFC 4034 section
    /// 4.1.1), and the zone answers for it.
    fn covers(&self, name: &Name, zone: &Name) -> bool {
        let is_between = match self.owner < self.next {
            true => self.owner < *name && *name < self.next,
            // The last name of the zone: the next one is the zone's own.
            false => self.next == *zone && self.owner < *name,
        };
        let ends_zone = ends_zone(self.nsec.type_set()) && is_below(name, &self.owner);
        is_between && !ends_zone
    }

    /// The longest existing name above a name in the span: it is above one of the
    /// ends, too.
    fn closest(&self, name: &Name) -> Name {
        let owner = common_ancestor(name, &self.owner);
        let next = common_ancestor(name, &self.next);
        match label_count(&owner) < label_count(&next) {
            true => next,
            false => owner,
        }
    }

    /// What is proved about the owner.
    fn absent(&self, kind: RecordType) -> Option<Absent> {
        let types = self.nsec.type_set();
        if types.contains(RecordType::from(NXNAME)) {
            return Some(Absent::Name);
        }
        absent_at(types, kind)
    }
}

fn spans(owner: &Name, records: &[RData]) -> impl Iterator<Item = Span> {
    records.iter().filter_map(|record| match record {
        RData::DNSSEC(DNSSECRData::NSEC(nsec)) => Some(Span {
            owner: owner.clone(),
            next: canonical(nsec.next_domain_name()),
            nsec: nsec.clone(),
        }),
        _ => None,
    })
}
