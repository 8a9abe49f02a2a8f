//! One stream: what is said of it, how far it got, and what can be done.

use std::time::{Duration, Instant};

/// How long, and how often at least, something is tried for a stream that somebody
/// disturbs: an attacker must not use up attempts, nor a slow Tor the time.
const TRIES: u32 = 100;
pub const DISTURBED: Duration = Duration::from_secs(20);

/// What a stream is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Tor's own business.
    Ordinary,
    /// A name that we resolve, to connect to it.
    Ours,
    /// A name that we resolve, whose address is asked for.
    OursToResolve,
    /// An address that Tor may have given to one of our names.
    Virtual,
    /// The target is no host and port.
    Bad,
    /// Tor itself wants it, and waits for nobody.
    OfTor,
}

/// What somebody says of a stream: Tor, or somebody who forges events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What kind of stream it is.
    pub kind: Kind,
    /// The host, unless the target is bad.
    pub host: String,
    /// The target as it was written.
    pub target: Vec<u8>,
    /// The client's address; `None` for Tor itself, and if it is unknown.
    pub client: Option<Vec<u8>>,
    /// The fields that are repeated when the stream waits; empty if they are
    /// unknown.
    pub rest: Vec<u8>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Do {
    /// Find out whether the stream exists: [`Streams::probed`].
    Probe(u64),
    /// Read everything that Tor has written until now: [`Streams::settled`].
    Settle(u64),
    /// Ask Tor for the names of virtual addresses: [`Streams::mapped`].
    Mappings,
    /// Have the stream go elsewhere: [`Streams::redirected`].
    Redirect(u64, String),
    /// Give the stream to Tor. It is done with. The second is whether Tor said
    /// itself that the stream waits for a controller.
    Attach(u64, bool),
    /// Close the stream for a reason of Tor's. It is done with.
    Close(u64, u8),
    /// Look the name in a claim up for the stream: [`Streams::answered`].
    Lookup(u64, Claim),
    /// The answer is not wanted any more.
    Cancel(u64),
}

/// Whether a stream exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existence {
    /// It does.
    Alive,
    /// It does not.
    Gone,
    /// It does, but Tor refuses what was asked.
    Refused,
    /// Somebody forged replies.
    Unclear,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does not wait for a controller yet.
    Announced,
    /// It was announced long ago. Whether it exists is being asked.
    Fading,
    /// Whether it exists is being asked.
    Probing,
    /// It exists. What was said of it before is being read.
    Settling,
    /// Tor is asked which claim is true.
    Contested,
    /// Tor is asked for the name of its address.
    Mapping,
    /// Its name is looked up.
    Resolving,
    /// Tor is asked to redirect it.
    Redirecting,
}

pub struct Stream {
    /// At least one.
    pub claims: Vec<Claim>,
    pub state: State,
    /// When something had to be tried again for the first time, and how often that
    /// was since.
    pub disturbed: Option<(Instant, u32)>,
    /// Where to redirect it.
    pub answer: String,
    /// Whether Tor itself said that it waits for a controller.
    pub waits: bool,
    /// Whether it was also said to wait in other words than those of a claim, or
    /// twice. Tor does so if the target holds lines of its own.
    pub is_doubtful: bool,
    /// Whether it is older than the connection.
    pub is_older: bool,
    /// Whether it is being asked if it is over.
    pub is_asked: bool,
    /// The number of the list that decides which claim is true.
    pub list: u64,
}

impl Stream {
    /// Something has to be tried again. Whether it was tried for too long.
    pub fn is_given_up(&mut self, now: Instant) -> bool {
        let (since, tries) = self.disturbed.get_or_insert((now, 0));
        *tries = tries.saturating_add(1);
        *tries > TRIES && now.saturating_duration_since(*since) > DISTURBED
    }

    /// Replaces all claims by what the list says of the target. An announcement
    /// that agrees with it says what the stream is isolated by, if it is the only
    /// one that was made: `has_all` is whether others cannot have been forgotten.
    pub fn confirm(&mut self, listed: Claim, has_all: bool) {
        let only = match self.claims.as_slice() {
            [claim] if has_all && claim.target == listed.target && claim.kind == listed.kind => {
                self.claims.pop()
            }
            _ => None,
        };
        self.claims = vec![only.unwrap_or(listed)];
    }
}
