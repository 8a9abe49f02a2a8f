//! The real binary as a child process, with bounded waits for what it says.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::PATIENCE;

/// What a stream has said so far.
#[derive(Default)]
struct Heard {
    lines: Vec<String>,
    ended: bool,
}

type Ear = Arc<(Mutex<Heard>, Condvar)>;

fn listen(stream: impl Read + Send + 'static) -> Ear {
    let ear = Ear::default();
    let heard = Arc::clone(&ear);
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while matches!(stream.read_until(b'\n', &mut line), Ok(n) if n > 0) {
            // Escaped, so that nothing hides in a failing test's output.
            let text = line.strip_suffix(b"\n").map_or_else(
                || format!("{}<no line end>", line.escape_ascii()),
                |line| match std::str::from_utf8(line) {
                    Ok(text) => text.to_owned(),
                    Err(_) => line.escape_ascii().to_string(),
                },
            );
            heard.0.lock().unwrap().lines.push(text);
            heard.1.notify_all();
            line.clear();
        }
        heard.0.lock().unwrap().ended = true;
        heard.1.notify_all();
    });
    ear
}

/// How the binary is started.
pub struct Start {
    command: Command,
    _home: tempfile::TempDir,
    read_stdout: bool,
}

impl Start {
    pub fn new<S: AsRef<str>>(arguments: &[S]) -> Self {
        Self::of(env!("CARGO_BIN_EXE_ncprop279").as_ref(), arguments)
    }

    /// A copy of the binary that lies elsewhere.
    pub fn of<S: AsRef<str>>(binary: &std::path::Path, arguments: &[S]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(binary);
        command
            .args(arguments.iter().map(AsRef::as_ref))
            .env_remove("TOR_NS_PROTO_VERSION")
            .env_remove("TOR_NS_PLUGIN_OPTIONS")
            .env_remove("TOR_NS_STATE_LOCATION")
            .env_remove("XDG_STATE_HOME")
            .env("HOME", home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self {
            command,
            _home: home,
            read_stdout: true,
        }
    }

    /// The home directory that the child will have; it is empty.
    pub fn home(&self) -> &std::path::Path {
        self._home.path()
    }

    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self
    }

    /// Nobody reads stdout.
    pub fn deaf(mut self) -> Self {
        self.read_stdout = false;
        self
    }

    /// stderr goes elsewhere; nothing is known of what it says.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.command.stderr(stderr);
        self
    }

    /// Starts the plugin and takes its first line, which must say that it is
    /// ready.
    pub fn ready(self) -> Plugin {
        let mut plugin = self.spawn();
        assert_eq!(plugin.line(), "INIT 1 0", "{}", plugin.story());
        plugin
    }

    pub fn spawn(mut self) -> Plugin {
        let mut child = self.command.spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().unwrap();
        // Of what goes elsewhere nothing is to be waited for.
        let stderr = match child.stderr.take() {
            Some(stderr) => listen(stderr),
            None => listen(std::io::empty()),
        };
        let (ear, unread) = if self.read_stdout {
            (listen(stdout), None)
        } else {
            (Ear::default(), Some(stdout))
        };
        Plugin {
            child,
            stdin,
            stdout: ear,
            unread,
            stderr,
            next: 0,
            asked: 0,
            _home: self._home,
            names: None,
        }
    }
}

/// A running child. It is killed when the test is done with it.
pub struct Plugin {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Ear,
    /// Kept open and not read.
    unread: Option<std::process::ChildStdout>,
    stderr: Ear,
    next: usize,
    asked: usize,
    _home: tempfile::TempDir,
    /// Kept as long as the child may read it.
    names: Option<tempfile::NamedTempFile>,
}

impl Plugin {
    /// Starts the plugin and takes its first line, which must say that it is
    /// ready.
    pub fn start<S: AsRef<str>>(arguments: &[S]) -> Self {
        Start::new(arguments).ready()
    }

    /// Starts the plugin on a names file with these contents.
    pub fn with_names(names: &str, arguments: &[&str]) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), names).unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let mut all = vec!["--names-file", &path];
        all.extend(arguments);
        let mut plugin = Self::start(&all);
        // The child reads it late.
        plugin.names = Some(file);
        plugin
    }

    /// Everything that was said, for the message of a failing test.
    pub fn story(&self) -> String {
        format!(
            "\nstdout: {:#?}\nstderr: {:#?}",
            self.stdout.0.lock().unwrap().lines,
            self.stderr.0.lock().unwrap().lines
        )
    }

    pub fn send(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes());
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    /// Takes stdin away, to be written by another thread.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap()
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    pub fn close_stdout(&mut self) {
        self.unread = None;
    }

    fn wait_for<T>(&self, ear: &Ear, what: &str, found: impl Fn(&Heard) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = ear.0.lock().unwrap();
        loop {
            if let Some(found) = found(&heard) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || heard.ended {
                drop(heard);
                panic!("no {what}{}", self.story());
            }
            heard = ear.1.wait_timeout(heard, left).unwrap().0;
        }
    }

    /// Whether the lines on stdout satisfy a condition within a time, or before
    /// their end if that is earlier.
    pub fn wait_until(&self, patience: Duration, found: impl Fn(&[String]) -> bool) -> bool {
        let deadline = Instant::now() + patience;
        let mut heard = self.stdout.0.lock().unwrap();
        while !found(&heard.lines) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || heard.ended {
                return false;
            }
            heard = self.stdout.1.wait_timeout(heard, left).unwrap().0;
        }
        true
    }

    /// The next line on stdout.
    pub fn line(&mut self) -> String {
        let at = self.next;
        let line = self.wait_for(&self.stdout, "further line", |heard| {
            heard.lines.get(at).cloned()
        });
        self.next += 1;
        line
    }

    /// The lines on stdout that are not taken yet, up to the end of the stream.
    pub fn rest(&mut self) -> Vec<String> {
        let at = self.next;
        let lines = self.wait_for(&self.stdout, "end of stdout", |heard| {
            heard
                .ended
                .then(|| heard.lines.get(at..).unwrap_or_default().to_vec())
        });
        self.next += lines.len();
        lines
    }

    /// Asks under an id and gives the rest of the answer's line, such as
    /// `0 192.0.2.1`. Waits for that answer only.
    pub fn resolve(&mut self, id: &str, name: &str, isolation: &str) -> String {
        self.send(&format!("RESOLVE {id} {name} {isolation}"));
        self.answer(id)
    }

    /// Asks under an id that no other query of the test has, and gives the
    /// rest of the answer's line.
    pub fn ask(&mut self, name: &str, isolation: &str) -> String {
        self.asked += 1;
        let id = format!("{}", 1_000_000 + self.asked);
        self.resolve(&id, name, isolation)
    }

    /// The answer to an id, wherever it stands in the output.
    pub fn answer(&self, id: &str) -> String {
        let begin = format!("RESOLVED {id} ");
        self.wait_for(&self.stdout, &format!("answer to {id}"), |heard| {
            let mut lines = heard.lines.iter().rev();
            lines.find_map(|line| line.strip_prefix(&begin).map(str::to_owned))
        })
    }

    /// All lines on stdout so far.
    pub fn lines(&self) -> Vec<String> {
        self.stdout.0.lock().unwrap().lines.clone()
    }

    /// A line on stderr that holds a text.
    pub fn complaint(&self, part: &str) -> String {
        self.wait_for(&self.stderr, &format!("{part:?} on stderr"), |heard| {
            heard.lines.iter().find(|line| line.contains(part)).cloned()
        })
    }

    /// The first lines on stderr that hold a text, so many of them.
    pub fn complaints(&self, part: &str, count: usize) -> Vec<String> {
        self.wait_for(
            &self.stderr,
            &format!("{count} {part:?} on stderr"),
            |heard| {
                let lines = heard.lines.iter().filter(|line| line.contains(part));
                let lines: Vec<_> = lines.take(count).cloned().collect();
                (lines.len() == count).then_some(lines)
            },
        )
    }

    /// Everything on stderr so far.
    pub fn said_on_stderr(&self) -> Vec<String> {
        self.stderr.0.lock().unwrap().lines.clone()
    }

    /// Everything on stderr, after it has ended.
    pub fn all_complaints(&self) -> Vec<String> {
        self.wait_for(&self.stderr, "end of stderr", |heard| {
            heard.ended.then(|| heard.lines.clone())
        })
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .unwrap();
        assert!(status.success());
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that was ever resident, in KiB.
    #[cfg(target_os = "linux")]
    pub fn peak_memory(&self) -> u64 {
        self.status_of("VmHWM:")
    }

    /// How much it has read, from files and streams, in bytes.
    #[cfg(target_os = "linux")]
    pub fn read_so_far(&self) -> u64 {
        self.number_in("io", "rchar:")
    }

    /// What the kernel says of the child, as a number.
    #[cfg(target_os = "linux")]
    pub fn status_of(&self, label: &str) -> u64 {
        self.number_in("status", label)
    }

    #[cfg(target_os = "linux")]
    fn number_in(&self, file: &str, label: &str) -> u64 {
        let path = format!("/proc/{}/{file}", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find(|line| line.starts_with(label));
        let mut words = line.unwrap().split_whitespace();
        words.nth(1).unwrap().parse().unwrap()
    }

    /// Whether the child has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the child to end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end{}", self.story());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Closes stdin, waits for the end, and checks that it was a clean one.
    pub fn finish(mut self) {
        self.close_stdin();
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", self.story());
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
