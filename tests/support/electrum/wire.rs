//! The bytes of a connection, with TLS or without.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{HandshakeKind, ServerConfig, ServerConnection};

use super::log::Tls;

/// A self-signed certificate with its key.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub der: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Certificate {
    /// A new key, and a certificate for `localhost`.
    pub fn new() -> Self {
        Self::signed(&KeyPair::generate().unwrap())
    }

    /// Another certificate for the same key.
    pub fn renewed(&self) -> Self {
        Self::signed(&KeyPair::try_from(self.key.as_slice()).unwrap())
    }

    fn signed(key: &KeyPair) -> Self {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.serial_number = Some(rand::random::<[u8; 8]>().to_vec().into());
        Self {
            der: params.self_signed(key).unwrap().der().clone(),
            key: key.serialize_der(),
        }
    }

    /// The server's side of TLS.
    pub fn config(&self) -> Arc<ServerConfig> {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![self.der.clone()],
                PrivatePkcs8KeyDer::from(self.key.clone()).into(),
            );
        Arc::new(config.unwrap())
    }
}

/// A connection that one thread reads and another writes.
pub struct Wire {
    stream: TcpStream,
    tls: Option<Mutex<ServerConnection>>,
}

impl Wire {
    pub fn new(stream: TcpStream, config: Option<&Arc<ServerConfig>>) -> Self {
        stream.set_nodelay(true).unwrap();
        let tls = config.map(|config| {
            let mut tls = ServerConnection::new(config.clone()).unwrap();
            tls.set_buffer_limit(None);
            Mutex::new(tls)
        });
        Self { stream, tls }
    }

    /// Waits for bytes and appends what they say; `false` at the end.
    pub fn read(&self, text: &mut Vec<u8>) -> io::Result<bool> {
        let mut bytes = [0; 16_384];
        let count = (&self.stream).read(&mut bytes)?;
        let Some(tls) = &self.tls else {
            text.extend(&bytes[..count]);
            return Ok(count > 0);
        };
        let mut tls = tls.lock().unwrap();
        let mut rest = &bytes[..count];
        while !rest.is_empty() {
            tls.read_tls(&mut rest)?;
            let state = tls.process_new_packets();
            // An alert may have to go out before the error is returned.
            self.flush(&mut tls, Duration::from_secs(20))?;
            let state = state.map_err(io::Error::other)?;
            let start = text.len();
            text.resize(start + state.plaintext_bytes_to_read(), 0);
            tls.reader().read_exact(&mut text[start..])?;
        }
        Ok(count > 0)
    }

    /// Writes bytes, all of them within `patience`.
    pub fn write(&self, bytes: &[u8], patience: Duration) -> io::Result<()> {
        let Some(tls) = &self.tls else {
            return self.send(bytes, patience);
        };
        let mut tls = tls.lock().unwrap();
        tls.writer().write_all(bytes)?;
        self.flush(&mut tls, patience)
    }

    fn flush(&self, tls: &mut ServerConnection, patience: Duration) -> io::Result<()> {
        let mut records = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut records)?;
        }
        self.send(&records, patience)
    }

    fn send(&self, mut bytes: &[u8], patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        while !bytes.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_write_timeout(Some(left))?;
            let count = (&self.stream).write(bytes)?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// What TLS agreed on, once it has.
    pub fn tls(&self) -> Option<Tls> {
        let tls = self.tls.as_ref()?.lock().unwrap();
        let version = tls.protocol_version().filter(|_| !tls.is_handshaking())?;
        Some(Tls {
            server_name: tls.server_name().map(str::to_owned),
            version: format!("{version:?}"),
            resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
        })
    }

    /// Says that nothing more comes.
    pub fn finish(&self) {
        if let Some(tls) = &self.tls {
            let mut tls = tls.lock().unwrap();
            tls.send_close_notify();
            let _ = self.flush(&mut tls, Duration::from_secs(1));
        }
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends the connection at once.
    pub fn cut(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}
