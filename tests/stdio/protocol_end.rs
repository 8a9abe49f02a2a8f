//! How the plugin ends (spec/prop279-isolation.md, E1 to E4).

use std::io::Write;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::support::plugin::{Plugin, Start};

const NAMES: &str = r#"{"d/a":{"ip":"192.0.2.1"}}"#;
const NOWHERE: [&str; 2] = ["--rpc-address", "127.0.0.1:1"];
const SIGNALS: [&str; 2] = ["TERM", "INT"];

/// Writes lines until nobody takes them any more; a beat for each portion.
fn flood(plugin: &mut Plugin, line: &'static str) -> Receiver<()> {
    let mut stdin = plugin.take_stdin();
    let (beat, beats) = channel();
    thread::spawn(move || {
        let portion = line.repeat(100);
        for _ in 0..2_000 {
            if stdin.write_all(portion.as_bytes()).is_err() || beat.send(()).is_err() {
                return;
            }
        }
    });
    beats
}

/// Waits until the flood stands still, or is over.
fn wait_until_stuck(beats: &Receiver<()>) {
    while beats.recv_timeout(Duration::from_millis(300)).is_ok() {}
}

/// E1: within their time, and with status 1, as an attempt had failed.
#[test]
fn queries_under_way_are_answered_after_stdin_is_closed() {
    let mut plugin = Plugin::start(&[&NOWHERE[..], &["--timeout", "0.7"]].concat());
    plugin.send("RESOLVE 1 a.bit i\nRESOLVE 2 b.bit i\nRESOLVE 3 a.bit j");
    plugin.close_stdin();
    assert_eq!(plugin.wait().code(), Some(0), "{}", plugin.story());
    let mut lines = plugin.rest();
    lines.sort();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (line, id) in lines.iter().zip(1..) {
        assert!(line.starts_with(&format!("RESOLVED {id} 1 \"")), "{line}");
    }
}

#[test]
fn answers_from_a_file_are_complete_after_stdin_is_closed() {
    let mut plugin = Plugin::with_names(NAMES, &[]);
    // The last line has no end.
    plugin.send_bytes(b"RESOLVE 1 a.bit i\nRESOLVE 2 a.bit j");
    plugin.close_stdin();
    assert_eq!(plugin.wait().code(), Some(0), "{}", plugin.story());
    let mut lines = plugin.rest();
    lines.sort();
    assert_eq!(lines, ["RESOLVED 1 0 192.0.2.1", "RESOLVED 2 0 192.0.2.1"]);
}

#[test]
fn stdin_closed_at_once_is_a_clean_end() {
    let mut plugin = Start::new(&NOWHERE).spawn();
    plugin.close_stdin();
    assert_eq!(plugin.wait().code(), Some(0), "{}", plugin.story());
    assert_eq!(plugin.rest(), ["INIT 1 0"]);
    assert!(plugin.all_complaints().is_empty(), "{}", plugin.story());
}

#[test]
fn a_signal_ends_an_idle_plugin() {
    for signal in SIGNALS {
        let mut plugin = Plugin::with_names(NAMES, &[]);
        plugin.signal(signal);
        let status = plugin.wait();
        assert_eq!(status.code(), Some(0), "{signal}: {status}");
        assert!(plugin.all_complaints().is_empty(), "{}", plugin.story());
    }
}

/// E2: it does not wait for the node's time to be up, which is an hour here.
#[test]
fn a_signal_ends_a_plugin_that_waits_for_a_node() {
    for signal in SIGNALS {
        let mut plugin = Plugin::start(&[&NOWHERE[..], &["--timeout", "3600"]].concat());
        plugin.send("RESOLVE 1 a.bit i\nRESOLVE 2 foo.com i");
        assert!(plugin.answer("2").starts_with("2 "));
        plugin.signal(signal);
        let status = plugin.wait();
        assert_eq!(status.code(), Some(0), "{signal}: {status}");
    }
}

/// The same after stdin was closed, while the last queries are waited for.
#[test]
fn a_signal_ends_a_plugin_whose_stdin_is_closed() {
    for signal in SIGNALS {
        let mut plugin = Plugin::start(&[&NOWHERE[..], &["--timeout", "3600"]].concat());
        plugin.send("RESOLVE 1 a.bit i\nRESOLVE 2 foo.com i");
        assert!(plugin.answer("2").starts_with("2 "));
        plugin.close_stdin();
        plugin.signal(signal);
        let status = plugin.wait();
        assert_eq!(status.code(), Some(0), "{signal}: {status}");
    }
}

/// E2: nobody reads stdout, so that every write to it blocks.
#[test]
fn a_signal_ends_a_plugin_whose_stdout_is_blocked() {
    for signal in SIGNALS {
        let mut plugin = Start::new(&NOWHERE).deaf().spawn();
        let beats = flood(&mut plugin, "RESOLVE 1 foo.com i\n");
        wait_until_stuck(&beats);
        plugin.signal(signal);
        let status = plugin.wait();
        assert_eq!(status.code(), Some(0), "{signal}: {status}");
    }
}

/// The same with lookups under way, which end in the meantime.
#[test]
fn a_signal_ends_a_blocked_plugin_with_lookups() {
    for signal in SIGNALS {
        let mut plugin = Start::new(&[&NOWHERE[..], &["--timeout", "0.2"]].concat())
            .deaf()
            .spawn();
        let beats = flood(
            &mut plugin,
            "RESOLVE 1 a.bit i\nRESOLVE 2 b.bit j\nRESOLVE 3 foo.com i\nCANCEL 4\n",
        );
        wait_until_stuck(&beats);
        plugin.signal(signal);
        let status = plugin.wait();
        assert_eq!(status.code(), Some(0), "{signal}: {status}");
    }
}

/// A pipe that is full, for a stderr that blocks every write. The reader must
/// be kept.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut filler = writer.try_clone().unwrap();
    let (beat, beats) = channel();
    thread::spawn(move || {
        // Byte by byte, so that no room for a short line is left.
        while filler.write_all(b"x").is_ok() && beat.send(()).is_ok() {}
    });
    wait_until_stuck(&beats);
    (reader, writer)
}

/// E2, and answers do not depend on who reads the log.
#[test]
fn a_blocked_stderr_blocks_neither_answers_nor_the_end() {
    for end in ["TERM", "INT", "stdin"] {
        let (reader, writer) = full_pipe();
        let mut plugin = Start::new(&NOWHERE).stderr(writer).spawn();
        assert_eq!(plugin.line(), "INIT 1 0", "{end}");
        for id in 0..200 {
            // Each earns a line on stderr.
            plugin.send("RESOLVE x");
            let answer = plugin.resolve(&id.to_string(), "foo.com", "i");
            assert!(answer.starts_with("2 \""), "{answer}");
        }
        match end {
            "stdin" => plugin.close_stdin(),
            signal => plugin.signal(signal),
        }
        let status = plugin.wait();
        assert_eq!(status.code(), Some(0), "{end}: {status}");
        drop(reader);
    }
}

/// Warnings about the configuration come before INIT and must not hold it up.
#[test]
fn a_blocked_stderr_does_not_hold_up_init() {
    let (reader, writer) = full_pipe();
    let arguments = [&NOWHERE[..], &["--rpc-user", "u", "--rpc-password", "p"]].concat();
    let mut plugin = Start::new(&arguments).stderr(writer).spawn();
    assert_eq!(plugin.line(), "INIT 1 0");
    plugin.finish();
    drop(reader);
}

/// The same where the configuration will not do.
#[test]
fn a_closed_or_unread_stderr_does_not_hide_a_failed_init() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut plugin = Start::new(&["--timeout", "x"]).stderr(writer).spawn();
    assert!(plugin.line().starts_with("INIT 1 1 \""));
    assert_eq!(plugin.wait().code(), Some(1));
}

/// A stderr that is closed changes nothing.
#[test]
fn a_closed_stderr_changes_no_answer() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let arguments = [&NOWHERE[..], &["--rpc-user", "u", "--rpc-password", "p"]].concat();
    let mut plugin = Start::new(&arguments).stderr(writer).spawn();
    assert_eq!(plugin.line(), "INIT 1 0");
    plugin.send("RESOLVE x");
    let answer = plugin.resolve("1", "foo.com", "i");
    assert!(answer.starts_with("2 \""), "{answer}");
    plugin.finish();
}

/// E3: the client is gone, and its log need not hear of it.
#[test]
fn a_closed_stdout_is_a_clean_end() {
    for line in [
        "RESOLVE 1 foo.com i\n",
        "CANCEL 1\n",
        "RESOLVE 1 a.bit i\n",
        "RESOLVE 1\n",
    ] {
        let mut plugin = Start::new(&[&NOWHERE[..], &["--timeout", "0.3"]].concat())
            .deaf()
            .spawn();
        plugin.close_stdout();
        // Not closed: the plugin must notice by stdout alone. It may be gone
        // before the line is written.
        let mut stdin = plugin.take_stdin();
        let _ = stdin.write_all(line.as_bytes());
        assert_eq!(plugin.wait().code(), Some(0), "{line}{}", plugin.story());
        let mut complaints = plugin.all_complaints();
        complaints.retain(|line| !line.contains("lookups fail for now"));
        assert!(complaints.is_empty(), "{}", plugin.story());
        drop(stdin);
    }
}

/// E3 in the middle of a flood.
#[test]
fn stdout_closed_while_it_is_blocked_is_a_clean_end() {
    let mut plugin = Start::new(&NOWHERE).deaf().spawn();
    let beats = flood(&mut plugin, "RESOLVE 1 foo.com i\n");
    wait_until_stuck(&beats);
    plugin.close_stdout();
    assert_eq!(plugin.wait().code(), Some(0), "{}", plugin.story());
    assert!(plugin.all_complaints().is_empty(), "{}", plugin.story());
}

/// E4: whatever is written, the next query is answered.
#[test]
fn no_input_ends_the_plugin() {
    let mut plugin = Plugin::with_names(NAMES, &[]);
    // A generator with a fixed seed: the same bytes in each run.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut junk = Vec::new();
    for _ in 0..200_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        junk.push((state >> 32) as u8);
    }
    plugin.send_bytes(&junk);
    // Requests with odd bytes in every place.
    for byte in 0..=u8::MAX {
        for place in 0..4 {
            let mut words = [&b"RESOLVE"[..], b"-77", b"a.bit", b"i"].map(<[u8]>::to_vec);
            words[place].push(byte);
            plugin.send_bytes(b"\n");
            plugin.send_bytes(&words.join(&b' '));
        }
    }
    plugin.send("");
    assert_eq!(plugin.resolve("9999", "a.bit", "i"), "0 192.0.2.1");
    plugin.finish();
}
