//! What differs between operating systems.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Where programs keep their data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// In hidden directories of the home directory, or where XDG variables say.
    Unix,
    /// In `Library` in the home directory.
    MacOs,
    /// In the user's profile.
    Windows,
}

impl Platform {
    /// The platform that this program was built for.
    pub const CURRENT: Self = if cfg!(windows) {
        Self::Windows
    } else if cfg!(target_os = "macos") {
        Self::MacOs
    } else {
        Self::Unix
    };
}

/// The stack size of a thread. All of it takes address space, which a user may
/// limit. A value nested as deeply as permitted needs most: 600 KiB in an
/// unoptimised build.
const STACK: usize = 1 << 20;

/// A thread with a small stack. Every thread of the program is built here.
pub fn thread(name: &str) -> thread::Builder {
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK)
}

/// How long to wait if a non-blocking stream would block.
const PAUSE: Duration = Duration::from_millis(2);

/// The longest pause between two attempts to connect.
#[cfg(unix)]
const MAX_PAUSE: Duration = Duration::from_millis(100);

/// A standard stream without the standard library's buffer and lock, so that only
/// the call that reads or writes waits for the other side. It waits even if
/// somebody made the stream non-blocking.
pub struct Stream(File);

impl Stream {
    /// Standard input.
    ///
    /// # Errors
    /// It is closed.
    pub fn stdin() -> io::Result<Self> {
        clone(io::stdin()).map(Self)
    }

    /// Standard output.
    ///
    /// # Errors
    /// It is closed.
    pub fn stdout() -> io::Result<Self> {
        clone(io::stdout()).map(Self)
    }

    /// Standard error.
    ///
    /// # Errors
    /// It is closed.
    pub fn stderr() -> io::Result<Self> {
        clone(io::stderr()).map(Self)
    }
}

/// Whether a write failed because nobody reads any more, which is no error.
pub fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    )
}

impl Stream {
    /// A function that waits until nobody can write to the other side any more;
    /// `None` if that cannot be detected.
    #[cfg(unix)]
    pub fn hang_up(&self) -> Option<Box<dyn FnOnce() + Send>> {
        use rustix::event::{PollFd, PollFlags, poll};

        // A socket may be closed in one direction.
        #[cfg(target_os = "linux")]
        const WANTED: PollFlags = PollFlags::RDHUP;
        // It is always reported that nobody can write.
        #[cfg(not(target_os = "linux"))]
        const WANTED: PollFlags = PollFlags::empty();

        if self.0.metadata().is_ok_and(|metadata| metadata.is_file()) {
            // Nobody writes to a file that is our input.
            return Some(Box::new(|| {}));
        }
        let stream = self.0.try_clone().ok()?;
        Some(Box::new(move || {
            let mut watched = [PollFd::new(&stream, WANTED)];
            while poll(&mut watched, None) == Err(rustix::io::Errno::INTR) {}
        }))
    }

    /// This platform cannot detect it.
    #[cfg(not(unix))]
    pub fn hang_up(&self) -> Option<Box<dyn FnOnce() + Send>> {
        None
    }
}

#[cfg(unix)]
fn clone(stream: impl std::os::fd::AsFd) -> io::Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}

#[cfg(windows)]
fn clone(stream: impl std::os::windows::io::AsHandle) -> io::Result<File> {
    Ok(File::from(stream.as_handle().try_clone_to_owned()?))
}

fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match attempt() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        patiently(|| self.0.read(bytes))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        patiently(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens a regular file without ever waiting, as opening a named pipe would. The
/// file is examined before it is opened, so that no device is touched, and again
/// afterwards, because it may have been replaced.
///
/// # Errors
/// It cannot be opened, or is no regular file ([`ErrorKind::InvalidInput`]).
pub fn open_regular(path: &Path, options: &OpenOptions) -> io::Result<(File, Metadata)> {
    let require = |metadata: Metadata| match metadata.is_file() {
        true => Ok(metadata),
        false => Err(io::Error::new(
            ErrorKind::InvalidInput,
            "it is not a regular file",
        )),
    };
    match fs::metadata(path) {
        // Opening it creates it, or reports the error.
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        found => {
            require(found?)?;
        }
    }
    let file = without_waiting(options).open(path)?;
    let metadata = require(file.metadata()?)?;
    Ok((file, metadata))
}

/// Opens a regular file for reading, as [`open_regular`].
///
/// # Errors
/// As for [`open_regular`].
pub fn open_to_read(path: &Path) -> io::Result<(File, Metadata)> {
    open_regular(path, OpenOptions::new().read(true))
}

#[cfg(unix)]
fn without_waiting(options: &OpenOptions) -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;

    let mut options = options.clone();
    let flag = rustix::fs::OFlags::NONBLOCK.bits();
    // Reading a regular file ignores it.
    options.custom_flags(flag.cast_signed());
    options
}

/// Named pipes are not files on this platform.
#[cfg(not(unix))]
fn without_waiting(options: &OpenOptions) -> OpenOptions {
    options.clone()
}

/// Connects to a Unix socket. While its queue is full `may_wait` is asked whether
/// to go on; its error ends the attempt.
///
/// # Errors
/// There is no connection.
#[cfg(unix)]
pub fn connect_unix(
    path: &Path,
    may_wait: impl Fn() -> io::Result<()>,
) -> io::Result<std::net::TcpStream> {
    use rustix::io::{Errno, ioctl_fionbio};
    use rustix::net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
    };

    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let address = SocketAddrUnix::new(path)?;
    let mut pause = PAUSE;
    loop {
        match connect(&socket, &address) {
            Ok(()) => break,
            Err(Errno::AGAIN) => {
                may_wait()?;
                thread::sleep(pause);
                // Many may wait for one that has hung.
                pause = (2 * pause).min(MAX_PAUSE);
            }
            Err(error) => return Err(error.into()),
        }
    }
    ioctl_fionbio(&socket, false)?;
    Ok(socket.into())
}

/// This platform has none that we know.
///
/// # Errors
/// Always.
#[cfg(not(unix))]
pub fn connect_unix(_: &Path, _: impl Fn() -> io::Result<()>) -> io::Result<std::net::TcpStream> {
    Err(ErrorKind::Unsupported.into())
}

/// Creates a directory and its parents, unless they exist, accessible only to the
/// user.
///
/// # Errors
/// One of them cannot be created.
#[cfg(unix)]
pub fn create_private_directory(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

/// Creates a directory and its parents, unless they exist. In the user's profile
/// they are accessible only to the user.
///
/// # Errors
/// One of them cannot be created.
#[cfg(not(unix))]
pub fn create_private_directory(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

/// Whether users who neither own a file nor belong to its group may read it.
/// False if that is unknown.
#[cfg(unix)]
pub fn everybody_can_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

/// On this platform, access control lists decide this. They are not examined.
#[cfg(not(unix))]
pub fn everybody_can_read(_: &Path) -> bool {
    false
}

/// Makes a rename in a directory durable, if the file system can. Otherwise the
/// old file may reappear after a power failure, which does no harm.
#[cfg(unix)]
pub fn sync_directory(directory: &Path) {
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
}

/// This platform cannot synchronise directories.
#[cfg(not(unix))]
pub fn sync_directory(_: &Path) {}

/// The identity of a file beyond its name: device, inode, and the time of the
/// inode's last change (seconds and nanoseconds), which also reveals a
/// replacement with an old modification time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

impl FileIdentity {
    /// `None` if the platform has no such identity.
    #[cfg(unix)]
    pub fn of(metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;

        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// `None` if the platform has no such identity.
    #[cfg(not(unix))]
    pub fn of(_: &Metadata) -> Option<Self> {
        None
    }
}

/// Makes the program run within a limited address space. Call it first in `main`.
///
/// The allocator of the GNU C library reserves 64 MB of address space for each of
/// its arenas, and creates up to eight for each core. On two cores that is 1 GB,
/// of which a few MB are used. If the user limits the address space (`ulimit
/// -v`), these reservations leave no room for data, and the process aborts. The
/// library reads the limit on arenas from the environment before `main` runs, and
/// has no other setting that needs no unsafe code. So under such a limit the
/// program starts itself again with that environment variable set.
#[cfg(all(target_os = "linux", target_env = "gnu", feature = "cli"))]
pub fn bound_arenas() {
    use std::env;
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use rustix::process::{Resource, getrlimit};

    const BOUND: &str = "MALLOC_ARENA_MAX";
    // The C library may remove its own variables from the environment. Ours
    // remains, so that this happens only once.
    const STARTED_AGAIN: &str = "NCPROP279_STARTED_AGAIN";

    if getrlimit(Resource::As).current.is_none()
        || env::var_os(BOUND).is_some()
        || env::var_os(STARTED_AGAIN).is_some()
    {
        return;
    }
    let mut arguments = env::args_os();
    let (Ok(program), Some(called)) = (env::current_exe(), arguments.next()) else {
        return;
    };
    // This returns only if it fails: the file may be gone, or a security policy
    // may forbid it. Then the program continues unchanged.
    let _ = Command::new(program)
        .arg0(called)
        .args(arguments)
        .env(BOUND, "1")
        .env(STARTED_AGAIN, "1")
        .exec();
    // The attempt has made SIGPIPE fatal again, as for any new program.
    let ignored = Arc::new(AtomicBool::new(false));
    let _ = signal_hook::flag::register(signal_hook::consts::SIGPIPE, ignored);
}

/// The allocators of other C libraries reserve little.
#[cfg(not(all(target_os = "linux", target_env = "gnu", feature = "cli")))]
pub fn bound_arenas() {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Even if the pipe replaced a file after that was examined.
    #[cfg(unix)]
    #[test]
    fn opening_a_named_pipe_does_not_wait() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let opened = without_waiting(OpenOptions::new().read(true)).open(&path);
        assert!(!opened.unwrap().metadata().unwrap().is_file());
        let refused = open_to_read(&path).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_regular_file_is_opened_and_a_missing_one_is_not_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let missing = open_to_read(&path).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        let mut options = OpenOptions::new();
        let (mut file, metadata) =
            open_regular(&path, options.create(true).truncate(false).write(true)).unwrap();
        assert_eq!(metadata.len(), 0);
        file.write_all(b"x").unwrap();
        assert_eq!(open_to_read(&path).unwrap().1.len(), 1);
    }
}
