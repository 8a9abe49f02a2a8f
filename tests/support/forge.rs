//! Merged-mined headers made to order: valid as they come, and with any one
//! thing changed that a server could lie about. Mining takes a moment at the
//! target of regtest.

#![allow(dead_code)]

use bitcoin::block::{Header, Version};
use bitcoin::consensus::serialize;
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::{
    Amount, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn,
    TxMerkleNode, TxOut, Witness,
};

pub const MARKER: &[u8] = b"\xfa\xbemm";

/// The slot of Namecoin for the nonce 7 in a tree of `2^levels` leaves.
pub const NONCE: u32 = 7;

/// A header and its AuxPoW, before the parts are put together.
#[derive(Clone)]
pub struct Forge {
    pub block: Header,
    /// The siblings between the block and the root in the coinbase.
    pub chain_branch: Vec<[u8; 32]>,
    /// The block's index; by default the slot that the nonce gives it.
    pub chain_index: Option<u32>,
    /// Makes the coinbase's script of the root (reversed, as it stands there),
    /// and size and nonce.
    pub script: fn(root: &[u8], tail: &[u8]) -> Vec<u8>,
    /// Size and nonce behind the root; by default the right ones.
    pub tail: Option<Vec<u8>>,
    pub coinbase: Transaction,
    /// Takes the place of the serialised coinbase, not of its id.
    pub raw_coinbase: Option<Vec<u8>>,
    /// The 32 bytes that nobody looks at.
    pub ignored: [u8; 32],
    pub coinbase_branch: Vec<[u8; 32]>,
    pub coinbase_index: u32,
    /// The parent; by default its merkle root is the right one.
    pub parent: Header,
    pub parent_root: Option<[u8; 32]>,
    /// Whether the parent's hash meets the target of regtest.
    pub is_mined: bool,
}

/// A script as pools write it: some bytes, the marker, the root, the tail.
pub fn marked(root: &[u8], tail: &[u8]) -> Vec<u8> {
    [b"\x03\x11\x22\x33", MARKER, root, tail, b"/pool/"].concat()
}

pub fn coinbase(outputs: usize) -> Transaction {
    Transaction {
        version: bitcoin::transaction::Version::ONE,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![
            TxOut {
                value: Amount::from_sat(312_500_000),
                script_pubkey: ScriptBuf::from_bytes(vec![0x6a; 25]),
            };
            outputs
        ],
        lock_time: bitcoin::absolute::LockTime::ZERO,
    }
}

/// Hashes that differ.
pub fn hashes(count: u8) -> Vec<[u8; 32]> {
    (1..=count).map(|number| [number; 32]).collect()
}

fn header(version: i32) -> Header {
    Header {
        version: Version::from_consensus(version),
        prev_blockhash: BlockHash::from_byte_array([0x5a; 32]),
        merkle_root: TxMerkleNode::from_byte_array([0xa5; 32]),
        time: 1_800_000_000,
        bits: CompactTarget::from_consensus(0x207f_ffff),
        nonce: 0,
    }
}

impl Default for Forge {
    fn default() -> Self {
        Self {
            block: header(0x0001_0104),
            chain_branch: hashes(3),
            chain_index: None,
            script: marked,
            tail: None,
            coinbase: coinbase(2),
            raw_coinbase: None,
            ignored: [0; 32],
            coinbase_branch: hashes(12),
            coinbase_index: 0,
            parent: header(0x2000_0000),
            parent_root: None,
            is_mined: true,
        }
    }
}

impl Forge {
    /// The bytes of the header with everything put together.
    pub fn seal(&self) -> Vec<u8> {
        let transaction = self.committed_coinbase();
        let coinbase = self
            .raw_coinbase
            .clone()
            .unwrap_or_else(|| serialize(&transaction));
        [
            serialize(&self.block),
            coinbase,
            self.ignored.to_vec(),
            branch(&self.coinbase_branch, self.coinbase_index),
            branch(&self.chain_branch, self.chain_index()),
            serialize(&self.mined_parent(&transaction)),
        ]
        .concat()
    }

    /// The coinbase that commits to the block.
    pub fn committed_coinbase(&self) -> Transaction {
        let block = self.block.block_hash().to_byte_array();
        let mut root = fold(block, &self.chain_branch, self.chain_index());
        root.reverse();
        let tail = self.tail.clone().unwrap_or_else(|| {
            let size = 1_u32 << self.chain_branch.len();
            [size.to_le_bytes(), NONCE.to_le_bytes()].concat()
        });
        let mut transaction = self.coinbase.clone();
        if let Some(input) = transaction.input.first_mut() {
            input.script_sig = ScriptBuf::from_bytes((self.script)(&root, &tail));
        }
        transaction
    }

    fn chain_index(&self) -> u32 {
        self.chain_index
            .unwrap_or_else(|| slot(NONCE, self.chain_branch.len()))
    }

    fn mined_parent(&self, coinbase: &Transaction) -> Header {
        let id = coinbase.compute_txid().to_byte_array();
        let root = self
            .parent_root
            .unwrap_or_else(|| fold(id, &self.coinbase_branch, 0));
        let mut parent = self.parent;
        parent.merkle_root = TxMerkleNode::from_byte_array(root);
        mine(parent, self.is_mined)
    }
}

/// Finds a nonce with which a header meets the target of regtest, or does not.
pub fn mine(mut header: Header, meets: bool) -> Header {
    // The highest bit of the hash, which the target leaves zero.
    while (header.block_hash().to_byte_array()[31] < 0x7f) != meets {
        header.nonce += 1;
    }
    header
}

/// The slot of chain 1, in arithmetic that is too wide to wrap.
pub fn slot(nonce: u32, levels: usize) -> u32 {
    let step = |number: u64| (number * 1_103_515_245 + 12_345) % (1 << 32);
    let slot = step(step(nonce.into()) + 1) % (1 << levels);
    slot.try_into().unwrap()
}

fn fold(leaf: [u8; 32], branch: &[[u8; 32]], index: u32) -> [u8; 32] {
    let mut node = leaf;
    for (level, sibling) in branch.iter().enumerate() {
        let is_right = index.checked_shr(level as u32).unwrap_or(0) & 1 == 1;
        let pair = if is_right {
            [*sibling, node]
        } else {
            [node, *sibling]
        };
        node = sha256d::Hash::hash(&pair.concat()).to_byte_array();
    }
    node
}

fn branch(hashes: &[[u8; 32]], index: u32) -> Vec<u8> {
    let count = u8::try_from(hashes.len()).unwrap();
    [&[count], hashes.concat().as_slice(), &index.to_le_bytes()].concat()
}
