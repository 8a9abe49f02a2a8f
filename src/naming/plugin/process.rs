//! A plugin's process and the pipes to it.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

/// How often to check whether a process has ended.
const EXIT_CHECK: Duration = Duration::from_millis(5);

/// A running plugin. It is killed and reaped when it is dropped.
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
}

/// What is possible after [`Process::wait`].
#[derive(Debug, Default)]
pub struct Possible {
    /// Reading returns bytes or the end.
    pub read: bool,
    /// Something can be written.
    pub write: bool,
    /// The plugin has closed its stdin.
    pub is_stdin_closed: bool,
    /// `wake` is readable.
    pub is_woken: bool,
}

impl Process {
    /// Has the shell run a command in a process group of its own. So a Ctrl-C in
    /// the terminal reaches only this program, which ends the plugin in order, and
    /// children of the plugin can be killed with it.
    ///
    /// # Errors
    /// No process can be started.
    pub fn start(command: &str) -> io::Result<Self> {
        let mut child = Command::new("/bin/sh")
            .arg("-c")
            .arg(format!("exec {command}"))
            .env("TOR_NS_PROTO_VERSION", "1")
            .env("TOR_NS_PLUGIN_OPTIONS", "")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(ErrorKind::BrokenPipe.into());
        };
        let process = Self {
            child,
            stdin: Some(stdin),
            stdout,
        };
        if let Some(stdin) = &process.stdin {
            rustix::io::ioctl_fionbio(stdin, true)?;
        }
        rustix::io::ioctl_fionbio(&process.stdout, true)?;
        Ok(process)
    }

    /// Waits until something can be read, written (if `wants_to_write`), or read
    /// from `wake`, or the time is up.
    ///
    /// # Errors
    /// The system cannot wait.
    pub fn wait(
        &self,
        wake: &impl std::os::fd::AsFd,
        wants_to_write: bool,
        limit: Option<Duration>,
    ) -> io::Result<Possible> {
        let Some(stdin) = &self.stdin else {
            return Err(ErrorKind::BrokenPipe.into());
        };
        // It is always reported that nobody reads any more.
        let of_stdin = match wants_to_write {
            true => PollFlags::OUT,
            false => PollFlags::empty(),
        };
        let mut watched = [
            PollFd::new(wake, PollFlags::IN),
            PollFd::new(&self.stdout, PollFlags::IN),
            PollFd::new(stdin, of_stdin),
        ];
        match poll(&mut watched, timespec(limit).as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Possible::default()),
            Err(error) => return Err(error.into()),
        }
        let [wake, stdout, stdin] = watched.map(|one| one.revents());
        Ok(Possible {
            read: !stdout.is_empty(),
            write: stdin.contains(PollFlags::OUT),
            is_stdin_closed: stdin.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL),
            is_woken: !wake.is_empty(),
        })
    }

    /// Reads without waiting: 0 bytes at the end, `None` if nothing has arrived.
    ///
    /// # Errors
    /// The pipe cannot be read.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        possible(self.stdout.read(buffer))
    }

    /// Writes without waiting: `None` if the pipe is full.
    ///
    /// # Errors
    /// The plugin has closed its stdin.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        match &mut self.stdin {
            Some(stdin) => possible(stdin.write(bytes)),
            None => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    /// How the process ended, if it does so within `limit`.
    pub fn end_within(&mut self, limit: Duration) -> Option<String> {
        let deadline = Instant::now() + limit;
        while !has_ended(&self.child) {
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(EXIT_CHECK);
        }
        self.kill();
        match self.child.wait() {
            Ok(status) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Closes stdin, which asks the plugin to end.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Kills the process and its children. Only for a process that has not been
    /// reaped: afterwards its id may belong to another one.
    fn kill(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It fails if none is left.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            // It has been reaped, so its id may belong to another process.
            return;
        }
        self.kill();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a process has ended. Does not reap it.
#[cfg(not(target_os = "openbsd"))]
fn has_ended(child: &Child) -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};

    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    pid.is_none_or(|pid| !matches!(waitid(WaitId::Pid(pid), options), Ok(None)))
}

/// On this system only reaping the process would show that.
#[cfg(target_os = "openbsd")]
fn has_ended(_: &Child) -> bool {
    false
}

/// `None` if it would block.
fn possible(done: io::Result<usize>) -> io::Result<Option<usize>> {
    match done {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A time limit for `poll`.
pub fn timespec(limit: Option<Duration>) -> Option<Timespec> {
    Timespec::try_from(limit?).ok()
}
