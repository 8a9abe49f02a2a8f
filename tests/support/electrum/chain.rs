//! What a server knows: a chain of headers with proofs, the transactions that
//! clients ask for, and the history of every name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::block::Header;
use bitcoin::consensus::deserialize;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Txid};
use data_encoding::HEXLOWER;
use serde_json::Value;

use super::auxpow::Shape;
use super::merkle::Raw;
use super::names::{name_of, script_hash};

/// Headers, transactions and branches as real servers sent them.
const RECORDED: &str = include_str!("../../data/electrum/server_regtest.json");

/// Bytes of a header without its proof.
pub const HEADER: usize = 80;

/// A block, without its transactions.
#[derive(Debug, Clone)]
pub struct Block {
    /// The 80 bytes, and the proof behind them if there is one.
    pub bytes: Vec<u8>,
    pub hash: BlockHash,
    pub header: Header,
}

impl Block {
    /// Panics if the first 80 bytes are missing.
    pub fn new(bytes: Vec<u8>) -> Self {
        let header: Header = deserialize(&bytes[..HEADER]).unwrap();
        Self {
            hash: header.block_hash(),
            bytes,
            header,
        }
    }

    /// The whole header, or its first 80 bytes.
    pub fn part(&self, stripped: bool) -> &[u8] {
        if stripped {
            &self.bytes[..HEADER]
        } else {
            &self.bytes
        }
    }
}

/// A transaction, where it stands, and the branch that proves it.
#[derive(Debug, Clone)]
pub struct Placed {
    pub height: usize,
    pub raw: Vec<u8>,
    pub branch: Vec<Raw>,
    pub position: usize,
}

/// An entry of a name's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub txid: Txid,
    pub height: usize,
}

/// A chain of regtest. Cloning is cheap enough for every test: blocks and
/// transactions are shared.
#[derive(Debug, Clone)]
pub struct Chain {
    pub(super) blocks: Vec<Arc<Block>>,
    pub(super) placed: HashMap<Txid, Arc<Placed>>,
    /// Script hash to history, oldest first.
    pub(super) histories: BTreeMap<String, Vec<Entry>>,
    /// Script hash to operations that are in no block yet, each with the
    /// height that servers give it: 0, or -1 if its input is in none either.
    pub(super) unconfirmed: BTreeMap<String, Vec<(Txid, i64)>>,
    /// Time of the next block, in seconds.
    pub(super) clock: u32,
    /// Seconds from block to block.
    pub step: u32,
    /// The size of the proofs; without it, small and changing.
    pub shape: Option<Shape>,
    /// Mines the next blocks without proof, by work of their own.
    pub plain: bool,
    /// Mines nothing: the next blocks are as on the main network, but have no
    /// work. They are good for what lies below a checkpoint.
    pub workless: bool,
    /// Payments in a block with a name operation; without it, up to 14.
    pub payments: Option<usize>,
    /// Blocks after which an operation expires.
    pub expiry: usize,
    /// Makes what is mined different from what is mined elsewhere.
    pub(super) salt: u32,
}

fn recorded_headers(recorded: &Value) -> Vec<Arc<Block>> {
    let bytes = HEXLOWER
        .decode(recorded["headers"].as_str().unwrap().as_bytes())
        .unwrap();
    // A header follows wherever the hash of the one before stands.
    let mut blocks: Vec<Arc<Block>> = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let hash = Block::new(bytes[start..start + HEADER].to_vec()).hash;
        let next = bytes[start + HEADER..]
            .windows(36)
            .position(|at| at[..2] == [4, 1] && at[4..] == hash.to_byte_array())
            .map_or(bytes.len(), |at| start + HEADER + at);
        blocks.push(Arc::new(Block::new(bytes[start..next].to_vec())));
        start = next;
    }
    blocks
}

impl Chain {
    fn of(blocks: Vec<Arc<Block>>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Self {
            blocks,
            placed: HashMap::new(),
            histories: BTreeMap::new(),
            unconfirmed: BTreeMap::new(),
            clock: u32::try_from(now.as_secs()).unwrap() - 86_400,
            step: 1,
            shape: None,
            plain: false,
            workless: false,
            payments: None,
            expiry: 30,
            salt: 0,
        }
    }

    /// The genesis alone. Blocks begin a day ago and come a second apart.
    pub fn new() -> Self {
        let recorded = serde_json::from_str(RECORDED).unwrap();
        let mut blocks = recorded_headers(&recorded);
        blocks.truncate(1);
        Self::of(blocks)
    }

    /// The chain of the recordings, with the transactions that were recorded.
    pub fn recorded() -> Self {
        let recorded: Value = serde_json::from_str(RECORDED).unwrap();
        let mut chain = Self::of(recorded_headers(&recorded));
        chain.clock = chain.blocks.last().unwrap().header.time + 1;
        for item in recorded["transactions"].as_array().unwrap() {
            let branch = item["merkle"].as_array().unwrap().iter();
            chain.place(Placed {
                height: usize::try_from(item["height"].as_u64().unwrap()).unwrap(),
                raw: HEXLOWER
                    .decode(item["tx"].as_str().unwrap().as_bytes())
                    .unwrap(),
                branch: branch
                    .map(|hash| {
                        let hash: Txid = hash.as_str().unwrap().parse().unwrap();
                        hash.to_byte_array()
                    })
                    .collect(),
                position: usize::try_from(item["pos"].as_u64().unwrap()).unwrap(),
            });
        }
        chain
    }

    /// Sets the time of the next block, in seconds since 1970.
    pub fn set_clock(&mut self, time: u32) {
        self.clock = time;
    }

    /// Makes a transaction known, and the name operation in it.
    pub(super) fn place(&mut self, placed: Placed) -> Txid {
        let transaction: bitcoin::Transaction = deserialize(&placed.raw).unwrap();
        let txid = transaction.compute_txid();
        let entry = Entry {
            txid,
            height: placed.height,
        };
        for output in &transaction.output {
            if let Some(name) = name_of(output.script_pubkey.as_bytes()) {
                let history = self.histories.entry(script_hash(name)).or_default();
                history.push(entry);
            }
        }
        self.placed.insert(txid, Arc::new(placed));
        txid
    }

    /// The height of the last block.
    pub fn tip(&self) -> usize {
        self.blocks.len() - 1
    }

    pub fn block(&self, height: usize) -> Option<&Block> {
        self.blocks.get(height).map(Arc::as_ref)
    }

    pub fn tip_block(&self) -> &Block {
        self.blocks.last().unwrap()
    }

    pub fn transaction(&self, txid: &Txid) -> Option<&Placed> {
        self.placed.get(txid).map(Arc::as_ref)
    }

    /// Operations of the name with this script hash, oldest first.
    pub fn history(&self, script_hash: &str) -> &[Entry] {
        self.histories.get(script_hash).map_or(&[], Vec::as_slice)
    }

    /// The median of the times of the 11 blocks up to this height.
    pub fn median_time(&self, height: usize) -> u32 {
        let from = height.saturating_sub(10);
        let mut times: Vec<u32> = self.blocks[from..=height]
            .iter()
            .map(|block| block.header.time)
            .collect();
        times.sort_unstable();
        times[times.len() / 2]
    }

    /// A copy that ends at this height; what is mined on it differs from what
    /// is mined here.
    pub fn fork_at(&self, height: usize) -> Self {
        let mut fork = self.clone();
        fork.blocks.truncate(height + 1);
        fork.placed.retain(|_, placed| placed.height <= height);
        for history in fork.histories.values_mut() {
            history.retain(|entry| entry.height <= height);
        }
        fork.histories.retain(|_, history| !history.is_empty());
        fork.clock = fork.tip_block().header.time + fork.step;
        fork.salt = fork.salt.wrapping_add(rand::random::<u32>() | 1);
        fork
    }
}
