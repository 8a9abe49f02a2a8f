//! Which keys are believed.

use std::slice::from_ref;

use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS};
use hickory_proto::dnssec::{Algorithm, DigestType, PublicKeyBuf};
use hickory_proto::op::Message;
use hickory_proto::rr::{DNSClass, RData, RecordType};

use super::super::{Bogus, Keys, Now, Work, is_usable};
use super::zone::{NOW, Zone, a, ds_of, reply};
use super::{name, shown};

fn believe(zone: &Zone, ds: &[DS], reply: &Message) -> Option<Bogus> {
    Keys::believe(&zone.name, ds, reply, Now(NOW), &mut Work::new()).err()
}

/// The reply with the zone's key and `others`, signed by the zone's key.
fn own_reply(zone: &Zone, others: &[DNSKEY]) -> Message {
    reply(&[zone.signed(&zone.dnskeys(others))], &[])
}

#[test]
fn a_ds_record_has_a_digest_of_sha_256_or_sha_384() {
    let zone = Zone::new();
    let reply = own_reply(&zone, &[]);
    for digest in [DigestType::SHA256, DigestType::SHA384] {
        let ds = [zone.ds(digest)];
        assert!(is_usable(&ds));
        assert_eq!(believe(&zone, &ds, &reply), None);
    }
    let sha1 = zone.ds(DigestType::SHA1);
    assert!(!is_usable(from_ref(&sha1)));
    assert_eq!(
        believe(&zone, from_ref(&sha1), &reply),
        Some(Bogus::NoUsableDs)
    );
    assert_eq!(believe(&zone, &[], &reply), Some(Bogus::NoUsableDs));
    // SHA-1 does not help where another digest fails.
    let right = zone.ds(DigestType::SHA256);
    let mut digest = right.digest().to_vec();
    digest[31] ^= 1;
    let wrong = DS::new(
        right.key_tag(),
        right.algorithm(),
        DigestType::SHA256,
        digest,
    );
    let both = [sha1, wrong.clone()];
    assert!(is_usable(&both));
    assert_eq!(believe(&zone, &both, &reply), Some(Bogus::NoMatchingKey));
    assert_eq!(believe(&zone, &[wrong, right], &reply), None);
}

/// A key that no signature covers signs nothing, whatever its class.
#[test]
fn only_keys_that_are_signed_are_believed() {
    let zone = Zone::new();
    let thief = Zone::new();
    for class in [
        DNSClass::CH,
        DNSClass::HS,
        DNSClass::NONE,
        DNSClass::ANY,
        DNSClass::from(7),
    ] {
        let mut reply = own_reply(&zone, &[]);
        let mut added = reply.answers[0].clone();
        added.data = RData::DNSSEC(DNSSECRData::DNSKEY(thief.dnskey.clone()));
        added.dns_class = class;
        reply.answers.push(added);
        let ds = [zone.ds(DigestType::SHA256)];
        let mut work = Work::new();
        let keys = Keys::believe(&zone.name, &ds, &reply, Now(NOW), &mut work).unwrap();
        let forged = thief.signed(&[a("www.example.bit.", 66)]);
        let forged = super::zone::reply(&[forged], &[]);
        let www = name("www.example.bit.");
        let answer = keys.answer(&www, RecordType::A, &forged, Now(NOW), &mut work);
        assert!(answer.is_err(), "{class}: {answer:?}");
    }
}

#[test]
fn a_ds_record_has_an_algorithm_that_we_support() {
    let usable = |algorithm| {
        let algorithm = Algorithm::from_u8(algorithm);
        is_usable(&[DS::new(1, algorithm, DigestType::SHA256, vec![0; 32])])
    };
    let supported: Vec<u8> = (0..=255).filter(|number| usable(*number)).collect();
    assert_eq!(supported, [8, 13, 14, 15]);
}

#[test]
fn tag_and_algorithm_of_a_ds_record_are_the_key_s() {
    let zone = Zone::new();
    let reply = own_reply(&zone, &[]);
    let ds = zone.ds(DigestType::SHA256);
    let digest = || ds.digest().to_vec();
    let tag = DS::new(ds.key_tag() ^ 1, ds.algorithm(), ds.digest_type(), digest());
    let algorithm = Algorithm::ECDSAP256SHA256;
    let algorithm = DS::new(ds.key_tag(), algorithm, ds.digest_type(), digest());
    for ds in [tag, algorithm] {
        assert_eq!(believe(&zone, &[ds], &reply), Some(Bogus::NoMatchingKey));
    }
}

#[test]
fn a_key_is_a_zone_key_and_not_revoked() {
    for (flags, bogus) in [
        (0x0101, None),
        (0x0100, None),
        (0x0001, Some(Bogus::NoKeys)),
        (0x0181, Some(Bogus::NoKeys)),
    ] {
        let zone = Zone::new().with_flags(flags);
        let ds = [zone.ds(DigestType::SHA256)];
        let outcome = believe(&zone, &ds, &own_reply(&zone, &[]));
        assert_eq!(outcome, bogus, "{flags:x}");
    }
    let zone = Zone::new();
    let ds = [zone.ds(DigestType::SHA256)];
    assert_eq!(believe(&zone, &ds, &reply(&[], &[])), Some(Bogus::NoKeys));
}

#[test]
fn the_key_of_the_ds_record_signs_the_keys() {
    let zone = Zone::new();
    let thief = Zone::new();
    let reply = own_reply(&thief, from_ref(&zone.dnskey));
    let ds = [zone.ds(DigestType::SHA256)];
    assert_eq!(believe(&zone, &ds, &reply), Some(Bogus::OtherSigner));
    let tag = zone.dnskey.calculate_key_tag().unwrap();
    let keys = thief.dnskeys(from_ref(&zone.dnskey));
    let forged = thief.sign_with(&keys, |input| input.key_tag = tag);
    let reply = super::zone::reply(&[keys, vec![forged]], &[]);
    assert_eq!(believe(&zone, &ds, &reply), Some(Bogus::WrongSignature));
    // Other keys that it signs are believed.
    let reply = own_reply(&zone, from_ref(&thief.dnskey));
    let keys = zone.believe(&reply).unwrap();
    let reply = super::zone::reply(&[thief.signed_one(a("www.example.bit.", 1))], &[]);
    let www = name("www.example.bit.");
    let outcome = keys.answer(&www, RecordType::A, &reply, Now(NOW), &mut Work::new());
    assert_eq!(shown(&outcome), "data 192.0.2.1 3600");
}

#[test]
fn keys_may_share_a_tag_but_not_many() {
    let zone = Zone::new();
    let www = name("www.example.bit.");
    for (count, bogus) in [(7, None), (8, Some(Bogus::TooManySignatures))] {
        let others = zone.keys_with_same_tag(count);
        let tag = zone.dnskey.calculate_key_tag();
        assert!(
            others
                .iter()
                .all(|key| key.calculate_key_tag().ok() == tag.clone().ok())
        );
        // The DS record stands for one of them only.
        let keys = zone.believe(&own_reply(&zone, &others)).unwrap();
        let reply = reply(&[zone.signed_one(a("www.example.bit.", 1))], &[]);
        let outcome = keys.answer(&www, RecordType::A, &reply, Now(NOW), &mut Work::new());
        assert_eq!(outcome.err(), bogus, "{count}");
        // One that the DS records stand for must have signed the keys.
        let ds = others.iter().chain([&zone.dnskey]);
        let ds: Vec<_> = ds
            .map(|key| ds_of(&zone.name, key, DigestType::SHA256))
            .collect();
        assert_eq!(
            believe(&zone, &ds, &own_reply(&zone, &others)),
            bogus,
            "{count}"
        );
    }
}

#[test]
fn keys_of_one_zone_are_bounded() {
    let zone = Zone::new();
    let other = |n: u8| {
        let key = PublicKeyBuf::new(vec![n; 32], Algorithm::ED25519);
        DNSKEY::with_flags(0x0100, key)
    };
    let ds = [zone.ds(DigestType::SHA256)];
    for (count, bogus) in [(31, None), (32, Some(Bogus::NoMatchingKey))] {
        let others: Vec<_> = (0..count).map(other).collect();
        assert_eq!(believe(&zone, &ds, &own_reply(&zone, &others)), bogus);
    }
    // The same key over and over is one.
    let once = zone.dnskeys(&[other(1)]);
    let signature = zone.sign_with(&once, |_| {});
    let many = vec![once[0].clone(); 40];
    let reply = reply(&[many, once, vec![signature]], &[]);
    assert_eq!(believe(&zone, &ds, &reply), None);
}

#[test]
fn a_key_is_hashed_as_often_as_the_budget_allows() {
    let zone = Zone::new();
    let right = zone.ds(DigestType::SHA256);
    let wrong = DS::new(
        right.key_tag(),
        right.algorithm(),
        DigestType::SHA256,
        vec![0; 32],
    );
    let mut work = Work::new();
    let mut believe = || {
        let reply = own_reply(&zone, &[]);
        let ds = vec![wrong.clone(); 32];
        Keys::believe(&zone.name, &ds, &reply, Now(NOW), &mut work).err()
    };
    // One block for each digest.
    for _ in 0..1024 {
        assert_eq!(believe(), Some(Bogus::NoMatchingKey));
    }
    assert_eq!(believe(), Some(Bogus::TooManyHashes));
}

#[test]
fn signatures_of_one_fetch_are_bounded() {
    let zone = Zone::new();
    let keys = zone.keys();
    let www = name("www.example.bit.");
    let reply = reply(&[zone.signed_one(a("www.example.bit.", 1))], &[]);
    let mut work = Work::new();
    let mut ask = || keys.answer(&www, RecordType::A, &reply, Now(NOW), &mut work);
    for _ in 0..64 {
        assert!(ask().is_ok());
    }
    assert_eq!(ask(), Err(Bogus::TooManySignatures));
}
