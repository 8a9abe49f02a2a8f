//! DNSSEC validation of the replies of authoritative servers (RFC 4033 to 4035,
//! RFC 5155, RFC 6840).
//!
//! There is no I/O and no clock here: the caller asks the servers and passes the
//! time. It starts with the DS records of a zone, which it trusts:
//!
//! 1. [`is_usable`] says whether any of them can be used. If not, the zone counts
//!    as unsigned (RFC 4035 section 5.2).
//! 2. [`Keys::believe`] validates the zone's DNSKEY records against them.
//! 3. [`Keys::answer`] validates each reply of the zone's servers. A referral
//!    yields the DS records of a child zone, or the proof that it is unsigned.
//!
//! Everything in a reply is hostile until a signature says otherwise. [`Work`]
//! bounds what a reply can make us compute.

mod answer;
mod denial;
mod denial3;
mod keys;
mod names;
mod rrset;
mod work;

#[cfg(test)]
mod tests;

use hickory_proto::dnssec::rdata::DS;
use hickory_proto::rr::{Name, RData};
use thiserror::Error;

pub use keys::{Keys, is_usable};
pub use work::Work;

/// The time, in seconds since 1970 modulo 2³², as in RRSIG records (RFC 4034
/// section 3.1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now(pub u32);

/// How far our clock may differ from the signer's, in seconds.
const CLOCK_TOLERANCE: i32 = 300;

impl Now {
    /// Whether a signature with this inception is valid already. Times are
    /// compared in serial arithmetic (RFC 1982 section 3.2), so they may wrap.
    fn is_since(self, inception: u32) -> bool {
        serial_difference(inception, self.0) <= CLOCK_TOLERANCE
    }

    /// Whether a signature with this expiration is still valid.
    fn is_until(self, expiration: u32) -> bool {
        serial_difference(self.0, expiration) <= CLOCK_TOLERANCE
    }

    /// The seconds until `expiration`, or 0 after it.
    fn left(self, expiration: u32) -> u32 {
        u32::try_from(serial_difference(expiration, self.0)).unwrap_or(0)
    }
}

/// How much later `a` is than `b`.
fn serial_difference(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b).cast_signed()
}

/// The validated answer to a question. Its TTLs are no greater than the records',
/// the signatures' original TTL, and the time until the signatures expire (RFC
/// 4035 section 5.3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validated {
    /// The RRset that was asked for. If the records come from a wildcard, the
    /// zone has proved that no closer name exists (RFC 4035 section 5.3.4).
    Data {
        /// Their data, without duplicates.
        records: Vec<RData>,
        /// How long they may be cached, in seconds.
        ttl: u32,
    },
    /// The name is an alias by a CNAME record of its own, or by a DNAME record
    /// above it (RFC 6672), from which we construct the target ourselves. It is
    /// also the answer to a question for CNAME records.
    Alias {
        /// The target, in lower case. The caller asks for it anew.
        target: Name,
        /// How long the alias may be cached, in seconds.
        ttl: u32,
    },
    /// The name exists and has no records of that type (RFC 4035 section 5.4, RFC
    /// 5155 sections 8.5 to 8.7).
    NoData {
        /// How long the absence may be cached, in seconds (RFC 2308 section 5).
        ttl: u32,
    },
    /// The name does not exist (RFC 4035 section 5.4, RFC 5155 section 8.4).
    NoName {
        /// How long the absence may be cached, in seconds (RFC 2308 section 5).
        ttl: u32,
    },
    /// A zone cut strictly below the zone, at the name or above it. A question for
    /// DS records also has this answer if there is a cut at the name.
    Referral {
        /// The child zone, in lower case.
        child: Name,
        /// The child's DS records, or `None` if it is proved to have none: then
        /// everything at and below the child is unsigned.
        ds: Option<Vec<DS>>,
        /// How long this may be cached, in seconds.
        ttl: u32,
    },
    /// The name is in an opt-out span of NSEC3 records: unsigned delegations may
    /// exist there, so nothing is proved about the name (RFC 5155 section 6). What
    /// the reply says counts as unsigned.
    OptOut {
        /// How long this may be cached, in seconds.
        ttl: u32,
    },
    /// Nothing is proved yet: the reply claims to come from a zone below this one
    /// whose servers are the same, so that no referral shows the cut. Ask these
    /// servers for the DS records of `child`. If that yields no referral, the reply
    /// is bogus.
    Below {
        /// The zone that the reply names, strictly below this one, at the name or
        /// above it, in lower case.
        child: Name,
    },
}

/// Why a reply is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Bogus {
    /// The question is for a name that the zone does not answer for: outside of
    /// it, or for the zone's own DS records, which are in the parent zone.
    #[error("the question is not for this zone")]
    NotInZone,
    /// No DS record has an algorithm and a digest that we support.
    #[error("no usable delegation")]
    NoUsableDs,
    /// The reply has no DNSKEY records of the zone that could sign it.
    #[error("the zone's keys are missing")]
    NoKeys,
    /// No DNSKEY record has the digest of a DS record.
    #[error("no key matches the delegation")]
    NoMatchingKey,
    /// The records have no signature at all. They may come from an unsigned zone
    /// below this one that has the same servers; the answer to a question for DS
    /// records of the name says so, or names the zone ([`Validated::Below`]).
    #[error("the records are not signed")]
    Unsigned,
    /// The signatures name other signers or keys than the zone's.
    #[error("no signature by the zone's keys")]
    OtherSigner,
    /// The signature does not match the records.
    #[error("the signature is wrong")]
    WrongSignature,
    /// The signature has expired.
    #[error("the signature has expired")]
    Expired,
    /// The signature is not valid yet.
    #[error("the signature is not valid yet")]
    NotYetValid,
    /// The records cannot be what they claim to be, whatever their signature.
    #[error("the records are malformed")]
    Malformed,
    /// The alias of a DNAME record would become too long (RFC 6672 section 2.2).
    #[error("the alias is too long")]
    AliasTooLong,
    /// The NSEC or NSEC3 records do not prove that the name or the records are
    /// absent.
    #[error("the absence is not proved")]
    UnprovedAbsence,
    /// Nothing proves that the wildcard applies to the name.
    #[error("the use of a wildcard is not proved")]
    UnprovedWildcard,
    /// Neither DS records nor their absence are proved for the child zone.
    #[error("the referral is not proved")]
    UnprovedReferral,
    /// The budget of signature verifications is used up.
    #[error("too many signatures")]
    TooManySignatures,
    /// The budget of hashes is used up.
    #[error("too many hashes")]
    TooManyHashes,
    /// The NSEC3 records ask for more iterations than we do.
    #[error("too many iterations")]
    TooManyIterations,
}
