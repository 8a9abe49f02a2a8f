//! Requests and replies on one connection.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Barrier, Mutex};
use std::thread;

use super::peer::answer_to;
use super::*;

const TIP: &str = "{\"jsonrpc\":\"2.0\",\"method\":\"blockchain.headers.subscribe\",\
                   \"params\":[{\"height\":HEIGHT}]}\n";

fn tip(height: u32) -> String {
    TIP.replace("HEIGHT", &height.to_string())
}

#[test]
fn requests_are_pipelined_and_replies_come_in_any_order() {
    let peer = Peer::start(|guest| {
        guest.greet()?;
        // Nothing is answered before all was heard.
        let mut replies = Vec::new();
        for _ in 0..5 {
            replies.push(answer_to(&guest.hear()?));
        }
        guest.say(tip(1))?;
        for reply in replies.iter().rev() {
            guest.say(reply)?;
        }
        guest.hear_out()
    });
    let connection = connect(&peer);
    let sent = connection.send(&requests(5)).unwrap();
    for (number, sent) in sent.into_iter().enumerate() {
        assert_eq!(receive(&connection, sent).unwrap(), format!("[{number}]"));
    }
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
    let peer = holding(None);
    share(&connect(&peer));
}

#[test]
fn eight_threads_share_a_connection_under_tls() {
    let peer = holding(Some(tls::self_signed(&[&rustls::version::TLS13]).0));
    let dialer = direct();
    let server = local(peer.address, true);
    let connection = dialer
        .dial(&server, Purpose::Headers, soon(), &Cancel::new())
        .unwrap();
    share(&connection);
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
fn a_time_out_tells_whether_anything_came() {
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
    let sent = connection.send(&requests(1)).unwrap().remove(0);
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
        let sent = connection.send(&requests(1)).unwrap().remove(0);
        let receiving = scope.spawn(|| connection.receive(sent, soon(), &cancel).unwrap_err());
        let second = connection.send(&requests(1)).unwrap().remove(0);
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
    let sent = one.send(&requests(1)).unwrap().remove(0);
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
    let server = local(peer.address, false);
    let dialled = direct().dial(&server, Purpose::Headers, soon(), &Cancel::new());
    let connection = dialled.unwrap();
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
        let is_tls = tls.is_some();
        let peer = Peer::start_with(tls, |guest| {
            guest.greet()?;
            let first = guest.hear()?;
            // The first is answered after the second was heard.
            let second = guest.hear()?;
            guest.answer(&second)?;
            guest.answer(&first)?;
            guest.hear_out()
        });
        let target = local(peer.address, is_tls);
        let connection = direct()
            .dial(&target, Purpose::Headers, soon(), &Cancel::new())
            .unwrap();
        let sent = connection.send(&requests(1)).unwrap().remove(0);
        thread::scope(|scope| {
            let reading = scope.spawn(|| receive(&connection, sent));
            assert_eq!(result(call(&connection).unwrap()), "[0]");
            assert_eq!(reading.join().unwrap().unwrap(), "[0]");
        });
    }
}
