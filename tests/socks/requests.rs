//! Requests of every protocol, and what Tor is asked for them.

use std::io::Write;
use std::net::Ipv6Addr;

use super::{ONION, onion_value};
use crate::support::serve::{
    Ask, CONNECT, PROTOCOLS, Protocol, RESOLVE, RESOLVE_PTR, Serve, node, rest, take,
};
use crate::support::tor::{Manner, Tor, echo, reply};

/// A reply with an IPv6 address.
fn v6_reply() -> Vec<u8> {
    [&[5, 0, 0, 4][..], &Ipv6Addr::LOCALHOST.octets(), &[0, 0]].concat()
}

/// A reply with a name.
fn name_reply() -> Vec<u8> {
    [&[5, 0, 0, 3, 11][..], b"example.com", &[0, 0]].concat()
}

#[test]
fn what_is_not_ours_goes_to_tor_byte_for_byte() {
    let (tor, node) = (Tor::leading_to(echo()), node(&[]));
    let serve = Serve::start(&tor, &node, &[]);
    let long = "x".repeat(255);
    let any: Vec<u8> = (1..=255).filter(|byte| *byte != b'.').collect();
    let mut hosts: Vec<&[u8]> = vec![b"www.example.com", b"A.EXAMPLE.", ONION.as_bytes()];
    hosts.extend([long.as_bytes(), b"rabbit", b"bit.example"]);
    for protocol in PROTOCOLS {
        for &host in &hosts {
            let mut stream = serve.connect();
            let reply = Ask::new(protocol, host).on(&mut stream);
            assert_eq!(reply.code, protocol.opened());
            stream.write_all(b"ping").unwrap();
            assert_eq!(take(&mut stream, 4), b"ping");
            let asked = tor.asked().pop().unwrap().request;
            assert_eq!((asked.command, asked.kind), (CONNECT, 3));
            assert_eq!((asked.host.as_slice(), asked.port), (host, 80));
        }
    }
    // SOCKS can carry any byte but, in version 4, NUL.
    for (protocol, host) in [
        (Protocol::Socks4, any.as_slice()),
        (Protocol::Socks5, &any),
        (Protocol::Socks5, b"a\0b\r\nc d"),
        (Protocol::Socks5, b""),
    ] {
        assert_eq!(serve.ask(&Ask::new(protocol, host)).code, protocol.opened());
        assert_eq!(tor.asked().pop().unwrap().request.host, host);
    }
    let user: Vec<u8> = (0..=254).collect();
    let password = b"\r\n\0 \xff".to_vec();
    let ask = Ask::new(Protocol::Socks5, "a.example").user(&user, &password);
    assert_eq!(serve.ask(&ask).code, 0);
    let seen = tor.asked().pop().unwrap().request.credentials;
    assert_eq!(seen, Some((user, password)));
}

#[test]
fn addresses_stay_addresses() {
    let (tor, node) = (Tor::leading_to(echo()), node(&[]));
    let serve = Serve::start(&tor, &node, &[]);
    let v6 = [
        &[5, 1, 0, 5, 1, 0, 4][..],
        &Ipv6Addr::LOCALHOST.octets(),
        &[0, 80],
    ]
    .concat();
    for (bytes, kind, host, said) in [
        (&b"\x04\x01\0\x50\xc0\0\x02\x09\0"[..], 1, "192.0.2.9", 8),
        (
            b"\x05\x01\0\x05\x01\0\x01\xc0\0\x02\x09\0\x50",
            1,
            "192.0.2.9",
            12,
        ),
        (&v6, 4, "::1", 12),
        (b"CONNECT 192.0.2.9:80 HTTP/1.1\r\n\r\n", 1, "192.0.2.9", 19),
        (b"CONNECT [::1]:80 HTTP/1.0\r\n\r\n", 4, "::1", 19),
    ] {
        let mut stream = serve.connect();
        stream.write_all(bytes).unwrap();
        take(&mut stream, said);
        let asked = tor.asked().pop().unwrap().request;
        assert_eq!((asked.kind, asked.host_text().as_str()), (kind, host));
        assert_eq!(asked.port, 80);
    }
}

/// RESOLVE and RESOLVE_PTR are Tor's, and so are its answers.
#[test]
fn resolve_goes_to_tor() {
    let (tor, node) = (Tor::start(), node(&[]));
    let serve = Serve::start(&tor, &node, &[]);
    let v4_reply = vec![5, 0, 0, 1, 192, 0, 2, 9, 0, 0];
    tor.on("v4.example", Manner::Says(v4_reply.clone()));
    tor.on("v6.example", Manner::Says(v6_reply()));
    tor.on("192.0.2.9", Manner::Says(name_reply()));
    for (ask, expected) in [
        (
            Ask::new(Protocol::Socks5, "v4.example").command(RESOLVE),
            v4_reply,
        ),
        (
            Ask::new(Protocol::Socks5, "v6.example").command(RESOLVE),
            v6_reply(),
        ),
        (
            Ask::new(Protocol::Socks5, "192.0.2.9").command(RESOLVE_PTR),
            name_reply(),
        ),
        (
            Ask::new(Protocol::Socks4, "v4.example").command(RESOLVE),
            vec![0, 90, 0, 0, 192, 0, 2, 9],
        ),
        // SOCKS4 has no room for it.
        (
            Ask::new(Protocol::Socks4, "v6.example").command(RESOLVE),
            vec![0, 91, 0, 0, 0, 0, 0, 0],
        ),
    ] {
        let mut stream = serve.connect();
        assert_eq!(ask.on(&mut stream).bytes, expected, "{ask:?}");
        assert_eq!(rest(&mut stream), b"", "an answer is all there is");
        let asked = tor.asked().pop().unwrap().request;
        assert_eq!((asked.command, asked.port), (ask.command, ask.port));
    }
}

/// Optimistic data reaches Tor before Tor's reply, and comes back behind it.
#[test]
fn early_data_is_forwarded_at_once() {
    let (tor, node) = (Tor::start(), node(&[("d/onion", &onion_value())]));
    let early = b"GET / HTTP/1.0\r\n\r\n";
    for host in ["a.example", ONION] {
        tor.on(host, Manner::LeadsAfter(early.len(), echo()));
    }
    let serve = Serve::start(&tor, &node, &[]);
    for protocol in PROTOCOLS {
        for host in ["a.example", "onion.bit"] {
            // While the name is looked up, too.
            let lookups = node.count("d/onion");
            node.hold("d/onion");
            let mut stream = serve.connect();
            let ask = Ask::new(protocol, host);
            let reply = std::thread::scope(|scope| {
                let reply = scope.spawn(|| ask.on_with(&mut stream, early));
                if host == "onion.bit" {
                    node.wait_for("d/onion", lookups + 1);
                }
                node.release("d/onion");
                reply.join().unwrap()
            });
            assert_eq!(reply.code, protocol.opened());
            assert_eq!(tor.asked().pop().unwrap().early, early);
            assert_eq!(take(&mut stream, early.len()), early);
        }
    }
}

/// A client that can show credentials is asked for them.
#[test]
fn the_method_of_authentication_is_chosen() {
    let (tor, node) = (Tor::start(), node(&[]));
    let serve = Serve::start(&tor, &node, &[]);
    for (offer, chosen) in [
        (&[5, 1, 0][..], 0),
        (&[5, 1, 2], 2),
        (&[5, 2, 0, 2], 2),
        (&[5, 3, 2, 1, 0], 2),
        (&[5, 1, 1], 0xFF),
        (&[5, 2, 1, 0x80], 0xFF),
        (&[5, 0], 0xFF),
    ] {
        let mut stream = serve.connect();
        stream.write_all(offer).unwrap();
        assert_eq!(take(&mut stream, 2), [5, chosen], "{offer:?}");
        if chosen == 0xFF {
            assert_eq!(rest(&mut stream), b"");
        }
    }
}

/// What is no request that can be served gets the refusal of its protocol.
#[test]
fn other_requests_are_refused() {
    let (tor, node) = (Tor::start(), node(&[]));
    let serve = Serve::start(&tor, &node, &[]);
    let socks4 = |command: u8| vec![4, command, 0, 80, 192, 0, 2, 9, 0];
    let socks5 = |request: &[u8]| [&[5, 1, 0][..], request].concat();
    let refused4 = vec![0, 91, 0, 0, 0, 0, 0, 0];
    let refused5 = |code: u8| [&[5, 0][..], &reply(code)].concat();
    let at = [1, 192, 0, 2, 9, 0, 80];
    for (bytes, answer) in [
        (socks4(2), refused4.clone()),
        (socks4(0xF1), refused4.clone()),
        (socks4(0), refused4),
        (socks5(&[&[5, 2, 0][..], &at].concat()), refused5(7)),
        (socks5(&[&[5, 3, 0][..], &at].concat()), refused5(7)),
        (socks5(&[&[5, 0xF2, 0][..], &at].concat()), refused5(7)),
        (socks5(&[5, 1, 0, 2, 0, 0]), refused5(8)),
        (socks5(&[4, 1, 0, 1, 0, 0]), refused5(1)),
        // A wrong version of the authentication.
        (vec![5, 1, 2, 5, 0, 0], vec![5, 2, 1, 1]),
    ] {
        let mut stream = serve.connect();
        stream.write_all(&bytes).unwrap();
        assert_eq!(rest(&mut stream), answer, "{bytes:?}");
    }
    for (head, status) in [
        ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "200 OK"),
        ("GET /favicon.ico HTTP/1.0\r\n\r\n", "200 OK"),
        ("GET http://a.bit/ HTTP/1.1\r\n\r\n", "405 "),
        ("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody", "405 "),
        ("OPTIONS * HTTP/1.1\r\n\r\n", "405 "),
        ("connect a.example:80 HTTP/1.1\r\n\r\n", "405 "),
        ("CONNECT a.example HTTP/1.1\r\n\r\n", "400 "),
        ("CONNECT a.example: HTTP/1.1\r\n\r\n", "400 "),
        ("CONNECT a.example:http HTTP/1.1\r\n\r\n", "400 "),
        ("CONNECT a.example:+80 HTTP/1.1\r\n\r\n", "400 "),
        ("CONNECT a.example:65536 HTTP/1.1\r\n\r\n", "400 "),
        ("CONNECT :80 HTTP/1.1\r\n\r\n", "400 "),
        ("CONNECT ::1:80 HTTP/1.1\r\n\r\n", "400 "),
        ("CONNECT [127.0.0.1]:80 HTTP/1.1\r\n\r\n", "400 "),
        ("CONNECT / HTTP/1.1\r\n\r\n", "400 "),
        ("CONNECT a.example:80\r\n\r\n", "400 "),
        ("SSH-2.0-OpenSSH_9.2p1\r\n", "400 "),
        ("\x16\x03\x01\x02\0\x01", "400 "),
    ] {
        let mut stream = serve.connect();
        stream.write_all(head.as_bytes()).unwrap();
        let page = String::from_utf8(rest(&mut stream)).unwrap();
        assert!(
            page.starts_with(&format!("HTTP/1.0 {status}")),
            "{head}: {page}"
        );
        assert!(page.contains("\r\nContent-Type: text/plain"), "{page}");
        assert_eq!(page.contains("\r\nAllow: CONNECT\r\n"), status == "405 ");
    }
    assert!(tor.asked().is_empty());
}
