//! What NSEC3 records prove, and what they do not.

use std::slice::from_ref;

use data_encoding::BASE32_DNSSEC;
use hickory_proto::dnssec::Nsec3HashAlgorithm;
use hickory_proto::dnssec::rdata::{DNSSECRData, NSEC3};
use hickory_proto::rr::{RData, Record, RecordType};

use super::zone::{Zone, a, ns, record, soa};
use super::{name, shown};

use RecordType::{A, CNAME, DNAME, DS, NS, RRSIG, SOA, TXT};

const UNPROVED: &str = "bogus: the absence is not proved";

/// Parameters of a zone's hashes.
#[derive(Clone, Copy)]
struct Hashes {
    iterations: u16,
    salt: &'static [u8],
    opt_out: bool,
}

const PLAIN: Hashes = Hashes {
    iterations: 0,
    salt: b"",
    opt_out: false,
};

const OPT_OUT: Hashes = Hashes {
    iterations: 2,
    salt: b"salt",
    opt_out: true,
};

impl Hashes {
    fn hash(self, owner: &str) -> Vec<u8> {
        let hash = Nsec3HashAlgorithm::SHA1.hash(self.salt, &name(owner), self.iterations);
        hash.unwrap().as_ref().to_vec()
    }

    fn span(self, zone: &Zone, owner: &[u8], next: &[u8], kinds: &[RecordType]) -> Vec<Record> {
        let nsec3 = NSEC3::new(
            Nsec3HashAlgorithm::SHA1,
            self.opt_out,
            self.iterations,
            self.salt.to_vec(),
            next.to_vec(),
            kinds.iter().copied(),
        );
        let owner = format!("{}.example.bit.", BASE32_DNSSEC.encode(owner));
        zone.signed_one(record(&owner, RData::DNSSEC(DNSSECRData::NSEC3(nsec3))))
    }

    /// The name exists, with these types.
    fn at(self, zone: &Zone, owner: &str, kinds: &[RecordType]) -> Vec<Record> {
        let hash = self.hash(owner);
        self.span(zone, &hash, &moved(&hash, 1), kinds)
    }

    /// The name does not exist.
    fn around(self, zone: &Zone, owner: &str) -> Vec<Record> {
        let hash = self.hash(owner);
        self.span(zone, &moved(&hash, -1), &moved(&hash, 1), &[A])
    }

    /// The proof that `missing` does not exist and `closest` is the closest name
    /// that does, without that of the wildcard.
    fn closest(self, zone: &Zone, closest: &str, kinds: &[RecordType], next: &str) -> Vec<Record> {
        [self.at(zone, closest, kinds), self.around(zone, next)].concat()
    }
}

/// The hash that is so much greater, in its last eight bytes.
fn moved(hash: &[u8], by: i64) -> Vec<u8> {
    let (first, last) = hash.split_at(12);
    let last = u64::from_be_bytes(last.try_into().unwrap());
    let last = last.checked_add_signed(by).unwrap();
    [first, &last.to_be_bytes()].concat()
}

fn proved(zone: &Zone, asked: &str, kind: RecordType, nsec3: &[Vec<Record>]) -> String {
    shown(&zone.answer(asked, kind, &[], nsec3))
}

const APEX: &str = "example.bit.";
const WWW: &str = "www.example.bit.";
const WILD: &str = "*.example.bit.";

#[test]
fn types_that_a_name_lacks() {
    let zone = Zone::new();
    for hashes in [PLAIN, OPT_OUT] {
        let at =
            |kinds: &[RecordType], kind| proved(&zone, WWW, kind, &[hashes.at(&zone, WWW, kinds)]);
        assert_eq!(at(&[TXT, RRSIG], A), "no data 3600");
        assert_eq!(at(&[], A), "no data 3600");
        assert_eq!(at(&[A], A), UNPROVED);
        assert_eq!(at(&[CNAME], A), UNPROVED);
        // Both sides of a cut.
        assert_eq!(at(&[NS], A), UNPROVED);
        assert_eq!(at(&[NS], DS), "referral www.example.bit. unsigned 3600");
        assert_eq!(at(&[NS, DS], DS), UNPROVED);
        assert_eq!(at(&[NS, SOA], DS), UNPROVED);
        assert_eq!(at(&[A], DS), "no data 3600");
        assert_eq!(at(&[NS, SOA], A), "no data 3600");
    }
}

#[test]
fn names_that_do_not_exist_with_their_wildcard() {
    let zone = Zone::new();
    let closest = |kinds: &[RecordType]| PLAIN.closest(&zone, APEX, kinds, WWW);
    let wild = PLAIN.around(&zone, WILD);
    let apex = [NS, SOA];
    for asked in [WWW, "x.y.www.example.bit.", "WWW.Example.BIT."] {
        let outcome = proved(&zone, asked, A, &[closest(&apex), wild.clone()]);
        assert_eq!(outcome, "no name 3600", "{asked}");
    }
    assert_eq!(proved(&zone, WWW, A, &[closest(&apex)]), UNPROVED);
    let no_closest = [PLAIN.around(&zone, WWW), wild.clone()];
    assert_eq!(proved(&zone, WWW, A, &no_closest), UNPROVED);
    let no_next = [PLAIN.at(&zone, APEX, &apex), wild.clone()];
    assert_eq!(proved(&zone, WWW, A, &no_next), UNPROVED);
    // The name asked for is missing, but not the one above it.
    let deep = "x.www.example.bit.";
    let not_next = PLAIN.closest(&zone, APEX, &apex, deep);
    assert_eq!(proved(&zone, deep, A, &[not_next, wild]), UNPROVED);
}

#[test]
fn a_wildcard_without_the_type() {
    let zone = Zone::new();
    let closest = PLAIN.closest(&zone, APEX, &[NS, SOA], WWW);
    let wild = |kinds: &[RecordType], kind| {
        let wild = PLAIN.at(&zone, WILD, kinds);
        proved(&zone, WWW, kind, &[closest.clone(), wild])
    };
    assert_eq!(wild(&[TXT], A), "no data 3600");
    assert_eq!(wild(&[TXT], DS), "no data 3600");
    for kind in [A, CNAME, NS] {
        assert_eq!(wild(&[kind], A), UNPROVED, "{kind}");
    }
    assert_eq!(wild(&[NS], DS), UNPROVED);
}

#[test]
fn the_closest_name_is_no_cut_and_has_no_dname_record() {
    let zone = Zone::new();
    let deep = "x.www.example.bit.";
    let below = |kinds: &[RecordType]| {
        let closest = PLAIN.closest(&zone, WWW, kinds, deep);
        let wild = PLAIN.around(&zone, "*.www.example.bit.");
        proved(&zone, deep, A, &[closest, wild])
    };
    assert_eq!(below(&[A]), "no name 3600");
    assert_eq!(below(&[]), "no name 3600");
    assert_eq!(below(&[NS]), UNPROVED);
    assert_eq!(below(&[NS, DS]), UNPROVED);
    assert_eq!(below(&[DNAME]), UNPROVED);
}

#[test]
fn opt_out_proves_no_absence() {
    let zone = Zone::new();
    let closest = OPT_OUT.closest(&zone, APEX, &[NS, SOA], WWW);
    let all = [closest.clone(), OPT_OUT.around(&zone, WILD)];
    assert_eq!(proved(&zone, WWW, A, &all), "opt-out 3600");
    let wild = [closest.clone(), OPT_OUT.at(&zone, WILD, &[TXT])];
    assert_eq!(proved(&zone, WWW, A, &wild), "opt-out 3600");
    // But that there are no DS records (RFC 5155 section 8.6).
    let unsigned = "referral www.example.bit. unsigned 3600";
    assert_eq!(proved(&zone, WWW, DS, from_ref(&closest)), unsigned);
    let referral = [vec![ns(WWW)], closest];
    let below = "x.www.example.bit.";
    assert_eq!(proved(&zone, below, A, &referral), unsigned);
    // The span must be one with opt-out.
    let closest = PLAIN.closest(&zone, APEX, &[NS, SOA], WWW);
    assert_eq!(proved(&zone, WWW, DS, from_ref(&closest)), UNPROVED);
    let referral = [vec![ns(WWW)], closest];
    let unproved = "bogus: the referral is not proved";
    assert_eq!(proved(&zone, below, A, &referral), unproved);
}

#[test]
fn referrals_to_unsigned_zones() {
    let zone = Zone::new();
    let refer = |kinds: &[RecordType]| {
        let authorities = [vec![ns(WWW)], PLAIN.at(&zone, WWW, kinds)];
        proved(&zone, "x.www.example.bit.", A, &authorities)
    };
    let unproved = "bogus: the referral is not proved";
    assert_eq!(refer(&[NS]), "referral www.example.bit. unsigned 3600");
    for kinds in [&[NS, DS][..], &[NS, SOA], &[A], &[]] {
        assert_eq!(refer(kinds), unproved, "{kinds:?}");
    }
}

#[test]
fn a_wildcard_applies_if_nothing_closer_exists() {
    let zone = Zone::new();
    let answers = |asked: &str| [zone.expanded(a(WILD, 1), asked)];
    let unproved = "bogus: the use of a wildcard is not proved";
    let deep = "x.www.example.bit.";
    for (hashes, expected) in [(PLAIN, "data 192.0.2.1 3600"), (OPT_OUT, "opt-out 3600")] {
        let next = hashes.around(&zone, WWW);
        for asked in [WWW, deep] {
            let outcome = zone.answer(asked, A, &answers(asked), from_ref(&next));
            assert_eq!(shown(&outcome), expected);
        }
        let not_next = hashes.around(&zone, deep);
        let own = hashes.at(&zone, WWW, &[A]);
        for proof in [vec![], not_next, own] {
            let outcome = zone.answer(deep, A, &answers(deep), &[proof]);
            assert_eq!(shown(&outcome), unproved);
        }
    }
}

#[test]
fn the_last_hash_goes_round() {
    let zone = Zone::new();
    let apex = PLAIN.at(&zone, APEX, &[NS, SOA]);
    let (www, wild) = (PLAIN.hash(WWW), PLAIN.hash(WILD));
    let with = |owner: &[u8], next: &[u8]| {
        let last = PLAIN.span(&zone, owner, next, &[A]);
        let all = [apex.clone(), last, PLAIN.around(&zone, WILD)];
        proved(&zone, WWW, A, &all)
    };
    let (least, greatest) = (vec![0; 20], vec![0xff; 20]);
    assert_ne!(www, wild);
    // The name is after the last hash, or before the first.
    assert_eq!(with(&moved(&www, -1), &least), "no name 3600");
    assert_eq!(with(&greatest, &moved(&www, 1)), "no name 3600");
    assert_eq!(with(&moved(&www, 1), &moved(&www, -1)), UNPROVED);
    assert_eq!(with(&greatest, &www), UNPROVED);
    assert_eq!(with(&www, &www), UNPROVED);
    // A zone of one name.
    let hash = PLAIN.hash(APEX);
    let only = [PLAIN.span(&zone, &hash, &hash, &[NS, SOA])];
    assert_eq!(proved(&zone, WWW, A, &only), "no name 3600");
}

#[test]
fn owners_are_hashes_directly_below_the_zone() {
    let zone = Zone::new();
    let hash = PLAIN.hash(WWW);
    let next = moved(&hash, 1);
    let good = PLAIN.span(&zone, &hash, &next, &[TXT]);
    assert_eq!(proved(&zone, WWW, A, from_ref(&good)), "no data 3600");
    let data = good[0].data.clone();
    let label = BASE32_DNSSEC.encode(&hash);
    let owned = |owner: String| {
        let signed = zone.signed_one(record(&owner, data.clone()));
        proved(&zone, WWW, A, &[signed])
    };
    assert_eq!(
        owned(format!("{}.Example.bit.", label.to_uppercase())),
        "no data 3600"
    );
    assert_eq!(owned(format!("{label}.sub.example.bit.")), UNPROVED);
    assert_eq!(owned(format!("{}.example.bit.", &label[..31])), UNPROVED);
    let short = BASE32_DNSSEC.encode(&PLAIN.hash(WILD)[..15]);
    let wide = PLAIN.span(&zone, &[0; 20], &[0xff; 20], &[A])[0]
        .data
        .clone();
    let short = zone.signed_one(record(&format!("{short}.example.bit."), wide));
    let closest = PLAIN.closest(&zone, APEX, &[NS, SOA], WWW);
    assert_eq!(proved(&zone, WWW, A, &[closest, short]), UNPROVED);
    // A wildcard would have any hash.
    let moved = zone.expanded(record(WILD, data), &format!("{label}.example.bit."));
    assert_eq!(
        proved(&zone, WWW, A, &[moved]),
        "bogus: the records are malformed"
    );
    // Next hashes have their length, too.
    let short = PLAIN.span(&zone, &hash, &next[..19], &[TXT]);
    assert_eq!(proved(&zone, WWW, A, &[short]), UNPROVED);
}

#[test]
fn records_with_other_parameters_do_not_help() {
    let zone = Zone::new();
    let salted = Hashes {
        salt: b"other",
        ..PLAIN
    };
    let proofs = [
        PLAIN.closest(&zone, APEX, &[NS, SOA], WWW),
        salted.around(&zone, WILD),
    ];
    assert_eq!(proved(&zone, WWW, A, &proofs), UNPROVED);
    // Not even for hashes with the parameters of the first.
    let first = PLAIN.span(&zone, &[0; 20], &[1; 20], &[A]);
    let other = salted.at(&zone, APEX, &[TXT]);
    let data = other[0].data.clone();
    let owner = format!("{}.example.bit.", BASE32_DNSSEC.encode(&PLAIN.hash(WWW)));
    let other = zone.signed_one(record(&owner, data));
    assert_eq!(proved(&zone, WWW, A, from_ref(&other)), UNPROVED);
    assert_eq!(proved(&zone, WWW, A, &[first, other]), UNPROVED);
}

#[test]
fn iterations_and_hashes_are_bounded() {
    let zone = Zone::new();
    let slow = |iterations| Hashes {
        iterations,
        ..PLAIN
    };
    let at = |iterations, asked: &str| {
        let proof = slow(iterations).at(&zone, WWW, &[TXT]);
        proved(&zone, asked, A, &[proof])
    };
    assert_eq!(at(150, WWW), "no data 3600");
    assert_eq!(at(151, WWW), "bogus: too many iterations");
    assert_eq!(at(u16::MAX, WWW), "bogus: too many iterations");
    // Each label of a name is a hash.
    let long = Hashes {
        iterations: 150,
        salt: &[0; 255],
        opt_out: false,
    };
    let deep = format!("{}example.bit.", "a.".repeat(100));
    let outcome = proved(&zone, &deep, A, &[long.at(&zone, WWW, &[TXT])]);
    assert_eq!(outcome, "bogus: too many hashes");
}

#[test]
fn the_soa_record_bounds_how_long_an_absence_is_cached() {
    let zone = Zone::new();
    let at = PLAIN.at(&zone, WWW, &[TXT]);
    let soa = zone.signed_one(soa(APEX, 60));
    assert_eq!(proved(&zone, WWW, A, &[at, soa]), "no data 60");
}
