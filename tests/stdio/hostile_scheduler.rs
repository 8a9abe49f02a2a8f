//! Attacks on the scheduler and on the exchange with a node that stalls.

#![cfg(target_os = "linux")]

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::node::scripted::{Act, Node};
use crate::support::plugin::Plugin;
use crate::support::state::write_private;
use serde_json::{Value, json};

/// The path of a file with credentials.
fn config() -> &'static str {
    static FILE: LazyLock<&str> = LazyLock::new(|| {
        let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/hostile_scheduler.toml");
        write_private(path, "rpc-user = \"u\"\nrpc-password = \"p\"\n");
        path
    });
    &FILE
}

/// A node that answers as the function says; `None` is never answered, and its
/// connection stays open.
fn node(answer: impl Fn(usize, &Value) -> Option<Value> + Send + Sync + 'static) -> Node {
    Node::start(move |nth, request| match answer(nth, &request.body) {
        Some(body) => Act::Answer(200, body.to_string()),
        None => Act::Silence,
    })
}

fn start(node: &Node, more: &[&str]) -> Plugin {
    let (node, config) = (node.address.to_string(), config());
    let mut arguments = vec!["--rpc-address", &node, "--config", config];
    arguments.extend(more);
    Plugin::start(&arguments)
}

fn found(name: &Value) -> Option<Value> {
    let value = data_encoding::HEXLOWER.encode(br#"{"ip":"192.0.2.1"}"#);
    Some(json!({"result": {"name": name, "value": value}, "error": null, "id": 1}))
}

fn missing() -> Option<Value> {
    let message = "Name purportedly never existed";
    Some(json!({"result": null, "error": {"code": -4, "message": message}, "id": 1}))
}

fn synced() -> Option<Value> {
    let info = json!({"version": "4.0.6", "blockchain_height": 5, "server_height": 5});
    Some(json!({"result": info, "error": null, "id": 1}))
}

/// With all slots taken, a line must not cost a look at everyone who waits:
/// that took longer than any test waits.
#[test]
fn many_waiting_ids_do_not_hold_up_the_reader() {
    let node = node(|_, _| None);
    let mut plugin = start(&node, &["--timeout", "300"]);
    let lines: String = (0..9000)
        .map(|n| format!("RESOLVE {n} n{n}.bit id{n}\n"))
        .collect();
    plugin.send_bytes(lines.as_bytes());
    plugin.send("RESOLVE 999999 foo.com x");
    assert!(plugin.answer("999999").starts_with("2 "));
}

/// A worker that waits for the lock is busy, and no reason to start another.
/// The bound is 128 workers.
#[test]
fn worker_threads_keep_their_bound() {
    // Bound and not listening: connections are refused at once.
    let node = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ncprop279"))
        .args(["--rpc-address", &node.to_string(), "--config", config()])
        .args(["--timeout", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = thread::spawn(move || {
        for n in 0..8000 {
            if writeln!(stdin, "RESOLVE {n} n{n}.bit i{}", n % 500).is_err() {
                return;
            }
        }
        thread::sleep(Duration::from_secs(30));
    });
    let path = format!("/proc/{}/status", child.id());
    let mut most = 0;
    for _ in 0..80 {
        thread::sleep(Duration::from_millis(100));
        let status = std::fs::read_to_string(&path).unwrap();
        let line = status.lines().find(|line| line.starts_with("Threads:"));
        let count: usize = line.unwrap()[8..].trim().parse().unwrap();
        most = most.max(count);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    drop(writer);
    assert!(most <= 128 + 3, "{most} threads");
}

/// The clock ticks of processor time that a program has used, 10 ms each.
fn processor_time(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    let of_user_and_system = after_name.split_whitespace().skip(11).take(2);
    of_user_and_system
        .map(|word| word.parse::<u64>().unwrap())
        .sum()
}

/// All threads sleep while the node and the client say nothing.
#[test]
fn waiting_takes_no_processor_time() {
    let node = node(|_, _| None);
    let mut plugin = start(&node, &[]);
    plugin.send("RESOLVE 1 a.bit i");
    thread::sleep(Duration::from_millis(500));
    let before = processor_time(plugin.id());
    thread::sleep(Duration::from_secs(1));
    let used = processor_time(plugin.id()) - before;
    assert!(used <= 2, "{used} ticks");
}

/// A connection that swallowed one request (half-open, a dead circuit) keeps
/// the name from being asked again for the query's time and 60 s more.
#[test]
fn a_swallowed_request_is_asked_again() {
    let node = node(|nth, request| match nth {
        0 => None,
        _ => found(&request["params"][0]),
    });
    let mut plugin = start(&node, &["--timeout", "4", "--rpc-dialect", "core"]);
    let first = plugin.resolve("1", "a.bit", "i");
    // As StemNS does: the same line again after 1 and 4.
    thread::sleep(Duration::from_secs(1));
    let second = plugin.resolve("2", "a.bit", "i");
    assert_eq!(second, "0 192.0.2.1", "the first answer was {first}");
}

/// The value is there; what the node says of its version is not worth losing
/// it for.
#[test]
fn a_found_value_does_not_wait_for_getinfo() {
    let node = node(|_, request| match request["method"].as_str() {
        Some("getinfo") => None,
        _ => found(&request["params"]["identifier"]),
    });
    let mut plugin = start(&node, &["--timeout", "4", "--rpc-dialect", "electrum-nmc"]);
    assert_eq!(plugin.resolve("1", "a.bit", "i"), "0 192.0.2.1");
}

/// One id's getinfo that stalls must not fail other ids' queries: nobody may
/// feel another.
#[test]
fn a_stalled_getinfo_of_one_id_does_not_fail_another() {
    let asked = AtomicUsize::new(0);
    let node = node(move |_, request| match request["method"].as_str() {
        Some("getinfo") if asked.fetch_add(1, Ordering::SeqCst) == 0 => None,
        Some("getinfo") => synced(),
        _ => missing(),
    });
    let mut plugin = start(&node, &["--timeout", "4", "--rpc-dialect", "electrum-nmc"]);
    plugin.send("RESOLVE 1 gone.bit a");
    thread::sleep(Duration::from_millis(500));
    let other = plugin.resolve("2", "gone2.bit", "b");
    assert!(other.starts_with("3 "), "{other}");
}
