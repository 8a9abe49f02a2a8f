//! Nothing is touched before INIT but the configuration: the client waits for
//! that line, and a plugin that nobody reads does nothing behind its back.

#![cfg(target_os = "linux")]
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// A stream that takes no more bytes until the other end is read.
fn full() -> (UnixStream, UnixStream) {
    let (mut writer, reader) = UnixStream::pair().unwrap();
    writer.set_nonblocking(true).unwrap();
    for piece in [&[b'.'; 4096][..], b"."] {
        loop {
            match writer.write(piece) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    // Of both copies: the child's waits.
    writer.set_nonblocking(false).unwrap();
    (writer, reader)
}

/// Waits until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the process waits, and in writing as far as the kernel tells.
fn waits_to_write(process: &Path) -> bool {
    // write, on x86 with 64 bits and on most others.
    const WRITE: [&str; 2] = ["1", "64"];
    let status = fs::read_to_string(process.join("status")).unwrap();
    let call = fs::read_to_string(process.join("syscall"));
    let number = call.as_deref().unwrap_or("1").split(' ').next();
    status.contains("State:\tS") && number.is_some_and(|number| WRITE.contains(&number))
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The names of the process's threads, of the first one first.
fn threads(process: &Path) -> Vec<String> {
    let directory = process.join("task");
    let mut tasks: Vec<u32> = names(&directory)
        .iter()
        .map(|task| task.parse().unwrap())
        .collect();
    tasks.sort_unstable();
    let name = |task: u32| fs::read_to_string(directory.join(task.to_string()).join("comm"));
    let names = tasks.into_iter().map(|task| name(task).unwrap_or_default());
    names.map(|name| name.trim().to_owned()).collect()
}

/// What each open file of the process is.
fn files(process: &Path) -> Vec<String> {
    let directory = process.join("fd");
    let links = names(&directory).into_iter().filter_map(|name| {
        // Not that by which the directory was read, which is closed again.
        let target = fs::read_link(directory.join(name)).ok()?;
        Some(target.to_string_lossy().into_owned())
    });
    links.collect()
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn nothing_is_touched_before_init() {
    let state = tempfile::tempdir().unwrap();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let (writer, mut reader) = full();
    let child = Command::new(env!("CARGO_BIN_EXE_ncprop279"))
        .args(["--backend=electrum", "--network=regtest"])
        .arg("--electrum-server=server.example:50001:t")
        .arg(format!("--proxy={}", proxy.local_addr().unwrap()))
        .env_remove("TOR_NS_PROTO_VERSION")
        .env_remove("TOR_NS_PLUGIN_OPTIONS")
        .env("HOME", state.path())
        .env("TOR_NS_STATE_LOCATION", state.path())
        .stdin(Stdio::piped())
        .stdout(OwnedFd::from(writer.try_clone().unwrap()))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut child = Ended(child);
    let process = Path::new("/proc").join(child.0.id().to_string());

    // There is no other thread that could go on meanwhile but the timekeeper,
    // which has nothing to keep yet.
    until("the plugin does not wait for its client to read", || {
        waits_to_write(&process) && threads(&process) == ["ncprop279", "time"]
    });
    let ours = files(Path::new("/proc/self"));
    let given = |file: &String| ours.contains(file) || file == "/dev/null";
    let mut open = files(&process);
    open.retain(|file| !given(file));
    assert_eq!(open, Vec::<String>::new(), "opened before INIT");
    assert_eq!(names(state.path()), Vec::<String>::new());
    let connected = proxy.accept().unwrap_err();
    assert_eq!(connected.kind(), ErrorKind::WouldBlock);

    // With a client that reads, all of it comes.
    drop(writer);
    let mut said = Vec::new();
    until("no INIT", || {
        let mut part = [0; 4096];
        let count = reader.read(&mut part).unwrap();
        said.extend_from_slice(&part[..count]);
        said.ends_with(b"INIT 1 0\n")
    });
    until("no file was made", || !names(state.path()).is_empty());
    until("nobody came to the proxy", || proxy.accept().is_ok());
    drop(child.0.stdin.take());
    reader.shutdown(Shutdown::Both).unwrap();
}
