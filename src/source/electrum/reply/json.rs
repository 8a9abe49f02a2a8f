//! JSON shapes that serde does not enforce by itself.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::ReplyError;

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
