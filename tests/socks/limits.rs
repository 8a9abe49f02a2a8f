//! How many streams there may be, how long a handshake may take, and what open
//! streams cost.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::onion_value;
use crate::support::PATIENCE;
use crate::support::plugin::Start;
use crate::support::serve::{Ask, PROTOCOLS, Protocol, Serve, node, rest};
use crate::support::tor::{Manner, Tor};

/// A Tor on which streams stay open.
fn open_tor() -> Tor {
    let tor = Tor::start();
    tor.on("open.example", Manner::Opens);
    tor
}

#[track_caller]
fn open(serve: &Serve) -> TcpStream {
    let mut stream = serve.connect();
    let reply = Ask::new(Protocol::Socks5, "open.example").on(&mut stream);
    assert_eq!(reply.code, 0, "{}", serve.process.story());
    stream
}

/// How many files the process has open.
#[cfg(target_os = "linux")]
fn descriptors(serve: &Serve) -> usize {
    let folder = format!("/proc/{}/fd", serve.process.id());
    std::fs::read_dir(folder).unwrap().count()
}

/// Waits until something is so. What is waited for cannot report it.
fn becomes(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// With 250 descriptors there are 25 streams. Further ones are refused in their
/// protocol, 16 at a time, and others are closed.
#[cfg(target_os = "linux")]
#[test]
fn there_are_no_more_streams_than_descriptors_permit() {
    const STREAMS: usize = 25;
    const REFUSALS: usize = 16;
    let (tor, node) = (open_tor(), node(&[]));
    let tor_address = tor.address();
    let door = ["--socks-listen", "127.0.0.1:0", "--proxy", &tor_address];
    let serve = limited("ulimit -n 250", &node.arguments(&door));
    let threads = || serve.process.status_of("Threads:");
    let before = threads();
    for round in 0..2 {
        let mut streams: Vec<_> = (0..STREAMS).map(|_| open(&serve)).collect();
        for protocol in PROTOCOLS {
            let code = match protocol {
                Protocol::Socks4 => 91,
                Protocol::Socks5 => 1,
                Protocol::Http => 503,
            };
            for host in ["a.example", "onion.bit"] {
                assert_eq!(serve.code(protocol, host), code, "{round}");
            }
        }
        // Whoever says nothing takes a place among those to refuse.
        let mut silent = Vec::new();
        becomes("no place among the refused", || {
            silent.push(serve.connect());
            let mut last = serve.connect();
            last.set_read_timeout(Some(Duration::from_millis(50)))
                .unwrap();
            let is_closed = matches!(std::io::Read::read(&mut last, &mut [0]), Ok(0));
            silent.push(last);
            is_closed
        });
        assert!(silent.len() > REFUSALS, "{}", silent.len());
        // The streams that are open do not suffer.
        for stream in &mut streams {
            stream.write_all(b"still open").unwrap();
        }
        assert_eq!(
            tor.asked().iter().filter(|one| !one.closed).count(),
            STREAMS
        );
        drop((streams, silent));
        becomes("all slots free", || threads() <= before);
    }
    let said = serve.process.said_on_stderr();
    let warnings = said
        .iter()
        .filter(|line| line.contains("too many are open"));
    assert_eq!(warnings.count(), 1, "{said:#?}");
}

/// A door under a limit that the shell sets.
fn limited(limit: &str, door: &[String]) -> Serve {
    let script = format!("{limit}; exec \"$0\" \"$@\"");
    let binary = env!("CARGO_BIN_EXE_ncprop279");
    let mut arguments = vec!["-c".to_owned(), script, binary.to_owned()];
    arguments.extend(Serve::arguments(door));
    Serve::of(Start::of("/bin/sh".as_ref(), &arguments), 1)
}

/// A process without address space aborts, so there are no more streams than it
/// has room for.
#[cfg(target_os = "linux")]
#[test]
fn there_are_no_more_streams_than_address_space_permits() {
    let (tor, node) = (open_tor(), node(&[]));
    let tor_address = tor.address();
    let door = ["--socks-listen", "127.0.0.1:0", "--proxy", &tor_address];
    let serve = limited("ulimit -v 260000", &node.arguments(&door));
    let mut streams = Vec::new();
    becomes("no room for a stream", || {
        let ask = Ask::new(Protocol::Socks5, "open.example");
        let mut stream = serve.connect();
        for message in ask.messages() {
            // One that is too many is closed at once.
            let _ = stream.write_all(&message);
        }
        streams.push(stream);
        streams.len() > 400
    });
    // The code of the reply, behind the method; none if the stream is closed at once.
    let code = || {
        let mut stream = serve.connect();
        for message in Ask::new(Protocol::Socks5, "open.example").messages() {
            stream.write_all(&message).ok()?;
        }
        let mut reply = [0; 4];
        std::io::Read::read_exact(&mut stream, &mut reply).ok()?;
        Some(reply[3])
    };
    becomes("a refusal", || code() == Some(1));
    drop(streams);
    becomes("room again", || code() == Some(0));
}

/// A request must be complete 30 seconds after the connection was opened,
/// however its bytes trickle in.
#[test]
fn a_handshake_that_stalls_is_cut_off() {
    let (tor, node) = (open_tor(), node(&[("d/onion", &onion_value())]));
    let serve = Serve::start(&tor, &node, &[]);
    let mut opened = open(&serve);
    let beginnings: [&[u8]; 6] = [
        b"",
        b"\x04\x01\0\x50",
        b"\x05",
        b"\x05\x01\0\x05\x01",
        b"\x05\x01\x02\x01\x05alice",
        b"CONNECT a.example:80 HTTP/1.1\r\nX: ",
    ];
    thread::scope(|scope| {
        for (number, beginning) in beginnings.into_iter().enumerate() {
            let serve = &serve;
            scope.spawn(move || {
                let begun = Instant::now();
                let mut stream = serve.connect();
                stream.write_all(beginning).unwrap();
                if number == 5 {
                    // Bytes that keep coming change nothing.
                    let mut trickle = stream.try_clone().unwrap();
                    thread::spawn(move || {
                        while trickle.write_all(b"x").is_ok() {
                            thread::sleep(Duration::from_secs(1));
                        }
                    });
                }
                assert!(rest(&mut stream).len() <= 2);
                assert!(begun.elapsed() >= Duration::from_secs(29));
            });
        }
    });
    // What is open has no such limit.
    opened.write_all(b"still open").unwrap();
    assert_eq!(tor.asked().iter().filter(|one| !one.closed).count(), 1);
}

/// 2,000 idle streams take less than 64 MB, and leave nothing behind.
#[cfg(target_os = "linux")]
#[test]
fn two_thousand_idle_streams_are_small() {
    const STREAMS: usize = 2000;
    // Each stream has two ends in this process.
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, raised);
    if limit.maximum.is_some_and(|most| most < 3 * STREAMS as u64) {
        println!("skipped: the limit on open files is {limit:?}");
        return;
    }
    let (tor, node) = (open_tor(), node(&[("d/onion", &onion_value())]));
    let serve = Serve::start(&tor, &node, &[]);
    tor.on(super::ONION, Manner::Opens);
    // The node's connection stays open.
    drop(open(&serve));
    assert_eq!(serve.code(Protocol::Socks5, "onion.bit"), 0);
    tor.wait("no stream", |asked| asked.iter().all(|one| one.closed));
    let before = descriptors(&serve);
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        let host = if number % 2 == 0 {
            "open.example"
        } else {
            "onion.bit"
        };
        let mut stream = serve.connect();
        let ask = Ask::new(Protocol::Socks5, host).user(format!("{}", number % 100), "x");
        assert_eq!(ask.on(&mut stream).code, 0);
        streams.push(stream);
    }
    // Buffers of streams that have become quiet are freed.
    let memory = || serve.process.status_of("VmRSS:");
    becomes("less than 64 MB", || memory() < 64 << 10);
    println!("{STREAMS} idle streams: {} KiB resident", memory());
    assert!(descriptors(&serve) >= before + 2 * STREAMS - 2);
    for stream in &mut streams {
        stream.write_all(b"ping").unwrap();
    }
    drop(streams);
    becomes("descriptors as before", || descriptors(&serve) <= before);
    becomes("threads as before", || {
        serve.process.status_of("Threads:") < 100
    });
    drop(open(&serve));
}
