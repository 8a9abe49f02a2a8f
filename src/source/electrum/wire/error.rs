//! Why there is no connection, or no reply.
//!
//! The texts name the server or the proxy, and nothing that was asked or
//! answered.

use std::io::{self, ErrorKind};

use thiserror::Error;

/// Why a server could not be connected to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DialError {
    /// There is no connection to the proxy.
    #[error("the proxy at {proxy} cannot be reached ({why}): is it running?")]
    Proxy {
        /// The proxy's address.
        proxy: String,
        /// What went wrong.
        why: String,
    },
    /// What answers at the proxy's address is none.
    #[error("what answers at {proxy} does not speak SOCKS5: is it Tor's SOCKS port?")]
    NoProxy {
        /// The proxy's address.
        proxy: String,
    },
    /// The proxy does not take a user name and a password.
    #[error("the proxy at {proxy} refuses credentials, without which it cannot isolate")]
    ProxyRefuses {
        /// The proxy's address.
        proxy: String,
    },
    /// There is no connection to the server, or it was lost at once.
    #[error("the server at {server} cannot be reached: {why}")]
    Unreachable {
        /// The server's address.
        server: String,
        /// What went wrong.
        why: String,
    },
    /// TLS failed for another reason than trust.
    #[error(
        "the server at {server} and this program could not agree on TLS: is it t in the place of s?"
    )]
    Tls {
        /// The server's address.
        server: String,
    },
    /// No known authority signed the certificate, and it is not pinned.
    #[error(
        "the certificate of the server at {server} is neither signed by a known authority nor pinned"
    )]
    NotTrusted {
        /// The server's address.
        server: String,
    },
    /// The server shows another key than the pinned one.
    #[error(
        "the server at {server} shows another key than the pinned one: somebody may be in between; \
         if its operator changed the key, delete the server's line in the file pins of the state directory"
    )]
    PinChanged {
        /// The server's address.
        server: String,
    },
    /// The server shows another key or certificate than the bundled list has.
    #[error(
        "the server at {server} shows another certificate than the one in the bundled list: \
         somebody may be in between; if its operator changed it, a newer version of this \
         program may know the new one"
    )]
    OtherIdentity {
        /// The server's address.
        server: String,
    },
    /// The server says something else than the Electrum protocol.
    #[error("the server at {server} does not speak the Electrum protocol")]
    NotElectrum {
        /// The server's address.
        server: String,
    },
    /// The server does not speak the protocol's versions 1.4 to 1.4.3.
    #[error("the server at {server} does not speak version 1.4 of the Electrum protocol")]
    Version {
        /// The server's address.
        server: String,
    },
    /// The time was up.
    #[error("there was no connection to the server at {server} in time")]
    TimedOut {
        /// The server's address.
        server: String,
    },
    /// Nobody wants the connection any more.
    #[error("the connection to the server at {server} is not wanted any more")]
    Cancelled {
        /// The server's address.
        server: String,
    },
    /// There is no randomness for credentials.
    #[error("the operating system has no random numbers")]
    Random,
}

impl DialError {
    /// Whether it says something of the server: neither the proxy nor this
    /// program was the reason.
    pub fn is_of_server(&self) -> bool {
        !matches!(
            self,
            Self::Proxy { .. }
                | Self::NoProxy { .. }
                | Self::ProxyRefuses { .. }
                | Self::Cancelled { .. }
                | Self::Random
        )
    }
}

/// Why a call brought no reply. The text goes on a sentence that begins with
/// the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CallError {
    /// The time was up. The connection goes on, and the reply is discarded
    /// when it comes.
    #[error("did not answer in time")]
    TimedOut {
        /// Nothing at all came from the server while this was waited for.
        is_silent: bool,
    },
    /// Nobody waits any more. The connection goes on.
    #[error("was not waited for")]
    Cancelled,
    /// One of the two sides closed the connection.
    #[error("closed the connection")]
    Closed,
    /// The connection broke.
    #[error("lost the connection ({0})")]
    Lost(ErrorKind),
    /// The server broke the protocol.
    #[error("sent {0}")]
    Protocol(&'static str),
    /// The memory for long lines is used up.
    #[error("sent more than there is room for")]
    Memory,
    /// The server leaves too many requests without a reply.
    #[error("leaves too many requests unanswered")]
    Unanswered,
    /// The ticket was bought on another connection: a defect of the caller.
    #[error("was not asked this")]
    Foreign,
}

impl CallError {
    /// Whether the connection has ended with this error.
    pub fn is_fatal(self) -> bool {
        !matches!(
            self,
            Self::TimedOut { .. } | Self::Cancelled | Self::Foreign
        )
    }

    /// What an error of reading or writing means.
    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof
            | ErrorKind::BrokenPipe
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
            | ErrorKind::WriteZero => Self::Closed,
            kind => Self::Lost(kind),
        }
    }
}
