//! Parsing what servers answer.
//!
//! Each function takes the JSON text of a `result` and returns what it says, or an
//! error if no honest server answers this method like that. Only the form is
//! checked here. Members that nobody asks for are skipped without recursion; the
//! connection has already bounded the length of a reply.

mod json;

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Txid};
use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde::de::DeserializeSeed;
use serde_json::value::RawValue;

pub(super) use self::json::ReplyError;
use self::json::{Bounded, Member, Object};
use super::evidence::Claim;
use super::wire::Protocol;

/// The most operations on one name that are looked at. Servers cut their
/// replies at 10 MB, which holds about as many.
pub(super) const MAX_HISTORY: usize = 100_000;

/// The most hashes in a merkle branch: a block cannot hold 2^32 transactions.
pub(super) const MAX_BRANCH: usize = 32;

/// The longest transaction, in bytes. Nodes relay up to 400,000 weight units,
/// of which a byte has at least one.
pub(super) const MAX_TRANSACTION_LENGTH: usize = 400_000;

/// The most headers that a server sends at once, whatever is asked.
pub(super) const MAX_HEADERS: usize = 2_016;

/// The most bytes of headers in one reply: in hexadecimal they fill the 10 MB
/// at which servers cut their replies.
pub(super) const MAX_HEADERS_LENGTH: usize = 5_000_000;

/// An operation on a name, as a server claims it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HistoryEntry {
    /// The operation's transaction.
    pub txid: Txid,
    /// The height of its block.
    pub height: u32,
}

/// The confirmed operations in a reply to `blockchain.scripthash.get_history`,
/// oldest first.
///
/// # Errors
/// The reply is none, or longer than [`MAX_HISTORY`].
pub(super) fn history(result: &str) -> Result<Vec<HistoryEntry>, ReplyError> {
    #[derive(Deserialize)]
    struct Entry<'a> {
        tx_hash: &'a str,
        height: i64,
    }
    let entries = parse::<Bounded<Object<Entry<'_>>, MAX_HISTORY>>(result)?.whole()?;
    let mut history = Vec::with_capacity(entries.len());
    for Object(entry) in entries {
        if let Some(height) = confirmed(entry.height)? {
            let txid = Txid::from_byte_array(hash(entry.tx_hash)?);
            history.push(HistoryEntry { txid, height });
        }
    }
    Ok(history)
}

/// The way from a transaction to its block's merkle root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Branch {
    /// The siblings on the way, lowest first, in the order of memory.
    pub hashes: Vec<[u8; 32]>,
    /// The transaction's place in its block.
    pub position: u32,
}

/// The branch in a reply to `blockchain.transaction.get_merkle` about the
/// block at `height`.
///
/// # Errors
/// The reply is none, is about another block, or has more than [`MAX_BRANCH`]
/// hashes.
pub(super) fn branch(result: &str, height: u32) -> Result<Branch, ReplyError> {
    #[derive(Deserialize)]
    struct Reply<'a> {
        block_height: u32,
        #[serde(borrow)]
        merkle: Bounded<&'a str, MAX_BRANCH>,
        pos: u32,
    }
    let Object(reply) = parse::<Object<Reply<'_>>>(result)?;
    if reply.block_height != height {
        return Err(ReplyError::OtherBlock);
    }
    let (merkle, pos) = (reply.merkle, reply.pos);
    Merkle { merkle, pos }.branch()
}

/// A branch as servers write it.
#[derive(Debug, Deserialize)]
struct Merkle<'a> {
    #[serde(borrow)]
    merkle: Bounded<&'a str, MAX_BRANCH>,
    pos: u32,
}

impl Merkle<'_> {
    fn branch(self) -> Result<Branch, ReplyError> {
        let hashes = self.merkle.whole()?.into_iter().map(hash);
        Ok(Branch {
            hashes: hashes.collect::<Result<_, _>>()?,
            position: self.pos,
        })
    }
}

/// The transaction in a reply to `blockchain.transaction.get`, still as
/// bytes.
///
/// # Errors
/// The reply is none, or longer than [`MAX_TRANSACTION_LENGTH`].
pub(super) fn transaction(result: &str) -> Result<Vec<u8>, ReplyError> {
    hex(parse(result)?, MAX_TRANSACTION_LENGTH)
}

/// An operation on a name with its proof, not yet decoded: of a long list
/// only few are needed.
#[derive(Debug)]
pub(super) struct ValueProof<'a> {
    /// The height of the operation's block, on the server's word.
    pub height: u32,
    tx: &'a str,
    merkle: Merkle<'a>,
}

impl ValueProof<'_> {
    /// Decodes the proof.
    ///
    /// # Errors
    /// It is not hexadecimal, or has more than [`MAX_TRANSACTION_LENGTH`]
    /// bytes or [`MAX_BRANCH`] hashes.
    pub fn claim(self) -> Result<Claim, ReplyError> {
        let Branch { hashes, position } = self.merkle.branch()?;
        Ok(Claim {
            txid: None,
            tx: hex(self.tx, MAX_TRANSACTION_LENGTH)?,
            height: self.height,
            branch: hashes,
            position,
        })
    }
}

/// The confirmed operations in a reply to `blockchain.name.get_value_proof`
/// about `script_hash`, newest first.
///
/// Headers that come with an operation are ignored, because nothing
/// authenticates the root they lead to. Proofs for other names are ignored too.
///
/// # Errors
/// The reply is none, is not about `script_hash`, or is longer than
/// [`MAX_HISTORY`].
pub(super) fn value_proofs<'a>(
    result: &'a str,
    script_hash: &str,
) -> Result<Vec<ValueProof<'a>>, ReplyError> {
    #[derive(Deserialize)]
    struct Entry<'a> {
        height: i64,
        tx: &'a str,
        #[serde(borrow)]
        tx_merkle: Object<Merkle<'a>>,
    }
    type List<'a> = Bounded<Object<Entry<'a>>, MAX_HISTORY>;

    let mut json = serde_json::Deserializer::from_str(result);
    let list: Option<List<'_>> = Member::named(script_hash)
        .deserialize(&mut json)
        .map_err(|_| ReplyError::Form)?;
    json.end().map_err(|_| ReplyError::Form)?;
    let entries = list.ok_or(ReplyError::OtherScriptHash)?.whole()?;
    let mut proofs = Vec::with_capacity(entries.len());
    for Object(entry) in entries {
        if let Some(height) = confirmed(entry.height)? {
            proofs.push(ValueProof {
                height,
                tx: entry.tx,
                merkle: entry.tx_merkle.0,
            });
        }
    }
    Ok(proofs)
}

/// Consecutive headers, not yet split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Headers {
    /// How many there are, on the server's word.
    pub count: u32,
    /// All of them, one after the other.
    pub bytes: Vec<u8>,
}

/// The headers in a reply to `blockchain.block.headers`, of which `asked` were
/// asked for.
///
/// Up to protocol 1.4.3 they come as one text. At 1.6 they come as a list, cut
/// by ElectrumX where no header ends, so the list is put together again.
///
/// # Errors
/// The reply is none, has more headers than `asked`, or more than
/// [`MAX_HEADERS_LENGTH`] bytes.
pub(super) fn headers(result: &str, asked: u32) -> Result<Headers, ReplyError> {
    #[derive(Deserialize)]
    struct Reply<'a> {
        count: u32,
        #[serde(borrow)]
        hex: Option<&'a str>,
        #[serde(borrow)]
        headers: Option<Bounded<&'a str, MAX_HEADERS>>,
    }
    let Object(reply) = parse::<Object<Reply<'_>>>(result)?;
    let parts = match (reply.hex, reply.headers) {
        (Some(text), None) => vec![text],
        (None, Some(parts)) => parts.whole()?,
        _ => return Err(ReplyError::Form),
    };
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(hex(part, MAX_HEADERS_LENGTH.saturating_sub(bytes.len()))?);
    }
    let count = usize::try_from(reply.count).map_err(|_| ReplyError::Count)?;
    let is_empty = count == 0;
    if reply.count > asked || bytes.is_empty() != is_empty || bytes.len() / Header::SIZE < count {
        return Err(ReplyError::Count);
    }
    Ok(Headers {
        count: reply.count,
        bytes,
    })
}

/// The bytes in a reply to `blockchain.block.header`: a header with its proof
/// of work.
///
/// # Errors
/// The reply is none, or longer than [`MAX_HEADERS_LENGTH`].
pub(super) fn header(result: &str) -> Result<Vec<u8>, ReplyError> {
    hex(parse::<&str>(result)?, MAX_HEADERS_LENGTH)
}

/// The newest header of a server, not yet decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tip {
    /// Its height, on the server's word.
    pub height: u32,
    /// The header with its proof of work.
    pub bytes: Vec<u8>,
}

#[derive(Deserialize)]
struct TipMembers<'a> {
    hex: &'a str,
    height: u32,
}

impl TipMembers<'_> {
    fn tip(&self) -> Result<Tip, ReplyError> {
        let bytes = hex(self.hex, MAX_HEADERS_LENGTH)?;
        if bytes.len() < Header::SIZE {
            return Err(ReplyError::Count);
        }
        Ok(Tip {
            height: self.height,
            bytes,
        })
    }
}

/// The header in a reply to `blockchain.headers.subscribe`.
///
/// # Errors
/// The reply is none, or longer than [`MAX_HEADERS_LENGTH`].
pub(super) fn tip(result: &str) -> Result<Tip, ReplyError> {
    parse::<Object<TipMembers<'_>>>(result)?.0.tip()
}

/// The header in the `params` of a notification
/// `blockchain.headers.subscribe`.
///
/// # Errors
/// As for [`tip`].
pub(super) fn tip_notification(params: &str) -> Result<Tip, ReplyError> {
    let tips = parse::<Bounded<Object<TipMembers<'_>>, 1>>(params)?.whole()?;
    let Object(members) = tips.first().ok_or(ReplyError::Form)?;
    members.tip()
}

/// Parses JSON. The error does not say what is wrong: serde's text quotes the
/// reply, and a reply may contain a name.
fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, ReplyError> {
    serde_json::from_str(json).map_err(|_| ReplyError::Form)
}

/// A height, or `None` for what is in no block yet: servers write 0 or −1.
fn confirmed(height: i64) -> Result<Option<u32>, ReplyError> {
    if height <= 0 {
        return Ok(None);
    }
    u32::try_from(height)
        .map(Some)
        .map_err(|_| ReplyError::Height)
}

/// At most `longest` bytes from lower-case hexadecimal.
fn hex(text: &str, longest: usize) -> Result<Vec<u8>, ReplyError> {
    if text.len() / 2 > longest {
        return Err(ReplyError::TooLong);
    }
    HEXLOWER
        .decode(text.as_bytes())
        .map_err(|_| ReplyError::Hex)
}

/// A hash from its usual notation, most significant byte first, in the order
/// of memory.
fn hash(text: &str) -> Result<[u8; 32], ReplyError> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() {
        return Err(ReplyError::Hex);
    }
    HEXLOWER
        .decode_mut(text.as_bytes(), &mut bytes)
        .map_err(|_| ReplyError::Hex)?;
    bytes.reverse();
    Ok(bytes)
}

/// The newest protocol that a server speaks, from a reply to
/// `server.features`.
///
/// # Errors
/// The reply is none.
pub fn newest_protocol(result: &str) -> Result<Protocol, ReplyError> {
    #[derive(Deserialize)]
    struct Features {
        protocol_max: String,
    }
    let Object(features) = parse::<Object<Features>>(result)?;
    Protocol::parse(&features.protocol_max).ok_or(ReplyError::Protocol)
}

/// The hash of the first block of the chain that a server serves, from a reply
/// to `server.features`.
///
/// # Errors
/// The reply is none, or does not say.
pub fn genesis(result: &str) -> Result<BlockHash, ReplyError> {
    #[derive(Deserialize)]
    struct Features {
        genesis_hash: String,
    }
    let Object(features) = parse::<Object<Features>>(result)?;
    features.genesis_hash.parse().map_err(|_| ReplyError::Hex)
}

/// The longest reply that is looked at, in bytes, and the most servers in it.
/// Honest servers name some dozens.
const MAX_PEERS_LENGTH: usize = 256 << 10;
const MAX_PEERS: usize = 1_000;

/// The most features of one server.
const MAX_FEATURES: usize = 16;

/// A server that another one names, as it describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedServer {
    /// Its IP address if the other server knows it, or the host again.
    pub ip: String,
    /// A host name, an onion service or an IP address.
    pub host: String,
    /// Versions and ports, such as `v1.4.2`, `s50002` and `t50001`.
    pub features: Vec<String>,
}

/// The servers in a reply to `server.peers.subscribe`. Entries of another form
/// are passed over.
///
/// # Errors
/// The reply is no list, or longer than it can honestly be.
pub fn peers(result: &str) -> Result<Vec<NamedServer>, ReplyError> {
    if result.len() > MAX_PEERS_LENGTH {
        return Err(ReplyError::TooLong);
    }
    let entries = parse::<Bounded<&RawValue, MAX_PEERS>>(result)?.whole()?;
    Ok(entries.into_iter().filter_map(named).collect())
}

fn named(entry: &RawValue) -> Option<NamedServer> {
    type Entry = (String, String, Bounded<String, MAX_FEATURES>);
    let (ip, host, features) = serde_json::from_str::<Entry>(entry.get()).ok()?;
    Some(NamedServer {
        ip,
        host,
        features: features.whole().ok()?,
    })
}

#[cfg(test)]
mod tests;
