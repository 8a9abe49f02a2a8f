//! The answer of the RPC method `name_show`, as a node sends it and as a names
//! file may contain it.

use std::sync::Arc;

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::Deserialize;

use crate::snapshot::{Absence, Fetched};

/// The error code of `name_show` for every name that cannot be used (Bitcoin Core
/// calls it `RPC_WALLET_ERROR`).
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
    /// The kind of error.
    pub code: i64,
    /// Text for a person, which may contain the queried name.
    #[serde(default)]
    pub message: String,
}

/// How a JSON string represents bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As UTF-8.
    Plain,
    /// In hexadecimal, in upper or lower case.
    Hex,
}

impl Encoding {
    /// The encoding that a node names, or `assumed` if it names none.
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
    /// Whether the answer is about `name`. An answer that does not say which name
    /// it is about counts as such.
    pub fn is_about(&self, name: &str, assumed: Encoding) -> bool {
        let Some(named) = &self.name else {
            return true;
        };
        Encoding::named(self.name_encoding.as_deref(), assumed)
            .and_then(|encoding| encoding.decode(named))
            .is_some_and(|named| named == name.as_bytes())
    }

    /// What the answer says; encodings that it does not name are `assumed`.
    ///
    /// # Errors
    /// It is not usable; the text completes "the answer …".
    pub fn fetched(&self, assumed: Encoding) -> Result<Fetched, &'static str> {
        // An expired name is no longer registered, whatever its value. Nodes
        // return it if they are configured to allow expired names.
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
    /// The part of the message that is the node's own. What follows may be the
    /// queried name, which could look like any message.
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
        // "semi-expired" contains "expired", so the order matters.
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

    /// Whether the message is Electrum-NMC's, which only repeats what the servers
    /// said that it asked.
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
