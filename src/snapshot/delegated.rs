//! Questions to the name servers of delegated names, and what they answered
//! (`spec/delegations.md`).

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::rr::{Name, RData, RecordType};

use super::FetchError;
use crate::address;
use crate::onion::OnionAddress;

/// The messages that may be sent to name servers for one query.
pub const MAX_MESSAGES: u8 = 16;

/// Questions to the name servers of one zone. Everything that decides their
/// answer is part of it, so an answer that is kept belongs to the value that
/// named these servers. How many messages may be sent is no part of what is asked:
/// two questions that differ in nothing else are equal.
#[derive(Debug, Clone)]
pub struct Question {
    /// The zone that was delegated, in lower case: the owner of the cut, or what
    /// it is translated to.
    pub zone: Name,
    /// Where to ask, as a proxy connects to it: addresses, onion services, host
    /// names. At least one, each once.
    pub servers: Vec<String>,
    /// The data of the DS records in the value (RFC 4034 section 5.1). If there
    /// is any, answers are verified.
    pub ds: Vec<Vec<u8>>,
    /// What is asked: names in the zone, in lower case.
    pub asked: Vec<(Name, RecordType)>,
    /// How many messages may be sent for it, at most [`MAX_MESSAGES`].
    pub messages: u8,
}

/// What name servers answered to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// One reply for each of [`Question::asked`], in their order. A failure of
    /// one need not hurt a query that can do without it. All of them may have failed.
    pub replies: Vec<Result<Reply, FetchError>>,
    /// How many messages were sent.
    pub messages: u8,
    /// For how long all of it may be kept.
    pub ttl: Duration,
}

/// The reply to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Whether the name exists, though perhaps without records of the type.
    pub exists: bool,
    /// The records of the type asked for.
    pub data: Vec<RData>,
    /// The target of the name's alias, in lower case.
    pub alias: Option<Name>,
    /// Whether it was verified with the DS records of the value.
    pub is_signed: bool,
}

/// A name server at an address, as [`Question::servers`] has it; `None` if Tor does
/// not connect there.
pub fn server_at(address: IpAddr) -> Option<String> {
    address::is_public(address).then(|| address.to_string())
}

/// A name server at the address in a record.
pub fn server_by_data(data: &RData) -> Option<String> {
    match data {
        RData::A(address) => server_at(address.0.into()),
        RData::AAAA(address) => server_at(address.0.into()),
        _ => None,
    }
}

/// A name server outside `.bit`: an onion service, or a name that an exit
/// resolves. `None` for any other name.
pub fn server_by_name(name: &Name) -> Option<String> {
    let text = name.to_ascii();
    match OnionAddress::parse(text.trim_end_matches('.')) {
        Ok(onion) => Some(onion.into_string()),
        Err(_) => address::host_name(&text).ok(),
    }
}

impl Question {
    /// What makes it this question.
    fn identity(&self) -> impl Ord + Hash {
        (&self.zone, &self.servers, &self.ds, &self.asked)
    }

    /// About as many bytes as it takes in memory.
    pub fn weight(&self) -> usize {
        let servers: usize = self.servers.iter().map(String::len).sum();
        let ds: usize = self.ds.iter().map(Vec::len).sum();
        let names = self.asked.iter().map(|(name, _)| name);
        let names: usize = names.chain([&self.zone]).map(name_weight).sum();
        let lists = (self.servers.len() + self.ds.len()) * STRING;
        size_of::<Self>() + servers + ds + names + lists
    }

    /// The position of a question in [`Question::asked`].
    pub fn position(&self, name: &Name, kind: RecordType) -> Option<usize> {
        let mut asked = self.asked.iter();
        asked.position(|(one, of)| one == name && *of == kind)
    }
}

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Question {}

impl PartialOrd for Question {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Question {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl Hash for Question {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl Answer {
    /// A summary in a few words.
    pub fn summary(&self) -> String {
        let replies: Vec<&Reply> = self.replies.iter().flatten().collect();
        if replies.is_empty() {
            let failures = self.replies.iter().filter_map(|reply| reply.as_ref().err());
            let mut words = failures.map(ToString::to_string);
            return words.next().unwrap_or_else(|| "nothing".to_owned());
        }
        let signed = match replies.iter().all(|reply| reply.is_signed) {
            true => "signed",
            false => "unsigned",
        };
        if replies.iter().any(|reply| reply.alias.is_some()) {
            return format!("an alias, {signed}");
        }
        let records: usize = replies.iter().map(|reply| reply.data.len()).sum();
        let plural = if records == 1 { "" } else { "s" };
        format!("{records} record{plural}, {signed}")
    }

    /// Whether any reply has records or an alias.
    pub fn is_positive(&self) -> bool {
        let mut replies = self.replies.iter().flatten();
        replies.any(|reply| !reply.data.is_empty() || reply.alias.is_some())
    }

    /// About as many bytes as it takes in memory.
    pub fn weight(&self) -> usize {
        let replies = self.replies.iter().map(|reply| {
            size_of::<Reply>()
                + match reply {
                    Ok(reply) => {
                        let alias = reply.alias.as_ref().map_or(0, name_weight);
                        let data = reply.data.iter().map(data_weight);
                        alias + data.sum::<usize>()
                    }
                    Err(failure) => failure.message.len(),
                }
        });
        size_of::<Self>() + replies.sum::<usize>()
    }
}

/// Bytes that a string or list takes beside its content.
const STRING: usize = 48;

/// A name has room for all that it may hold, or is on the heap.
fn name_weight(name: &Name) -> usize {
    size_of::<Name>() + STRING + name.len()
}

fn data_weight(data: &RData) -> usize {
    let text = match data {
        RData::TXT(txt) => txt.txt_data.iter().map(|part| part.len() + STRING).sum(),
        _ => 0,
    };
    size_of::<RData>() + text
}
