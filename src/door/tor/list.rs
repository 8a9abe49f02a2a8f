//! The form of Tor's lists. A line before or behind a list was forged, and makes
//! the whole reply worthless.

/// The question for all streams.
pub const STREAMS: &str = "GETINFO stream-status";

/// Its key.
pub const STREAMS_KEY: &str = "stream-status";

/// The question for the names of virtual addresses.
pub const MAPPINGS: &str = "GETINFO address-mappings/control";

/// Its key.
pub const MAPPINGS_KEY: &str = "address-mappings/control";

/// The items in the reply to a question for `key`; `None` if the reply has
/// another form. Items may be forged if something in them is not Tor's.
pub fn items<'a>(lines: &'a [Vec<u8>], key: &str) -> Option<impl Iterator<Item = &'a [u8]>> {
    let (last, lines) = lines.split_last()?;
    let (first, lines) = lines.split_first()?;
    if last != b"250 OK" {
        return None;
    }
    let value = first.strip_prefix(b"250")?;
    let (form, value) = value.split_first()?;
    let only = value
        .strip_prefix(key.as_bytes())?
        .strip_prefix(b"=".as_slice())?;
    let (only, items) = match (form, lines) {
        (b'-', []) => ((!only.is_empty()).then_some(only), lines),
        (b'+', [items @ .., end]) if only.is_empty() && end == b"." => (None, items),
        _ => return None,
    };
    // A dot in front of an item is doubled.
    let undoubled = |item: &'a Vec<u8>| match item.as_slice() {
        [b'.', item @ ..] => item,
        item => item,
    };
    Some(only.into_iter().chain(items.iter().map(undoubled)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Option<Vec<String>> {
        let lines: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
        let items = items(&lines, "k")?;
        let text = |item: &[u8]| String::from_utf8_lossy(item).into_owned();
        Some(items.map(text).collect())
    }

    #[test]
    fn lists_have_two_forms_and_no_other() {
        assert_eq!(read(&["250-k=", "250 OK"]), Some(vec![]));
        assert_eq!(read(&["250-k=a b", "250 OK"]), Some(vec!["a b".to_owned()]));
        let several = ["250+k=", "a", "..b", ".", "250 OK"];
        assert_eq!(read(&several), Some(vec!["a".to_owned(), ".b".to_owned()]));
        for forged in [
            &["250 OK", "250-k=", "250 OK"][..],
            &["250-k=", "250 OK", "250 OK"],
            &["250-k=", "x", "250 OK"],
            &["250+k=", "a", "250 OK"],
            &["250+k=x", "a", ".", "250 OK"],
            &["250-j=", "250 OK"],
            &["250 k=", "250 OK"],
            &["250-k=a"],
            &["250 OK"],
            &["551 no"],
            &[],
        ] {
            assert_eq!(read(forged), None, "{forged:?}");
        }
    }
}
