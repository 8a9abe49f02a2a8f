//! The proof that an operation on a name is in the chain.
//!
//! A server claims that a transaction has a place in a block. The claim holds if
//! the transaction leads through its Merkle branch to the root in the header at
//! that height, which was verified beforehand, and if it is about the name that was
//! asked for. Nothing else that a server says counts.
//!
//! The last part of the file has the scripts that carry names: the one by which
//! servers index a name, and the outputs of operations on names.

use std::slice;
use std::sync::Arc;

use bitcoin::consensus::encode::deserialize_partial;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::opcodes::all::{OP_2DROP, OP_DROP, OP_PUSHNUM_2, OP_PUSHNUM_3};
use bitcoin::script::{Instruction, Instructions, Script};
use bitcoin::{Opcode, ScriptBuf, Transaction, TxMerkleNode, Txid};
use data_encoding::HEXLOWER;
use thiserror::Error;

use crate::chain::merkle::{FoldError, fold};
use crate::snapshot::NameKey;

/// The version that a transaction must have for the chain to take its outputs
/// for operations on names. Others are free to look like one.
const NAMECOIN_TRANSACTION: i32 = 0x7100;

/// The length, without witnesses, at which a transaction could be an inner
/// node of the merkle tree, that is two hashes.
const INNER_NODE_LENGTH: usize = 64;

/// An operation on a name, as a server claims it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The transaction's id, if the server sent it before the transaction.
    pub txid: Option<Txid>,
    /// The transaction, with or without witnesses.
    pub tx: Vec<u8>,
    /// The height of its block.
    pub height: u32,
    /// The siblings on the way to the merkle root, lowest first, in the order
    /// of memory.
    pub branch: Vec<[u8; 32]>,
    /// Its place in the block.
    pub position: u32,
}

/// An operation on a name that is proven to be in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Operation {
    /// The height of its block.
    pub height: u32,
    /// Its place in the block.
    pub position: u32,
    /// The value that it gave the name.
    pub value: Arc<[u8]>,
}

impl Operation {
    /// When the operation took effect: the greater, the later.
    pub fn order(&self) -> (u32, u32) {
        (self.height, self.position)
    }
}

/// Why a claim is not proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum ProofError {
    /// The bytes are no transaction.
    #[error("the transaction cannot be decoded")]
    Undecodable,
    /// There are bytes behind the transaction.
    #[error("something follows the transaction")]
    Trailing,
    /// The transaction has another id than the server said.
    #[error("the transaction is not the one in the history")]
    OtherTransaction,
    /// The transaction has no inputs, or the length of an inner node of the
    /// merkle tree. The chain holds none such with a name.
    #[error("the transaction may be a part of the merkle tree")]
    Ambiguous,
    /// The transaction's version is not Namecoin's.
    #[error("the transaction's version does not permit names")]
    Version,
    /// No output registers a name or gives it a value.
    #[error("the transaction holds no name")]
    NoName,
    /// Several outputs do, which the chain forbids.
    #[error("the transaction holds more than one name")]
    SeveralNames,
    /// The output is about another name.
    #[error("the transaction holds another name")]
    OtherName,
    /// The branch is none, or cannot be trusted.
    #[error("the merkle branch is invalid: {0}")]
    Branch(#[from] FoldError),
    /// The position is not the only one that the branch proves.
    #[error("the position in the block is ambiguous")]
    AmbiguousPosition,
    /// The branch leads to another root than the header's.
    #[error("the merkle branch does not lead to the header")]
    OtherRoot,
    /// There is no verified header at that height. This is the only error
    /// that may be ours: headers may be on their way.
    #[error("there is no verified header at the height of the transaction")]
    NoHeader,
}

impl ProofError {
    /// Whether the server is to blame, rather than headers that we do not
    /// have yet, or a transaction that is in the chain and no operation on the
    /// name: after a reorganisation an honest server's index lists such.
    pub fn is_servers_fault(self) -> bool {
        self != Self::NoHeader && !self.is_no_operation()
    }

    /// Whether the transaction is proven to be in the chain, and no operation
    /// on the name.
    pub fn is_no_operation(self) -> bool {
        matches!(
            self,
            Self::Version | Self::NoName | Self::SeveralNames | Self::OtherName
        )
    }
}

/// Verifies that `claim` is an operation on `key`, against the merkle roots of
/// verified headers.
///
/// # Errors
/// The claim is not proven. Whether the transaction is an operation on `key` is
/// said last, so that it is said of what the chain holds only
/// ([`ProofError::is_no_operation`]).
pub(super) fn verify(
    key: &NameKey,
    claim: &Claim,
    root_at: &dyn Fn(u32) -> Option<TxMerkleNode>,
) -> Result<Operation, ProofError> {
    let transaction = decode(&claim.tx)?;
    let txid = transaction.compute_txid();
    if claim.txid.is_some_and(|claimed| claimed != txid) {
        return Err(ProofError::OtherTransaction);
    }
    let root = climb(txid, &claim.branch, claim.position)?;
    if root != root_at(claim.height).ok_or(ProofError::NoHeader)? {
        return Err(ProofError::OtherRoot);
    }
    let value = value_of(key, &transaction)?;
    Ok(Operation {
        height: claim.height,
        position: claim.position,
        value: Arc::from(value),
    })
}

/// Decodes a transaction that can be nothing else.
fn decode(bytes: &[u8]) -> Result<Transaction, ProofError> {
    let (transaction, length) =
        deserialize_partial::<Transaction>(bytes).map_err(|_| ProofError::Undecodable)?;
    if length != bytes.len() {
        return Err(ProofError::Trailing);
    }
    // What is hashed into the merkle tree are the bytes without witnesses.
    // Two hashes that read as a transaction would be a leaf below the leaves
    // (CVE-2017-12842); without inputs, many scripts fit into 64 bytes.
    if transaction.input.is_empty() || transaction.base_size() == INNER_NODE_LENGTH {
        return Err(ProofError::Ambiguous);
    }
    Ok(transaction)
}

/// The value that a transaction gives the name `key`.
fn value_of<'a>(key: &NameKey, transaction: &'a Transaction) -> Result<&'a [u8], ProofError> {
    if transaction.version.0 != NAMECOIN_TRANSACTION {
        return Err(ProofError::Version);
    }
    let mut names = transaction
        .output
        .iter()
        .filter_map(|output| name_output(&output.script_pubkey));
    let said = names.next().ok_or(ProofError::NoName)?;
    if names.next().is_some() {
        return Err(ProofError::SeveralNames);
    }
    if said.name != key.as_str().as_bytes() {
        return Err(ProofError::OtherName);
    }
    Ok(said.value)
}

/// The merkle root that a branch leads to.
///
/// Where a level of the tree has an odd number of nodes, the last one is its
/// own sibling, so that a branch seems to prove two positions. Only the left
/// one is real: nodes that differ in place never have the same hash. Believing
/// the other would let a server move an operation behind a later one in its
/// block.
fn climb(txid: Txid, branch: &[[u8; 32]], position: u32) -> Result<TxMerkleNode, ProofError> {
    let mut node = txid.to_byte_array();
    let mut rest = position;
    for sibling in branch {
        let side = rest & 1;
        if side == 1 && *sibling == node {
            return Err(ProofError::AmbiguousPosition);
        }
        node = fold(node, slice::from_ref(sibling), side)?;
        rest >>= 1;
    }
    if rest != 0 {
        return Err(FoldError::Index.into());
    }
    Ok(TxMerkleNode::from_byte_array(node))
}

// Namecoin gives the opcodes that push 2 and 3 another meaning at the
// beginning of an output.
const OP_NAME_FIRSTUPDATE: Opcode = OP_PUSHNUM_2;
const OP_NAME_UPDATE: Opcode = OP_PUSHNUM_3;

/// The hash by which servers index a name: SHA-256 of [`index_script`], its
/// bytes reversed, as 64 digits of lower-case hexadecimal.
///
/// It reveals the name to everybody who can guess names, so it belongs in a request
/// and nowhere else.
pub(super) fn script_hash(name: &[u8]) -> String {
    let mut hash = sha256::Hash::hash(index_script(name).as_bytes()).to_byte_array();
    hash.reverse();
    HEXLOWER.encode(&hash)
}

/// The output under which servers index a name: a NAME_UPDATE to the empty
/// value that nobody can spend. A name has at most 255 bytes.
fn index_script(name: &[u8]) -> ScriptBuf {
    let mut script = vec![OP_NAME_UPDATE.to_u8()];
    push(&mut script, name);
    push(&mut script, b"");
    script.extend([OP_2DROP.to_u8(), OP_DROP.to_u8(), 0x6a]);
    ScriptBuf::from_bytes(script)
}

/// Appends a push of at most 65,535 bytes in its shortest form, except that
/// single bytes are never replaced by an opcode for small numbers.
fn push(script: &mut Vec<u8>, bytes: &[u8]) {
    let [low, high, ..] = bytes.len().to_le_bytes();
    match bytes.len() {
        0..=75 => script.push(low),
        76..=255 => script.extend([0x4c, low]),
        _ => script.extend([0x4d, low, high]),
    }
    script.extend(bytes);
}

/// What an operation on a name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NameOutput<'a> {
    /// The name's key, which need not be text.
    pub name: &'a [u8],
    /// The value that the name has from then on.
    pub value: &'a [u8],
}

/// Reads an output that registers a name (NAME_FIRSTUPDATE) or gives it a new
/// value (NAME_UPDATE). Any other output is `None`: NAME_NEW too, which only
/// commits to a name without telling it.
///
/// The operators that clear the stack must be the usual ones, because servers
/// index nothing else. Pushes may have any form, as in Namecoin Core. Lengths
/// are for the chain to judge (a value has at most 1,023 bytes by consensus);
/// a script is no longer than the transaction that it came in.
pub(super) fn name_output(script: &Script) -> Option<NameOutput<'_>> {
    let mut rest = script.instructions();
    let operation = next_opcode(&mut rest)?;
    let name = next_push(&mut rest)?;
    let (value, clears) = match operation {
        OP_NAME_FIRSTUPDATE => {
            let _salt = next_push(&mut rest)?;
            (next_push(&mut rest)?, [OP_2DROP, OP_2DROP])
        }
        OP_NAME_UPDATE => (next_push(&mut rest)?, [OP_2DROP, OP_DROP]),
        _ => return None,
    };
    for clear in clears {
        if next_opcode(&mut rest)? != clear {
            return None;
        }
    }
    Some(NameOutput { name, value })
}

fn next_opcode(rest: &mut Instructions<'_>) -> Option<Opcode> {
    match rest.next()?.ok()? {
        Instruction::Op(opcode) => Some(opcode),
        Instruction::PushBytes(_) => None,
    }
}

fn next_push<'a>(rest: &mut Instructions<'a>) -> Option<&'a [u8]> {
    match rest.next()?.ok()? {
        Instruction::PushBytes(bytes) => Some(bytes.as_bytes()),
        Instruction::Op(_) => None,
    }
}

#[cfg(test)]
mod tests;
