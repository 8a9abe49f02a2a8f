//! What differs between operating systems.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::thread;
use std::time::Duration;

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
