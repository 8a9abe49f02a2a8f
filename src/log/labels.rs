//! What stands in a log for names and isolation ids.

use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use crate::isolation::IsolationId;

/// Isolation ids whose numbers are remembered.
const MAX_IDS: usize = 256;

/// Names whose numbers are remembered, for each isolation id and kind.
const MAX_NAMES: usize = 64;

/// What a label stands for, beside isolation ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// A name that a client asked for.
    Name,
    /// A key of the name database.
    Key,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Key => "key",
        }
    }
}

/// Numbers in the place of names and ids, given out when they are first used.
///
/// Names are numbered anew for every isolation id: the log must not tell that
/// two of them asked for the same name. What has not been used for long is
/// forgotten and gets a new number; none is given out twice.
#[derive(Default)]
pub(super) struct Numbers(Mutex<Ids>);

#[derive(Default)]
struct Ids {
    last: u64,
    known: Option<LruCache<IsolationId, Id>>,
}

struct Id {
    number: u64,
    names: Named,
    keys: Named,
}

struct Named {
    last: u64,
    known: LruCache<String, u64>,
}

impl Named {
    fn new() -> Self {
        Self {
            last: 0,
            known: LruCache::unbounded(),
        }
    }

    fn number(&mut self, text: String) -> u64 {
        if let Some(number) = self.known.get(&text) {
            return *number;
        }
        self.last += 1;
        self.known.put(text, self.last);
        if self.known.len() > MAX_NAMES {
            self.known.pop_lru();
        }
        self.last
    }
}

impl Ids {
    fn of(&mut self, isolation: &IsolationId) -> &mut Id {
        let known = self.known.get_or_insert_with(LruCache::unbounded);
        if known.len() >= MAX_IDS && !known.contains(isolation) {
            known.pop_lru();
        }
        let last = &mut self.last;
        known.get_or_insert_mut(isolation.clone(), || {
            *last += 1;
            Id {
                number: *last,
                names: Named::new(),
                keys: Named::new(),
            }
        })
    }
}

impl Numbers {
    fn lock(&self) -> MutexGuard<'_, Ids> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn id(&self, isolation: &IsolationId) -> u64 {
        self.lock().of(isolation).number
    }

    pub(super) fn name(&self, isolation: &IsolationId, kind: Kind, text: String) -> u64 {
        let mut ids = self.lock();
        let id = ids.of(isolation);
        match kind {
            Kind::Name => id.names.number(text),
            Kind::Key => id.keys.number(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> IsolationId {
        IsolationId::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn numbers_stay_and_names_are_counted_for_each_id() {
        let numbers = Numbers::default();
        assert_eq!(numbers.id(&id("a")), 1);
        assert_eq!(numbers.id(&id("b")), 2);
        assert_eq!(numbers.id(&IsolationId::shared()), 3);
        assert_eq!(numbers.id(&id("a")), 1);
        let name =
            |isolation: &str, text: &str| numbers.name(&id(isolation), Kind::Name, text.to_owned());
        assert_eq!([name("a", "x"), name("a", "y"), name("a", "x")], [1, 2, 1]);
        // The same name under another id does not show as the same.
        assert_eq!([name("b", "y"), name("b", "x")], [1, 2]);
        assert_eq!(numbers.name(&id("a"), Kind::Key, "x".to_owned()), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_no_number_comes_twice() {
        let numbers = Numbers::default();
        let isolation = id("a");
        for n in 1..1000 {
            let text = n.to_string();
            assert_eq!(numbers.name(&isolation, Kind::Name, text), n);
        }
        assert_eq!(numbers.name(&isolation, Kind::Name, "1".to_owned()), 1000);
        for n in 2..1000 {
            assert_eq!(numbers.id(&id(&n.to_string())), n);
        }
        assert_eq!(numbers.id(&isolation), 1000);
        let ids = numbers.lock();
        let known = ids.known.as_ref().unwrap();
        assert_eq!(known.len(), MAX_IDS);
        assert!(
            known
                .iter()
                .all(|(_, id)| id.names.known.len() <= MAX_NAMES)
        );
    }
}
