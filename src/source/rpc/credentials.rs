//! What the node is shown, and the cookie file that it may come from.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use data_encoding::BASE64;

use crate::config::settings::Credentials;
use crate::snapshot::{FailureKind, FetchFailure};

/// The longest cookie file that is read, in octets. Namecoin Core's has 75.
const MAX_COOKIE: u64 = 4096;

/// The value of an `Authorization` header (RFC 7617). Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization(String);

impl Authorization {
    fn basic(user_and_password: &[u8]) -> Self {
        Self(format!("Basic {}", BASE64.encode(user_and_password)))
    }

    /// The header's value.
    pub fn header(&self) -> &str {
        &self.0
    }
}

/// Credentials, read when they are first needed and kept until they are
/// refused.
pub struct CredentialStore {
    origin: Credentials,
    current: Mutex<Option<Authorization>>,
}

impl CredentialStore {
    /// Credentials from `origin`; no file is read yet.
    pub fn new(origin: Credentials) -> Self {
        Self {
            origin,
            current: Mutex::new(None),
        }
    }

    /// What to show now.
    pub fn current(&self) -> Result<Authorization, FetchFailure> {
        // The lock is held for copying only, never for reading a file.
        if let Some(known) = &*self.lock() {
            return Ok(known.clone());
        }
        let read = self.read()?;
        *self.lock() = Some(read.clone());
        Ok(read)
    }

    /// What to show after `refused` was refused; `None` if it is the same.
    pub fn renew(&self, refused: &Authorization) -> Result<Option<Authorization>, FetchFailure> {
        if matches!(self.origin, Credentials::Password { .. }) {
            return Ok(None);
        }
        let read = self.read()?;
        *self.lock() = Some(read.clone());
        Ok((read != *refused).then_some(read))
    }

    /// What the user can do about refused credentials.
    pub fn advice(&self) -> &'static str {
        match self.origin {
            Credentials::Password { .. } => "check --rpc-user and --rpc-password",
            Credentials::Cookie(_) => "check that --rpc-cookie is the cookie file of this node",
            Credentials::DefaultCookie(_) => {
                "set --rpc-user and --rpc-password, or --rpc-cookie if its cookie file is not in \
                 the default data directory"
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Authorization>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> Result<Authorization, FetchFailure> {
        let path = match &self.origin {
            Credentials::Password { user, password } => {
                return Ok(Authorization::basic(
                    format!("{user}:{password}").as_bytes(),
                ));
            }
            Credentials::Cookie(path) | Credentials::DefaultCookie(Some(path)) => path,
            Credentials::DefaultCookie(None) => {
                let message = "no cookie file is known on this platform; set --rpc-cookie, or \
                               --rpc-user and --rpc-password";
                return Err(FetchFailure::new(FailureKind::File, message));
            }
        };
        read_cookie(path)
            .map_err(|why| FetchFailure::new(FailureKind::File, format!("the cookie file {why}")))
    }
}

fn read_cookie(path: &Path) -> Result<Authorization, String> {
    let shown = path.display();
    let mut octets = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_COOKIE + 1).read_to_end(&mut octets))
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                format!(
                    "{shown} does not exist; is the node running, and is this its data directory?"
                )
            }
            ErrorKind::PermissionDenied => {
                format!("{shown} may not be read; run as the node's user, or copy the file")
            }
            kind => format!("{shown} cannot be read: {kind}"),
        })?;
    let cookie = octets.trim_ascii_end();
    if cookie.len() as u64 > MAX_COOKIE || !cookie.contains(&b':') || cookie.contains(&b'\n') {
        return Err(format!(
            "{shown} is no cookie file: it is not one line of user:password"
        ));
    }
    Ok(Authorization::basic(cookie))
}
