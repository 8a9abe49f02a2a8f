//! Mining: blocks with name operations, payments and merged-mining proofs, and
//! the mining anew of a chain with one header changed.

use std::sync::Arc;

use bitcoin::block::{Header, Version};
use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash;
use bitcoin::{CompactTarget, Transaction, TxMerkleNode, Txid};

use super::auxpow::{Shape, grind, with_proof};
use super::chain::{Block, Chain, HEADER, Placed};
use super::flaws::Flaw;
use super::merkle::Tree;
use super::names::{Operation, coinbase, operation, payment};

/// Regtest's only difficulty.
pub const BITS: u32 = 0x207f_ffff;
/// The easiest of the main network.
const MAINNET_BITS: u32 = 0x1d00_ffff;
/// Chain id 1, a proof follows, base version 4.
const VERSION: i32 = 0x0001_0104;
/// Chain id 1, no proof follows, base version 4.
const PLAIN_VERSION: i32 = 0x0001_0004;

impl Chain {
    /// Mines empty blocks.
    pub fn mine(&mut self, count: usize) {
        for _ in 0..count {
            self.mine_with(Vec::new());
        }
    }

    /// Mines a block with these transactions behind its coinbase.
    pub fn mine_with(&mut self, transactions: Vec<Transaction>) {
        let height = self.blocks.len();
        let mut all = vec![coinbase(height, self.salt)];
        all.extend(transactions);
        let leaves = all
            .iter()
            .map(|transaction| transaction.compute_txid().to_byte_array());
        let tree = Tree::new(leaves.collect());
        for (position, transaction) in all.iter().enumerate().skip(1) {
            self.place(Placed {
                height,
                raw: serialize(transaction),
                branch: tree.branch(position),
                position,
            });
        }
        let version = if self.plain || self.workless {
            PLAIN_VERSION
        } else {
            VERSION
        };
        let time = self.clock.max(self.median_time(height - 1) + 1);
        self.clock = time + self.step;
        let mut header = Header {
            version: Version::from_consensus(version),
            prev_blockhash: self.tip_block().hash,
            merkle_root: TxMerkleNode::from_byte_array(tree.root()),
            time,
            bits: CompactTarget::from_consensus(match self.workless {
                true => MAINNET_BITS,
                false => BITS,
            }),
            nonce: 0,
        };
        if self.plain {
            grind_own(&mut header);
        }
        let bytes = self.prove(height, &header, None);
        self.blocks.push(Arc::new(Block::new(bytes)));
    }

    fn prove(&self, height: usize, header: &Header, flaw: Option<Flaw>) -> Vec<u8> {
        let shape = self.shape.unwrap_or_else(|| Shape::varied(height));
        let salt = u32::try_from(height).unwrap().wrapping_add(self.salt);
        with_proof(header, shape, salt, flaw)
    }

    /// Mines a block that registers a name.
    pub fn register(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Txid {
        self.operate(Operation::FirstUpdate, name.as_ref(), value.as_ref())
    }

    /// Mines a block that gives a name a new value.
    pub fn update(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Txid {
        self.operate(Operation::Update, name.as_ref(), value.as_ref())
    }

    /// Mines a block with one name operation somewhere among payments.
    fn operate(&mut self, kind: Operation, name: &[u8], value: &[u8]) -> Txid {
        let height = self.blocks.len();
        let salt = self.transaction_salt(0);
        let named = operation(kind, name, value, salt);
        let txid = named.compute_txid();
        let payments = self.payments.unwrap_or(height % 15);
        let mut transactions: Vec<_> = (1..=payments)
            .map(|number| payment(self.transaction_salt(number)))
            .collect();
        transactions.insert(height % (payments + 1), named);
        self.mine_with(transactions);
        txid
    }

    /// A number that no other transaction of this chain has.
    fn transaction_salt(&self, number: usize) -> u32 {
        let number = u32::try_from(number).unwrap();
        let height = u32::try_from(self.blocks.len()).unwrap();
        self.salt
            .wrapping_add(height)
            .wrapping_add(number.wrapping_mul(0x0100_0001))
    }

    /// The same chain with one header changed. If that changes the block's
    /// hash, all blocks above are mined again on top; transactions, times and
    /// branches stay.
    pub fn with_header(
        &self,
        height: usize,
        flaw: Option<Flaw>,
        change: impl FnOnce(&mut Header),
    ) -> Self {
        let mut chain = self.clone();
        let mut header = chain.blocks[height].header;
        change(&mut header);
        if let Some(flaw) = flaw {
            flaw.spoil_header(&mut header);
        }
        let bytes = chain.prove(height, &header, flaw);
        chain.blocks[height] = Arc::new(Block::new(bytes));
        if chain.blocks[height].hash != self.blocks[height].hash {
            chain.relink(height + 1);
        }
        chain
    }

    /// Another chain of as many blocks, of which one in so many lacks work,
    /// except for the newest 150: the parent of its AuxPoW has another merkle
    /// root.
    pub fn without_work(&self, every: usize) -> Self {
        let other = TxMerkleNode::from_byte_array([7; 32]);
        let mut chain = self.with_header(1, None, |header| header.merkle_root = other);
        let end = chain.blocks.len().saturating_sub(150);
        for block in chain.blocks[..end].iter_mut().skip(1).step_by(every) {
            let mut bytes = block.bytes.clone();
            let root = bytes.len() - HEADER + 36;
            bytes[root] ^= 1;
            *block = Arc::new(Block::new(bytes));
        }
        chain
    }

    /// Mines the blocks from this height again, on what is below.
    fn relink(&mut self, height: usize) {
        for height in height..self.blocks.len() {
            let mut header = self.blocks[height].header;
            header.prev_blockhash = self.blocks[height - 1].hash;
            if header.version.to_consensus() & 0x100 == 0 {
                grind_own(&mut header);
            }
            let bytes = self.prove(height, &header, None);
            self.blocks[height] = Arc::new(Block::new(bytes));
        }
    }

    /// The same chain with one bit changed in the bytes of a header, and
    /// nothing else.
    pub fn with_bit(&self, height: usize, bit: usize) -> Self {
        let mut chain = self.clone();
        let mut bytes = chain.blocks[height].bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        // Its hash changes with it; no block above says so.
        chain.blocks[height] = Arc::new(Block::new(bytes));
        chain
    }
}

/// Gives a header work of its own.
fn grind_own(header: &mut Header) {
    let bits = header.bits;
    grind(header, bits, true);
}
