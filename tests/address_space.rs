//! A limited address space (`ulimit -v`), which threads and the allocator
//! reserve much of.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod support;

use std::path::Path;

use support::node::{Flavour, Node};
use support::plugin::{Plugin, Start};

const BINARY: &str = env!("CARGO_BIN_EXE_ncprop279");

/// 400 MB, in the unit of `ulimit -v`.
const LIMIT: &str = "ulimit -v 400000";

/// A shell that does `steps` and becomes the plugin, which is `$0`.
fn limited(steps: &str, binary: &Path, node: &Node) -> Start {
    let script = format!("{LIMIT}; {steps}");
    let mut all = vec!["-c".to_owned(), script, binary.to_str().unwrap().to_owned()];
    all.extend(node.arguments(&["--timeout", "60"]));
    Start::of(Path::new("/bin/sh"), &all)
}

/// The most address space that was ever reserved, in KiB.
fn reserved(plugin: &Plugin) -> u64 {
    plugin.status_of("VmPeak:")
}

/// As many lookups at once as there are slots, and more that wait.
fn two_hundred_ids_at_once(node: &Node, plugin: &mut Plugin) {
    for id in 0..200 {
        node.set(&format!("d/n{id}"), r#"{"ip":"192.0.2.1"}"#);
        node.hold(&format!("d/n{id}"));
    }
    for id in 0..200 {
        plugin.send(&format!("RESOLVE {id} n{id}.bit i{id}"));
    }
    node.wait_for_names(64);
    node.release_all();
    for id in 0..200 {
        assert_eq!(plugin.answer(&id.to_string()), "0 192.0.2.1");
    }
}

#[test]
fn two_hundred_ids_fit_into_400_mb() {
    let node = Node::start(Flavour::Core);
    let mut plugin = limited(r#"exec "$0" "$@""#, Path::new(BINARY), &node).ready();
    two_hundred_ids_at_once(&node, &mut plugin);
    // Not by good luck: far from the limit.
    let reserved = reserved(&plugin);
    assert!(reserved < 200_000, "{reserved} KiB");
    plugin.finish();
}

/// Under the limit the program starts itself once more. Where that fails it
/// goes on, and a closed stdout is still a clean end.
#[test]
fn a_program_that_cannot_start_again_goes_on() {
    let node = Node::start(Flavour::Core);
    node.set("d/a", r#"{"ip":"192.0.2.1"}"#);
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("ncprop279");
    std::fs::copy(BINARY, &copy).unwrap();
    let steps = r#"exec 9<"$0"; rm "$0"; exec /proc/self/fd/9 "$@""#;
    let mut plugin = limited(steps, &copy, &node).ready();
    assert_eq!(plugin.resolve("1", "a.bit", "i"), "0 192.0.2.1");
    plugin.finish();

    std::fs::copy(BINARY, &copy).unwrap();
    let mut plugin = limited(steps, &copy, &node).deaf().spawn();
    plugin.close_stdout();
    let mut stdin = plugin.take_stdin();
    use std::io::Write;
    let _ = stdin.write_all(b"RESOLVE 1 foo.com i\n");
    assert_eq!(plugin.wait().code(), Some(0), "{}", plugin.story());
}

/// Without a limit nothing is started again.
#[test]
fn the_environment_is_left_alone_without_a_limit() {
    let node = Node::start(Flavour::Core);
    let plugin = node.plugin(&[]);
    let environment = std::fs::read(format!("/proc/{}/environ", plugin.id())).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(!environment.contains("NCPROP279_STARTED_AGAIN"));
    plugin.finish();
}
