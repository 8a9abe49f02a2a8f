//! What a server can lie about, one particular at a time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bitcoin::hashes::Hash;
use bitcoin::{CompactTarget, Txid};

use super::chain::{Chain, Entry, Placed};
use super::flaws::Flaw;
use super::merkle::parent;
use super::miner::BITS;
use super::names::{Operation, operation, script_hash};

/// One lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lie {
    /// Another transaction in the place of the one asked for.
    WrongTransaction,
    /// The transaction with one bit of its lock time changed.
    TransactionBit,
    /// One bit changed in the first hash of a transaction's branch.
    BranchBit,
    /// A position that folds the branch to another root.
    WrongPosition,
    /// The right position with a bit beyond the branch, which folds alike.
    LargePosition,
    /// The newest operation is said to stand one block lower.
    WrongHeight,
    /// Operation and proof of another name.
    OtherName,
    /// The newest operation is hidden.
    Stale,
    /// The name was never registered.
    Hidden,
    /// This name has a newer operation, which is in no block.
    Unproven(Vec<u8>),
    /// Only operations that have expired are shown.
    Expired,

    /// One bit changed in a header; the AuxPoW counts from bit 640.
    HeaderBit { height: usize, bit: usize },
    /// A header that breaks a rule of merged mining.
    Flaw { height: usize, flaw: Flaw },
    /// Bits that the rules do not give, with the work for them.
    Bits(usize),
    /// A time that is not above the median of the 11 blocks before.
    OldTime(usize),
    /// A time a quarter of an hour beyond the two hours allowed.
    FutureTime(usize),
    /// A branch that leaves the chain so many blocks below the tip and has
    /// one block less.
    LowerWork(usize),
    /// The last so many blocks are withheld.
    WithheldTip(usize),
    /// One in so many headers, but none of the newest, has no work: its AuxPoW is
    /// wrong.
    NoWork(usize),
    /// An error in the place of each single header.
    WithheldProofs,
    /// The next header in the place of each single one.
    OtherProof,
    /// Whole headers where those without AuxPoW were asked for.
    WholeHeaders,

    /// An error with this code; that it is used too much ends the connection.
    Refuse(i64),
    /// Says that 2^53 headers follow.
    HugeCount,
    /// A result that is 100,000 arrays in each other.
    DeepJson,
    /// Bytes that are no text.
    Junk,
    /// Half of the reply, then the end of the connection.
    CutLine,
    /// No reply.
    Silent,
    /// One byte after the other, at intervals.
    Drip(Duration),
    /// A reply without end, 16 KiB after each pause.
    Endless(Duration),
    /// Ids that nobody asked with.
    WrongIds,
    /// Every reply twice.
    Twice,
    /// Every reply in an array.
    Batch,
}

impl Lie {
    /// The chain that the server pretends to have, if the lie is about that.
    pub fn forge(&self, chain: &Chain) -> Option<Chain> {
        let forged = match *self {
            Self::HeaderBit { height, bit } => chain.with_bit(height, bit),
            Self::Flaw { height, flaw } => chain.with_header(height, Some(flaw), |_| {}),
            Self::Bits(height) => chain.with_header(height, None, |header| {
                header.bits = CompactTarget::from_consensus(BITS - 1);
            }),
            Self::OldTime(height) => {
                let median = chain.median_time(height - 1);
                chain.with_header(height, None, |header| header.time = median)
            }
            Self::FutureTime(height) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                let late = u32::try_from(now.as_secs()).unwrap() + 8100;
                chain.with_header(height, None, |header| header.time = late)
            }
            Self::LowerWork(depth) => {
                let mut fork = chain.fork_at(chain.tip() - depth);
                fork.mine(depth - 1);
                fork
            }
            Self::NoWork(every) => chain.without_work(every),
            Self::WithheldTip(count) => chain.fork_at(chain.tip() - count),
            _ => return None,
        };
        Some(forged)
    }
}

/// A chain as the server shows it.
pub struct View<'a> {
    pub chain: &'a Chain,
    pub lie: Option<&'a Lie>,
}

/// What the server says of a transaction.
pub struct Proof {
    pub branch: Vec<[u8; 32]>,
    pub position: usize,
}

impl View<'_> {
    /// The history of a name, oldest first.
    pub fn history(&self, hash: &str) -> Vec<Entry> {
        let mut history = self.chain.history(hash).to_vec();
        match self.lie {
            Some(Lie::OtherName) => {
                let mut others = self.chain.histories.iter();
                let other = others.find(|(other, _)| *other != hash);
                history = other.map_or_else(Vec::new, |(_, history)| history.clone());
            }
            Some(Lie::Stale) => {
                history.pop();
            }
            Some(Lie::Hidden) => history.clear(),
            Some(Lie::Expired) => {
                let last = self.chain.tip().saturating_sub(self.chain.expiry);
                history.retain(|entry| entry.height <= last);
            }
            Some(Lie::WrongHeight) => {
                if let Some(newest) = history.last_mut() {
                    newest.height -= 1;
                }
            }
            Some(Lie::Unproven(name)) if script_hash(name) == hash => {
                let height = self.chain.tip().saturating_sub(14);
                let txid = unproven(name).compute_txid();
                history.retain(|entry| entry.height <= height);
                history.push(Entry { txid, height });
            }
            _ => {}
        }
        history
    }

    /// The bytes of a transaction.
    pub fn transaction(&self, txid: &Txid) -> Option<Vec<u8>> {
        match self.lie {
            Some(Lie::Unproven(name)) if unproven(name).compute_txid() == *txid => {
                Some(bitcoin::consensus::serialize(&unproven(name)))
            }
            Some(Lie::WrongTransaction) => {
                let others = self.chain.placed.iter();
                let other = others
                    .filter(|(other, _)| *other != txid)
                    .min_by_key(|(other, _)| **other);
                other.map(|(_, placed)| placed.raw.clone())
            }
            Some(Lie::TransactionBit) => {
                let mut raw = self.chain.transaction(txid)?.raw.clone();
                *raw.last_mut().unwrap() ^= 1;
                Some(raw)
            }
            _ => Some(self.chain.transaction(txid)?.raw.clone()),
        }
    }

    /// The branch of a transaction in the block at this height.
    pub fn proof(&self, txid: &Txid, height: usize) -> Option<Proof> {
        let placed = self.chain.transaction(txid)?;
        let shown = match self.lie {
            Some(Lie::WrongHeight) => height + 1,
            _ => height,
        };
        if placed.height != height && placed.height != shown {
            return None;
        }
        let mut proof = Proof {
            branch: placed.branch.clone(),
            position: placed.position,
        };
        match self.lie {
            Some(Lie::BranchBit) => proof.branch[0][0] ^= 1,
            Some(Lie::WrongPosition) => proof.position ^= telling_bit(txid, placed),
            Some(Lie::LargePosition) => proof.position |= 1 << proof.branch.len(),
            _ => {}
        }
        Some(proof)
    }
}

/// The operation that [`Lie::Unproven`] speaks of.
fn unproven(name: &[u8]) -> bitcoin::Transaction {
    operation(
        Operation::Update,
        name,
        br#"{"ip":"192.0.2.66"}"#,
        0x7fff_fffe,
    )
}

/// The lowest bit of a position that matters: where an odd number of nodes
/// ends, the last is its own sibling, and both sides fold alike.
fn telling_bit(txid: &Txid, placed: &Placed) -> usize {
    let mut node = txid.to_byte_array();
    for (level, sibling) in placed.branch.iter().enumerate() {
        if *sibling != node {
            return 1 << level;
        }
        node = parent(node, *sibling);
    }
    panic!("no position of this branch folds to another root");
}
