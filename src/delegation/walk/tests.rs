//! Walks along scripted servers, without connections.

use std::cell::RefCell;

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, NS};
use hickory_proto::rr::{RData, Record};

use super::super::asking::Judge;
use super::super::message::Lame;
use super::*;

/// What a server says to a question.
type Script<'s> = &'s dyn Fn(&str, &str, RecordType) -> Result<Message, AskError>;

/// Asks servers of a script, in their order, and notes whom it asks.
struct Scripted<'s> {
    script: Script<'s>,
    asked: &'s RefCell<Vec<String>>,
}

impl Ask for Scripted<'_> {
    fn ask(
        &mut self,
        servers: &[String],
        questions: &[(Name, RecordType)],
        _: Extensions,
        rounds: usize,
        judge: Judge<'_>,
    ) -> Result<(), AskError> {
        let mut open: Vec<usize> = (0..questions.len()).collect();
        for server in servers.iter().cycle().take(servers.len() * rounds) {
            let mut replies = Vec::new();
            for at in &open {
                let (name, kind) = &questions[*at];
                let name = name.to_ascii();
                self.asked
                    .borrow_mut()
                    .push(format!("{server} {kind} {name}"));
                match (self.script)(server, &name, *kind) {
                    Ok(reply) => replies.push((*at, Ok(reply))),
                    Err(AskError::Servers(_)) => replies.push((*at, Err(Lame::ServFail))),
                    Err(error) => return Err(error),
                }
            }
            let judgement = judge(server, replies);
            open.retain(|at| !judgement.settled.contains(at));
            if open.is_empty() {
                return Ok(());
            }
        }
        Err(AskError::Servers("failed".to_owned()))
    }

    fn sent(&self) -> u8 {
        self.asked.borrow().len() as u8
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn servers(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn question(of: &str, list: &[&str]) -> Question {
    Question {
        zone: name("example.bit."),
        servers: servers(list),
        ds: Vec::new(),
        asked: [RecordType::A, RecordType::AAAA]
            .map(|kind| (name(of), kind))
            .to_vec(),
        messages: 16,
    }
}

fn reply(of: &str, kind: RecordType) -> Message {
    let mut reply = Message::response(0, OpCode::Query);
    reply.metadata.authoritative = true;
    reply.add_query(Query::query(name(of), kind));
    reply
}

fn address(of: &str, kind: RecordType, ttl: u32) -> Message {
    let mut reply = reply(of, kind);
    let data = RData::A(A::new(93, 184, 216, 34));
    reply.add_answer(Record::from_rdata(name(of), ttl, data));
    reply
}

fn referral(of: &str, kind: RecordType, zone: &str, to: &str, ttl: u32) -> Message {
    let mut reply = reply(of, kind);
    reply.metadata.authoritative = false;
    let data = RData::NS(NS(name(to)));
    reply.add_authority(Record::from_rdata(name(zone), ttl, data));
    reply
}

fn servfail() -> Result<Message, AskError> {
    Err(AskError::Servers("failed".to_owned()))
}

fn run(question: &Question, script: Script<'_>) -> (Result<Answer, FetchError>, Vec<String>) {
    let asked = RefCell::new(Vec::new());
    let scripted = Scripted {
        script,
        asked: &asked,
    };
    let answer = Walk::new(scripted, Now(0)).run(question);
    (answer, asked.into_inner())
}

#[test]
fn a_failure_is_that_of_its_question_and_is_not_kept() {
    let question = question("www.example.bit.", &["ns1.net"]);
    let (answer, asked) = run(&question, &|_, of, kind| match kind {
        RecordType::AAAA => Ok(reply(of, kind)),
        _ => servfail(),
    });
    let answer = answer.unwrap();
    assert!(answer.replies[0].is_err() && answer.replies[1].is_ok());
    assert_eq!(answer.ttl, Duration::ZERO);
    // The one that was answered is not asked again.
    assert_eq!(asked.len(), 1 + ROUNDS);
    assert_eq!(usize::from(answer.messages), asked.len());
}

#[test]
fn no_answer_outlives_the_way_to_it() {
    let question = Question {
        asked: vec![(name("a.b.example.bit."), RecordType::A)],
        ..question("", &["ns1.net"])
    };
    for (of_referral, of_address) in [(60, 300), (300, 60)] {
        let (answer, asked) = run(&question, &|server, of, kind| {
            Ok(match server {
                "ns1.net" => referral(of, kind, "b.example.bit.", "ns2.net.", of_referral),
                _ => address(of, kind, of_address),
            })
        });
        assert_eq!(answer.unwrap().ttl, Duration::from_secs(60));
        let of = "A a.b.example.bit.";
        assert_eq!(asked, [format!("ns1.net {of}"), format!("ns2.net {of}")]);
    }
}

/// Both questions lead to the same zone, which is asked both at once.
#[test]
fn a_zone_is_entered_once_and_the_innermost_answers() {
    let question = question("a.b.example.bit.", &["ns1.net"]);
    let (answer, asked) = run(&question, &|server, of, kind| {
        Ok(match server {
            "ns1.net" => referral(of, kind, "b.example.bit.", "ns2.net.", 300),
            "ns2.net" => referral(of, kind, "a.b.example.bit.", "ns3.net.", 300),
            _ if kind == RecordType::A => address(of, kind, 300),
            _ => reply(of, kind),
        })
    });
    let answer = answer.unwrap();
    assert!(answer.replies.iter().all(Result::is_ok));
    let servers = asked.iter().map(|asked| asked.split(' ').next().unwrap());
    let servers: Vec<_> = servers.collect();
    let expected = ["ns1.net", "ns2.net", "ns3.net"];
    assert_eq!(servers, expected.map(|one| [one; 2]).concat());
}

#[test]
fn the_innermost_zone_answers_in_whatever_order_zones_are_found() {
    let question = question("a.b.example.bit.", &["ns1.net"]);
    let (answer, asked) = run(&question, &|server, of, kind| {
        Ok(match (server, kind) {
            ("ns1.net", RecordType::A) => referral(of, kind, "a.b.example.bit.", "ns3.net.", 300),
            ("ns1.net", RecordType::AAAA) => referral(of, kind, "b.example.bit.", "ns2.net.", 300),
            _ => reply(of, kind),
        })
    });
    assert!(answer.unwrap().replies.iter().all(Result::is_ok));
    assert!(
        asked.iter().all(|asked| !asked.starts_with("ns2.net")),
        "{asked:?}"
    );
}

#[test]
fn whoever_referred_to_a_zone_that_fails_is_not_asked_again() {
    let question = question("www.example.bit.", &["liar.net", "honest.net"]);
    let (answer, asked) = run(&question, &|server, of, kind| match server {
        "liar.net" => Ok(referral(of, kind, "www.example.bit.", "lame.net.", 300)),
        "honest.net" if kind == RecordType::A => Ok(address(of, kind, 300)),
        "honest.net" => Ok(reply(of, kind)),
        _ => servfail(),
    });
    let answer = answer.unwrap();
    assert!(answer.replies.iter().all(Result::is_ok), "{answer:?}");
    // As long as another may know better, one round is enough.
    for (server, times) in [("liar.net", 2), ("lame.net", 2), ("honest.net", 2)] {
        let asked = asked.iter().filter(|asked| asked.starts_with(server));
        assert_eq!(asked.count(), times, "{server}");
    }
}

#[test]
fn a_referral_of_the_only_server_is_all_there_is() {
    let question = question("www.example.bit.", &["liar.net"]);
    let (answer, asked) = run(&question, &|server, of, kind| match server {
        "liar.net" => Ok(referral(of, kind, "www.example.bit.", "lame.net.", 300)),
        _ => servfail(),
    });
    let answer = answer.unwrap();
    assert!(answer.replies.iter().all(Result::is_err));
    assert_eq!(answer.ttl, Duration::ZERO);
    assert_eq!(asked.len(), 2 + 2 * ROUNDS);
}

/// No server can do anything about the time or the proxy.
#[test]
fn what_concerns_every_server_ends_the_walk() {
    let question = Question {
        asked: vec![
            (name("a.example.bit."), RecordType::A),
            (name("b.example.bit."), RecordType::A),
        ],
        ..question("", &["ns1.net"])
    };
    let script: Script<'_> = &|server, of, kind| match server {
        "ns1.net" => {
            let zone = of.to_owned();
            Ok(referral(of, kind, &zone, "late.net.", 300))
        }
        _ => Err(AskError::TimedOut),
    };
    let (answer, asked) = run(&question, script);
    assert_eq!(answer.unwrap_err().kind, FetchErrorKind::TimedOut);
    let late = asked.iter().filter(|asked| asked.starts_with("late.net"));
    assert_eq!(late.count(), 1, "{asked:?}");
}

/// Even those that are none demand signatures.
#[test]
fn malformed_ds_records_are_not_taken_for_none() {
    let honest = |_: &str, of: &str, kind| Ok(address(of, kind, 300));
    for ds in [&[][..], &[0, 1, 8], &[0, 1, 8, 2]] {
        let question = Question {
            ds: vec![ds.to_vec()],
            ..question("www.example.bit.", &["ns1.net"])
        };
        let (answer, _) = run(&question, &honest);
        let replies = answer.unwrap().replies;
        assert!(replies.iter().all(Result::is_err), "{ds:?}: {replies:?}");
    }
}

#[test]
fn nothing_that_nobody_signed_is_called_signed() {
    let question = question("www.example.bit.", &["ns1.net"]);
    let (answer, _) = run(&question, &|_, of, kind| {
        let mut reply = reply(of, kind);
        reply.metadata.response_code = ResponseCode::NXDomain;
        Ok(reply)
    });
    for reply in answer.unwrap().replies {
        let reply = reply.unwrap();
        assert!(!reply.exists && !reply.is_signed);
    }
}
