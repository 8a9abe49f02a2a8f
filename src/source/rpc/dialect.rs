//! The dialects of `name_show`: how to ask, and how a node refuses to be
//! asked in the wrong one.

use std::sync::atomic::{AtomicBool, Ordering};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::config::settings::DialectSetting;
use crate::isolation::IsolationId;
use crate::snapshot::NameKey;
use crate::source::name_show::{Encoding, RpcError};

/// One way to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `[name, options]`, in hexadecimal.
    Core,
    /// `{"identifier": name, "options": options}`, in hexadecimal.
    ElectrumNmc,
    /// `[name]`, as it is. No options, and so no isolation id.
    ConsensusJ,
}

impl Dialect {
    /// The body of a request for `key`.
    ///
    /// Where the dialect has options, a request without the isolation id is
    /// only ever made for the shared id, which has no text.
    pub fn name_show(self, isolation: &IsolationId, key: &NameKey) -> String {
        let name = HEXLOWER.encode(key.as_str().as_bytes());
        let mut options = json!({"nameEncoding": "hex", "valueEncoding": "hex"});
        if let (Some(id), Some(options)) = (isolation.as_str(), options.as_object_mut()) {
            options.insert("streamID".into(), Value::from(id));
        }
        let params = match self {
            Self::Core => json!([name, options]),
            Self::ElectrumNmc => json!({"identifier": name, "options": options}),
            Self::ConsensusJ => json!([key.as_str()]),
        };
        request("name_show", &params)
    }

    /// How names and values are written in an answer that does not say.
    pub fn encoding(self) -> Encoding {
        match self {
            Self::Core | Self::ElectrumNmc => Encoding::Hex,
            Self::ConsensusJ => Encoding::Plain,
        }
    }

    /// Whether `error` means that the node wants to be asked in another way.
    pub fn is_refused_by(self, error: &RpcError) -> bool {
        match self {
            // Electrum-NMC takes the options for the name of an encoding.
            Self::Core => {
                error.code == 1
                    && (error.message.contains("is not a valid Encoding")
                        || error.message.contains("unexpected keyword argument"))
            }
            // Core: an unknown named parameter (-8); older versions explain
            // the method (-1) or miss a parameter of the right type (-3).
            Self::ElectrumNmc => matches!(error.code, -1 | -3 | -8 | -32602),
            Self::ConsensusJ => false,
        }
    }

    /// The dialect's name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Core => "Namecoin Core",
            Self::ElectrumNmc => "Electrum-NMC",
            Self::ConsensusJ => "ConsensusJ-Namecoin",
        }
    }
}

/// The body of a request for what Electrum-NMC says of itself. It is about
/// the node only, so it carries no isolation id.
pub(super) fn getinfo() -> String {
    request("getinfo", &json!([]))
}

/// The body of a request for one of Electrum-NMC's settings.
pub(super) fn getconfig(key: &str) -> String {
    request("getconfig", &json!({"key": key}))
}

/// The body of a request.
pub(super) fn request(method: &str, params: &Value) -> String {
    // The id is constant: one connection carries one request at a time, and a
    // counter would tell the node how many requests there were.
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
}

/// Which dialect the node understands, as far as it is known.
///
/// No lock: a fetch that finds the wrong dialect remembered repeats its own
/// request, and no fetch waits for another one to find out.
#[derive(Debug)]
pub(super) struct Recognition {
    fixed: Option<Dialect>,
    electrum: AtomicBool,
}

impl Recognition {
    /// Begins with what the setting says; `Auto` begins with Core's.
    pub fn new(setting: DialectSetting) -> Self {
        Self {
            fixed: match setting {
                DialectSetting::Auto => None,
                DialectSetting::Core => Some(Dialect::Core),
                DialectSetting::ElectrumNmc => Some(Dialect::ElectrumNmc),
                DialectSetting::ConsensusJ => Some(Dialect::ConsensusJ),
            },
            electrum: AtomicBool::new(false),
        }
    }

    /// The dialect to ask in.
    pub fn current(&self) -> Dialect {
        self.fixed.unwrap_or_else(|| {
            if self.electrum.load(Ordering::Relaxed) {
                Dialect::ElectrumNmc
            } else {
                Dialect::Core
            }
        })
    }

    /// Remembers that `refused` was refused and returns the dialect to try
    /// instead; `None` if the setting permits no other.
    pub fn switch_from(&self, refused: Dialect) -> Option<Dialect> {
        if self.fixed.is_some() {
            return None;
        }
        // Both dialects of `Auto` carry the isolation id. ConsensusJ's does
        // not, and is therefore never among those to try.
        let other = match refused {
            Dialect::Core => Dialect::ElectrumNmc,
            _ => Dialect::Core,
        };
        self.electrum
            .store(other == Dialect::ElectrumNmc, Ordering::Relaxed);
        Some(other)
    }
}
