//! From lines to requests.
//!
//! Parsing never fails: whatever a line contains, the result says what to do.

use std::fmt;
use std::hash::{Hash, Hasher};

use thiserror::Error;

/// How many digits an id may have.
pub const MAX_ID_DIGITS: usize = 20;

/// Room for a sign and the digits.
const ID_CAPACITY: usize = MAX_ID_DIGITS + 1;

/// The id of a query: an integer that the client chooses.
///
/// Answers repeat it as the client wrote it, but ids are compared by value,
/// because clients parse them as integers: `7`, `007` and `+7` are the same id,
/// and so are `0` and `-0`.
#[derive(Clone, Copy)]
pub struct QueryId {
    value: i128,
    text: [u8; ID_CAPACITY],
    length: u8,
}

/// Why a request cannot be answered.
///
/// The messages never quote the line, which may contain anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Nothing follows the keyword.
    #[error("a request has no id")]
    NoId,
    /// The id is not an optional sign and digits.
    #[error("a request's id is not an integer")]
    NotAnInteger,
    /// The id has more than [`MAX_ID_DIGITS`] digits.
    #[error("a request's id has more than {MAX_ID_DIGITS} digits")]
    IdTooLong,
}

/// What a line asks for. Additional words are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// `RESOLVE <id> <name> [<isolation id>]`.
    Resolve {
        /// Repeated in the answer.
        id: QueryId,
        /// The name: at least one byte, and no space, tab, CR or LF.
        name: &'a [u8],
        /// The isolation id, if there is one: the same kind of bytes.
        isolation: Option<&'a [u8]>,
    },
    /// `RESOLVE <id>`. The client waits, so it gets a permanent failure.
    ResolveWithoutName {
        /// Repeated in the answer.
        id: QueryId,
    },
    /// `CANCEL <id>`.
    Cancel {
        /// The query that is withdrawn.
        id: QueryId,
    },
    /// A known keyword without a usable id, which cannot be answered.
    Invalid(RequestError),
    /// An empty line or an unknown keyword (proposal 279 has both sides ignore
    /// these).
    Ignored,
}

impl<'a> Request<'a> {
    /// Parses a line without its LF.
    ///
    /// Any number of spaces, tabs and CRs separate words, and may also precede the
    /// first word and follow the last. No other byte separates words. Keywords
    /// are in upper case.
    pub fn parse(line: &'a [u8]) -> Self {
        let mut words = Words(line);
        let keyword = words.next();
        if !matches!(keyword, Some(b"RESOLVE" | b"CANCEL")) {
            return Self::Ignored;
        }
        let id = match words
            .next()
            .ok_or(RequestError::NoId)
            .and_then(QueryId::parse)
        {
            Ok(id) => id,
            Err(error) => return Self::Invalid(error),
        };
        if keyword == Some(b"CANCEL") {
            return Self::Cancel { id };
        }
        match words.next() {
            Some(name) => Self::Resolve {
                id,
                name,
                isolation: words.next(),
            },
            None => Self::ResolveWithoutName { id },
        }
    }
}

/// The rest of a line, from which words are taken.
struct Words<'a>(&'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let is_separator = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
        let begin = self.0.iter().position(|byte| !is_separator(byte))?;
        let rest = self.0.get(begin..)?;
        let length = rest.iter().position(is_separator).unwrap_or(rest.len());
        let (word, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(word)
    }
}

impl QueryId {
    /// Parses an optional sign and 1 to [`MAX_ID_DIGITS`] digits.
    ///
    /// # Errors
    /// The word is anything else.
    pub fn parse(word: &[u8]) -> Result<Self, RequestError> {
        let (is_negative, digits) = match word {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            digits => (false, digits),
        };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(RequestError::NotAnInteger);
        }
        if digits.len() > MAX_ID_DIGITS {
            return Err(RequestError::IdTooLong);
        }
        // 20 digits are far from the limits of the type.
        let magnitude = digits
            .iter()
            .fold(0i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        let mut text = [0; ID_CAPACITY];
        for (to, from) in text.iter_mut().zip(word) {
            *to = *from;
        }
        Ok(Self {
            value: if is_negative { -magnitude } else { magnitude },
            text,
            length: u8::try_from(word.len()).unwrap_or_default(),
        })
    }

    /// The id as the client wrote it: an optional sign and digits.
    pub fn as_str(&self) -> &str {
        let text = self.text.get(..usize::from(self.length));
        std::str::from_utf8(text.unwrap_or_default()).unwrap_or_default()
    }
}

impl PartialEq for QueryId {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for QueryId {}

impl Hash for QueryId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

impl fmt::Debug for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueryId({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};
    use std::collections::HashSet;

    fn id(text: &str) -> QueryId {
        QueryId::parse(text.as_bytes()).unwrap()
    }

    fn resolve<'a>(id: &str, name: &'a str, isolation: Option<&'a str>) -> Request<'a> {
        Request::Resolve {
            id: self::id(id),
            name: name.as_bytes(),
            isolation: isolation.map(str::as_bytes),
        }
    }

    #[test]
    fn reads_requests() {
        for (line, expected) in [
            ("RESOLVE 1 a.bit", resolve("1", "a.bit", None)),
            ("RESOLVE 1 a.bit x-1", resolve("1", "a.bit", Some("x-1"))),
            ("RESOLVE 1 a.bit x-1\r", resolve("1", "a.bit", Some("x-1"))),
            ("RESOLVE 1 a.bit \r", resolve("1", "a.bit", None)),
            (
                " \t RESOLVE\t1  a.bit\t\tx y z",
                resolve("1", "a.bit", Some("x")),
            ),
            ("RESOLVE -3 A.Bit", resolve("-3", "A.Bit", None)),
            (
                "RESOLVE 1 a\0\x0b\x0c\u{a0}b \x1b",
                resolve("1", "a\0\x0b\x0c\u{a0}b", Some("\x1b")),
            ),
            ("RESOLVE 1", Request::ResolveWithoutName { id: id("1") }),
            (
                "RESOLVE 1 \t\r",
                Request::ResolveWithoutName { id: id("1") },
            ),
            ("CANCEL 1", Request::Cancel { id: id("1") }),
            ("CANCEL 1 more\r", Request::Cancel { id: id("1") }),
            ("", Request::Ignored),
            (" \t\r", Request::Ignored),
            ("resolve 1 a.bit", Request::Ignored),
            ("RESOLVED 1 0 1.1.1.1", Request::Ignored),
            ("RESOLVE1 a.bit", Request::Ignored),
            ("RESOLVE\x0b1 a.bit", Request::Ignored),
            ("\u{feff}RESOLVE 1 a.bit", Request::Ignored),
            ("INIT 1 0", Request::Ignored),
            ("RESOLVE", Request::Invalid(RequestError::NoId)),
            ("CANCEL \r", Request::Invalid(RequestError::NoId)),
            (
                "RESOLVE a.bit",
                Request::Invalid(RequestError::NotAnInteger),
            ),
            ("CANCEL 0x1", Request::Invalid(RequestError::NotAnInteger)),
        ] {
            assert_eq!(Request::parse(line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn keeps_ids_as_written() {
        let longest = "-".to_owned() + &"9".repeat(MAX_ID_DIGITS);
        for text in ["0", "007", "+7", "-0", "18446744073709551616", &longest] {
            assert_eq!(id(text).as_str(), text);
        }
    }

    #[test]
    fn refuses_other_ids() {
        for text in [
            "", "+", "-", "--1", "+-1", "1.", "1-", "1\0", "\u{661}", "1e3", "0x1",
        ] {
            assert_eq!(
                QueryId::parse(text.as_bytes()),
                Err(RequestError::NotAnInteger),
                "{text:?}"
            );
        }
        assert_eq!(
            QueryId::parse("0".repeat(MAX_ID_DIGITS + 1).as_bytes()),
            Err(RequestError::IdTooLong)
        );
    }

    #[test]
    fn compares_ids_by_value() {
        let same: HashSet<_> = ["7", "007", "+7", "+00000000000000000007"].map(id).into();
        assert_eq!(same.len(), 1);
        assert_eq!(HashSet::from(["0", "-0", "+0", "00"].map(id)).len(), 1);
        let different = ["7", "-7", "70", "18446744073709551623", "0"].map(id);
        assert_eq!(HashSet::from(different).len(), different.len());
    }

    #[test]
    fn errors_do_not_quote_the_line() {
        for line in [
            "RESOLVE secret secret",
            "CANCEL secret",
            "RESOLVE 123456789012345678901",
        ] {
            let Request::Invalid(error) = Request::parse(line.as_bytes()) else {
                panic!("{line}");
            };
            let text = error.to_string();
            assert!(!text.contains("secret") && !text.contains("12345"));
        }
    }

    #[test]
    fn words_never_contain_separators() {
        let mut random = SmallRng::seed_from_u64(279);
        let alphabet = b" \t\r\0-+019aR\xff";
        for _ in 0..20_000 {
            let mut line = [&b"RESOLVE "[..], b"CANCEL ", b""][random.random_range(0..3)].to_vec();
            for _ in 0..random.random_range(0..30) {
                line.push(alphabet[random.random_range(0..alphabet.len())]);
            }
            if let Request::Resolve {
                id,
                name,
                isolation,
            } = Request::parse(&line)
            {
                assert!((1..=ID_CAPACITY).contains(&id.as_str().len()));
                for word in [Some(name), isolation].into_iter().flatten() {
                    assert!(!word.is_empty());
                    assert!(!word.iter().any(|byte| b" \t\r\n".contains(byte)));
                }
            }
        }
    }
}
