//! Targets that are no host and port, and lines that are none of Tor's.

use super::Door;
use crate::support::tor_control::ModelTor;
use crate::support::tor_control::stream::{End, Stream, Wish, attached};

#[track_caller]
fn works(tor: &ModelTor) {
    let stream = tor.stream(Stream::connect("ip.bit", 80));
    assert_eq!(stream.end(), attached("192.0.2.1:80"));
}

/// What the DNSPort and HTTP clients can send.
fn malformed() -> Vec<Vec<u8>> {
    let mut hosts: Vec<Vec<u8>> = [
        "a b.bit",
        " ip.bit",
        "ip.bit ",
        "a\"b.bit",
        "a\\b.bit",
        "a'b.bit",
        "a\nb.bit",
        "a\r\nb.bit",
        "a\tb.bit",
        "a:b.bit",
        "a:1 b.bit",
        "a/b.bit",
        "a%b.bit",
        "a@b.bit",
        "a=b.bit",
        "a,b.bit",
        "*.bit",
        "ip.bit:80",
        "http://ip.bit/",
        "user@ip.bit",
        "ip.bit\x7f",
        "ip.bit\u{1}",
        "\u{e4}.bit",
        "ip.bit\u{3002}",
        "a b.example.com",
        "a\"b.example.com",
        "[ip.bit]",
        "[::1",
        "",
    ]
    .map(|host| host.as_bytes().to_vec())
    .into();
    hosts.push(b"\xe4.bit".to_vec());
    hosts.push(b"\xff\xfe\xfd".to_vec());
    // No port stands behind so long a name, or half of one.
    for length in [251, 252, 253, 254, 255] {
        let mut host = vec![b'x'; length - 4];
        host.extend(b".bit");
        hosts.push(host);
    }
    hosts
}

#[test]
fn a_target_that_is_no_host_is_refused() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    for host in malformed() {
        let streams = tor.streams([
            Stream::dns(&host, Wish::A),
            Stream::http(&host, 80),
            Stream::connect(&host, 80),
        ]);
        for stream in &streams {
            let end = stream.end();
            let name = host.escape_ascii();
            assert!(matches!(end, End::Closed(..)), "{name}: {end:?}");
            let done = tor.done_to(stream.id);
            assert!(
                !done.iter().any(|one| one.starts_with("ATTACH")),
                "{name}: {done:?}"
            );
        }
    }
    works(&tor);
}

/// Tor cuts names at NUL, so that is all that anybody sees of them.
#[test]
fn a_name_ends_at_nul() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    let stream = tor.stream(Stream::connect("ip.bit\0.example.com", 80));
    assert!(matches!(stream.end(), End::Attached(_)));
    assert_eq!(tor.done_to(stream.id), ["REDIRECT 192.0.2.1", "ATTACH 0"]);
}

/// Names that no value can have.
#[test]
fn names_without_a_meaning_are_refused() {
    let tor = ModelTor::start();
    let _door = Door::start(&tor);
    let long = format!("{}.bit", "x".repeat(64));
    for host in [
        "a..bit", ".bit", "-.bit", "_.bit", "bit", "x.bit..", "..", &long,
    ] {
        let stream = tor.stream(Stream::http(host, 80));
        let end = stream.end();
        match host {
            // Not ours, and for Tor to judge.
            ".." => {}
            _ => assert!(matches!(end, End::Closed(..)), "{host}: {end:?}"),
        }
    }
    works(&tor);
}

/// Lines without end, bytes without lines.
#[test]
fn lines_without_end_stop_nobody() {
    let tor = ModelTor::start();
    let door = Door::start(&tor);
    let long = "x".repeat(1 << 20);
    for bytes in [
        format!("{long}\r\n").into_bytes(),
        format!("650 {long}\r\n").into_bytes(),
        format!("650 STREAM 9 NEW 0 {long}:80 SOURCE_ADDR=127.0.0.1:1 PURPOSE=USER\r\n").into(),
        format!("650 STREAM 9 NEW 0 a:80 SOURCE_ADDR={long} PURPOSE=USER A={long}\r\n").into(),
        format!("650 STREAM {} NEW 0 a:80\r\n", "9".repeat(1 << 20)).into_bytes(),
        format!("250 {long}\r\n").into_bytes(),
        long.repeat(16).into_bytes(),
        b"\r\n".to_vec(),
        "\r\n".repeat(100_000).into_bytes(),
        "250 OK\r\n".repeat(100_000).into_bytes(),
        (0..=255).cycle().take(1 << 20).collect(),
        b"\r\n".to_vec(),
        vec![0; 1 << 20],
        b"\r\n".to_vec(),
        b"\n\n\n\r\r\r\n".to_vec(),
    ] {
        tor.raw_event(&bytes);
    }
    works(&tor);
    #[cfg(target_os = "linux")]
    {
        let peak = door.process.peak_memory();
        assert!(peak < 100_000, "{peak} KiB");
    }
    drop(door);
}

/// A line may arrive in any number of pieces.
#[test]
fn lines_that_arrive_byte_by_byte_are_read() {
    let tor = ModelTor::start();
    tor.dribbles();
    tor.set_leave("1");
    let waiting = tor.stream(Stream::connect("x.bit", 80));
    let _door = Door::start(&tor);
    assert_eq!(waiting.end(), attached("192.0.2.3:80"));
    let names = (0..20).map(|_| Stream::connect("ip.bit", 80));
    let others = (0..20).map(|_| Stream::connect("www.example.com", 80));
    for stream in tor.streams(names) {
        assert_eq!(stream.end(), attached("192.0.2.1:80"));
    }
    for stream in tor.streams(others) {
        assert_eq!(stream.end(), attached("www.example.com:80"));
    }
}
