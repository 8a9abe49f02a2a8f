//! Streams between clients and servers, and what Tor may do to them.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use super::{ONION, onion_value};
use crate::support::serve::{Ask, PROTOCOLS, Protocol, Serve, dial, node, rest, take};
use crate::support::socks::nobody;
use crate::support::tor::{Manner, Tor, echo, listen, reply};

/// The door in front of something at an address that should be Tor.
fn in_front_of(tor: &str, more: &[&str]) -> (crate::support::node::Node, Serve) {
    let node = node(&[("d/onion", &onion_value())]);
    let door = ["--socks-listen", "127.0.0.1:0", "--proxy", tor];
    let serve = Serve::with(&node.arguments(&[&door, more].concat()), 1);
    (node, serve)
}

#[test]
fn each_direction_ends_on_its_own() {
    let (said, heard) = channel();
    // It ends its half before it listens.
    let first = listen(move |mut stream| {
        stream.write_all(b"goodbye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        said.send(rest).unwrap();
    });
    let tor = Tor::start();
    tor.on("echo.example", Manner::Leads(echo()));
    tor.on("first.example", Manner::Leads(first));
    let (_node, serve) = in_front_of(&tor.address(), &[]);
    for protocol in PROTOCOLS {
        let mut stream = serve.connect();
        assert_eq!(
            Ask::new(protocol, "echo.example").on(&mut stream).code,
            protocol.opened()
        );
        stream.write_all(b"all of it").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut stream), b"all of it");

        let mut stream = serve.connect();
        assert_eq!(
            Ask::new(protocol, "first.example").on(&mut stream).code,
            protocol.opened()
        );
        assert_eq!(rest(&mut stream), b"goodbye");
        stream.write_all(b"heard").unwrap();
        drop(stream);
        assert_eq!(
            heard.recv_timeout(crate::support::PATIENCE).unwrap(),
            b"heard"
        );
    }
}

#[test]
fn much_goes_both_ways_at_once_unchanged() {
    const SIZE: usize = 8 << 20;
    let tor = Tor::leading_to(echo());
    let (_node, serve) = in_front_of(&tor.address(), &[]);
    let data: Vec<u8> = (0..SIZE).map(|at| (at / 253) as u8 ^ at as u8).collect();
    for host in ["a.example", "onion.bit"] {
        let mut stream = serve.connect();
        assert_eq!(Ask::new(Protocol::Socks5, host).on(&mut stream).code, 0);
        let mut sender = stream.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                sender.write_all(&data).unwrap();
                sender.shutdown(Shutdown::Write).unwrap();
            });
            assert!(rest(&mut stream) == data);
        });
    }
}

/// Tor's replies to SOCKS5 clients arrive byte for byte.
#[test]
fn tors_replies_are_passed_on() {
    let tor = Tor::start();
    let (_node, serve) = in_front_of(&tor.address(), &[]);
    for code in (1..=8).chain(0xF0..=0xF7) {
        tor.on("a.example", Manner::Says(reply(code)));
        tor.on(ONION, Manner::Says(reply(code)));
        for host in ["a.example", "onion.bit"] {
            let ask = |protocol| serve.ask(&Ask::new(protocol, host));
            assert_eq!(ask(Protocol::Socks5).bytes, reply(code));
            assert_eq!(ask(Protocol::Socks4).bytes, [0, 91, 0, 0, 0, 0, 0, 0]);
            let status = match code {
                4 => 404,
                6 => 504,
                _ => 502,
            };
            assert_eq!(ask(Protocol::Http).code, status);
        }
    }
    let address = [&[5, 2, 0, 4][..], &[7; 18]].concat();
    tor.on("a.example", Manner::Says(address.clone()));
    let ask = Ask::new(Protocol::Socks5, "a.example");
    assert_eq!(serve.ask(&ask).bytes, address);
    // Behind much early data, too.
    let mut stream = serve.connect();
    tor.on("a.example", Manner::Says(reply(5)));
    assert_eq!(ask.on_with(&mut stream, &[b'x'; 100_000]).bytes, reply(5));
}

/// What stands where Tor should, and cannot serve.
fn useless() -> Vec<(&'static str, String)> {
    let at = |treat: fn(TcpStream)| listen(treat).to_string();
    vec![
        ("nobody", nobody().to_string()),
        ("no socket", "unix:/nonexistent/socks".to_owned()),
        ("closes", at(drop)),
        (
            "speaks HTTP",
            at(|stream| speak(stream, &[b"HTTP/1.1 400 Bad Request\r\n\r\n"])),
        ),
        ("takes no method", at(|stream| speak(stream, &[&[5, 0xFF]]))),
        (
            "refuses credentials",
            at(|stream| speak(stream, &[&[5, 2], &[1, 1]])),
        ),
        (
            "closes after the request",
            at(|stream| speak(stream, &[&[5, 2], &[1, 0], &[]])),
        ),
        (
            "closes within the reply",
            at(|stream| speak(stream, &[&[5, 2], &[1, 0], &[5, 0, 0, 1, 1]])),
        ),
        (
            "replies nonsense",
            at(|stream| speak(stream, &[&[5, 2], &[1, 0], b"nonsense"])),
        ),
    ]
}

/// Says each of these after something was read, and closes.
fn speak(mut stream: TcpStream, words: &[&[u8]]) {
    for words in words {
        let mut bytes = [0; 1024];
        if !matches!(stream.read(&mut bytes), Ok(1..)) || stream.write_all(words).is_err() {
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn a_tor_that_is_none_is_reported_to_clients_and_once_on_stderr() {
    thread::scope(|scope| {
        for (what, tor) in useless() {
            scope.spawn(move || {
                let (_node, serve) = in_front_of(&tor, &[]);
                for protocol in PROTOCOLS {
                    for host in ["a.example", "onion.bit"] {
                        let ask = Ask::new(protocol, host).user("alice", "one");
                        assert_eq!(serve.ask(&ask).code, protocol.no_tor(), "{what}");
                        // Names that fail do so without Tor.
                        let none = Ask::new(protocol, "none.bit");
                        assert_eq!(serve.ask(&none).code, protocol.no_such_name());
                    }
                }
                let said = serve.process.said_on_stderr();
                let warnings = said.iter().filter(|line| line.contains("warning: "));
                assert_eq!(warnings.count(), 1, "{what}: {said:#?}");
            });
        }
    });
}

#[test]
fn a_tor_that_comes_back_is_used_again() {
    // A Unix socket, whose place can be taken by another Tor.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tor");
    let (_node, serve) = in_front_of(&format!("unix:{}", path.display()), &[]);
    assert_eq!(serve.code(Protocol::Socks5, "onion.bit"), 1);
    let tor = Tor::on_unix(&path);
    tor.on(ONION, Manner::Leads(echo()));
    let mut stream = serve.connect();
    assert_eq!(
        Ask::new(Protocol::Socks5, "onion.bit").on(&mut stream).code,
        0
    );
    stream.write_all(b"ping").unwrap();
    assert_eq!(take(&mut stream, 4), b"ping");
}

#[test]
fn a_stream_ends_when_tor_breaks_it_and_others_go_on() {
    let tor = Tor::leading_to(echo());
    tor.on("breaks.example", Manner::Breaks(b"half of"));
    let (_node, serve) = in_front_of(&tor.address(), &[]);
    let mut other = serve.connect();
    assert_eq!(
        Ask::new(Protocol::Socks5, "a.example").on(&mut other).code,
        0
    );
    for protocol in PROTOCOLS {
        let mut stream = serve.connect();
        assert_eq!(
            Ask::new(protocol, "breaks.example").on(&mut stream).code,
            protocol.opened()
        );
        assert_eq!(rest(&mut stream), b"half of");
    }
    other.write_all(b"ping").unwrap();
    assert_eq!(take(&mut other, 4), b"ping");
}

/// A client that gives up while Tor builds a circuit ends Tor's work.
#[test]
fn a_client_that_leaves_takes_its_request_back() {
    let tor = Tor::start();
    tor.on("stalls.example", Manner::Stalls);
    let (_node, serve) = in_front_of(&tor.address(), &[]);
    let mut stream = serve.connect();
    stream
        .write_all(&Ask::new(Protocol::Socks5, "stalls.example").bytes())
        .unwrap();
    tor.wait("the request", |asked| asked.len() == 1);
    drop(stream);
    tor.wait("its end", |asked| asked[0].closed);
}

/// Tor has 30 seconds to accept a request.
#[test]
fn a_tor_that_stalls_is_given_up() {
    let stalls = |words: &'static [&'static [u8]]| -> SocketAddr {
        listen(move |mut stream| {
            for words in words {
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(words);
            }
            let _ = stream.read_to_end(&mut Vec::new());
        })
    };
    thread::scope(|scope| {
        for tor in [stalls(&[]), stalls(&[&[5]]), stalls(&[&[5, 2]])] {
            scope.spawn(move || {
                let (_node, serve) = in_front_of(&tor.to_string(), &[]);
                let begun = Instant::now();
                let ask = Ask::new(Protocol::Socks5, "onion.bit").user("alice", "one");
                let mut stream = dial(serve.address());
                assert_eq!(ask.on(&mut stream).code, 1);
                assert!(begun.elapsed().as_secs() >= 29);
            });
        }
    });
}
