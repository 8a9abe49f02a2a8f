//! Proofs by NSEC3 records that names or records do not exist (RFC 5155 section
//! 8).

use data_encoding::BASE32_DNSSEC;
use hickory_proto::dnssec::rdata::{DNSSECRData, NSEC3};
use hickory_proto::rr::{Name, RData, Record, RecordType, RecordTypeSet};

use super::denial::{Absent, Validity, absent_at, ends_zone, owners, verify_each};
use super::keys::Keys;
use super::names::{label_count, wildcard};
use super::work::Work;
use super::{Bogus, Now};

/// Length of a SHA-1 hash in bytes.
const HASH: usize = 20;

/// The hash of a name of the zone, and the next hash after it.
#[derive(Debug)]
struct Span {
    owner: Vec<u8>,
    nsec3: NSEC3,
}

/// The valid NSEC3 records of a reply, all with the same parameters.
#[derive(Debug)]
pub struct Denial3 {
    zone: Name,
    spans: Vec<Span>,
    validity: Validity,
}

impl Denial3 {
    /// The NSEC3 records of the section with a valid signature by the zone.
    ///
    /// # Errors
    /// Only that the work is exhausted.
    pub fn read(keys: &Keys, section: &[Record], now: Now, work: &mut Work) -> Result<Self, Bogus> {
        let mut owners = owners(section, RecordType::NSEC3);
        owners.retain(|owner| owner_hash(owner, keys.zone()).is_some());
        let mut spans = Vec::new();
        let validity = verify_each(
            keys,
            section,
            RecordType::NSEC3,
            &owners,
            now,
            work,
            |owner, records| {
                if let Some(hash) = owner_hash(owner, keys.zone()) {
                    extend(&mut spans, &hash, records);
                }
            },
        )?;
        Ok(Self {
            zone: keys.zone().clone(),
            spans,
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
    pub fn absent(
        &self,
        name: &Name,
        kind: RecordType,
        work: &mut Work,
    ) -> Result<Option<Absent>, Bogus> {
        // Section 8.5 and, for DS records, 8.6.
        if let Some(types) = self.at(name, work)? {
            return Ok(absent_at(types, kind));
        }
        let Some(closest) = self.closest_encloser(name, work)? else {
            return Ok(None);
        };
        let labels = label_count(&closest);
        let Some(closer) = self.nothing_closer(name, labels, work)? else {
            return Ok(None);
        };
        if closer == Absent::OptOut {
            return Ok(Some(Absent::OptOut));
        }
        let Some(wildcard) = wildcard(&closest) else {
            return Ok(None);
        };
        // Section 8.7. What a wildcard makes of the name is no zone cut.
        if let Some(types) = self.at(&wildcard, work)? {
            return Ok(absent_at(types, kind).filter(|absent| *absent == Absent::Data));
        }
        // Section 8.4.
        let covering = self.covering(&wildcard, work)?;
        Ok(covering.map(|_| Absent::Name))
    }

    /// The closest existing name above `name`, if the zone answers for what is
    /// below it (section 8.3).
    fn closest_encloser(&self, name: &Name, work: &mut Work) -> Result<Option<Name>, Bogus> {
        let least = label_count(&self.zone);
        for labels in (least..label_count(name)).rev() {
            let ancestor = name.trim_to(labels);
            if let Some(types) = self.at(&ancestor, work)? {
                return Ok((!ends_zone(types)).then_some(ancestor));
            }
        }
        Ok(None)
    }

    /// Whether no name of more than this many labels exists above `name`, nor the
    /// name itself (section 8.3, and 8.8 for wildcards).
    pub fn nothing_closer(
        &self,
        name: &Name,
        labels: usize,
        work: &mut Work,
    ) -> Result<Option<Absent>, Bogus> {
        let next_closer = name.trim_to(labels + 1);
        let covering = self.covering(&next_closer, work)?;
        Ok(covering.map(|span| match span.nsec3.opt_out() {
            true => Absent::OptOut,
            false => Absent::Name,
        }))
    }

    /// The types at the name, if it exists.
    fn at(&self, name: &Name, work: &mut Work) -> Result<Option<&RecordTypeSet>, Bogus> {
        let Some(hash) = self.hash(name, work)? else {
            return Ok(None);
        };
        let span = self.spans.iter().find(|span| span.owner == hash);
        Ok(span.map(|span| span.nsec3.type_set()))
    }

    /// A span that the name's hash is in.
    fn covering(&self, name: &Name, work: &mut Work) -> Result<Option<&Span>, Bogus> {
        let Some(hash) = self.hash(name, work)? else {
            return Ok(None);
        };
        Ok(self.spans.iter().find(|span| span.covers(&hash)))
    }

    /// The hash of the name with the parameters of the records.
    fn hash(&self, name: &Name, work: &mut Work) -> Result<Option<Vec<u8>>, Bogus> {
        let Some(Span { nsec3, .. }) = self.spans.first() else {
            return Ok(None);
        };
        let (salt, iterations) = (nsec3.salt(), nsec3.iterations());
        work.hash3(name.len() + 1, salt.len(), iterations)?;
        let hash = nsec3.hash_algorithm().hash(salt, name, iterations);
        let hash = hash.map_err(|_| Bogus::Malformed)?;
        Ok(Some(hash.as_ref().to_vec()))
    }
}

impl Span {
    fn covers(&self, hash: &[u8]) -> bool {
        let (owner, next) = (self.owner.as_slice(), self.nsec3.next_hashed_owner_name());
        match owner < next {
            true => owner < hash && hash < next,
            // The last hash of the zone.
            false => owner < hash || hash < next,
        }
    }
}

/// Adds the records that have the parameters of the first (RFC 5155 section 8.2).
fn extend(spans: &mut Vec<Span>, owner: &[u8], records: &[RData]) {
    for record in records {
        let RData::DNSSEC(DNSSECRData::NSEC3(nsec3)) = record else {
            continue;
        };
        let has_hash = nsec3.next_hashed_owner_name().len() == HASH;
        let is_alike = spans.first().is_none_or(|first| {
            first.nsec3.hash_algorithm() == nsec3.hash_algorithm()
                && first.nsec3.iterations() == nsec3.iterations()
                && first.nsec3.salt() == nsec3.salt()
        });
        if has_hash && is_alike {
            spans.push(Span {
                owner: owner.to_vec(),
                nsec3: nsec3.clone(),
            });
        }
    }
}

/// The hash in the owner name of an NSEC3 record (RFC 5155 section 3).
fn owner_hash(owner: &Name, zone: &Name) -> Option<Vec<u8>> {
    let is_child = label_count(owner) == label_count(zone) + 1 && zone.zone_of(owner);
    let label = owner.iter().next().filter(|_| is_child)?;
    let hash = BASE32_DNSSEC.decode(label).ok()?;
    (hash.len() == HASH).then_some(hash)
}
