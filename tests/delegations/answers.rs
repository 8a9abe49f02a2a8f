//! What the name servers of a delegated name say, and what is answered.

use hickory_proto::rr::rdata::opt::EdnsCode;

use super::{ONION, World};
use crate::support::name_server::NameServer;
use crate::support::run;

const DELEGATED: &str = r#"{"d/example": {"ns": ["ns1.example.net"]}}"#;

fn zone() -> NameServer {
    NameServer::of(
        "example.bit",
        &[
            ("example.bit", "A", "93.184.216.34"),
            ("six.example.bit", "AAAA", "2606:2800:220:1::1"),
            ("www.example.bit", "CNAME", "example.bit"),
            ("out.example.bit", "CNAME", "host.example.net"),
            ("far.example.bit", "CNAME", "plain.bit"),
            ("text.example.bit", "TXT", "nothing"),
            ("inner.example.bit", "A", "10.0.0.1"),
            ("mixed.example.bit", "A", "192.168.1.1"),
            ("mixed.example.bit", "A", "93.184.216.36"),
        ],
    )
}

#[test]
fn addresses_and_aliases_are_answered() {
    let server = zone();
    let names = r#"{"d/example": {"ns": ["ns1.example.net"]}, "d/plain": {"ip": "93.184.216.35"}}"#;
    let world = World::new(names, &[("ns1.example.net", server.address())]);
    let mut plugin = world.plugin(&[]);
    for (name, expected) in [
        ("example.bit", "0 93.184.216.34"),
        ("EXAMPLE.bit.", "0 93.184.216.34"),
        ("six.example.bit", "0 2606:2800:220:1::1"),
        ("www.example.bit", "0 93.184.216.34"),
        ("out.example.bit", "0 host.example.net"),
        ("far.example.bit", "0 93.184.216.35"),
        ("mixed.example.bit", "0 93.184.216.36"),
        (
            "inner.example.bit",
            "3 \"inner.example.bit has no address at its name servers\"",
        ),
        (
            "text.example.bit",
            "3 \"text.example.bit has no address at its name servers\"",
        ),
        (
            "none.example.bit",
            "3 \"none.example.bit has no such subdomain\"",
        ),
    ] {
        assert_eq!(plugin.ask(name, "i"), expected, "{name}");
    }
    for target in world.targets() {
        assert_eq!(target, "ns1.example.net:53");
    }
}

/// Both questions go out at once, on one connection, with nothing in them that
/// would tell one user from another.
#[test]
fn queries_are_padded_and_their_names_in_random_case() {
    let server = zone();
    let world = World::new(DELEGATED, &[("ns1.example.net", server.address())]);
    let mut plugin = world.plugin(&[]);
    for id in 0..8 {
        plugin.ask("six.example.bit", &format!("i{id}"));
    }
    assert_eq!(world.targets().len(), 8);
    let queries = server.queries();
    assert_eq!(queries.len(), 16);
    let mut ids: Vec<u16> = queries.iter().map(|query| query.metadata.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() > 12, "{ids:?}");
    let texts = queries
        .iter()
        .map(|query| query.queries[0].name().to_ascii());
    let mut texts: Vec<String> = texts.collect();
    texts.sort();
    texts.dedup();
    assert!(texts.len() > 8, "{texts:?}");
    for query in queries {
        assert_eq!(query.to_vec().unwrap().len() % 128, 0);
        assert!(!query.metadata.recursion_desired);
        let edns = query.edns.unwrap();
        assert!(edns.option(EdnsCode::Padding).is_some());
        for code in [EdnsCode::Subnet, EdnsCode::Cookie] {
            assert!(edns.option(code).is_none(), "{code:?}");
        }
        assert_eq!(edns.options().as_ref().len(), 1);
    }
}

/// The exit relay could have made it up.
#[test]
fn onion_services_without_a_signature_are_never_answered() {
    let server = NameServer::of(
        "example.bit",
        &[
            ("example.bit", "A", "93.184.216.34"),
            ("_tor.example.bit", "TXT", ONION),
            ("alias.example.bit", "CNAME", ONION),
            ("other.example.bit", "CNAME", "onion.bit"),
        ],
    );
    let onion = format!(r#"{{"map": {{"_tor": {{"txt": "{ONION}"}}}}, "ip": "93.184.216.37"}}"#);
    let names = format!(r#"{{"d/example": {{"ns": ["ns1.example.net"]}}, "d/onion": {onion}}}"#);
    let world = World::new(&names, &[("ns1.example.net", server.address())]);
    let mut plugin = world.plugin(&[]);
    assert_eq!(plugin.ask("onion.bit", "i"), format!("0 {ONION}"));
    assert_eq!(plugin.ask("example.bit", "i"), "0 93.184.216.34");
    assert!(plugin.ask("alias.example.bit", "i").starts_with("3 "));
    assert_eq!(plugin.ask("other.example.bit", "i"), "0 93.184.216.37");
    let only = plugin.ask("example.bit.onion", "i");
    assert!(only.starts_with("3 "), "{only}");
    // Nobody was even asked about it.
    assert!(server.asked().iter().all(|asked| !asked.contains("TXT")));
    let explained = world.explain("other.example.bit");
    assert!(
        explained.text().contains("no signature vouches for it"),
        "{explained:?}"
    );
}

/// The item `tor` of the value counts, as it is no part of the DNS.
#[test]
fn an_onion_service_in_the_value_comes_before_the_name_servers() {
    let server = zone();
    let names = format!(r#"{{"d/example": {{"ns": ["ns1.example.net"], "tor": "{ONION}"}}}}"#);
    let world = World::new(&names, &[("ns1.example.net", server.address())]);
    assert_eq!(world.ask("example.bit"), format!("0 {ONION}"));
    assert!(world.targets().is_empty());
}

#[test]
fn a_translated_name_is_asked_in_its_translation() {
    let server = NameServer::of(
        "example.org",
        &[
            ("example.org", "A", "93.184.216.34"),
            ("www.example.org", "A", "93.184.216.35"),
            ("web.example.org", "CNAME", "www.example.org"),
            ("out.example.org", "CNAME", "host.example.net"),
        ],
    );
    let names =
        r#"{"d/x": {"map": {"": {"translate": "example.org.", "ns": ["ns1.example.com."]}}}}"#;
    let world = World::new(names, &[("ns1.example.com", server.address())]);
    let mut plugin = world.plugin(&[]);
    assert_eq!(plugin.ask("x.bit", "i"), "0 93.184.216.34");
    assert_eq!(plugin.ask("www.x.bit", "i"), "0 93.184.216.35");
    assert_eq!(plugin.ask("web.x.bit", "i"), "0 93.184.216.35");
    assert_eq!(plugin.ask("out.x.bit", "i"), "0 host.example.net");
    assert!(
        server
            .asked()
            .iter()
            .all(|asked| asked.ends_with("example.org."))
    );
}

/// What is kept belongs to the id, and ends with the time to live of the records.
#[test]
fn what_was_answered_is_kept() {
    let server = zone();
    let world = World::new(DELEGATED, &[("ns1.example.net", server.address())]);
    let mut plugin = world.plugin(&[]);
    for _ in 0..3 {
        assert_eq!(plugin.ask("example.bit", "i"), "0 93.184.216.34");
        assert!(plugin.ask("none.example.bit", "i").starts_with("3 "));
    }
    assert_eq!(world.targets().len(), 2);
}

#[test]
fn a_name_is_not_followed_without_a_proxy_or_when_the_user_says_so() {
    let server = zone();
    let world = World::new(DELEGATED, &[("ns1.example.net", server.address())]);
    let refused = "3 \"example.bit is delegated to name servers\"";
    let mut off = world.plugin(&["--delegations", "off"]);
    assert_eq!(off.ask("example.bit", "i"), refused);
    let file = world.directory.path().join("names.json");
    let without = [
        "resolve",
        "example.bit",
        "--names-file",
        file.to_str().unwrap(),
    ];
    let outcome = run::with(&without);
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(world.targets().is_empty());
    assert!(server.queries().is_empty());
}

#[test]
fn explain_says_who_was_asked_and_what_was_not_signed() {
    let server = zone();
    let world = World::new(DELEGATED, &[("ns1.example.net", server.address())]);
    let explained = world.explain("example.bit");
    assert_eq!(explained.code, Some(0));
    let text = explained.text();
    for part in [
        "asked ns1.example.net for example.bit",
        "unsigned",
        "taken: 93.184.216.34",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for line in &explained.stdout {
        assert!(line.len() <= 80, "{line}");
    }
}
