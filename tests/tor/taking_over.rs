//! Taking over Tor's streams, and keeping them.

use super::Door;
use crate::support::node::Reply;
use crate::support::serve::{Protocol, Serve, node};
use crate::support::tor::{Tor, echo};
use crate::support::tor_control::auth::Auth;
use crate::support::tor_control::stream::{End, Stream, Wish, attached, closed};
use crate::support::tor_control::{ModelTor, Rival, When};

#[test]
fn the_option_is_set_without_a_line_in_torrc() {
    let tor = ModelTor::start();
    assert!(!tor.leaves_streams());
    let alone = tor.stream(Stream::connect("www.example.com", 80));
    assert_eq!(alone.end(), End::Alone("www.example.com:80".to_owned()));
    let door = Door::start(&tor);
    assert!(tor.leaves_streams());
    let next = tor.stream(Stream::connect("www.example.com", 80));
    assert_eq!(next.end(), attached("www.example.com:80"));
    // That of before is attached already, which is nobody's fault.
    assert_eq!(door.said("another controller"), 0);
    assert_eq!(tor.count("SETCONF __LeaveStreamsUnattached=1"), 1);
    for forbidden in ["TAKEOWNERSHIP", "SAVECONF", "MAPADDRESS", "QUIT"] {
        assert_eq!(tor.count(forbidden), 0);
    }
}

#[test]
fn a_unix_socket_is_as_good_as_a_port() {
    let directory = tempfile::tempdir().unwrap();
    let address = format!("unix:{}", directory.path().join("control").display());
    let tor = ModelTor::at(&address, Auth::default());
    let mut door = Door::start(&tor);
    let stream = tor.stream(Stream::connect("ip.bit", 80));
    assert_eq!(stream.end(), attached("192.0.2.1:80"));
    door.process.signal("TERM");
    assert_eq!(door.process.wait().code(), Some(0));
    assert!(!tor.leaves_streams());
}

/// The SOCKS door and this one, in one process.
#[test]
fn both_doors_are_open_in_one_process() {
    let tor = ModelTor::start();
    let upstream = Tor::leading_to(echo());
    let node = node(&[("d/ip", r#"{"ip":"192.0.2.1"}"#)]);
    let upstream_address = upstream.address();
    let arguments = node.arguments(&[
        "--socks-listen",
        "127.0.0.1:0",
        "--proxy",
        &upstream_address,
        "--tor-control",
        tor.address(),
    ]);
    let mut serve = Serve::with(&arguments, 1);
    tor.wait_until_taken_over();
    assert_eq!(serve.code(Protocol::Socks5, "ip.bit"), 0);
    let stream = tor.stream(Stream::connect("ip.bit", 80));
    assert_eq!(stream.end(), attached("192.0.2.1:80"));
    // The doors share no ids.
    assert_eq!(node.count("d/ip"), 2);
    assert_eq!(upstream.asked_for("192.0.2.1").len(), 1);
    serve.process.signal("TERM");
    assert_eq!(serve.process.wait().code(), Some(0));
    assert!(!tor.leaves_streams());
}

/// Debian's logrotate reloads Tor every day.
#[test]
fn the_option_is_set_again_after_a_reload() {
    let tor = ModelTor::start();
    let node = node(&[
        ("d/held", r#"{"ip":"192.0.2.8"}"#),
        ("d/ip", r#"{"ip":"192.0.2.1"}"#),
    ]);
    let _door = Door::with_node(&tor, &node, &[]);
    node.hold("d/held");
    let waiting = tor.stream(Stream::connect("held.bit", 80));
    node.wait_for("d/held", 1);
    for _ in 0..3 {
        tor.reload();
        tor.wait_until_left(true);
        let stream = tor.stream(Stream::connect("ip.bit", 80).user("other", ""));
        assert_eq!(stream.end(), attached("192.0.2.1:80"));
    }
    assert!(waiting.waits());
    node.release("d/held");
    assert_eq!(waiting.end(), attached("192.0.2.8:80"));
    assert_eq!(tor.count("SETCONF __LeaveStreamsUnattached=1"), 4);
}

/// Nothing is known of the streams that wait already but where they go, so no two
/// of them share an id.
#[test]
fn streams_that_wait_already_are_served() {
    let tor = ModelTor::start();
    tor.set_leave("1");
    let site = node(&[("d/site", r#"{"ip":"192.0.2.6"}"#)]);
    let ordinary = tor.stream(Stream::connect("www.example.com", 80));
    let ours = tor.stream(Stream::connect("site.bit", 80).user("alice", "1"));
    let too = tor.stream(Stream::connect("site.bit", 80).user("alice", "1"));
    let question = tor.stream(Stream::resolve("site.bit"));
    let missing = tor.stream(Stream::connect("missing.bit", 80));
    let hostile = tor.stream(Stream::http("a\"b.bit", 80));
    let _door = Door::with_node(&tor, &site, &[]);
    assert_eq!(ordinary.end(), attached("www.example.com:80"));
    assert_eq!(ours.end(), attached("192.0.2.6:80"));
    assert_eq!(too.end(), attached("192.0.2.6:80"));
    assert_eq!(question.end(), End::Answered("192.0.2.6".to_owned()));
    assert_eq!(missing.end(), closed("RESOLVEFAILED", 4));
    assert!(matches!(hostile.end(), End::Closed(..)));
    let mut ids = site.streams("d/site");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "{ids:?}");

    // Streams of Tor's own wait for nobody, and neither do those that it attached.
    let later = tor.stream(Stream::connect("site.bit", 80).user("alice", "1"));
    assert_eq!(later.end(), attached("192.0.2.6:80"));
    assert_eq!(site.count("d/site"), 4);
}

/// A list of streams with a forged line in it says nothing of the stream that the
/// line is about.
#[test]
fn waiting_streams_are_served_in_spite_of_forged_lines_in_the_list() {
    let tor = ModelTor::start();
    tor.set_leave("1");
    let victims = tor.streams([
        Stream::connect("bank.bit", 80),
        Stream::connect("www.example.com", 80),
    ]);
    let mut attackers = Vec::new();
    for victim in &victims {
        for line in [
            format!("{} NEW 0 evil.bit:80", victim.id),
            format!("{} SENTCONNECT 9 evil.bit:80", victim.id),
            format!("{} NEWRESOLVE 0 evil.bit", victim.id),
            ".\r\n250 OK\r\n250+stream-status=".to_owned(),
        ] {
            let host = format!("a:1\r\n{line}");
            attackers.push(tor.stream(Stream::dns(host, Wish::A)));
        }
    }
    let _door = Door::start(&tor);
    for attacker in &attackers {
        assert!(
            matches!(attacker.end(), End::Closed(..)),
            "{:?}",
            attacker.ends()
        );
    }
    assert_eq!(victims[0].end(), attached("192.0.2.2:80"));
    assert_eq!(victims[1].end(), attached("www.example.com:80"));
    assert_eq!(
        tor.done_to(victims[0].id),
        ["REDIRECT 192.0.2.2", "ATTACH 0"]
    );
    assert_eq!(tor.done_to(victims[1].id), ["ATTACH 0"]);
}

/// Another controller that attaches names of ours is reported once.
#[test]
fn another_controller_that_attaches_streams_is_reported_once() {
    let tor = ModelTor::start();
    let door = Door::start(&tor);
    for _ in 0..3 {
        let command = format!("ATTACHSTREAM {} 0", tor.next_id());
        tor.when(&command, When::AnotherAttaches);
        let stream = tor.stream(Stream::connect("ip.bit", 80));
        tor.wait_for(&command, 1);
        assert_eq!(stream.end(), End::Alone("192.0.2.1:80".to_owned()));
        let next = tor.stream(Stream::connect("ip.bit", 80));
        assert_eq!(next.end(), attached("192.0.2.1:80"));
    }
    // Ordinary streams may have any controller.
    let command = format!("ATTACHSTREAM {} 0", tor.next_id());
    tor.when(&command, When::AnotherAttaches);
    let stream = tor.stream(Stream::connect("www.example.com", 80));
    assert_eq!(stream.end(), End::Alone("www.example.com:80".to_owned()));
    door.process.complaint("another controller of Tor at");
    assert_eq!(door.said("another controller of Tor at"), 1);
}

/// Two of this program get in each other's way, and into nobody else's. One that
/// leaves has the other take over again.
#[test]
fn two_of_this_program_serve_one_tor() {
    let tor = ModelTor::start();
    let mut first = Door::start(&tor);
    let second = Door::begin(&[&tor], &[]);
    second.is_in_charge_of(&tor);
    tor.wait_for("GETINFO stream-status", 2);
    let all_arrive = || {
        for (host, target) in [
            ("ip.bit", "192.0.2.1:80"),
            ("www.example.com", "www.example.com:80"),
        ] {
            for stream in tor.streams((0..30).map(|_| Stream::connect(host, 80))) {
                assert_eq!(stream.end(), attached(target));
            }
        }
    };
    all_arrive();
    first.process.signal("TERM");
    first.process.wait();
    tor.wait_until_left(true);
    all_arrive();
}

/// One that only watches is none.
#[test]
fn a_controller_that_watches_is_not_reported() {
    let tor = ModelTor::start();
    let door = Door::start(&tor);
    let _rival = Rival::to(&tor, "STREAM SIGNAL");
    let stream = tor.stream(Stream::connect("ip.bit", 80));
    assert_eq!(stream.end(), attached("192.0.2.1:80"));
    // A client that leaves in time is none, either.
    let command = format!("ATTACHSTREAM {} 0", tor.next_id());
    tor.when(&command, When::ClientLeaves);
    let leaving = tor.stream(Stream::connect("www.example.com", 80));
    assert_eq!(leaving.end(), End::Left);
    let stream = tor.stream(Stream::connect("ip.bit", 80));
    assert_eq!(stream.end(), attached("192.0.2.1:80"));
    assert_eq!(door.said("another controller"), 0);
}

/// Whatever is asked, and however it fails: no name, id, credential or answer.
#[test]
fn the_log_has_no_names_ids_or_credentials() {
    let tor = ModelTor::start();
    let node = node(&[
        ("d/hush", r#"{"ip":"192.0.2.77"}"#),
        ("d/hush-six", r#"{"ip6":"2001:db8::77"}"#),
    ]);
    node.script("d/hush-refused", [Reply::Error(-1, "d/hush-refused: no")]);
    let mut door = Door::with_node(&tor, &node, &["-vv", "--timeout", "1"]);
    let mut streams = Vec::new();
    for host in [
        "hush.bit",
        "hush-six.bit",
        "hush-none.bit",
        "hush-refused.bit",
        "hush .bit",
        "www.hush.example",
        "a\r\n650 STREAM 1 NEW 0 hush.bit:80",
        "a\r\n250 hush",
    ] {
        for stream in [
            Stream::connect(host, 80),
            Stream::http(host, 80),
            Stream::resolve(host),
            Stream::dns(host, Wish::A),
        ] {
            let stream = stream.user("secret-user", "secret-password");
            streams.push(tor.stream(stream.from("127.0.0.77:1")));
        }
    }
    for stream in &streams {
        stream.end();
    }
    tor.newnym();
    tor.reload();
    tor.wait_until_left(true);
    tor.stop();
    door.process.complaint("cannot be used");
    let ids = node.requests().into_iter().filter_map(|one| one.stream);
    let ids: Vec<_> = ids.collect();
    assert!(!ids.is_empty());
    door.process.signal("TERM");
    door.process.wait();
    let said = door.process.all_complaints();
    assert!(said.len() > 10, "{said:#?}");
    for line in &said {
        let line = line.to_ascii_lowercase();
        for private in ["hush", "secret", "127.0.0.77", "192.0.2.77", "2001:db8"] {
            assert!(!line.contains(private), "{private}: {line}");
        }
        for id in &ids {
            assert!(!line.contains(id), "{line}");
        }
    }
}
