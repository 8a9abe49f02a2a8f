//! Values in CBOR (RFC 8949), which ncdns reads where a value is not JSON.
//!
//! The limits are those of JSON. A claimed length is trusted only as far as
//! there is input for it, and parts that nest too deeply are skipped without
//! recursion.

use std::collections::BTreeMap;
use std::sync::Arc;

use ciborium_io::Read;
use ciborium_ll::{Decoder, Header, simple};

use super::tree::{MAX_DEPTH, Members, Tree};

/// Reads a whole value; `None` if it is malformed, is no map, or if anything
/// follows it.
pub fn read_map(value: &[u8]) -> Option<Tree> {
    let mut reader = Reader {
        decoder: Decoder::from(value),
        length: value.len(),
    };
    match reader.item(0)? {
        Some(map @ Tree::Object(_)) if reader.left() == 0 => Some(map),
        _ => None,
    }
}

struct Reader<'a> {
    decoder: Decoder<&'a [u8]>,
    length: usize,
}

impl Reader<'_> {
    /// How many bytes of the input are left.
    fn left(&mut self) -> usize {
        self.length.saturating_sub(self.decoder.offset())
    }

    fn header(&mut self) -> Option<Header> {
        // Tags add nothing that a domain object needs.
        loop {
            match self.decoder.pull().ok()? {
                Header::Tag(_) => {}
                header => return Some(header),
            }
        }
    }

    /// The next item. The inner `None` is the end of an indefinite length; the
    /// outer `None` means that the input is malformed.
    fn item(&mut self, depth: usize) -> Option<Option<Tree>> {
        let header = self.header()?;
        if header == Header::Break {
            return Some(None);
        }
        self.value(header, depth).map(Some)
    }

    fn value(&mut self, header: Header, depth: usize) -> Option<Tree> {
        Some(match header {
            Header::Positive(number) => Tree::Number(number.to_string().into()),
            // Encodes -1 - number.
            Header::Negative(number) => Tree::Number((-1 - i128::from(number)).to_string().into()),
            Header::Float(number) => float(number),
            Header::Simple(simple::FALSE) => Tree::Bool(false),
            Header::Simple(simple::TRUE) => Tree::Bool(true),
            Header::Simple(simple::NULL) => Tree::Null,
            Header::Simple(_) => Tree::Unusable("a simple value that JSON has not"),
            Header::Bytes(length) => Tree::Bytes(self.string(length, false)?.into()),
            Header::Text(length) => match String::from_utf8(self.string(length, true)?) {
                Ok(text) => Tree::Text(text.into()),
                Err(_) => Tree::Unusable("a string that is not UTF-8"),
            },
            Header::Array(length) | Header::Map(length) if depth >= MAX_DEPTH => {
                let pairs = matches!(header, Header::Map(_));
                self.skip(length, pairs)?;
                Tree::Unusable("nested too deeply")
            }
            Header::Array(length) => Tree::Array(self.array(length, depth)?),
            Header::Map(length) => Tree::Object(self.map(length, depth)?),
            Header::Tag(_) | Header::Break => return None,
        })
    }

    fn array(&mut self, length: Option<usize>, depth: usize) -> Option<Vec<Tree>> {
        // Allocates nothing for a length that is only claimed.
        let mut elements = Vec::new();
        while length.is_none_or(|length| elements.len() < length) {
            match self.item(depth + 1)? {
                Some(element) => elements.push(element),
                None if length.is_none() => break,
                None => return None,
            }
        }
        Some(elements)
    }

    fn map(&mut self, length: Option<usize>, depth: usize) -> Option<Members> {
        let mut members = BTreeMap::new();
        let mut count = 0;
        while length.is_none_or(|length| count < length) {
            let Some(key) = self.item(depth + 1)? else {
                match length {
                    None => break,
                    Some(_) => return None,
                }
            };
            // A break instead of a member's value is malformed.
            let value = self.item(depth + 1)??;
            count += 1;
            // The last of duplicate keys wins, as in JSON.
            let (key, value) = match key {
                Tree::Text(key) | Tree::Number(key) => (key, value),
                // Kept, so that it is counted as an error.
                _ => (
                    Box::from("\u{fffd}"),
                    Tree::Unusable("under a key that is neither text nor number"),
                ),
            };
            members.insert(key, Arc::new(value));
        }
        Some(members)
    }

    /// The bytes of a string of definite or indefinite length.
    fn string(&mut self, length: Option<usize>, text: bool) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(length) = length {
            self.take(length, &mut bytes)?;
            return Some(bytes);
        }
        loop {
            // A string contains neither tags nor further indefinite lengths.
            match self.decoder.pull().ok()? {
                Header::Break => return Some(bytes),
                Header::Bytes(Some(length)) if !text => self.take(length, &mut bytes)?,
                Header::Text(Some(length)) if text => self.take(length, &mut bytes)?,
                _ => return None,
            }
        }
    }

    fn take(&mut self, length: usize, into: &mut Vec<u8>) -> Option<()> {
        if length > self.left() {
            return None;
        }
        let mut part = vec![0; length];
        self.decoder.read_exact(&mut part).ok()?;
        into.append(&mut part);
        Some(())
    }

    /// Skips the content of an array or map, however deep. `open` holds how
    /// many items are left at each level; `None` means until a break.
    fn skip(&mut self, length: Option<usize>, pairs: bool) -> Option<()> {
        let items = |length: Option<usize>, pairs: bool| match length {
            Some(length) if pairs => Some(length.checked_mul(2)),
            Some(length) => Some(Some(length)),
            None => None,
        };
        let mut open: Vec<Option<usize>> = vec![match items(length, pairs) {
            Some(count) => Some(count?),
            None => None,
        }];
        while let Some(count) = open.last_mut() {
            match count {
                Some(0) => {
                    open.pop();
                    continue;
                }
                Some(left) => *left -= 1,
                None => {}
            }
            let counted = count.is_some();
            match self.header()? {
                Header::Break if counted => return None,
                Header::Break => {
                    open.pop();
                }
                header @ (Header::Array(length) | Header::Map(length)) => {
                    let count = items(length, matches!(header, Header::Map(_)));
                    open.push(match count {
                        Some(count) => Some(count?),
                        None => None,
                    });
                }
                Header::Bytes(length) => {
                    self.string(length, false)?;
                }
                Header::Text(length) => {
                    self.string(length, true)?;
                }
                _ => {}
            }
        }
        Some(())
    }
}

/// A floating-point number as JSON would write it. A whole number keeps its
/// decimal point, so that it is not taken for an integer.
fn float(number: f64) -> Tree {
    if number.is_finite() {
        Tree::Number(format!("{number:?}").into())
    } else {
        Tree::Unusable("a number that JSON has not")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER_PERMISSIVE;

    fn read(hex: &str) -> Option<String> {
        let value = HEXLOWER_PERMISSIVE.decode(hex.replace(' ', "").as_bytes());
        read_map(&value.unwrap()).map(|tree| show(&tree))
    }

    fn show(tree: &Tree) -> String {
        match tree {
            Tree::Null => "null".into(),
            Tree::Bool(truth) => truth.to_string(),
            Tree::Number(number) => number.to_string(),
            Tree::Text(text) => format!("{text:?}"),
            Tree::Bytes(bytes) => format!("h{}", HEXLOWER_PERMISSIVE.encode(bytes)),
            Tree::Unusable(why) => format!("<{why}>"),
            Tree::Array(elements) => {
                format!("{:?}", elements.iter().map(show).collect::<Vec<_>>()).replace('"', "")
            }
            Tree::Object(members) => members
                .iter()
                .map(|(key, tree)| format!("{key}:{}", show(tree)))
                .collect::<Vec<_>>()
                .join(","),
        }
    }

    #[test]
    fn items_become_those_of_json() {
        for (hex, expected) in [
            ("a0", ""),
            ("bf ff", ""),
            ("d9d9f7 a0", ""),
            ("a1 6161 01", "a:1"),
            ("a1 01 02", "1:2"),
            ("a1 20 38ff", "-1:-256"),
            ("a1 6161 1bffffffffffffffff", "a:18446744073709551615"),
            ("a1 6161 3bffffffffffffffff", "a:-18446744073709551616"),
            ("a1 6161 f93e00", "a:1.5"),
            (
                "a1 6161 fb7ff0000000000000",
                "a:<a number that JSON has not>",
            ),
            ("a1 6161 43010203", "a:h010203"),
            ("a1 6161 5f 4101 420203 ff", "a:h010203"),
            ("a1 6161 7f 6162 6163 ff", "a:\"bc\""),
            ("a1 6161 61ff", "a:<a string that is not UTF-8>"),
            ("a1 6161 9f 01 f4 f5 f6 ff", "a:[1, false, true, null]"),
            ("a1 6161 f7", "a:<a simple value that JSON has not>"),
            ("a2 6161 01 6161 02", "a:2"),
            (
                "a1 4161 01",
                "\u{fffd}:<under a key that is neither text nor number>",
            ),
            ("a1 6161 c1 01", "a:1"),
        ] {
            assert_eq!(read(hex).as_deref(), Some(expected), "{hex}");
        }
    }

    #[test]
    fn anything_but_one_whole_map_is_refused() {
        for hex in [
            "",
            "80",
            "01",
            "a0 a0",
            "a1",
            "a1 6161",
            "a1 6161 ff",
            "bf 6161 ff",
            "ff",
            "bb ffffffffffffffff",
            "a1 6161 9b ffffffffffffffff",
            "a1 6161 5b ffffffffffffffff",
            "a1 6161 7b 7fffffffffffffff 61",
            "a1 6161 5f 6161 ff",
            "a1 6161 5f 5f 4101 ff ff",
            "a1 6161 1c",
            "a1 6161 81 ff",
            "d9d9f7",
        ] {
            assert_eq!(read(hex), None, "{hex}");
        }
    }

    #[test]
    fn deep_nesting_leaves_siblings_valid() {
        for (open, close) in [("81", ""), ("9f", "ff"), ("a161 61", ""), ("bf6161", "ff")] {
            let deep = format!("{}01{}", open.repeat(2000), close.repeat(2000));
            let value = format!("a2 6161 {deep} 6162 02");
            let shown = read(&value).unwrap();
            assert!(shown.ends_with("b:2") && shown.contains("nested"), "{open}");
        }
        // Tags on tags nest as well, but are skipped.
        let tags = format!("a1 6161 {} 01", "c1".repeat(8000));
        assert_eq!(read(&tags).as_deref(), Some("a:1"));
    }
}
