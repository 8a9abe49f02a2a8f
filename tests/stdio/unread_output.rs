//! An output that nobody reads, and one that cannot be written.

#![cfg(target_os = "linux")]
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::PATIENCE;

const BINARY: &str = env!("CARGO_BIN_EXE_ncprop279");
const NAMES: [&str; 2] = ["--names-file", "examples/names.json"];

/// More answers than a pipe has room for, while the queries that are not read
/// then fit into another.
const QUERIES: usize = 4_000;

fn queries() -> String {
    let query = |id| format!("RESOLVE {id} example.bit i\n");
    (0..QUERIES).map(query).collect()
}

/// A running plugin whose output a test reads or not. It is killed in the end.
struct Running(Child);

impl Running {
    /// A query takes a second and a half at most, so the end three and a half.
    fn start(stdin: impl Into<Stdio>) -> Self {
        let child = Command::new(BINARY)
            .args(NAMES)
            .args(["--timeout", "1.5"])
            .stdin(stdin)
            .stdout(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    fn output(&mut self) -> ChildStdout {
        self.0.stdout.take().unwrap()
    }

    /// Its exit status, and how long that took from now.
    fn end(&mut self) -> (Option<i32>, Duration) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.0.try_wait().unwrap() {
                return (status.code(), begun.elapsed());
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("it does not end");
    }

    #[track_caller]
    fn gives_up(&mut self) {
        let (code, time) = self.end();
        assert_eq!(code, Some(0));
        // The time of the last query and two seconds, on a busy machine.
        assert!(time < Duration::from_secs(6), "{time:?}");
        // Not before that, as a client may be slow.
        assert!(time > Duration::from_secs(1), "{time:?}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_closed_pipe_and_an_unread_output_end_it() {
    let mut plugin = Running::start(Stdio::piped());
    let _unread = plugin.output();
    let mut stdin = plugin.0.stdin.take().unwrap();
    stdin.write_all(queries().as_bytes()).unwrap();
    drop(stdin);
    plugin.gives_up();
}

#[test]
fn a_socket_closed_for_writing_and_an_unread_output_end_it() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut plugin = Running::start(OwnedFd::from(theirs));
    let _unread = plugin.output();
    ours.write_all(queries().as_bytes()).unwrap();
    ours.shutdown(Shutdown::Write).unwrap();
    plugin.gives_up();
}

#[test]
fn a_file_and_an_unread_output_end_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queries");
    std::fs::write(&path, queries()).unwrap();
    let mut plugin = Running::start(File::open(&path).unwrap());
    let _unread = plugin.output();
    plugin.gives_up();
}

/// It may read on any moment.
#[test]
fn an_unread_output_does_not_end_it_while_the_input_is_open() {
    let mut plugin = Running::start(Stdio::piped());
    let mut stdin = plugin.0.stdin.take().unwrap();
    stdin.write_all(queries().as_bytes()).unwrap();
    // Longer than the time after which it would be given up.
    thread::sleep(Duration::from_secs(5));
    assert!(plugin.0.try_wait().unwrap().is_none());
    let mut output = plugin.output();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        text.lines().count()
    });
    drop(stdin);
    assert_eq!(plugin.end().0, Some(0));
    assert_eq!(reader.join().unwrap(), QUERIES + 1);
}

/// The whole takes longer than one write may.
#[test]
fn a_slow_reader_gets_every_answer() {
    let mut plugin = Running::start(Stdio::piped());
    let mut output = plugin.output();
    let mut stdin = plugin.0.stdin.take().unwrap();
    stdin.write_all(queries().as_bytes()).unwrap();
    drop(stdin);
    let mut text = Vec::new();
    let mut part = [0; 8 << 10];
    loop {
        let count = output.read(&mut part).unwrap();
        if count == 0 {
            break;
        }
        text.extend_from_slice(&part[..count]);
        thread::sleep(Duration::from_millis(350));
    }
    let answers = text.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(answers, QUERIES + 1);
    assert_eq!(plugin.end().0, Some(0));
}

/// The plugin, and every command.
const COMMANDS: [&[&str]; 12] = [
    &[],
    &["resolve", "example.bit"],
    &["resolve", "--explain", "example.bit"],
    &["resolve", "--json", "example.bit"],
    &["records", "example.bit"],
    &["records", "--json", "example.bit"],
    &["check"],
    &["check", "--json"],
    &["config"],
    &["completions", "bash"],
    &["--help"],
    &["--version"],
];

fn run(arguments: &[&str], stdout: impl Into<Stdio>) -> Output {
    let names: &[&str] = match arguments.first() {
        Some(&"completions" | &"--help" | &"--version") => &[],
        _ => &NAMES,
    };
    Command::new(BINARY)
        .args(arguments)
        .args(names)
        .stdin(Stdio::null())
        .stdout(stdout)
        .output()
        .unwrap()
}

#[test]
fn a_full_disk_is_status_1() {
    for arguments in COMMANDS {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let end = run(arguments, full);
        assert_eq!(end.status.code(), Some(1), "{arguments:?}: {end:?}");
        let said = String::from_utf8_lossy(&end.stderr);
        assert!(said.contains("stdout cannot be written"), "{said}");
    }
}

/// The first line fits, what follows does not.
#[test]
fn a_disk_that_becomes_full_is_status_1() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("answers");
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"";
    let mut shell = Command::new("sh")
        .args(["-c", script, BINARY])
        .args(NAMES)
        .stdin(Stdio::piped())
        .stdout(File::create(&path).unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = shell.stdin.take().unwrap();
    // It may end before all is written.
    let _ = stdin.write_all(queries().as_bytes());
    drop(stdin);
    let end = shell.wait_with_output().unwrap();
    assert_eq!(end.status.code(), Some(1), "{end:?}");
    let said = String::from_utf8_lossy(&end.stderr);
    assert!(said.contains("stdout cannot be written"), "{said}");
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written.starts_with("INIT 1 0\n"), "{written}");
}

/// `ncprop279 … | head` is nobody's mistake.
#[test]
fn a_closed_stdout_is_no_failure() {
    for arguments in COMMANDS {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let end = run(arguments, writer);
        assert_eq!(end.status.code(), Some(0), "{arguments:?}: {end:?}");
        assert!(end.stderr.is_empty(), "{arguments:?}: {end:?}");
    }
}

/// Answers that nobody reads hold up one thread, not one each.
#[test]
fn answers_that_wait_to_be_read_take_no_threads() {
    const MANY: usize = 6_000;
    let mut plugin = Running::start(Stdio::piped());
    let mut stdin = plugin.0.stdin.take().unwrap();
    let mut output = plugin.output();
    let asking = thread::spawn(move || {
        for id in 0..MANY {
            writeln!(stdin, "RESOLVE {id} example.bit i{id}").unwrap();
        }
        // Kept open: nothing is given up.
        stdin
    });
    let threads = || {
        let path = format!("/proc/{}/status", plugin.0.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("Threads:"));
        line.unwrap().trim().parse::<u32>().unwrap()
    };
    // Until nothing happens any more, as the pipe is full.
    let (mut most, mut last, mut quiet) = (0, 0, 0);
    let begun = Instant::now();
    while quiet < 40 && begun.elapsed() < PATIENCE {
        let now = threads();
        quiet = if now == last { quiet + 1 } else { 0 };
        (last, most) = (now, most.max(now));
        thread::sleep(Duration::from_millis(5));
    }
    // Then all are answered.
    let mut answers = Vec::new();
    let mut part = [0; 65_536];
    let is_whole = |answers: &[u8]| answers.iter().filter(|byte| **byte == b'\n').count() > MANY;
    while !is_whole(&answers) {
        let count = output.read(&mut part).unwrap();
        assert!(count > 0, "the output ended");
        answers.extend_from_slice(&part[..count]);
    }
    drop(asking.join().unwrap());
    // 132 workers and a few others (spec/isolation.md).
    assert!(most <= 140, "{most} threads");
}
