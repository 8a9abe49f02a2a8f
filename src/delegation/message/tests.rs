//! Which replies count, and what they mean.

use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, SOA, TXT};

use super::*;

const ADDRESS: [u8; 4] = [93, 184, 216, 34];

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn zone() -> Name {
    name("example.bit.")
}

fn sent() -> Sent {
    Sent::new(7, name("wWw.eXample.bit."), RecordType::A)
}

fn record(owner: &str, data: RData) -> Record {
    Record::from_rdata(name(owner), 300, data)
}

fn a(owner: &str, last: u8) -> Record {
    let [a, b, c, _] = ADDRESS;
    record(owner, RData::A(A::new(a, b, c, last)))
}

fn cname(to: &str) -> Record {
    record("www.example.bit.", RData::CNAME(CNAME(name(to))))
}

fn ns(owner: &str, to: &str) -> Record {
    record(owner, RData::NS(NS(name(to))))
}

fn in_class(mut record: Record, class: DNSClass) -> Record {
    record.dns_class = class;
    record
}

fn soa(owner: &str, ttl: u32, minimum: u32) -> Record {
    let soa = SOA::new(name("a."), name("b."), 1, 1, 1, 1, minimum);
    Record::from_rdata(name(owner), ttl, RData::SOA(soa))
}

fn reply(answers: &[Record], authorities: &[Record]) -> Message {
    let sent = sent();
    let mut reply = Message::response(sent.id, OpCode::Query);
    reply.metadata.authoritative = true;
    reply.add_query(Query::query(sent.name, sent.kind));
    reply.answers = answers.to_vec();
    reply.authorities = authorities.to_vec();
    reply
}

fn meant(reply: &Message) -> Result<Meaning, Lame> {
    meaning(reply, &name("www.example.bit."), RecordType::A, &zone())
}

/// Only what repeats all of the question is a reply to it.
#[test]
fn a_reply_to_something_else_is_refused() {
    type Change = fn(&mut Message);
    let changes: [(Lame, Change); 15] = [
        (Lame::Mismatch, |reply| reply.metadata.id ^= 1),
        (Lame::Mismatch, |reply| {
            reply.metadata.message_type = MessageType::Query;
        }),
        (Lame::Mismatch, |reply| {
            reply.metadata.op_code = OpCode::Status;
        }),
        (Lame::Mismatch, |reply| reply.queries.clear()),
        (Lame::Mismatch, |reply| {
            reply.queries.push(reply.queries[0].clone());
        }),
        (Lame::Mismatch, |reply| {
            reply.queries[0].set_name(name("www.example.bit."));
        }),
        (Lame::Mismatch, |reply| {
            reply.queries[0].set_name(name("wWw.eXample.bix."));
        }),
        (Lame::Mismatch, |reply| {
            reply.queries[0].set_query_type(RecordType::AAAA);
        }),
        (Lame::Mismatch, |reply| {
            reply.queries[0].set_query_class(DNSClass::CH);
        }),
        (Lame::Truncated, |reply| reply.metadata.truncation = true),
        (Lame::ServFail, |reply| {
            reply.metadata.response_code = ResponseCode::ServFail;
        }),
        (Lame::Refused, |reply| {
            reply.metadata.response_code = ResponseCode::Refused;
        }),
        (Lame::Refused, |reply| {
            reply.metadata.response_code = ResponseCode::NotAuth;
        }),
        (Lame::Code, |reply| {
            reply.metadata.response_code = ResponseCode::YXDomain;
        }),
        (Lame::NoEdns, |reply| {
            reply.metadata.response_code = ResponseCode::FormErr;
            reply.queries.clear();
        }),
    ];
    let honest = reply(&[a("www.example.bit.", 34)], &[]);
    assert!(read(&honest.to_vec().unwrap(), &sent()).is_ok());
    for (number, (lame, change)) in changes.into_iter().enumerate() {
        let mut reply = honest.clone();
        change(&mut reply);
        let read = read(&reply.to_vec().unwrap(), &sent());
        assert_eq!(read.err(), Some(lame), "change {number}");
    }
    assert_eq!(read(b"\0\x07", &sent()).err(), Some(Lame::Malformed));
}

#[test]
fn a_reply_belongs_to_the_question_with_its_id() {
    let sent = [3, 0x102, 7].map(|id| Sent::new(id, zone(), RecordType::A));
    assert_eq!(position(&[1, 2, 0], &sent), Some(1));
    assert_eq!(position(&[0, 7], &sent), Some(2));
    assert_eq!(position(&[2, 1], &sent), None);
    assert_eq!(position(&[1], &sent), None);
}

#[test]
fn records_of_the_question_are_data_and_others_are_not() {
    let own = "wWW.example.bit.";
    let mut short = a(own, 35);
    short.ttl = 60;
    let six = RData::AAAA(AAAA::new(0x2606, 0, 0, 0, 0, 0, 0, 1));
    let records = [
        a(own, 34),
        short.clone(),
        a(own, 34),
        record(own, six),
        record(own, RData::TXT(TXT::new(vec!["x".to_owned()]))),
        a("other.example.bit.", 66),
        a("example.bit.", 67),
        in_class(a(own, 68), DNSClass::CH),
    ];
    let data = vec![records[0].data.clone(), short.data];
    let ttl = 60;
    assert_eq!(
        meant(&reply(&records, &[])),
        Ok(Meaning::Data { data, ttl })
    );
    for other in &records[3..] {
        let only = reply(std::slice::from_ref(other), &[]);
        assert_eq!(meant(&only), Err(Lame::Contradiction), "{other}");
    }
}

#[test]
fn a_name_has_one_alias_and_nothing_else() {
    let alias = Ok(Meaning::Alias {
        target: name("host.example.net."),
        ttl: 300,
    });
    let to_host = cname("Host.example.NET.");
    assert_eq!(meant(&reply(std::slice::from_ref(&to_host), &[])), alias);
    // What the target has comes with it, and is asked for anew.
    let target = a("host.example.net.", 66);
    assert_eq!(meant(&reply(&[to_host.clone(), target], &[])), alias);
    for second in [cname("other.example.net."), a("www.example.bit.", 34)] {
        for records in [
            [to_host.clone(), second.clone()],
            [second.clone(), to_host.clone()],
        ] {
            let reply = reply(&records, &[]);
            assert_eq!(meant(&reply), Err(Lame::Contradiction), "{second}");
        }
    }
}

#[test]
fn absences_hold_as_long_as_the_zone_says() {
    let absent = |soas: &[Record]| match meant(&reply(&[], soas)) {
        Ok(Meaning::Absent { exists: true, ttl }) => ttl,
        other => panic!("{other:?}"),
    };
    assert_eq!(absent(&[soa("example.bit.", 300, 60)]), 60);
    assert_eq!(absent(&[soa("example.bit.", 30, 60)]), 30);
    assert_eq!(absent(&[soa("sub.example.bit.", 30, 60)]), 0);
    assert_eq!(absent(&[]), 0);
    assert_eq!(absent(&[soa("other.bit.", 300, 60)]), 0);
    assert_eq!(absent(&[a("example.bit.", 34)]), 0);
    let mut nothing = reply(&[], &[]);
    nothing.metadata.response_code = ResponseCode::NXDomain;
    let absent = Meaning::Absent {
        exists: false,
        ttl: 0,
    };
    assert_eq!(meant(&nothing), Ok(absent));
}

#[test]
fn without_authority_only_referrals_count() {
    let below = [ns("www.example.bit.", "ns.example.net.")];
    for (answers, authorities, is_referral) in [
        (&[][..], &below[..], true),
        (&[], &[], false),
        (&[a("www.example.bit.", 34)], &[], false),
        (&[a("www.example.bit.", 34)], &below, false),
        (&[cname("a.net.")], &below, false),
    ] {
        let mut reply = reply(answers, authorities);
        reply.metadata.authoritative = false;
        match meant(&reply) {
            Ok(Meaning::Referral(_)) => assert!(is_referral),
            other => {
                assert_eq!(other, Err(Lame::NotAuthoritative));
                assert!(!is_referral);
            }
        }
    }
}

fn referred(authorities: &[Record], additionals: &[Record]) -> Option<Referral> {
    let mut reply = reply(&[], authorities);
    reply.additionals = additionals.to_vec();
    referral(&reply, &name("a.www.example.bit."), &zone())
}

#[test]
fn referrals_lead_downward_and_to_one_zone() {
    let to = "ns.example.net.";
    for zone in ["www.example.bit.", "a.www.example.bit."] {
        let referral = referred(&[ns(zone, to)], &[]).unwrap();
        assert_eq!(referral.zone, name(zone));
        assert_eq!(referral.servers, ["ns.example.net"]);
    }
    for zone in [
        ".",
        "bit.",
        "example.bit.",
        "other.example.bit.",
        "b.a.www.example.bit.",
        "www.other.bit.",
    ] {
        assert_eq!(referred(&[ns(zone, to)], &[]), None, "{zone}");
    }
    let two = ["www.example.bit.", "a.www.example.bit."].map(|zone| ns(zone, to));
    assert_eq!(referred(&two, &[]), None);
    let other_class = in_class(ns("www.example.bit.", to), DNSClass::CH);
    assert_eq!(referred(&[other_class], &[]), None);
}

/// A server outside of the zone is resolved by an exit relay, whatever address
/// the reply has of it.
#[test]
fn glue_counts_for_names_in_the_zone_only() {
    let zone = "www.example.bit.";
    let glue = [
        a("ns.example.net.", 66),
        a("ns.www.example.bit.", 40),
        a("ns.example.bit.", 41),
        a("other.www.example.bit.", 67),
        record("ns.www.example.bit.", RData::A(A::new(10, 0, 0, 1))),
        record("ns.www.example.bit.", RData::A(A::new(127, 0, 0, 1))),
    ];
    for (to, servers) in [
        ("ns.example.net.", &["ns.example.net"][..]),
        ("ns.www.example.bit.", &["93.184.216.40"]),
        ("ns.example.bit.", &["93.184.216.41"]),
        // In `.bit`, where no exit relay finds it.
        ("ns.other.bit.", &[]),
        ("none.www.example.bit.", &[]),
        ("localhost.", &[]),
    ] {
        let referral = referred(&[ns(zone, to)], &glue).unwrap();
        assert_eq!(referral.servers, servers, "{to}");
    }
}

#[test]
fn servers_in_a_referral_are_bounded() {
    let servers = (0..50).map(|n| ns("www.example.bit.", &format!("ns{n}.example.net.")));
    let servers: Vec<_> = servers.collect();
    assert_eq!(referred(&servers, &[]).unwrap().servers.len(), MAX_SERVERS);
    let glue = (0..50).map(|n| a("ns.example.bit.", n));
    let glue: Vec<_> = glue.collect();
    let inside = [ns("www.example.bit.", "ns.example.bit.")];
    assert_eq!(referred(&inside, &glue).unwrap().servers.len(), MAX_SERVERS);
}
