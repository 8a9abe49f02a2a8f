//! Finding the records and signatures of one RRset in a reply, and verifying them
//! (RFC 4035 section 5.3).

use hickory_proto::ProtoError;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, RRSIG, SigInput};
use hickory_proto::dnssec::{PublicKey, Verifier};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder};
use hickory_proto::serialize::binary::{NameEncoding, RDataEncoding};

use super::names::{canonical, label_count};
use super::work::Work;
use super::{Bogus, Now};

/// A key that may sign the zone's records.
#[derive(Debug, Clone)]
pub struct Key {
    /// Which key a signature is by. Several may share it.
    pub tag: u16,
    /// The key itself.
    pub dnskey: DNSKEY,
}

/// The records of one name and type in a section of a reply, with their
/// signatures.
#[derive(Debug)]
pub struct RrSet<'a> {
    /// In canonical form.
    pub owner: Name,
    kind: RecordType,
    records: Vec<&'a Record>,
    signatures: Vec<(&'a RRSIG, u32)>,
}

/// An RRset with a valid signature by the zone.
#[derive(Debug)]
pub struct Verified {
    /// In canonical order, without duplicates. Names keep their case.
    pub records: Vec<RData>,
    /// The authenticated TTL.
    pub ttl: u32,
    /// If the records come from a wildcard, the number of labels of the name that
    /// the `*` is below.
    pub expanded_from: Option<usize>,
}

impl<'a> RrSet<'a> {
    /// The RRset of the name (in canonical form) and type in the section, or
    /// `None` if there are no such records.
    pub fn find(section: &'a [Record], owner: &Name, kind: RecordType) -> Option<Self> {
        let own = |record: &&Record| record.dns_class == DNSClass::IN && record.name == *owner;
        let records = section.iter().filter(own);
        let records: Vec<_> = records.filter(|one| one.record_type() == kind).collect();
        if records.is_empty() {
            return None;
        }
        let signatures = section.iter().filter(own).filter_map(|record| {
            let RData::DNSSEC(DNSSECRData::RRSIG(signature)) = &record.data else {
                return None;
            };
            (signature.input().type_covered == kind).then_some((signature, record.ttl))
        });
        Some(Self {
            owner: owner.clone(),
            kind,
            records,
            signatures: signatures.collect(),
        })
    }

    /// The data of the records, of which nothing is verified yet.
    pub fn data(&self) -> impl Iterator<Item = &RData> {
        self.records.iter().map(|record| &record.data)
    }

    /// Whether there is any signature, valid or not.
    pub fn is_signed(&self) -> bool {
        !self.signatures.is_empty()
    }

    /// The names of the signers, in canonical form.
    pub fn signers(&self) -> impl Iterator<Item = Name> {
        let signatures = self.signatures.iter();
        signatures.map(|(signature, _)| canonical(&signature.input().signer_name))
    }

    /// Verifies the RRset: one valid signature is enough (RFC 6840 section 5.4).
    pub fn verify(
        &self,
        zone: &Name,
        keys: &[Key],
        now: Now,
        work: &mut Work,
    ) -> Result<Verified, Bogus> {
        // A zone has nothing to say about names outside of it.
        if !zone.zone_of(&self.owner) {
            return Err(Bogus::Malformed);
        }
        let mut records = Vec::new();
        for record in &self.records {
            let bytes = canonical_data(&record.data).map_err(|_| Bogus::Malformed)?;
            records.push((bytes, &record.data));
        }
        // Canonical order (RFC 4034 section 6.3). Whatever repeats another record
        // is no part of the RRset.
        records.sort_by(|(a, _), (b, _)| a.cmp(b));
        records.dedup_by(|(a, _), (b, _)| a == b);

        let mut bogus = Bogus::Unsigned;
        for (signature, ttl) in &self.signatures {
            match self.check(&records, signature, zone, keys, now, work) {
                Ok(expanded_from) => {
                    let input = signature.input();
                    let ttls = self.records.iter().map(|record| record.ttl);
                    let ttls = ttls.chain([*ttl, input.original_ttl]);
                    let ttl = ttls.map(authentic_ttl).fold(u32::MAX, u32::min);
                    let ttl = ttl.min(now.left(input.sig_expiration.get()));
                    return Ok(Verified {
                        records: records.into_iter().map(|(_, data)| data.clone()).collect(),
                        ttl,
                        expanded_from,
                    });
                }
                Err(exhausted @ Bogus::TooManySignatures) => return Err(exhausted),
                // The failure that came closest to success is worth reporting.
                Err(failure) if closeness(failure) >= closeness(bogus) => bogus = failure,
                Err(_) => {}
            }
        }
        Err(bogus)
    }

    /// Checks one signature (RFC 4035 section 5.3.1).
    fn check(
        &self,
        records: &[(Vec<u8>, &RData)],
        signature: &RRSIG,
        zone: &Name,
        keys: &[Key],
        now: Now,
        work: &mut Work,
    ) -> Result<Option<usize>, Bogus> {
        let input = signature.input();
        if canonical(&input.signer_name) != *zone {
            return Err(Bogus::OtherSigner);
        }
        let labels = usize::from(input.num_labels);
        let own_labels = usize::from(self.owner.num_labels());
        // A wildcard that the zone does not contain.
        if labels > own_labels || labels < label_count(zone) {
            return Err(Bogus::Malformed);
        }
        // An expiration before the inception fails one of both.
        if !now.is_since(input.sig_inception.get()) {
            return Err(Bogus::NotYetValid);
        }
        if !now.is_until(input.sig_expiration.get()) {
            return Err(Bogus::Expired);
        }
        let mut candidates = keys
            .iter()
            .filter(|key| key.tag == input.key_tag && key.dnskey.algorithm() == input.algorithm)
            .peekable();
        if candidates.peek().is_none() {
            return Err(Bogus::OtherSigner);
        }
        let signed = self.signed_data(records, input);
        let signed = signed.map_err(|_| Bogus::Malformed)?;
        // Keys may share a tag.
        for key in candidates {
            work.verify()?;
            if key
                .dnskey
                .public_key()
                .verify(&signed, signature.sig())
                .is_ok()
            {
                work.succeeded();
                return Ok((labels < own_labels).then_some(labels));
            }
        }
        Err(Bogus::WrongSignature)
    }

    /// What the signature signs (RFC 4034 section 3.1.8.1, RFC 4035 section
    /// 5.3.2).
    fn signed_data(
        &self,
        records: &[(Vec<u8>, &RData)],
        input: &SigInput,
    ) -> Result<Vec<u8>, ProtoError> {
        let owner = match input.num_labels < self.owner.num_labels() {
            true => {
                let closest = self.owner.trim_to(usize::from(input.num_labels));
                closest.prepend_label("*")?
            }
            false => self.owner.clone(),
        };
        let owner = encoded(|encoder| {
            encoder.set_name_encoding(NameEncoding::UncompressedLowercase);
            owner.emit(encoder)
        })?;
        let mut signed = encoded(|encoder| input.emit(encoder))?;
        for (data, _) in records {
            let length = u16::try_from(data.len())
                .map_err(|_| ProtoError::from("record data of more than 65,535 bytes"))?;
            signed.extend(&owner);
            signed.extend(u16::from(self.kind).to_be_bytes());
            signed.extend(u16::from(DNSClass::IN).to_be_bytes());
            signed.extend(input.original_ttl.to_be_bytes());
            signed.extend(length.to_be_bytes());
            signed.extend(data);
        }
        Ok(signed)
    }
}

/// A TTL of more than 31 bits is 0 (RFC 2181 section 8).
fn authentic_ttl(ttl: u32) -> u32 {
    if ttl > i32::MAX.cast_unsigned() {
        0
    } else {
        ttl
    }
}

/// How close to a valid signature a failure came.
fn closeness(bogus: Bogus) -> u8 {
    match bogus {
        Bogus::Unsigned => 0,
        Bogus::OtherSigner => 1,
        Bogus::Malformed => 2,
        _ => 3,
    }
}

/// The data of a record in canonical form (RFC 4034 section 6.2).
fn canonical_data(data: &RData) -> Result<Vec<u8>, ProtoError> {
    match dname_target(data) {
        Some(target) => encoded(|encoder| {
            let mut encoder = encoder.with_rdata_behavior(RDataEncoding::Canonical);
            target.emit(&mut encoder)
        }),
        None => encoded(|encoder| data.emit(encoder)),
    }
}

/// What `emit` writes in canonical form.
fn encoded(
    emit: impl FnOnce(&mut BinEncoder<'_>) -> Result<(), ProtoError>,
) -> Result<Vec<u8>, ProtoError> {
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_canonical_form(true);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    emit(&mut encoder)?;
    Ok(bytes)
}

/// The target of a DNAME record (RFC 6672 section 2.1), for which hickory-proto
/// has no type. It is never compressed.
pub fn dname_target(data: &RData) -> Option<Name> {
    let RData::Unknown { code, rdata } = data else {
        return None;
    };
    if *code != RecordType::DNAME {
        return None;
    }
    let mut decoder = BinDecoder::new(&rdata.anything);
    let target = Name::read(&mut decoder).ok()?;
    // Nothing follows, and no pointer shortens it.
    (target.to_bytes().ok()?.len() == rdata.anything.len()).then_some(target)
}
