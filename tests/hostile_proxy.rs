//! A proxy that declines credentials: then nothing isolates the connections.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use support::plugin::Plugin;

/// ureq offers "no authentication" besides, and goes on if that is chosen.
#[test]
fn a_proxy_that_takes_no_credentials_gets_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap().to_string();
    let (told, heard) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let told = told.clone();
            thread::spawn(move || {
                let mut head = [0; 2];
                if stream.read_exact(&mut head).is_err() {
                    return;
                }
                let mut methods = vec![0; usize::from(head[1])];
                stream.read_exact(&mut methods).unwrap();
                let _ = stream.write_all(&[5, 0]);
                let mut more = [0; 1];
                if stream.read_exact(&mut more).is_ok() {
                    let _ = told.send(methods);
                }
            });
        }
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "rpc-user = \"u\"\nrpc-password = \"p\"\n").unwrap();
    let onion = "nodenodenodenodenodenodenodenodenodenodenodenodenodenode.onion";
    let mut plugin = Plugin::start(&[
        "--proxy",
        &proxy,
        "--rpc-address",
        onion,
        "--config",
        file.path().to_str().unwrap(),
        "--timeout",
        "3",
    ]);
    plugin.send("RESOLVE 1 a.bit one");
    let offered = heard.recv_timeout(Duration::from_secs(5));
    assert!(offered.is_err(), "went on without credentials: {offered:?}");
}
