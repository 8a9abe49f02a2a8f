//! Delegations with DS records: what name servers say is believed only if they
//! signed it, and then onion services are.

use std::sync::Arc;

use hickory_proto::dnssec::{Algorithm, DigestType};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};

use super::{ONION, World};
use crate::support::name_server::{NameServer, Zone, answer, name, record, soa};
use crate::support::signed_zone::{Denial, SignedZone, serve, strip};

const ALGORITHMS: [Algorithm; 3] = [
    Algorithm::ED25519,
    Algorithm::ECDSAP256SHA256,
    Algorithm::ECDSAP384SHA384,
];

/// What exits and other people's zones put in the place of answers.
const FORGED: &str = "93.184.216.66";

/// An onion service that no zone here has.
const OTHER_ONION: &str = "duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion";

const RECORDS: Zone<'_> = &[
    ("example.bit", "A", "93.184.216.34"),
    ("www.example.bit", "CNAME", "example.bit"),
    ("six.example.bit", "AAAA", "2606:2800:220:1::1"),
    ("text.example.bit", "TXT", "nothing"),
    ("a.deep.example.bit", "A", "93.184.216.35"),
    ("out.example.bit", "CNAME", "host.example.net"),
    ("_tor.onion.example.bit", "TXT", ONION),
    ("onion.example.bit", "A", "93.184.216.36"),
    ("to-onion.example.bit", "CNAME", "onion.example.bit"),
    ("is-onion.example.bit", "CNAME", ONION),
    ("_tor.far.example.bit", "CNAME", "_tor.onion.example.bit"),
    ("far.example.bit", "CNAME", "value.bit"),
];

const OTHERS: &str = r#""d/value": {"ip": "93.184.216.50",
    "map": {"_tor": {"txt": "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"}}}"#;

fn values(ds: &str) -> String {
    format!(r#"{{"d/example": {{"ns": ["ns1.example.net"], "ds": [{ds}]}}, {OTHERS}}}"#)
}

/// A zone in the place of `d/example`.
fn world(ds: &str, server: &NameServer) -> World {
    World::new(&values(ds), &[("ns1.example.net", server.address())])
}

fn zone() -> SignedZone {
    SignedZone::of("example.bit", RECORDS)
}

fn is_bogus(said: &str) -> bool {
    said.starts_with("1 ") && said.contains("cannot be verified")
}

/// No query gets an answer, each says why, and the next one asks again.
fn assert_bogus(what: &str, ds: &str, server: &NameServer, names: &[&str]) {
    let world = world(ds, server);
    for name in names {
        let mut plugin = world.plugin(&[]);
        for round in 1..=2 {
            let before = (server.queries().len(), world.targets().len());
            let said = plugin.ask(name, "i");
            assert!(is_bogus(&said), "{what}: {name}: {said}");
            let messages = server.queries().len() - before.0;
            assert!((1..=16).contains(&messages), "{what}: {messages} messages");
            let targets = world.targets().len() - before.1;
            assert!((1..=16).contains(&targets), "{what}, {round}: {targets}");
        }
        assert_eq!(plugin.ask("value.bit", "i"), format!("0 {ONION}"), "{what}");
    }
}

#[test]
fn signed_answers_are_believed_and_lead_to_onion_services() {
    for algorithm in ALGORITHMS {
        for denial in [Denial::Nsec, Denial::Nsec3] {
            let zone = SignedZone::with(algorithm, "example.bit", RECORDS).denying_by(denial);
            let ds = zone.ds_item();
            let server = zone.serve();
            let world = world(&ds, &server);
            let mut plugin = world.plugin(&[]);
            for (name, expected) in [
                ("example.bit", "0 93.184.216.34"),
                ("EXAMPLE.bit.", "0 93.184.216.34"),
                ("www.example.bit", "0 93.184.216.34"),
                ("six.example.bit", "0 2606:2800:220:1::1"),
                ("a.deep.example.bit", "0 93.184.216.35"),
                ("out.example.bit", "0 host.example.net"),
                ("onion.example.bit", &format!("0 {ONION}")),
                ("to-onion.example.bit", &format!("0 {ONION}")),
                ("is-onion.example.bit", &format!("0 {ONION}")),
                ("far.example.bit", &format!("0 {ONION}")),
                ("onion.example.bit.onion", &format!("0 {ONION}")),
                ("to-onion.example.bit.onion", &format!("0 {ONION}")),
                ("is-onion.example.bit.onion", &format!("0 {ONION}")),
                ("far.example.bit.onion", &format!("0 {ONION}")),
                (
                    "text.example.bit",
                    "3 \"text.example.bit has no address at its name servers\"",
                ),
                (
                    "deep.example.bit",
                    "3 \"deep.example.bit has no address at its name servers\"",
                ),
                (
                    "none.example.bit",
                    "3 \"none.example.bit has no such subdomain\"",
                ),
                (
                    "far.below.none.example.bit",
                    "3 \"far.below.none.example.bit has no such subdomain\"",
                ),
                (
                    "none.example.bit.onion",
                    "3 \"none.example.bit has no such subdomain\"",
                ),
            ] {
                let before = server.queries().len();
                let said = plugin.ask(name, "i");
                assert_eq!(said, expected, "{algorithm:?}: {name}");
                assert!(server.queries().len() - before <= 16, "{name}");
            }
            let only = plugin.ask("example.bit.onion", "i");
            assert!(only.starts_with("3 "), "{only}");
            for target in world.targets() {
                assert_eq!(target, "ns1.example.net:53");
            }
        }
    }
}

/// A change of an honest reply of the zone; the zone knows how it answers others.
type Lie = fn(&SignedZone, &mut Message);

fn kind(message: &Message) -> RecordType {
    message.queries[0].query_type()
}

/// Puts what the zone says of another name in the place of a reply.
fn replay(zone: &SignedZone, message: &mut Message, of: &str, kind: RecordType) {
    let mut query = message.clone();
    query.queries[0].set_name(name(of));
    query.queries[0].set_query_type(kind);
    let other = zone.answer(&query);
    message.answers = other.answers;
    message.authorities = other.authorities;
    message.metadata.response_code = other.metadata.response_code;
}

fn change_data(message: &mut Message, of: RecordType, data: RData) {
    let records = message.answers.iter_mut();
    for record in records.filter(|one| one.record_type() == of) {
        record.data = data.clone();
    }
}

fn forged() -> RData {
    RData::A(A(FORGED.parse().unwrap()))
}

/// What may be said in the place of the answers about `onion.example.bit`.
const LIES: &[(&str, Lie)] = &[
    ("no signatures", |_, reply| strip(reply)),
    ("another address", |_, reply| {
        change_data(reply, RecordType::A, forged());
        if kind(reply) == RecordType::TXT {
            change_data(reply, RecordType::TXT, record("a", "TXT", "none").data);
        }
    }),
    ("one more address", |_, reply| {
        if kind(reply) == RecordType::A {
            reply.answers.push(record("onion.example.bit", "A", FORGED));
        }
        if kind(reply) == RecordType::TXT {
            let tor = record("_tor.onion.example.bit", "TXT", OTHER_ONION);
            reply.answers.insert(0, tor);
        }
    }),
    ("another onion service", |_, reply| {
        change_data(reply, RecordType::TXT, record("a", "TXT", OTHER_ONION).data);
    }),
    ("another onion service without a signature", |_, reply| {
        if kind(reply) == RecordType::TXT {
            change_data(reply, RecordType::TXT, record("a", "TXT", OTHER_ONION).data);
            strip(reply);
        }
    }),
    ("an alias of another onion service", |_, reply| {
        if kind(reply) != RecordType::DNSKEY {
            let owner = reply.queries[0].name().to_ascii();
            reply.answers = vec![record(&owner, "CNAME", OTHER_ONION)];
            reply.authorities.clear();
        }
    }),
    ("the keys of another zone", |_, reply| {
        if kind(reply) == RecordType::DNSKEY {
            let other = SignedZone::of("example.bit", RECORDS);
            replay(&other, reply, "example.bit", RecordType::DNSKEY);
        }
    }),
    ("no keys", |_, reply| {
        if kind(reply) == RecordType::DNSKEY {
            reply.answers.clear();
        }
    }),
    ("keys without a signature", |_, reply| {
        if kind(reply) == RecordType::DNSKEY {
            strip(reply);
        }
    }),
    ("the zone signed by another key", |_, reply| {
        if kind(reply) != RecordType::DNSKEY {
            let other = SignedZone::of("example.bit", &[("onion.example.bit", "A", FORGED)]);
            let owner = reply.queries[0].name().to_ascii();
            replay(&other, reply, &owner, kind(reply));
        }
    }),
    ("another zone with another signer", |_, reply| {
        if kind(reply) != RecordType::DNSKEY {
            let other = SignedZone::of("bit", &[("onion.example.bit", "A", FORGED)]);
            let owner = reply.queries[0].name().to_ascii();
            replay(&other, reply, &owner, kind(reply));
        }
    }),
    ("the onion service does not exist", |zone, reply| {
        if kind(reply) == RecordType::TXT {
            replay(zone, reply, "_tor.six.example.bit", RecordType::TXT);
        }
    }),
    ("the onion service is not there", |zone, reply| {
        if kind(reply) == RecordType::TXT {
            replay(zone, reply, "six.example.bit", RecordType::TXT);
        }
    }),
    ("the name does not exist", |zone, reply| {
        if kind(reply) != RecordType::DNSKEY {
            replay(zone, reply, "none.example.bit", RecordType::A);
        }
    }),
    ("no such name, without proof", |_, reply| {
        if kind(reply) != RecordType::DNSKEY {
            reply.answers.clear();
            reply.authorities.clear();
            reply.metadata.response_code = ResponseCode::NXDomain;
        }
    }),
    ("nothing, without proof", |_, reply| {
        if kind(reply) != RecordType::DNSKEY {
            reply.answers.clear();
            reply.authorities.clear();
        }
    }),
    ("a referral without proof", |_, reply| {
        if kind(reply) != RecordType::DNSKEY {
            reply.answers.clear();
            reply.metadata.authoritative = false;
            let server = record("onion.example.bit", "NS", "ns1.example.net");
            reply.authorities = vec![server];
        }
    }),
    ("a hint at a zone below", |_, reply| {
        if kind(reply) != RecordType::DNSKEY {
            reply.answers.clear();
            reply.authorities = vec![soa("onion.example.bit")];
        }
    }),
];

/// A server for the zone, and one that lies beside it.
fn liar(zone: &Arc<SignedZone>, lie: Lie) -> NameServer {
    let zone = Arc::clone(zone);
    serve(vec![Arc::clone(&zone)], move |_, mut reply| {
        lie(&zone, &mut reply);
        reply
    })
}

#[test]
fn lies_are_found_out_and_nothing_is_kept_of_them() {
    let zone = Arc::new(zone());
    for (what, lie) in LIES {
        let server = liar(&zone, *lie);
        let names = ["onion.example.bit", "onion.example.bit.onion"];
        assert_bogus(what, &zone.ds_item(), &server, &names);
    }
}

#[test]
fn an_honest_server_is_found_beside_each_liar() {
    let zone = Arc::new(zone());
    let values = format!(
        r#"{{"d/example": {{"ns": ["ns1.example.net", "ns2.example.net"], "ds": [{}]}}}}"#,
        zone.ds_item()
    );
    let honest = serve(vec![Arc::clone(&zone)], |_, reply| reply);
    for (what, lie) in LIES {
        let server = liar(&zone, *lie);
        let routes = [
            ("ns1.example.net", server.address()),
            ("ns2.example.net", honest.address()),
        ];
        let world = World::new(&values, &routes);
        let mut plugin = world.plugin(&[]);
        // Which one is asked first is drawn for each id.
        for id in 0..6 {
            let said = plugin.ask("onion.example.bit", &format!("i{id}"));
            assert_eq!(said, format!("0 {ONION}"), "{what}");
        }
    }
}

#[test]
fn signatures_are_valid_for_their_time_only() {
    for (what, from, until) in [
        ("expired", -7200, -3600),
        ("not yet valid", 3600, 7200),
        ("backwards", 3600, -3600),
    ] {
        let zone = zone().valid(from, until);
        let ds = zone.ds_item();
        let names = ["example.bit", "onion.example.bit"];
        assert_bogus(what, &ds, &zone.serve(), &names);
    }
    // Clocks may differ a little.
    for (from, until) in [(-7200, -60), (60, 7200)] {
        let zone = zone().valid(from, until);
        let ds = zone.ds_item();
        let world = world(&ds, &zone.serve());
        assert_eq!(world.ask("example.bit"), "0 93.184.216.34");
    }
}

#[test]
fn ds_records_must_match_a_key() {
    let other = zone().ds_item();
    let short = r#"[1, 8, 2, "AA=="]"#;
    for ds in [other.as_str(), short] {
        assert_bogus("another ds", ds, &zone().serve(), &["example.bit"]);
    }
    // The name itself is another one.
    let elsewhere = SignedZone::of("other.bit", &[]).ds_item();
    assert_bogus(
        "ds of another zone",
        &elsewhere,
        &zone().serve(),
        &["example.bit"],
    );
    let ours = zone();
    let ds = format!("{other}, {short}, {}", ours.ds_item());
    let world = world(&ds, &ours.serve());
    assert_eq!(world.ask("onion.example.bit"), format!("0 {ONION}"));
}

/// Such a name has been delegated with signatures in mind. What nobody can verify
/// is not answered, and nobody is asked.
#[test]
fn ds_records_of_unknown_kinds_are_not_taken_for_none() {
    let refused = "is delegated with DS records that cannot be verified";
    let zone = zone();
    let unknown = [
        zone.ds_item_of(Algorithm::from_u8(16)),
        zone.ds_item_of(Algorithm::from_u8(253)),
        zone.ds_item_of(Algorithm::from_u8(5)),
        zone.ds_item_by(DigestType::SHA1),
    ];
    let working = zone.ds_item();
    let sha384 = zone.ds_item_by(DigestType::SHA384);
    let server = zone.serve();
    for ds in unknown.iter().chain([&unknown.join(",")]) {
        let world = world(ds, &server);
        for name in ["onion.example.bit", "example.bit", "example.bit.onion"] {
            let plain = name.trim_end_matches(".onion");
            assert_eq!(world.ask(name), format!("3 \"{plain} {refused}\""), "{ds}");
        }
        assert!(world.targets().is_empty());
    }
    for working in [working, sha384] {
        let ds = format!("{}, {working}", unknown.join(","));
        let world = world(&ds, &server);
        assert_eq!(world.ask("onion.example.bit"), format!("0 {ONION}"));
    }
}

const CHILD: Zone<'_> = &[
    ("sub.example.bit", "A", "93.184.216.40"),
    ("_tor.sub.example.bit", "TXT", ONION),
    ("is-onion.sub.example.bit", "CNAME", ONION),
    ("to-value.sub.example.bit", "CNAME", "value.bit"),
    ("_tor.to-value.sub.example.bit", "CNAME", "_tor.value.bit"),
    ("to-parent.sub.example.bit", "CNAME", "onion.example.bit"),
];

const PARENT: Zone<'_> = &[
    ("example.bit", "A", "93.184.216.34"),
    ("_tor.onion.example.bit", "TXT", ONION),
    ("onion.example.bit", "A", "93.184.216.36"),
    ("sub.example.bit", "NS", "ns2.example.net"),
    ("to-sub.example.bit", "CNAME", "sub.example.bit"),
    ("_tor.example.bit", "CNAME", "_tor.sub.example.bit"),
];

/// What an exit relay could have made up leads to addresses, and to nothing else.
fn assert_unsigned_child(world: &World) {
    let mut plugin = world.plugin(&[]);
    for (name, expected) in [
        ("sub.example.bit", "0 93.184.216.40"),
        ("to-sub.example.bit", "0 93.184.216.40"),
        ("example.bit", "0 93.184.216.34"),
        ("to-value.sub.example.bit", "0 93.184.216.50"),
        ("to-parent.sub.example.bit", "0 93.184.216.36"),
        ("onion.example.bit", &format!("0 {ONION}")),
        ("onion.example.bit.onion", &format!("0 {ONION}")),
    ] {
        assert_eq!(plugin.ask(name, "i"), expected, "{name}");
    }
    for name in [
        "sub.example.bit.onion",
        "to-sub.example.bit.onion",
        "example.bit.onion",
        "is-onion.sub.example.bit",
        "is-onion.sub.example.bit.onion",
        "to-value.sub.example.bit.onion",
        "to-parent.sub.example.bit.onion",
        "none.sub.example.bit",
    ] {
        let said = plugin.ask(name, "i");
        assert!(said.starts_with("3 "), "{name}: {said}");
    }
    let explained = world.explain("sub.example.bit");
    let text = explained.text();
    assert!(text.contains("no signature vouches for it"), "{text}");
}

#[test]
fn an_unsigned_zone_below_a_signed_one_has_no_onion_services() {
    for denial in [Denial::Nsec, Denial::Nsec3] {
        let parent = SignedZone::of("example.bit", PARENT).denying_by(denial);
        let ds = parent.ds_item();
        let server = parent.serve();
        let child = NameServer::of("sub.example.bit", CHILD);
        let routes = [
            ("ns1.example.net", server.address()),
            ("ns2.example.net", child.address()),
        ];
        assert_unsigned_child(&World::new(&values(&ds), &routes));
    }
}

/// Then no referral shows where one ends and the other begins.
#[test]
fn an_unsigned_zone_may_have_the_servers_of_the_signed_one() {
    for denial in [Denial::Nsec, Denial::Nsec3] {
        let parent = SignedZone::of("example.bit", PARENT).denying_by(denial);
        let ds = parent.ds_item();
        let child: Vec<Record> = CHILD
            .iter()
            .map(|(owner, kind, data)| record(owner, kind, data))
            .collect();
        let server = serve(vec![Arc::new(parent)], move |query, reply| {
            let question = &query.queries[0];
            let is_parents = question.query_type() == RecordType::DS
                && *question.name() == name("sub.example.bit");
            match name("sub.example.bit").zone_of(question.name()) && !is_parents {
                true => answer(query, "sub.example.bit", &child),
                false => reply,
            }
        });
        assert_unsigned_child(&world(&ds, &server));
    }
}

#[test]
fn a_signed_zone_below_a_signed_one_is_believed() {
    for same_server in [false, true] {
        for denial in [Denial::Nsec, Denial::Nsec3] {
            let child = SignedZone::with(Algorithm::ECDSAP256SHA256, "sub.example.bit", CHILD);
            let child = Arc::new(child.denying_by(denial));
            let parent = SignedZone::of("example.bit", PARENT).denying_by(denial);
            let parent = Arc::new(parent.vouching_for(&child));
            let honest = |_: &Message, reply| reply;
            let (above, below) = match same_server {
                true => {
                    let both = || serve(vec![Arc::clone(&parent), Arc::clone(&child)], honest);
                    (both(), both())
                }
                false => (
                    serve(vec![Arc::clone(&parent)], honest),
                    serve(vec![Arc::clone(&child)], honest),
                ),
            };
            let routes = [
                ("ns1.example.net", above.address()),
                ("ns2.example.net", below.address()),
            ];
            let world = World::new(&values(&parent.ds_item()), &routes);
            let mut plugin = world.plugin(&[]);
            for name in [
                "sub.example.bit",
                "sub.example.bit.onion",
                "to-sub.example.bit",
                "to-sub.example.bit.onion",
                "example.bit.onion",
                "is-onion.sub.example.bit",
                "to-value.sub.example.bit.onion",
                "to-parent.sub.example.bit",
                "onion.example.bit",
            ] {
                let before = above.queries().len() + below.queries().len();
                let said = plugin.ask(name, "i");
                assert_eq!(said, format!("0 {ONION}"), "{name}, {same_server}");
                let messages = above.queries().len() + below.queries().len() - before;
                assert!(messages <= 16, "{name}, {same_server}: {messages} messages");
            }
            let none = plugin.ask("none.sub.example.bit", "i");
            assert!(none.contains("has no such subdomain"), "{none}");
            assert_eq!(below.queries().is_empty(), same_server);
        }
    }
}

/// The parent's signature vouches for the child's keys, and not for its servers.
#[test]
fn a_zone_below_needs_the_keys_that_its_parent_vouches_for() {
    let child = Arc::new(SignedZone::of("sub.example.bit", CHILD));
    let forged = Arc::new(SignedZone::of(
        "sub.example.bit",
        &[("sub.example.bit", "A", FORGED)],
    ));
    let parent = SignedZone::of("example.bit", PARENT).vouching_for(&child);
    let parent = Arc::new(parent);
    let honest = |_: &Message, reply| reply;
    let unsigned = |query: &Message, mut reply: Message| {
        strip(&mut reply);
        match kind(query) {
            RecordType::DNSKEY => reply.answers.clear(),
            RecordType::A => reply.answers = vec![record("sub.example.bit", "A", FORGED)],
            _ => {}
        }
        reply
    };
    // A parent without the DS records, or with the proof of another name.
    let cut_off = |_: &Message, mut reply: Message| {
        if !reply.metadata.authoritative {
            strip(&mut reply);
        }
        reply
    };
    let other = Arc::clone(&parent);
    let replayed = move |_: &Message, mut reply: Message| {
        if !reply.metadata.authoritative {
            strip(&mut reply);
            reply.add_authorities(other.at(&name("onion.example.bit")));
            reply.add_authorities(other.around(&name("suc.example.bit")));
        }
        reply
    };
    let above = || serve(vec![Arc::clone(&parent)], honest);
    let of_child = |lie: fn(&Message, Message) -> Message| serve(vec![Arc::clone(&child)], lie);
    for (what, above, below) in [
        ("other keys", above(), serve(vec![forged], honest)),
        ("unsigned", above(), of_child(unsigned)),
        (
            "no DS",
            serve(vec![Arc::clone(&parent)], cut_off),
            of_child(unsigned),
        ),
        (
            "DS denied",
            serve(vec![Arc::clone(&parent)], replayed),
            of_child(unsigned),
        ),
    ] {
        let routes = [
            ("ns1.example.net", above.address()),
            ("ns2.example.net", below.address()),
        ];
        let world = World::new(&values(&parent.ds_item()), &routes);
        for name in ["sub.example.bit", "sub.example.bit.onion"] {
            let said = world.ask(name);
            assert!(is_bogus(&said), "{what}: {name}: {said}");
        }
        let messages = above.queries().len() + below.queries().len();
        assert!(
            messages <= 32,
            "{what}: {messages} messages for two queries"
        );
        assert_eq!(
            world.ask("onion.example.bit"),
            format!("0 {ONION}"),
            "{what}"
        );
    }
}

/// Nobody signs the names of servers, so the next one may know better.
#[test]
fn a_referral_to_wrong_servers_is_got_over() {
    let child = Arc::new(SignedZone::of("sub.example.bit", CHILD));
    let parent = SignedZone::of("example.bit", PARENT).vouching_for(&child);
    let parent = Arc::new(parent);
    let ds = parent.ds_item();
    let values = format!(
        r#"{{"d/example": {{"ns": ["ns1.example.net", "ns3.example.net"], "ds": [{ds}]}}}}"#
    );
    let forged = SignedZone::of("sub.example.bit", &[("sub.example.bit", "A", FORGED)]);
    let forged = forged.serve();
    let honest = serve(vec![Arc::clone(&parent)], |_, reply| reply);
    let below = serve(vec![child], |_, reply| reply);
    let misled = serve(vec![parent], |_, mut reply| {
        for record in &mut reply.authorities {
            if record.record_type() == RecordType::NS {
                record.data = ns("liar.example.net");
            }
        }
        reply
    });
    let routes = [
        ("ns1.example.net", misled.address()),
        ("ns3.example.net", honest.address()),
        ("ns2.example.net", below.address()),
        ("liar.example.net", forged.address()),
    ];
    let world = World::new(&values, &routes);
    let mut plugin = world.plugin(&[]);
    for id in 0..6 {
        // The messages are enough for a second server everywhere.
        let said = plugin.ask("sub.example.bit.onion", &format!("i{id}"));
        assert_eq!(said, format!("0 {ONION}"));
    }
    assert!(!forged.queries().is_empty(), "nobody was misled");
}

fn ns(to: &str) -> RData {
    record("a", "NS", to).data
}

/// What one question fails for is no fault of the others, but it is not kept.
#[test]
fn an_answer_that_is_not_needed_may_be_bogus() {
    let zone = Arc::new(zone());
    let server = liar(&zone, |_, reply| {
        if kind(reply) == RecordType::AAAA {
            strip(reply);
        }
    });
    let world = world(&zone.ds_item(), &server);
    let mut plugin = world.plugin(&[]);
    for _ in 0..2 {
        let before = server.queries().len();
        assert_eq!(plugin.ask("example.bit", "i"), "0 93.184.216.34");
        assert!(server.queries().len() > before, "what failed was kept");
    }
    let said = plugin.ask("six.example.bit", "i");
    assert!(is_bogus(&said), "{said}");
}

#[test]
fn signed_answers_are_kept() {
    let zone = zone();
    let ds = zone.ds_item();
    let server = zone.serve();
    let world = world(&ds, &server);
    let mut plugin = world.plugin(&[]);
    for name in ["onion.example.bit", "example.bit", "none.example.bit"] {
        let said = plugin.ask(name, "i");
        let before = server.queries().len();
        assert_eq!(plugin.ask(name, "i"), said);
        assert_eq!(server.queries().len(), before, "{name}");
    }
}

#[test]
fn a_translated_name_is_verified_as_what_it_is_translated_to() {
    let zone = SignedZone::of(
        "example.org",
        &[
            ("example.org", "A", "93.184.216.34"),
            ("_tor.www.example.org", "TXT", ONION),
            ("web.example.org", "CNAME", "www.example.org"),
            ("is-onion.example.org", "CNAME", ONION),
        ],
    );
    let ds = zone.ds_item();
    let server = zone.serve();
    let values = format!(
        r#"{{"d/x": {{"translate": "example.org.", "ns": ["ns1.example.com."], "ds": [{ds}]}}}}"#
    );
    let world = World::new(&values, &[("ns1.example.com", server.address())]);
    let mut plugin = world.plugin(&[]);
    for (name, expected) in [
        ("x.bit", "0 93.184.216.34"),
        ("www.x.bit", &format!("0 {ONION}")),
        ("is-onion.x.bit", &format!("0 {ONION}")),
        // What is translated is the same name in `.bit`.
        ("web.x.bit", &format!("0 {ONION}")),
    ] {
        assert_eq!(plugin.ask(name, "i"), expected, "{name}");
    }
    let asked = server.asked();
    assert!(
        asked.iter().all(|asked| asked.ends_with("example.org.")),
        "{asked:?}"
    );
    // Its DS record is of no use under another name.
    let values = format!(r#"{{"d/x": {{"ns": ["ns1.example.com."], "ds": [{ds}]}}}}"#);
    let world = World::new(&values, &[("ns1.example.com", server.address())]);
    assert!(world.ask("x.bit").starts_with("1 "));
}

#[test]
fn explain_says_what_was_signed() {
    let zone = zone();
    let ds = zone.ds_item();
    let server = zone.serve();
    let explained = world(&ds, &server).explain("onion.example.bit");
    assert_eq!(explained.code, Some(0), "{explained:?}");
    let text = explained.text();
    for part in ["signed by its name servers", "taken: \"pg6mmji"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// An alias inside a signed zone that leads out of `.bit` as an onion name of the
/// form that only this program knows is not answered.
#[test]
fn no_target_is_a_name_in_bit() {
    let zone = SignedZone::of(
        "example.bit",
        &[
            ("a.example.bit", "CNAME", "value.bit.onion"),
            ("_tor.b.example.bit", "TXT", "value.bit.onion"),
            ("b.example.bit", "A", "93.184.216.34"),
        ],
    );
    let ds = zone.ds_item();
    let server = zone.serve();
    let world = world(&ds, &server);
    let mut plugin = world.plugin(&[]);
    assert!(plugin.ask("a.example.bit", "i").starts_with("3 "));
    assert_eq!(plugin.ask("b.example.bit", "i"), "0 93.184.216.34");
    assert!(plugin.ask("b.example.bit.onion", "i").starts_with("3 "));
    assert!(
        world
            .targets()
            .iter()
            .all(|target| !target.contains(".bit"))
    );
}

const WILDCARD: Zone<'_> = &[
    ("example.bit", "A", "93.184.216.34"),
    ("*.example.bit", "A", "93.184.216.35"),
    ("*.b.example.bit", "TXT", ONION),
    ("b.example.bit", "A", "93.184.216.36"),
];

/// In a span that leaves room for unsigned delegations, a wildcard may apply to
/// names that exist, so what it makes of them counts as unsigned.
#[test]
fn wildcards_apply_where_the_zone_proves_it() {
    for denial in [Denial::Nsec, Denial::Nsec3, Denial::OptOut] {
        let zone = SignedZone::of("example.bit", WILDCARD).denying_by(denial);
        let ds = zone.ds_item();
        let server = zone.serve();
        let world = world(&ds, &server);
        let mut plugin = world.plugin(&[]);
        assert_eq!(plugin.ask("any.example.bit", "i"), "0 93.184.216.35");
        assert_eq!(plugin.ask("a.b.c.example.bit", "i"), "0 93.184.216.35");
        let said = plugin.ask("b.example.bit", "i");
        let only = plugin.ask("b.example.bit.onion", "i");
        if denial == Denial::OptOut {
            assert_eq!(said, "0 93.184.216.36");
            assert!(only.starts_with("3 "), "{only}");
        } else {
            assert_eq!([said, only], [0, 1].map(|_| format!("0 {ONION}")));
        }
    }
    let zone = SignedZone::of("example.bit", WILDCARD);
    let ds = zone.ds_item();
    let server = serve(vec![Arc::new(zone)], |_, mut reply| {
        if !reply.answers.is_empty() {
            reply.authorities.clear();
        }
        reply
    });
    assert_bogus("no proof", &ds, &server, &["any.example.bit"]);
}

#[test]
fn spans_that_leave_room_prove_nothing_about_onion_services() {
    let zone = SignedZone::of("example.bit", PARENT).denying_by(Denial::OptOut);
    let ds = zone.ds_item();
    let server = zone.serve();
    let child = NameServer::of("sub.example.bit", CHILD);
    let routes = [
        ("ns1.example.net", server.address()),
        ("ns2.example.net", child.address()),
    ];
    let world = World::new(&values(&ds), &routes);
    assert_unsigned_child(&world);
    let said = world.ask("none.example.bit");
    assert!(said.contains("has no such subdomain"), "{said}");
}

/// What is signed, and which kinds of answers count, is a matter of the name that
/// was asked for, and not of its servers' names.
#[test]
fn the_way_to_a_server_changes_nothing_for_the_name() {
    let zone = zone();
    let other = SignedZone::of(
        "other.bit",
        &[
            ("b.other.bit", "A", "93.184.216.60"),
            ("_tor.b.other.bit", "TXT", ONION),
        ],
    );
    let (ds, other_ds) = (zone.ds_item(), other.ds_item());
    let unsigned = NameServer::of(
        "plain.bit",
        &[
            ("ns.plain.bit", "CNAME", "address.bit"),
            ("to-other.plain.bit", "CNAME", "b.other.bit"),
            ("to-third.plain.bit", "CNAME", "third.bit"),
        ],
    );
    let third = NameServer::of("third.bit", &[("third.bit", "A", "93.184.216.62")]);
    let (server, other) = (zone.serve(), other.serve());
    let values = format!(
        r#"{{"d/example": {{"ns": ["ns.plain.bit."], "ds": [{ds}]}},
        "d/other": {{"ns": ["other-address.bit."], "ds": [{other_ds}]}},
        "d/plain": {{"ns": ["ns1.example.net."]}},
        "d/third": {{"ns": ["tor.bit."]}},
        "d/tor": {{"map": {{"_tor": {{"txt": "{ONION}"}}}}}},
        "d/address": {{"ip": "93.184.216.61"}},
        "d/other-address": {{"ip": "93.184.216.63"}}}}"#
    );
    let routes = [
        ("ns1.example.net", unsigned.address()),
        ("93.184.216.61", server.address()),
        ("93.184.216.63", other.address()),
        (ONION, third.address()),
    ];
    let world = World::new(&values, &routes);
    let mut plugin = world.plugin(&[]);
    for (name, expected) in [
        // Nobody vouches for the server's name, but the zone's keys vouch for this.
        ("onion.example.bit", format!("0 {ONION}")),
        ("onion.example.bit.onion", format!("0 {ONION}")),
        ("b.other.bit", format!("0 {ONION}")),
        // An alias that nobody signed leads to no onion service, signed or not.
        ("to-other.plain.bit", "0 93.184.216.60".to_owned()),
        // A name server may be one, whatever led to its name.
        ("to-third.plain.bit", "0 93.184.216.62".to_owned()),
    ] {
        assert_eq!(plugin.ask(name, "i"), expected, "{name}");
    }
    let only = plugin.ask("to-other.plain.bit.onion", "i");
    assert!(only.starts_with("3 "), "{only}");
}

/// The other names of the value stay what they are.
#[test]
fn onion_services_alone_may_be_delegated() {
    let zone = SignedZone::of("_tor.example.bit", &[("_tor.example.bit", "TXT", ONION)]);
    let ds = zone.ds_item();
    let server = zone.serve();
    let values = format!(
        r#"{{"d/example": {{"ip": "93.184.216.34",
        "map": {{"_tor": {{"ns": ["ns1.example.net."], "ds": [{ds}]}}}}}}}}"#
    );
    let world = World::new(&values, &[("ns1.example.net", server.address())]);
    assert_eq!(world.ask("example.bit"), format!("0 {ONION}"));
    let mut asked = server.asked();
    asked.sort();
    assert_eq!(asked, ["DNSKEY _tor.example.bit.", "TXT _tor.example.bit."]);
}

/// Whatever comes after it.
#[test]
fn an_alias_that_nobody_signed_counts_to_the_end() {
    let server = NameServer::of("example.bit", &[("www.example.bit", "CNAME", "alias.bit")]);
    let values = format!(
        r#"{{"d/example": {{"ns": ["ns1.example.net."]}},
        "d/alias": {{"alias": "value.bit."}},
        {OTHERS}}}"#
    );
    let world = World::new(&values, &[("ns1.example.net", server.address())]);
    assert_eq!(world.ask("alias.bit"), format!("0 {ONION}"));
    assert_eq!(world.ask("www.example.bit"), "0 93.184.216.50");
}
