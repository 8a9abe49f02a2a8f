//! Versions of the Electrum protocol.

use std::fmt;

/// A version of the protocol. Later versions are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Protocol([u16; 3]);

impl Protocol {
    /// The first version that is spoken.
    pub const V1_4: Self = Self([1, 4, 0]);
    /// The first whose `block.headers` leaves AuxPoW out if a checkpoint is
    /// given.
    pub const V1_4_1: Self = Self([1, 4, 1]);
    /// The last version that is spoken, and the first with
    /// `blockchain.name.get_value_proof`.
    pub const V1_4_3: Self = Self([1, 4, 3]);

    /// The first whose servers leave AuxPoW out in the wrong places.
    pub const V1_6: Self = Self([1, 6, 0]);

    /// Reads two or three decimal numbers with dots between them; `None` for
    /// everything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut version = [0; 3];
        let mut places = version.iter_mut();
        for part in text.split('.') {
            // The standard library would take a sign as well.
            let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
            *places.next()? = part.parse().ok().filter(|_| is_number)?;
        }
        text.contains('.').then_some(Self(version))
    }

    /// Whether this client speaks it.
    pub fn is_spoken(self) -> bool {
        (Self::V1_4..=Self::V1_4_3).contains(&self)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([major, minor, patch]) = self;
        write!(f, "{major}.{minor}")?;
        if *patch > 0 {
            write!(f, ".{patch}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_from_1_4_to_1_4_3_are_spoken() {
        for (text, is_spoken) in [
            ("1.4", true),
            ("1.4.1", true),
            ("1.4.2", true),
            ("1.4.3", true),
            ("1.3.9", false),
            ("1.4.4", false),
            ("1.5", false),
            ("1.6", false),
            ("2.4", false),
        ] {
            let version = Protocol::parse(text).unwrap();
            assert_eq!(version.to_string(), text);
            assert_eq!(version.is_spoken(), is_spoken, "{text}");
        }
        assert_eq!(Protocol::parse("1.4.0"), Some(Protocol::V1_4));
        assert_eq!(Protocol::parse("1.6"), Some(Protocol::V1_6));
        assert!(Protocol::V1_4_1 < Protocol::parse("1.4.2").unwrap());
        assert!(Protocol::V1_4_3 < Protocol::parse("1.10.65535").unwrap());
    }

    #[test]
    fn versions_are_plain_numbers() {
        for text in [
            "",
            "1",
            "1.",
            "1.4.",
            ".1.4",
            "1.4.3.0",
            "1.+4",
            "1.-4",
            "1.65536",
            "1. 4",
            "1.4 ",
            "1.4\u{663}",
            "ElectrumX",
        ] {
            assert_eq!(Protocol::parse(text), None, "{text}");
        }
    }
}
