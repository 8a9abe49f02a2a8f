//! The answer of the RPC method `name_show`, as a node sends it and as it
//! may be saved in a names file.

use std::sync::Arc;

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::Deserialize;

use crate::snapshot::{Absence, Fetched};

/// The error code of everything that `name_show` says of a name which cannot
/// be used (Bitcoin Core calls it `RPC_WALLET_ERROR`).
pub(super) const NAME_ERROR: i64 = -4;

/// The members of a `name_show` result that matter here.
#[derive(Debug, Deserialize)]
pub(super) struct NameShow {
    name: Option<String>,
    name_encoding: Option<String>,
    value: Option<String>,
    value_encoding: Option<String>,
    expired: Option<bool>,
}

/// A JSON-RPC error object.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RpcError {
    /// The number that says what kind of error it is.
    pub code: i64,
    /// Text for a person; a node may put the queried name into it.
    #[serde(default)]
    pub message: String,
}

/// How bytes are written as JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As they are; they must be UTF-8.
    Plain,
    /// In hexadecimal, in upper or lower case.
    Hex,
}

impl Encoding {
    /// Takes what a node says, or `assumed` if it says nothing.
    fn named(name: Option<&str>, assumed: Self) -> Option<Self> {
        match name {
            None => Some(assumed),
            Some("ascii" | "utf8") => Some(Self::Plain),
            Some("hex") => Some(Self::Hex),
            Some(_) => None,
        }
    }

    fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Plain => Some(text.as_bytes().to_vec()),
            Self::Hex => HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok(),
        }
    }
}

impl NameShow {
    /// Whether the answer is about `name`, where it says which name it is
    /// about.
    pub fn is_about(&self, name: &str, assumed: Encoding) -> bool {
        let Some(told) = &self.name else {
            return true;
        };
        Encoding::named(self.name_encoding.as_deref(), assumed)
            .and_then(|encoding| encoding.decode(told))
            .is_some_and(|told| told == name.as_bytes())
    }

    /// What the answer says; encodings that it does not name are `assumed`.
    ///
    /// # Errors
    /// It says nothing usable; the text completes "the answer …".
    pub fn fetched(&self, assumed: Encoding) -> Result<Fetched, &'static str> {
        // An expired name is not registered any more, whatever it held. Nodes
        // return it when they are configured to allow expired names.
        if self.expired == Some(true) {
            return Ok(Fetched::Absent(Absence::Expired));
        }
        let value = self.value.as_ref().ok_or("has no value")?;
        let encoding = Encoding::named(self.value_encoding.as_deref(), assumed)
            .ok_or("has a value in an unknown encoding")?;
        let bytes = encoding
            .decode(value)
            .ok_or("has a value that is not hexadecimal")?;
        Ok(Fetched::Value(Arc::from(bytes)))
    }
}

impl RpcError {
    /// The part of the message that is the node's own: what follows may be
    /// the queried name, which could be chosen to look like any message.
    fn own_words(&self) -> &str {
        self.message
            .split([':', '(', ';', '\'', '"'])
            .next()
            .unwrap_or_default()
    }

    /// Why the name has no value, if that is what the error says.
    pub fn absence(&self) -> Option<Absence> {
        if self.code != NAME_ERROR {
            return None;
        }
        let words = self.own_words().to_ascii_lowercase();
        // "semi-expired" holds "expired", so the order matters.
        if words.contains("semi-expired") {
            Some(Absence::AboutToExpire)
        } else if words.contains("unconfirmed") {
            Some(Absence::NotYetSafe)
        } else if words.contains("never existed") {
            Some(Absence::NeverExisted)
        } else if words.contains("expired") {
            Some(Absence::Expired)
        } else {
            None
        }
    }

    /// Whether the words are those of Electrum-NMC, which has an absence
    /// only on the word of the servers it asked.
    pub fn is_hearsay(&self) -> bool {
        self.own_words()
            .to_ascii_lowercase()
            .contains("purportedly")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str) -> RpcError {
        RpcError {
            code: NAME_ERROR,
            message: message.into(),
        }
    }

    #[test]
    fn a_name_that_reads_like_a_message_changes_nothing() {
        for name in ["d/semi-expired", "d/unconfirmed", "d/never existed"] {
            assert_eq!(
                error(&format!("name expired: '{name}'")).absence(),
                Some(Absence::Expired)
            );
        }
        assert_eq!(
            error("name never existed: 'd/expired'").absence(),
            Some(Absence::NeverExisted)
        );
        assert!(!error("name never existed: 'd/purportedly'").is_hearsay());
    }

    #[test]
    fn other_errors_are_no_absence() {
        assert_eq!(error("wallet is locked").absence(), None);
        let other = RpcError {
            code: -5,
            message: "name never existed".into(),
        };
        assert_eq!(other.absence(), None);
    }
}
