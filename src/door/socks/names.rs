//! Which names are ours to resolve.

/// Whether a host must not reach Tor: its last label is `bit`, or its last two
/// are `bit.onion`, in any case, with or without final dots.
///
/// Whoever reads a host may stop at a byte that cannot be part of a name, or
/// skip what comes before it. So every part of the host between such bytes
/// counts: `a.bit:80`, `http://a.bit/` and `a.bit` followed by NUL are ours too,
/// and are refused.
pub fn is_ours(host: &[u8]) -> bool {
    let belongs = |&byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    host.split(|byte| !belongs(byte)).any(|part| {
        let mut labels = part
            .rsplit(|&byte| byte == b'.')
            .skip_while(|label| label.is_empty());
        let last = labels.next().unwrap_or_default();
        let before = labels.next().unwrap_or_default();
        last.eq_ignore_ascii_case(b"bit")
            || (last.eq_ignore_ascii_case(b"onion") && before.eq_ignore_ascii_case(b"bit"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_bit_name_is_ours() {
        for name in [
            "a.bit",
            "A.BIT",
            "a.b.Bit.",
            "a.bit..",
            "bit",
            ".bit",
            "bit.",
            "a.bit.onion",
            "A.Bit.Onion.",
            "bit.onion",
            "a.bit:80",
            "http://a.bit/",
            "user@a.bit",
            "a.bit\0.example.com",
            "a.bit\r\nb",
            "a.bit ",
            "\u{fc}.bit",
            "a.bit\u{3002}",
        ] {
            assert!(is_ours(name.as_bytes()), "{name:?}");
        }
    }

    #[test]
    fn other_names_are_not() {
        for name in [
            "",
            ".",
            "bit.example",
            "a.bit.example",
            "rabbit",
            "a.rabbit",
            "onion",
            "a.onion",
            "bit.a.onion",
            "a.bit.exit",
            "127.0.0.1",
            "a_bit",
            "a-bit.com",
        ] {
            assert!(!is_ours(name.as_bytes()), "{name:?}");
        }
    }
}
