//! The keys of a zone, believed by its DS records (RFC 4035 section 5.2).

use hickory_proto::dnssec::rdata::{DNSSECRData, DS};
use hickory_proto::dnssec::{Algorithm, DigestType, PublicKey, Verifier};
use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::BinEncodable;

use super::names::canonical;
use super::rrset::{Key, RrSet, Verified};
use super::work::Work;
use super::{Bogus, Now};

/// DS and DNSKEY records that we look at, each. More are no zone's.
const MAX_KEYS: usize = 32;

/// The believed keys of one zone.
#[derive(Debug, Clone)]
pub struct Keys {
    zone: Name,
    keys: Vec<Key>,
    ttl: u32,
}

/// Whether we verify signatures of this algorithm: RSA with SHA-256 (8), ECDSA
/// with P-256 (13) and P-384 (14), Ed25519 (15). These are the ones that RFC 8624
/// section 3.1 lets signers use without advising against them, but for Ed448.
pub fn is_supported(algorithm: Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::RSASHA256
            | Algorithm::ECDSAP256SHA256
            | Algorithm::ECDSAP384SHA384
            | Algorithm::ED25519
    )
}

/// Whether any of the DS records has an algorithm and a digest that we support. If
/// not, the zone counts as unsigned (RFC 4035 section 5.2).
pub fn is_usable(ds: &[DS]) -> bool {
    ds.iter().any(is_usable_one)
}

/// SHA-1 digests are never used (RFC 8624 section 3.3).
fn is_usable_one(ds: &DS) -> bool {
    let digest = matches!(ds.digest_type(), DigestType::SHA256 | DigestType::SHA384);
    digest && is_supported(ds.algorithm())
}

impl Keys {
    /// Validates the DNSKEY records in `reply`, the answer to a question for those
    /// of `zone`: a key that a DS record stands for must have signed them (RFC 4035
    /// section 5.2).
    ///
    /// # Errors
    /// The keys cannot be believed.
    pub fn believe(
        zone: &Name,
        ds: &[DS],
        reply: &Message,
        now: Now,
        work: &mut Work,
    ) -> Result<Self, Bogus> {
        let zone = canonical(zone);
        let ds = ds.iter().filter(|ds| is_usable_one(ds)).take(MAX_KEYS);
        let ds: Vec<_> = ds.collect();
        if ds.is_empty() {
            return Err(Bogus::NoUsableDs);
        }
        let rrset = RrSet::find(&reply.answers, &zone, RecordType::DNSKEY);
        let rrset = rrset.ok_or(Bogus::NoKeys)?;
        let keys = zone_keys(rrset.data());
        if keys.is_empty() {
            return Err(Bogus::NoKeys);
        }
        let mut entries = Vec::new();
        for key in &keys {
            if is_delegated(key, &zone, &ds, work)? {
                entries.push(key.clone());
            }
        }
        if entries.is_empty() {
            return Err(Bogus::NoMatchingKey);
        }
        let verified = rrset.verify(&zone, &entries, now, work)?;
        Ok(Self {
            zone,
            // They are of the RRset that was verified, and of nothing else.
            keys,
            ttl: verified.ttl,
        })
    }

    /// The zone, in lower case.
    pub fn zone(&self) -> &Name {
        &self.zone
    }

    /// How long the keys may be cached, in seconds.
    pub fn ttl(&self) -> u32 {
        self.ttl
    }

    /// Verifies an RRset of the zone.
    pub(super) fn verify(
        &self,
        rrset: &RrSet<'_>,
        now: Now,
        work: &mut Work,
    ) -> Result<Verified, Bogus> {
        rrset.verify(&self.zone, &self.keys, now, work)
    }
}

/// The keys that may sign the zone's records (RFC 4034 section 2.1.1), and are not
/// revoked (RFC 5011 section 2.1). Decoding has checked the protocol.
fn zone_keys<'r>(data: impl Iterator<Item = &'r RData>) -> Vec<Key> {
    let keys = data.filter_map(|data| match data {
        RData::DNSSEC(DNSSECRData::DNSKEY(dnskey)) => Some(dnskey),
        _ => None,
    });
    let keys = keys.filter(|key| key.zone_key() && !key.revoke() && is_supported(key.algorithm()));
    let mut found: Vec<Key> = Vec::new();
    for dnskey in keys {
        let is_new = found.iter().all(|key| key.dnskey != *dnskey);
        if is_new && found.len() < MAX_KEYS {
            found.extend(dnskey.calculate_key_tag().ok().map(|tag| Key {
                tag,
                dnskey: dnskey.clone(),
            }));
        }
    }
    found
}

/// Whether a DS record stands for the key (RFC 4034 section 5.1).
fn is_delegated(key: &Key, zone: &Name, ds: &[&DS], work: &mut Work) -> Result<bool, Bogus> {
    let algorithm = key.dnskey.algorithm();
    let own = |ds: &&&DS| ds.key_tag() == key.tag && ds.algorithm() == algorithm;
    for ds in ds.iter().filter(own) {
        let length = key.dnskey.public_key().public_bytes().len();
        work.hash(length + zone.to_bytes().map_or(0, |bytes| bytes.len()) + 4)?;
        if ds.covers(zone, &key.dnskey).unwrap_or(false) {
            return Ok(true);
        }
    }
    Ok(false)
}
