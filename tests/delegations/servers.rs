//! Which name servers are asked, in the forms that values have.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use super::{ONION, World};
use crate::support::is_transient;
use crate::support::name_server::{NameServer, Said, Zone, answer, record, reply};
use crate::support::socks::nobody;

const ZONE: Zone<'_> = &[
    ("example.bit", "A", "93.184.216.34"),
    ("www.example.bit", "A", "93.184.216.34"),
    ("sub.www.example.bit", "A", "93.184.216.34"),
];

/// Asks for `name` with the value of `d/example`, and gives the targets.
fn targets(values: &str, name: &str, host: &str) -> (String, Vec<String>) {
    let server = NameServer::of("bit", ZONE);
    let world = World::new(values, &[(host, server.address())]);
    (world.ask(name), world.targets())
}

#[test]
fn servers_are_found_in_every_form_in_use() {
    let onion = format!("{ONION}.");
    for (value, host) in [
        (r#"{"ns":["ns1.example.net"]}"#, "ns1.example.net"),
        (r#"{"ns":"NS1.Example.Net."}"#, "ns1.example.net"),
        (
            r#"{"dns":["ns1.example.net."],"ns":["other.net."]}"#,
            "ns1.example.net",
        ),
        (r#"{"map":{"":{"ns":["93.184.216.40"]}}}"#, "93.184.216.40"),
        (r#"{"ns":["2606:2800:220:1::2"]}"#, "2606:2800:220:1::2"),
        (
            r#"{"ns":["ns1"],"map":{"ns1":{"ip":"93.184.216.41"}}}"#,
            "93.184.216.41",
        ),
        (
            r#"{"ns":["ns1.example.bit"],"map":{"ns1":{"ip":"93.184.216.41"}}}"#,
            "93.184.216.41",
        ),
        (
            r#"{"ns":["a.ns1"],"map":{"ns1":{"map":{"a":{"ip":"93.184.216.42"}}}}}"#,
            "93.184.216.42",
        ),
        (r#"{"ns":["ns.server.bit"]}"#, "93.184.216.43"),
        (r#"{"ns":["host.server.bit"]}"#, "ns.example.org"),
        (r#"{"ns":["tor.server.bit."]}"#, ONION),
        (r#"{"ns":["ONION"]}"#, ONION),
        (
            r#"{"ip":"1.2.3.4","ns":["ns1.example.net"],"ds":[]}"#,
            "ns1.example.net",
        ),
        (r#"{"import":"d/base"}"#, "ns9.example.net"),
    ] {
        let value = value.replace("ONION", &onion);
        let values = format!(
            r#"{{"d/example": {value}, "d/base": {{"ns": "ns9.example.net"}},
            "d/server": {{"map": {{"ns": {{"ip": "93.184.216.43"}},
                "host": {{"alias": "ns.example.org."}},
                "tor": {{"map": {{"_tor": {{"txt": "{ONION}"}}}}}}}}}}}}"#
        );
        let (answer, targets) = targets(&values, "example.bit", host);
        assert_eq!(answer, "0 93.184.216.34", "{value}: {targets:?}");
        assert_eq!(targets, [format!("{host}:53")], "{value}");
    }
}

#[test]
fn a_subdomain_can_be_delegated_alone() {
    let values = r#"{"d/example": {"ip": "93.184.216.99",
        "map": {"www": {"ns": ["ns1.example.net."]}}}}"#;
    let (answer, asked) = targets(values, "www.example.bit", "ns1.example.net");
    assert_eq!((answer.as_str(), asked.len()), ("0 93.184.216.34", 1));
    let (answer, asked) = targets(values, "sub.www.example.bit", "ns1.example.net");
    assert_eq!((answer.as_str(), asked.len()), ("0 93.184.216.34", 1));
    let (answer, asked) = targets(values, "example.bit", "ns1.example.net");
    assert_eq!((answer.as_str(), asked.len()), ("0 93.184.216.99", 0));
}

#[test]
fn servers_that_tor_would_not_connect_to_are_not_asked() {
    for value in [
        r#"{"ns":["127.0.0.1","10.0.0.1","::1","192.168.1.1"]}"#,
        r#"{"ns":["localhost."]}"#,
        r#"{"ns":["router.local."]}"#,
        r#"{"ns":["host.exit."]}"#,
        r#"{"ns":["1.2."]}"#,
        r#"{"ns":["short.onion."]}"#,
        r#"{"ns":["ns1"]}"#,
        r#"{"ns":["ns1"],"map":{"ns1":{"ip":"10.0.0.1"}}}"#,
        r#"{"ns":["unregistered.bit."]}"#,
        r#"{"ns":["inner.server.bit."]}"#,
        r#"{"ns":["."]}"#,
    ] {
        let values = format!(
            r#"{{"d/example": {value}, "d/server": {{"map": {{"inner": {{"ip": "10.0.0.2"}}}}}}}}"#
        );
        let (answer, targets) = targets(&values, "example.bit", "nowhere");
        assert_eq!(
            answer, "3 \"example.bit is delegated to name servers that Tor cannot connect to\"",
            "{value}"
        );
        assert!(targets.is_empty(), "{value}: {targets:?}");
    }
}

/// The owner wanted signatures; a mistake must not turn them off.
#[test]
fn an_invalid_ds_is_no_absent_one() {
    for ds in [
        r#"[[1, 8, 2]]"#,
        r#"[["1", "8", "2", "AAEC"]]"#,
        r#""text""#,
        r#"{}"#,
        r#"[[1, 5, 1, "AAEC"]]"#,
        r#"[[1, 8, 1, "AAEC"], [1, 253, 2, "AAEC"]]"#,
        r#"[[70000, 8, 2, "AAEC"]]"#,
    ] {
        let values = format!(r#"{{"d/example": {{"ns": ["ns1.net."], "ds": {ds}}}}}"#);
        let (answer, targets) = targets(&values, "example.bit", "ns1.net");
        assert_eq!(
            answer, "3 \"example.bit is delegated with DS records that cannot be verified\"",
            "{ds}"
        );
        assert!(targets.is_empty());
    }
}

#[test]
fn names_that_delegate_to_each_other_are_not_found() {
    for values in [
        r#"{"d/example": {"ns": ["ns.example.bit."]}}"#,
        r#"{"d/example": {"ns": ["ns.other.bit."]}, "d/other": {"ns": ["ns.example.bit."]}}"#,
        r#"{"d/example": {"ns": ["a.other.bit.", "b.other.bit.", "c.other.bit."]},
            "d/other": {"ns": ["a.third.bit.", "b.third.bit.", "c.third.bit."]},
            "d/third": {"ns": ["a.example.bit.", "b.other.bit.", "c.third.bit."]}}"#,
    ] {
        let (answer, targets) = targets(values, "example.bit", "nowhere");
        assert!(answer.starts_with("3 "), "{answer}");
        assert!(targets.is_empty());
    }
}

/// Whatever keeps one server's name from being resolved.
#[test]
fn a_server_that_cannot_be_resolved_is_skipped() {
    for dead in [
        r#"{"ns":["127.0.0.1"]}"#,
        r#"{"ns":["ns1.net"],"ds":[[1,5,1,"AAEC"]]}"#,
        r#"{"ns":["gone.net"]}"#,
        r#"{"alias":"dead.bit."}"#,
        "{}",
    ] {
        let values = format!(
            r#"{{"d/example": {{"ns": ["dead.bit.", "ns.server.bit."]}}, "d/dead": {dead},
            "d/server": {{"map": {{"ns": {{"ip": "93.184.216.43"}}}}}}}}"#
        );
        let (answer, targets) = targets(&values, "example.bit", "93.184.216.43");
        assert_eq!(answer, "0 93.184.216.34", "{dead}: {targets:?}");
    }
}

/// A server that is known is asked before others are looked for.
#[test]
fn a_server_in_bit_is_resolved_only_if_others_fail() {
    let silent = NameServer::scripted(|_, _| vec![Said::Nothing]);
    let server = NameServer::of("bit", ZONE);
    let values = r#"{"d/example": {"ns": ["ns.slow.bit.", "ns1.net."]},
        "d/slow": {"ns": ["silent.net."]}}"#;
    let world = World::new(
        values,
        &[
            ("silent.net", silent.address()),
            ("ns1.net", server.address()),
        ],
    );
    assert_eq!(world.ask("example.bit"), "0 93.184.216.34");
    assert_eq!(world.targets(), ["ns1.net:53"]);
}

/// All name servers together, however many names they have.
#[test]
fn a_query_sends_sixteen_messages_at_most() {
    let failing = NameServer::scripted(|query, _| {
        let mut reply = reply(query);
        reply.metadata.response_code = ResponseCode::ServFail;
        vec![Said::Message(reply)]
    });
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let servers = names.map(|name| format!(r#""{name}.bit.""#)).join(",");
    let mut values = format!(r#"{{"d/example": {{"ns": [{servers}]}}"#);
    for name in names {
        values += &format!(r#", "d/{name}": {{"ns": ["ns1.net."]}}"#);
    }
    values += "}";
    let world = World::new(&values, &[("ns1.net", failing.address())]);
    let answer = world.ask("example.bit");
    assert!(answer.starts_with("1 "), "{answer}");
    let asked = failing.queries().len();
    assert!(asked <= 16, "{asked}");
}

/// There are servers that drop every question for IPv6 addresses.
#[test]
fn an_address_needs_no_answer_about_ipv6() {
    let server = NameServer::scripted(|query, _| {
        let records = [record("example.bit", "A", "93.184.216.34")];
        match query.queries[0].query_type() {
            RecordType::AAAA => vec![Said::Nothing],
            _ => vec![Said::Message(answer(query, "example.bit", &records))],
        }
    });
    let values = r#"{"d/example": {"ns": ["ns1.net."]}}"#;
    let world = World::new(values, &[("ns1.net", server.address())]);
    assert_eq!(world.ask("example.bit"), "0 93.184.216.34");
}

/// A server whose own name is delegated is found by asking its servers first.
#[test]
fn a_servers_name_may_be_delegated_itself() {
    let servers = NameServer::of("other.bit", &[("ns.other.bit", "A", "93.184.216.44")]);
    let own = NameServer::of("bit", ZONE);
    let values =
        r#"{"d/example": {"ns": ["ns.other.bit."]}, "d/other": {"ns": ["ns1.example.net."]}}"#;
    let world = World::new(
        values,
        &[
            ("ns1.example.net", servers.address()),
            ("93.184.216.44", own.address()),
        ],
    );
    assert_eq!(world.ask("example.bit"), "0 93.184.216.34");
    assert_eq!(world.targets(), ["ns1.example.net:53", "93.184.216.44:53"]);
}

#[test]
fn the_next_server_is_asked_when_one_fails() {
    let server = NameServer::of("bit", ZONE);
    let refusing = NameServer::scripted(|_, _| vec![Said::Close]);
    let values = r#"{"d/example": {"ns": ["down.net.", "closed.net.", "works.net."]}}"#;
    let world = World::new(
        values,
        &[
            ("closed.net", refusing.address()),
            ("works.net", server.address()),
        ],
    );
    let mut plugin = world.plugin(&[]);
    for id in 0..6 {
        let answer = plugin.ask("example.bit", &format!("i{id}"));
        assert_eq!(answer, "0 93.184.216.34");
    }
}

/// A silent one holds nobody up for long.
#[test]
fn a_second_server_is_asked_while_the_first_is_silent() {
    let silent = NameServer::scripted(|_, _| vec![Said::Nothing]);
    let server = NameServer::of("bit", ZONE);
    let values = r#"{"d/example": {"ns": ["silent.net.", "works.net."]}}"#;
    let world = World::new(
        values,
        &[
            ("silent.net", silent.address()),
            ("works.net", server.address()),
        ],
    );
    let mut plugin = world.plugin(&["--timeout", "25"]);
    for id in 0..6 {
        let answer = plugin.ask("example.bit", &format!("i{id}"));
        assert_eq!(answer, "0 93.184.216.34");
    }
    assert!(!silent.queries().is_empty());
}

#[test]
fn servers_that_cannot_be_reached_are_a_failure_that_passes() {
    let values = r#"{"d/example": {"ns": ["down.net.", "gone.net."]}, "d/a": {"ip": "1.2.3.4"}}"#;
    let world = World::new(values, &[("gone.net", nobody())]);
    let mut plugin = world.plugin(&[]);
    let answer = plugin.ask("example.bit", "i");
    assert!(answer.starts_with("1 "), "{answer}");
    assert!(
        answer.contains("no name server gave a usable answer"),
        "{answer}"
    );
    assert!(!answer.contains("down.net"), "{answer}");
    assert_eq!(plugin.ask("a.bit", "i"), "0 1.2.3.4");
    // Nothing was kept: the next query asks again.
    let before = world.targets().len();
    assert!(before <= 16, "{before}");
    assert!(is_transient(&plugin.ask("example.bit", "i")));
    assert!(world.targets().len() > before);
}

#[test]
fn a_proxy_that_is_gone_is_a_failure_of_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("names.json");
    std::fs::write(&file, r#"{"d/example": {"ns": ["ns1.net."]}}"#).unwrap();
    let proxy = nobody().to_string();
    let arguments = [
        "--names-file",
        file.to_str().unwrap(),
        "--proxy",
        &proxy,
        "--timeout",
        "1",
    ];
    let mut plugin = crate::support::plugin::Plugin::start(&arguments);
    let answer = plugin.ask("example.bit", "i");
    assert!(
        answer.starts_with("1 ") && answer.contains("proxy"),
        "{answer}"
    );
}
