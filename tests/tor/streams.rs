//! What becomes of each stream.

use super::{Door, ONION};
use crate::support::node::Reply;
use crate::support::serve::node;
use crate::support::tor_control::stream::{End, Stream, Wish, attached, closed};
use crate::support::tor_control::{ModelTor, When};

fn answered(address: &str) -> End {
    End::Answered(address.to_owned())
}

#[test]
fn each_answer_has_its_target_and_each_failure_its_reason() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    let onion = format!("{ONION}:80");
    let missing = closed("RESOLVEFAILED", 4);
    for (host, connect, resolve) in [
        ("ip.bit", attached("192.0.2.1:80"), answered("192.0.2.1")),
        (
            "six.bit",
            attached("2001:db8::1:80"),
            answered("2001:db8::1"),
        ),
        ("both.bit", attached("192.0.2.5:80"), answered("192.0.2.5")),
        ("onion.bit", attached(&onion), missing.clone()),
        (
            "alias.bit",
            attached("www.example.com:80"),
            attached("www.example.com:80"),
        ),
        ("missing.bit", missing.clone(), missing.clone()),
        ("empty.bit", missing.clone(), missing.clone()),
        ("onion.bit.onion", attached(&onion), missing.clone()),
        ("ip.bit.onion", missing.clone(), missing.clone()),
    ] {
        let stream = tor.stream(Stream::connect(host, 80));
        assert_eq!(stream.end(), connect, "{host}");
        assert_eq!(tor.stream(Stream::resolve(host)).end(), resolve, "{host}");
    }
    for (stream, end) in [
        (Stream::http("ip.bit", 443), attached("192.0.2.1:443")),
        (Stream::socks4("ip.bit", 80), attached("192.0.2.1:80")),
        (Stream::unix("ip.bit", 80), attached("192.0.2.1:80")),
        (
            Stream::http("missing.bit", 80),
            closed("RESOLVEFAILED", 503),
        ),
        (
            Stream::socks4("missing.bit", 80),
            closed("RESOLVEFAILED", 91),
        ),
        (Stream::dns("ip.bit", Wish::A), answered("192.0.2.1")),
        (Stream::dns("six.bit", Wish::Aaaa), answered("2001:db8::1")),
        (
            Stream::dns("missing.bit", Wish::A),
            closed("RESOLVEFAILED", 2),
        ),
        (
            Stream::dns("onion.bit", Wish::A),
            closed("RESOLVEFAILED", 2),
        ),
    ] {
        assert_eq!(tor.stream(stream.clone()).end(), end, "{stream:?}");
    }
}

/// The redirection is sent first, and its reply is awaited.
#[test]
fn a_stream_is_attached_after_it_was_redirected() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    let stream = tor.stream(Stream::connect("ip.bit", 80));
    assert_eq!(stream.end(), attached("192.0.2.1:80"));
    assert_eq!(tor.done_to(stream.id), ["REDIRECT 192.0.2.1", "ATTACH 0"]);
    let stream = tor.stream(Stream::connect("www.example.com", 80));
    assert_eq!(stream.end(), attached("www.example.com:80"));
    assert_eq!(tor.done_to(stream.id), ["ATTACH 0"]);
    let stream = tor.stream(Stream::connect("missing.bit", 80));
    assert_eq!(stream.end(), closed("RESOLVEFAILED", 4));
    assert_eq!(tor.done_to(stream.id), ["CLOSE 2"]);
}

/// What is not ours is attached as it is.
#[test]
fn all_other_streams_are_attached_as_they_are() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    for host in [
        "www.example.com",
        "WWW.Example.com",
        "example.com.",
        "a_b.example",
        "bit.example",
        "orbit",
        "x.bit.example",
        "127.0.0.1.example",
        "192.0.2.1",
        "2001:db8::7",
        "a",
        ONION,
    ] {
        let stream = tor.stream(Stream::connect(host, 8080));
        assert_eq!(stream.end(), attached(&format!("{host}:8080")));
        assert_eq!(tor.done_to(stream.id), ["ATTACH 0"], "{host}");
    }
    let question = tor.stream(Stream::dns("1.2.0.192.in-addr.arpa", Wish::A));
    assert_eq!(question.end(), attached("1.2.0.192.in-addr.arpa:0"));
    // What Tor refuses, it closes by itself.
    for (host, reason) in [("localhost", "PRIVATE_ADDR"), ("a.exit", "TORPROTOCOL")] {
        let stream = tor.stream(Stream::connect(host, 80));
        assert_eq!(stream.end(), closed(reason, 1));
        assert_eq!(tor.done_to(stream.id), ["ATTACH 0"], "{host}");
    }
}

/// Names that wait, or fail, delay nobody else.
#[test]
fn ordinary_streams_are_attached_at_once_while_names_stall() {
    let tor = ModelTor::start();
    let node = node(&[("d/good", r#"{"ip":"192.0.2.9"}"#)]);
    for number in 0..50 {
        node.script(&format!("d/bad{number}"), [Reply::Hang]);
    }
    let _door = Door::with_node(&tor, &node, &["--timeout", "60"]);
    let stalled: Vec<_> = (0..50)
        .map(|number| {
            let stream = Stream::connect(format!("bad{number}.bit"), 80);
            tor.stream(stream.user(format!("user{number}"), ""))
        })
        .collect();
    node.wait_for("d/bad0", 1);
    let ordinary = tor.streams((0..200).map(|_| Stream::connect("www.example.com", 80)));
    for stream in &ordinary {
        assert_eq!(stream.end(), attached("www.example.com:80"));
    }
    let good = tor.stream(Stream::connect("good.bit", 80).user("good", ""));
    assert_eq!(good.end(), attached("192.0.2.9:80"));
    for stream in &stalled {
        assert!(stream.waits(), "{:?}", stream.ends());
    }
}

/// Hundreds at once take a few round trips, not hundreds.
#[test]
fn many_streams_share_batches() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    let before = tor.batches();
    let streams = tor.streams((0..300).map(|_| Stream::connect("www.example.com", 80)));
    for stream in &streams {
        assert_eq!(stream.end(), attached("www.example.com:80"));
    }
    let batches = tor.batches() - before;
    assert!(batches < 60, "{batches}");
    let names = tor.streams((0..300).map(|_| Stream::connect("ip.bit", 80)));
    for stream in &names {
        assert_eq!(stream.end(), attached("192.0.2.1:80"));
    }
}

/// What is not known for now is retried, and refused in the end.
#[test]
fn what_may_pass_is_retried_within_the_time_limit() {
    let tor = ModelTor::start();
    let node = node(&[]);
    node.script(
        "d/late",
        [
            Reply::Recorded("warming up"),
            crate::support::node::value(r#"{"ip":"192.0.2.9"}"#),
        ],
    );
    node.script("d/never", [Reply::Recorded("warming up")]);
    let _door = Door::with_node(&tor, &node, &["--timeout", "3"]);
    let late = tor.stream(Stream::connect("late.bit", 80));
    let never = tor.stream(Stream::connect("never.bit", 80).user("b", ""));
    let question = tor.stream(Stream::dns("never.bit", Wish::A));
    assert_eq!(late.end(), attached("192.0.2.9:80"));
    assert_eq!(never.end(), closed("TIMEOUT", 6));
    assert_eq!(tor.done_to(never.id), ["CLOSE 7"]);
    assert_eq!(question.end(), closed("TIMEOUT", 2));
}

/// Whatever Tor replies, the name is not attached, and others are served.
#[test]
fn a_redirection_that_fails_is_never_attached() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    for reply in [
        "552 Unknown stream \"17\"",
        "512 Cannot parse port \"x\"",
        "512 Bad arguments to REDIRECTSTREAM: Need at least 2 argument(s)",
        "510 Unrecognized command \"REDIRECTSTREAM\"",
        "551 Unable to do it",
        "555 Connection is not managed by controller.",
    ] {
        tor.when(
            &format!("REDIRECTSTREAM {}", tor.next_id()),
            When::Replies(reply),
        );
        let stream = tor.stream(Stream::connect("ip.bit", 80));
        tor.wait_for(&format!("REDIRECTSTREAM {}", stream.id), 1);
        let next = tor.stream(Stream::connect("x.bit", 80));
        assert_eq!(next.end(), attached("192.0.2.3:80"), "{reply}");
        let done = tor.done_to(stream.id);
        assert!(
            !done.iter().any(|one| one.starts_with("ATTACH")),
            "{reply}: {done:?}"
        );
        stream.client_closes();
    }
}

/// A client that closes its connection between any two commands.
#[test]
fn a_client_that_leaves_at_any_moment_stops_nobody() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    for host in ["ip.bit", "missing.bit", "www.example.com"] {
        for (command, passing) in [
            ("ATTACHSTREAM", 0),
            ("REDIRECTSTREAM", 0),
            ("ATTACHSTREAM", 1),
            ("CLOSESTREAM", 0),
        ] {
            let command = format!("{command} {}", tor.next_id());
            for _ in 0..passing {
                tor.when(&command, When::Writes(Vec::new()));
            }
            tor.when(&command, When::ClientLeaves);
            let stream = tor.stream(Stream::connect(host, 80));
            let next = tor.stream(Stream::connect("x.bit", 80));
            assert_eq!(next.end(), attached("192.0.2.3:80"));
            // Some combinations do not occur.
            stream.end();
            tor.forget_plans();
        }
    }
}

/// What Tor refuses is left to Tor, which closes it.
#[test]
fn a_stream_that_cannot_be_attached_stops_nobody() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    for (reply, host) in [
        ("551 Unable to attach stream", "ip.bit"),
        ("552 Unknown stream \"17\"", "ip.bit"),
        ("555 Connection is not managed by controller.", "ip.bit"),
        ("551 Unable to attach stream", "www.example.com"),
    ] {
        let command = format!("ATTACHSTREAM {} 0", tor.next_id());
        tor.when(&command, When::Replies(reply));
        let stream = tor.stream(Stream::connect(host, 80));
        tor.wait_for(&command, 1);
        let next = tor.stream(Stream::connect("x.bit", 80));
        assert_eq!(next.end(), attached("192.0.2.3:80"), "{reply}");
        stream.client_closes();
    }
}

/// A lookup that nobody waits for any more is withdrawn.
#[test]
fn a_client_that_leaves_cancels_its_lookup() {
    let tor = ModelTor::start();
    let node = node(&[("d/held", r#"{"ip":"192.0.2.9"}"#)]);
    node.hold("d/held");
    let door = Door::with_node(&tor, &node, &["-vv"]);
    let leaving = tor.stream(Stream::connect("held.bit", 80).user("a", ""));
    let staying = tor.stream(Stream::connect("held.bit", 80).user("b", ""));
    node.wait_for("d/held", 2);
    leaving.client_closes();
    door.process.complaints("was withdrawn", 1);
    node.release("d/held");
    assert_eq!(staying.end(), attached("192.0.2.9:80"));
    assert_eq!(tor.done_to(leaving.id), Vec::<String>::new());
    assert_eq!(door.said("was withdrawn"), 1);
}

/// A stream whose circuit fails waits again, and is attached again as it is by now.
#[test]
fn a_stream_that_waits_again_is_attached_again() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    for (host, target) in [
        ("www.example.com", "www.example.com:80"),
        ("ip.bit", "192.0.2.1:80"),
        ("onion.bit", &format!("{ONION}:80")),
    ] {
        let stream = tor.stream(Stream::connect(host, 80));
        assert_eq!(stream.end(), attached(target));
        for times in 2..4 {
            stream.circuit_fails();
            assert_eq!(stream.ends_after(times), vec![attached(target); times]);
        }
    }
}
