//! Answers that are made while the client reads slowly: what they are made of
//! may have outlived its time by then.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::node::{Flavour, Node};

/// A line of the client is short and its answer long, so that the answers to
/// one read fill the pipe and a write several times over.
const QUERIES: usize = 2500;

/// Answers that may have been given before the plugin waited for its client:
/// those in the pipe, those being written, and as many to spare.
const BEFORE: usize = 1100;

/// The pipe is full, the plugin waits in the middle of the lines of one read,
/// and meanwhile the cached value outlives its time. The lines behind are not
/// answered with it (`spec/isolation.md`, "Shared bounds": a cached value is
/// dropped then).
#[test]
fn no_value_is_answered_after_its_time_because_the_client_read_slowly() {
    let host = |first: char| {
        let label = first.to_string().repeat(60);
        format!("{label}.{label}.{label}.{label}.example")
    };
    let (old, new) = (host('a'), host('b'));
    let node = Node::start(Flavour::Core);
    node.set("d/x", &format!(r#"{{"alias":"{old}."}}"#));
    let mut child = Command::new(env!("CARGO_BIN_EXE_ncprop279"))
        .args(node.arguments(&["--cache-ttl", "1"]))
        .env_remove("TOR_NS_PROTO_VERSION")
        .env_remove("TOR_NS_PLUGIN_OPTIONS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = || {
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    assert_eq!(line(), "INIT 1 0");
    stdin.write_all(b"RESOLVE 0 x.bit i\n").unwrap();
    assert_eq!(line(), format!("RESOLVED 0 0 {old}"));
    node.set("d/x", &format!(r#"{{"alias":"{new}."}}"#));
    let queries: String = (1..=QUERIES)
        .map(|number| format!("RESOLVE {number} x.bit i\n"))
        .collect();
    assert!(queries.len() < 65_536);
    stdin.write_all(queries.as_bytes()).unwrap();
    // The time of the value, and more; nothing is read meanwhile.
    thread::sleep(Duration::from_secs(2));
    let answers: Vec<String> = (0..QUERIES).map(|_| line()).collect();
    drop(stdin);
    child.wait().unwrap();
    let stale = answers
        .iter()
        .skip(BEFORE)
        .filter(|one| one.ends_with(&old));
    let stale = stale.count();
    assert_eq!(
        stale, 0,
        "{stale} answers are from a value that had ended before"
    );
}
