//! What a server's index keeps of blocks that others have replaced, as was
//! measured with ElectrumX 1.15 to 2.0: an entry of the name's history then is
//! another transaction of the chain, or one that is nowhere in it.

use bitcoin::hashes::Hash;
use bitcoin::{Transaction, Txid};

use super::chain::{Chain, Entry};
use super::names::{name_of, script_hash};

/// An entry of a name's history that is no operation on the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// An operation on another name, where it is.
    OtherName,
    /// A transaction whose version permits no names, where it is.
    NoName,
    /// The newest operation on the name, in a block that does not hold it.
    WrongHeight,
    /// A transaction that is nowhere.
    Nowhere,
}

impl Leftover {
    pub const ALL: [Self; 4] = [
        Self::OtherName,
        Self::NoName,
        Self::WrongHeight,
        Self::Nowhere,
    ];
}

impl Chain {
    /// Lists an operation on a name that is in no block yet, at the height that
    /// servers give such: 0 or -1.
    pub fn list_unconfirmed(&mut self, name: &str, height: i64) {
        let txid = Txid::from_raw_hash(Hash::hash(&height.to_le_bytes()));
        let list = self.unconfirmed.entry(script_hash(name)).or_default();
        list.push((txid, height));
    }

    /// Adds an entry at this height to the history of a name. The block there
    /// must hold an operation on another name, and payments.
    pub fn leave(&mut self, name: &str, height: usize, leftover: Leftover) {
        let hash = script_hash(name);
        let in_block = |fits: &dyn Fn(&Transaction) -> bool| {
            let mut all = self.placed.iter();
            let found = all.find(|(_, placed)| {
                placed.height == height
                    && fits(&bitcoin::consensus::deserialize(&placed.raw).unwrap())
            });
            *found.expect("such a transaction in the block").0
        };
        let names = |transaction: &Transaction| {
            let mut outputs = transaction.output.iter();
            outputs.any(|output| name_of(output.script_pubkey.as_bytes()).is_some())
        };
        let txid = match leftover {
            Leftover::OtherName => in_block(&names),
            Leftover::NoName => in_block(&|transaction| !names(transaction)),
            Leftover::WrongHeight => self.history(&hash).last().unwrap().txid,
            Leftover::Nowhere => {
                Txid::from_raw_hash(Hash::hash(&u64::try_from(height).unwrap().to_le_bytes()))
            }
        };
        let history = self.histories.entry(hash).or_default();
        history.push(Entry { txid, height });
        history.sort_by_key(|entry| entry.height);
    }
}
