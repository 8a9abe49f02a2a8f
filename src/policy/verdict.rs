//! The result of a query: an answer, or why there is none.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::OnceLock;

use crate::onion::OnionAddress;
use crate::snapshot::{FetchError, FetchErrorKind};

/// The result of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// An onion service.
    Onion(OnionAddress),
    /// A public address.
    Address(IpAddr),
    /// A host name of the public DNS, for the exit to resolve.
    Host(String),
    /// The name is not ours to resolve. Holds the name.
    NotInZone(String),
    /// There is no answer, and asking again soon will not help. Holds the message:
    /// the name, and why.
    NotFound(String),
    /// The answer cannot be known for now.
    Unknown(FetchError),
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
            Self::Unknown(failure) if failure.kind == FetchErrorKind::TimedOut => Status::Timeout,
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

/// A verdict that is cached for the next query of its kind, together with the
/// bytes that a door writes for it, so that these are built only once.
#[derive(Debug)]
pub struct CachedAnswer {
    verdict: Verdict,
    written: OnceLock<Box<[u8]>>,
}

impl CachedAnswer {
    /// An answer that has not been written yet.
    pub fn new(verdict: Verdict) -> Self {
        Self {
            verdict,
            written: OnceLock::new(),
        }
    }

    /// The verdict itself.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The bytes that `write` returns for the verdict, now or when first called.
    pub fn written(&self, write: impl FnOnce(&Verdict) -> Box<[u8]>) -> &[u8] {
        self.written.get_or_init(|| write(&self.verdict))
    }

    /// How many bytes the answer takes on the heap, including the written form:
    /// the status and the text, which in a cached verdict needs no escaping.
    pub fn weight(&self) -> usize {
        let text = match &self.verdict {
            Verdict::Onion(onion) => onion.as_str().len(),
            Verdict::Address(_) => MAX_ADDRESS,
            Verdict::Host(text) | Verdict::NotInZone(text) | Verdict::NotFound(text) => text.len(),
            Verdict::Unknown(failure) => failure.message.len(),
        };
        size_of::<Self>() + 2 * text + PUNCTUATION
    }
}

/// The longest address as text.
const MAX_ADDRESS: usize = 39;

/// The status, spaces, quotes and the line end.
const PUNCTUATION: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    /// Once in the verdict, once in its written form.
    #[test]
    fn an_answer_weighs_its_text_twice() {
        let weight = |verdict: Verdict| CachedAnswer::new(verdict).weight();
        let bare = size_of::<CachedAnswer>() + PUNCTUATION;
        let failure = FetchError::new(FetchErrorKind::TimedOut, "four");
        for verdict in [
            Verdict::Host("four".into()),
            Verdict::NotInZone("four".into()),
            Verdict::NotFound("four".into()),
            Verdict::Unknown(failure),
        ] {
            assert_eq!(weight(verdict), bare + 8);
        }
        let address = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff";
        let longest = 2 * (address.len() + 1);
        assert_eq!(
            weight(Verdict::Address(address.parse().unwrap())),
            bare + longest
        );
    }
}
