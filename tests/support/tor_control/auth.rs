//! Who may control it.

use std::fs;
use std::path::{Path, PathBuf};

use bitcoin::hashes::{Hash, HashEngine, Hmac, HmacEngine, sha256};

const SERVER_KEY: &[u8] = b"Tor safe cookie authentication server-to-controller hash";
const CLIENT_KEY: &[u8] = b"Tor safe cookie authentication controller-to-server hash";

/// The server's nonce is always this one; a controller cannot tell.
const SERVER_NONCE: [u8; 32] = [0x7b; 32];

/// How a controller proves who it is.
#[derive(Debug, Clone, Default)]
pub struct Auth {
    cookie: Option<([u8; 32], PathBuf)>,
    password: Option<Vec<u8>>,
    /// In the place of `COOKIE,SAFECOOKIE`.
    cookie_methods: Option<&'static str>,
    lies: bool,
    expected: Option<[u8; 32]>,
}

impl Auth {
    /// `CookieAuthentication 1`, with the cookie in a file.
    pub fn cookie(file: &Path) -> Self {
        let cookie = [0xa5; 32];
        fs::write(file, cookie).unwrap();
        Self::cookie_elsewhere(file)
    }

    /// Tor names this file, and expects a cookie that nobody wrote there.
    pub fn cookie_elsewhere(file: &Path) -> Self {
        Self {
            cookie: Some(([0xa5; 32], file.to_owned())),
            ..Self::default()
        }
    }

    /// `HashedControlPassword`.
    pub fn password(password: &str) -> Self {
        Self::default().or_password(password)
    }

    /// A password as well.
    pub fn or_password(self, password: &str) -> Self {
        Self {
            password: Some(password.as_bytes().to_vec()),
            ..self
        }
    }

    /// Only these of the methods that use a cookie are offered.
    pub fn offering(self, methods: &'static str) -> Self {
        Self {
            cookie_methods: Some(methods),
            ..self
        }
    }

    /// It does not know the cookie, and shows a wrong hash.
    pub fn lying(self) -> Self {
        Self { lies: true, ..self }
    }

    /// The lines of PROTOCOLINFO.
    pub(super) fn protocolinfo(&self) -> String {
        let mut methods = Vec::new();
        let mut file = String::new();
        if let Some((_, path)) = &self.cookie {
            methods.push(self.cookie_methods.unwrap_or("COOKIE,SAFECOOKIE"));
            let path = path.to_str().unwrap();
            let path = path.replace('\\', "\\\\").replace('"', "\\\"");
            file = format!(" COOKIEFILE=\"{path}\"");
        }
        if self.password.is_some() {
            methods.push("HASHEDPASSWORD");
        }
        if methods.is_empty() {
            methods.push("NULL");
        }
        format!(
            "250-PROTOCOLINFO 1\r\n250-AUTH METHODS={}{file}\r\n\
             250-VERSION Tor=\"0.4.9.11\"\r\n250 OK\r\n",
            methods.join(",")
        )
    }

    /// AUTHCHALLENGE SAFECOOKIE; whether the connection goes on.
    pub(super) fn challenge(&mut self, arguments: &str) -> (String, bool) {
        let nonce = arguments.strip_prefix("SAFECOOKIE ").and_then(unhex);
        let (Some(nonce), Some((cookie, _))) = (nonce, &self.cookie) else {
            return ("513 Invalid base16 client nonce\r\n".to_owned(), false);
        };
        let message = [&cookie[..], &nonce, &SERVER_NONCE].concat();
        let mut shown = hmac(SERVER_KEY, &message);
        shown[0] ^= u8::from(self.lies);
        self.expected = Some(hmac(CLIENT_KEY, &message));
        let line = format!(
            "250 AUTHCHALLENGE SERVERHASH={} SERVERNONCE={}\r\n",
            hex(&shown).to_ascii_uppercase(),
            hex(&SERVER_NONCE).to_ascii_uppercase()
        );
        (line, true)
    }

    /// AUTHENTICATE: why it is refused, if it is.
    pub(super) fn refusal(&mut self, arguments: &str) -> Option<&'static str> {
        if let Some(expected) = self.expected.take() {
            let is_right = unhex(arguments).is_some_and(|shown| shown == expected);
            return (!is_right).then_some("Safe cookie response did not match expected value.");
        }
        let quoted = arguments
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let shown = match quoted {
            Some(text) => Some(unquoted(text)),
            None => unhex(arguments),
        };
        match (&self.cookie, &self.password) {
            (None, None) => None,
            (_, Some(password)) if shown.as_ref() == Some(password) => None,
            (Some((cookie, _)), _) if shown.as_deref() == Some(cookie) => None,
            (None, Some(_)) => Some("Password did not match HashedControlPassword value"),
            (Some(_), Some(_)) => {
                Some("Password did not match HashedControlPassword *or* authentication cookie.")
            }
            (Some(_), None) if shown.is_none_or(|shown| shown.len() != 32) => {
                Some("Wrong length on authentication cookie.")
            }
            (Some(_), None) => Some("Authentication cookie did not match expected value."),
        }
    }
}

fn unquoted(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => bytes.extend(rest.next()),
            _ => bytes.push(byte),
        }
    }
    bytes
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut engine = HmacEngine::<sha256::Hash>::new(key);
    engine.input(message);
    Hmac::from_engine(engine).to_byte_array()
}

pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    data_encoding::HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the recording `authentication`.
    #[test]
    fn the_hash_is_tors() {
        let decode = |text: &str| unhex(text).unwrap();
        let cookie = decode("a5e03a30a039e85f61a1096255ec4bff67612387addf4118bbb7a7c9fc9ed919");
        let client = decode("4dbe568895d40c88a976e395a08db166247fb69dcb8dd8496e31a261fc4eab47");
        let server = decode("7BF43DFE400E6C375BC5FCBD2C8A713D249B1943585185A98247CD4F8DDD29B5");
        let message = [cookie, client, server].concat();
        assert_eq!(
            hex(&hmac(SERVER_KEY, &message)).to_ascii_uppercase(),
            "969F1CFEA01B4DAD08D62C69B3A593FA1B4CD853C065889052A5842694113B3D"
        );
        assert_eq!(
            hex(&hmac(CLIENT_KEY, &message)),
            "01e3b0795c89ee9058b101579a5b00bf4ce07de5ebb46403253792629c1f6aa2"
        );
    }
}
