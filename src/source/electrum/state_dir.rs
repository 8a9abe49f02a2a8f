//! The directory that keeps what need not be fetched again.
//!
//! One process at a time may write to it: the one that holds a lock on a file in
//! it. The operating system releases the lock when that process ends, however it
//! ends.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Error, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error as ThisError;

use crate::config::settings::NodeAddress;
use crate::log::Log;
use crate::platform;

/// What to do where the directory is of no use.
pub(super) const SET_STATE_DIRECTORY: &str =
    "set state-directory to a directory that can be written";

/// The file that is locked. It stays empty.
const LOCK: &str = "lock";

/// The longest host and port that a file names a server by, in bytes.
pub(super) const MAX_SERVER_KEY: usize = 300;

/// Host and port, as the files in the directory name a server.
pub(super) fn server_key(server: &NodeAddress) -> String {
    server.to_string().to_ascii_lowercase()
}

/// Whether a word of such a file can be a server's host and port.
pub(super) fn is_server_key(word: &str) -> bool {
    word.len() <= MAX_SERVER_KEY
        && word.bytes().all(|byte| byte.is_ascii_graphic())
        && word
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// The state directory, and the right to write to it if no other process has
/// it.
#[derive(Debug)]
pub(super) struct StateDir {
    directory: PathBuf,
    log: Log,
    /// Kept open, because closing it gives the lock back.
    lock: Result<File, LockError>,
}

/// Why nothing is written to the directory.
#[derive(Debug, ThisError)]
pub(super) enum LockError {
    /// Another process has the lock.
    #[error("another process uses it")]
    Busy,
    /// The lock could not be taken.
    #[error("it cannot be locked ({0})")]
    Denied(#[from] io::Error),
}

/// Where headers and pins are kept.
#[derive(Debug)]
pub(super) enum Storage {
    /// In this directory.
    Directory(PathBuf),
    /// This directory was read; another process writes to it. With the reason.
    InUse(PathBuf, String),
    /// This directory was read; it cannot be written to. With the reason.
    ReadOnly(PathBuf, String),
    /// In memory only, and why.
    Memory(String),
}

impl Storage {
    /// Opens the state directory, and logs why it cannot be used or written to.
    pub fn open(directory: Option<&Path>, log: &Log) -> (Option<Arc<StateDir>>, Self) {
        let Some(path) = directory else {
            let why = "the environment names no home directory".to_owned();
            return (None, Self::Memory(why));
        };
        let state = match StateDir::open(path, log) {
            Ok(state) => state,
            Err(error) => {
                log.warn(format_args!(
                    "the state directory {path:?} cannot be used ({error}); block headers \
                     will be fetched anew each time; {SET_STATE_DIRECTORY}"
                ));
                return (None, Self::Memory(format!("{path:?}: {error}")));
            }
        };
        let path = path.to_owned();
        let storage = match state.read_only() {
            None => Self::Directory(path),
            Some(why) => {
                let text = format!("the state directory {path:?} is only read: {why}");
                match why {
                    // Nobody made a mistake.
                    LockError::Busy => {
                        log.info(text);
                        Self::InUse(path, why.to_string())
                    }
                    LockError::Denied(_) => {
                        log.warn(format_args!("{text}; {SET_STATE_DIRECTORY}"));
                        Self::ReadOnly(path, why.to_string())
                    }
                }
            }
        };
        (Some(Arc::new(state)), storage)
    }
}

impl StateDir {
    /// Opens the directory, which is created if need be, then for nobody but
    /// the user. Where it cannot be locked it is opened for reading only.
    ///
    /// # Errors
    /// The directory does not exist and cannot be created.
    pub fn open(directory: &Path, log: &Log) -> io::Result<Self> {
        platform::create_private_directory(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            log: log.clone(),
            lock: lock_file(&directory.join(LOCK)),
        })
    }

    /// Whether what changes is to be written. If not it is kept in memory.
    pub fn is_writable(&self) -> bool {
        self.lock.is_ok()
    }

    /// Why nothing is written, if so.
    pub fn read_only(&self) -> Option<&LockError> {
        self.lock.as_ref().err()
    }

    /// The contents of a file; `None` if there is none.
    ///
    /// # Errors
    /// The file cannot be read, or has more than `limit` bytes.
    pub fn read(&self, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let path = self.path(name);
        let (file, _) = match platform::open_to_read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut bytes = Vec::new();
        let readable = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        file.take(readable).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Err(ErrorKind::FileTooLarge.into());
        }
        Ok(Some(bytes))
    }

    /// Warns the user of something about a file.
    pub fn warn(&self, warning: impl fmt::Display) {
        self.log.warn(warning);
    }

    /// The contents of a file as `parse` reads them, and nothing if there is no
    /// file. Warns if it cannot be read, or with `damaged` if it cannot be parsed.
    pub fn load<T: Default>(
        &self,
        file: &str,
        limit: usize,
        parse: impl FnOnce(&[u8]) -> Option<T>,
        damaged: &str,
    ) -> T {
        let parsed = match self.read(file, limit) {
            Ok(None) => Some(T::default()),
            Ok(Some(bytes)) => parse(&bytes),
            Err(error) => {
                self.warn(format_args!("the file {file} cannot be read: {error}"));
                return T::default();
            }
        };
        parsed.unwrap_or_else(|| {
            self.warn(format_args!("the file {file} {damaged}"));
            T::default()
        })
    }

    /// Replaces a file's contents. Warns if that fails.
    pub fn keep(&self, file: &str, text: &str) {
        if let Err(error) = self.replace(file, text.as_bytes()) {
            self.warn(format_args!(
                "the file {file} cannot be written: {error}; {SET_STATE_DIRECTORY}"
            ));
        }
    }

    /// Puts a file with these contents in the place of an old one, so that at
    /// any moment, even if the machine fails, one of the two is there.
    ///
    /// # Errors
    /// The file cannot be written; the old one is as it was.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.check_writable()?;
        // Nobody else writes here, so that one name will do.
        let temporary = self.path(&format!("{name}.new"));
        let replaced =
            write_durably(&temporary, bytes).and_then(|()| fs::rename(&temporary, self.path(name)));
        if replaced.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        replaced.map_err(|error| at(&self.path(name), &error))?;
        platform::sync_directory(&self.directory);
        Ok(())
    }

    /// Cuts a file off after `length` bytes and writes `bytes` there. A
    /// machine that fails can leave less than all of it.
    ///
    /// # Errors
    /// There is no such file ([`ErrorKind::NotFound`]), it is shorter than
    /// `length` ([`ErrorKind::UnexpectedEof`]), or it cannot be written.
    pub fn append(&self, name: &str, length: u64, bytes: &[u8]) -> io::Result<()> {
        self.check_writable()?;
        let path = self.path(name);
        append(&path, length, bytes).map_err(|error| at(&path, &error))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn check_writable(&self) -> io::Result<()> {
        match self.read_only() {
            None => Ok(()),
            Some(why) => Err(Error::new(ErrorKind::PermissionDenied, why.to_string())),
        }
    }
}

fn lock_file(path: &Path) -> Result<File, LockError> {
    let mut options = OpenOptions::new();
    let (file, _) = platform::open_regular(path, options.create(true).truncate(false).write(true))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LockError::Busy),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn append(path: &Path, length: u64, bytes: &[u8]) -> io::Result<()> {
    let (mut file, metadata) = platform::open_regular(path, OpenOptions::new().write(true))?;
    if metadata.len() < length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    file.set_len(length)?;
    file.seek(SeekFrom::Start(length))?;
    file.write_all(bytes)
}

/// The error, which also names the file.
fn at(path: &Path, error: &io::Error) -> io::Error {
    Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What an earlier process left, or somebody put there.
    let _ = fs::remove_file(path);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // The directory may be one that others can enter.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &Path) -> io::Result<StateDir> {
        StateDir::open(directory, &Log::silent())
    }

    #[test]
    fn a_directory_is_created_for_the_user_alone() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("above").join("state");
        let state = open(&directory).unwrap();
        assert!(state.is_writable());
        assert!(state.read_only().is_none());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&directory).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        assert!(open(&directory.join("lock")).is_err());
    }

    #[test]
    fn the_second_to_open_reads_only_until_the_first_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let first = open(directory.path()).unwrap();
        first.replace("file", b"old").unwrap();
        let second = open(directory.path()).unwrap();
        assert!(!second.is_writable());
        assert!(matches!(second.read_only(), Some(LockError::Busy)));
        assert!(second.replace("file", b"new").is_err());
        assert!(second.append("file", 0, b"new").is_err());
        assert_eq!(second.read("file", 3).unwrap().unwrap(), b"old");
        assert!(first.is_writable());
        drop(first);
        assert!(!second.is_writable());
        assert!(open(directory.path()).unwrap().is_writable());
    }

    #[test]
    fn a_directory_that_cannot_be_locked_is_read_only() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), b"old").unwrap();
        // It stops the superuser too.
        fs::create_dir(directory.path().join(LOCK)).unwrap();
        let state = open(directory.path()).unwrap();
        assert!(!state.is_writable());
        assert!(matches!(state.read_only(), Some(LockError::Denied(_))));
        assert!(state.replace("file", b"new").is_err());
        assert_eq!(state.read("file", 3).unwrap().unwrap(), b"old");
    }

    #[test]
    fn a_file_beyond_the_limit_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let state = open(directory.path()).unwrap();
        assert_eq!(state.read("file", 3).unwrap(), None);
        state.replace("file", b"abc").unwrap();
        assert_eq!(state.read("file", 3).unwrap().unwrap(), b"abc");
        let error = state.read("file", 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_failed_replacement_leaves_no_trace() {
        let directory = tempfile::tempdir().unwrap();
        let state = open(directory.path()).unwrap();
        fs::create_dir(directory.path().join("file")).unwrap();
        fs::write(directory.path().join("file").join("in"), b"").unwrap();
        assert!(state.replace("file", b"new").is_err());
        assert!(!directory.path().join("file.new").exists());
    }

    #[test]
    fn appending_cuts_off_what_was_behind() {
        let directory = tempfile::tempdir().unwrap();
        let state = open(directory.path()).unwrap();
        let kind = |result: io::Result<()>| result.unwrap_err().kind();
        assert_eq!(kind(state.append("file", 0, b"x")), ErrorKind::NotFound);
        state.replace("file", b"abcdef").unwrap();
        state.append("file", 3, b"xy").unwrap();
        assert_eq!(state.read("file", 9).unwrap().unwrap(), b"abcxy");
        assert_eq!(
            kind(state.append("file", 6, b"x")),
            ErrorKind::UnexpectedEof
        );
        assert_eq!(state.read("file", 9).unwrap().unwrap(), b"abcxy");
    }
}
