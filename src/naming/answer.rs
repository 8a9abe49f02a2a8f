//! What a name leads to, in what a door needs to know.

use std::net::IpAddr;

use crate::policy::Verdict;
use crate::text::printable;

/// What a name leads to. The last two hold the reason, in printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An onion service that Tor accepts.
    Onion(String),
    /// A public address.
    Address(IpAddr),
    /// A host name that is not ours, for the exit to resolve.
    Host(String),
    /// There is no answer, and asking again soon will not help.
    NoSuchName(String),
    /// The answer is not known for now.
    NotNow(String),
}

impl From<&Verdict> for Answer {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Onion(onion) => Self::Onion(onion.as_str().to_owned()),
            Verdict::Address(address) => Self::Address(*address),
            Verdict::Host(host) => Self::Host(host.clone()),
            Verdict::Unknown(failure) => Self::NotNow(printable(&failure.message)),
            Verdict::NotFound(_) | Verdict::NotInZone(_) => {
                Self::NoSuchName(printable(&verdict.text()))
            }
        }
    }
}
