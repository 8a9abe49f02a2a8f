//! Addresses of onion services, version 3 (`rend-spec-v3`, section 6).
//!
//! An address is `key || checksum || version` in base32: the service's ed25519
//! identity key, the first two bytes of
//! `SHA3-256(".onion checksum" || key || version)`, and the byte 3.
//!
//! As in Tor, the key must encode a point of the curve in the subgroup of prime
//! order. A naming client may not survive Tor's refusal of an answer, so nothing
//! that Tor refuses may be answered.

use std::fmt;

use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::traits::IsIdentity;
use data_encoding::BASE32_NOPAD;
use sha3::{Digest, Sha3_256};
use thiserror::Error;

/// The longest onion name in bytes, including subdomain labels but not the final
/// dot: the limit of any DNS name as text.
pub const MAX_LENGTH: usize = 253;

/// Length of an address in base32 digits.
const ADDRESS_LENGTH: usize = 56;

/// Length of a decoded address in bytes: key, checksum, version.
const DECODED_LENGTH: usize = 35;

const VERSION: u8 = 3;

/// A valid onion name of version 3, `[labels.]<56 base32 digits>.onion`, in lower
/// case without a final dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OnionAddress(String);

/// Why a text is no onion address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OnionError {
    /// The last label is not `onion`.
    #[error("the name does not end in .onion")]
    NotOnion,
    /// The name is longer than [`MAX_LENGTH`].
    #[error("the onion name is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// The address does not have 56 digits. This includes addresses of version 2,
    /// which Tor no longer supports.
    #[error("the onion address is not {ADDRESS_LENGTH} digits long")]
    Length,
    /// The address contains something other than base32 digits.
    #[error("the onion address is not base32")]
    NotBase32,
    /// The version byte is not 3.
    #[error("the onion address is not of version 3")]
    Version,
    /// The checksum does not match the key.
    #[error("the onion address has a wrong checksum")]
    Checksum,
    /// The key is not the canonical encoding of a point of the curve.
    #[error("the key of the onion address is no point of the curve")]
    NotAPoint,
    /// The key is the identity or has a torsion component.
    #[error("the key of the onion address is not in the prime-order subgroup")]
    WeakKey,
    /// A label before the address is not made of 1 to 63 letters, digits, and
    /// inner hyphens and underscores.
    #[error("a label before the onion address is not a host label")]
    Subdomain,
}

impl OnionError {
    /// Whether this was found before checking the key, which takes a hundred times
    /// as long as all other checks.
    pub fn is_cheap(self) -> bool {
        !matches!(self, Self::NotAPoint | Self::WeakKey | Self::Subdomain)
    }
}

impl OnionAddress {
    /// Parses an onion name in any case, with or without a final dot and
    /// subdomain labels.
    ///
    /// # Errors
    /// Tor would refuse the name; the error says why.
    pub fn parse(text: &str) -> Result<Self, OnionError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let (rest, suffix) = text.rsplit_once('.').ok_or(OnionError::NotOnion)?;
        if !suffix.eq_ignore_ascii_case("onion") {
            return Err(OnionError::NotOnion);
        }
        if text.len() > MAX_LENGTH {
            return Err(OnionError::TooLong);
        }
        let (labels, address) = match rest.rsplit_once('.') {
            Some((labels, address)) => (Some(labels), address),
            None => (None, rest),
        };
        check_address(address)?;
        if let Some(labels) = labels
            && !labels.split('.').all(is_host_label)
        {
            return Err(OnionError::Subdomain);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The name in lower case, without a final dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as an owned string.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for OnionAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks the 56 digits before `.onion`.
fn check_address(digits: &str) -> Result<(), OnionError> {
    if digits.len() != ADDRESS_LENGTH {
        return Err(OnionError::Length);
    }
    let decoded: [u8; DECODED_LENGTH] = BASE32_NOPAD
        .decode(digits.to_ascii_uppercase().as_bytes())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(OnionError::NotBase32)?;
    let [key @ .., checksum_0, checksum_1, version] = decoded;
    if version != VERSION {
        return Err(OnionError::Version);
    }
    if [checksum_0, checksum_1] != checksum(&key) {
        return Err(OnionError::Checksum);
    }
    check_key(key)
}

fn checksum(key: &[u8; 32]) -> [u8; 2] {
    let digest = Sha3_256::new()
        .chain_update(b".onion checksum")
        .chain_update(key)
        .chain_update([VERSION])
        .finalize();
    let [first, second, ..] = <[u8; 32]>::from(digest);
    [first, second]
}

fn check_key(key: [u8; 32]) -> Result<(), OnionError> {
    let encoded = CompressedEdwardsY(key);
    let point = encoded.decompress().ok_or(OnionError::NotAPoint)?;
    // Decompression reduces the coordinate modulo p, and so accepts a second
    // encoding of some points. Only the canonical one compresses to itself.
    if point.compress() != encoded {
        return Err(OnionError::NotAPoint);
    }
    if point.is_identity() || !point.is_torsion_free() {
        return Err(OnionError::WeakKey);
    }
    Ok(())
}

/// Whether a label is made of 1 to 63 letters, digits, hyphens and underscores,
/// with a letter or digit at both ends.
fn is_host_label(label: &str) -> bool {
    let bytes = label.as_bytes();
    let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= 63
        && is_edge(bytes.first())
        && is_edge(bytes.last())
        && bytes
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};

    const GOOD: [&str; 2] = [
        "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion",
        "dhflg7a7etr77hwt4eerwoovhg7b5bivt2jem4366dt4psgnl5diyiyd.onion",
    ];

    /// An address with the correct checksum for any key.
    fn address(key: [u8; 32]) -> String {
        let mut bytes = key.to_vec();
        bytes.extend(checksum(&key));
        bytes.push(VERSION);
        BASE32_NOPAD.encode(&bytes).to_ascii_lowercase() + ".onion"
    }

    fn error(text: &str) -> OnionError {
        OnionAddress::parse(text).unwrap_err()
    }

    #[test]
    fn accepts_good_addresses_and_lowers_them() {
        for good in GOOD {
            assert_eq!(OnionAddress::parse(good).unwrap().as_str(), good);
            let upper = format!("{}.", good.to_ascii_uppercase());
            assert_eq!(OnionAddress::parse(&upper).unwrap().to_string(), good);
            let sub = format!("WWW.a-b.x_y.3.{good}");
            assert_eq!(
                OnionAddress::parse(&sub).unwrap().into_string(),
                sub.to_ascii_lowercase()
            );
        }
        assert!(OnionAddress::parse(&address(ED25519_BASEPOINT_POINT.compress().0)).is_ok());
    }

    #[test]
    fn refuses_a_changed_digit_anywhere() {
        for good in GOOD {
            for position in 0..ADDRESS_LENGTH {
                let mut bytes = good.as_bytes().to_vec();
                bytes[position] = if bytes[position] == b'a' { b'b' } else { b'a' };
                let changed = String::from_utf8(bytes).unwrap();
                assert!(OnionAddress::parse(&changed).is_err(), "{changed}");
            }
        }
    }

    #[test]
    fn refuses_keys_that_no_service_can_have() {
        use OnionError::*;
        // A correct checksum, but no point; and a point of low order.
        assert_eq!(
            error("aiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab3did.onion"),
            NotAPoint
        );
        assert_eq!(
            error("aeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaahmjqd.onion"),
            WeakKey
        );
        // The sum of a good point and one of order 8; and a second encoding of
        // the identity, which Tor 0.4.9 accepts but no service can have as its key.
        assert_eq!(
            error("2y6acirri5kb35hbob3d5hrhrcul6wlr6uvjhrmctw7g6x7wxou6uwqd.onion"),
            WeakKey
        );
        assert_eq!(
            error("537777777777777777777777777777777777777777777777757vndid.onion"),
            NotAPoint
        );
        for torsion in EIGHT_TORSION {
            assert_eq!(error(&address(torsion.compress().0)), WeakKey);
            let mixed = ED25519_BASEPOINT_POINT + torsion;
            let result = OnionAddress::parse(&address(mixed.compress().0));
            assert_eq!(result.is_ok(), torsion.is_identity());
        }
        // Encodings that are not canonical: y = p + 1 (the identity), p (a
        // point of order 4), and the identity with its sign bit set.
        let mut key = [0xff; 32];
        key[31] = 0x7f;
        for low in [0xee, 0xed] {
            key[0] = low;
            assert_eq!(error(&address(key)), NotAPoint);
        }
        let mut key = [0; 32];
        key[0] = 1;
        key[31] = 0x80;
        assert_eq!(error(&address(key)), NotAPoint);
    }

    #[test]
    fn refuses_malformed_names() {
        use OnionError::*;
        let good = GOOD[0];
        let (digits, _) = good.split_once('.').unwrap();
        let label = |n: usize| "a".repeat(n);
        let cases = [
            (String::new(), NotOnion),
            (".".into(), NotOnion),
            ("onion".into(), NotOnion),
            (digits.into(), NotOnion),
            (format!("{digits}.bit"), NotOnion),
            (format!("{good}.."), NotOnion),
            (format!("{good}:80"), NotOnion),
            (format!("http://{good}/"), NotOnion),
            (format!("{good}\n"), NotOnion),
            (".onion".into(), Length),
            ("x.onion".into(), Length),
            ("expyuzz4wqqyqhjn.onion".into(), Length),
            (format!("a{good}"), Length),
            (good[1..].into(), Length),
            (format!("{digits}..onion"), Length),
            (format!("1{}", &good[1..]), NotBase32),
            (format!("={}", &good[1..]), NotBase32),
            (format!("é{}", &good[2..]), NotBase32),
            (format!("{}e.onion", &digits[..55]), Version),
            (format!(".{good}"), Subdomain),
            (format!("a..{good}"), Subdomain),
            (format!("-a.{good}"), Subdomain),
            (format!("a-.{good}"), Subdomain),
            (format!("_tor.{good}"), Subdomain),
            (format!("a_.{good}"), Subdomain),
            (format!("a b.{good}"), Subdomain),
            (format!("a\nb.{good}"), Subdomain),
            (format!("a:b@c.{good}"), Subdomain),
            (format!("é.{good}"), Subdomain),
            (format!("{}.{good}", label(64)), Subdomain),
        ];
        for (text, reason) in cases {
            assert_eq!(error(&text), reason, "{text:?}");
        }
        assert!(OnionAddress::parse(&format!("{}.{good}", label(63))).is_ok());
    }

    #[test]
    fn bounds_the_whole_name() {
        // 62 bytes of address and suffix, then labels with their dots.
        let full =
            |last: usize| format!("{0}.{0}.{1}.{2}", "a".repeat(63), "a".repeat(last), GOOD[0]);
        assert_eq!(full(62).len(), MAX_LENGTH);
        assert!(OnionAddress::parse(&full(62)).is_ok());
        assert!(OnionAddress::parse(&(full(62) + ".")).is_ok());
        assert_eq!(error(&full(63)), OnionError::TooLong);
    }

    #[test]
    fn refuses_a_wrong_checksum() {
        // It is distinguished from a wrong key.
        let mut bytes = BASE32_NOPAD
            .decode(GOOD[0][..56].to_ascii_uppercase().as_bytes())
            .unwrap();
        bytes[32] ^= 1;
        let text = BASE32_NOPAD.encode(&bytes) + ".onion";
        assert_eq!(error(&text), OnionError::Checksum);
    }
}
