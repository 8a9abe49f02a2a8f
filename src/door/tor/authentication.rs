//! How Tor learns that we may control it (control-spec, section 3.24).

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use bitcoin::hashes::{Hash, HashEngine, Hmac, HmacEngine, sha256};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use thiserror::Error;

use crate::platform;

/// The size of Tor's cookie in bytes.
const COOKIE: usize = 32;

/// The longest line of the handshake: the path of the cookie is in one.
const MAX_LINE: usize = 16 << 10;

/// The most lines of a reply.
const MAX_LINES: usize = 100;

const SERVER_KEY: &[u8] = b"Tor safe cookie authentication server-to-controller hash";
const CLIENT_KEY: &[u8] = b"Tor safe cookie authentication controller-to-server hash";

/// Why Tor does not let us control it.
#[derive(Debug, Error)]
pub enum AuthenticationError {
    /// The connection broke.
    #[error("{}", broken(.0))]
    Io(#[from] io::Error),
    /// What answers is no control port of Tor.
    #[error("what listens there is not Tor's control port")]
    NotTor,
    /// The cookie cannot be used. Holds its path and why.
    #[error(
        "its cookie {0:?} cannot be read ({reason}); run this program as a member of the group that \
         may read it (debian-tor on Debian), or set --tor-password",
        reason = reason(.1)
    )]
    Cookie(PathBuf, io::Error),
    /// Only a password will do, and none is set.
    #[error("it wants a password; set --tor-password, or CookieAuthentication 1 in torrc")]
    NoPassword,
    /// The password cannot be sent.
    #[error("--tor-password has a character that Tor cannot be sent")]
    BadPassword,
    /// Tor did not accept the password.
    #[error(
        "it refuses the password; set --tor-password to the one that HashedControlPassword in torrc was made from"
    )]
    WrongPassword,
    /// Tor did not accept the cookie.
    #[error("it refuses its own cookie; another Tor may have written the file")]
    WrongCookie,
    /// What answers does not know the cookie, so that it is not the Tor that
    /// wrote it.
    #[error("it does not know Tor's cookie, so it is not the Tor that wrote the file")]
    Impostor,
    /// Tor offers no method that we know.
    #[error("it offers no way to log in; set CookieAuthentication 1 in torrc")]
    NoMethod,
}

fn broken(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::TimedOut => "it does not answer in time; is it Tor's control port?".to_owned(),
        kind => format!("the connection broke ({kind})"),
    }
}

/// Why a file cannot be read: in the system's words, or in ours.
fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(_) => error.kind().to_string(),
        None => error.to_string(),
    }
}

/// What Tor offers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Offer {
    null: bool,
    cookie: bool,
    safe_cookie: bool,
    password: bool,
    cookie_file: Option<PathBuf>,
}

/// Proves to the Tor behind `stream` that we may control it, with the password if
/// there is one, otherwise with its cookie.
///
/// # Errors
/// See [`AuthenticationError`].
pub fn authenticate(
    stream: &mut (impl Read + Write),
    password: Option<&str>,
) -> Result<(), AuthenticationError> {
    let offer = offer(&ask(stream, b"PROTOCOLINFO 1")?)?;
    if let (Some(password), true) = (password, offer.password) {
        let quoted = quoted(password).ok_or(AuthenticationError::BadPassword)?;
        let reply = ask(stream, &[b"AUTHENTICATE ", quoted.as_slice()].concat())?;
        return accepted(&reply).ok_or(AuthenticationError::WrongPassword);
    }
    if offer.null {
        let reply = ask(stream, b"AUTHENTICATE")?;
        return accepted(&reply).ok_or(AuthenticationError::NoMethod);
    }
    if let (Some(path), true) = (&offer.cookie_file, offer.cookie || offer.safe_cookie) {
        let cookie = cookie(path).map_err(|error| match offer.password {
            true if error.kind() == ErrorKind::NotFound => AuthenticationError::NoPassword,
            _ => AuthenticationError::Cookie(path.clone(), error),
        })?;
        let proof = match offer.safe_cookie {
            true => safe_proof(stream, &cookie)?,
            false => cookie,
        };
        let command = format!("AUTHENTICATE {}", HEXLOWER.encode(&proof));
        let reply = ask(stream, command.as_bytes())?;
        return accepted(&reply).ok_or(AuthenticationError::WrongCookie);
    }
    Err(match offer.password {
        true => AuthenticationError::NoPassword,
        false => AuthenticationError::NoMethod,
    })
}

/// Has Tor prove that it knows the cookie, and gives our own proof. A program that
/// pretends to be Tor does not learn the cookie.
fn safe_proof(
    stream: &mut (impl Read + Write),
    cookie: &[u8; COOKIE],
) -> Result<[u8; COOKIE], AuthenticationError> {
    let nonce: [u8; 32] = rand::random();
    let challenge = format!("AUTHCHALLENGE SAFECOOKIE {}", HEXLOWER.encode(&nonce));
    let reply = ask(stream, challenge.as_bytes())?;
    let words = reply.first().and_then(|line| {
        let line = std::str::from_utf8(line).ok()?;
        let line = line.strip_prefix("250 AUTHCHALLENGE SERVERHASH=")?;
        line.split_once(" SERVERNONCE=")
    });
    let decode = |hex: &str| HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok();
    let (hash, server_nonce) = words
        .and_then(|(hash, nonce)| Some((decode(hash)?, decode(nonce)?)))
        .ok_or(AuthenticationError::NotTor)?;
    let proof = |key| hmac(key, &[cookie, &nonce, &server_nonce]);
    match proof(SERVER_KEY).as_slice() == hash {
        true => Ok(proof(CLIENT_KEY)),
        false => Err(AuthenticationError::Impostor),
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut engine = HmacEngine::<sha256::Hash>::new(key);
    parts.iter().for_each(|part| engine.input(part));
    Hmac::from_engine(engine).to_byte_array()
}

/// Reads the cookie. Whoever answers names the file, so nothing but a regular file
/// of the right size is read.
fn cookie(path: &Path) -> io::Result<[u8; COOKIE]> {
    let (mut file, metadata): (File, _) = platform::open_to_read(path)?;
    let mut cookie = [0; COOKIE];
    if metadata.len() != COOKIE as u64 {
        let why = "it does not have 32 bytes";
        return Err(io::Error::new(ErrorKind::InvalidData, why));
    }
    file.read_exact(&mut cookie)?;
    Ok(cookie)
}

/// A password as Tor reads it.
fn quoted(password: &str) -> Option<Vec<u8>> {
    let mut quoted = vec![b'"'];
    for byte in password.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend([b'\\', byte]),
            0..0x20 | 0x7f => return None,
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'"');
    Some(quoted)
}

fn accepted(reply: &[Vec<u8>]) -> Option<()> {
    let last = reply.last()?;
    last.starts_with(b"250 ").then_some(())
}

/// Sends a command and reads the lines of its reply.
pub fn ask(
    stream: &mut (impl Read + Write),
    command: &[u8],
) -> Result<Vec<Vec<u8>>, AuthenticationError> {
    stream.write_all(&[command, b"\r\n"].concat())?;
    let mut lines = Vec::new();
    while lines.len() < MAX_LINES {
        let line = read_line(stream)?;
        let is_reply = line.len() >= 4 && line.iter().take(3).all(u8::is_ascii_digit);
        let separator = line.get(3).copied();
        lines.push(line);
        match separator {
            Some(b' ') if is_reply => return Ok(lines),
            Some(b'-') if is_reply => {}
            _ => break,
        }
    }
    Err(AuthenticationError::NotTor)
}

/// Reads byte by byte: what follows the handshake is for others.
fn read_line(stream: &mut impl Read) -> Result<Vec<u8>, AuthenticationError> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < MAX_LINE {
        stream.read_exact(&mut byte)?;
        match byte {
            [b'\n'] => {
                let _ = line.pop_if(|last| *last == b'\r');
                return Ok(line);
            }
            [byte] => line.push(byte),
        }
    }
    Err(AuthenticationError::NotTor)
}

fn offer(reply: &[Vec<u8>]) -> Result<Offer, AuthenticationError> {
    let is_tor = reply.iter().any(|line| line == b"250-PROTOCOLINFO 1");
    let methods = reply
        .iter()
        .find_map(|line| line.strip_prefix(b"250-AUTH METHODS="))
        .filter(|_| is_tor)
        .ok_or(AuthenticationError::NotTor)?;
    let end = methods.iter().position(|&byte| byte == b' ');
    let (methods, rest) = methods
        .split_at_checked(end.unwrap_or(methods.len()))
        .ok_or(AuthenticationError::NotTor)?;
    let mut offer = Offer::default();
    for method in methods.split(|&byte| byte == b',') {
        match method {
            b"NULL" => offer.null = true,
            b"COOKIE" => offer.cookie = true,
            b"SAFECOOKIE" => offer.safe_cookie = true,
            b"HASHEDPASSWORD" => offer.password = true,
            _ => {}
        }
    }
    if let Some(path) = rest.strip_prefix(b" COOKIEFILE=\"") {
        let path = unquoted(path).ok_or(AuthenticationError::NotTor)?;
        let path = std::ffi::OsString::from_vec(path);
        offer.cookie_file = Some(path.into());
    }
    Ok(offer)
}

/// A C string up to its closing quote.
fn unquoted(text: &[u8]) -> Option<Vec<u8>> {
    let mut unquoted = Vec::new();
    let mut rest = text.iter().copied();
    loop {
        let byte = match rest.next()? {
            b'"' => return Some(unquoted),
            b'\\' => match rest.next()? {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                digit @ b'0'..=b'3' => {
                    let more = [rest.next()?, rest.next()?];
                    let is_octal = more.iter().all(|digit| (b'0'..=b'7').contains(digit));
                    let digits = [digit, more[0], more[1]];
                    let value = digits.iter().fold(0u8, |sum, digit| {
                        sum.wrapping_mul(8).wrapping_add(digit.wrapping_sub(b'0'))
                    });
                    is_octal.then_some(value)?
                }
                other => other,
            },
            byte => byte,
        };
        unquoted.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of a real Tor (0.4.9.11).
    #[test]
    fn proofs_are_those_of_tor() {
        let hex = |text: &str| HEXLOWER_PERMISSIVE.decode(text.as_bytes()).unwrap();
        let cookie = hex("a5e03a30a039e85f61a1096255ec4bff67612387addf4118bbb7a7c9fc9ed919");
        let client = hex("4dbe568895d40c88a976e395a08db166247fb69dcb8dd8496e31a261fc4eab47");
        let server = hex("7BF43DFE400E6C375BC5FCBD2C8A713D249B1943585185A98247CD4F8DDD29B5");
        let parts: [&[u8]; 3] = [&cookie, &client, &server];
        let hash = hex("969F1CFEA01B4DAD08D62C69B3A593FA1B4CD853C065889052A5842694113B3D");
        assert_eq!(hmac(SERVER_KEY, &parts).as_slice(), hash);
        let proof = hex("01e3b0795c89ee9058b101579a5b00bf4ce07de5ebb46403253792629c1f6aa2");
        assert_eq!(hmac(CLIENT_KEY, &parts).as_slice(), proof);
    }

    #[test]
    fn the_offer_is_read_as_tor_writes_it() {
        let lines = |auth: &str| {
            [
                "250-PROTOCOLINFO 1",
                auth,
                "250-VERSION Tor=\"0.4.9.11\"",
                "250 OK",
            ]
            .map(|line| line.as_bytes().to_vec())
        };
        let cookie = offer(&lines(
            "250-AUTH METHODS=COOKIE,SAFECOOKIE,NEW COOKIEFILE=\"/a \\\"\\\\\\303\\244\"",
        ));
        let cookie = cookie.unwrap();
        assert!(cookie.cookie && cookie.safe_cookie && !cookie.null && !cookie.password);
        assert_eq!(cookie.cookie_file, Some(PathBuf::from("/a \"\\\u{e4}")));
        assert!(offer(&lines("250-AUTH METHODS=NULL")).unwrap().null);
        for bad in ["250-AUTH METHODS=COOKIE COOKIEFILE=\"/a", "250-X", ""] {
            assert!(offer(&lines(bad)).is_err());
        }
        assert!(offer(&[b"250-AUTH METHODS=NULL".to_vec()]).is_err());
    }

    #[test]
    fn passwords_are_quoted() {
        assert_eq!(
            quoted("a \"quoted\" \\ word").unwrap(),
            b"\"a \\\"quoted\\\" \\\\ word\""
        );
        assert_eq!(quoted("\u{e4}").unwrap(), "\"\u{e4}\"".as_bytes());
        assert_eq!(quoted("a\nb"), None);
    }
}
