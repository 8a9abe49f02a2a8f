//! The lines of proposal 279, on the client's side
//! (`spec/naming-plugins.md`, "Lines").

use crate::isolation::IsolationId;
use crate::text::{clip, printable};

/// The longest line of a plugin in bytes. A longer one is skipped.
const MAX_LINE: usize = 64 << 10;

/// The longest reason that is passed on, in characters.
const MAX_REASON: usize = 400;

/// A line of a plugin.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// It is ready.
    Ready,
    /// It cannot work. Holds the reason.
    NotReady(String),
    /// The answer to a query.
    Resolved {
        /// The number of the query.
        number: u64,
        /// `None` if it is not a number from 0 to 255.
        status: Option<u8>,
        /// What follows the status.
        text: String,
    },
    /// Any other line. It is ignored.
    Other,
}

impl Message {
    /// Parses a line without its end.
    pub fn parse(line: &[u8]) -> Self {
        let line = String::from_utf8_lossy(line);
        let (keyword, rest) = word(&line);
        match keyword {
            "INIT" => {
                let (version, rest) = word(rest);
                let (status, text) = word(rest);
                match (version, status) {
                    ("1", "0") => Self::Ready,
                    ("1", _) => Self::NotReady(reason(text)),
                    _ => Self::NotReady("it speaks another version of the protocol".to_owned()),
                }
            }
            "RESOLVED" => {
                let (number, rest) = word(rest);
                let (status, text) = word(rest);
                match number.parse() {
                    Ok(number) if !status.is_empty() => Self::Resolved {
                        number,
                        status: status.parse().ok(),
                        text: text.to_owned(),
                    },
                    _ => Self::Other,
                }
            }
            _ => Self::Other,
        }
    }
}

/// The first word of a text, and what follows it. They may be empty.
pub fn word(text: &str) -> (&str, &str) {
    const SEPARATORS: [char; 3] = [' ', '\t', '\r'];
    let text = text.trim_matches(SEPARATORS);
    let (word, rest) = text.split_once(SEPARATORS).unwrap_or((text, ""));
    (word, rest.trim_start_matches(SEPARATORS))
}

/// The reason that a plugin gives, quoted or not, in printable ASCII.
pub fn reason(text: &str) -> String {
    let quoted = text.strip_prefix('"').and_then(|text| {
        let text = text.strip_suffix('"')?;
        Some(unescape(text))
    });
    let text = quoted.as_deref().unwrap_or(text);
    match text.is_empty() {
        true => "no reason given".to_owned(),
        false => clip(&printable(text), MAX_REASON),
    }
}

/// Undoes `\"` and `\\`. Other escapes are for bytes that are not printable, and
/// stay as they are.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let escaped = characters.next_if(|next| character == '\\' && matches!(next, '"' | '\\'));
        plain.push(escaped.unwrap_or(character));
    }
    plain
}

/// The line that asks for a name.
pub fn resolve(number: u64, name: &str, isolation: &IsolationId) -> String {
    match isolation.as_str() {
        Some(isolation) => format!("RESOLVE {number} {name} {isolation}\n"),
        None => format!("RESOLVE {number} {name}\n"),
    }
}

/// The line that withdraws a query.
pub fn cancel(number: u64) -> String {
    format!("CANCEL {number}\n")
}

/// Cuts what a plugin writes into lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of a line that is not complete.
    partial: Vec<u8>,
    /// Whether the rest of a line is skipped because the line is too long.
    is_skipping: bool,
}

impl Lines {
    /// Takes the next bytes, and calls `each` for every line that they complete.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (content, ends) = match piece.strip_suffix(b"\n") {
                Some(content) => (content, true),
                None => (piece, false),
            };
            if self.partial.len() + content.len() > MAX_LINE {
                self.is_skipping = true;
                self.partial = Vec::new();
            }
            if !self.is_skipping {
                self.partial.extend(content);
            }
            if ends {
                if !std::mem::take(&mut self.is_skipping) {
                    each(&self.partial);
                }
                self.partial.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(number: u64, status: Option<u8>, text: &str) -> Message {
        Message::Resolved {
            number,
            status,
            text: text.to_owned(),
        }
    }

    #[test]
    fn lines_are_parsed() {
        let not_ready = |why: &str| Message::NotReady(why.to_owned());
        let other_version = "it speaks another version of the protocol";
        for (line, expected) in [
            ("INIT 1 0", Message::Ready),
            ("INIT\t1  0 \"ready\"\r", Message::Ready),
            ("INIT 1 1 \"no \\\"key\\\"\"", not_ready("no \"key\"")),
            ("INIT 1 1", not_ready("no reason given")),
            ("INIT 1", not_ready("no reason given")),
            ("INIT 2 0", not_ready(other_version)),
            ("INIT", not_ready(other_version)),
            ("RESOLVED 7 0 192.0.2.1", resolved(7, Some(0), "192.0.2.1")),
            ("RESOLVED 007 0", resolved(7, Some(0), "")),
            (
                "RESOLVED 7 3 \"no  such\"",
                resolved(7, Some(3), "\"no  such\""),
            ),
            ("RESOLVED 7 x y", resolved(7, None, "y")),
            ("RESOLVED 7 256 y", resolved(7, None, "y")),
            ("RESOLVED 7", Message::Other),
            ("RESOLVED -7 0 192.0.2.1", Message::Other),
            ("RESOLVED 18446744073709551616 0 x", Message::Other),
            ("RESOLVED", Message::Other),
            ("CANCELED 7", Message::Other),
            ("resolved 7 0 192.0.2.1", Message::Other),
            ("HELLO", Message::Other),
            ("", Message::Other),
        ] {
            assert_eq!(Message::parse(line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn reasons_are_printable_and_bounded() {
        for (text, expected) in [
            ("plain", "plain"),
            ("\"quoted\"", "quoted"),
            (r#""a \"b\" \\ \x0a""#, r#"a "b" \ \x0a"#),
            ("\"", "\""),
            ("\"\"", "no reason given"),
            ("\u{1b}[31m\u{fc}", "\\u{1b}[31m\\u{fc}"),
        ] {
            assert_eq!(reason(text), expected, "{text:?}");
        }
        assert_eq!(reason(&"x".repeat(1000)).len(), MAX_REASON + 3);
    }

    #[test]
    fn lines_may_be_cut_anywhere_and_long_ones_are_skipped() {
        let longest = "a".repeat(MAX_LINE);
        let input = format!("one\n\n{longest}\n{longest}a\ntwo\n{longest}{longest}\nthree\nfour");
        for size in [1, 7, 4096, input.len()] {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for piece in input.as_bytes().chunks(size) {
                lines.feed(piece, |line| found.push(line.to_vec()));
                assert!(lines.partial.len() <= MAX_LINE);
            }
            let expected = ["one", "", longest.as_str(), "two", "three"];
            assert!(found == expected.map(|line| line.as_bytes().to_vec()));
        }
    }
}
