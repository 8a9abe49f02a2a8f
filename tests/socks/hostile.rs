//! Clients that mean harm, or know no better. The door serves on.

use std::io::Write;
use std::net::Shutdown;
use std::thread;

use rand::RngExt;

use super::onion_value;
use crate::support::serve::{Ask, PROTOCOLS, Protocol, RESOLVE_PTR, Serve, node, rest, take};
use crate::support::tor::{Tor, echo};

/// A door that must still serve when the test is done with it.
struct Attacked {
    tor: Tor,
    _node: crate::support::node::Node,
    serve: Serve,
}

fn attacked() -> Attacked {
    let tor = Tor::leading_to(echo());
    let node = node(&[("d/onion", &onion_value())]);
    let serve = Serve::start(&tor, &node, &[]);
    Attacked {
        tor,
        _node: node,
        serve,
    }
}

impl Attacked {
    fn must_serve(self) {
        for protocol in PROTOCOLS {
            assert_eq!(self.serve.code(protocol, "onion.bit"), protocol.opened());
            assert_eq!(
                self.serve.code(protocol, "none.bit"),
                protocol.no_such_name()
            );
        }
        self.tor.assert_no_bit();
        let said = self.serve.process.said_on_stderr();
        assert!(!said.iter().any(|line| line.contains("bug")), "{said:#?}");
    }
}

/// Valid requests of every protocol.
fn requests() -> Vec<Ask> {
    let mut all = Vec::new();
    for host in ["onion.bit", "a.example"] {
        for protocol in PROTOCOLS {
            all.push(Ask::new(protocol, host));
            all.push(Ask::new(protocol, host).user("alice", "one"));
        }
        all.push(Ask::new(Protocol::Socks5, host).command(RESOLVE_PTR));
    }
    all
}

#[test]
fn a_request_may_be_cut_anywhere() {
    let door = attacked();
    for ask in requests() {
        let bytes = ask.bytes();
        for end in 0..bytes.len() {
            let mut stream = door.serve.connect();
            stream.write_all(&bytes[..end]).unwrap();
            if end % 2 == 0 {
                drop(stream);
                continue;
            }
            // Whoever only ends its half reads no more than what was negotiated.
            stream.shutdown(Shutdown::Write).unwrap();
            assert!(rest(&mut stream).len() <= 4);
        }
    }
    door.must_serve();
}

/// Nothing depends on how a request is cut, nor on whether its parts wait for
/// replies.
#[test]
fn a_request_may_come_byte_by_byte_or_at_once() {
    let door = attacked();
    for ask in requests() {
        let mut at_once = door.serve.connect();
        at_once.write_all(&ask.bytes()).unwrap();
        let mut slowly = door.serve.connect();
        slowly.set_nodelay(true).unwrap();
        for byte in ask.bytes() {
            slowly.write_all(&[byte]).unwrap();
            thread::yield_now();
        }
        let expected = door.serve.ask(&ask);
        assert_eq!(ask.replies(&mut at_once), expected, "{ask:?}");
        assert_eq!(ask.replies(&mut slowly), expected, "{ask:?}");
    }
    door.must_serve();
}

#[test]
fn fields_have_255_bytes_at_most() {
    let door = attacked();
    let longest = "x".repeat(255);
    let ask = Ask::new(Protocol::Socks5, &longest).user(&longest, &longest);
    assert_eq!(door.serve.ask(&ask).code, 0);
    let ask = Ask::new(Protocol::Socks4, &longest).user(&longest, "");
    assert_eq!(door.serve.ask(&ask).code, 90);
    assert_eq!(door.serve.code(Protocol::Http, &longest), 200);
    let too_long = "x".repeat(256);
    for ask in [
        Ask::new(Protocol::Socks4, "a").user(&too_long, ""),
        Ask::new(Protocol::Socks4, &too_long),
        Ask::new(Protocol::Socks4, format!("{too_long}.bit")),
    ] {
        assert_eq!(door.serve.ask(&ask).code, 91);
    }
    for host in [too_long.clone(), format!("{too_long}.bit")] {
        assert_eq!(door.serve.code(Protocol::Http, &host), 400);
    }
    // Without an end.
    for bytes in [vec![b'x'; 300], [b"u\0".to_vec(), vec![b'x'; 300]].concat()] {
        let mut stream = door.serve.connect();
        stream.write_all(&[4, 1, 0, 80, 0, 0, 0, 1]).unwrap();
        stream.write_all(&bytes).unwrap();
        assert_eq!(take(&mut stream, 8)[1], 91);
    }
    door.must_serve();
}

#[test]
fn the_head_of_an_http_request_has_its_limits() {
    let door = attacked();
    let status = |head: &[u8]| {
        let mut stream = door.serve.connect();
        // It may be refused before all of it is sent.
        let _ = stream.write_all(head);
        Ask::new(Protocol::Http, "").reply(&mut stream).code
    };
    let head = |fields: usize, size: usize| {
        let mut head = b"CONNECT a.example:80 HTTP/1.1\r\n".to_vec();
        for number in 0..fields {
            head.extend(format!("F{number}: {}\r\n", "x".repeat(size)).as_bytes());
        }
        head.extend(b"\r\n");
        head
    };
    assert_eq!(status(&head(64, 10)), 200);
    assert_eq!(status(&head(65, 10)), 431);
    assert_eq!(status(&head(500, 10)), 431);
    assert_eq!(status(&head(10, 1500)), 200);
    assert_eq!(status(&head(1, 17_000)), 431);
    assert_eq!(status(&head(20, 100_000)), 431);
    // Without an end, and without a line.
    assert_eq!(status(&[b'x'; 17_000]), 431);
    assert_eq!(
        status(&[b"GET /".to_vec(), vec![b'x'; 200_000]].concat()),
        431
    );
    // Names of ours in every place that is not the host.
    assert_eq!(
        status(b"CONNECT a.example:80 HTTP/1.1\r\nHost: a.bit\r\n\r\n"),
        200
    );
    for head in [
        &b"CONNECT a.bit\r\nHost: b:80 HTTP/1.1\r\n\r\n"[..],
        b"CONNECT a.bit HTTP/1.1\r\nHost: b.example:80\r\n\r\n",
        b"CONNECT a.bit\0:80 HTTP/1.1\r\n\r\n",
        b"CONNECT a.bit:80 HTTP/1.1\r\nProxy-Authorization: a\0b\r\n\r\n",
    ] {
        assert_eq!(status(head), 400, "{}", head.escape_ascii());
    }
    door.must_serve();
}

#[test]
fn garbage_is_refused_and_does_no_harm() {
    let door = attacked();
    let mut random = rand::rng();
    for round in 0..300 {
        let mut bytes: Vec<u8> = (0..random.random_range(1..400))
            .map(|_| random.random())
            .collect();
        match round % 4 {
            0 => bytes[0] = 4,
            1 => bytes[0] = 5,
            _ => {}
        }
        let mut stream = door.serve.connect();
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        rest(&mut stream);
    }
    door.must_serve();
}
