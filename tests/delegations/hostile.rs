//! Name servers, and exit relays before them, that do what no honest one does.

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::Record;

use super::World;
use crate::support::is_transient;
use crate::support::name_server::{NameServer, Said, answer, framed, name, record, reply};

const VALUES: &str =
    r#"{"d/example": {"ns": ["ns1.example.net"]}, "d/plain": {"ip": "93.184.216.50"}}"#;

type Lie = fn(&Message) -> Vec<Said>;

fn honest(query: &Message) -> Message {
    let records = [record("www.example.bit", "A", "93.184.216.34")];
    answer(query, "example.bit", &records)
}

fn with(query: &Message, change: impl FnOnce(&mut Message)) -> Vec<Said> {
    let mut reply = honest(query);
    change(&mut reply);
    vec![Said::Message(reply)]
}

fn referral(query: &Message, zone: &str, to: &str) -> Vec<Said> {
    let mut reply = reply(query);
    reply.metadata.authoritative = false;
    reply.add_authority(record(zone, "NS", to));
    vec![Said::Message(reply)]
}

fn answers(query: &Message, records: &[Record]) -> Vec<Said> {
    let mut reply = reply(query);
    reply.add_answers(records.iter().cloned());
    vec![Said::Message(reply)]
}

/// None of these is believed, none is taken for an absence, and none does harm.
const LIES: &[(&str, Lie)] = &[
    ("another id", |query| {
        with(query, |reply| reply.metadata.id ^= 1)
    }),
    ("another opcode", |query| {
        with(query, |reply| reply.metadata.op_code = OpCode::Status)
    }),
    ("a query", |query| vec![Said::Message(query.clone())]),
    ("another name", |query| {
        with(query, |reply| {
            reply.queries[0].set_name(name("wwx.example.bit"));
        })
    }),
    ("no question", |query| {
        with(query, |reply| reply.queries.clear())
    }),
    ("two questions", |query| {
        with(query, |reply| reply.queries.push(reply.queries[0].clone()))
    }),
    ("letters in lower case", |query| {
        with(query, |reply| {
            let mut flipped = reply.queries[0].name().to_ascii();
            // At least one letter is different from what was sent.
            flipped = match flipped.to_lowercase() == flipped {
                true => flipped.to_uppercase(),
                false => flipped.to_lowercase(),
            };
            reply.queries[0].set_name(name(&flipped));
        })
    }),
    ("truncated", |query| {
        with(query, |reply| reply.metadata.truncation = true)
    }),
    ("SERVFAIL", |query| {
        with(query, |reply| {
            reply.metadata.response_code = ResponseCode::ServFail
        })
    }),
    ("REFUSED", |query| {
        with(query, |reply| {
            reply.metadata.response_code = ResponseCode::Refused
        })
    }),
    ("YXDOMAIN", |query| {
        with(query, |reply| {
            reply.metadata.response_code = ResponseCode::YXDomain
        })
    }),
    ("no authority", |query| {
        with(query, |reply| reply.metadata.authoritative = false)
    }),
    ("nothing, without authority", |query| {
        let mut reply = reply(query);
        reply.metadata.authoritative = false;
        vec![Said::Message(reply)]
    }),
    ("NXDOMAIN without authority", |query| {
        let mut reply = reply(query);
        reply.metadata.authoritative = false;
        reply.metadata.response_code = ResponseCode::NXDomain;
        vec![Said::Message(reply)]
    }),
    ("the answer to another name", |query| {
        answers(query, &[record("other.example.bit", "A", "93.184.216.66")])
    }),
    ("two aliases", |query| {
        let aliases = ["a.example.net", "b.example.net"];
        answers(
            query,
            &aliases.map(|to| record("www.example.bit", "CNAME", to)),
        )
    }),
    ("an alias with an address", |query| {
        let records = [
            record("www.example.bit", "CNAME", "a.example.net"),
            record("www.example.bit", "A", "93.184.216.66"),
            record("www.example.bit", "AAAA", "2606:2800:220:1::66"),
        ];
        answers(query, &records)
    }),
    ("a referral upward", |query| {
        referral(query, "bit", "ns1.example.net")
    }),
    ("a referral to the root", |query| {
        referral(query, ".", "ns1.example.net")
    }),
    ("a referral to itself", |query| {
        referral(query, "example.bit", "ns1.example.net")
    }),
    ("a referral sideways", |query| {
        referral(query, "other.example.bit", "ns1.example.net")
    }),
    ("a referral without an address", |query| {
        referral(query, "www.example.bit", "ns.www.example.bit")
    }),
    ("a referral inward", |query| {
        let Said::Message(mut reply) =
            referral(query, "www.example.bit", "ns.example.bit").remove(0)
        else {
            return Vec::new();
        };
        reply.add_additional(record("ns.example.bit", "A", "127.0.0.1"));
        vec![Said::Message(reply)]
    }),
    ("a loop of referrals", |query| {
        referral(query, "www.example.bit", "ns1.example.net")
    }),
    ("a closed connection", |_| vec![Said::Close]),
    ("an empty message", |_| {
        vec![Said::Bytes(vec![0, 0]), Said::Close]
    }),
    ("a length without a message", |_| {
        vec![Said::Bytes(vec![0xff, 0xff, 1]), Said::Close]
    }),
    ("64 KiB of nothing", |_| {
        vec![Said::Bytes(vec![0xff; 65_537]), Said::Close]
    }),
    ("an HTTP reply", |_| {
        vec![
            Said::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            Said::Close,
        ]
    }),
    ("a name that points to itself", |query| {
        let mut bytes = framed(&honest(query));
        let length = bytes.len();
        // The owner name of the answer points to where it begins.
        bytes.truncate(14);
        bytes[8] = 0;
        bytes[9] = 1;
        bytes.extend([0xc0, 12, 0, 1, 0, 1]);
        bytes.resize(length, 0);
        vec![Said::Bytes(bytes), Said::Close]
    }),
    ("the beginning of a reply", |query| {
        let mut bytes = framed(&honest(query));
        bytes.truncate(20);
        vec![Said::Bytes(bytes), Said::Close]
    }),
    ("a thousand records", |query| {
        let records = (0..=255).flat_map(|n| {
            let of = |net: u8| record("www.example.bit", "A", &format!("93.184.{net}.{n}"));
            [of(1), of(2)]
        });
        answers(query, &records.collect::<Vec<_>>())
    }),
    ("a flood of other replies", |query| {
        let mut other = honest(query);
        other.metadata.id ^= 0xffff;
        (0..1000).map(|_| Said::Bytes(framed(&other))).collect()
    }),
];

#[test]
fn lies_are_failures_that_pass() {
    for (what, lie) in LIES {
        let server = NameServer::scripted(|query, _| lie(query));
        let world = World::new(VALUES, &[("ns1.example.net", server.address())]);
        let mut plugin = world.plugin(&["--timeout", "6"]);
        let said = plugin.ask("www.example.bit", "i");
        assert!(is_transient(&said), "{what}: {said}");
        assert_eq!(plugin.ask("plain.bit", "i"), "0 93.184.216.50", "{what}");
        let asked = server.queries().len();
        assert!(asked <= 16, "{what}: {asked} messages");
        let targets = world.targets();
        assert!(targets.len() <= 16, "{what}: {targets:?}");
        assert!(
            targets.iter().all(|to| to == "ns1.example.net:53"),
            "{what}: {targets:?}"
        );
    }
}

/// An honest server beside a liar is enough.
#[test]
fn an_honest_server_is_found_beside_each_liar() {
    let honest_server = NameServer::scripted(|query, _| vec![Said::Message(honest(query))]);
    for (what, lie) in LIES {
        let server = NameServer::scripted(|query, _| lie(query));
        let values = r#"{"d/example": {"ns": ["ns1.example.net", "ns2.example.net"]}}"#;
        let world = World::new(
            values,
            &[
                ("ns1.example.net", server.address()),
                ("ns2.example.net", honest_server.address()),
            ],
        );
        let mut plugin = world.plugin(&[]);
        // Which one is asked first is drawn for each id.
        for id in 0..6 {
            let said = plugin.ask("www.example.bit", &format!("i{id}"));
            assert_eq!(said, "0 93.184.216.34", "{what}");
        }
    }
}

/// One label deeper each time, to servers that do the same.
#[test]
fn a_chain_of_referrals_has_an_end() {
    let server = NameServer::scripted(|query, number| {
        let asked = query.queries[0].name().to_lowercase();
        let depth = 3 + number / 2;
        let zone = asked
            .trim_to(depth.min(usize::from(asked.num_labels())))
            .to_ascii();
        referral(query, &zone, "ns1.example.net")
    });
    let world = World::new(VALUES, &[("ns1.example.net", server.address())]);
    let deep = format!("{}example.bit", "a.".repeat(40));
    let said = world.ask(&deep);
    assert!(said.starts_with("1 "), "{said}");
    assert!(server.queries().len() <= 16);
}

#[test]
fn aliases_have_an_end() {
    let server = NameServer::scripted(|query, number| {
        let to = format!("a{number}.example.bit");
        let owner = query.queries[0].name().to_ascii();
        answers(query, &[record(&owner, "CNAME", &to)])
    });
    let world = World::new(VALUES, &[("ns1.example.net", server.address())]);
    let said = world.ask("www.example.bit");
    assert!(!said.starts_with("0 "), "{said}");
    assert!(server.queries().len() <= 16);
    let circle = NameServer::of(
        "example.bit",
        &[
            ("a.example.bit", "CNAME", "b.example.bit"),
            ("b.example.bit", "CNAME", "a.example.bit"),
        ],
    );
    let world = World::new(VALUES, &[("ns1.example.net", circle.address())]);
    assert_eq!(
        world.ask("a.example.bit"),
        "3 \"a.example.bit follows aliases in a circle\""
    );
}

/// Servers that answer one question on each connection, in odd ways, work.
#[test]
fn odd_servers_are_understood() {
    let one_each = NameServer::scripted(|query, _| vec![Said::Message(honest(query)), Said::Close]);
    let no_edns = NameServer::scripted(|query, _| {
        let mut reply = honest(query);
        if query.edns.is_some() {
            reply = Message::response(query.metadata.id, OpCode::Query);
            reply.metadata.response_code = ResponseCode::FormErr;
        }
        vec![Said::Message(reply)]
    });
    let largest = NameServer::scripted(|query, _| {
        let mut reply = honest(query);
        // 65,535 bytes is the most that fits.
        let text = "x".repeat(250);
        while reply.to_vec().unwrap().len() < 65_200 {
            reply.add_additional(record("x.example.bit", "TXT", &text));
        }
        vec![Said::Message(reply)]
    });
    for (what, server) in [
        ("one each", one_each),
        ("no EDNS", no_edns),
        ("largest", largest),
    ] {
        let world = World::new(VALUES, &[("ns1.example.net", server.address())]);
        assert_eq!(world.ask("www.example.bit"), "0 93.184.216.34", "{what}");
    }
}

/// A byte a second keeps nobody waiting beyond the time of the query.
#[test]
fn a_slow_drip_ends_with_the_query() {
    let server = NameServer::scripted(|query, _| {
        let pause = std::time::Duration::from_millis(500);
        vec![Said::Slowly(honest(query), pause)]
    });
    let world = World::new(VALUES, &[("ns1.example.net", server.address())]);
    let mut plugin = world.plugin(&["--timeout", "1"]);
    let said = plugin.ask("www.example.bit", "i");
    assert!(is_transient(&said), "{said}");
    assert_eq!(plugin.ask("plain.bit", "i"), "0 93.184.216.50");
}
