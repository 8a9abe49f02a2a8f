//! The credentials for a node: a password, or the node's cookie file; and the
//! node's messages without secrets, so that they can be shown.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::BASE64;
use ureq::http::HeaderValue;

use crate::config::settings::Credentials;
use crate::platform;
use crate::snapshot::{FetchError, FetchErrorKind};

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
    pub fn current(&self) -> Result<Arc<Secret>, FetchError> {
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

    fn read(&self) -> Result<Arc<Secret>, FetchError> {
        let path = match &self.setting {
            Credentials::Cookie(path) | Credentials::DefaultCookie(Some(path)) => path,
            Credentials::DefaultCookie(None) => {
                return Err(FetchError::new(
                    FetchErrorKind::File,
                    "there is no home directory to look for the node's cookie file in: set --rpc-cookie or --rpc-user",
                ));
            }
            // Only if the user name and password are too long.
            Credentials::Password { .. } => {
                return Err(FetchError::new(
                    FetchErrorKind::Credentials,
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
fn read_cookie(path: &Path) -> Result<Secret, FetchError> {
    let failure = |what: &str| {
        FetchError::new(
            FetchErrorKind::File,
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

//------------ Messages ------------------------------------------------------

/// The longest text of a node that is shown, in characters.
const MAX_SHOWN: usize = 200;

/// The longest message that is searched, in bytes; longer ones are not
/// shown at all.
const MAX_SEARCHED: usize = 16 << 10;

/// Replaces a secret.
const REDACTED: &str = "[...]";

/// Replaces a message that cannot be shown.
const WITHHELD: &str = "(message withheld)";

/// Secrets shorter than this, in bytes, count only as whole words: every text
/// contains the letter "a".
const WORD: usize = 4;

/// Turns `message` into one line of printable ASCII, at most [`MAX_SHOWN`]
/// characters, and removes each of `secrets`, in any case.
///
/// A message that repeats a secret with backslashes in it, which is how nodes
/// quote, is withheld altogether.
pub(super) fn redacted(message: &str, secrets: &[&str]) -> String {
    if message.len() > MAX_SEARCHED {
        return WITHHELD.into();
    }
    let mut secrets: Vec<&str> = secrets.iter().copied().filter(|s| !s.is_empty()).collect();
    // A secret may contain another one: the longest must go first.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let mut text = message.to_owned();
    for secret in &secrets {
        text = without(&text, secret);
    }
    let bare = unquoted(&text);
    if secrets
        .iter()
        .map(|secret| unquoted(secret))
        .filter(|secret| !secret.is_empty())
        .any(|secret| places(&bare, &secret).next().is_some())
    {
        return WITHHELD.into();
    }
    printable(&text)
}

fn without(text: &str, secret: &str) -> String {
    // Lower case in ASCII leaves every byte in its place.
    let lower = text.to_ascii_lowercase();
    let mut kept = String::with_capacity(text.len());
    let mut done = 0;
    for start in places(&lower, &secret.to_ascii_lowercase()) {
        kept.push_str(text.get(done..start).unwrap_or_default());
        kept.push_str(REDACTED);
        done = start.saturating_add(secret.len());
    }
    kept.push_str(text.get(done..).unwrap_or_default());
    kept
}

/// Where `secret` begins in `text`; short ones count only as whole words.
fn places<'a>(text: &'a str, secret: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_letter = |c: char| c.is_ascii_alphanumeric();
    text.match_indices(secret)
        .filter(move |(at, found)| {
            let before = text.get(..*at).unwrap_or_default();
            let after = text.get(at.saturating_add(found.len())..);
            secret.len() >= WORD
                || !(before.ends_with(is_letter)
                    || after.unwrap_or_default().starts_with(is_letter))
        })
        .map(|(at, _)| at)
}

fn unquoted(text: &str) -> String {
    text.replace('\\', "").to_ascii_lowercase()
}

fn printable(text: &str) -> String {
    let mut shown = String::new();
    for c in text.replace('…', "...").chars().take(MAX_SHOWN) {
        shown.push(match c {
            ' '..='~' => c,
            c if c.is_whitespace() => ' ',
            _ => '?',
        });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(content: &[u8]) -> Result<Secret, FetchError> {
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
            assert_eq!(failure.kind, FetchErrorKind::File);
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
        assert_eq!(failure.kind, FetchErrorKind::Credentials);
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

    #[test]
    fn plain_words_pass_in_printable_ascii() {
        assert_eq!(
            redacted("Loading block index…", &[]),
            "Loading block index..."
        );
        assert_eq!(redacted("a\nb\tc\u{1b}\u{7f}ü", &[]), "a b c???");
        assert_eq!(redacted(&"x".repeat(5000), &[]).len(), MAX_SHOWN);
        assert_eq!(redacted(&"x".repeat(MAX_SEARCHED + 1), &[]), WITHHELD);
    }

    #[test]
    fn secrets_are_taken_out_in_any_case() {
        let shown = redacted(
            "cannot find 'd/Example' (0x642F6578616D706C65), d/example",
            &["d/example", "642f6578616d706c65", "example"],
        );
        assert_eq!(shown, "cannot find '[...]' (0x[...]), [...]");
    }

    #[test]
    fn a_quoted_secret_withholds_the_message() {
        assert_eq!(redacted(r"no 'a\\b\'c'", &[r"a\b'c"]), WITHHELD);
    }

    #[test]
    fn short_secrets_are_whole_words() {
        assert_eq!(
            redacted("bad stream a: abandoned", &["a"]),
            "bad stream [...]: abandoned"
        );
    }

    #[test]
    fn nothing_of_a_secret_is_left_at_the_cut() {
        let secret = "s3cr3t-isolation-id";
        for padding in 150..=MAX_SHOWN {
            let shown = redacted(&format!("{}{secret}", "-".repeat(padding)), &[secret]);
            assert!(!shown.contains("s3"), "{shown}");
        }
    }
}
