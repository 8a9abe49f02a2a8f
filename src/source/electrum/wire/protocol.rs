//! Versions of the Electrum protocol.

use std::fmt;

/// A version of the protocol. Later versions are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Protocol([u8; 3]);

impl Protocol {
    /// The first version that is spoken.
    pub const V1_4: Self = Self([1, 4, 0]);
    /// The first whose `block.headers` leaves AuxPoW out if a checkpoint is
    /// given.
    pub const V1_4_1: Self = Self([1, 4, 1]);
    /// The last version that is spoken, and the first with
    /// `blockchain.name.get_value_proof`.
    pub const V1_4_3: Self = Self([1, 4, 3]);

    /// Reads `1.4` or `1.4.3`; `None` for versions that are not spoken.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut version = [0; 3];
        let mut places = version.iter_mut();
        for part in text.split('.') {
            let is_number = part.bytes().all(|octet| octet.is_ascii_digit());
            *places.next()? = part.parse().ok().filter(|_| is_number)?;
        }
        let version = Self(version);
        (Self::V1_4..=Self::V1_4_3)
            .contains(&version)
            .then_some(version)
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
        for text in ["1.4", "1.4.1", "1.4.2", "1.4.3"] {
            assert_eq!(Protocol::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Protocol::parse("1.4.0"), Some(Protocol::V1_4));
        assert!(Protocol::parse("1.4.2").unwrap() < Protocol::V1_4_3);
        for text in [
            "",
            "1",
            "1.2",
            "1.3.9",
            "1.4.4",
            "1.5",
            "1.6",
            "2.4",
            "1.4.",
            ".1.4",
            "1.4.3.0",
            "1.+4",
            "1.4.256",
            "1.4 ",
            "ElectrumX",
        ] {
            assert_eq!(Protocol::parse(text), None, "{text}");
        }
    }
}
