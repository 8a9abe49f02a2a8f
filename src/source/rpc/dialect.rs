//! The dialects of `name_show`: how the name, its encoding and the isolation id
//! are passed, and how a node says that it does not understand.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::isolation::IsolationId;
use crate::snapshot::NameKey;

use super::reply::Reply;

/// A way to call `name_show`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Namecoin Core: `[name, options]`.
    Core,
    /// Electrum-NMC: `{"identifier": name, "options": options}`.
    ElectrumNmc,
    /// ConsensusJ-Namecoin: `[name]`, without the isolation id.
    ConsensusJ,
}

impl Dialect {
    /// A number for an atomic variable.
    pub fn number(self) -> u8 {
        match self {
            Self::Core => 0,
            Self::ElectrumNmc => 1,
            Self::ConsensusJ => 2,
        }
    }

    /// The dialect of a number.
    pub fn from_number(number: u8) -> Self {
        match number {
            1 => Self::ElectrumNmc,
            2 => Self::ConsensusJ,
            _ => Self::Core,
        }
    }

    /// What to try instead. Nothing leads to a dialect that drops the id.
    pub fn other(self) -> Option<Self> {
        match self {
            Self::Core => Some(Self::ElectrumNmc),
            Self::ElectrumNmc => Some(Self::Core),
            Self::ConsensusJ => None,
        }
    }

    /// Whether names and values go in hexadecimal. With any other encoding a
    /// value that is not US-ASCII does not come.
    pub fn is_hex(self) -> bool {
        !matches!(self, Self::ConsensusJ)
    }

    /// The parameters of a call. The isolation id is left out only for queries
    /// that share one for having none, and in the dialect that has no place
    /// for it.
    pub fn params(self, key: &NameKey, isolation: &IsolationId) -> Value {
        let name = HEXLOWER.encode(key.as_str().as_bytes());
        let mut options = json!({"nameEncoding": "hex", "valueEncoding": "hex"});
        if let Some(id) = isolation.as_str()
            && let Some(options) = options.as_object_mut()
        {
            options.insert("streamID".to_owned(), Value::from(id));
        }
        match self {
            Self::Core => json!([name, options]),
            Self::ElectrumNmc => json!({"identifier": name, "options": options}),
            Self::ConsensusJ => json!([key.as_str()]),
        }
    }

    /// Whether a reply says that the node does not know this way to call.
    pub fn is_refused(self, reply: &Reply) -> bool {
        let Some(error) = reply.error() else {
            return false;
        };
        let says = |part: &str| error.message.contains(part);
        match self {
            // Electrum-NMC takes the options for an encoding.
            Self::Core => {
                error.code == 1
                    && (says("is not a valid Encoding") || says("unexpected keyword argument"))
            }
            // Core and its kin: unknown named parameter, or a help text.
            Self::ElectrumNmc => (error.code == -8 && says("named parameter")) || error.code == -1,
            Self::ConsensusJ => false,
        }
    }
}
