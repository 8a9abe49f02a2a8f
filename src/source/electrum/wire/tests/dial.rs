//! How connections come about, and who is named when they do not.

use std::sync::atomic::Ordering;
use std::sync::mpsc;

use super::*;

const ONION: &str = "electrumelectrumelectrumelectrumelectrumelectrumelectrum.onion";

fn dial(dialer: &Dialer, server: &Server, patience: Duration) -> Result<Connection, DialError> {
    dialer.dial(
        server,
        Purpose::Lookups,
        Instant::now() + patience,
        &Cancel::new(),
    )
}

/// A listener that treats each connection in one way.
fn listen(treat: impl Fn(&mut TcpStream) -> io::Result<()> + Send + Sync + 'static) -> NodeAddress {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut tcp in listener.incoming().flatten() {
            let _ = treat(&mut tcp);
        }
    });
    address("127.0.0.1", port)
}

/// Sends bytes one by one, so slowly that all of them take far longer than
/// any of these tests may.
fn drip(stream: &mut impl Write, bytes: impl IntoIterator<Item = u8>) -> io::Result<()> {
    for byte in bytes {
        stream.write_all(&[byte])?;
        stream.flush()?;
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Tries to connect with little patience, which must suffice to give up.
fn must_time_out(dialer: &Dialer, server: &Server) {
    let begun = Instant::now();
    let error = dial(dialer, server, Duration::from_millis(400)).unwrap_err();
    assert_eq!(error, DialError::TimedOut(server.to_string()));
    assert!(begun.elapsed() < Duration::from_secs(3));
}

/// What has come in on connections for headers is counted, ended ones too, and
/// nothing of what names cost.
#[test]
fn headers_are_counted_over_all_connections() {
    let peer = saying(vec![b'x'; 2000]);
    let dialer = direct();
    let mut sum = 0;
    for (purpose, counts) in [
        (Purpose::Headers, true),
        (Purpose::Lookups, false),
        (Purpose::Headers, true),
    ] {
        let connection = connect_for(&dialer, &peer, purpose);
        assert!(connection.received() > 0);
        sum += if counts { connection.received() } else { 0 };
        drop(connection);
        let received = dialer.headers_received().load(Ordering::Relaxed);
        assert_eq!(received, sum, "{purpose:?}");
    }
}

#[test]
fn the_first_request_is_the_same_for_all() {
    let peer = Peer::echo(None);
    let (one, other) = (connect(&peer), connect(&peer));
    for connection in [&one, &other] {
        let request = Request::new("x", "[7]");
        let reply = connection.call(request, soon(), &Cancel::new()).unwrap();
        assert_eq!(result(reply), "[7]");
    }
    let heard = peer.heard();
    assert_eq!(heard.len(), 2);
    for requests in heard {
        let expected = serde_json::json!([
            {"jsonrpc": "2.0", "id": 0, "method": "server.version",
             "params": ["ncprop279", ["1.4", "1.4.3"]]},
            {"jsonrpc": "2.0", "id": 1, "method": "x", "params": [7]},
        ]);
        assert_eq!(serde_json::Value::from(requests), expected);
    }
}

#[test]
fn the_server_says_its_version_and_whether_it_pads() {
    let peer = Peer::start(|guest| {
        guest.greet_as("1.4.2")?;
        guest.hear_out()
    });
    let connection = connect(&peer);
    assert_eq!(connection.protocol().to_string(), "1.4.2");
    assert!(connection.protocol() < Protocol::V1_4_3);
    assert!(!connection.pads());
    assert_eq!(connection.server(), &local(peer.address, false));
    assert!(connection.is_alive());

    let padded = Peer::start(|guest| {
        guest.hear()?;
        // As recorded from ElectrumX 2.0b1: 1024 bytes with the end.
        let start = r#"{"jsonrpc":"2.0","result":["ElectrumX 2.0b1","1.4.3"],"id":0"#;
        guest.say(format!("{start:<1022}}}\n"))?;
        guest.hear_out()
    });
    let connection = connect(&padded);
    assert_eq!(connection.protocol(), Protocol::V1_4_3);
    assert!(connection.pads());
    assert_eq!(connection.received(), 1024);
}

#[test]
fn another_protocol_and_another_version_are_different_errors() {
    use DialError::{NotElectrum as no_electrum, Version as too_new};
    type Make = fn(String) -> DialError;
    let cases: [(&[u8], Make); 8] = [
        (br#"{"jsonrpc":"2.0","result":["E","1.6"],"id":0}"#, too_new),
        (
            br#"{"jsonrpc":"2.0","error":{"code":1,"message":"unsupported"},"id":0}"#,
            too_new,
        ),
        (br#"{"jsonrpc":"2.0","result":"1.4","id":0}"#, no_electrum),
        (
            br#"{"jsonrpc":"2.0","result":["E","1.4"],"id":1}"#,
            no_electrum,
        ),
        (br#"{"jsonrpc":"2.0","result":null,"id":0}"#, no_electrum),
        (br#"[]"#, no_electrum),
        (b"HTTP/1.1 400 Bad Request\r", no_electrum),
        (b"\x16\x03\x01\x00\xff", no_electrum),
    ];
    for (line, expected) in cases {
        let peer = Peer::start(move |guest| {
            guest.hear()?;
            guest.say(line)?;
            guest.say("\n")?;
            guest.hear_out()
        });
        let server = local(peer.address, false);
        assert_eq!(
            dial(&direct(), &server, PATIENCE).unwrap_err(),
            expected(server.to_string()),
            "{}",
            line.escape_ascii()
        );
    }
    let closing = Peer::start(|_| Ok(()));
    let error = dial(&direct(), &local(closing.address, false), PATIENCE).unwrap_err();
    assert!(matches!(error, DialError::Unreachable(..)), "{error}");
}

#[test]
fn a_proxy_is_named_for_what_it_does() {
    let proxy_at =
        |treat: fn(&mut std::net::TcpStream) -> io::Result<()>| ProxyAddress::Tcp(listen(treat));
    let target = server(ONION, 50001, false);
    let through = |proxy: &ProxyAddress| {
        let dialer = Dialer::new(Some(proxy.clone()), no_pins());
        dial(&dialer, &target, PATIENCE).unwrap_err()
    };
    // Nobody listens where a listener has gone.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = ProxyAddress::Tcp(address("127.0.0.1", gone.local_addr().unwrap().port()));
    drop(gone);
    let error = through(&dead);
    assert!(
        matches!(&error, DialError::Proxy(proxy, _) if *proxy == dead.to_string()),
        "{error:?}"
    );
    let careless = proxy_at(|tcp| tcp.write_all(&[5, 0xff]));
    let proxy = careless.to_string();
    assert_eq!(through(&careless), DialError::ProxyRefuses(proxy));
    let web = proxy_at(|tcp| {
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
        tcp.read_to_end(&mut Vec::new()).map(drop)
    });
    let proxy = web.to_string();
    assert_eq!(through(&web), DialError::NoProxy(proxy));
    let refusing = Socks::start(web_address(), Manner::Refusing);
    assert_eq!(
        through(&proxy_of(&refusing).unwrap()),
        DialError::Unreachable(
            format!("{ONION}:50001"),
            "the proxy cannot reach the host".to_owned(),
        )
    );
}

/// An address that nothing is sent to.
fn web_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9))
}

#[test]
fn a_proxy_that_says_nothing_or_drips_is_cut_off() {
    let target = server(ONION, 50001, false);
    let silent = Socks::start(web_address(), Manner::Silent);
    must_time_out(&Dialer::new(proxy_of(&silent), no_pins()), &target);
    let dripping = listen(|tcp| {
        // It grants the connection from an address with a long name.
        let mut script = vec![5, 2, 1, 0, 5, 0, 0, 3, 255];
        script.extend([b'x'; 257]);
        drip(tcp, script)
    });
    must_time_out(
        &Dialer::new(Some(ProxyAddress::Tcp(dripping)), no_pins()),
        &target,
    );
}

#[test]
fn a_server_that_says_nothing_or_drips_is_cut_off() {
    let silent = Peer::start(|guest| guest.hear_out());
    must_time_out(&direct(), &local(silent.address, false));
    let blanks = listen(|tcp| drip(tcp, std::iter::repeat(b' ')));
    must_time_out(&direct(), &server("127.0.0.1", blanks.port, false));
    // The same in the handshake of TLS: a long record that never ends.
    let record = [22, 3, 3, 0x40, 0, 2, 0, 0x3f, 0xfc, 3, 3];
    let records = listen(move |tcp| drip(tcp, record.into_iter().chain(std::iter::repeat(0))));
    must_time_out(&direct(), &server("127.0.0.1", records.port, true));
}

#[test]
fn a_connection_that_is_not_wanted_any_more_is_given_up() {
    let (heard, was_heard) = mpsc::channel();
    let silent = Peer::start(move |guest| {
        guest.hear()?;
        let _ = heard.send(());
        guest.hear_out()
    });
    let target = local(silent.address, false);
    let cancel = Cancel::new();
    let error = thread::scope(|scope| {
        let dialing = scope.spawn(|| direct().dial(&target, Purpose::Headers, soon(), &cancel));
        was_heard.recv_timeout(PATIENCE).unwrap();
        cancel.set();
        dialing.join().unwrap().unwrap_err()
    });
    let server = target.to_string();
    assert_eq!(error, DialError::Cancelled(server));
}

#[test]
fn without_a_proxy_localhost_needs_no_dns_and_onions_are_not_looked_up() {
    let peer = Peer::echo(None);
    let near = server("LocalHost", peer.address.port(), false);
    dial(&direct(), &near, PATIENCE).unwrap();
    let error = dial(&direct(), &server(ONION, 50001, false), PATIENCE).unwrap_err();
    assert!(
        matches!(&error, DialError::Unreachable(server, _) if server.contains(ONION)),
        "{error:?}"
    );
}
