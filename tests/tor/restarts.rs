//! Tors that are not there yet, end, start again, or are none.

use std::io::Write;
use std::net::TcpListener;
use std::thread;

use super::Door;
use crate::support::serve::node;
use crate::support::socks::nobody;
use crate::support::tor_control::auth::Auth;
use crate::support::tor_control::stream::{End, Stream, attached};
use crate::support::tor_control::{ModelTor, When};

fn unix(directory: &tempfile::TempDir, name: &str) -> String {
    format!("unix:{}", directory.path().join(name).display())
}

#[test]
fn a_tor_that_is_not_there_yet_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    for address in [unix(&directory, "control"), nobody().to_string()] {
        let tor = ModelTor::absent(&address, Auth::default());
        let door = Door::begin(&[&tor], &[]);
        let said = format!("Tor's control port at {address} cannot be used");
        let line = door.process.complaint(&said);
        assert!(line.contains("trying again"), "{line}");
        tor.start_again();
        door.is_in_charge_of(&tor);
        assert_eq!(door.said("cannot be used"), 1);
        let stream = tor.stream(Stream::connect("ip.bit", 80));
        assert_eq!(stream.end(), attached("192.0.2.1:80"));
    }
}

#[test]
fn a_tor_that_starts_again_is_taken_over_again() {
    let directory = tempfile::tempdir().unwrap();
    for tor in [
        ModelTor::at(&unix(&directory, "control"), Auth::default()),
        ModelTor::start(),
    ] {
        let node = node(&[
            ("d/ip", r#"{"ip":"192.0.2.1"}"#),
            ("d/held", r#"{"ip":"192.0.2.8"}"#),
        ]);
        let door = Door::with_node(&tor, &node, &[]);
        let mut last = None;
        for times in 1..3 {
            let stream = tor.stream(Stream::connect("ip.bit", 80));
            assert_eq!(stream.end(), attached("192.0.2.1:80"));
            // Ids begin anew.
            assert_eq!(*last.get_or_insert(stream.id), stream.id);
            node.hold("d/held");
            let waiting = tor.stream(Stream::connect("held.bit", 80));
            node.wait_for("d/held", times);
            tor.stop();
            assert_eq!(waiting.end(), End::Gone);
            door.process.complaints("cannot be used", times);
            node.release("d/held");
            tor.start_again();
            tor.wait_until_taken_over();
            door.process
                .complaints("resolving .bit names for Tor at", times + 1);
        }
        // The answer to a stream of the old Tor is not one of the new.
        let stream = tor.stream(Stream::connect("ip.bit", 80));
        assert_eq!(stream.end(), attached("192.0.2.1:80"));
    }
}

/// A Tor that refuses what the door needs is reported with its own words.
#[test]
fn a_tor_that_refuses_a_command_is_reported_and_asked_again() {
    for (command, reply) in [
        (
            "SETCONF __LeaveStreamsUnattached=1",
            "553 Unable to set option: no",
        ),
        (
            "SETEVENTS STREAM SIGNAL CONF_CHANGED",
            "552 Unrecognized event \"CONF_CHANGED\"",
        ),
    ] {
        let tor = ModelTor::start();
        tor.when(command, When::Replies(reply));
        let door = Door::begin(&[&tor], &[]);
        let line = door.process.complaint("cannot be used");
        assert!(line.contains(&reply[..20]), "{line}");
        door.is_in_charge_of(&tor);
        let stream = tor.stream(Stream::connect("ip.bit", 80));
        assert_eq!(stream.end(), attached("192.0.2.1:80"));
    }
}

/// Streams that wait when the connection breaks are served over the next.
#[test]
fn a_connection_that_breaks_loses_no_stream() {
    let tor = ModelTor::start();
    let door = Door::start(&tor);
    for (command, host, target) in [
        ("ATTACHSTREAM", "www.example.com", "www.example.com:80"),
        ("ATTACHSTREAM", "ip.bit", "192.0.2.1:80"),
        ("REDIRECTSTREAM", "ip.bit", "192.0.2.1:80"),
    ] {
        let command = format!("{command} {}", tor.next_id());
        tor.when(&command, When::HangsUp);
        let stream = tor.stream(Stream::connect(host, 80));
        assert_eq!(stream.end(), attached(target));
    }
    door.process.complaint("cannot be used");
}

/// Each Tor has its own streams and ids, whatever their numbers.
#[test]
fn several_tors_are_served_apart() {
    let directory = tempfile::tempdir().unwrap();
    let tors = [
        ModelTor::start(),
        ModelTor::at(&unix(&directory, "control"), Auth::default()),
    ];
    let absent = ModelTor::absent(&unix(&directory, "absent"), Auth::default());
    let node = node(&[("d/site", r#"{"ip":"192.0.2.6"}"#)]);
    let door = Door::spawn(&[&tors[0], &absent, &tors[1]], &node.arguments(&[]));
    for tor in &tors {
        door.is_in_charge_of(tor);
    }
    let open = |tor: &ModelTor| tor.stream(Stream::connect("site.bit", 80).from("127.0.0.1:1"));
    let streams: Vec<_> = tors.iter().map(open).collect();
    assert_eq!(streams[0].id, streams[1].id);
    for stream in &streams {
        assert_eq!(stream.end(), attached("192.0.2.6:80"));
    }
    let ids = node.streams("d/site");
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1]);

    // One that ends does not end the others.
    tors[0].stop();
    door.process
        .complaint(&format!("Tor's control port at {} ", tors[0].address()));
    assert_eq!(open(&tors[1]).end(), attached("192.0.2.6:80"));
    assert_eq!(node.count("d/site"), 2);
}

/// What listens there may be anything.
#[test]
fn what_is_no_tor_is_reported_and_stops_nobody() {
    let tor = ModelTor::start();
    for words in [
        &b""[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"250 OK\r\n",
        b"250-PROTOCOLINFO 1\r\n250-AUTH METHODS=NULL",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0\xff\xfe\r\n",
        &[b'2'; 1 << 20],
        &b"250-\r\n".repeat(1 << 18),
    ] {
        let words = words.to_vec();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                // Whoever does not want it all is right.
                let _ = stream.write_all(&words);
                let _ = stream.shutdown(std::net::Shutdown::Write);
            }
        });
        let other = ModelTor::absent(&address, Auth::default());
        let door = Door::begin(&[&other, &tor], &[]);
        let said = format!("Tor's control port at {address} cannot be used");
        door.process.complaint(&said);
        door.is_in_charge_of(&tor);
        let stream = tor.stream(Stream::connect("ip.bit", 80));
        assert_eq!(stream.end(), attached("192.0.2.1:80"));
    }
}
