//! What comes of a query: an answer, or why there is none.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::onion::OnionAddress;
use crate::snapshot::{FailureKind, FetchFailure};

/// What comes of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// An onion service.
    Onion(OnionAddress),
    /// A public address.
    Address(IpAddr),
    /// A host name of the DNS, for the exit to resolve.
    Host(String),
    /// The name is not ours to resolve. Holds the name.
    NotInZone(String),
    /// There is no answer, and asking again soon changes nothing. Holds the
    /// message: the name, and why.
    NotFound(String),
    /// The answer cannot be known for now.
    Unknown(FetchFailure),
}

/// The kind of a verdict, for programs: the status of a `RESOLVED` line
/// (proposal 279) and the exit status of the commands that look a name up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// The name was resolved; the text is an address.
    Success = 0,
    /// A failure of any other kind. Clients may ask again for a while.
    Failure = 1,
    /// The name is not in a zone that this program serves.
    NotInZone = 2,
    /// The name is not registered, and asking again will not help.
    NotRegistered = 3,
    /// The answer took too long. Clients may ask again for a while.
    Timeout = 4,
}

impl Status {
    /// The number on the wire, and the exit status.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl Verdict {
    /// Its kind (`spec/prop279-isolation.md`, "Statuses").
    pub fn status(&self) -> Status {
        match self {
            Self::Onion(_) | Self::Address(_) | Self::Host(_) => Status::Success,
            Self::NotInZone(_) => Status::NotInZone,
            Self::NotFound(_) => Status::NotRegistered,
            Self::Unknown(failure) if failure.kind == FailureKind::TimedOut => Status::Timeout,
            Self::Unknown(_) => Status::Failure,
        }
    }

    /// The address, or the message.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Onion(onion) => onion.as_str().into(),
            Self::Address(address) => address.to_string().into(),
            Self::NotInZone(name) => format!("{name} is not a Namecoin domain").into(),
            Self::Host(text) | Self::NotFound(text) => text.into(),
            Self::Unknown(failure) => (&*failure.message).into(),
        }
    }
}
