//! Addresses of onion services, version 3 (`rend-spec-v3`, section 6).
//!
//! An address is the base32 form of `key || checksum || version`, where the
//! key is the service's ed25519 identity, the version is the byte 3 and the
//! checksum is the first two bytes of
//! `SHA3-256(".onion checksum" || key || version)`.
//!
//! The key itself is checked too, as Tor does: it must encode a point of the
//! curve in the subgroup of prime order. A naming client may not survive that
//! Tor refuses an answer, so nothing that Tor would refuse may get through.

use std::fmt;

use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::traits::IsIdentity;
use data_encoding::BASE32_NOPAD;
use sha3::{Digest, Sha3_256};
use thiserror::Error;

/// The longest accepted name in bytes, subdomain labels included and a
/// trailing dot not counted: the limit of a DNS name in text form.
pub const MAX_LENGTH: usize = 253;

/// Base32 digits of an address.
const ADDRESS_LENGTH: usize = 56;

/// Bytes of the decoded address: key, checksum, version.
const DECODED_LENGTH: usize = 35;

const VERSION: u8 = 3;

/// A valid version 3 onion name, `[labels.]<56 base32 digits>.onion`, in
/// lower case and without a trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OnionAddress(String);

/// Why a text is no onion address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidOnion {
    /// The last label is not `onion`.
    #[error("the name does not end in .onion")]
    NotOnion,
    /// The name is longer than [`MAX_LENGTH`].
    #[error("the onion name is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// The address does not have 56 digits. Version 2 addresses, which Tor no
    /// longer supports, end here.
    #[error("the onion address is not {ADDRESS_LENGTH} digits long")]
    Length,
    /// The address holds something other than base32 digits.
    #[error("the onion address is not base32")]
    NotBase32,
    /// The version byte is not 3.
    #[error("the onion address is not of version 3")]
    Version,
    /// The checksum does not belong to the key.
    #[error("the onion address has a wrong checksum")]
    Checksum,
    /// The key is no canonical encoding of a point of the curve.
    #[error("the key of the onion address is no point of the curve")]
    NotAPoint,
    /// The key is the identity or has a torsion component.
    #[error("the key of the onion address is not in the prime-order subgroup")]
    WeakKey,
    /// A label before the address is not made of letters, digits and inner
    /// hyphens or underscores, 1 to 63 of them.
    #[error("a label before the onion address is not a host label")]
    Subdomain,
}

impl InvalidOnion {
    /// Whether this is found out before the key is looked at, which takes a
    /// hundred times as long as all the rest.
    pub fn is_cheap(self) -> bool {
        !matches!(self, Self::NotAPoint | Self::WeakKey | Self::Subdomain)
    }
}

impl OnionAddress {
    /// Takes an onion name in any case, with or without a trailing dot and
    /// subdomain labels.
    ///
    /// # Errors
    /// Tor would refuse the name; the error says why.
    pub fn parse(text: &str) -> Result<Self, InvalidOnion> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let (rest, suffix) = text.rsplit_once('.').ok_or(InvalidOnion::NotOnion)?;
        if !suffix.eq_ignore_ascii_case("onion") {
            return Err(InvalidOnion::NotOnion);
        }
        if text.len() > MAX_LENGTH {
            return Err(InvalidOnion::TooLong);
        }
        let (labels, address) = match rest.rsplit_once('.') {
            Some((labels, address)) => (Some(labels), address),
            None => (None, rest),
        };
        check_address(address)?;
        if let Some(labels) = labels
            && !labels.split('.').all(is_host_label)
        {
            return Err(InvalidOnion::Subdomain);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The name in lower case, without a trailing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as an owned text.
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
fn check_address(digits: &str) -> Result<(), InvalidOnion> {
    if digits.len() != ADDRESS_LENGTH {
        return Err(InvalidOnion::Length);
    }
    let decoded: [u8; DECODED_LENGTH] = BASE32_NOPAD
        .decode(digits.to_ascii_uppercase().as_bytes())
        .ok()
        .and_then(|octets| octets.try_into().ok())
        .ok_or(InvalidOnion::NotBase32)?;
    let [key @ .., checksum_0, checksum_1, version] = decoded;
    if version != VERSION {
        return Err(InvalidOnion::Version);
    }
    if [checksum_0, checksum_1] != checksum(&key) {
        return Err(InvalidOnion::Checksum);
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

fn check_key(key: [u8; 32]) -> Result<(), InvalidOnion> {
    let encoded = CompressedEdwardsY(key);
    let point = encoded.decompress().ok_or(InvalidOnion::NotAPoint)?;
    // Decompression reduces the coordinate modulo p and so accepts a second
    // encoding of some points; encoding again tells them apart.
    if point.compress() != encoded {
        return Err(InvalidOnion::NotAPoint);
    }
    if point.is_identity() || !point.is_torsion_free() {
        return Err(InvalidOnion::WeakKey);
    }
    Ok(())
}

/// Whether a label is 1 to 63 letters, digits, hyphens and underscores, with
/// a letter or digit at either end.
fn is_host_label(label: &str) -> bool {
    let octets = label.as_bytes();
    let is_edge = |octet: Option<&u8>| octet.is_some_and(u8::is_ascii_alphanumeric);
    octets.len() <= 63
        && is_edge(octets.first())
        && is_edge(octets.last())
        && octets
            .iter()
            .all(|&octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};

    const GOOD: [&str; 2] = [
        "7fa6xlti5joarlmkuhjaifa47ukgcwz6tfndgax45ocyn4rixm632jid.onion",
        "dhflg7a7etr77hwt4eerwoovhg7b5bivt2jem4366dt4psgnl5diyiyd.onion",
    ];

    /// An address with a right checksum for any key.
    fn address(key: [u8; 32]) -> String {
        let mut octets = key.to_vec();
        octets.extend(checksum(&key));
        octets.push(VERSION);
        BASE32_NOPAD.encode(&octets).to_ascii_lowercase() + ".onion"
    }

    fn error(text: &str) -> InvalidOnion {
        OnionAddress::parse(text).unwrap_err()
    }

    #[test]
    fn accepts_good_addresses_and_folds_them() {
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
        use InvalidOnion::*;
        // Right checksum, but no point; and a point of low order.
        assert_eq!(
            error("aiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab3did.onion"),
            NotAPoint
        );
        assert_eq!(
            error("aeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaahmjqd.onion"),
            WeakKey
        );
        // The sum of a good point and one of order 8; and a second encoding of
        // the identity, which Tor 0.4.9 accepts but nobody can have as a key.
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
        use InvalidOnion::*;
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
        assert_eq!(error(&full(63)), InvalidOnion::TooLong);
    }

    #[test]
    fn refuses_a_wrong_checksum() {
        // A wrong checksum alone is told apart from a wrong key.
        let mut octets = BASE32_NOPAD
            .decode(GOOD[0][..56].to_ascii_uppercase().as_bytes())
            .unwrap();
        octets[32] ^= 1;
        let text = BASE32_NOPAD.encode(&octets) + ".onion";
        assert_eq!(error(&text), InvalidOnion::Checksum);
    }
}
