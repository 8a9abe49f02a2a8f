//! The guardian: a child process that lets go of Tor if this process is killed.
//!
//! While a controller has said that streams are to wait for it, all of them wait,
//! even if it is dead. The guardian reads from a pipe that the system closes
//! when this process ends, however it ends.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

use super::connection::{Connection, connect};
use super::worker::undo;
use crate::config::settings::{ControlAddress, NodeAddress, PluginCommand, ProxyAddress};
use crate::naming::Suffixes;
use crate::source::Cancel;

/// The first word of the command line that makes a process the guardian.
pub const WORD: &str = "serve-guardian";

/// How long to go on trying. A Tor that does not answer for so long has hung, or
/// has ended, and then leaves nothing unattached.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait between two attempts.
const AGAIN: Duration = Duration::from_millis(100);

/// The longest line in bytes: the path of a socket, or a password, in hexadecimal.
const MAX_LINE: u64 = 64 << 10;

//------------ In the process that is guarded ----------------------------------

/// The guardian of this process. When it is dropped the guardian ends and does
/// nothing.
pub struct Guardian {
    child: Mutex<Option<(Child, ChildStdin)>>,
}

impl Guardian {
    /// Starts the guardian.
    ///
    /// # Errors
    /// No process can be started.
    pub fn start(password: Option<&str>, plugins: &[PluginCommand]) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(WORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .spawn()?;
        let mut input = child
            .stdin
            .take()
            .ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
        if let Some(password) = password {
            say(&mut input, "password", password.as_bytes())?;
        }
        for plugin in plugins {
            say(&mut input, "suffix", plugin.suffix.as_bytes())?;
        }
        let child = Mutex::new(Some((child, input)));
        Ok(Self { child })
    }

    /// Has it let go of the Tor at `address`, too.
    ///
    /// # Errors
    /// The guardian has ended.
    pub fn watch(&self, address: &ProxyAddress) -> io::Result<()> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((_, input)) = child.as_mut() else {
            return Ok(());
        };
        match address {
            ProxyAddress::Tcp(address) => {
                let text = format!("{} {}", address.port, address.host);
                say(input, "tcp", text.as_bytes())
            }
            ProxyAddress::Unix(path) => {
                use std::os::unix::ffi::OsStrExt;
                say(input, "unix", path.as_os_str().as_bytes())
            }
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((mut child, mut input)) = child.take() {
            let _ = say(&mut input, "done", b"");
            drop(input);
            let _ = child.wait();
        }
    }
}

fn say(input: &mut ChildStdin, word: &str, value: &[u8]) -> io::Result<()> {
    let line = format!("{word} {}\n", HEXLOWER.encode(value));
    input.write_all(line.as_bytes())
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
    let Some(duty) = read(&mut BufReader::new(io::stdin().lock())) else {
        return;
    };
    let ours = Suffixes::new(&duty.plugins);
    thread::scope(|scope| {
        for address in &duty.addresses {
            let password = duty.password.as_deref();
            let ours = &ours;
            scope.spawn(move || let_go(address, password, ours));
        }
    });
}

fn let_go(address: &ProxyAddress, password: Option<&str>, ours: &Suffixes) {
    let deadline = Instant::now() + PATIENCE;
    let control = ControlAddress::At(address.clone());
    while Instant::now() < deadline {
        let attempt = || -> Option<()> {
            let (tcp, address) = connect(&control, password, deadline, &Cancel::new()).ok()?;
            let mut connection = Connection::new(tcp, &address).ok()?;
            undo(&mut connection, ours, deadline).ok()
        };
        if attempt().is_some() {
            return;
        }
        thread::sleep(AGAIN);
    }
}

/// Reads until the other process ends; `None` if it left Tor by itself.
fn read(input: &mut impl BufRead) -> Option<Duty> {
    use std::io::Read;
    use std::os::unix::ffi::OsStringExt;

    let mut duty = Duty::default();
    loop {
        let mut line = String::new();
        match input.take(MAX_LINE).read_line(&mut line) {
            Ok(0) => return Some(duty),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Some(duty),
            Ok(_) => {}
        }
        let Some((word, value)) = line.trim_end().split_once(' ') else {
            // The last line may be cut off.
            continue;
        };
        let Ok(bytes) = HEXLOWER.decode(value.as_bytes()) else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let address = match word {
            "done" => return None,
            "password" => {
                duty.password = Some(text);
                continue;
            }
            "suffix" => {
                let command = String::new();
                duty.plugins.push(PluginCommand {
                    suffix: text,
                    command,
                });
                continue;
            }
            "unix" => {
                let path = std::ffi::OsString::from_vec(bytes);
                ProxyAddress::Unix(Path::new(&path).to_owned())
            }
            "tcp" => {
                let Some((port, host)) = text.split_once(' ') else {
                    continue;
                };
                let Ok(port) = port.parse() else {
                    continue;
                };
                let host = host.to_owned();
                ProxyAddress::Tcp(NodeAddress { host, port })
            }
            _ => continue,
        };
        if !duty.addresses.contains(&address) {
            duty.addresses.push(address);
        }
    }
}
