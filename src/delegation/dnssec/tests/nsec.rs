//! What NSEC records prove, and what they do not.

use std::slice::from_ref;

use hickory_proto::dnssec::DigestType;
use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::rr::{RData, Record, RecordType};

use super::shown;
use super::zone::{NOW, Zone, a, cname, ns, record, soa};

use RecordType::{A, AAAA, CNAME, DNAME, DS, NS, NSEC, RRSIG, SOA, TXT};

const UNPROVED: &str = "bogus: the absence is not proved";
const UNPROVED_REFERRAL: &str = "bogus: the referral is not proved";

/// What the NSEC records prove about the name and type.
fn proved(zone: &Zone, asked: &str, kind: RecordType, nsec: &[Vec<Record>]) -> String {
    shown(&zone.answer(asked, kind, &[], nsec))
}

/// The referral to `sub` that the records in the authority section prove.
fn referred(zone: &Zone, authorities: &[Vec<Record>]) -> String {
    let mut all = vec![vec![ns("sub.example.bit.")]];
    all.extend_from_slice(authorities);
    shown(&zone.answer("www.sub.example.bit.", A, &[], &all))
}

#[test]
fn types_that_a_name_lacks() {
    let zone = Zone::new();
    let www = "www.example.bit.";
    let nsec = |kinds: &[RecordType]| [zone.nsec(www, "x.example.bit.", kinds)];
    assert_eq!(
        proved(&zone, www, A, &nsec(&[TXT, RRSIG, NSEC])),
        "no data 3600"
    );
    assert_eq!(proved(&zone, www, A, &nsec(&[A, RRSIG, NSEC])), UNPROVED);
    // The alias is withheld (RFC 6840 section 4.3).
    assert_eq!(
        proved(&zone, www, A, &nsec(&[CNAME, RRSIG, NSEC])),
        UNPROVED
    );
    assert_eq!(proved(&zone, www, A, &nsec(&[DNAME, TXT])), "no data 3600");
    // The name does not exist (RFC 9824).
    let nxname = RecordType::from(128);
    assert_eq!(
        proved(&zone, www, A, &nsec(&[RRSIG, NSEC, nxname])),
        "no name 3600"
    );
    // At the zone's own name.
    let apex = [zone.nsec("example.bit.", "a.example.bit.", &[NS, SOA])];
    assert_eq!(proved(&zone, "example.bit.", A, &apex), "no data 3600");
}

#[test]
fn names_that_do_not_exist_with_their_wildcard() {
    let zone = Zone::new();
    let apex = zone.nsec("example.bit.", "b.example.bit.", &[NS, SOA]);
    let b = zone.nsec("b.example.bit.", "d.example.bit.", &[A]);
    let c = "c.example.bit.";
    assert_eq!(
        proved(&zone, c, A, &[apex.clone(), b.clone()]),
        "no name 3600"
    );
    assert_eq!(proved(&zone, c, A, from_ref(&b)), UNPROVED);
    assert_eq!(proved(&zone, c, A, from_ref(&apex)), UNPROVED);
    // The wildcard of the zone has no part in names below `b`.
    assert_eq!(
        proved(&zone, "x.b.example.bit.", A, from_ref(&b)),
        "no name 3600"
    );
    // The ends of a span exist.
    for end in ["b.example.bit.", "d.example.bit."] {
        let all = [apex.clone(), b.clone()];
        assert_ne!(proved(&zone, end, A, &all), "no name 3600", "{end}");
    }
    assert_eq!(proved(&zone, "d.example.bit.", A, &[apex, b]), UNPROVED);
}

#[test]
fn a_wildcard_without_the_type() {
    let zone = Zone::new();
    let b = zone.nsec("b.example.bit.", "d.example.bit.", &[A]);
    let wild = |kinds: &[RecordType]| {
        let wild = zone.nsec("*.example.bit.", "b.example.bit.", kinds);
        proved(&zone, "c.example.bit.", A, &[b.clone(), wild])
    };
    assert_eq!(wild(&[TXT]), "no data 3600");
    assert_eq!(wild(&[A]), UNPROVED);
    assert_eq!(wild(&[CNAME]), UNPROVED);
    assert_eq!(wild(&[NS]), UNPROVED);
    // A wildcard that only has names below it.
    let below = zone.nsec("example.bit.", "x.*.example.bit.", &[NS, SOA]);
    let outcome = proved(&zone, "c.example.bit.", A, &[b.clone(), below]);
    assert_eq!(outcome, "no data 3600");
    // DS records that a wildcard lacks prove no cut.
    let wild = zone.nsec("*.example.bit.", "b.example.bit.", &[NS]);
    assert_eq!(proved(&zone, "c.example.bit.", DS, &[b, wild]), UNPROVED);
}

#[test]
fn a_name_with_names_below_it_exists() {
    let zone = Zone::new();
    let b = zone.nsec("b.example.bit.", "x.y.d.example.bit.", &[A]);
    for asked in ["d.example.bit.", "y.d.example.bit."] {
        assert_eq!(proved(&zone, asked, A, from_ref(&b)), "no data 3600");
        assert_eq!(proved(&zone, asked, DS, from_ref(&b)), "no data 3600");
    }
}

#[test]
fn a_long_name_after_another_makes_none_in_between_exist() {
    let zone = Zone::new();
    let b = zone.nsec("b.example.bit.", "x.y.d.example.bit.", &[A]);
    let apex = zone.nsec("example.bit.", "b.example.bit.", &[NS, SOA]);
    let all = [b, apex];
    assert_eq!(proved(&zone, "c.example.bit.", A, &all), "no name 3600");
}

#[test]
fn records_outside_of_the_zone_prove_nothing() {
    let zone = Zone::new();
    let all = [zone.nsec("a.bit.", "z.bit.", &[A])];
    let outcome = proved(&zone, "c.example.bit.", A, &all);
    assert_eq!(outcome, "bogus: the records are malformed");
}

#[test]
fn the_last_name_goes_round_to_the_zone_s_own() {
    let zone = Zone::new();
    let apex = zone.nsec("example.bit.", "b.example.bit.", &[NS, SOA]);
    let last = |next: &str| {
        let last = zone.nsec("y.example.bit.", next, &[A]);
        proved(&zone, "z.example.bit.", A, &[apex.clone(), last])
    };
    assert_eq!(last("example.bit."), "no name 3600");
    assert_eq!(last("EXAMPLE.bit."), "no name 3600");
    assert_eq!(last("b.example.bit."), UNPROVED);
    assert_eq!(last("bit."), UNPROVED);
    assert_eq!(last("y.example.bit."), UNPROVED);
    // What is before the last name is not after it.
    let last = zone.nsec("y.example.bit.", "example.bit.", &[A]);
    assert_eq!(proved(&zone, "c.example.bit.", A, &[last]), UNPROVED);
    // A zone of one name.
    let only = [zone.nsec("example.bit.", "example.bit.", &[NS, SOA])];
    assert_eq!(proved(&zone, "c.example.bit.", A, &only), "no name 3600");
}

#[test]
fn the_parent_s_side_of_a_cut_proves_nothing_about_the_child() {
    let zone = Zone::new();
    let cut = [zone.nsec("sub.example.bit.", "t.example.bit.", &[NS, RRSIG, NSEC])];
    let apex = zone.nsec("example.bit.", "a.example.bit.", &[NS, SOA]);
    for asked in [
        "sub.example.bit.",
        "www.sub.example.bit.",
        "*.sub.example.bit.",
    ] {
        let all = [cut[0].clone(), apex.clone()];
        assert_eq!(proved(&zone, asked, A, &all), UNPROVED, "{asked}");
    }
    let below = [zone.nsec("sub.example.bit.", "x.d.sub.example.bit.", &[NS])];
    assert_eq!(proved(&zone, "d.sub.example.bit.", A, &below), UNPROVED);
    // But that there are no DS records, and what is next to it.
    let unsigned = "referral sub.example.bit. unsigned 3600";
    assert_eq!(proved(&zone, "sub.example.bit.", DS, &cut), unsigned);
    let beside = [cut[0].clone(), apex];
    assert_eq!(
        proved(&zone, "subx.example.bit.", A, &beside),
        "no name 3600"
    );
}

#[test]
fn the_child_s_side_of_a_cut_proves_nothing_about_its_ds_records() {
    let zone = Zone::new();
    let child = zone.nsec("sub.example.bit.", "t.example.bit.", &[NS, SOA]);
    assert_eq!(
        proved(&zone, "sub.example.bit.", DS, from_ref(&child)),
        UNPROVED
    );
    assert_eq!(referred(&zone, &[child]), UNPROVED_REFERRAL);
}

#[test]
fn a_dname_record_answers_for_what_is_below_it() {
    let zone = Zone::new();
    let old = zone.nsec("old.example.bit.", "p.example.bit.", &[DNAME]);
    assert_eq!(
        proved(&zone, "x.old.example.bit.", A, from_ref(&old)),
        UNPROVED
    );
    assert_eq!(proved(&zone, "old.example.bit.", A, &[old]), "no data 3600");
}

#[test]
fn records_from_a_wildcard_prove_nothing() {
    let zone = Zone::new();
    let moved = |owner: &str| {
        let mut moved = zone.nsec("*.example.bit.", "t.example.bit.", &[TXT]);
        moved
            .iter_mut()
            .for_each(|record| record.name = super::name(owner));
        moved
    };
    let www = "www.example.bit.";
    let outcome = proved(&zone, www, A, &[moved(www)]);
    assert_eq!(outcome, "bogus: the records are malformed");
    let apex = zone.nsec("example.bit.", "a.example.bit.", &[NS, SOA]);
    let outcome = proved(&zone, "s.example.bit.", A, &[moved("r.example.bit."), apex]);
    assert_eq!(outcome, "bogus: the records are malformed");
}

#[test]
fn records_that_are_not_valid_prove_nothing() {
    let zone = Zone::new();
    let www = "www.example.bit.";
    let nsec = zone.nsec(www, "x.example.bit.", &[TXT]);
    let unsigned = vec![nsec[0].clone()];
    assert_eq!(
        proved(&zone, www, A, &[unsigned]),
        "bogus: the records are not signed"
    );
    let stranger = Zone::new().nsec(www, "x.example.bit.", &[TXT]);
    let outcome = proved(&zone, www, A, &[stranger]);
    assert_eq!(outcome, "bogus: no signature by the zone's keys");
    let expired = zone.sign_with(&nsec[..1], |input| {
        input.sig_expiration = (NOW - 1000).into()
    });
    let outcome = proved(&zone, www, A, &[vec![nsec[0].clone(), expired]]);
    assert_eq!(outcome, "bogus: the signature has expired");
    assert_eq!(proved(&zone, www, A, &[]), UNPROVED);
}

#[test]
fn records_of_one_reply_are_bounded() {
    let zone = Zone::new();
    let www = "www.example.bit.";
    let needed = zone.nsec(www, "x.example.bit.", &[TXT]);
    for (count, outcome) in [(15, "no data 3600"), (16, UNPROVED)] {
        let others = (0..count).map(|n| {
            let (owner, next) = (format!("a{n}.example.bit."), format!("b{n}.example.bit."));
            zone.nsec(&owner, &next, &[A])
        });
        let all: Vec<_> = others.chain([needed.clone()]).collect();
        assert_eq!(proved(&zone, www, A, &all), outcome, "{count}");
    }
}

#[test]
fn the_soa_record_bounds_how_long_an_absence_is_cached() {
    let zone = Zone::new();
    let www = "www.example.bit.";
    let nsec = zone.nsec(www, "x.example.bit.", &[TXT]);
    let with = |soa: Vec<Record>| proved(&zone, www, A, &[nsec.clone(), soa]);
    assert_eq!(with(zone.signed_one(soa("example.bit.", 60))), "no data 60");
    let mut short = zone.signed_one(soa("example.bit.", 600));
    short[0].ttl = 30;
    assert_eq!(with(short), "no data 30");
    let unsigned = vec![soa("example.bit.", 600)];
    assert_eq!(with(unsigned), "bogus: the records are not signed");
    // A zone below, with the same servers, may have the name.
    assert_eq!(with(vec![soa(www, 600)]), "below www.example.bit.");
    let nsec = proved(&zone, www, DS, &[nsec.clone(), vec![soa(www, 600)]]);
    assert_eq!(nsec, "no data 3600");
    let other = vec![soa("xwww.example.bit.", 60), soa("example.com.", 60)];
    assert_eq!(with(other), "no data 3600");
}

#[test]
fn a_wildcard_applies_if_nothing_closer_exists() {
    let zone = Zone::new();
    let asked = |asked: &str, nsec: &[Vec<Record>]| {
        let answers = [zone.expanded(a("*.example.bit.", 1), asked)];
        shown(&zone.answer(asked, A, &answers, nsec))
    };
    let unproved = "bogus: the use of a wildcard is not proved";
    let c = "c.example.bit.";
    let span = zone.nsec("b.example.bit.", "d.example.bit.", &[A]);
    assert_eq!(asked(c, from_ref(&span)), "data 192.0.2.1 3600");
    assert_eq!(
        asked("x.c.example.bit.", from_ref(&span)),
        "data 192.0.2.1 3600"
    );
    assert_eq!(
        asked("*.c.example.bit.", from_ref(&span)),
        "data 192.0.2.1 3600"
    );
    assert_eq!(asked(c, &[]), unproved);
    // The name exists, or has names below it.
    let own = zone.nsec(c, "d.example.bit.", &[TXT]);
    assert_eq!(asked(c, from_ref(&own)), unproved);
    let below = zone.nsec("b.example.bit.", "x.c.example.bit.", &[A]);
    assert_eq!(asked(c, from_ref(&below)), unproved);
    // A closer name exists.
    assert_eq!(asked("x.c.example.bit.", &[own]), unproved);
    assert_eq!(asked("a.c.example.bit.", &[below]), unproved);
    // A cut is closer.
    let cut = zone.nsec("b.example.bit.", "d.example.bit.", &[NS]);
    assert_eq!(asked("x.b.example.bit.", &[cut]), unproved);
    let mut expired = vec![span[0].clone()];
    expired.push(zone.sign_with(&span[..1], |input| {
        input.sig_expiration = (NOW - 1000).into()
    }));
    assert_eq!(asked(c, &[expired]), "bogus: the signature has expired");
    // The wildcard itself, and an alias from one.
    assert_eq!(asked("*.example.bit.", &[]), "data 192.0.2.1 3600");
    let alias = [zone.expanded(cname("*.example.bit.", "a.example."), c)];
    assert_eq!(shown(&zone.answer(c, A, &alias, &[])), unproved);
    let alias = shown(&zone.answer(c, A, &alias, from_ref(&span)));
    assert_eq!(alias, "alias a.example. 3600");
    let mut short = span;
    short[0].ttl = 30;
    assert_eq!(asked(c, &[short]), "data 192.0.2.1 30");
}

#[test]
fn referrals_have_ds_records_or_the_proof_that_there_are_none() {
    let zone = Zone::new();
    let sub = "sub.example.bit.";
    let ds = RData::DNSSEC(DNSSECRData::DS(zone.ds(DigestType::SHA256)));
    let signed = zone.signed_one(record(sub, ds.clone()));
    assert_eq!(
        referred(&zone, from_ref(&signed)),
        "referral sub.example.bit. 1 DS 3600"
    );
    let unsigned = vec![record(sub, ds.clone())];
    assert_eq!(
        referred(&zone, &[unsigned]),
        "bogus: the records are not signed"
    );
    let wild = zone.expanded(record("*.example.bit.", ds.clone()), sub);
    assert_eq!(
        referred(&zone, from_ref(&wild)),
        "bogus: the records are malformed"
    );
    let nsec = |kinds: &[RecordType]| referred(&zone, &[zone.nsec(sub, "t.example.bit.", kinds)]);
    assert_eq!(nsec(&[NS]), "referral sub.example.bit. unsigned 3600");
    // DS records are withheld, or there is no cut.
    assert_eq!(nsec(&[NS, DS]), UNPROVED_REFERRAL);
    assert_eq!(nsec(&[A]), UNPROVED_REFERRAL);
    assert_eq!(nsec(&[]), UNPROVED_REFERRAL);
    assert_eq!(referred(&zone, &[]), UNPROVED_REFERRAL);
    let none = [
        zone.nsec("example.bit.", "b.example.bit.", &[NS, SOA]),
        zone.nsec("s.example.bit.", "t.example.bit.", &[A]),
    ];
    assert_eq!(referred(&zone, &none), UNPROVED_REFERRAL);
    // Name servers above the zone, or beside the name, refer to nothing.
    let authorities = [
        vec![ns("bit."), ns("x.example.bit."), ns("example.bit.")],
        none.concat(),
    ];
    let outcome = zone.answer("se.example.bit.", AAAA, &[], &authorities);
    assert_eq!(shown(&outcome), "no name 3600");
    // As answers to questions for DS records.
    let answers = [signed];
    let outcome = shown(&zone.answer(sub, DS, &answers, &[]));
    assert_eq!(outcome, "referral sub.example.bit. 1 DS 3600");
    let span = zone.nsec("s.example.bit.", "t.example.bit.", &[A]);
    let outcome = shown(&zone.answer(sub, DS, &[wild], &[span]));
    assert_eq!(outcome, "bogus: the records are malformed");
}
