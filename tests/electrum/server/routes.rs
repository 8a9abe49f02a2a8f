//! Servers behind a proxy, under names of their own.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use super::client::request;
use crate::support::electrum::chain::Chain;
use crate::support::electrum::{Electrum, Options, Version};
use crate::support::socks::Socks;

/// Asks the proxy for a target, and sends one line there; the proxy's verdict
/// and the first bytes that come back.
fn through(proxy: &Socks, host: &str, port: u16, line: &str) -> (u8, String) {
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.write_all(b"\x05\x01\x02\x01\x01u\x01p").unwrap();
    let length = u8::try_from(host.len()).unwrap();
    let port = port.to_be_bytes();
    let target = [&[5, 1, 0, 3, length], host.as_bytes(), &port].concat();
    stream.write_all(&target).unwrap();
    let mut verdict = [0; 14];
    stream.read_exact(&mut verdict).unwrap();
    if verdict[5] != 0 {
        return (verdict[5], String::new());
    }
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut reply = [0; 48];
    stream.read_exact(&mut reply).unwrap();
    (0, String::from_utf8_lossy(&reply).into_owned())
}

#[test]
fn the_proxy_leads_each_name_to_its_server() {
    let old = Electrum::start(Chain::new(), Options::new(Version::V1_15));
    let new = Electrum::start(Chain::new(), Options::new(Version::V2_0b1));
    let proxy = Socks::route([
        ("one.example", old.address()),
        ("abc.onion:50001", new.address()),
    ]);
    let line = request(0, "server.version", &json!(["test", "1.4"]));
    let (_, reply) = through(&proxy, "one.example", 1, &line);
    assert!(reply.contains("ElectrumX 1.15.0"), "{reply}");
    let (_, reply) = through(&proxy, "abc.onion", 50001, &line);
    assert!(reply.contains("ElectrumX 2.0b1"), "{reply}");
    let (verdict, _) = through(&proxy, "abc.onion", 50002, &line);
    assert_eq!(verdict, 4);
    let (verdict, _) = through(&proxy, "two.example", 1, &line);
    assert_eq!(verdict, 4);
    let targets: Vec<_> = proxy.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(
        targets,
        [
            "one.example:1",
            "abc.onion:50001",
            "abc.onion:50002",
            "two.example:1"
        ]
    );
    old.wait("the line", |log| log[0].methods() == ["server.version"]);
    assert_eq!(new.connections().len(), 1);
}
