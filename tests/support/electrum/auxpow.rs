//! Merged-mining proofs: a draft whose every part can be spoilt, and the
//! solving of what the draft says.

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::{encode::VarInt, serialize};
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Target, Transaction,
    TxMerkleNode, TxOut,
};

use super::flaws::Flaw;
use super::merkle::{Raw, fold};

/// Namecoin's chain id.
pub const CHAIN_ID: u32 = 1;
/// Says which 32 bytes of the parent's coinbase script are the chain root.
pub const MARKER: [u8; 4] = [0xfa, 0xbe, 0x6d, 0x6d];

/// How large the proofs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Hashes between the parent's coinbase and its merkle root.
    pub coinbase_branch: usize,
    /// Hashes between the block and the chain root.
    pub chain_branch: usize,
    /// Bytes of an output that the parent's coinbase has besides.
    pub padding: usize,
}

impl Shape {
    /// About the 2 KB of a header of the real network.
    pub const REAL: Self = Self {
        coinbase_branch: 12,
        chain_branch: 4,
        padding: 1200,
    };

    /// Small, and different from height to height.
    pub fn varied(height: usize) -> Self {
        Self {
            coinbase_branch: height % 4,
            chain_branch: height % 3,
            padding: 0,
        }
    }
}

/// A branch of a merkle tree with the index of its leaf.
#[derive(Debug, Clone)]
pub struct Branch {
    pub hashes: Vec<Raw>,
    pub index: u32,
}

impl Branch {
    /// Siblings that look like no transaction, whichever side they are on.
    pub fn new(length: usize, index: u32, salt: u8) -> Self {
        let hashes = (0..length)
            .map(|level| [0x80 | salt ^ u8::try_from(level).unwrap(); 32])
            .collect();
        Self { hashes, index }
    }

    fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend(serialize(&VarInt::from(self.hashes.len())));
        bytes.extend(self.hashes.as_flattened());
        bytes.extend(self.index.to_le_bytes());
    }
}

/// The index that a chain has in a chain branch of the given length.
pub fn slot(nonce: u32, chain_id: u32, length: usize) -> u32 {
    let step = |x: u32| x.wrapping_mul(1_103_515_245).wrapping_add(12345);
    let x = step(step(nonce).wrapping_add(chain_id));
    let size = 1u64 << length;
    u32::try_from(u64::from(x) % size).unwrap()
}

/// The script of the parent's coinbase, part for part.
#[derive(Debug, Clone)]
pub struct Script {
    pub before: Vec<u8>,
    pub marker: bool,
    /// Between marker and root; nothing in a valid script.
    pub between: Vec<u8>,
    /// Changes the root, so that it is not there.
    pub root_mask: u8,
    /// Size and nonce.
    pub tail: Vec<u8>,
    pub after: Vec<u8>,
}

impl Script {
    fn bytes(&self, mut root: Raw) -> Vec<u8> {
        root.reverse();
        root[0] ^= self.root_mask;
        let marker: &[u8] = if self.marker { &MARKER } else { &[] };
        [
            &self.before,
            marker,
            &self.between,
            &root,
            &self.tail,
            &self.after,
        ]
        .concat()
    }
}

/// A merged-mining proof before it is solved. As it comes from [`Draft::new`]
/// it is valid.
#[derive(Debug, Clone)]
pub struct Draft {
    pub chain: Branch,
    pub script: Script,
    pub inputs: bool,
    pub padding: usize,
    pub coinbase: Branch,
    /// Searches a coinbase that makes the lowest inner node of its branch a
    /// transaction.
    pub inner_transaction: bool,
    pub parent_version: i32,
    /// Changes the merkle root that the parent header carries.
    pub merkle_root_mask: u8,
    /// Whether the parent's hash is to meet the target.
    pub worked: bool,
    /// Claims that the coinbase branch has 2^32 hashes.
    pub huge_branch: bool,
}

impl Draft {
    pub fn new(shape: Shape, salt: u32) -> Self {
        let byte = salt.to_le_bytes()[0];
        let nonce = salt.wrapping_mul(7);
        let size = 1u32 << shape.chain_branch;
        let tail = [size.to_le_bytes(), nonce.to_le_bytes()].concat();
        // Pools put the root at different places.
        let (marker, before) = match salt % 4 {
            0 => (false, vec![0x28]),
            1 => (false, vec![0x51; 20]),
            2 => (true, Vec::new()),
            _ => (true, vec![0x52; 25]),
        };
        Self {
            chain: Branch::new(
                shape.chain_branch,
                slot(nonce, CHAIN_ID, shape.chain_branch),
                byte,
            ),
            script: Script {
                before,
                marker,
                between: Vec::new(),
                root_mask: 0,
                tail,
                after: Vec::new(),
            },
            inputs: true,
            padding: shape.padding,
            coinbase: Branch::new(shape.coinbase_branch, 0, !byte),
            inner_transaction: false,
            parent_version: 0x2000_0000,
            merkle_root_mask: 0,
            worked: true,
            huge_branch: false,
        }
    }

    fn transaction(&self, root: Raw, extra: u64) -> Transaction {
        let mut input = Vec::new();
        if self.inputs {
            input.push(bitcoin::TxIn {
                previous_output: OutPoint::null(),
                script_sig: ScriptBuf::from_bytes(self.script.bytes(root)),
                sequence: Sequence::MAX,
                witness: bitcoin::Witness::new(),
            });
        }
        let mut output = vec![TxOut {
            value: Amount::from_sat(extra),
            script_pubkey: ScriptBuf::from_bytes(vec![0x6a; self.padding]),
        }];
        if self.padding == 0 && !self.inner_transaction {
            output.clear();
        }
        Transaction {
            version: bitcoin::transaction::Version::ONE,
            lock_time: LockTime::ZERO,
            input,
            output,
        }
    }

    /// The coinbase, searched for if it has to be a certain one.
    fn coinbase(&self, root: Raw) -> Transaction {
        (0..)
            .map(|extra| self.transaction(root, extra))
            .find(|transaction| {
                // The count of inputs of the transaction to be.
                !self.inner_transaction || transaction.compute_txid().to_byte_array()[4] == 1
            })
            .unwrap()
    }

    /// The proof for a block of this hash, to be put behind its 80 bytes.
    pub fn solve(&self, block: BlockHash, bits: CompactTarget) -> Vec<u8> {
        let root = fold(block.to_byte_array(), &self.chain.hashes, self.chain.index);
        let coinbase = self.coinbase(root);
        let mut merkle_root = fold(
            coinbase.compute_txid().to_byte_array(),
            &self.coinbase.hashes,
            self.coinbase.index,
        );
        merkle_root[0] ^= self.merkle_root_mask;
        let mut parent = Header {
            version: Version::from_consensus(self.parent_version),
            prev_blockhash: BlockHash::all_zeros(),
            merkle_root: TxMerkleNode::from_byte_array(merkle_root),
            time: 0,
            bits: CompactTarget::from_consensus(0),
            nonce: 0,
        };
        grind(&mut parent, bits, self.worked);
        let mut bytes = serialize(&coinbase);
        bytes.extend([0; 32]);
        let at = bytes.len();
        self.coinbase.append_to(&mut bytes);
        if self.huge_branch {
            let count = [0xff, 0, 0, 0, 0, 1, 0, 0, 0];
            bytes.splice(at..=at, count);
        }
        self.chain.append_to(&mut bytes);
        bytes.extend(serialize(&parent));
        bytes
    }
}

/// Raises the nonce until the header's hash meets the target, or until it
/// does not.
pub fn grind(header: &mut Header, bits: CompactTarget, worked: bool) {
    let target = Target::from_compact(bits);
    while target.is_met_by(header.block_hash()) != worked {
        header.nonce += 1;
    }
}

/// The whole bytes of a block's header with a proof, where its version says
/// that one follows.
pub fn with_proof(header: &Header, shape: Shape, salt: u32, flaw: Option<Flaw>) -> Vec<u8> {
    let mut bytes = serialize(header);
    if header.version.to_consensus() & 0x100 != 0 {
        let mut draft = Draft::new(shape, salt);
        if let Some(flaw) = flaw {
            flaw.spoil(&mut draft);
        }
        bytes.extend(draft.solve(header.block_hash(), header.bits));
    }
    bytes
}
