//! What servers say of themselves.

use serde::Deserialize;

use super::shape::Object;
use super::{ReplyError, parse};

/// A version of the Electrum protocol, such as 1.4.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Protocol {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
    /// The third number; 0 if it is not written.
    pub patch: u16,
}

impl Protocol {
    /// The version with these numbers.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// Reads two or three decimal numbers with dots between them.
    fn parse(text: &str) -> Option<Self> {
        fn number(digits: &str) -> Option<u16> {
            // The standard library would take a sign as well.
            let is_plain = digits.bytes().all(|b| b.is_ascii_digit());
            is_plain.then(|| digits.parse().ok()).flatten()
        }
        let mut numbers = text.split('.').map(number);
        let major = numbers.next()??;
        let minor = numbers.next()??;
        let patch = numbers.next().unwrap_or(Some(0))?;
        numbers
            .next()
            .is_none()
            .then_some(Self::new(major, minor, patch))
    }
}

/// The newest protocol that a server speaks, from a reply to
/// `server.features`.
///
/// # Errors
/// The reply is none.
pub(in super::super) fn newest_protocol(result: &str) -> Result<Protocol, ReplyError> {
    #[derive(Deserialize)]
    struct Features {
        protocol_max: String,
    }
    let Object(features) = parse::<Object<Features>>(result)?;
    Protocol::parse(&features.protocol_max).ok_or(ReplyError::Protocol)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::electrum::recorded::replies;

    #[test]
    fn recorded_versions_are_read() {
        for exchange in replies("server.features") {
            let newest = match exchange.server.as_str() {
                "ElectrumX 1.15.0" => Protocol::new(1, 4, 2),
                _ => Protocol::new(1, 6, 0),
            };
            assert_eq!(newest_protocol(exchange.result.get()), Ok(newest));
        }
        assert!(Protocol::new(1, 4, 3) < Protocol::new(1, 6, 0));
        assert!(Protocol::new(1, 4, 0) < Protocol::new(1, 4, 1));
    }

    #[test]
    fn versions_are_plain_numbers() {
        for (text, protocol) in [
            ("1.4", Some(Protocol::new(1, 4, 0))),
            ("1.10.65535", Some(Protocol::new(1, 10, 65_535))),
            ("1", None),
            ("", None),
            ("1.", None),
            ("1.4.", None),
            ("1.4.3.0", None),
            ("1.+4", None),
            ("1.-4", None),
            ("1.65536", None),
            ("1. 4", None),
            ("1.4\u{663}", None),
        ] {
            let features = format!(r#"{{"protocol_max":"{text}"}}"#);
            assert_eq!(
                newest_protocol(&features),
                protocol.ok_or(ReplyError::Protocol)
            );
        }
    }
}
