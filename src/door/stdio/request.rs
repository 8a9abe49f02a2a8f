//! Lines to requests.
//!
//! Parsing never fails as a whole: whatever the line holds, the result says
//! what to do with it.

use std::fmt;
use std::hash::{Hash, Hasher};

use thiserror::Error;

/// The most digits that an id may have.
pub const MAX_ID_DIGITS: usize = 20;

/// Room for a sign and the digits.
const ID_CAPACITY: usize = MAX_ID_DIGITS + 1;

/// The id of a query: an integer of the client's choice.
///
/// It is given back as it was written, but compared by value: `7`, `007` and
/// `+7` are the same id, and so are `0` and `-0`, since clients read ids as
/// integers.
#[derive(Clone, Copy)]
pub struct QueryId {
    value: i128,
    text: [u8; ID_CAPACITY],
    length: u8,
}

/// Why a request cannot be answered.
///
/// The texts never repeat the line, which may hold anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unusable {
    /// No word follows the keyword.
    #[error("a request has no id")]
    NoId,
    /// The id is something other than an optional sign and digits.
    #[error("a request's id is not an integer")]
    NotAnInteger,
    /// The id has more than [`MAX_ID_DIGITS`] digits.
    #[error("a request's id has more than {MAX_ID_DIGITS} digits")]
    IdTooLong,
}

/// What a line asks for. Words after the last that is named here are allowed
/// and ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// `RESOLVE <id> <name> [<isolation id>]`.
    Resolve {
        /// Repeated in the answer.
        id: QueryId,
        /// The name: at least one byte, none of them space, tab, CR or LF.
        name: &'a [u8],
        /// The isolation id, made of the same bytes, if there is one.
        isolation: Option<&'a [u8]>,
    },
    /// `RESOLVE <id>`: to be answered with a permanent failure, because the
    /// client waits.
    ResolveWithoutName {
        /// Repeated in the answer.
        id: QueryId,
    },
    /// `CANCEL <id>`.
    Cancel {
        /// The query that is withdrawn.
        id: QueryId,
    },
    /// A known keyword without a usable id: nothing can be answered.
    Unusable(Unusable),
    /// An empty line, or a keyword that we do not know (proposal 279 has both
    /// sides ignore those).
    Ignored,
}

impl<'a> Request<'a> {
    /// Reads a line, given without its LF.
    ///
    /// Words are separated by any number of spaces, tabs and CRs, which may
    /// also stand before the first and after the last. No other byte
    /// separates. Keywords are upper case.
    pub fn parse(line: &'a [u8]) -> Self {
        let mut words = Words(line);
        let keyword = words.next();
        if !matches!(keyword, Some(b"RESOLVE" | b"CANCEL")) {
            return Self::Ignored;
        }
        let id = match words.next().ok_or(Unusable::NoId).and_then(QueryId::parse) {
            Ok(id) => id,
            Err(reason) => return Self::Unusable(reason),
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

/// What is left of a line; its words are taken from the front.
struct Words<'a>(&'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let is_between = |octet: &u8| matches!(octet, b' ' | b'\t' | b'\r');
        let begin = self.0.iter().position(|octet| !is_between(octet))?;
        let rest = self.0.get(begin..)?;
        let length = rest.iter().position(is_between).unwrap_or(rest.len());
        let (word, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(word)
    }
}

impl QueryId {
    /// Takes an optional sign and 1 to [`MAX_ID_DIGITS`] digits.
    ///
    /// # Errors
    /// The word is none of this; the error says why.
    pub fn parse(word: &[u8]) -> Result<Self, Unusable> {
        let (is_negative, digits) = match word {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            digits => (false, digits),
        };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(Unusable::NotAnInteger);
        }
        if digits.len() > MAX_ID_DIGITS {
            return Err(Unusable::IdTooLong);
        }
        // 20 digits are far from the bounds of the type.
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

    /// The id as the client wrote it: a sign, if any, and digits.
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
            ("RESOLVE", Request::Unusable(Unusable::NoId)),
            ("CANCEL \r", Request::Unusable(Unusable::NoId)),
            ("RESOLVE a.bit", Request::Unusable(Unusable::NotAnInteger)),
            ("CANCEL 0x1", Request::Unusable(Unusable::NotAnInteger)),
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
                Err(Unusable::NotAnInteger),
                "{text:?}"
            );
        }
        assert_eq!(
            QueryId::parse("0".repeat(MAX_ID_DIGITS + 1).as_bytes()),
            Err(Unusable::IdTooLong)
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
    fn reasons_do_not_repeat_the_line() {
        for line in [
            "RESOLVE secret secret",
            "CANCEL secret",
            "RESOLVE 123456789012345678901",
        ] {
            let Request::Unusable(reason) = Request::parse(line.as_bytes()) else {
                panic!("{line}");
            };
            let text = reason.to_string();
            assert!(!text.contains("secret") && !text.contains("12345"));
        }
    }

    #[test]
    fn words_are_clean_whatever_the_line() {
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
                    assert!(!word.iter().any(|octet| b" \t\r\n".contains(octet)));
                }
            }
        }
    }
}
