//! The isolation id: which of a user's activities a query belongs to.
//!
//! Nothing the process does may make two queries with different ids linkable, so
//! every cache, shared fetch and proxied connection belongs to one id. See
//! `spec/isolation.md`.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use thiserror::Error;

/// The longest isolation id in bytes (`spec/prop279-isolation.md`).
pub const MAX_LENGTH: usize = 1024;

/// An isolation id of 1 to 1024 printable ASCII bytes, compared byte
/// for byte, or the *shared* id of queries that carry none.
///
/// Cloning is cheap. `Debug` does not show the id, so that it cannot be logged by
/// accident.
#[derive(Clone, PartialEq, Eq)]
pub struct IsolationId(Option<Arc<str>>);

/// Why bytes are no isolation id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IsolationIdError {
    /// The id is empty.
    #[error("the isolation id is empty")]
    Empty,
    /// The id is longer than [`MAX_LENGTH`].
    #[error("the isolation id is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// The id contains a byte that is not printable ASCII.
    #[error("the isolation id holds a space, or a byte outside printable ASCII")]
    NotPrintable,
}

impl IsolationId {
    /// The id shared by all queries without one.
    pub fn shared() -> Self {
        Self(None)
    }

    /// Parses an id that a client sent.
    ///
    /// # Errors
    /// The bytes are empty, too many, or not all printable ASCII
    /// (0x21 to 0x7E).
    pub fn parse(bytes: &[u8]) -> Result<Self, IsolationIdError> {
        if bytes.is_empty() {
            return Err(IsolationIdError::Empty);
        }
        if bytes.len() > MAX_LENGTH {
            return Err(IsolationIdError::TooLong);
        }
        if !bytes.iter().all(u8::is_ascii_graphic) {
            return Err(IsolationIdError::NotPrintable);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self(Some(Arc::from(text)))),
            Err(_) => Err(IsolationIdError::NotPrintable),
        }
    }

    /// The id that is these bits in hexadecimal, for a door whose clients have no
    /// ids of their own.
    pub fn from_digest(digest: &[u8; 32]) -> Self {
        Self(Some(HEXLOWER.encode(digest).into()))
    }

    /// The id as the client wrote it; `None` for the shared id.
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The id as bytes. Only the shared id has none.
    pub fn as_bytes(&self) -> &[u8] {
        self.as_str().unwrap_or_default().as_bytes()
    }

    /// How many bytes the id takes in memory, for budgets.
    pub fn weight(&self) -> usize {
        self.as_str().map_or(0, str::len)
    }
}

// Bytes that a client sent can be looked up in a map without being checked,
// because bytes that are no id equal no id.
impl Borrow<[u8]> for IsolationId {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Hash for IsolationId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for IsolationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "IsolationId(…)"
        } else {
            "IsolationId(shared)"
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn accepts_printable_ascii_of_every_permitted_length() {
        for length in [1, 2, 64, MAX_LENGTH] {
            let id = IsolationId::parse(&vec![b'~'; length]).unwrap();
            assert_eq!(id.as_str().map(str::len), Some(length));
        }
        assert_eq!(IsolationId::parse(b"!").unwrap().as_str(), Some("!"));
    }

    #[test]
    fn refuses_everything_else() {
        use IsolationIdError::*;
        assert_eq!(IsolationId::parse(b""), Err(Empty));
        assert_eq!(IsolationId::parse(&[b'a'; MAX_LENGTH + 1]), Err(TooLong));
        for bad in [0u8, 0x1f, b' ', 0x7f, 0x80, 0xff] {
            assert_eq!(
                IsolationId::parse(&[b'a', bad]),
                Err(NotPrintable),
                "{bad:#x}"
            );
        }
    }

    #[test]
    fn compares_byte_for_byte_and_never_equals_the_shared_id() {
        let lower = IsolationId::parse(b"a").unwrap();
        assert_ne!(lower, IsolationId::parse(b"A").unwrap());
        assert_ne!(lower, IsolationId::shared());
        assert_eq!(lower, IsolationId::parse(b"a").unwrap());
    }

    #[test]
    fn a_map_can_be_searched_by_bytes() {
        let ids = ["a", "A", "ab"].map(|id| IsolationId::parse(id.as_bytes()).unwrap());
        let map: HashMap<_, _> = ids
            .into_iter()
            .chain([IsolationId::shared()])
            .zip(0..)
            .collect();
        let found = [&b"a"[..], b"A", b"ab", b"", b"b", b" "].map(|id| map.get(id).copied());
        assert_eq!(found, [Some(0), Some(1), Some(2), Some(3), None, None]);
    }

    #[test]
    fn debug_does_not_show_the_id() {
        let id = IsolationId::parse(b"secret-7").unwrap();
        assert!(!format!("{id:?}").contains("secret"));
    }
}
