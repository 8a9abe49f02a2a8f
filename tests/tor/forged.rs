//! Lines that a program with access to Tor puts into what Tor says: CR LF in a host
//! name is enough. Whatever they say, everybody gets the answer to their own
//! question, and nobody else's stream is touched.

use super::forgeries::{CLIENT, all, fields};
use super::{Door, EVIL, ONION};
use crate::support::PATIENCE;
use crate::support::node::Node;
use crate::support::serve::node;
use crate::support::tor_control::stream::{End, Stream, Wish, attached};
use crate::support::tor_control::{Handle, ModelTor, When};

/// Who is attacked, and where they must arrive.
const VICTIMS: [(&str, &str); 3] = [
    ("bank.bit", "192.0.2.2:80"),
    (
        "onion.bit",
        "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion:80",
    ),
    ("www.example.com", "www.example.com:80"),
];

fn victim(host: &str) -> Stream {
    Stream::connect(host, 80).user("victim", "v").from(CLIENT)
}

/// Writes a line as a program can: as part of a host name, in a question to the
/// DNSPort or a request to the SocksPort.
fn forge(tor: &ModelTor, line: &str) -> Vec<Handle> {
    let host = format!("a\r\n{line}\r\n650 X");
    tor.streams([Stream::dns(&host, Wish::A), Stream::connect(&host, 80)])
}

/// What went wrong so far, up to a few things.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    /// A victim must arrive, by the usual commands.
    #[track_caller]
    fn check(&mut self, tor: &ModelTor, victim: &Handle, target: &str, forged: &str) {
        let end = victim.end_within(PATIENCE);
        let done = tor.done_to(victim.id);
        let host = target.rsplit_once(':').unwrap().0;
        let attach = "ATTACH 0".to_owned();
        let redirect = format!("REDIRECT {host}");
        if end != Some(attached(target)) || done != [attach.clone()] && done != [redirect, attach] {
            let forged = forged.escape_default();
            let fault = format!("{forged}: {end:?} by {done:?} in place of {target}");
            self.0.push(fault);
            assert!(self.0.len() < 3, "{:#?}", self.0);
        }
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.0.is_empty(), "{:#?}", self.0);
        }
    }
}

/// Nobody asked for the attacker's name in earnest.
#[track_caller]
fn nothing_evil_happened(tor: &ModelTor) {
    let commands = tor.commands();
    let evil = commands
        .iter()
        .find(|one| one.contains(EVIL) || one.contains("evil"));
    assert_eq!(evil, None, "{}", tor.story());
}

/// Before Tor announces the victim, whose number can be guessed.
#[test]
fn lines_before_a_stream_is_announced_harm_nobody() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    let mut faults = Faults::default();
    for (host, target) in VICTIMS {
        for number in 0..all(0, host).len() {
            // The attacker's own streams come before the victim.
            let forged = all(tor.next_id() + 2, host)[number].clone();
            let attackers = forge(&tor, &forged);
            let victim = tor.stream(victim(host));
            assert_eq!(victim.id, attackers[1].id + 1);
            for attacker in &attackers {
                assert!(matches!(attacker.end(), End::Closed(..)), "{forged:?}");
            }
            faults.check(&tor, &victim, target, &forged);
        }
    }
    nothing_evil_happened(&tor);
}

/// Right behind the announcement, in the same piece.
#[test]
fn lines_behind_the_announcement_harm_nobody() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    let mut faults = Faults::default();
    for (host, target) in VICTIMS {
        for number in 0..all(0, host).len() {
            let forged = all(tor.next_id(), host)[number].clone();
            let name = format!("a\r\n{forged}\r\n650 X");
            let question = Stream::dns(&name, Wish::A);
            let streams = tor.streams([victim(host), question.clone(), question]);
            faults.check(&tor, &streams[0], target, &forged);
        }
    }
    nothing_evil_happened(&tor);
}

/// Between the commands of the door and Tor's replies to them.
#[test]
fn lines_between_command_and_reply_harm_nobody() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    let mut faults = Faults::default();
    for (host, target) in VICTIMS {
        for number in 0..all(0, host).len() {
            // The first ATTACHSTREAM asks whether the stream exists.
            for (command, rest) in [
                ("ATTACHSTREAM", ""),
                ("REDIRECTSTREAM", ""),
                ("ATTACHSTREAM", " 0"),
            ] {
                let id = tor.next_id();
                let forged = all(id, host)[number].clone();
                let event =
                    format!("650 STREAM 1 CLOSED 0 a\r\n{forged}\r\n650 X:0 REASON=DONE\r\n");
                let command = format!("{command} {id}{rest}");
                tor.when(&command, When::Writes(event.into_bytes()));
                let victim = tor.stream(victim(host));
                faults.check(&tor, &victim, target, &format!("{command}: {forged}"));
            }
        }
    }
    nothing_evil_happened(&tor);
}

/// The victim comes when Tor has said that there is no such stream, and before it
/// has read the rest of the batch.
#[test]
fn a_stream_that_opens_while_it_is_asked_for_arrives() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    let mut faults = Faults::default();
    for (host, target) in VICTIMS {
        for claimed in ["a.example", "evil.bit", host] {
            let id = tor.next_id();
            let command = format!("ATTACHSTREAM {id}");
            tor.when(&command, When::OpensBehind(Box::new(victim(host))));
            let fields = fields();
            let forged = format!(
                "650 STREAM {id} NEW 0 {claimed}:80 SOURCE_ADDR={CLIENT} PURPOSE=USER {fields}\r\n\
                 650 STREAM {id} CONTROLLER_WAIT 0 {claimed}:80 {fields}\r\n"
            );
            tor.raw_event(&forged);
            let victim = tor.opened_behind(id);
            faults.check(&tor, &victim, target, &forged);
        }
    }
    nothing_evil_happened(&tor);
}

/// While the victim's name is looked up.
#[test]
fn lines_about_a_stream_that_waits_harm_nobody() {
    let tor = ModelTor::start();
    let node: Node = node(&[
        ("d/bank", r#"{"ip":"192.0.2.2"}"#),
        ("d/evil", r#"{"ip":"198.51.100.66"}"#),
    ]);
    node.hold("d/bank");
    let _door = Door::with_node(&tor, &node, &[]);
    let victim = tor.stream(victim("bank.bit"));
    let other = tor.stream(Stream::connect("bank.bit", 80).user("other", ""));
    node.wait_for("d/bank", 2);
    for line in all(victim.id, "bank.bit") {
        forge(&tor, &line);
        tor.raw_event(format!("{line}\r\n"));
    }
    // All of that has been read when this is answered.
    let stream = tor.stream(Stream::connect("www.example.com", 80));
    assert_eq!(stream.end(), attached("www.example.com:80"));
    assert!(victim.waits() && other.waits());
    node.release("d/bank");
    assert_eq!(victim.end(), attached("192.0.2.2:80"));
    assert_eq!(other.end(), attached("192.0.2.2:80"));
    assert_eq!(tor.done_to(victim.id), ["REDIRECT 192.0.2.2", "ATTACH 0"]);
    assert_eq!(node.count("d/evil"), 0);
    nothing_evil_happened(&tor);
}

/// Streams that do not exist, and never will.
#[test]
fn announcements_of_streams_that_do_not_exist_come_to_nothing() {
    let tor = ModelTor::start();
    let node = node(&[("d/evil", r#"{"ip":"198.51.100.66"}"#)]);
    let _door = Door::with_node(&tor, &node, &[]);
    let fields = fields();
    for id in [
        "0",
        "5",
        "100000",
        "18446744073709551615",
        "00017",
        "+17",
        "1e3",
        " 17",
    ] {
        for host in ["evil.bit", "www.example.com"] {
            tor.raw_event(format!(
                "650 STREAM {id} NEW 0 {host}:80 SOURCE_ADDR={CLIENT} PURPOSE=USER {fields}\r\n\
                 650 STREAM {id} CONTROLLER_WAIT 0 {host}:80 {fields}\r\n"
            ));
        }
    }
    for _ in 0..3 {
        let stream = tor.stream(Stream::connect("www.example.com", 80));
        assert_eq!(stream.end(), attached("www.example.com:80"));
    }
    assert_eq!(node.count("d/evil"), 0);
    nothing_evil_happened(&tor);
}

/// A client must not be put into the activity of another by claims about it.
#[test]
fn forged_claims_bring_nobody_into_the_activity_of_another() {
    let node = node(&[("d/bank", r#"{"ip":"192.0.2.2"}"#)]);
    let attacker = "127.0.0.9";
    let own = |source: &str| {
        let fields = fields();
        format!("NEW 0 bank.bit:80 SOURCE_ADDR={source}:1 PURPOSE=USER {fields}")
    };
    let more = ["a.example", "b.example", "c.example", "d.example"];
    let more = more.map(|host| own("127.0.0.1").replace("bank.bit", host));
    let mut asked = 0;
    for claims in [
        vec![own(attacker)],
        vec![own(attacker), more[0].clone()],
        [&[own(attacker)], &more[..]].concat(),
        [&more[..3], &[own(attacker)]].concat(),
        [&more[..], &[own(attacker)]].concat(),
    ] {
        let tor = ModelTor::start();
        let _door = Door::with_node(&tor, &node, &[]);
        let id = tor.next_id();
        for claim in &claims {
            tor.raw_event(format!("650 STREAM {id} {claim}\r\n"));
        }
        let victim = tor.stream(victim("bank.bit"));
        assert_eq!(victim.end(), attached("192.0.2.2:80"));
        // Whether its id is remembered or not, nobody knew it before.
        asked += 1;
        assert_eq!(node.count("d/bank"), asked, "{claims:#?}");
        let mine = Stream::connect("bank.bit", 80).user("victim", "v");
        let mine = tor.stream(mine.from(&format!("{attacker}:2")));
        assert_eq!(mine.end(), attached("192.0.2.2:80"));
        asked += 1;
        assert_eq!(node.count("d/bank"), asked, "{claims:#?}");
    }
}

/// However many, and however great their numbers: afterwards all is as before.
#[test]
fn a_flood_of_announcements_is_forgotten() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    let fields = fields();
    let flood: String = (0..20_000_u64)
        .map(|number| {
            let id = u64::MAX - number;
            format!(
                "650 STREAM {id} NEW 0 a.example:80 SOURCE_ADDR={CLIENT} PURPOSE=USER {fields}\r\n"
            )
        })
        .collect();
    tor.raw_event(flood);
    for (host, target) in VICTIMS {
        assert_eq!(tor.stream(victim(host)).end(), attached(target));
    }
    // Streams are not looked up in Tor's list one by one ever after.
    let before = tor.count("GETINFO stream-status");
    for _ in 0..40 {
        let stream = tor.stream(Stream::connect("www.example.com", 80));
        assert_eq!(stream.end(), attached("www.example.com:80"));
    }
    let lists = tor.count("GETINFO stream-status") - before;
    assert!(lists < 10, "{lists}");
    nothing_evil_happened(&tor);
}

/// Forged signals make the door do no more than it would for true ones.
#[test]
fn forged_signals_keep_activities_apart() {
    let tor = ModelTor::start();
    let node = node(&[("d/site", r#"{"ip":"192.0.2.6"}"#)]);
    let _door = Door::with_node(&tor, &node, &[]);
    let open = |user: &str| {
        let stream = tor.stream(Stream::connect("site.bit", 80).user(user, ""));
        assert_eq!(stream.end(), attached("192.0.2.6:80"));
    };
    for _ in 0..3 {
        open("alice");
        open("bob");
        forge(&tor, "650 SIGNAL NEWNYM");
    }
    assert_eq!(node.count("d/site"), 6);
    let mut ids = node.streams("d/site");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6);
}

/// The answer to one stream never becomes that of another.
#[test]
fn many_victims_among_many_forgeries_arrive() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    let onion = format!("{ONION}:80");
    let mut expected = Vec::new();
    let mut streams = Vec::new();
    for number in 0..300 {
        let (host, target) = [
            ("bank.bit", "192.0.2.2:80"),
            ("ip.bit", "192.0.2.1:80"),
            ("onion.bit", &onion),
            ("www.example.com", "www.example.com:80"),
        ][number % 4];
        let next = tor.next_id() + u64::try_from(number % 5).unwrap();
        let lines = all(next, host);
        let line = &lines[number % lines.len()];
        let forged = format!("a\r\n{line}\r\n650 X");
        streams.push(Stream::dns(forged, Wish::A));
        expected.push(None);
        streams.push(victim(host));
        expected.push(Some(attached(target)));
    }
    for chunk in 0..streams.len() / 20 {
        let range = chunk * 20..(chunk + 1) * 20;
        let handles = tor.streams(streams[range.clone()].iter().cloned());
        for (handle, expected) in handles.iter().zip(&expected[range]) {
            match expected {
                Some(expected) => assert_eq!(handle.end(), *expected),
                None => assert!(matches!(handle.end(), End::Closed(..))),
            }
        }
    }
    nothing_evil_happened(&tor);
}
