//! Bytes to and from a server, in the clear or over TLS.
//!
//! Reading and writing do not wait for each other: no read or write of the socket
//! holds the lock on the TLS session. Only encrypting and decrypting hold it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, MutexGuard};

use rustls::ClientConnection;

use super::tcp::{Bounded, StreamError, Until, lock};

/// The most that is read from the socket at once, in bytes: a TLS record.
const CHUNK: usize = 16 << 10;

/// A connection after its handshakes. The caller makes sure that one thread at
/// a time reads; [`Stream::writer`] makes those that write take turns.
pub struct Stream {
    tcp: TcpStream,
    session: Option<Mutex<ClientConnection>>,
    writing: Mutex<()>,
}

/// The right to write.
pub struct Writer<'a> {
    stream: &'a Stream,
    _turn: MutexGuard<'a, ()>,
}

impl Stream {
    /// A stream over a socket, encrypted if there is a TLS session.
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
    /// [`StreamError::TimedOut`] and [`StreamError::Cancelled`] leave the stream
    /// as it was; any other error ends it.
    pub fn read(&self, until: Until<'_>) -> Result<Vec<u8>, StreamError> {
        // More may have come with the last part of the handshake.
        let kept = self.decrypt(&[])?;
        if !kept.is_empty() {
            return Ok(kept);
        }
        let mut bytes = vec![0; CHUNK];
        let tcp = &self.tcp;
        let count = match (Bounded { tcp, until }).read(&mut bytes) {
            Ok(0) => return Err(StreamError::Closed),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                return Err(until.left().err().unwrap_or(StreamError::TimedOut));
            }
            Err(error) => return Err(StreamError::from(&error)),
        };
        bytes.truncate(count);
        match self.session {
            None => Ok(bytes),
            Some(_) => self.decrypt(&bytes),
        }
    }

    /// Hands bytes from the socket to the session, and returns what it decrypts.
    /// What the session has to send in return goes out with the next request,
    /// which is soon enough for TLS.
    fn decrypt(&self, mut bytes: &[u8]) -> Result<Vec<u8>, StreamError> {
        let mut plain = Vec::new();
        let Some(session) = &self.session else {
            return Ok(plain);
        };
        let mut session = lock(session);
        loop {
            let is_closed = take_plaintext(&mut session, &mut plain)?;
            if is_closed && plain.is_empty() {
                return Err(StreamError::Closed);
            }
            if is_closed || bytes.is_empty() {
                return Ok(plain);
            }
            session
                .read_tls(&mut bytes)
                .map_err(|error| StreamError::from(&error))?;
            session
                .process_new_packets()
                .map_err(|_| StreamError::BrokenTls)?;
        }
    }

    /// Waits for the turn to write.
    pub fn writer(&self) -> Writer<'_> {
        Writer {
            stream: self,
            _turn: lock(&self.writing),
        }
    }

    /// Closes the connection in both directions, which ends whatever waits on it.
    pub fn shut_down(&self) {
        // It may have ended already.
        let _ = self.tcp.shutdown(Shutdown::Both);
    }
}

impl Writer<'_> {
    /// Writes all the bytes.
    ///
    /// # Errors
    /// Not everything could be written in time, which ends the stream.
    pub fn write(&mut self, bytes: &[u8], until: Until<'_>) -> Result<(), StreamError> {
        let tcp = &self.stream.tcp;
        let mut socket = Bounded { tcp, until };
        let result = match &self.stream.session {
            None => socket.write_all(bytes),
            Some(session) => {
                encrypt(&mut lock(session), bytes).and_then(|sealed| socket.write_all(&sealed))
            }
        };
        result.map_err(|error| StreamError::from(&error))
    }
}

fn encrypt(session: &mut ClientConnection, bytes: &[u8]) -> io::Result<Vec<u8>> {
    session.writer().write_all(bytes)?;
    let mut sealed = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut sealed)?;
    }
    Ok(sealed)
}

/// Moves decrypted bytes to `plain`; true at the end of the session.
fn take_plaintext(
    session: &mut ClientConnection,
    plain: &mut Vec<u8>,
) -> Result<bool, StreamError> {
    let mut bytes = [0; 4 << 10];
    loop {
        match session.reader().read(&mut bytes) {
            Ok(0) => return Ok(true),
            Ok(count) => plain.extend(bytes.iter().take(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(StreamError::from(&error)),
        }
    }
}
