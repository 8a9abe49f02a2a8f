//! What the system grants: address space (`ulimit -v`), which threads and the
//! allocator reserve much of, and threads themselves (`ulimit -u`).

#![cfg(target_os = "linux")]
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::support::electrum::chain::Chain;
use crate::support::electrum::{Electrum, Options, Version};
use crate::support::electrum_plugin;
use crate::support::node::{Flavour, Node};
use crate::support::plugin::{Plugin, Start};
use crate::support::run::copy_program;

const BINARY: &str = env!("CARGO_BIN_EXE_ncprop279");

/// 400 MB, in the unit of `ulimit -v`.
const LIMIT: &str = "ulimit -v 400000";

/// A shell that does `steps` and becomes the plugin, which is `$0`.
fn limited(steps: &str, binary: &Path, arguments: &[String]) -> Start {
    let script = format!("{LIMIT}; {steps}");
    let mut all = vec!["-c".to_owned(), script, binary.to_str().unwrap().to_owned()];
    all.extend(arguments.iter().cloned());
    Start::of(Path::new("/bin/sh"), &all)
}

/// The plugin under the limit.
fn plugin(arguments: &[String]) -> Plugin {
    limited(r#"exec "$0" "$@""#, Path::new(BINARY), arguments).ready()
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
    let mut plugin = plugin(&node.arguments(&["--timeout", "60"]));
    two_hundred_ids_at_once(&node, &mut plugin);
    // Not by good luck: far from the limit.
    let reserved = reserved(&plugin);
    assert!(reserved < 200_000, "{reserved} KiB");
    plugin.finish();
}

/// Two more threads for each lookup.
#[test]
fn two_hundred_ids_at_electrum_servers_fit_into_400_mb() {
    let mut chain = Chain::new();
    chain.register("d/a", electrum_plugin::ip("192.0.2.1"));
    chain.mine(12);
    let servers = [Version::V1_15, Version::V2_0b1].map(|version| {
        let mut options = Options::new(version);
        // Long enough for all slots to be taken.
        options.delay = Duration::from_millis(300);
        Electrum::start(chain.clone(), options)
    });
    let mut arguments = vec!["--network=regtest".to_owned(), "-v".to_owned()];
    arguments.push("--timeout=60".to_owned());
    for server in &servers {
        arguments.push(format!("--electrum-server={}:t", server.address()));
    }
    let mut plugin = plugin(&arguments);
    electrum_plugin::verified(&plugin, &chain);
    for id in 0..200 {
        plugin.send(&format!("RESOLVE {id} a.bit i{id}"));
    }
    for id in 0..200 {
        assert_eq!(plugin.answer(&id.to_string()), "0 192.0.2.1");
    }
    plugin.finish();
}

/// A value nested as deeply as one may be, in every way that one can nest, and a
/// name of as many labels. A thread that looks it up has a stack for that.
#[test]
fn stacks_are_large_enough_for_the_deepest_values() {
    let depth = 130;
    let labels = "a.".repeat(120);
    let map = |label: &str| {
        let open = format!(r#"{{"map":{{"{label}":"#);
        format!(
            r#"{}{{"ip":"192.0.2.1"}}{}"#,
            open.repeat(depth),
            "}}".repeat(depth)
        )
    };
    let list = |item: &str| format!(r#"{{"{item}":{}{}}}"#, "[".repeat(259), "]".repeat(259));
    let values = [
        ("map", map("a")),
        ("wildcard", map("*")),
        ("ip", list("ip")),
        ("import", list("import")),
        ("txt", list("txt")),
        ("tls", list("tls")),
    ];
    let node = Node::start(Flavour::Core);
    let mut plugin = node.plugin(&[]);
    for (label, value) in values {
        node.set(&format!("d/{label}"), &value);
        for name in [format!("{label}.bit"), format!("{labels}{label}.bit")] {
            let answer = plugin.ask(&name, "i");
            assert!(
                answer.starts_with("3 ") || answer.starts_with("0 "),
                "{answer}"
            );
        }
    }
    plugin.finish();
}

/// Every thread has the bounded stack: it starts through `platform::thread`.
#[test]
fn every_thread_starts_in_one_place() {
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let is_exempt = path.ends_with("src/platform.rs")
                || path.components().any(|part| part.as_os_str() == "tests")
                || path.ends_with("tests.rs")
                || path.ends_with("fuzzing.rs");
            for call in ["thread::spawn(", "thread::Builder::new(", "scope.spawn("] {
                assert!(is_exempt || !code.contains(call), "{path:?}: {call}");
            }
        }
    }
}

/// Under the limit the program starts itself once more. Where that fails it
/// goes on, and a closed stdout is still a clean end.
#[test]
fn a_program_that_cannot_start_again_goes_on() {
    let node = Node::start(Flavour::Core);
    node.set("d/a", r#"{"ip":"192.0.2.1"}"#);
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("ncprop279");
    copy_program(Path::new(BINARY), &copy);
    let steps = r#"exec 9<"$0"; rm "$0"; exec /proc/self/fd/9 "$@""#;
    let mut plugin = limited(steps, &copy, &node.arguments(&[])).ready();
    assert_eq!(plugin.resolve("1", "a.bit", "i"), "0 192.0.2.1");
    plugin.finish();

    copy_program(Path::new(BINARY), &copy);
    let mut plugin = limited(steps, &copy, &node.arguments(&[])).deaf().spawn();
    plugin.close_stdout();
    let mut stdin = plugin.take_stdin();
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

/// A user that has no other process; only root can become one.
fn nobody_else() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    (1_000_000 + std::process::id() * 8 + count).to_string()
}

/// The plugin as a user who may have so many threads. `None` if this cannot be
/// arranged here.
fn with_threads(threads: u32, user: &str, home: &Path, names: &Path) -> Option<Start> {
    let can_be_arranged = ["setpriv", "prlimit"].iter().all(|tool| {
        let tried = std::process::Command::new(tool).arg("--version").output();
        tried.is_ok_and(|output| output.status.success())
    });
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    if !is_root || !can_be_arranged {
        println!("skipped: not root, or without setpriv and prlimit of util-linux");
        return None;
    }
    // The test's own folders may be closed to that user.
    let binary = home.join("ncprop279");
    copy_program(Path::new(BINARY), &binary);
    for path in [home, &binary] {
        std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    std::fs::set_permissions(names, Permissions::from_mode(0o644)).unwrap();
    let setpriv = ["setpriv", "--reuid", user, "--clear-groups"];
    let limit = format!("--nproc={threads}:100");
    let arguments = setpriv.into_iter().chain(["prlimit", &limit]).chain([
        binary.to_str().unwrap(),
        "--names-file",
        names.to_str().unwrap(),
        "--timeout=2",
    ]);
    let arguments: Vec<&str> = arguments.collect();
    Some(Start::of(Path::new("/usr/bin/env"), &arguments))
}

/// Deadlines hold without a single thread for lookups, and once there may be
/// some, lookups go on.
#[test]
fn threads_that_cannot_be_started_cost_no_deadline_and_are_tried_again() {
    let home = tempfile::tempdir().unwrap();
    let names = home.path().join("names.json");
    std::fs::write(&names, r#"{"d/a":"{\"ip\":\"192.0.2.1\"}"}"#).unwrap();
    // Without one for the timekeeper nothing is promised.
    let Some(start) = with_threads(1, &nobody_else(), home.path(), &names) else {
        return;
    };
    let mut plugin = start.spawn();
    let said = plugin.line();
    assert!(
        said.starts_with("INIT 1 1 \"no thread can be started"),
        "{said}"
    );
    // The first is the main thread, the second the timekeeper.
    let user = nobody_else();
    let start = with_threads(2, &user, home.path(), &names);
    let mut plugin = start.unwrap().ready();
    for id in 0..20 {
        plugin.send(&format!("RESOLVE {id} a.bit i{id}"));
    }
    for id in 0..20 {
        assert!(crate::support::is_transient(
            &plugin.answer(&id.to_string())
        ));
    }
    let grant = ["--reuid", &user, "prlimit", "--nproc=100:100", "--pid"];
    let mut granted = std::process::Command::new("setpriv");
    granted.args(grant).arg(plugin.id().to_string());
    assert!(granted.status().unwrap().success());
    plugin.send("RESOLVE 100 a.bit i");
    assert_eq!(plugin.answer("100"), "0 192.0.2.1");
    plugin.finish();
}
