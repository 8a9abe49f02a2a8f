//! JSON shapes that serde does not enforce by itself, and why a reply is refused.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use thiserror::Error as ThisError;

/// Why a reply does not answer the request. The text completes "the reply …"
/// and contains nothing that the server chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ThisError)]
pub enum ReplyError {
    /// A member is missing or has the wrong type.
    #[error("has another form than the method's")]
    Form,
    /// A list is longer than an honest one.
    #[error("has a list that is too long")]
    TooMany,
    /// There are more bytes than an honest server sends.
    #[error("has a transaction or headers that are too long")]
    TooLong,
    /// Bytes are not written in lower-case hexadecimal, or a hash is not one
    /// of 32 bytes.
    #[error("has bytes that are not hexadecimal")]
    Hex,
    /// A height is beyond 2^32.
    #[error("has a height that no block has")]
    Height,
    /// It is about another block than the one that was asked for.
    #[error("is about another block")]
    OtherBlock,
    /// It says nothing about the script hash that was asked for.
    #[error("is about another script hash")]
    OtherScriptHash,
    /// There are more headers than were asked for, or fewer bytes than the
    /// headers must have.
    #[error("has another number of headers than it can have")]
    Count,
    /// A protocol's version is not made of numbers.
    #[error("has a protocol version that is none")]
    Protocol,
}

/// An object. Without this, a list would be taken for the members of an
/// object in their order.
#[derive(Debug)]
pub(super) struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}

/// A list of which at most `N` elements are kept.
#[derive(Debug)]
pub(super) struct Bounded<T, const N: usize> {
    elements: Vec<T>,
    has_more: bool,
}

impl<T, const N: usize> Bounded<T, N> {
    /// The elements.
    ///
    /// # Errors
    /// There were more than `N`.
    pub fn whole(self) -> Result<Vec<T>, ReplyError> {
        if self.has_more {
            return Err(ReplyError::TooMany);
        }
        Ok(self.elements)
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Bounded<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T, const N: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Elements<T, N> {
            type Value = Bounded<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                let mut has_more = false;
                loop {
                    if elements.len() < N {
                        match seq.next_element()? {
                            Some(element) => elements.push(element),
                            None => break,
                        }
                    // serde_json wants a list read to its end.
                    } else if seq.next_element::<IgnoredAny>()?.is_some() {
                        has_more = true;
                    } else {
                        break;
                    }
                }
                Ok(Bounded { elements, has_more })
            }
        }
        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

/// The one member of an object that has a given name, if there is one.
pub(super) struct Member<'n, T> {
    name: &'n str,
    member: PhantomData<T>,
}

impl<'n, T> Member<'n, T> {
    /// The member of this name.
    pub fn named(name: &'n str) -> Self {
        Self {
            name,
            member: PhantomData,
        }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Member<'_, T> {
    type Value = Option<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Member<'_, T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key::<String>()? {
            if name != self.name {
                map.next_value::<IgnoredAny>()?;
            } else if found.is_none() {
                found = Some(map.next_value()?);
            } else {
                return Err(A::Error::custom("the member is there twice"));
            }
        }
        Ok(found)
    }
}
