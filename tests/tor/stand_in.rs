//! The stand-in for Tor's control port, held against recordings of Tor.

use crate::support::tor_control::auth::Auth;
use crate::support::tor_control::recording::{ALL, Recording, Step};
use crate::support::tor_control::stream::{End, Stream, Wish, attached, closed};
use crate::support::tor_control::{ModelTor, Rival};

/// For the same streams and commands the stand-in says what Tor said.
#[test]
fn the_stand_in_says_what_tor_said() {
    let mut lines = 0;
    for name in ALL {
        let recording = Recording::read(name);
        let tor = ModelTor::start();
        if recording.leaves {
            tor.set_leave("1");
        }
        if name == "transport" {
            tor.automap(".bit");
        }
        // Recordings begin with the events that they are about.
        let mut rival = Rival::to(&tor, "");
        let mut handles = Vec::new();
        for step in &recording.steps {
            match step {
                Step::Opens(id, stream) => handles.push(tor.stream_with_id(*id, stream.clone())),
                Step::Leaves(id) => {
                    let mut all = handles.iter();
                    all.find(|one| one.id == *id).unwrap().client_closes();
                }
                Step::Sends(line) => rival.send(line),
                Step::Receives(line) => {
                    lines += 1;
                    assert_eq!(rival.line(), *line, "{name}, {step:?}: {}", tor.story());
                }
            }
        }
        // Recorded controllers did what none of ours may do.
        tor.take_violations();
    }
    assert!(lines > 700, "{lines}");
}

/// What Tor says to a controller before it lets it in, and when it hangs up.
#[test]
fn the_stand_in_authenticates_as_tor_does() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cookie");
    let tor = ModelTor::with(Auth::cookie(&file));
    let methods = format!(
        "250-AUTH METHODS=COOKIE,SAFECOOKIE COOKIEFILE=\"{}\"",
        file.display()
    );
    let protocolinfo = [
        "250-PROTOCOLINFO 1",
        &methods,
        "250-VERSION Tor=\"0.4.9.11\"",
        "250 OK",
    ];
    let cookie = "a5".repeat(32);
    let nonce = "4d".repeat(32);
    let wrong = "00".repeat(32);
    let in_vain: [(&str, &str); 7] = [
        ("GETINFO version", "514 Authentication required."),
        (
            "AUTHENTICATE",
            "515 Authentication failed: Wrong length on authentication cookie.",
        ),
        (
            &format!("AUTHENTICATE {wrong}"),
            "515 Authentication failed: Authentication cookie did not match expected value.",
        ),
        (
            "AUTHENTICATE 00",
            "515 Authentication failed: Wrong length on authentication cookie.",
        ),
        (
            "AUTHCHALLENGE SAFECOOKIE xx",
            "513 Invalid base16 client nonce",
        ),
        ("QUIT", "250 closing connection"),
        ("FOO", "514 Authentication required."),
    ];
    for (command, reply) in in_vain {
        let mut rival = Rival::connect(tor.address());
        assert_eq!(rival.ask(command), reply);
        assert_eq!(rival.line(), "");
    }

    let mut rival = Rival::connect(tor.address());
    rival.send("PROTOCOLINFO 1");
    assert_eq!(protocolinfo.map(|_| rival.line()), protocolinfo);
    assert_eq!(rival.ask("PROTOCOLINFO 1"), "514 Authentication required.");
    assert_eq!(rival.line(), "");

    let mut rival = Rival::connect(tor.address());
    assert_eq!(rival.ask(&format!("AUTHENTICATE {cookie}")), "250 OK");
    assert_eq!(rival.ask("GETINFO version"), "250-version=0.4.9.11");
    assert_eq!(rival.line(), "250 OK");
    rival.send("PROTOCOLINFO 1");
    assert_eq!(protocolinfo.map(|_| rival.line()), protocolinfo);

    let mut rival = Rival::connect(tor.address());
    let challenge = rival.ask(&format!("AUTHCHALLENGE SAFECOOKIE {nonce}"));
    assert!(
        challenge.starts_with("250 AUTHCHALLENGE SERVERHASH="),
        "{challenge}"
    );
    assert_eq!(
        rival.ask(&format!("AUTHENTICATE {wrong}")),
        "515 Authentication failed: Safe cookie response did not match expected value."
    );
    assert_eq!(rival.line(), "");

    tor.set_auth(Auth::cookie(&file).or_password("a \"quoted\" \\ word"));
    let mut rival = Rival::connect(tor.address());
    assert_eq!(
        rival.ask("AUTHENTICATE \"x\""),
        "515 Authentication failed: Password did not match HashedControlPassword *or* \
         authentication cookie."
    );
    let mut rival = Rival::connect(tor.address());
    assert_eq!(
        rival.ask("AUTHENTICATE \"a \\\"quoted\\\" \\\\ word\""),
        "250 OK"
    );
}

/// Two controllers see all events; the first that attaches a stream has it.
#[test]
fn the_stand_in_serves_several_controllers() {
    let tor = ModelTor::start();
    tor.set_leave("1");
    let mut one = Rival::to(&tor, "STREAM");
    let mut other = Rival::to(&tor, "STREAM");
    let stream = tor.stream(Stream::connect("x.bit", 80));
    let id = stream.id;
    for rival in [&mut one, &mut other] {
        assert!(rival.line().contains(" NEW 0 x.bit:80 SOURCE_ADDR="));
        assert!(rival.line().contains(" CONTROLLER_WAIT 0 x.bit:80 CLIENT_"));
    }
    assert!(stream.waits());
    assert_eq!(one.ask(&format!("REDIRECTSTREAM {id} 192.0.2.1")), "250 OK");
    assert_eq!(one.ask(&format!("ATTACHSTREAM {id} 0")), "250 OK");
    let refused = "555 Connection is not managed by controller.";
    assert_eq!(other.ask(&format!("ATTACHSTREAM {id} 0")), refused);
    assert_eq!(
        other.ask(&format!("REDIRECTSTREAM {id} 192.0.2.2")),
        "250 OK"
    );
    other.send("GETINFO stream-status");
    let status = format!("250-stream-status={id} NEW 0 192.0.2.2:80");
    assert_eq!(other.line(), status);
    assert_eq!(stream.end(), attached("192.0.2.1:80"));

    let stream = tor.stream(Stream::connect("z.bit", 80));
    drop(other);
    tor.wait_for_controllers(1);
    assert!(one.line().contains(" NEW 0 z.bit:80 "));
    assert!(one.line().contains(" CONTROLLER_WAIT 0 z.bit:80 "));
    assert_eq!(one.ask(&format!("CLOSESTREAM {} 2", stream.id)), "250 OK");
    assert_eq!(stream.end(), closed("RESOLVEFAILED", 4));
}

/// A stand-in that saw what must never happen fails its test.
#[test]
fn the_stand_in_notices_leaks() {
    let tor = ModelTor::start();
    tor.set_leave("1");
    let mut rival = Rival::to(&tor, "");
    let attach = |rival: &mut Rival, host: &str| {
        let stream = tor.stream(Stream::connect(host, 80));
        assert_eq!(
            rival.ask(&format!("ATTACHSTREAM {} 0", stream.id)),
            "250 OK"
        );
        tor.take_violations().len()
    };
    for host in ["x.bit", "X.BIT", "x.bit.", "x.bit.onion."] {
        // Tor refuses a malformed onion service, but not before it has read the name.
        let stream = tor.stream(Stream::connect(host, 80));
        rival.ask(&format!("ATTACHSTREAM {} 0", stream.id));
        assert_eq!(tor.take_violations().len(), 1, "{host}");
    }
    for host in ["bit.example", "orbit", "x.bit.example", "192.0.2.1"] {
        assert_eq!(attach(&mut rival, host), 0, "{host}");
    }
    rival.ask("TAKEOWNERSHIP");
    assert_eq!(tor.take_violations().len(), 1);
    let stream = tor.stream(Stream::connect("x.bit", 80));
    let id = stream.id;
    let both = format!("REDIRECTSTREAM {id} 192.0.2.1\r\nATTACHSTREAM {id} 0");
    assert_eq!(rival.ask(&both), "250 OK");
    assert_eq!(tor.take_violations().len(), 1);

    // The name behind a virtual address.
    tor.automap(".bit");
    let mapped = tor.stream(Stream::dns("x.bit", Wish::A));
    assert_eq!(rival.line(), "250 OK");
    assert_eq!(
        rival.ask(&format!("ATTACHSTREAM {} 0", mapped.id)),
        "250 OK"
    );
    let End::Answered(address) = mapped.end() else {
        panic!("{}", tor.story())
    };
    assert_eq!(tor.take_violations().len(), 0);
    assert_eq!(attach(&mut rival, &address), 1);
}
