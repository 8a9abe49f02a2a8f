//! The methods of the protocol, as both recorded versions answer them.

use std::fmt::Display;
use std::sync::{Arc, Mutex};

use bitcoin::Txid;
use bitcoin::hashes::{Hash, sha256};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::chain::{Chain, HEADER};
use super::lies::{Lie, View};
use super::merkle::{Raw, Tree};
use super::{Options, Version};

/// An error reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub code: i64,
    pub message: String,
}

impl Fault {
    pub fn new(code: i64, message: impl Display) -> Self {
        Self {
            code,
            message: message.to_string(),
        }
    }

    /// A request that the server understood and cannot meet.
    pub fn bad(message: impl Display) -> Self {
        Self::new(1, message)
    }

    fn invalid_params() -> Self {
        Self::new(-32602, "invalid params")
    }
}

/// A negotiated version of the protocol.
pub type Protocol = (u8, u8, u8);

/// Reads `1.4` or `1.4.3`.
pub fn parse_protocol(text: &str) -> Option<Protocol> {
    let mut parts = text.split('.').map(str::parse);
    let mut part = || parts.next().unwrap_or(Ok(0)).ok();
    Some((part()?, part()?, part()?))
}

/// A request being answered.
pub struct Call<'a> {
    pub options: &'a Options,
    pub trees: &'a Trees,
    pub protocol: Protocol,
    pub chain: &'a Chain,
    pub lie: Option<&'a Lie>,
    pub params: &'a Value,
}

type Answer = Result<Value, Fault>;

fn hex_reversed(hash: &Raw) -> String {
    let mut bytes = *hash;
    bytes.reverse();
    HEXLOWER.encode(&bytes)
}

fn hex_branch(branch: &[Raw]) -> Vec<String> {
    branch.iter().map(hex_reversed).collect()
}

impl Call<'_> {
    /// Answers a method; `None` if the server has no such method.
    pub fn answer(&self, method: &str) -> Option<Answer> {
        let proofs = self.options.version == Version::V2_0b1 && self.protocol >= (1, 4, 3);
        Some(match method {
            "server.ping" => Ok(Value::Null),
            "server.features" => Ok(self.features()),
            "server.peers.subscribe" if self.options.peers.is_some() => Ok(self.peers()),
            "blockchain.block.header" => self.block_header(),
            "blockchain.block.headers" => self.block_headers(),
            "blockchain.headers.subscribe" => Ok(self.tip()),
            "blockchain.scripthash.get_history" => self.get_history(),
            "blockchain.scripthash.subscribe" => self.script_hash().map(|hash| self.status(hash)),
            "blockchain.transaction.get" => self.transaction(),
            "blockchain.transaction.get_merkle" => self.merkle(),
            "blockchain.name.get_value_proof" if proofs => self.value_proof(),
            _ => return None,
        })
    }

    fn view(&self) -> View<'_> {
        View {
            chain: self.chain,
            lie: self.lie,
        }
    }

    fn param(&self, index: usize, name: &str) -> &Value {
        match self.params {
            Value::Object(named) => named.get(name).unwrap_or(&Value::Null),
            positional => positional.get(index).unwrap_or(&Value::Null),
        }
    }

    /// A number; where it may be left out, 0 stands for it.
    fn number(&self, index: usize, name: &str, needed: bool) -> Result<usize, Fault> {
        match self.param(index, name) {
            Value::Null if !needed => Ok(0),
            value => value
                .as_u64()
                .and_then(|number| usize::try_from(number).ok())
                .ok_or_else(Fault::invalid_params),
        }
    }

    fn script_hash(&self) -> Result<&str, Fault> {
        let text = self.param(0, "scripthash").as_str();
        let text = text.ok_or_else(Fault::invalid_params)?;
        let valid = HEXLOWER
            .decode(text.as_bytes())
            .is_ok_and(|hash| hash.len() == 32);
        valid
            .then_some(text)
            .ok_or_else(|| Fault::bad(format!("{text} is not a valid script hash")))
    }

    fn txid(&self) -> Result<Txid, Fault> {
        let text = self.param(0, "tx_hash").as_str();
        let text = text.ok_or_else(Fault::invalid_params)?;
        text.parse()
            .map_err(|_| Fault::bad(format!("{text} should be a transaction hash")))
    }

    fn features(&self) -> Value {
        json!({
            "hosts": {},
            "pruning": null,
            "server_version": self.options.version.name(),
            "protocol_min": "1.4",
            "protocol_max": self.options.claims.unwrap_or(self.options.version.protocol_max()),
            "genesis_hash": self.genesis(),
            "hash_function": "sha256",
            "services": [],
        })
    }

    fn genesis(&self) -> String {
        let own = || self.chain.block(0).unwrap().hash.to_string();
        self.options.genesis.map_or_else(own, str::to_owned)
    }

    /// As ElectrumX names them: address, host, features.
    fn peers(&self) -> Value {
        let peers = self.options.peers.iter().flatten();
        let named = peers.map(|(host, port)| json!([host, host, ["v1.4.2", port]]));
        Value::Array(named.collect())
    }

    /// The last header, as subscribers get it.
    pub fn tip(&self) -> Value {
        let hex = HEXLOWER.encode(&self.chain.tip_block().bytes);
        json!({ "hex": hex, "height": self.chain.tip() })
    }

    /// Headers with a proof are stripped from protocol 1.4.1.
    fn stripped(&self, cp_height: usize) -> bool {
        let is_whole = matches!(self.lie, Some(Lie::WholeHeaders));
        cp_height > 0 && self.protocol >= (1, 4, 1) && !is_whole
    }

    fn checkpoint_proof(&self, height: usize, cp_height: usize) -> Result<Value, Fault> {
        let tip = self.chain.tip();
        if height > cp_height || cp_height > tip {
            return Err(Fault::bad(format!(
                "require header height {height} <= cp_height {cp_height} <= chain height {tip}"
            )));
        }
        let tree = self.trees.get(self.chain, cp_height);
        Ok(json!({
            "branch": hex_branch(&tree.branch(height)),
            "root": hex_reversed(&tree.root()),
        }))
    }

    fn block_header(&self) -> Answer {
        let height = self.number(0, "height", true)?;
        let cp_height = self.number(1, "cp_height", false)?;
        match self.lie {
            Some(Lie::WithheldProofs) if height > 0 => Err(Fault::bad("not now")),
            Some(Lie::OtherProof) if height > 0 => self.header(height + 1, cp_height),
            _ => self.header(height, cp_height),
        }
    }

    fn header(&self, height: usize, cp_height: usize) -> Answer {
        let proof = match cp_height {
            0 => None,
            _ => Some(self.checkpoint_proof(height, cp_height)?),
        };
        let block = self.chain.block(height);
        let block = block.ok_or_else(|| Fault::bad(format!("height {height} out of range")))?;
        let hex = HEXLOWER.encode(block.part(self.stripped(cp_height)));
        Ok(match proof {
            None => json!(hex),
            Some(mut proof) => {
                proof["header"] = json!(hex);
                proof
            }
        })
    }

    fn block_headers(&self) -> Answer {
        let start = self.number(0, "start_height", true)?;
        let max = self.options.max_headers;
        let count = self.number(1, "count", true)?.min(max);
        let cp_height = self.number(2, "cp_height", false)?;
        let count = count.min((self.chain.tip() + 1).saturating_sub(start));
        let mut reply = json!({});
        if count > 0 && cp_height > 0 {
            reply = self.checkpoint_proof(start + count - 1, cp_height)?;
        }
        reply["count"] = json!(count);
        reply["max"] = json!(max);
        if matches!(self.lie, Some(Lie::HugeCount)) {
            reply["count"] = json!(1u64 << 53);
        }
        let parts = self.header_parts(start, count, self.stripped(cp_height));
        if self.protocol >= (1, 6, 0) {
            reply["headers"] = parts.iter().map(|part| HEXLOWER.encode(part)).collect();
        } else {
            reply["hex"] = json!(HEXLOWER.encode(&parts.concat()));
        }
        Ok(reply)
    }

    /// Headers cut apart. Version 2.0b1 cuts where they would end if the
    /// first were the genesis, which shows at protocol 1.6 and wherever it
    /// strips them.
    fn header_parts(&self, start: usize, count: usize, stripped: bool) -> Vec<Vec<u8>> {
        let blocks = (start..start + count).map(|height| self.chain.block(height).unwrap());
        if self.options.version == Version::V1_15 {
            return blocks.map(|block| block.part(stripped).to_vec()).collect();
        }
        let whole: Vec<u8> = blocks.flat_map(|block| block.bytes.clone()).collect();
        let mut parts = Vec::new();
        let mut at = 0;
        for block in &self.chain.blocks {
            if at >= whole.len() {
                break;
            }
            let end = (at + block.bytes.len()).min(whole.len());
            let kept = if stripped { end.min(at + HEADER) } else { end };
            parts.push(whole[at..kept].to_vec());
            at = end;
        }
        parts
    }

    fn get_history(&self) -> Answer {
        let hash = self.script_hash()?;
        let history = self.view().history(hash);
        let confirmed = history
            .iter()
            .map(|entry| json!({ "tx_hash": entry.txid.to_string(), "height": entry.height }));
        let unconfirmed = self.chain.unconfirmed.get(hash).into_iter().flatten();
        let unconfirmed = unconfirmed.map(|(txid, height)| {
            json!({ "tx_hash": txid.to_string(), "height": height, "fee": 10_000 })
        });
        Ok(confirmed.chain(unconfirmed).collect())
    }

    /// The hash over a history; it changes when an operation is mined.
    pub fn status(&self, script_hash: &str) -> Value {
        let history = self.view().history(script_hash);
        if history.is_empty() {
            return Value::Null;
        }
        let text: String = history
            .iter()
            .map(|entry| format!("{}:{}:", entry.txid, entry.height))
            .collect();
        json!(HEXLOWER.encode(sha256::Hash::hash(text.as_bytes()).as_byte_array()))
    }

    fn transaction(&self) -> Answer {
        let txid = self.txid()?;
        if *self.param(1, "verbose") == Value::Bool(true) {
            return Err(Fault::bad("verbose transactions are not supported"));
        }
        let raw = self.view().transaction(&txid).ok_or_else(|| {
            Fault::new(
                2,
                "daemon error: DaemonError({'code': -5, 'message': 'No such mempool or \
                 blockchain transaction. Use gettransaction for wallet transactions.'})",
            )
        })?;
        Ok(json!(HEXLOWER.encode(&raw)))
    }

    fn merkle(&self) -> Answer {
        let txid = self.txid()?;
        let height = self.number(1, "height", true)?;
        let proof = self
            .view()
            .proof(&txid, height)
            .ok_or_else(|| Self::not_in_block(&txid, height))?;
        Ok(json!({
            "block_height": height,
            "merkle": hex_branch(&proof.branch),
            "pos": proof.position,
        }))
    }

    fn not_in_block(txid: &Txid, height: usize) -> Fault {
        Fault::bad(format!("tx {txid} not in block at height {height}"))
    }

    /// Newest first. Ends at the first gap longer than the expiry and, with
    /// cp_height, at the first operation at or below that.
    fn value_proof(&self) -> Answer {
        let hash = self.script_hash()?;
        let cp_height = self.number(1, "cp_height", false)?;
        let history = self.view().history(hash);
        if cp_height > self.chain.tip() {
            let newest = history.last().map_or(0, |entry| entry.height);
            self.checkpoint_proof(newest, cp_height)?;
        }
        let mut proofs = Vec::new();
        let mut above = None;
        for entry in history.iter().rev() {
            let reach = entry.height + self.chain.expiry;
            if above.is_some_and(|above| reach < above) {
                break;
            }
            above = Some(entry.height);
            let raw = self.view().transaction(&entry.txid).unwrap_or_default();
            let proof = self.view().proof(&entry.txid, entry.height);
            // What an honest server cannot prove spoils the whole reply; one
            // that lies gives an empty branch.
            if proof.is_none() && self.lie.is_none() {
                return Err(Self::not_in_block(&entry.txid, entry.height));
            }
            let (branch, position) =
                proof.map_or((Vec::new(), 0), |proof| (proof.branch, proof.position));
            let mut item = json!({
                "height": entry.height,
                "tx": HEXLOWER.encode(&raw),
                "tx_merkle": { "merkle": hex_branch(&branch), "pos": position },
            });
            let last = entry.height <= cp_height;
            if last {
                item["header"] = self.header(entry.height, cp_height)?;
            }
            proofs.push(item);
            if last {
                break;
            }
        }
        Ok(json!({ hash: proofs }))
    }
}

/// The tree over block hashes that was asked for last.
#[derive(Debug, Default)]
pub struct Trees(Mutex<Option<(Raw, Arc<Tree>)>>);

impl Trees {
    fn get(&self, chain: &Chain, height: usize) -> Arc<Tree> {
        let last = chain.block(height).unwrap().hash.to_byte_array();
        let mut kept = self.0.lock().unwrap();
        if let Some((hash, tree)) = &*kept
            && *hash == last
        {
            return tree.clone();
        }
        let hashes = chain.blocks[..=height].iter();
        let tree = Tree::new(hashes.map(|block| block.hash.to_byte_array()).collect());
        let tree = Arc::new(tree);
        *kept = Some((last, tree.clone()));
        tree
    }
}
