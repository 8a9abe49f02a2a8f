//! Clients that nobody here wrote: the crate `socks`, and curl.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;

use socks::{Socks4Stream, Socks5Stream};

use super::{ONION, onion_value};
use crate::support::node::Node;
use crate::support::serve::{Serve, node};
use crate::support::tor::{Manner, Tor, echo, web};

const IP: &str = "192.0.2.77";

fn names() -> Node {
    node(&[
        ("d/onion", &onion_value()),
        ("d/address", r#"{"ip":"192.0.2.77"}"#),
    ])
}

/// The far side sends back what it gets.
fn exchange(mut stream: &TcpStream) {
    stream.write_all(b"there and back").unwrap();
    let mut back = [0; 14];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"there and back");
}

#[test]
fn the_socks_crate_reaches_names_onions_and_addresses() {
    let (tor, node) = (Tor::leading_to(echo()), names());
    let serve = Serve::start(&tor, &node, &[]);
    let door = serve.address();
    let credentials = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
    let literal = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 9), 80));
    for (host, reached) in [
        ("onion.bit", ONION),
        ("address.bit", IP),
        ("www.example.com", "www.example.com"),
        (ONION, ONION),
    ] {
        let before = tor.asked().len();
        let v4 = |user: &str| Socks4Stream::connect(door, (host, 80), user).unwrap();
        exchange(v4("").get_ref());
        exchange(v4("alice").get_ref());
        exchange(Socks5Stream::connect(door, (host, 80)).unwrap().get_ref());
        let v5 = Socks5Stream::connect_with_password(door, (host, 80), "alice", "secret");
        exchange(v5.unwrap().get_ref());
        let asked = &tor.asked()[before..];
        let seen: Vec<_> = asked.iter().map(|one| one.credentials()).collect();
        let alice = credentials("alice", "");
        assert_eq!(seen, [None, alice, None, credentials("alice", "secret")]);
        for one in asked {
            assert_eq!(one.request.host_text(), reached, "{host}");
            assert_eq!(one.request.port, 80);
        }
    }
    exchange(Socks4Stream::connect(door, literal, "").unwrap().get_ref());
    exchange(Socks5Stream::connect(door, literal).unwrap().get_ref());
    let asked = tor.asked_for("192.0.2.9");
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|one| one.request.kind == 1), "{asked:#?}");
    for error in [
        Socks4Stream::connect(door, ("none.bit", 80), "").err(),
        Socks5Stream::connect(door, ("none.bit", 80)).err(),
    ] {
        let error = error.unwrap().to_string();
        assert!(
            error.contains("rejected") || error.contains("unreachable"),
            "{error}"
        );
    }
    tor.assert_no_bit();
}

/// curl without the environment's proxies; exit status and output.
fn curl(arguments: &[&str]) -> Option<(i32, String)> {
    let output = Command::new("curl")
        .args(["--disable", "--silent", "--max-time", "30", "--noproxy", ""])
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH")?)
        .output();
    match output {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            Some((output.status.code()?, text))
        }
        Err(_) => {
            println!("skipped: curl is not installed");
            None
        }
    }
}

#[test]
fn curl_opens_a_page_by_every_protocol() {
    let (tor, node) = (Tor::leading_to(web("a page")), names());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socks");
    let unix = format!("unix:{}", path.display());
    let serve = {
        let tor = tor.address();
        let door = ["--socks-listen", "127.0.0.1:0", "--socks-listen", &unix];
        let more = [&door[..], &["--proxy", &tor]].concat();
        Serve::with(&node.arguments(&more), 2)
    };
    let door = serve.address();
    let through_unix = format!("socks5h://localhost{}", path.display());
    for (proxy, host, reached, user) in [
        (format!("socks4a://{door}"), "onion.bit", ONION, None),
        (
            format!("socks4a://alice@{door}"),
            "address.bit",
            IP,
            Some("alice"),
        ),
        (format!("socks4://{door}"), "192.0.2.9", "192.0.2.9", None),
        (format!("socks5h://{door}"), "onion.bit", ONION, None),
        (
            format!("socks5h://alice:x@{door}"),
            "onion.bit",
            ONION,
            Some("alice"),
        ),
        (format!("socks5://{door}"), "192.0.2.9", "192.0.2.9", None),
        (
            format!("http://{door}"),
            "onion.bit",
            ONION,
            Some("<torS0X>0"),
        ),
        (
            format!("http://alice:x@{door}"),
            "www.example.com",
            "www.example.com",
            Some("Basic YWxpY2U6eA=="),
        ),
        (through_unix, "onion.bit", ONION, Some("<torS0X>0")),
    ] {
        let before = tor.asked().len();
        let url = format!("http://{host}/");
        let Some(done) = curl(&["--proxytunnel", "--proxy", &proxy, &url]) else {
            return;
        };
        assert_eq!(
            done,
            (0, "a page".to_owned()),
            "{proxy}{}",
            serve.process.story()
        );
        let asked = &tor.asked()[before..];
        assert_eq!(asked.len(), 1, "{proxy}");
        assert_eq!(asked[0].request.host_text(), reached, "{proxy}");
        let seen = asked[0].credentials().map(|(seen, _)| seen);
        assert_eq!(seen.as_deref(), user, "{proxy}");
    }
}

#[test]
fn curl_reports_what_cannot_be_reached() {
    let (tor, node) = (Tor::start(), names());
    tor.on(
        "refused.example",
        Manner::Says(crate::support::tor::reply(5)),
    );
    let serve = Serve::start(&tor, &node, &[]);
    let http = format!("http://{}", serve.address());
    let socks = format!("socks5h://{}", serve.address());
    for (host, code) in [("none.bit", "404"), ("refused.example", "502")] {
        let url = format!("http://{host}/");
        let code_of = ["--write-out", "%{http_connect}", "--proxytunnel"];
        let Some((status, text)) = curl(&[&code_of[..], &["--proxy", &http, &url]].concat()) else {
            return;
        };
        assert!(status != 0 && text.contains(code), "{status} {text}");
        let (status, _) = curl(&["--proxy", &socks, &url]).unwrap();
        assert_eq!(status, 97, "the proxy handshake failed");
    }
    // A browser that opens the port as a page.
    let (status, page) = curl(&[&http]).unwrap();
    assert_eq!(status, 0);
    assert!(page.contains("SOCKS port of ncprop279"), "{page}");
}
