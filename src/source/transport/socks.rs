//! The client's side of SOCKS5 with a user name and password (RFC 1928,
//! RFC 1929).
//!
//! Written here, because libraries offer the proxy to go on without
//! credentials. A proxy that accepts that offer does not isolate, and nothing
//! would show it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;

use data_encoding::HEXLOWER;
use rand::TryRng;
use rand::rngs::SysRng;
use thiserror::Error;

use crate::config::settings::NodeAddress;

/// Why a proxy did not connect to the target. Every text is a constant of ours,
/// except that of [`SocksError::Io`].
#[derive(Debug, Error)]
pub enum SocksError {
    /// What answers is no proxy.
    #[error("the proxy does not speak SOCKS5")]
    NotSocks,
    /// The proxy accepts no user name and password.
    #[error("the proxy does not take credentials, without which it cannot isolate")]
    NoCredentials,
    /// The proxy wants other credentials.
    #[error("the proxy refused the credentials")]
    RefusedCredentials,
    /// The proxy cannot connect to the target.
    #[error("{0}")]
    Unreachable(&'static str),
    /// There is no randomness for credentials.
    #[error("the operating system has no random numbers")]
    NoRandomness,
    /// The connection to the proxy failed, or the time is up.
    #[error("{}", .0.kind())]
    Io(#[from] io::Error),
}

/// Sends a proxy random credentials that no other connection uses, and has it
/// connect to `target`, whose name it resolves itself.
///
/// # Errors
/// See [`SocksError`]. The time limits are those of the stream.
pub fn handshake(stream: &mut (impl Read + Write), target: &NodeAddress) -> Result<(), SocksError> {
    handshake_as(stream, target, &random()?, &random()?)
}

/// 128 bits from the operating system, in hexadecimal: a user name or a
/// password for one connection.
fn random() -> Result<String, SocksError> {
    let mut bytes = [0; 16];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|_| SocksError::NoRandomness)?;
    Ok(HEXLOWER.encode(&bytes))
}

fn handshake_as(
    stream: &mut (impl Read + Write),
    target: &NodeAddress,
    user: &str,
    password: &str,
) -> Result<(), SocksError> {
    offer(stream)?;
    let mut message = vec![1];
    put(&mut message, user)?;
    put(&mut message, password)?;
    stream.write_all(&message)?;
    let [_, status] = take(stream)?;
    if status != 0 {
        return Err(SocksError::RefusedCredentials);
    }
    let mut message = vec![5, 1, 0];
    match target.host.parse() {
        Ok(IpAddr::V4(address)) => {
            message.push(1);
            message.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            message.push(4);
            message.extend(address.octets());
        }
        Err(_) => {
            message.push(3);
            put(&mut message, &target.host)?;
        }
    }
    message.extend(target.port.to_be_bytes());
    stream.write_all(&message)?;
    let [version, reply, _, kind] = take(stream)?;
    if version != 5 {
        return Err(SocksError::NotSocks);
    }
    if reply != 0 {
        return Err(SocksError::Unreachable(refusal(reply)));
    }
    // Nobody needs the address that the proxy connects from.
    let rest = match kind {
        1 => 4,
        4 => 16,
        3 => usize::from(take::<1>(stream)?[0]),
        _ => return Err(SocksError::NotSocks),
    };
    let mut address = vec![0; rest + 2];
    Ok(stream.read_exact(&mut address)?)
}

/// Begins a handshake: offers a proxy credentials, and nothing else.
///
/// # Errors
/// [`SocksError::NoCredentials`], [`SocksError::NotSocks`] or
/// [`SocksError::Io`].
pub(super) fn offer(stream: &mut (impl Read + Write)) -> Result<(), SocksError> {
    // One method is offered: user name and password.
    stream.write_all(&[5, 1, 2])?;
    let [version, method] = take(stream)?;
    if version != 5 {
        return Err(SocksError::NotSocks);
    }
    if method != 2 {
        return Err(SocksError::NoCredentials);
    }
    Ok(())
}

fn take<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Appends a text of at most 255 bytes with its length in front.
fn put(message: &mut Vec<u8>, text: &str) -> io::Result<()> {
    let length = u8::try_from(text.len()).map_err(|_| ErrorKind::InvalidInput)?;
    message.push(length);
    message.extend(text.as_bytes());
    Ok(())
}

/// RFC 1928 section 6.
fn refusal(reply: u8) -> &'static str {
    match reply {
        2 => "the proxy does not permit the connection",
        3 => "the proxy finds no way to the network",
        4 => "the proxy cannot reach the host",
        5 => "the host refused the proxy's connection",
        6 => "the way from the proxy to the host is too long",
        _ => "the proxy failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A proxy that follows a script, a byte at a time.
    struct Script {
        says: Vec<u8>,
        hears: Vec<u8>,
    }

    impl Read for Script {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            if self.says.is_empty() || bytes.is_empty() {
                return Ok(0);
            }
            bytes[0] = self.says.remove(0);
            Ok(1)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.hears.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn run(host: &str, says: &[u8]) -> (Result<(), SocksError>, Vec<u8>) {
        let mut script = Script {
            says: says.to_vec(),
            hears: Vec::new(),
        };
        let target = NodeAddress {
            host: host.to_owned(),
            port: 8336,
        };
        let result = handshake_as(&mut script, &target, "us", "pw");
        (result, script.hears)
    }

    const GRANTED: [u8; 14] = [5, 2, 1, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

    #[test]
    fn names_and_addresses_go_as_they_are() {
        for (host, target) in [
            ("a.onion", &b"\x03\x07a.onion"[..]),
            ("192.0.2.1", &[1, 192, 0, 2, 1]),
            ("::1", &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        ] {
            let (result, hears) = run(host, &GRANTED);
            result.unwrap();
            let mut expected = b"\x05\x01\x02\x01\x02us\x02pw\x05\x01\x00".to_vec();
            expected.extend(target);
            expected.extend(8336u16.to_be_bytes());
            assert_eq!(hears, expected);
        }
    }

    #[test]
    fn a_proxy_that_takes_no_credentials_gets_nothing_more() {
        for method in [0, 1, 0xff] {
            let (result, hears) = run("a.onion", &[5, method, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
            assert!(result.is_err());
            assert_eq!(hears, [5, 1, 2]);
        }
    }

    #[test]
    fn the_error_says_what_went_wrong() {
        use SocksError::*;
        for (says, expected) in [
            (&b"HTTP/1.1 400 Bad Request"[..], NotSocks),
            (&[5, 0xff], NoCredentials),
            (&[5, 2, 1, 1], RefusedCredentials),
            (
                &[5, 2, 1, 0, 5, 4, 0, 1],
                Unreachable("the proxy cannot reach the host"),
            ),
            (&[5, 2, 1, 0, 4, 0, 0, 1], NotSocks),
            (&[5], Io(ErrorKind::UnexpectedEof.into())),
        ] {
            let error = run("a.onion", says).0.unwrap_err();
            assert_eq!(error.to_string(), expected.to_string());
        }
    }

    #[test]
    fn random_texts_are_128_bits_and_never_the_same() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert_eq!((one.len(), other.len()), (32, 32));
        assert_ne!(one, other);
    }

    #[test]
    fn every_cut_and_every_refusal_is_an_error() {
        for length in 0..GRANTED.len() {
            assert!(run("a.onion", &GRANTED[..length]).0.is_err(), "{length}");
        }
        for reply in 1..=255 {
            assert!(
                run("a.onion", &[5, 2, 1, 0, 5, reply, 0, 1, 0, 0, 0, 0, 0, 0])
                    .0
                    .is_err()
            );
        }
        assert!(run("a.onion", &[5, 2, 1, 1]).0.is_err());
        assert!(
            run("a.onion", &[5, 2, 1, 0, 4, 0, 0, 1, 0, 0, 0, 0, 0, 0])
                .0
                .is_err()
        );
        assert!(
            run("a.onion", &[5, 2, 1, 0, 5, 0, 0, 9, 0, 0, 0, 0, 0, 0])
                .0
                .is_err()
        );
        run("a.onion", &[5, 2, 1, 0, 5, 0, 0, 3, 1, b'x', 0, 0])
            .0
            .unwrap();
        assert!(run(&"x".repeat(256), &GRANTED).0.is_err());
    }
}
