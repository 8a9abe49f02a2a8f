//! Fixtures for tests: what ElectrumX 1.15.0 and 2.0b1 said about a regtest chain,
//! what Namecoin Core says about it, and servers that are made up.

use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use bitcoin::TxMerkleNode;
use bitcoin::block::Header;
use bitcoin::consensus::deserialize;
use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::reply;
use super::servers::{Server, Standing};
use super::state_dir::StateDir;
use crate::config::settings::NodeAddress;
use crate::log::{Level, Log};
use crate::source::{Bounds, Cancel};

const CHAIN: &str = include_str!("../../../tests/data/electrum/evidence_chain.json");
const REPLIES: &str = include_str!("../../../tests/data/electrum/evidence_replies.json");

/// The recorded chain.
#[derive(Deserialize)]
pub struct Chain {
    /// A server's reply with all of its headers, 80 bytes each.
    pub headers: Box<RawValue>,
    /// Every name on it.
    pub names: Vec<Name>,
}

/// What Namecoin Core says of a name; bytes are in hexadecimal.
#[derive(Deserialize)]
pub struct Name {
    /// The key.
    pub name: String,
    /// The newest value.
    pub value: String,
    /// The height of the newest operation.
    pub height: u32,
    /// The transaction with the newest operation.
    pub txid: String,
    /// The script that servers index the name by.
    pub script: String,
    /// The hash of that script.
    pub scripthash: String,
}

/// A request and what came of it.
#[derive(Deserialize)]
pub struct Exchange {
    /// The server's software.
    pub server: String,
    /// What was asked.
    pub method: String,
    /// With which arguments.
    pub params: Vec<Value>,
    /// What the server said.
    pub result: Box<RawValue>,
}

/// The recorded chain.
pub fn chain() -> Chain {
    serde_json::from_str(CHAIN).unwrap()
}

/// What is recorded of a name, by its key as text.
pub fn name(key: &str) -> Name {
    let hex = HEXLOWER.encode(key.as_bytes());
    chain().names.into_iter().find(|n| n.name == hex).unwrap()
}

/// The recorded exchanges of one method.
pub fn replies(method: &str) -> Vec<Exchange> {
    let mut found: Vec<Exchange> = serde_json::from_str(REPLIES).unwrap();
    found.retain(|exchange| exchange.method == method);
    assert!(!found.is_empty(), "{method}");
    found
}

/// What hexadecimal text stands for.
pub fn bytes(hex: &str) -> Vec<u8> {
    HEXLOWER.decode(hex.as_bytes()).unwrap()
}

/// The merkle root of the block at a height of the recorded chain.
pub fn root_at(height: u32) -> Option<TxMerkleNode> {
    static ROOTS: LazyLock<Vec<TxMerkleNode>> = LazyLock::new(|| {
        let headers = reply::headers(chain().headers.get(), 2_016).unwrap();
        let (records, rest) = headers.bytes.as_chunks::<80>();
        assert!(rest.is_empty());
        records
            .iter()
            .map(|record| deserialize::<Header>(record).unwrap().merkle_root)
            .collect()
    });
    ROOTS.get(usize::try_from(height).unwrap()).copied()
}

/// A server's address, at the usual port.
pub fn address(host: &str) -> NodeAddress {
    NodeAddress {
        host: host.to_owned(),
        port: 50002,
    }
}

/// The state directory at a path, and the lines that it logs.
pub fn state_dir(path: &Path) -> (Option<Arc<StateDir>>, Arc<Mutex<Vec<String>>>) {
    let (log, lines) = log(Level::Warning);
    let state = StateDir::open(path, &log).unwrap();
    (Some(Arc::new(state)), lines)
}

/// A log, and the lines that it has logged.
pub fn log(most: Level) -> (Log, Arc<Mutex<Vec<String>>>) {
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let sink = Arc::clone(&lines);
    let log = Log::new(most, move |_, line| {
        sink.lock().unwrap().push(line.to_owned());
    });
    (log, lines)
}

/// A server that is listed as alive and speaks TLS.
pub fn server(operator: &str, host: &str) -> Server {
    Server {
        address: address(host),
        is_tls: true,
        operator: operator.to_owned(),
        standing: Standing::Alive,
        identity: None,
    }
}

/// Bounds of a fetch that may take this long.
pub fn bounds(time: Duration) -> Bounds {
    let end = Instant::now() + time;
    Bounds {
        due: end,
        deadline: end,
        cancel: Cancel::new(),
    }
}
