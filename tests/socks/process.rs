//! The process around the door: listeners, signals, and what it says.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use super::onion_value;
use crate::support::node::{Node, Reply};
use crate::support::plugin::Start;
use crate::support::run;
use crate::support::serve::{Ask, PROTOCOLS, Protocol, RESOLVE, Serve, dial, node, rest, take};
use crate::support::state::holds;
use crate::support::tor::{Manner, Tor, echo, reply};

/// Arguments with these listeners.
fn listening(tor: &Tor, node: &Node, listeners: &[&str]) -> Vec<String> {
    let mut all = node.arguments(&["--proxy", &tor.address()]);
    for listener in listeners {
        all.extend(["--socks-listen".to_owned(), (*listener).to_owned()]);
    }
    all
}

/// A run that must fail at once; what it says.
#[track_caller]
fn fails(arguments: &[String]) -> String {
    let outcome = run::run(Start::new(&Serve::arguments(arguments)));
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    outcome.stderr.join("\n")
}

#[test]
fn a_signal_ends_the_process_and_its_streams() {
    let (tor, node) = (Tor::leading_to(echo()), node(&[("d/held", &onion_value())]));
    let directory = tempfile::tempdir().unwrap();
    for signal in ["TERM", "INT"] {
        let path = directory.path().join(signal);
        let unix = format!("unix:{}", path.display());
        let mut serve = Serve::with(&listening(&tor, &node, &["127.0.0.1:0", &unix]), 2);
        let mut streams: Vec<_> = serve
            .listeners
            .iter()
            .map(|listener| dial(listener))
            .collect();
        for stream in &mut streams {
            assert_eq!(Ask::new(Protocol::Socks5, "a.example").on(stream).code, 0);
        }
        // One that waits for its lookup, and one that has said nothing.
        let lookups = node.count("d/held");
        node.hold("d/held");
        let mut waiting = serve.connect();
        waiting
            .write_all(&Ask::new(Protocol::Http, "held.bit").bytes())
            .unwrap();
        node.wait_for("d/held", lookups + 1);
        streams.extend([waiting, serve.connect()]);
        assert!(path.exists());
        let begun = Instant::now();
        serve.process.signal(signal);
        let status = serve.process.wait();
        // A second, and something for a computer that has much else to do.
        assert!(
            begun.elapsed() < Duration::from_secs(4),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(status.code(), Some(0), "{}", serve.process.story());
        assert!(!path.exists());
        for stream in &mut streams {
            assert_eq!(rest(stream), b"");
        }
        node.release("d/held");
    }
}

#[test]
fn a_unix_socket_is_replaced_if_nobody_listens_on_it() {
    let (tor, node) = (Tor::leading_to(echo()), node(&[]));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socks");
    let unix = format!("unix:{}", path.display());
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let arguments = listening(&tor, &node, &[&unix]);
    let serve = Serve::with(&arguments, 1);
    assert_eq!(serve.address(), unix);
    assert_eq!(serve.code(Protocol::Socks5, "a.example"), 0);
    let mode = fs::metadata(&path).unwrap().mode();
    assert_eq!(mode & 0o077, 0, "only its user connects: {mode:o}");

    // It is in use now.
    let said = fails(&arguments);
    assert!(said.contains(&format!("cannot listen on {unix}")), "{said}");
    assert_eq!(serve.code(Protocol::Socks5, "a.example"), 0);

    // What somebody else put in its place is theirs.
    fs::remove_file(&path).unwrap();
    let others = UnixListener::bind(&path).unwrap();
    drop(serve);
    assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
    drop(others);

    // What is no socket is left alone.
    let file = directory.path().join("file");
    fs::write(&file, "precious").unwrap();
    let at_file = format!("unix:{}", file.display());
    let said = fails(&listening(&tor, &node, &[&at_file]));
    assert!(said.contains("cannot listen on"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn a_port_that_is_taken_is_reported_and_nothing_is_left_behind() {
    let (tor, node) = (Tor::leading_to(echo()), node(&[]));
    let serve = Serve::start(&tor, &node, &[]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socks");
    let unix = format!("unix:{}", path.display());
    let said = fails(&listening(&tor, &node, &[&unix, serve.address()]));
    let expected = format!("cannot listen on {}", serve.address());
    assert!(said.contains(&expected), "{said}");
    assert!(!path.exists());
}

#[test]
fn every_listener_serves_every_protocol() {
    let (tor, node) = (
        Tor::leading_to(echo()),
        node(&[("d/onion", &onion_value())]),
    );
    let directory = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", directory.path().join("socks").display());
    let mut listeners = vec!["127.0.0.1:0", &unix];
    if TcpListener::bind("[::1]:0").is_ok() {
        listeners.push("[::1]:0");
    }
    let serve = Serve::with(&listening(&tor, &node, &listeners), listeners.len());
    for listener in &serve.listeners {
        for protocol in PROTOCOLS {
            let mut stream = dial(listener);
            let ask = Ask::new(protocol, "onion.bit");
            assert_eq!(ask.on(&mut stream).code, protocol.opened(), "{listener}");
            stream.write_all(b"ping").unwrap();
            assert_eq!(take(&mut stream, 4), b"ping");
        }
    }
}

/// Whatever is asked, and however it fails: no name, id, credential or answer.
#[test]
fn the_log_has_no_names_ids_or_credentials() {
    let tor = Tor::leading_to(echo());
    tor.on("refused-hush.example", Manner::Says(reply(4)));
    tor.on("broken-hush.example", Manner::Says(b"hush".to_vec()));
    let node = node(&[
        ("d/hush", &onion_value()),
        ("d/hush-address", r#"{"ip":"192.0.2.77"}"#),
    ]);
    node.script("d/hush-refused", [Reply::Error(-1, "d/hush-refused: no")]);
    let mut serve = Serve::start(&tor, &node, &["-vv", "--timeout", "1"]);
    for protocol in PROTOCOLS {
        for host in [
            "hush.bit",
            "hush-address.bit",
            "hush-none.bit",
            "hush-refused.bit",
            "hush.bit:80",
            "www.hush.example",
            "refused-hush.example",
            "broken-hush.example",
        ] {
            for (user, password) in [("secret-user", "secret-password"), ("<torS0X>0", "secret")] {
                let ask = Ask::new(protocol, host).user(user, password);
                serve.ask(&ask);
                if protocol != Protocol::Http {
                    serve.ask(&ask.command(RESOLVE));
                }
            }
        }
    }
    let mut stream = serve.connect();
    stream
        .write_all(b"GET /secret-hush HTTP/1.1\r\n\r\n")
        .unwrap();
    rest(&mut stream);
    let ids: Vec<_> = node
        .requests()
        .into_iter()
        .filter_map(|one| one.stream)
        .collect();
    assert!(!ids.is_empty());
    serve.process.signal("TERM");
    serve.process.wait();
    let said = serve.process.all_complaints();
    assert!(said.len() > 20, "{said:#?}");
    for line in &said {
        let bytes = line.to_ascii_lowercase();
        for private in ["hush", "secret", "tors0x", "192.0.2.77", "7fa6xlti"] {
            assert!(
                !holds(bytes.as_bytes(), private.as_bytes()),
                "{private}: {line}"
            );
        }
        for id in &ids {
            assert!(!holds(bytes.as_bytes(), id.as_bytes()), "{line}");
        }
    }
}
