//! What differs between operating systems.

#[cfg(feature = "cli")]
mod address_space;

#[cfg(feature = "cli")]
pub use address_space::bound_arenas;

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// The ways in which systems differ as to where programs keep their data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// In hidden folders of the home directory, or where XDG says.
    Unix,
    /// In the home directory's Library.
    MacOs,
    /// In the folders of the user's profile.
    Windows,
}

impl Platform {
    /// This one.
    pub const CURRENT: Self = if cfg!(windows) {
        Self::Windows
    } else if cfg!(target_os = "macos") {
        Self::MacOs
    } else {
        Self::Unix
    };
}

/// The stack of a thread. Address space is reserved for all of it, which counts
/// where a user limits that. The deepest use is that of a value nested as deeply
/// as one may be: 600 KiB in an unoptimised build.
const STACK: usize = 1 << 20;

/// A thread with a bounded stack. Every thread of the program starts here.
pub fn thread(name: &str) -> thread::Builder {
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK)
}

/// How long to wait where a stream would block but was set not to.
const PAUSE: Duration = Duration::from_millis(2);

/// A standard stream, read and written without a buffer or lock of the
/// standard library, so that nothing but the one call waits for the other
/// side. A stream that somebody set to non-blocking is waited for all the
/// same.
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

/// Whether a failure to write says that nobody reads any more, which is no fault.
pub fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    )
}

impl Stream {
    /// What waits until nobody writes to the other side any more; `None` if that
    /// cannot be noticed.
    #[cfg(unix)]
    pub fn hang_up(&self) -> Option<Box<dyn FnOnce() + Send>> {
        use rustix::event::{PollFd, PollFlags, poll};

        // A socket can be closed in one direction.
        #[cfg(target_os = "linux")]
        const WANTED: PollFlags = PollFlags::RDHUP;
        // That nobody writes is always reported.
        #[cfg(not(target_os = "linux"))]
        const WANTED: PollFlags = PollFlags::empty();

        if self.0.metadata().is_ok_and(|metadata| metadata.is_file()) {
            // Whoever wrote it is done.
            return Some(Box::new(|| {}));
        }
        let stream = self.0.try_clone().ok()?;
        Some(Box::new(move || {
            let mut watched = [PollFd::new(&stream, WANTED)];
            while poll(&mut watched, None) == Err(rustix::io::Errno::INTR) {}
        }))
    }

    /// Nothing is noticed here.
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
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        patiently(|| self.0.read(octets))
    }
}

impl Write for Stream {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        patiently(|| self.0.write(octets))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens a regular file and never waits: opening a named pipe would, for its
/// other end. What is there is looked at before it is opened, so that no device
/// is touched, and what was opened after it, as it may have changed in between.
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
        // To be created, or the error of opening it.
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
    // Reading a regular file does not heed it.
    options.custom_flags(flag.cast_signed());
    options
}

/// A named pipe is in a place of its own here, and is no file.
#[cfg(not(unix))]
fn without_waiting(options: &OpenOptions) -> OpenOptions {
    options.clone()
}

/// Creates a directory and those above it, unless they exist, accessible to
/// nobody but the user.
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

/// Creates a directory and those above it, unless they exist. Those of the
/// user's profile are accessible to nobody else.
///
/// # Errors
/// One of them cannot be created.
#[cfg(not(unix))]
pub fn create_private_directory(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

/// Whether users who neither own a file nor belong to its group may read it.
/// False if that cannot be told.
#[cfg(unix)]
pub fn everybody_can_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

/// Whether everybody may read a file is told by access lists here, which are
/// not looked at.
#[cfg(not(unix))]
pub fn everybody_can_read(_: &Path) -> bool {
    false
}

/// Makes a change of names in a directory durable, where file systems can. If
/// it fails, the machine can find the old file after a failure, which is no
/// harm.
#[cfg(unix)]
pub fn sync_directory(directory: &Path) {
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
}

/// Directories cannot be synchronised here.
#[cfg(not(unix))]
pub fn sync_directory(_: &Path) {}

/// Which file it is, beyond its name: device and inode, and the time of the
/// last change of the inode (seconds and nanoseconds), which also tells of a
/// file that was put in place with an old time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

impl FileIdentity {
    /// `None` where the system has no such thing.
    #[cfg(unix)]
    pub fn of(metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;

        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// `None` where the system has no such thing.
    #[cfg(not(unix))]
    pub fn of(_: &Metadata) -> Option<Self> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also if the pipe took a file's place after that was looked at.
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
