//! The fuzz targets' entry into this room, in types that they can name. Errors
//! are texts.

use bitcoin::TxMerkleNode;
use bitcoin::hashes::Hash;
use bitcoin::script::Script;

pub use super::evidence::Claim;
use super::evidence::{self, verify};
use super::wire::lines::{Budget, Lines};
use super::wire::message::{Message, Outcome};
use super::{discovery, reply};
use crate::snapshot::NameKey;

/// A hash in the order of memory.
pub type Hash32 = [u8; 32];

fn words(error: impl std::error::Error) -> String {
    error.to_string()
}

/// The transaction and height of each operation in a history.
///
/// # Errors
/// The reply is no history.
pub fn history(result: &str) -> Result<Vec<(Hash32, u32)>, String> {
    let entries = reply::history(result).map_err(words)?;
    let pairs = entries
        .iter()
        .map(|entry| (entry.txid.to_byte_array(), entry.height));
    Ok(pairs.collect())
}

/// The hashes and the position of a merkle branch.
///
/// # Errors
/// The reply is no branch in the block at `height`.
pub fn branch(result: &str, height: u32) -> Result<(Vec<Hash32>, u32), String> {
    let branch = reply::branch(result, height).map_err(words)?;
    Ok((branch.hashes, branch.position))
}

/// A transaction's bytes.
///
/// # Errors
/// The reply is no transaction.
pub fn transaction(result: &str) -> Result<Vec<u8>, String> {
    reply::transaction(result).map_err(words)
}

/// The operations in a reply about `script_hash`; each may be bad by itself.
///
/// # Errors
/// The reply is no list of proofs.
pub fn value_proofs(result: &str, script_hash: &str) -> Result<Vec<Result<Claim, String>>, String> {
    let proofs = reply::value_proofs(result, script_hash).map_err(words)?;
    let claims = proofs.into_iter();
    Ok(claims.map(|proof| proof.claim().map_err(words)).collect())
}

/// The number and the bytes of headers, of which `asked` were asked for.
///
/// # Errors
/// The reply holds no headers.
pub fn headers(result: &str, asked: u32) -> Result<(u32, Vec<u8>), String> {
    let headers = reply::headers(result, asked).map_err(words)?;
    Ok((headers.count, headers.bytes))
}

/// The bytes of one header with its proof of work.
///
/// # Errors
/// The reply is no header.
pub fn header(result: &str) -> Result<Vec<u8>, String> {
    reply::header(result).map_err(words)
}

/// The height and bytes of a server's newest header.
///
/// # Errors
/// The reply is no tip.
pub fn tip(result: &str) -> Result<(u32, Vec<u8>), String> {
    let tip = reply::tip(result).map_err(words)?;
    Ok((tip.height, tip.bytes))
}

/// The height and bytes of a newest header that was sent unasked.
///
/// # Errors
/// The parameters are none of such a notification.
pub fn tip_notification(params: &str) -> Result<(u32, Vec<u8>), String> {
    let tip = reply::tip_notification(params).map_err(words)?;
    Ok((tip.height, tip.bytes))
}

/// The newest protocol that a server speaks.
///
/// # Errors
/// The reply names none.
pub fn newest_protocol(result: &str) -> Result<String, String> {
    let protocol = reply::newest_protocol(result).map_err(words)?;
    Ok(protocol.to_string())
}

/// Host, port and TLS of the servers that a server names, as far as they may be
/// tried.
///
/// # Errors
/// The reply names none.
pub fn peers(result: &str) -> Result<Vec<(String, u16, bool)>, String> {
    let named = reply::peers(result).map_err(words)?;
    let endpoints = named
        .iter()
        .filter_map(|named| discovery::endpoint(named, true));
    Ok(endpoints
        .map(|endpoint| (endpoint.host, endpoint.port, endpoint.is_tls))
        .collect())
}

/// The height, position and value of a proven operation on `key`.
///
/// # Errors
/// The proof proves nothing.
pub fn prove(
    key: &NameKey,
    claim: &Claim,
    root_at: &dyn Fn(u32) -> Option<Hash32>,
) -> Result<(u32, u32, Vec<u8>), String> {
    let root_at = |height| root_at(height).map(TxMerkleNode::from_byte_array);
    let operation = verify(key, claim, &root_at).map_err(words)?;
    Ok((
        operation.height,
        operation.position,
        operation.value.to_vec(),
    ))
}

/// The name and value that an output's script gives.
pub fn name_output(script: &[u8]) -> Option<(&[u8], &[u8])> {
    let said = evidence::name_output(Script::from_bytes(script))?;
    Some((said.name, said.value))
}

/// The hash by which servers index a name.
pub fn script_hash(name: &[u8]) -> String {
    evidence::script_hash(name)
}

/// A parsed line of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A result and the id of its request.
    Result(u64, String),
    /// The code and text of an error, and the id of its request.
    Error(u64, i64, String),
    /// The method and parameters of a notification.
    Notification(String, String),
}

/// The lines in the pieces of a stream, none longer than `longest` bytes with
/// its end, in `bytes` of memory.
///
/// # Errors
/// A line is too long, or there is not enough memory.
pub fn lines<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
    longest: usize,
    bytes: usize,
) -> Result<Vec<Vec<u8>>, String> {
    let mut lines = Lines::new(longest, &Budget::new(bytes));
    let mut taken = Vec::new();
    for piece in pieces {
        let take = |line: &[u8]| {
            taken.push(line.to_vec());
            Ok(())
        };
        lines.push(piece, take).map_err(|error| error.to_string())?;
    }
    Ok(taken)
}

/// Parses a line.
///
/// # Errors
/// It is not a message.
pub fn message(line: &[u8]) -> Result<Line, String> {
    match Message::parse(line).map_err(|error| error.to_string())? {
        Message::Reply { id, outcome } => Ok(match outcome {
            Outcome::Result(result) => Line::Result(id, result.get().to_owned()),
            Outcome::Error(error) => Line::Error(id, error.code, error.message),
        }),
        Message::Notification { method, params } => {
            Ok(Line::Notification(method, params.get().to_owned()))
        }
    }
}
