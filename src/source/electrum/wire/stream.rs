//! Bytes to and from a server, in the clear or under TLS.
//!
//! Reading and writing do not wait for each other: the socket is read and
//! written outside of the lock on the TLS session, which is held only while
//! bytes are turned into others.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, MutexGuard};

use rustls::ClientConnection;

use super::error::CallError;
use super::lock;
use super::tcp::{Bounded, Until};

/// The most that is read from the socket at once, in octets: a TLS record.
const CHUNK: usize = 16 << 10;

/// A connection in which handshakes are over. One thread reads at a time;
/// [`Stream::writer`] orders those that write.
pub(super) struct Stream {
    tcp: TcpStream,
    session: Option<Mutex<ClientConnection>>,
    writing: Mutex<()>,
}

/// The right to write.
pub(super) struct Writer<'a> {
    stream: &'a Stream,
    _turn: MutexGuard<'a, ()>,
}

impl Stream {
    /// A stream over a socket, under TLS if there is a session.
    pub fn new(tcp: TcpStream, session: Option<ClientConnection>) -> Self {
        let session = session.map(|mut session| {
            // Requests are short. A limit would cut them in two.
            session.set_buffer_limit(None);
            Mutex::new(session)
        });
        Self {
            tcp,
            session,
            writing: Mutex::new(()),
        }
    }

    /// Waits for bytes and returns what came, which may be nothing.
    ///
    /// # Errors
    /// [`CallError::TimedOut`] and [`CallError::Cancelled`] leave the stream
    /// as it was; other errors end it.
    pub fn read(&self, until: Until<'_>) -> Result<Vec<u8>, CallError> {
        // More may have come with the last part of the handshake.
        let kept = self.decrypt(&[])?;
        if !kept.is_empty() {
            return Ok(kept);
        }
        let mut octets = vec![0; CHUNK];
        let tcp = &self.tcp;
        let count = match (Bounded { tcp, until }).read(&mut octets) {
            Ok(0) => return Err(CallError::Closed),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                return Err(match until.left() {
                    Err(CallError::Cancelled) => CallError::Cancelled,
                    _ => CallError::TimedOut { is_silent: false },
                });
            }
            Err(error) => return Err(CallError::of(&error)),
        };
        octets.truncate(count);
        match self.session {
            None => Ok(octets),
            Some(_) => self.decrypt(&octets),
        }
    }

    /// Gives bytes of the socket to the session, and takes out what it has
    /// decrypted. What the session has to say in return waits for the next
    /// request: TLS asks for no more.
    fn decrypt(&self, mut octets: &[u8]) -> Result<Vec<u8>, CallError> {
        let mut plain = Vec::new();
        let Some(session) = &self.session else {
            return Ok(plain);
        };
        let mut session = lock(session);
        loop {
            let is_closed = take_plaintext(&mut session, &mut plain)?;
            if is_closed && plain.is_empty() {
                return Err(CallError::Closed);
            }
            if is_closed || octets.is_empty() {
                return Ok(plain);
            }
            session
                .read_tls(&mut octets)
                .map_err(|error| CallError::of(&error))?;
            session
                .process_new_packets()
                .map_err(|_| CallError::Protocol("broken TLS"))?;
        }
    }

    /// Waits for the turn to write.
    pub fn writer(&self) -> Writer<'_> {
        Writer {
            stream: self,
            _turn: lock(&self.writing),
        }
    }

    /// Ends the connection for both sides, and whatever waits on it.
    pub fn shut_down(&self) {
        // It may have ended already.
        let _ = self.tcp.shutdown(Shutdown::Both);
    }
}

impl Writer<'_> {
    /// Writes all of it.
    ///
    /// # Errors
    /// Not all of it could be written in time, which ends the stream.
    pub fn write(&mut self, octets: &[u8], until: Until<'_>) -> Result<(), CallError> {
        let tcp = &self.stream.tcp;
        let mut socket = Bounded { tcp, until };
        let result = match &self.stream.session {
            None => socket.write_all(octets),
            Some(session) => {
                encrypt(&mut lock(session), octets).and_then(|sealed| socket.write_all(&sealed))
            }
        };
        result.map_err(|error| CallError::of(&error))
    }
}

fn encrypt(session: &mut ClientConnection, octets: &[u8]) -> io::Result<Vec<u8>> {
    session.writer().write_all(octets)?;
    let mut sealed = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut sealed)?;
    }
    Ok(sealed)
}

/// Moves what is decrypted; true at the end of the session.
fn take_plaintext(session: &mut ClientConnection, plain: &mut Vec<u8>) -> Result<bool, CallError> {
    let mut octets = [0; 4 << 10];
    loop {
        match session.reader().read(&mut octets) {
            Ok(0) => return Ok(true),
            Ok(count) => plain.extend(octets.iter().take(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(CallError::of(&error)),
        }
    }
}
