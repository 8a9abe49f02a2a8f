//! Runs the scripts in `tests/engine/*.toml`: values, a question, and the
//! reply of the authoritative engine. `tests/engine/README.md` tells how to
//! write one.

use std::collections::BTreeMap;
use std::str::FromStr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};
use ncprop279::authority::{self, Outcome, edns};
use ncprop279::isolation::IsolationId;
use ncprop279::snapshot::{Absence, Entry, FetchError, FetchErrorKind, Fetched, NameKey, Snapshot};
use ncprop279::zone::listing;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    /// Values by name key; `!expired`, `!unreachable` and so on stand for what
    /// is no value.
    #[serde(default)]
    names: BTreeMap<String, String>,
    step: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    title: String,
    /// `<name> <type>`, with `CH` between them for another class.
    query: String,
    /// Response code and flags, such as `NoError aa`.
    status: String,
    #[serde(default)]
    answer: Vec<String>,
    #[serde(default)]
    authority: Vec<String>,
    #[serde(default)]
    additional: Vec<String>,
    /// The text of the extended error begins so.
    #[serde(default)]
    because: Option<String>,
}

fn entry(value: &str) -> Entry {
    match value {
        "!expired" => Entry::Known(Fetched::Absent(Absence::Expired)),
        "!unsafe" => Entry::Known(Fetched::Absent(Absence::NotYetSafe)),
        "!unreachable" => Entry::Failed(FetchError::new(
            FetchErrorKind::Unreachable,
            "the node cannot be reached",
        )),
        value => Entry::Known(Fetched::Value(value.as_bytes().into())),
    }
}

/// Asks until nothing is missing; names that the script lacks do not exist.
fn ask(message: &Message, names: &BTreeMap<String, String>) -> Message {
    let mut snapshot = Snapshot::new(IsolationId::shared());
    loop {
        match authority::answer(message, &snapshot) {
            Outcome::Reply(reply) => {
                // What goes over a wire must survive it.
                let bytes = reply.to_vec().unwrap();
                return Message::from_vec(&bytes).unwrap();
            }
            Outcome::Need(keys) => {
                for key in keys {
                    let known = names.get(key.as_str()).map(|value| entry(value));
                    let absent = Entry::Known(Fetched::Absent(Absence::NeverExisted));
                    snapshot.insert(key, known.unwrap_or(absent));
                }
            }
        }
    }
}

fn question(text: &str) -> Query {
    let words: Vec<&str> = text.split(' ').collect();
    let kind = words.last().unwrap();
    let kind = match kind.strip_prefix("TYPE") {
        Some(number) => RecordType::from(number.parse::<u16>().unwrap()),
        None => RecordType::from_str(kind).unwrap(),
    };
    let mut query = Query::query(Name::from_ascii(words[0]).unwrap(), kind);
    match words.get(1).filter(|_| words.len() == 3) {
        Some(&"CH") => {
            query.set_query_class(DNSClass::CH);
        }
        Some(&"HS") => {
            query.set_query_class(DNSClass::HS);
        }
        Some(&"ANY") => {
            query.set_query_class(DNSClass::ANY);
        }
        _ => {}
    }
    query
}

fn message(text: &str) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(question(text));
    edns::write_isolation(&mut message, &IsolationId::shared());
    message
}

fn lines(records: &[Record]) -> Vec<String> {
    let line = |record: &Record| {
        listing::record(&record.name, &record.data).replacen(
            " 600 ",
            &format!(" {} ", record.ttl),
            1,
        )
    };
    let mut lines: Vec<String> = records.iter().map(line).collect();
    lines.sort();
    lines
}

fn sorted(lines: &[String]) -> Vec<String> {
    let mut lines = lines.to_vec();
    lines.sort();
    lines
}

fn status(reply: &Message) -> String {
    let flag = if reply.metadata.authoritative {
        " aa"
    } else {
        ""
    };
    format!("{:?}{flag}", reply.metadata.response_code)
}

fn because(reply: &Message) -> Option<String> {
    let options = reply.edns.as_ref()?.options();
    match options.get(15.into())? {
        EdnsOption::Unknown(_, data) => Some(String::from_utf8_lossy(&data[2..]).into_owned()),
        _ => None,
    }
}

#[test]
fn replies_are_as_the_scripts_say() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engine");
    let mut failures = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let script: Script = toml::from_str(&text).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        for step in &script.step {
            count += 1;
            let reply = ask(&message(&step.query), &script.names);
            let at = format!("{:?}: {}", path.file_name().unwrap(), step.title);
            let mut check = |what: &str, got: &dyn std::fmt::Debug, want: &dyn std::fmt::Debug| {
                let (got, want) = (format!("{got:#?}"), format!("{want:#?}"));
                if got != want {
                    failures.push(format!("{at}: {what}\n  expected {want}\n  got {got}"));
                }
            };
            check("status", &status(&reply), &step.status);
            check("answer", &lines(&reply.answers), &sorted(&step.answer));
            check(
                "authority",
                &lines(&reply.authorities),
                &sorted(&step.authority),
            );
            check(
                "additional",
                &lines(&reply.additionals),
                &sorted(&step.additional),
            );
            let why = because(&reply);
            match &step.because {
                None => check("extended error", &why, &None::<String>),
                Some(begin) => {
                    let fits = why.as_ref().is_some_and(|why| why.starts_with(begin));
                    check("extended error", &(fits, &why), &(true, &why));
                }
            }
            assert_eq!(reply.metadata.id, 7);
            assert_eq!(reply.metadata.message_type, MessageType::Response);
        }
    }
    assert!(count > 20);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A failure that passes is no reason to try again what can never be answered.
/// (Not among the scripts: with fetches side by side the failure may be all
/// that is known yet.)
#[test]
fn too_many_imports_are_graver_than_a_failure() {
    let many: Vec<_> = (0..16).map(|n| [format!("dd/n{n}")]).collect();
    let names = [
        (
            "d/a",
            serde_json::json!({"import": [["dd/down"], ["dd/many"]]}).to_string(),
        ),
        ("dd/many", serde_json::json!({"import": many}).to_string()),
        ("dd/down", "!unreachable".to_owned()),
    ];
    let names = names.map(|(key, value)| (key.to_owned(), value)).into();
    let reply = ask(&message("a.bit. A"), &names);
    assert_eq!(status(&reply), "ServFail");
    assert!(because(&reply).unwrap().starts_with("has too many imports"));
}

/// So is a value that takes more work than one query may.
#[test]
fn too_much_work_is_graver_than_a_failure() {
    let items: serde_json::Map<_, _> = (0..80).map(|n| (format!("{n}"), "".into())).collect();
    let many = vec![["dd/x"]; 60];
    let names = [
        (
            "d/a",
            serde_json::json!({"import": [["dd/x"], ["dd/down"], ["dd/many"]]}).to_string(),
        ),
        ("dd/many", serde_json::json!({"import": many}).to_string()),
        ("dd/x", serde_json::json!({"map": items}).to_string()),
        ("dd/down", "!unreachable".to_owned()),
    ];
    assert!(names.iter().all(|(_, value)| value.len() <= 1023));
    let names = names.map(|(key, value)| (key.to_owned(), value)).into();
    let reply = ask(&message("a.bit. A"), &names);
    assert_eq!(status(&reply), "ServFail");
    let why = because(&reply).unwrap();
    assert!(why.starts_with("is too complicated to resolve"), "{why}");
}

fn status_of(message: &Message) -> String {
    status(&ask(message, &BTreeMap::new()))
}

#[test]
fn messages_that_are_no_query_get_the_code_that_dns_has() {
    let good = message("example.bit. A");
    let mut response = good.clone();
    response.metadata.message_type = MessageType::Response;
    assert_eq!(status_of(&response), "FormErr");

    let mut none = good.clone();
    none.queries.clear();
    assert_eq!(status_of(&none), "FormErr");

    let mut two = good.clone();
    two.add_query(question("www.example.bit. A"));
    assert_eq!(status_of(&two), "FormErr");

    let mut update = good.clone();
    update.metadata.op_code = OpCode::Update;
    assert_eq!(status_of(&update), "NotImp");

    let mut version = good.clone();
    version.edns.get_or_insert_with(Edns::new).set_version(1);
    let reply = ask(&version, &BTreeMap::new());
    // BADVERS; the number has a second name, BADSIG, which hickory-proto reads.
    assert_eq!(u16::from(reply.metadata.response_code), 16);
    assert_eq!(reply.edns.unwrap().version(), 0);
}

/// As other name servers do.
#[test]
fn the_version_is_told_in_class_chaos() {
    for name in ["version.bind.", "VERSION.server."] {
        let reply = ask(&message(&format!("{name} CH TXT")), &BTreeMap::new());
        assert_eq!(status(&reply), "NoError aa");
        let [record] = &reply.answers[..] else {
            panic!("{reply:?}");
        };
        assert_eq!(record.dns_class, DNSClass::CH);
        let version = format!("\"ncprop279 {}\"", env!("CARGO_PKG_VERSION"));
        assert!(listing::record(&record.name, &record.data).contains(&version));
        let none = ask(&message(&format!("{name} CH A")), &BTreeMap::new());
        assert_eq!(
            (status(&none).as_str(), none.answers.len()),
            ("NoError aa", 0)
        );
    }
    assert_eq!(status_of(&message("example.bit. CH TXT")), "Refused");
    assert_eq!(status_of(&message("version.bind. HS TXT")), "Refused");
}

#[test]
fn types_that_exist_inside_messages_only_are_no_question() {
    for kind in [RecordType::OPT, RecordType::TSIG, RecordType::ZERO] {
        let number = u16::from(kind);
        let asked = message(&format!("example.bit. TYPE{number}"));
        assert_eq!(status_of(&asked), "FormErr", "{kind}");
    }
    // Transfers, AXFR and IXFR, are refused.
    for number in [252, 251] {
        let asked = message(&format!("example.bit. TYPE{number}"));
        assert_eq!(status_of(&asked), "Refused", "{number}");
    }
}

#[test]
fn the_isolation_option_must_be_there_once_and_valid() {
    let option = |data: &[u8]| EdnsOption::Unknown(edns::ISOLATION_OPTION, data.to_vec());
    for data in [&b""[..], b"a b", b"a\n", &[b'x'; 1025], b"\xff"] {
        let mut message = message("example.bit. A");
        message
            .edns
            .as_mut()
            .unwrap()
            .options_mut()
            .insert(option(data));
        assert_eq!(status_of(&message), "FormErr", "{data:?}");
    }
    let mut twice = message("example.bit. A");
    let options = twice.edns.as_mut().unwrap().options_mut();
    options.insert(option(b"a"));
    options.insert(option(b"a"));
    assert_eq!(status_of(&twice), "FormErr");
}

#[test]
fn a_snapshot_answers_only_under_its_own_id() {
    let id = |text: &str| IsolationId::parse(text.as_bytes()).unwrap();
    let mut snapshot = Snapshot::new(id("a"));
    snapshot.insert(
        NameKey::new("d/example").unwrap(),
        entry(r#"{"ip":"192.0.2.1"}"#),
    );
    for (asker, answers, status) in [
        ("a", 1, "NoError aa"),
        ("b", 0, "Refused"),
        ("A", 0, "Refused"),
    ] {
        let mut message = message("example.bit. A");
        edns::write_isolation(&mut message, &id(asker));
        assert_eq!(edns::read_isolation(&message), Ok(id(asker)));
        match authority::answer(&message, &snapshot) {
            Outcome::Reply(reply) => {
                assert_eq!(reply.answers.len(), answers, "{asker}");
                assert_eq!(self::status(&reply), status, "{asker}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_case_of_the_question_is_kept() {
    let names = BTreeMap::from([("d/example".to_owned(), r#"{"ip":"192.0.2.1"}"#.to_owned())]);
    let reply = ask(&message("eXaMpLe.BiT. A"), &names);
    assert_eq!(reply.queries[0].name().to_ascii(), "eXaMpLe.BiT.");
    assert_eq!(reply.answers[0].name.to_ascii(), "eXaMpLe.BiT.");
}

#[test]
fn without_an_opt_record_there_is_none_in_the_reply() {
    let mut message = message("none.bit. A");
    message.edns = None;
    let reply = ask(&message, &BTreeMap::new());
    assert_eq!(status(&reply), "NXDomain aa");
    assert!(reply.edns.is_none());
}

#[test]
fn what_is_no_message_gets_formerr() {
    let bytes = message("example.bit. A").to_vec().unwrap();
    assert!(authority::read(&bytes).is_ok());

    // The OPT record is the last thing in the message; here it is twice.
    let opt = bytes.len() - 11;
    let mut two = [&bytes[..], &bytes[opt..]].concat();
    two[11] = 2;
    let reply = authority::read(&two).unwrap_err().unwrap();
    assert_eq!(
        (status(&reply), reply.metadata.id),
        ("FormErr".to_owned(), 7)
    );

    for length in 0..bytes.len() {
        match authority::read(&bytes[..length]) {
            Err(None) => assert!(length < 12),
            Err(Some(reply)) => assert!(length >= 12 && status(&reply) == "FormErr"),
            Ok(_) => panic!("{length} bytes"),
        }
    }
    // The opcode is that of the request, whatever it is.
    for code in [OpCode::Status, OpCode::Notify, OpCode::Update] {
        let mut other = two.clone();
        other[2] = u8::from(code) << 3;
        let reply = authority::read(&other).unwrap_err().unwrap();
        assert_eq!(reply.metadata.op_code, code);
    }
    // A malformed response is not replied to.
    let mut response = two;
    response[2] |= 0x80;
    assert!(authority::read(&response).unwrap_err().is_none());
}
