//! What servers say of themselves.

use bitcoin::BlockHash;
use serde::Deserialize;

use super::shape::Object;
use super::{ReplyError, parse};
use crate::source::electrum::protocol::Protocol;

/// The newest protocol that a server speaks, from a reply to
/// `server.features`.
///
/// # Errors
/// The reply is none.
pub fn newest_protocol(result: &str) -> Result<Protocol, ReplyError> {
    #[derive(Deserialize)]
    struct Features {
        protocol_max: String,
    }
    let Object(features) = parse::<Object<Features>>(result)?;
    Protocol::parse(&features.protocol_max).ok_or(ReplyError::Protocol)
}

/// The hash of the first block of the chain that a server serves, from a reply
/// to `server.features`.
///
/// # Errors
/// The reply is none, or does not say.
pub fn genesis(result: &str) -> Result<BlockHash, ReplyError> {
    #[derive(Deserialize)]
    struct Features {
        genesis_hash: String,
    }
    let Object(features) = parse::<Object<Features>>(result)?;
    features.genesis_hash.parse().map_err(|_| ReplyError::Hex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::electrum::recorded::replies;

    #[test]
    fn recorded_versions_are_read() {
        for exchange in replies("server.features") {
            let newest = match exchange.server.as_str() {
                "ElectrumX 1.15.0" => "1.4.2",
                _ => "1.6",
            };
            let read = newest_protocol(exchange.result.get()).unwrap();
            assert_eq!(read.to_string(), newest);
            let first = genesis(exchange.result.get()).unwrap();
            assert_eq!(first, crate::chain::network::Network::Regtest.genesis());
        }
        assert_eq!(genesis("{}"), Err(ReplyError::Form));
        assert_eq!(genesis(r#"{"genesis_hash":"0"}"#), Err(ReplyError::Hex));
        let bad = newest_protocol(r#"{"protocol_max":"one"}"#);
        assert_eq!(bad, Err(ReplyError::Protocol));
    }
}
