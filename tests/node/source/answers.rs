//! What each recorded answer of each node means.

use ncprop279::config::settings::DialectSetting;
use ncprop279::snapshot::{Absence, FetchError, FetchErrorKind, Fetched};

use crate::support::node::scripted::{
    Act, NAME, Node, Request, error, fetch, id, is_value, limit, recorded,
};

const ELECTRUM: [&str; 2] = ["electrum-4.0.6", "electrum-4.1.0"];

/// Fetches from Namecoin Core, which answers with a recorded case.
fn core(case: &'static str, name: &str) -> Result<Fetched, FetchError> {
    let node = Node::start(move |_, _| recorded("core", case));
    let fetched = fetch(&node.source(DialectSetting::Auto), name);
    assert_eq!(node.requests().len(), 1);
    fetched
}

/// Fetches from an Electrum-NMC node that has caught up.
fn electrum(version: &'static str, case: &'static str, name: &str) -> Result<Fetched, FetchError> {
    let node = Node::start(move |_, request: &Request| match request.method() {
        "getinfo" => recorded(version, "getinfo"),
        _ if request.is_positional() => recorded(version, "refused"),
        _ => recorded(version, case),
    });
    fetch(&node.source(DialectSetting::Auto), name)
}

fn kind(fetched: Result<Fetched, FetchError>) -> FetchErrorKind {
    let failure = fetched.unwrap_err();
    assert!(!failure.message.contains("testls"), "{failure}");
    assert!(!failure.message.contains("stream-isolation"), "{failure}");
    assert!(!failure.message.contains("horse"), "{failure}");
    failure.kind
}

fn value(bytes: &[u8]) -> Result<Fetched, FetchError> {
    Ok(Fetched::Value(bytes.into()))
}

fn absent(absence: Absence) -> Result<Fetched, FetchError> {
    Ok(Fetched::Absent(absence))
}

#[test]
fn values_come_byte_for_byte() {
    for case in ["existing", "existing-1.0"] {
        let Ok(Fetched::Value(value)) = core(case, NAME) else {
            panic!("{case}");
        };
        assert!(value.starts_with(br#"{"ip":"107.152.38.155","#));
    }
    assert_eq!(core("binary", "d/binary"), value(b"{\"\xff\0\xfe\"}"));
    assert_eq!(core("empty", "d/empty"), value(b""));
    for version in ELECTRUM {
        assert!(is_value(&electrum(version, "existing", NAME)));
        assert_eq!(
            electrum(version, "binary", "d/binary"),
            value(b"{\"\xff\0\xfe\"}")
        );
        assert_eq!(electrum(version, "empty", "d/empty"), value(b""));
        assert!(is_value(&electrum(version, "utf8", "d/utf8")));
    }
}

#[test]
fn absences_of_core() {
    for (case, absence) in [
        ("never", Absence::NeverExisted),
        ("never-1.0", Absence::NeverExisted),
        ("expired", Absence::Expired),
        ("expired-1.0", Absence::Expired),
        ("allow-expired", Absence::Expired),
    ] {
        assert_eq!(core(case, "d/expired"), absent(absence), "{case}");
    }
}

#[test]
fn absences_of_electrum() {
    for version in ELECTRUM {
        for (case, absence) in [
            ("never", Absence::NeverExisted),
            ("expired", Absence::Expired),
            ("semi", Absence::AboutToExpire),
            ("unconfirmed", Absence::NotYetSafe),
        ] {
            assert_eq!(electrum(version, case, NAME), absent(absence), "{case}");
        }
    }
}

#[test]
fn passing_trouble_is_not_ready() {
    for case in [
        "downloading",
        "downloading-1.0",
        "stopping",
        "warm-up-500-RPC server started",
        "warm-up-200-Loading banlist",
        "warm-up-500-Loading banlist",
        "warm-up-500-Loading block index",
        "warm-up-200-Loading block index",
        "warm-up-500-Verifying blocks",
        "warm-up-200-Verifying blocks",
    ] {
        assert_eq!(kind(core(case, NAME)), FetchErrorKind::NotReady, "{case}");
    }
    for case in ["syncing", "no-interface"] {
        let fetched = electrum("electrum-4.0.6", case, NAME);
        assert_eq!(kind(fetched), FetchErrorKind::NotReady, "{case}");
    }
    let node = Node::start(|_, _| error(1, "No clean interface is ready"));
    let fetched = fetch(&node.source(DialectSetting::ElectrumNmc), NAME);
    assert_eq!(kind(fetched), FetchErrorKind::NotReady);
}

#[test]
fn a_full_queue_is_overload() {
    let node = Node::start(|_, _| Act::Answer(503, "Work queue depth exceeded".into()));
    let fetched = fetch(&node.source(DialectSetting::Auto), NAME);
    assert_eq!(kind(fetched), FetchErrorKind::Overloaded);
}

#[test]
fn a_node_without_names_is_unsuitable() {
    for case in ["unknown-method", "unknown-method-2.0"] {
        assert_eq!(kind(core(case, NAME)), FetchErrorKind::Unsuitable, "{case}");
    }
}

#[test]
fn what_is_no_answer_is_a_bad_reply() {
    for case in [
        "bad-encoding",
        "value-error",
        "batch",
        "not-json",
        "other-path",
    ] {
        assert_eq!(kind(core(case, NAME)), FetchErrorKind::BadReply, "{case}");
    }
    for case in ["not-json", "bad-encoding"] {
        let fetched = electrum("electrum-4.0.6", case, NAME);
        assert_eq!(kind(fetched), FetchErrorKind::BadReply, "{case}");
    }
    for body in [
        "",
        "{",
        "\u{0}",
        "null",
        r#"{"result":{"name":"642f6f74686572","name_encoding":"hex","value":"7b7d"}}"#,
        r#"{"result":{"value":"7b7"}}"#,
        r#"{"result":{"value":{}}}"#,
        r#"{"result":{"value":"e30=","value_encoding":"base64"}}"#,
        r#"{"result":{}}"#,
        r#"{"result":[]}"#,
        r#"{"error":{"code":-4,"message":"something else"}}"#,
    ] {
        let node = Node::start(move |_, _| Act::Answer(200, body.into()));
        let fetched = fetch(&node.source(DialectSetting::Core), NAME);
        assert_eq!(kind(fetched), FetchErrorKind::BadReply, "{body}");
    }
}

#[test]
fn a_message_does_not_repeat_the_question() {
    let node = Node::start(|_, request: &Request| {
        error(
            -99,
            &format!(
                "no d/TestLS, 0x642F746573746c73, {} or user:correct horse\n\u{1b}[1m{}",
                request.stream_id().unwrap(),
                "x".repeat(1000)
            ),
        )
    });
    let failure = fetch(&node.source(DialectSetting::Auto), NAME).unwrap_err();
    assert!(
        failure
            .message
            .contains("answered with error -99: no [...], 0x[...], [...] or [...]:[...] ?[1mxxx"),
        "{failure}"
    );
    assert!(failure.message.len() < 300);
}

#[test]
fn electrums_absences_need_a_node_that_has_caught_up() {
    for (info, expected) in [
        (recorded("electrum-4.0.6", "getinfo-behind"), false),
        (recorded("electrum-4.0.6", "getinfo-down"), false),
        (recorded("electrum-4.0.6", "getinfo"), true),
        (recorded("core", "unknown-method"), true),
        (
            Act::Answer(200, r#"{"result":{"version":"9"}}"#.into()),
            true,
        ),
        (Act::Answer(500, "Invalid Request".into()), true),
    ] {
        let Act::Answer(status, body) = info else {
            panic!("all of them are answers");
        };
        let node = Node::start(move |_, request: &Request| match request.method() {
            "getinfo" => Act::Answer(status, body.clone()),
            _ => recorded("electrum-4.0.6", "never-behind"),
        });
        let source = node.source(DialectSetting::ElectrumNmc);
        for _ in 0..3 {
            let fetched = fetch(&source, NAME);
            if expected {
                assert_eq!(fetched, absent(Absence::NeverExisted));
            } else {
                let failure = fetched.unwrap_err();
                assert_eq!(failure.kind, FetchErrorKind::NotReady);
                assert!(failure.message.contains("still syncing"), "{failure}");
            }
        }
        let requests = node.requests();
        let infos: Vec<_> = requests
            .iter()
            .filter(|request| request.method() == "getinfo")
            .collect();
        assert_eq!((infos.len(), node.name_requests().len()), (1, 3));
        assert!(!infos[0].body.to_string().contains("stream"));
    }
}

#[test]
fn many_absences_at_once_ask_once_whether_the_node_has_caught_up() {
    use ncprop279::snapshot::NameKey;
    use ncprop279::source::Source;

    let node = Node::start(|_, request: &Request| match request.method() {
        "getinfo" => recorded("electrum-4.1.0", "getinfo"),
        _ => recorded("electrum-4.1.0", "never"),
    });
    let source = node.source(DialectSetting::ElectrumNmc);
    std::thread::scope(|scope| {
        for number in 0..16 {
            let source = &source;
            scope.spawn(move || {
                let key = NameKey::new(NAME).unwrap();
                let fetched = source.fetch(&id(&format!("id-{number}")), &key, &limit());
                assert_eq!(
                    fetched.map(|reply| reply.fetched),
                    absent(Absence::NeverExisted)
                );
            });
        }
    });
    let infos = node.requests();
    let infos = infos.iter().filter(|request| request.method() == "getinfo");
    assert_eq!(infos.count(), 1);
}
