//! How connections end, and what is said about it.

use std::sync::mpsc;
use std::thread;

use super::peer::answer_to;
use super::*;

#[test]
fn what_breaks_the_protocol_ends_the_connection_for_all() {
    let deep = "[".repeat(1 << 20) + "\n";
    let cases: [&[u8]; 7] = [
        b"\xff\xfe\x00junk\n",
        b"{\"id\":99,\"result\":1}\n",
        b"{\"id\":0,\"result\":1}\n",
        b"[{\"id\":1,\"result\":1},{\"id\":2,\"result\":1}]\n",
        b"{\"id\":null,\"error\":{\"code\":-32700,\"message\":\"invalid JSON\"}}\n",
        b"\n",
        deep.as_bytes(),
    ];
    for bytes in cases {
        let peer = saying(bytes.to_vec());
        let connection = connect(&peer);
        let errors: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..3)
                .map(|_| scope.spawn(|| call(&connection).unwrap_err()))
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(
            matches!(errors[0], CallError::Protocol(_)) && errors[0].is_fatal(),
            "{errors:?}"
        );
        assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
        assert!(!connection.is_alive());
        assert_eq!(connection.drain(), Err(errors[0]));
    }
}

#[test]
fn a_reply_without_end_is_cut_off() {
    let peer = Peer::start(|guest| {
        guest.greet()?;
        guest.hear()?;
        guest.say("{\"id\":1,\"result\":\"")?;
        loop {
            guest.say([b'x'; 1 << 16])?;
        }
    });
    let connection = connect(&peer);
    assert_eq!(
        call(&connection).unwrap_err(),
        CallError::Protocol("a line that is too long")
    );
    assert!(connection.received() < 5 << 20);
}

#[test]
fn long_replies_come_whole() {
    let text = "y".repeat(3 << 20);
    let peer = saying(format!("{{\"id\":1,\"result\":\"{text}\"}}\n").into_bytes());
    assert_eq!(
        result(call(&connect(&peer)).unwrap()),
        format!("\"{text}\"")
    );
}

#[test]
fn replies_that_came_before_the_end_are_not_lost() {
    let peer = Peer::start(|guest| {
        guest.greet()?;
        let (first, second) = (guest.hear()?, guest.hear()?);
        guest.say(answer_to(&first) + &answer_to(&second) + "junk\n")
    });
    let connection = connect(&peer);
    let mut sent = connection.send(&requests(2)).unwrap();
    let (second, first) = (sent.pop().unwrap(), sent.pop().unwrap());
    assert_eq!(receive(&connection, second).unwrap(), "[1]");
    assert_eq!(receive(&connection, first).unwrap(), "[0]");
    assert!(call(&connection).is_err());
}

#[test]
fn closing_ends_all_waiting() {
    let (heard, was_heard) = mpsc::channel();
    let peer = Peer::start(move |guest| {
        guest.greet()?;
        guest.hear()?;
        guest.hear()?;
        let _ = heard.send(());
        guest.hear_out()
    });
    let connection = connect(&peer);
    thread::scope(|scope| {
        let waiting = [
            scope.spawn(|| call(&connection).unwrap_err()),
            scope.spawn(|| call(&connection).unwrap_err()),
        ];
        was_heard.recv_timeout(PATIENCE).unwrap();
        connection.close();
        for thread in waiting {
            assert_eq!(thread.join().unwrap(), CallError::Closed);
        }
    });
}

#[test]
fn a_server_that_does_not_read_is_given_up() {
    let peer = Peer::start(|guest| {
        guest.greet()?;
        thread::park_timeout(PATIENCE);
        Ok(())
    });
    let connection = connect(&peer);
    let begun = Instant::now();
    let huge = Request::new("x", format!("[\"{}\"]", "z".repeat(32 << 20)));
    let error = connection.send(&[huge]).unwrap_err();
    assert_eq!(error, CallError::Lost(std::io::ErrorKind::TimedOut));
    assert!(begun.elapsed() < PATIENCE / 2);
    assert!(!connection.is_alive());
}

#[test]
fn requests_that_are_never_answered_are_bounded() {
    let peer = Peer::start(|guest| {
        guest.greet()?;
        guest.hear_out()
    });
    let connection = connect(&peer);
    let error = (0..2000).find_map(|_| connection.ping().err());
    assert_eq!(error, Some(CallError::Unanswered));
    assert!(!connection.is_alive());
}

#[test]
fn nothing_that_was_asked_or_answered_shows_in_messages() {
    let secret = "d/secret";
    let shown = |texts: &[String]| {
        for text in texts {
            assert!(!text.contains("secret"), "{text}");
        }
    };
    let refusing = saying(
        format!("{{\"id\":1,\"error\":{{\"code\":1,\"message\":\"no such {secret}\"}}}}\n").into(),
    );
    let request = || Request::new("x", format!("[\"{secret}\"]"));
    let connection = connect(&refusing);
    let sent = connection.send(&[request()]).unwrap().remove(0);
    shown(&[format!("{sent:?} {:?} {connection:?}", request())]);
    let reply = connection.receive(sent, soon(), &Cancel::new()).unwrap();
    shown(&[format!("{reply:?}")]);
    let Reply::Error(error) = reply else {
        panic!("{reply:?}");
    };
    assert!(error.message.contains(secret), "for comparing");
    shown(&[format!("{error:?}"), error.to_string()]);
    let telling = saying(format!("{{\"id\":1,\"result\":\"{secret}\"}}\n").into());
    shown(&[format!("{:?}", call(&connect(&telling)).unwrap())]);
    for junk in [
        format!("{secret}\n"),
        format!("{{\"id\":\"{secret}\",\"result\":1}}\n"),
        format!("{{\"id\":1,\"error\":\"{secret}\"}}\n"),
    ] {
        let error = call(&connect(&saying(junk.into()))).unwrap_err();
        shown(&[format!("{error:?}"), error.to_string()]);
    }
}

/// Servers begin long lines on connections that nobody waits on, and never end
/// them.
#[test]
fn lines_that_nobody_waits_for_take_no_memory_from_others() {
    const PART: u64 = 3 << 20;
    let hoarding = Peer::start(|guest| {
        guest.greet()?;
        guest.say("{\"id\":1,\"result\":\"")?;
        guest.say(vec![b'x'; PART as usize])?;
        guest.hear_out()
    });
    let honest = Peer::echo(None);
    let dialer = direct();
    let cancel = Cancel::new();
    let dial = |peer: &Peer, purpose| {
        let server = local(peer.address, false);
        dialer.dial(&server, purpose, soon(), &cancel).unwrap()
    };
    let hoards: Vec<Connection> = (0..20).map(|_| dial(&hoarding, Purpose::Lookups)).collect();
    for hoard in &hoards {
        // As the pool does when it pings.
        while hoard.drain().is_ok() && hoard.received() < PART {}
    }
    let long = Request::new("x", format!("[\"{}\"]", "y".repeat(1 << 20)));
    for purpose in [Purpose::Lookups, Purpose::Headers] {
        let connection = dial(&honest, purpose);
        let reply = connection.call(long.clone(), soon(), &cancel);
        assert!(reply.is_ok(), "{purpose:?}: {reply:?}");
    }
    assert!(hoards.iter().all(|hoard| !hoard.is_alive()));
}

/// Connections for lookups can take no memory from those for headers.
#[test]
fn headers_have_memory_of_their_own() {
    let hoarding = Peer::start(|guest| {
        guest.greet()?;
        guest.hear()?;
        guest.say("{\"id\":1,\"result\":\"")?;
        guest.say(vec![b'x'; 3 << 20])?;
        guest.hear_out()
    });
    let honest = Peer::echo(None);
    let dialer = direct();
    let cancel = Cancel::new();
    let dial = |peer: &Peer, purpose| {
        let server = local(peer.address, false);
        dialer.dial(&server, purpose, soon(), &cancel).unwrap()
    };
    let hoards: Vec<_> = (0..20)
        .map(|_| {
            let connection = dial(&hoarding, Purpose::Lookups);
            let sent = connection.send(&requests(1)).unwrap();
            while connection.drain().is_ok() && connection.received() < 3 << 20 {}
            (connection, sent)
        })
        .collect();
    assert!(hoards.iter().any(|(connection, _)| !connection.is_alive()));
    let long = Request::new("x", format!("[\"{}\"]", "y".repeat(1 << 20)));
    let connection = dial(&honest, Purpose::Headers);
    assert!(connection.call(long, soon(), &cancel).is_ok());
}

/// Nobody has subscribed to anything on a connection for lookups.
#[test]
fn news_that_nobody_asked_for_takes_no_memory_from_others() {
    let telling = Peer::start(|guest| {
        guest.greet()?;
        let request = guest.hear()?;
        guest.say("{\"method\":\"blockchain.headers.subscribe\",\"params\":[\"")?;
        guest.say("z".repeat(3 << 20))?;
        guest.say("\"]}\n")?;
        guest.answer(&request)?;
        guest.hear_out()
    });
    let dialer = direct();
    let cancel = Cancel::new();
    let server = local(telling.address, false);
    let connections: Vec<_> = (0..30)
        .map(|_| {
            let connection = dialer.dial(&server, Purpose::Lookups, soon(), &cancel);
            let connection = connection.unwrap();
            assert!(call(&connection).is_ok());
            connection
        })
        .collect();
    assert!(connections.iter().all(|one| one.news().is_none()));
}
