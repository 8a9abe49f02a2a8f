//! The credentials for a node: a password, or the node's cookie file.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::BASE64;
use ureq::http::HeaderValue;

use crate::config::settings::Credentials;
use crate::platform;
use crate::snapshot::{FailureKind, FetchFailure};

/// The longest `user:password` that is sent, in bytes. In base64 it fits into
/// the 8 KiB of headers that Namecoin Core accepts.
const MAX_SECRET: usize = 4 << 10;

/// The longest cookie file that is read, in bytes.
const MAX_COOKIE: u64 = MAX_SECRET as u64;

/// A user name and a password, and their header. `Debug` shows none of them.
pub(super) struct Secret {
    user: String,
    password: String,
    token: String,
    header: HeaderValue,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// `None` if they are too long to be sent.
    fn new(user: &str, password: &str) -> Option<Self> {
        let pair = format!("{user}:{password}");
        if pair.len() > MAX_SECRET {
            return None;
        }
        let token = BASE64.encode(pair.as_bytes());
        let mut header = HeaderValue::from_str(&format!("Basic {token}")).ok()?;
        header.set_sensitive(true);
        Some(Self {
            user: user.into(),
            password: password.into(),
            token,
            header,
        })
    }

    /// The value of the `Authorization` header, marked as sensitive.
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// Every form of them, none of which may be shown.
    pub fn texts(&self) -> [&str; 3] {
        [&self.user, &self.password, &self.token]
    }

    fn is_same(&self, other: &Self) -> bool {
        self.token == other.token
    }
}

/// Holds the credentials, and reads the cookie file when necessary.
#[derive(Debug)]
pub(super) struct Keyring {
    setting: Credentials,
    /// What was read or configured. Locked only for copying, never while reading.
    known: Mutex<Option<Arc<Secret>>>,
}

impl Keyring {
    /// Reads nothing yet.
    pub fn new(setting: &Credentials) -> Self {
        let known = match setting {
            Credentials::Password { user, password } => Secret::new(user, password).map(Arc::new),
            Credentials::Cookie(_) | Credentials::DefaultCookie(_) => None,
        };
        Self {
            setting: setting.clone(),
            known: Mutex::new(known),
        }
    }

    /// The credentials to use, read now if this is the first time.
    ///
    /// # Errors
    /// The cookie file cannot be read, or nothing says where it is.
    pub fn current(&self) -> Result<Arc<Secret>, FetchFailure> {
        let known = self
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match known {
            Some(secret) => Ok(secret),
            None => self.read(),
        }
    }

    /// Reads the cookie file again after the node refused `refused`; `None` if
    /// that gives no other credentials to try.
    pub fn renewed(&self, refused: &Secret) -> Option<Arc<Secret>> {
        if matches!(self.setting, Credentials::Password { .. }) {
            return None;
        }
        self.read().ok().filter(|read| !read.is_same(refused))
    }

    /// What a user can do about refused credentials.
    pub fn advice(&self) -> &'static str {
        match self.setting {
            Credentials::Password { .. } => "check --rpc-user and its password",
            Credentials::Cookie(_) => "is the cookie file at --rpc-cookie that of this node?",
            Credentials::DefaultCookie(_) => {
                "is the cookie file that of this node? Set --rpc-cookie or --rpc-user"
            }
        }
    }

    fn read(&self) -> Result<Arc<Secret>, FetchFailure> {
        let path = match &self.setting {
            Credentials::Cookie(path) | Credentials::DefaultCookie(Some(path)) => path,
            Credentials::DefaultCookie(None) => {
                return Err(FetchFailure::new(
                    FailureKind::File,
                    "there is no home directory to look for the node's cookie file in: set --rpc-cookie or --rpc-user",
                ));
            }
            // Only if the user name and password are too long.
            Credentials::Password { .. } => {
                return Err(FetchFailure::new(
                    FailureKind::Credentials,
                    "the user name and password are too long to be sent: check --rpc-user and its password",
                ));
            }
        };
        let secret = Arc::new(read_cookie(path)?);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&secret));
        Ok(secret)
    }
}

/// Reads a cookie file: one line `user:password`, with or without its end.
fn read_cookie(path: &Path) -> Result<Secret, FetchFailure> {
    let failure = |what: &str| {
        FetchFailure::new(
            FailureKind::File,
            format!("cookie file {} {what}", path.display()),
        )
    };
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => failure(
            "not found: is the node running, with server=1 and no rpcpassword? \
             If its data directory is elsewhere, set --rpc-cookie",
        ),
        std::io::ErrorKind::PermissionDenied => failure(
            "cannot be read by this user: run this program as the node's user, or set a password",
        ),
        std::io::ErrorKind::InvalidInput => failure("is not a file: check --rpc-cookie"),
        kind => failure(&format!("cannot be read: {kind}")),
    };
    let mut content = Vec::new();
    platform::open_to_read(path)
        .and_then(|(file, _)| file.take(MAX_COOKIE + 1).read_to_end(&mut content))
        .map_err(unreadable)?;
    let no_cookie = || failure("holds no cookie: check --rpc-cookie");
    if u64::try_from(content.len()).map_or(true, |length| length > MAX_COOKIE) {
        return Err(no_cookie());
    }
    let text = std::str::from_utf8(&content).map_err(|_| no_cookie())?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.contains(char::is_control) {
        return Err(no_cookie());
    }
    let (user, password) = line.split_once(':').ok_or_else(no_cookie)?;
    Secret::new(user, password).ok_or_else(no_cookie)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(content: &[u8]) -> Result<Secret, FetchFailure> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".cookie");
        std::fs::write(&path, content).unwrap();
        read_cookie(&path)
    }

    #[test]
    fn one_line_with_or_without_its_end() {
        for end in ["", "\n", "\r\n"] {
            let secret = cookie(format!("__cookie__:0a1b{end}").as_bytes()).unwrap();
            assert_eq!(secret.header(), "Basic X19jb29raWVfXzowYTFi");
        }
    }

    #[test]
    fn anything_else_is_no_cookie() {
        for bad in [
            &b""[..],
            b"x",
            b"a:b\nc",
            b"a:\xff",
            b"a:b\n\n",
            &[b':'; 4097],
        ] {
            let failure = cookie(bad).unwrap_err();
            assert_eq!(failure.kind, FailureKind::File);
            assert!(failure.message.contains("holds no cookie"));
        }
        assert!(cookie(&[b':'; 4096]).is_ok());
        let directory = tempfile::tempdir().unwrap();
        let failure = read_cookie(directory.path()).unwrap_err();
        assert!(failure.message.contains("is not a file"));
    }

    #[test]
    fn a_password_has_a_length_that_can_be_sent() {
        let keyring = |length: usize| {
            Keyring::new(&Credentials::Password {
                user: "u".into(),
                password: "p".repeat(length),
            })
        };
        assert!(keyring(4094).current().is_ok());
        let failure = keyring(4095).current().unwrap_err();
        assert_eq!(failure.kind, FailureKind::Credentials);
        assert!(failure.message.contains("too long to be sent"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let keyring = Keyring::new(&Credentials::Password {
            user: "mallory".into(),
            password: "swordfish".into(),
        });
        let secret = keyring.current().unwrap();
        let shown = format!("{keyring:?} {secret:?} {:?}", secret.header());
        for text in secret.texts() {
            assert!(!shown.contains(text), "{shown}");
        }
    }
}
