//! A proxy that declines credentials: then nothing isolates the connections.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::thread;

use crate::support::plugin::Plugin;

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
                let goes_on = stream.read_exact(&mut more).is_ok();
                let _ = told.send((methods, goes_on));
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
    let answer = plugin.resolve("1", "a.bit", "one");
    assert!(crate::support::is_transient(&answer), "{answer}");
    let heard: Vec<_> = heard.try_iter().collect();
    assert!(!heard.is_empty(), "the proxy was not asked");
    for (methods, goes_on) in heard {
        assert_eq!(methods, [2], "offers other than user and password");
        assert!(!goes_on, "went on without credentials");
    }
}
