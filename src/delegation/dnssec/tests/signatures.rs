//! Which signatures count, and for what.

use std::slice::from_ref;

use hickory_proto::dnssec::Algorithm;
use hickory_proto::dnssec::rdata::{DNSSECRData, SigInput};
use hickory_proto::rr::{RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinEncodable};

use super::super::{Bogus, Now, Validated, Work};
use super::zone::{NOW, Zone, a, cname, dname, ns, reply};
use super::{name, shown};

const WWW: &str = "www.example.bit.";

/// The answer to a question for the addresses of `www`, with one address and a
/// signature that `change` has changed before it was made.
fn signed_after(zone: &Zone, now: u32, change: impl FnOnce(&mut SigInput)) -> String {
    let record = a(WWW, 1);
    let signature = zone.sign_with(from_ref(&record), change);
    let reply = reply(&[vec![record, signature]], &[]);
    let keys = zone.keys();
    let work = &mut Work::new();
    shown(&keys.answer(&name(WWW), RecordType::A, &reply, Now(now), work))
}

fn answer(zone: &Zone, answers: &[Vec<Record>]) -> String {
    shown(&zone.answer(WWW, RecordType::A, answers, &[]))
}

#[test]
fn the_signer_is_the_zone() {
    let zone = Zone::new();
    let signed_by =
        |signer: &str| signed_after(&zone, NOW, |input| input.signer_name = name(signer));
    assert_eq!(signed_by("example.bit."), "data 192.0.2.1 3600");
    assert_eq!(signed_by("EXAMPLE.bit."), "data 192.0.2.1 3600");
    let other = "bogus: no signature by the zone's keys";
    for signer in ["bit.", ".", "other.bit.", "a.example.bit."] {
        assert_eq!(signed_by(signer), other, "{signer}");
    }
    // A zone below that would contain the name proves nothing either.
    assert_eq!(signed_by(WWW), "below www.example.bit.");
    let record = [a(WWW, 1)];
    let below = zone.sign_with(&record, |input| input.signer_name = name(WWW));
    let expired = zone.sign_with(&record, |input| input.sig_expiration = (NOW - 1000).into());
    let both = [record.to_vec(), vec![below, expired]];
    assert_eq!(answer(&zone, &both), "bogus: the signature has expired");
}

#[test]
fn labels_are_those_of_the_owner_or_of_a_wildcard_in_the_zone() {
    let zone = Zone::new();
    let labels = |labels| signed_after(&zone, NOW, |input| input.num_labels = labels);
    assert_eq!(labels(4), "bogus: the records are malformed");
    assert_eq!(labels(2), "bogus: the use of a wildcard is not proved");
    assert_eq!(labels(1), "bogus: the records are malformed");
    assert_eq!(labels(0), "bogus: the records are malformed");
}

#[test]
fn times_have_five_minutes_of_tolerance() {
    let zone = Zone::new();
    let between = |inception: u32, expiration: u32, now| {
        signed_after(&zone, now, |input| {
            input.sig_inception = inception.into();
            input.sig_expiration = expiration.into();
        })
    };
    let not_yet = "bogus: the signature is not valid yet";
    let expired = "bogus: the signature has expired";
    assert_eq!(between(1000, 2000, 700), "data 192.0.2.1 1300");
    assert_eq!(between(1000, 2000, 699), not_yet);
    assert_eq!(between(1000, 2000, 1999), "data 192.0.2.1 1");
    assert_eq!(between(1000, 2000, 2300), "data 192.0.2.1 0");
    assert_eq!(between(1000, 2000, 2301), expired);
    assert_eq!(between(4000, 1000, 2000), not_yet);
    // In 2038 and 2106.
    for wrap in [1_u32 << 31, 0] {
        let (before, after) = (wrap.wrapping_sub(1000), wrap.wrapping_add(1000));
        assert_eq!(between(before, after, wrap), "data 192.0.2.1 1000");
        assert_eq!(between(before, after, before), "data 192.0.2.1 2000");
        assert_eq!(between(after, after + 1, before), not_yet);
        assert_eq!(between(before - 1, before, after), expired);
    }
}

#[test]
fn the_algorithm_and_the_tag_are_those_of_a_key() {
    let zone = Zone::new();
    let other = "bogus: no signature by the zone's keys";
    for algorithm in [8, 13, 14, 5, 10, 16] {
        let algorithm = Algorithm::from_u8(algorithm);
        let outcome = signed_after(&zone, NOW, |input| input.algorithm = algorithm);
        assert_eq!(outcome, other, "{algorithm}");
    }
    assert_eq!(signed_after(&zone, NOW, |input| input.key_tag ^= 1), other);
    let stranger = Zone::new();
    let tag = zone.dnskey.calculate_key_tag().unwrap();
    let record = a(WWW, 1);
    let forged = stranger.sign_with(from_ref(&record), |input| input.key_tag = tag);
    let outcome = answer(&zone, &[vec![record, forged]]);
    assert_eq!(outcome, "bogus: the signature is wrong");
}

#[test]
fn one_valid_signature_among_others_is_enough() {
    let zone = Zone::new();
    let record = [a(WWW, 1)];
    let expired = zone.sign_with(&record, |input| input.sig_expiration = (NOW - 1000).into());
    let other = zone.sign_with(&record, |input| input.signer_name = name("bit."));
    let valid = zone.sign_with(&record, |_| {});
    let all = [record.to_vec(), vec![expired.clone(), other.clone(), valid]];
    assert_eq!(answer(&zone, &all), "data 192.0.2.1 3600");
    let invalid = [record.to_vec(), vec![expired, other]];
    assert_eq!(answer(&zone, &invalid), "bogus: the signature has expired");
}

#[test]
fn order_duplicates_ttls_and_case_do_not_matter() {
    let zone = Zone::new();
    let set = [a(WWW, 1), a(WWW, 2), a(WWW, 3)];
    let signature = zone.sign_with(&set, |_| {});
    let [mut one, mut two, mut three] = set;
    one.ttl = 100;
    two.ttl = 50;
    two.name = name("WwW.Example.BIT.");
    three.ttl = 7200;
    let again = three.clone();
    let all = vec![three, two, signature, again, one];
    let outcome = answer(&zone, &[all]);
    assert_eq!(outcome, "data 192.0.2.1 192.0.2.2 192.0.2.3 50");
}

#[test]
fn the_ttl_is_no_greater_than_the_signature_s_and_the_original() {
    let zone = Zone::new();
    let original = |ttl| signed_after(&zone, NOW, |input| input.original_ttl = ttl);
    assert_eq!(original(60), "data 192.0.2.1 60");
    assert_eq!(original(7200), "data 192.0.2.1 3600");
    let mut signed = zone.signed_one(a(WWW, 1));
    signed[1].ttl = 70;
    assert_eq!(answer(&zone, &[signed]), "data 192.0.2.1 70");
}

#[test]
fn a_ttl_of_32_bits_is_none() {
    let zone = Zone::new();
    let mut signed = zone.signed_one(a(WWW, 1));
    signed[0].ttl = 1 << 31;
    assert_eq!(answer(&zone, &[signed]), "data 192.0.2.1 0");
}

#[test]
fn a_record_more_or_less_breaks_the_signature() {
    let zone = Zone::new();
    let wrong = "bogus: the signature is wrong";
    let mut more = zone.signed_one(a(WWW, 1));
    more.push(a(WWW, 2));
    assert_eq!(answer(&zone, &[more]), wrong);
    let mut less = zone.signed(&[a(WWW, 1), a(WWW, 2)]);
    less.remove(0);
    assert_eq!(answer(&zone, &[less]), wrong);
    let unsigned = vec![a(WWW, 1)];
    assert_eq!(
        answer(&zone, &[unsigned]),
        "bogus: the records are not signed"
    );
}

#[test]
fn records_of_other_names_and_types_are_ignored() {
    let zone = Zone::new();
    let evil = vec![
        a("evil.example.bit.", 66),
        a("example.com.", 66),
        cname(WWW, "evil.example.com."),
        dname("example.bit.", "evil.example.com."),
    ];
    let all = [evil.clone(), zone.signed_one(a(WWW, 1))];
    assert_eq!(answer(&zone, &all), "data 192.0.2.1 3600");
    let all = [evil, zone.signed_one(a("ww.example.bit.", 1))];
    assert_eq!(answer(&zone, &all), "bogus: the records are not signed");
}

#[test]
fn the_records_go_before_an_alias() {
    let zone = Zone::new();
    let alias = zone.signed_one(cname(WWW, "Other.Example.NET."));
    let both = [alias.clone(), zone.signed_one(a(WWW, 1))];
    assert_eq!(answer(&zone, &both), "data 192.0.2.1 3600");
    assert_eq!(
        answer(&zone, from_ref(&alias)),
        "alias other.example.net. 3600"
    );
    let asked = zone.answer(WWW, RecordType::CNAME, from_ref(&alias), &[]);
    assert_eq!(shown(&asked), "alias other.example.net. 3600");
    // Nobody signs the forged one.
    let forged = [vec![a(WWW, 66)], alias];
    assert_eq!(answer(&zone, &forged), "alias other.example.net. 3600");
    let two = [cname(WWW, "a.example."), cname(WWW, "b.example.")];
    let outcome = answer(&zone, &[zone.signed(&two)]);
    assert_eq!(outcome, "bogus: the records are malformed");
}

#[test]
fn a_dname_record_makes_aliases_below_it() {
    let zone = Zone::new();
    let asked = |asked: &str, answers: &[Vec<Record>]| {
        shown(&zone.answer(asked, RecordType::A, answers, &[]))
    };
    let mut signed = zone.signed_one(dname("old.example.bit.", "new.example."));
    // Names in the data are signed in lower case (RFC 4034 section 6.2).
    signed[0] = dname("OLD.example.bit.", "NEW.Example.");
    let mut forged = vec![dname("bit.", "evil.example.")];
    forged.extend(signed.clone());
    forged.push(cname("a.b.old.example.bit.", "evil.example."));
    assert_eq!(
        asked("a.b.old.example.bit.", &[forged]),
        "alias a.b.new.example. 3600"
    );
    let unproved = "bogus: the absence is not proved";
    for other in ["old.example.bit.", "a.b.xold.example.bit.", "example.bit."] {
        assert_eq!(asked(other, from_ref(&signed)), unproved, "{other}");
    }
    let mut longer = signed.clone();
    if let RData::Unknown { rdata, .. } = &mut longer[0].data {
        rdata.anything.push(0);
    }
    let outcome = asked("a.old.example.bit.", &[longer]);
    assert_eq!(outcome, "bogus: the signature is wrong");
    let unsigned = vec![dname("old.example.bit.", "new.example.")];
    assert_eq!(
        asked("a.old.example.bit.", &[unsigned]),
        "bogus: the records are not signed"
    );
    let wild = zone.expanded(dname("*.example.bit.", "new.example."), "old.example.bit.");
    assert_eq!(
        asked("a.old.example.bit.", &[wild]),
        "bogus: the records are malformed"
    );
    let long = format!("{0}.{0}.{0}.example.", "x".repeat(60));
    let long = zone.signed_one(dname("old.example.bit.", &long));
    let deep = format!("{0}.{0}.old.example.bit.", "y".repeat(60));
    assert_eq!(asked(&deep, &[long]), "bogus: the alias is too long");
    let two = [
        dname("old.example.bit.", "a.example."),
        dname("old.example.bit.", "b.example."),
    ];
    let outcome = asked("a.old.example.bit.", &[zone.signed(&two)]);
    assert_eq!(outcome, "bogus: the records are malformed");
}

#[test]
fn questions_for_other_zones_are_refused() {
    let zone = Zone::new();
    for other in ["example.com.", "bit.", "xexample.bit."] {
        let signed = zone.signed_one(a(other, 1));
        let outcome = zone.answer(other, RecordType::A, &[signed], &[]);
        assert_eq!(outcome, Err(Bogus::NotInZone), "{other}");
    }
    let outcome = zone.answer("example.bit.", RecordType::DS, &[], &[]);
    assert_eq!(outcome, Err(Bogus::NotInZone));
}

#[test]
fn records_of_an_unsigned_zone_below_may_come_with_its_name_servers() {
    let zone = Zone::new();
    let asked = "www.sub.example.bit.";
    let answers = [vec![a(asked, 1)]];
    let outcome = zone.answer(
        asked,
        RecordType::A,
        &answers,
        &[vec![ns("sub.example.bit.")]],
    );
    let child = name("sub.example.bit.");
    assert_eq!(outcome, Ok(Validated::Below { child }));
}

/// Flips each bit of the record's data, and decodes it again if it still can be
/// decoded.
fn flipped(record: &Record) -> impl Iterator<Item = Record> {
    let bytes = record.to_bytes().unwrap();
    let data = bytes.len() - record.data.to_bytes().unwrap().len();
    let bits = (8 * data..8 * bytes.len()).map(move |bit| {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    bits.filter_map(|bytes| Record::from_bytes(&bytes).ok())
}

#[test]
fn each_bit_of_the_records_and_of_the_signature_counts() {
    let zone = Zone::new();
    let keys = zone.keys();
    let [record, signature] = zone.signed_one(a(WWW, 1)).try_into().unwrap();
    let mut count = 0;
    let mut check = |record: &Record, signature: &Record, is_case_only| {
        let reply = reply(&[vec![record.clone(), signature.clone()]], &[]);
        let work = &mut Work::new();
        let outcome = keys.answer(&name(WWW), RecordType::A, &reply, Now(NOW), work);
        // The case of names does not count.
        assert_eq!(outcome.is_ok(), is_case_only, "{record} {signature}");
        count += 1;
    };
    for record in flipped(&record) {
        check(&record, &signature, false);
    }
    let signer = |record: &Record| match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) => Some(signature.clone()),
        _ => None,
    };
    for changed in flipped(&signature) {
        let is_case_only = signer(&changed).is_some_and(|changed| {
            let (signer_name, original) = (&changed.input().signer_name, signer(&signature));
            let mut input = changed.input().clone();
            input.signer_name = name("example.bit.");
            let original = original.unwrap();
            *signer_name == name("example.bit.")
                && input == *original.input()
                && changed.sig() == original.sig()
        });
        check(&record, &changed, is_case_only);
    }
    assert!(count > 8 * 80, "{count}");
}
