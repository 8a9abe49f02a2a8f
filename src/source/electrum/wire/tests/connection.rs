//! Requests and replies on one connection, how it ends, and what is reported.

use std::sync::Barrier;
use std::sync::mpsc::{self, RecvTimeoutError};

use super::*;

const TIP: &str = "{\"jsonrpc\":\"2.0\",\"method\":\"blockchain.headers.subscribe\",\
                   \"params\":[{\"height\":HEIGHT}]}\n";

fn tip(height: u32) -> String {
    TIP.replace("HEIGHT", &height.to_string())
}

fn send_one(connection: &Connection) -> SentRequest {
    connection.send(&requests(1)).unwrap().remove(0)
}

/// Eight threads that each wait for a reply at all times, and get it after the
/// others have sent their requests.
fn share(connection: &Connection) {
    const ROUNDS: usize = 50;
    thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let number = thread * ROUNDS + round;
                    let reply = connection.call(request(number), soon(), &Cancel::new());
                    assert_eq!(result(reply.unwrap()), format!("[{number}]"));
                }
            });
        }
    });
}

/// A server that hears eight requests before it answers, the last one first.
fn holding(tls: Option<Arc<rustls::ServerConfig>>) -> Peer {
    Peer::start_with(tls, |guest| {
        guest.greet()?;
        loop {
            let mut replies = Vec::new();
            for _ in 0..8 {
                replies.push(answer_to(&guest.hear()?));
            }
            // In pieces that are no lines.
            let text: String = replies.into_iter().rev().collect();
            for piece in text.as_bytes().chunks(100) {
                guest.say(piece)?;
            }
        }
    })
}

#[test]
fn eight_threads_share_a_connection() {
    for tls in [None, Some(tls::self_signed(&[&rustls::version::TLS13]).0)] {
        share(&connect_for(&direct(), &holding(tls), Purpose::Headers));
    }
}

#[test]
fn whoever_reads_hands_over_when_its_time_is_up() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let peer = Peer::start(move |guest| {
        guest.greet()?;
        guest.hear()?;
        let second = guest.hear()?;
        // The first is never answered, the second when the first gave up.
        let _ = gone.lock().unwrap().recv_timeout(PATIENCE);
        guest.answer(&second)?;
        guest.hear_out()
    });
    let connection = connect(&peer);
    let mut sent = connection.send(&requests(2)).unwrap();
    let (second, first) = (sent.pop().unwrap(), sent.pop().unwrap());
    let both = Barrier::new(2);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            both.wait();
            receive(&connection, second)
        });
        both.wait();
        let deadline = Instant::now() + Duration::from_millis(200);
        let error = connection
            .receive(first, deadline, &Cancel::new())
            .unwrap_err();
        assert_eq!(error, CallError::TimedOut { is_silent: true });
        assert!(!error.is_fatal());
        go.send(()).unwrap();
        assert_eq!(waiting.join().unwrap().unwrap(), "[1]");
    });
    assert!(connection.is_alive());
}

#[test]
fn a_time_out_says_whether_anything_came() {
    let (said, was_said) = mpsc::channel();
    let peer = Peer::start(move |guest| {
        guest.greet()?;
        let first = guest.hear()?;
        guest.say(tip(1))?;
        let _ = said.send(());
        // Late, and of no interest.
        let second = guest.hear()?;
        guest.answer(&first)?;
        guest.answer(&second)?;
        guest.hear_out()
    });
    let connection = connect(&peer);
    let sent = send_one(&connection);
    was_said.recv_timeout(PATIENCE).unwrap();
    let deadline = Instant::now() + Duration::from_millis(200);
    let error = connection.receive(sent, deadline, &Cancel::new());
    assert_eq!(error.unwrap_err(), CallError::TimedOut { is_silent: false });
    assert_eq!(
        result(call(&connection).unwrap()),
        "[0]",
        "the late reply was discarded"
    );
}

#[test]
fn a_flag_ends_the_waiting_and_not_the_connection() {
    let (heard, was_heard) = mpsc::channel();
    let peer = Peer::start(move |guest| {
        guest.greet()?;
        guest.hear()?;
        guest.hear()?;
        let _ = heard.send(());
        let third = guest.hear()?;
        guest.answer(&third)?;
        guest.hear_out()
    });
    let connection = connect(&peer);
    let cancel = Cancel::new();
    thread::scope(|scope| {
        // One of the two reads, the other waits for it.
        let sent = send_one(&connection);
        let receiving = scope.spawn(|| connection.receive(sent, soon(), &cancel).unwrap_err());
        let second = send_one(&connection);
        let waiting = scope.spawn(|| connection.receive(second, soon(), &cancel).unwrap_err());
        was_heard.recv_timeout(PATIENCE).unwrap();
        cancel.set();
        assert_eq!(receiving.join().unwrap(), CallError::Cancelled);
        assert_eq!(waiting.join().unwrap(), CallError::Cancelled);
    });
    assert_eq!(result(call(&connection).unwrap()), "[0]");
}

#[test]
fn dropped_requests_leave_nothing_behind() {
    let peer = Peer::start(|guest| {
        guest.greet()?;
        let heard = [guest.hear()?, guest.hear()?, guest.hear()?];
        for request in &heard {
            guest.answer(request)?;
        }
        guest.hear()?;
        // Once more, although it was discarded long ago.
        guest.answer(&heard[0])?;
        guest.hear_out()
    });
    let connection = connect(&peer);
    let mut sent = connection.send(&requests(3)).unwrap();
    // One before its reply comes, one after.
    let (third, second) = (sent.pop().unwrap(), sent.pop().unwrap());
    drop(sent);
    assert_eq!(receive(&connection, third).unwrap(), "[2]");
    drop(second);
    assert_eq!(
        call(&connection).unwrap_err(),
        CallError::Protocol("a reply to a request that was not made")
    );
}

#[test]
fn a_request_is_good_on_its_own_connection_only() {
    let peer = Peer::echo(None);
    let (one, other) = (connect(&peer), connect(&peer));
    let sent = send_one(&one);
    other.send(&requests(1)).unwrap();
    assert_eq!(receive(&other, sent), Err(CallError::Foreign));
    assert!(one.is_alive() && other.is_alive());
}

#[test]
fn the_newest_notification_is_kept() {
    let peer = Peer::start(|guest| {
        guest.greet()?;
        let request = guest.hear()?;
        guest.say("{\"method\":\"blockchain.scripthash.subscribe\",\"params\":[\"a\",null]}\n")?;
        guest.say(tip(1))?;
        guest.say(tip(2))?;
        guest.answer(&request)?;
        guest.hear()?;
        guest.say(tip(3))?;
        guest.hear_out()
    });
    let connection = connect_for(&direct(), &peer, Purpose::Headers);
    let newest = || {
        let params = connection.news();
        params.map(|params| params.get().to_owned())
    };
    assert_eq!(newest(), None);
    call(&connection).unwrap();
    assert_eq!(newest().unwrap(), r#"[{"height":2}]"#);
    assert_eq!(newest(), None, "taken once");
    connection.ping().unwrap();
    let deadline = soon();
    let third = loop {
        if let Some(third) = newest() {
            break third;
        }
        connection.drain().unwrap();
        assert!(Instant::now() < deadline, "it never came");
    };
    assert_eq!(third, r#"[{"height":3}]"#);
}

/// Drains until something is so.
fn drain_until(connection: &Connection, is_so: impl Fn(Result<(), CallError>) -> bool) {
    let deadline = soon();
    while !is_so(connection.drain()) {
        assert!(Instant::now() < deadline, "it never came");
    }
}

#[test]
fn pings_are_sent_without_waiting_and_their_replies_drained() {
    let (end, ended) = mpsc::channel::<()>();
    let ended = Mutex::new(ended);
    let peer = Peer::start(move |guest| {
        guest.greet()?;
        for _ in 0..3 {
            let ping = guest.hear()?;
            assert_eq!(ping["method"], "server.ping");
            guest.answer(&ping)?;
        }
        let over = ended.lock().unwrap().recv_timeout(PATIENCE);
        assert_ne!(over, Err(RecvTimeoutError::Timeout));
        Ok(())
    });
    let connection = connect(&peer);
    connection.drain().unwrap();
    let before = connection.received();
    for _ in 0..3 {
        connection.ping().unwrap();
    }
    let reply = "{\"jsonrpc\": \"2.0\", \"result\": [], \"id\": 1}\n".len();
    let all = before + 3 * u64::try_from(reply).unwrap();
    drain_until(&connection, |result| {
        result.unwrap();
        connection.received() == all
    });
    assert!(connection.is_alive());
    end.send(()).unwrap();
    drain_until(&connection, |result| result == Err(CallError::Closed));
    assert!(!connection.is_alive());
    assert_eq!(connection.ping(), Err(CallError::Closed));
}

#[test]
fn whoever_writes_does_not_wait_for_whoever_reads() {
    for tls in [None, Some(tls::self_signed(&[&rustls::version::TLS13]).0)] {
        let peer = Peer::start_with(tls, |guest| {
            guest.greet()?;
            let first = guest.hear()?;
            // The first is answered after the second was heard.
            let second = guest.hear()?;
            guest.answer(&second)?;
            guest.answer(&first)?;
            guest.hear_out()
        });
        let connection = connect_for(&direct(), &peer, Purpose::Headers);
        let sent = send_one(&connection);
        thread::scope(|scope| {
            let reading = scope.spawn(|| receive(&connection, sent));
            assert_eq!(result(call(&connection).unwrap()), "[0]");
            assert_eq!(reading.join().unwrap().unwrap(), "[0]");
        });
    }
}

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
    let replying = saying(format!("{{\"id\":1,\"result\":\"{secret}\"}}\n").into());
    shown(&[format!("{:?}", call(&connect(&replying)).unwrap())]);
    for junk in [
        format!("{secret}\n"),
        format!("{{\"id\":\"{secret}\",\"result\":1}}\n"),
        format!("{{\"id\":1,\"error\":\"{secret}\"}}\n"),
    ] {
        let error = call(&connect(&saying(junk.into()))).unwrap_err();
        shown(&[format!("{error:?}"), error.to_string()]);
    }
}

/// Twenty connections to a server that begins a long line and never ends it: after
/// a request, whose reply is then awaited, or unasked.
fn hoards(dialer: &Dialer, is_asked: bool) -> Vec<(Connection, Option<Vec<SentRequest>>)> {
    const PART: usize = 3 << 20;
    let hoarding = Peer::start(move |guest| {
        guest.greet()?;
        if is_asked {
            guest.hear()?;
        }
        guest.say("{\"id\":1,\"result\":\"")?;
        guest.say(vec![b'x'; PART])?;
        guest.hear_out()
    });
    let open = |_| {
        let connection = connect_for(dialer, &hoarding, Purpose::Lookups);
        let sent = is_asked.then(|| connection.send(&requests(1)).unwrap());
        // As the pool does when it pings.
        while connection.drain().is_ok() && connection.received() < PART as u64 {}
        (connection, sent)
    };
    (0..20).map(open).collect()
}

/// A long reply comes on a connection for this purpose.
fn takes_a_long_reply(dialer: &Dialer, purpose: Purpose) {
    let long = Request::new("x", format!("[\"{}\"]", "y".repeat(1 << 20)));
    let connection = connect_for(dialer, &Peer::echo(None), purpose);
    let reply = connection.call(long, soon(), &Cancel::new());
    assert!(reply.is_ok(), "{purpose:?}: {reply:?}");
}

#[test]
fn lines_that_nobody_waits_for_take_no_memory_from_others() {
    let dialer = direct();
    let hoards = hoards(&dialer, false);
    takes_a_long_reply(&dialer, Purpose::Lookups);
    takes_a_long_reply(&dialer, Purpose::Headers);
    assert!(hoards.iter().all(|(hoard, _)| !hoard.is_alive()));
}

#[test]
fn connections_for_lookups_take_no_memory_from_those_for_headers() {
    let dialer = direct();
    let hoards = hoards(&dialer, true);
    assert!(hoards.iter().any(|(hoard, _)| !hoard.is_alive()));
    takes_a_long_reply(&dialer, Purpose::Headers);
}

/// Nobody has subscribed to anything on a connection for lookups.
#[test]
fn notifications_that_nobody_asked_for_take_no_memory_from_others() {
    let notifying = Peer::start(|guest| {
        guest.greet()?;
        let request = guest.hear()?;
        guest.say("{\"method\":\"blockchain.headers.subscribe\",\"params\":[\"")?;
        guest.say("z".repeat(3 << 20))?;
        guest.say("\"]}\n")?;
        guest.answer(&request)?;
        guest.hear_out()
    });
    let dialer = direct();
    let connections = [(); 30].map(|()| connect_for(&dialer, &notifying, Purpose::Lookups));
    for connection in &connections {
        assert!(call(connection).is_ok() && connection.news().is_none());
    }
}
