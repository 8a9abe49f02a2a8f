//! Which IP addresses and host names may be answered.
//!
//! Tor refuses internal addresses from a naming client
//! (`ClientRejectInternalAddresses`), and the client may not survive the refusal.
//! A host name is resolved by an exit relay, so it must be a name in the public
//! DNS, and nothing that Tor or the exit would take for something else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// The longest host name as text in bytes, without its final dot (RFC 1035
/// section 2.3.4).
pub const MAX_HOST_LENGTH: usize = 253;

/// Suffixes that are never sent to an exit relay: `bit` names would leak, Tor
/// handles `onion` and `exit` itself, and the others are internal (RFC 6761, RFC
/// 6762, RFC 7686).
const RESERVED_SUFFIXES: [&str; 5] = ["bit", "onion", "exit", "local", "localhost"];

/// Whether Tor accepts the address as an answer. It refuses
///
/// - IPv4 0/8, 10/8, 100.64/10, 127/8, 169.254/16, 172.16/12, 192.168/16,
///   224/4 and 240/4;
/// - IPv6 `::`, `::1`, fc00::/7, fe80::/10, fec0::/10, ff00::/8;
/// - the IPv4-mapped form (`::ffff:0:0/96`) of these IPv4 addresses.
///
/// It accepts ranges for documentation (192.0.2.0/24, 2001:db8::/32 and the
/// like), which are internal to nobody.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_public_v4(mapped),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0 | 10 | 127 | 224..=255, ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // fe80::/10 and fec0::/10 are adjacent: fe80 to feff.
    !(address.is_unspecified()
        || address.is_loopback()
        || matches!(
            address.segments(),
            [0xfc00..=0xfdff | 0xfe80..=0xfeff | 0xff00..=0xffff, ..]
        ))
}

/// Why a text may not be answered as a host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HostError {
    /// The name is empty or the root.
    #[error("the host name is empty")]
    Empty,
    /// The name is longer than [`MAX_HOST_LENGTH`].
    #[error("the host name is longer than {MAX_HOST_LENGTH} bytes")]
    TooLong,
    /// A label is empty, is too long, or contains an invalid character.
    #[error(
        "a label of the host name is not made of 1 to 63 letters, digits, hyphens, underscores"
    )]
    Label,
    /// The last label is a number, so the name could be read as an IP address.
    #[error("the last label of the host name is a number")]
    Numeric,
    /// The name is in `bit`, `onion`, `exit`, `local` or `localhost`.
    #[error("the host name is in a zone that is not part of the public DNS")]
    Reserved,
}

/// Checks a host name of the public DNS, and returns it in lower case without a
/// final dot.
///
/// Labels are 1 to 63 ASCII letters, digits, hyphens and underscores. They
/// neither begin with a hyphen or underscore nor end with a hyphen (RFC 1123
/// section 2.1; underscores are in use nevertheless). The last label is neither
/// decimal nor `0x` and hexadecimal, because such a name could be an IP address
/// in disguise.
///
/// # Errors
/// The name must not be answered; the error says why.
pub fn host_name(text: &str) -> Result<String, HostError> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() {
        return Err(HostError::Empty);
    }
    if text.len() > MAX_HOST_LENGTH {
        return Err(HostError::TooLong);
    }
    let name = text.to_ascii_lowercase();
    if !name.split('.').all(is_label) {
        return Err(HostError::Label);
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if is_number(last) {
        return Err(HostError::Numeric);
    }
    if RESERVED_SUFFIXES.contains(&last) {
        return Err(HostError::Reserved);
    }
    Ok(name)
}

/// Whether a label in lower case may be part of a host name.
fn is_label(label: &str) -> bool {
    label.len() <= 63
        && !label.is_empty()
        && !label.starts_with(['-', '_'])
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

/// Whether `inet_aton` and similar functions might read a label in lower case as
/// a number. Some take `0x` without digits for zero.
fn is_number(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_digit())
        || label
            .strip_prefix("0x")
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First and last address of every refused IPv4 range.
    const REFUSED_V4: [(&str, &str); 8] = [
        ("0.0.0.0", "0.255.255.255"),
        ("10.0.0.0", "10.255.255.255"),
        ("100.64.0.0", "100.127.255.255"),
        ("127.0.0.0", "127.255.255.255"),
        ("169.254.0.0", "169.254.255.255"),
        ("172.16.0.0", "172.31.255.255"),
        ("192.168.0.0", "192.168.255.255"),
        ("224.0.0.0", "255.255.255.255"),
    ];

    /// First and last address of every refused IPv6 range. `::` and `::1` form one
    /// range, as do link-local and site-local addresses.
    const REFUSED_V6: [(&str, &str); 4] = [
        ("::", "::1"),
        ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("fe80::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ];

    #[test]
    fn refuses_exactly_the_internal_ipv4_ranges_and_their_mapped_forms() {
        let check = |bits: u32, expected: bool| {
            let address = Ipv4Addr::from_bits(bits);
            assert_eq!(is_public(address.into()), expected, "{address}");
            let mapped = address.to_ipv6_mapped();
            assert_eq!(is_public(mapped.into()), expected, "{mapped}");
        };
        for (first, last) in REFUSED_V4 {
            let first = first.parse::<Ipv4Addr>().unwrap().to_bits();
            let last = last.parse::<Ipv4Addr>().unwrap().to_bits();
            for bits in [first, first + 1, first.midpoint(last), last - 1, last] {
                check(bits, false);
            }
            if let Some(before) = first.checked_sub(1) {
                check(before, true);
            }
            if let Some(after) = last.checked_add(1) {
                check(after, true);
            }
        }
    }

    #[test]
    fn refuses_exactly_the_internal_ipv6_ranges() {
        let check = |bits: u128, expected: bool| {
            let address = Ipv6Addr::from_bits(bits);
            assert_eq!(is_public(address.into()), expected, "{address}");
        };
        for (position, (first, last)) in REFUSED_V6.into_iter().enumerate() {
            let first = first.parse::<Ipv6Addr>().unwrap().to_bits();
            let last = last.parse::<Ipv6Addr>().unwrap().to_bits();
            for bits in [first, first.midpoint(last), last] {
                check(bits, false);
            }
            // The last two ranges are adjacent.
            if let Some(before) = first.checked_sub(1)
                && position != 3
            {
                check(before, true);
            }
            if let Some(after) = last.checked_add(1)
                && position != 2
            {
                check(after, true);
            }
        }
        check("febf::".parse::<Ipv6Addr>().unwrap().to_bits(), false);
        check("fec0::".parse::<Ipv6Addr>().unwrap().to_bits(), false);
    }

    #[test]
    fn accepts_public_and_documentation_addresses() {
        for text in [
            "1.1.1.1",
            "192.0.2.1",
            "198.51.100.7",
            "203.0.113.9",
            "198.18.0.1",
            "2001:db8::1",
            "2606:4700::1111",
            "64:ff9b::a00:1",
            "::ffff:8.8.8.8",
            "::2",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn accepts_host_names_and_lowers_them() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), MAX_HOST_LENGTH);
        for (text, expected) in [
            ("example.com", "example.com"),
            ("WWW.Example.COM.", "www.example.com"),
            ("a", "a"),
            ("a_b.c-d.e", "a_b.c-d.e"),
            ("a_.com", "a_.com"),
            ("1.2.3.4.com", "1.2.3.4.com"),
            ("xn--nxasmq6b.xn--p1ai", "xn--nxasmq6b.xn--p1ai"),
            ("4chan", "4chan"),
            ("a.0xg", "a.0xg"),
            ("0x7f.com", "0x7f.com"),
            ("bit.com", "bit.com"),
            ("orbit", "orbit"),
            ("localhost.com", "localhost.com"),
            (&longest, &longest),
            (&format!("{longest}."), &longest),
        ] {
            assert_eq!(host_name(text).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn refuses_other_texts() {
        use HostError::*;
        let label = "a".repeat(63);
        let too_long = format!("{label}.{label}.{label}.{}", "a".repeat(62));
        let long_label = format!("{label}a.com");
        for (text, reason) in [
            ("", Empty),
            (".", Empty),
            ("..", Label),
            (".com", Label),
            ("a..b", Label),
            ("a.com..", Label),
            ("-a.com", Label),
            ("a-.com", Label),
            ("_a.com", Label),
            ("a.com:80", Label),
            ("a b.com", Label),
            ("a.com\n", Label),
            ("a.com\0", Label),
            ("http://a.com", Label),
            ("a%b.com", Label),
            ("a@b.com", Label),
            ("é.com", Label),
            ("[::1]", Label),
            ("::1", Label),
            (&long_label, Label),
            (&too_long, TooLong),
            ("127.0.0.1", Numeric),
            ("2130706433", Numeric),
            ("0177.0.0.1", Numeric),
            ("a.1", Numeric),
            ("0x7f000001", Numeric),
            ("127.0.0.0X1", Numeric),
            ("127.0.0.0x", Numeric),
            ("bit", Reserved),
            ("a.BIT.", Reserved),
            ("a.onion", Reserved),
            ("a.com.exit", Reserved),
            ("local", Reserved),
            ("foo.local", Reserved),
            ("LocalHost", Reserved),
            ("a.localhost.", Reserved),
        ] {
            assert_eq!(host_name(text), Err(reason), "{text:?}");
        }
    }
}
