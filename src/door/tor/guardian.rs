//! The guardian: a child process that lets go of Tor if this process is killed.
//!
//! While a controller has said that streams are to wait for it, all of them wait,
//! even if it is dead. The guardian reads from a pipe that the system closes
//! when this process ends, however it ends.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::connection::{Connection, ControlError, connect};
use super::undo;
use crate::config::settings::{ControlAddress, NodeAddress, PluginCommand, ProxyAddress};
use crate::log::Log;
use crate::naming::Suffixes;
use crate::platform;
use crate::source::Cancel;

/// The first word of the command line that makes a process the guardian.
pub const WORD: &str = "serve-guardian";

/// How long to go on trying. A Tor that does not answer for so long has ended, and
/// then leaves nothing unattached.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait between two attempts.
const AGAIN: Duration = Duration::from_millis(100);

/// The longest line in bytes: the path of a socket, or a password, in hexadecimal.
const MAX_LINE: u64 = 64 << 10;

//------------ In the process that is guarded ----------------------------------

/// How long the guardian may take to end after it has nothing to do any more.
const ENDING: Duration = Duration::from_millis(300);

/// The least time between two guardians.
const RESTART: Duration = Duration::from_secs(1);

/// The guardian of this process, which is replaced if it ends. When this value is
/// dropped, the guardian lets go of every Tor that was not left.
pub struct Guardian {
    state: Arc<Mutex<State>>,
    keeper: Option<JoinHandle<()>>,
}

struct State {
    /// What every guardian has to know: a word and a value.
    secrets: Vec<(&'static str, Vec<u8>)>,
    /// The Tors whose option is set.
    addresses: Vec<ProxyAddress>,
    /// The pipe to the guardian; `None` once this value is dropped.
    input: Option<ChildStdin>,
}

impl Guardian {
    /// Starts the guardian.
    ///
    /// # Errors
    /// No process or thread can be started.
    pub fn start(password: Option<&str>, plugins: &[PluginCommand], log: &Log) -> io::Result<Self> {
        let password = password.map(|password| ("password", password.as_bytes().to_vec()));
        let suffixes = plugins.iter();
        let suffixes = suffixes.map(|plugin| ("suffix", plugin.suffix.as_bytes().to_vec()));
        let mut state = State {
            secrets: password.into_iter().chain(suffixes).collect(),
            addresses: Vec::new(),
            input: None,
        };
        let child = state.spawn()?;
        let state = Arc::new(Mutex::new(state));
        let kept = Arc::clone(&state);
        let log = log.clone();
        let keeper = platform::thread("guardian").spawn(move || keep(child, &kept, &log))?;
        Ok(Self {
            state,
            keeper: Some(keeper),
        })
    }

    /// Has it let go of the Tor at `address`, too.
    pub fn watch(&self, address: &ProxyAddress) {
        let mut state = lock(&self.state);
        if !state.addresses.contains(address) {
            state.addresses.push(address.clone());
        }
        // One that has ended is replaced, and told everything.
        let _ = state.say_address("", address);
    }

    /// The Tor at `address` attaches its streams by itself again.
    pub fn left(&self, address: &ProxyAddress) {
        let mut state = lock(&self.state);
        state.addresses.retain(|watched| watched != address);
        let _ = state.say_address("no-", address);
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        lock(&self.state).input = None;
        let deadline = Instant::now() + ENDING;
        while let Some(keeper) = &self.keeper
            && !keeper.is_finished()
            && Instant::now() < deadline
        {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This program, also after an upgrade has replaced its file.
fn own_program() -> io::Result<PathBuf> {
    match cfg!(target_os = "linux") {
        true => Ok("/proc/self/exe".into()),
        false => std::env::current_exe(),
    }
}

/// Waits for the guardian to end, and starts another unless it was to end.
fn keep(mut child: Child, state: &Mutex<State>, log: &Log) {
    loop {
        let _ = child.wait();
        if lock(state).input.is_none() {
            return;
        }
        log.warn(
            "the process that lets go of Tor if this one is killed has ended; starting it again",
        );
        let mut is_reported = false;
        child = loop {
            thread::sleep(RESTART);
            let mut state = lock(state);
            if state.input.is_none() {
                return;
            }
            match state.spawn() {
                Ok(child) => break child,
                Err(error) if !std::mem::replace(&mut is_reported, true) => log.warn(format_args!(
                    "the process that lets go of Tor if this one is killed cannot be started: \
                     {error}; trying again"
                )),
                Err(_) => {}
            }
        };
    }
}

impl State {
    fn spawn(&mut self) -> io::Result<Child> {
        let mut child = Command::new(own_program()?)
            .arg0(env!("CARGO_PKG_NAME"))
            .arg(WORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .spawn()?;
        self.input = child.stdin.take();
        for (word, value) in self.secrets.clone() {
            self.say(word, &value)?;
        }
        for address in self.addresses.clone() {
            self.say_address("", &address)?;
        }
        Ok(child)
    }

    fn say_address(&mut self, prefix: &str, address: &ProxyAddress) -> io::Result<()> {
        match address {
            ProxyAddress::Tcp(address) => {
                let text = format!("{} {}", address.port, address.host);
                self.say(&format!("{prefix}tcp"), text.as_bytes())
            }
            ProxyAddress::Unix(path) => {
                let path = path.as_os_str().as_bytes();
                self.say(&format!("{prefix}unix"), path)
            }
        }
    }

    fn say(&mut self, word: &str, value: &[u8]) -> io::Result<()> {
        let line = format!("{word} {}\n", HEXLOWER.encode(value));
        match &mut self.input {
            Some(input) => input.write_all(line.as_bytes()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

//------------ In the guardian ---------------------------------------------------

/// What the guardian knows.
#[derive(Default)]
struct Duty {
    password: Option<String>,
    plugins: Vec<PluginCommand>,
    addresses: Vec<ProxyAddress>,
}

/// The life of the guardian. It ends when its input does.
pub fn run() {
    // Whoever ends the other process by a signal to a whole group or terminal must
    // not end this one first.
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT] {
        let ignored = Arc::new(AtomicBool::new(false));
        let _ = signal_hook::flag::register(signal, ignored);
    }
    let _ = rustix::process::setsid();
    let duty = read(&mut BufReader::new(io::stdin().lock()));
    let ours = Suffixes::new(&duty.plugins);
    thread::scope(|scope| {
        for address in &duty.addresses {
            let password = duty.password.as_deref();
            let ours = &ours;
            let work = move || let_go(address, password, ours);
            let spawned = platform::thread("guardian").spawn_scoped(scope, work);
            if spawned.is_err() {
                let_go(address, password, ours);
            }
        }
    });
}

fn let_go(address: &ProxyAddress, password: Option<&str>, ours: &Suffixes) {
    let deadline = Instant::now() + PATIENCE;
    let control = ControlAddress::At(address.clone());
    while Instant::now() < deadline {
        match connect(&control, password, deadline, &Cancel::new()) {
            Ok((tcp, address)) => {
                let connection = Connection::new(tcp, &address);
                let undone = connection
                    .and_then(|mut connection| undo::run(&mut connection, ours, deadline));
                if undone.is_ok() {
                    return;
                }
            }
            // There is no Tor any more, whose option could be set.
            Err(ControlError::Connect(error))
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                return;
            }
            Err(_) => {}
        }
        thread::sleep(AGAIN);
    }
}

/// Reads until the other process ends.
fn read(input: &mut impl BufRead) -> Duty {
    let mut duty = Duty::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        match input.take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) => return duty,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return duty,
            // The last line may be cut off.
            Ok(_) => drop(duty.learn(&line)),
        }
    }
}

impl Duty {
    /// Does what a line says; `None` if it says nothing.
    fn learn(&mut self, line: &[u8]) -> Option<()> {
        let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
        let (word, value) = line.split_once(' ')?;
        let value = HEXLOWER.decode(value.as_bytes()).ok()?;
        let text = || String::from_utf8(value.clone()).ok();
        let (leaves, word) = match word.strip_prefix("no-") {
            Some(word) => (true, word),
            None => (false, word),
        };
        let address = match word {
            "password" => {
                self.password = text();
                return Some(());
            }
            "suffix" => {
                self.plugins.push(PluginCommand {
                    suffix: text()?,
                    command: String::new(),
                });
                return Some(());
            }
            "unix" => ProxyAddress::Unix(OsString::from_vec(value).into()),
            "tcp" => {
                let text = text()?;
                let (port, host) = text.split_once(' ')?;
                ProxyAddress::Tcp(NodeAddress {
                    host: host.to_owned(),
                    port: port.parse().ok()?,
                })
            }
            _ => return None,
        };
        self.addresses.retain(|known| *known != address);
        if !leaves {
            self.addresses.push(address);
        }
        Some(())
    }
}
