//! Names that are ours: what becomes of each, and that none reaches Tor.

use std::net::Ipv6Addr;
use std::thread;

use super::{ONION, onion_value};
use crate::support::node::{Node, Reply, value};
use crate::support::serve::{
    Ask, CONNECT, PROTOCOLS, Protocol, RESOLVE, RESOLVE_PTR, Serve, node, rest,
};
use crate::support::socks::nobody;
use crate::support::tor::{Manner, Tor, echo, reply};

const IP: &str = r#"{"ip":"192.0.2.77"}"#;

/// The code that a client of a protocol gets.
type Code = fn(Protocol) -> u16;

/// Names that fail in every way, and what that is to a client.
const FAILING: [(&str, Code); 6] = [
    ("absent", Protocol::no_such_name),
    ("old", Protocol::no_such_name),
    ("empty", Protocol::no_such_name),
    ("stalled", Protocol::not_now),
    ("warming", Protocol::not_now),
    ("closed", Protocol::not_now),
];

fn failing() -> Node {
    let node = node(&[("d/empty", "{}")]);
    node.script("d/old", [Reply::Recorded("expired")]);
    node.script("d/stalled", [Reply::Hang]);
    node.script("d/warming", [Reply::Recorded("warming up")]);
    node.script("d/closed", [Reply::Close]);
    node
}

/// The commands of a protocol.
fn commands(protocol: Protocol) -> &'static [u8] {
    match protocol {
        Protocol::Socks4 => &[CONNECT, RESOLVE],
        Protocol::Socks5 => &[CONNECT, RESOLVE, RESOLVE_PTR],
        Protocol::Http => &[CONNECT],
    }
}

/// Spellings that mean the name.
fn spellings(name: &str) -> Vec<String> {
    let upper = name.to_uppercase();
    vec![
        format!("{name}.bit"),
        format!("{upper}.BIT"),
        format!("{name}.bIt."),
        format!("www.{name}.bit"),
        format!("{name}.bit.onion"),
        format!("{upper}.Bit.Onion."),
    ]
}

/// Spellings that some program might take for a name in `.bit`, and what is no
/// name at all.
fn malformed(name: &str) -> Vec<String> {
    vec![
        "bit".to_owned(),
        ".bit".to_owned(),
        "BIT.".to_owned(),
        "bit.onion".to_owned(),
        format!("{name}.bit.."),
        format!("{name}..bit"),
        format!("{name}.bit:80"),
        format!("http://{name}.bit/"),
        format!("user@{name}.bit"),
        format!("{name}.bit "),
        format!(" {name}.bit"),
        format!("{name}.bit\0.example.com"),
        format!("{name}.bit\r\nx"),
        format!("{name}.bit\u{3002}"),
        format!("\u{fc}.{name}.bit"),
        format!("{}.bit", "x".repeat(250)),
    ]
}

#[test]
fn no_spelling_of_a_name_reaches_tor_whatever_fails() {
    let (tor, node) = (Tor::leading_to(echo()), failing());
    let serve = Serve::start(&tor, &node, &["--timeout", "2"]);
    thread::scope(|scope| {
        for (name, code) in FAILING {
            for protocol in PROTOCOLS {
                for host in spellings(name) {
                    for &command in commands(protocol) {
                        // Those that wait hold up no other activity.
                        let ask = Ask::new(protocol, &host).command(command).user(name, "");
                        let serve = &serve;
                        scope.spawn(move || {
                            let expected = match command {
                                // A name has no name.
                                RESOLVE_PTR => protocol.no_such_name(),
                                _ => code(protocol),
                            };
                            assert_eq!(serve.ask(&ask).code, expected, "{ask:?}");
                        });
                    }
                }
            }
        }
    });
    for host in malformed("absent") {
        let is_for_http = host
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'/');
        for protocol in PROTOCOLS {
            if protocol == Protocol::Http && !is_for_http
                || host.contains('\0') && protocol == Protocol::Socks4
            {
                continue;
            }
            for &command in commands(protocol) {
                let ask = Ask::new(protocol, &host).command(command);
                assert_eq!(serve.ask(&ask).code, protocol.no_such_name(), "{ask:?}");
            }
        }
    }
    assert!(tor.asked().is_empty(), "{:#?}", tor.asked());
}

#[test]
fn a_dead_source_is_not_known_for_now() {
    let (tor, node) = (Tor::leading_to(echo()), node(&[]));
    let mut arguments = node.arguments(&["--timeout", "0.5", "--proxy"]);
    arguments[1] = nobody().to_string();
    arguments.extend([tor.address(), "--socks-listen".into(), "127.0.0.1:0".into()]);
    let serve = Serve::with(&arguments, 1);
    for protocol in PROTOCOLS {
        assert_eq!(serve.code(protocol, "any.bit"), protocol.not_now());
        // All else goes on.
        assert_eq!(serve.code(protocol, "a.example"), protocol.opened());
    }
    tor.assert_no_bit();
}

/// What passes is retried until the time is up.
#[test]
fn a_name_that_becomes_known_in_time_is_reached() {
    let (tor, node) = (Tor::leading_to(echo()), node(&[]));
    let warming = Reply::Recorded("warming up");
    node.script("d/late", [warming, value(&onion_value())]);
    let serve = Serve::start(&tor, &node, &[]);
    assert_eq!(serve.code(Protocol::Socks5, "late.bit"), 0);
    assert_eq!(tor.asked_for(ONION).len(), 1);
}

#[test]
fn each_verdict_has_its_answer() {
    let tor = Tor::leading_to(echo());
    let node = node(&[
        ("d/onion", &onion_value()),
        ("d/v4", IP),
        ("d/v6", r#"{"ip6":"2001:db8::1"}"#),
        ("d/host", r#"{"alias":"www.example.com."}"#),
    ]);
    let serve = Serve::start(&tor, &node, &[]);
    let host_reply = vec![5, 0, 0, 1, 192, 0, 2, 5, 0, 0];
    let refused = |protocol| match protocol {
        Protocol::Socks4 => vec![0, 91, 0, 0, 0, 0, 0, 0],
        _ => reply(4),
    };
    for protocol in PROTOCOLS {
        for (name, kind, host) in [
            ("onion.bit", 3, ONION),
            ("v4.bit", 1, "192.0.2.77"),
            ("v6.bit", 4, "2001:db8::1"),
            ("host.bit", 3, "www.example.com"),
        ] {
            let before = tor.asked().len();
            let ask = Ask {
                port: 8080,
                ..Ask::new(protocol, name)
            };
            assert_eq!(serve.ask(&ask).code, protocol.opened(), "{name}");
            let asked = &tor.asked()[before..];
            assert_eq!(asked.len(), 1);
            let asked = &asked[0].request;
            assert_eq!((asked.kind, asked.host_text().as_str()), (kind, host));
            assert_eq!((asked.command, asked.port), (CONNECT, 8080));
        }
    }
    tor.on("www.example.com", Manner::Says(host_reply.clone()));
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).octets();
    let v6_answer = [&[5, 0, 0, 4][..], &v6, &[0, 0]].concat();
    for (name, protocol, expected, is_for_tor) in [
        (
            "v4.bit",
            Protocol::Socks5,
            vec![5, 0, 0, 1, 192, 0, 2, 77, 0, 0],
            false,
        ),
        (
            "v4.bit",
            Protocol::Socks4,
            vec![0, 90, 0, 0, 192, 0, 2, 77],
            false,
        ),
        ("v6.bit", Protocol::Socks5, v6_answer, false),
        ("v6.bit", Protocol::Socks4, refused(Protocol::Socks4), false),
        (
            "onion.bit",
            Protocol::Socks5,
            refused(Protocol::Socks5),
            false,
        ),
        (
            "onion.bit",
            Protocol::Socks4,
            refused(Protocol::Socks4),
            false,
        ),
        ("host.bit", Protocol::Socks5, host_reply, true),
        (
            "host.bit",
            Protocol::Socks4,
            vec![0, 90, 0, 0, 192, 0, 2, 5],
            true,
        ),
    ] {
        let before = tor.asked().len();
        let mut stream = serve.connect();
        let ask = Ask::new(protocol, name).command(RESOLVE);
        assert_eq!(ask.on(&mut stream).bytes, expected, "{name} {protocol:?}");
        assert_eq!(rest(&mut stream), b"");
        assert_eq!(
            tor.asked().len() - before,
            usize::from(is_for_tor),
            "{name}"
        );
    }
    tor.assert_no_bit();
}

#[test]
fn onion_services_only_if_so_set_or_so_asked() {
    let tor = Tor::leading_to(echo());
    let node = node(&[("d/onion", &onion_value()), ("d/v4", IP)]);
    let serve = Serve::start(&tor, &node, &[]);
    let only = Serve::start(&tor, &node, &["--only-onion"]);
    for (serve, host, code) in [
        (&serve, "onion.bit.onion", 0),
        (&serve, "v4.bit.onion", 4),
        (&only, "onion.bit", 0),
        (&only, "v4.bit", 4),
    ] {
        assert_eq!(serve.code(Protocol::Socks5, host), code, "{host}");
    }
    assert!(tor.asked_for("192.0.2.77").is_empty());
}

/// A page tells why, in words.
#[test]
fn http_clients_read_the_reason() {
    let (tor, node) = (Tor::start(), failing());
    let serve = Serve::start(&tor, &node, &["--timeout", "1"]);
    for (host, words) in [
        ("absent.bit", "not registered"),
        ("old.bit", "expired"),
        ("warming.bit", "node"),
    ] {
        let reply = serve.ask(&Ask::new(Protocol::Http, host));
        let page = String::from_utf8(reply.bytes).unwrap();
        let (_, text) = page.split_once("\r\n\r\n").unwrap();
        assert!(text.contains(words), "{page}");
    }
}

#[test]
fn a_client_that_leaves_cancels_its_lookup() {
    let (tor, node) = (Tor::leading_to(echo()), node(&[("d/held", &onion_value())]));
    let serve = Serve::start(&tor, &node, &["-vv"]);
    node.hold("d/held");
    for (number, protocol) in PROTOCOLS.into_iter().enumerate() {
        let mut stream = serve.connect();
        let ask = Ask::new(protocol, "held.bit").user(format!("{protocol:?}"), "");
        std::io::Write::write_all(&mut stream, &ask.bytes()).unwrap();
        node.wait_for("d/held", number + 1);
        drop(stream);
        serve.process.complaints("was withdrawn", number + 1);
    }
    node.release("d/held");
    assert_eq!(serve.code(Protocol::Socks5, "held.bit"), 0);
    assert_eq!(tor.asked().len(), 1);
}
