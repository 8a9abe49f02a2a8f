//! The objects of a domain value, and how one is merged under another
//! (IFA-0001, "Abstract Constructs").

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use hickory_proto::rr::Name;

use crate::snapshot::NameKey;

use super::names::is_label;
use super::tree::{Members, Tree};
use super::{Errors, shorten, suggestion};

/// Keys that give an object its structure rather than records.
const STRUCTURE: [&str; 3] = ["delegate", "import", "map"];

/// Keys of the items that mean something. All others are dropped early: a value
/// can hold hundreds of items, and imports would merge them again and again.
const ITEMS: [&str; 15] = [
    "alias",
    "dns",
    "ds",
    "ip",
    "ip6",
    "loc",
    "mx",
    "ns",
    "o",
    "srv",
    "sshfp",
    "tls",
    "tor",
    "translate",
    "txt",
];

/// A domain object with its imports merged in. Its subdomains are not merged
/// yet.
#[derive(Debug, Clone)]
pub struct Object {
    items: BTreeMap<Box<str>, Arc<Tree>>,
    subdomains: BTreeMap<Box<str>, Branch>,
}

/// An object that has not been merged with its imports yet.
#[derive(Debug, Clone)]
pub struct Branch {
    pub(super) tree: Arc<Tree>,
    pub(super) origin: Origin,
}

/// The names whose import led to an object, the queried name first. Importing
/// any of them again would close a circle.
pub(super) type Origin = Rc<[NameKey]>;

impl Object {
    /// An item's value; `None` if it is absent or `null`.
    pub fn item(&self, key: &str) -> Option<&Tree> {
        self.items
            .get(key)
            .map(|tree| &**tree)
            .filter(|tree| !tree.is_null())
    }

    /// The keys of all items that are not `null`.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.items
            .iter()
            .filter(|(_, tree)| !tree.is_null())
            .map(|(key, _)| &**key)
    }

    /// The subdomain with exactly this label, which may be `*`.
    pub fn branch(&self, label: &str) -> Option<&Branch> {
        self.subdomains.get(label)
    }

    /// The subdomains in the order of their labels.
    pub fn branches(&self) -> impl Iterator<Item = (&str, &Branch)> {
        self.subdomains
            .iter()
            .map(|(label, branch)| (&**label, branch))
    }

    /// How many items and subdomains there are.
    pub(super) fn size(&self) -> usize {
        self.items.len() + self.subdomains.len()
    }

    /// An object without its imports: only the items and subdomains that its
    /// members define.
    pub(super) fn own(
        members: &Members,
        origin: &Origin,
        owner: &Name,
        errors: &mut Errors,
    ) -> Self {
        let mut object = Self {
            items: BTreeMap::new(),
            subdomains: BTreeMap::new(),
        };
        for (key, tree) in members {
            match &**key {
                "import" | "delegate" => {}
                "map" => match &**tree {
                    Tree::Object(map) => {
                        object.subdomains = subdomains(map, origin, owner, errors);
                    }
                    Tree::Null => {}
                    other => {
                        errors.add(owner, "map", format!("not an object but {}", other.kind()));
                    }
                },
                item if ITEMS.contains(&item) => {
                    object.items.insert(key.clone(), tree.clone());
                }
                _ if !errors.are_kept() => {}
                other => {
                    let known = ITEMS.into_iter().chain(STRUCTURE);
                    if let Some(meant) = suggestion(other, known) {
                        errors.add(owner, other, format!("no item; did you mean \"{meant}\"?"));
                    } else if other.starts_with('_') {
                        errors.add(owner, other, "no item; subdomains belong in \"map\"");
                    }
                }
            }
        }
        object
    }

    /// Adds the items and subdomains of an imported object whose keys this one
    /// does not have; a `null` counts as having it. Two subdomains with the same
    /// label are not merged with each other, as in ncdns.
    pub(super) fn merge_under(&mut self, imported: Self, hides_subdomains: bool) {
        for (key, tree) in imported.items {
            self.items.entry(key).or_insert(tree);
        }
        if !hides_subdomains {
            for (label, branch) in imported.subdomains {
                self.subdomains.entry(label).or_insert(branch);
            }
        }
    }
}

fn subdomains(
    map: &Members,
    origin: &Origin,
    owner: &Name,
    errors: &mut Errors,
) -> BTreeMap<Box<str>, Branch> {
    let mut subdomains = BTreeMap::new();
    for (key, tree) in map {
        if key.is_empty() {
            continue;
        }
        let label = key.to_ascii_lowercase();
        if label != "*" && !is_label(&label) {
            errors.add(owner, "map", format!("\"{}\" is no label", shorten(key)));
            continue;
        }
        // A key in lower case sorts after its other spellings and so replaces
        // them.
        let branch = Branch {
            tree: tree.clone(),
            origin: origin.clone(),
        };
        subdomains.insert(label.into_boxed_str(), branch);
    }
    subdomains
}

impl Branch {
    /// The object's members, with those under the empty label of its `map`
    /// added where it has none of the same key. `None` if it is no object,
    /// which counts as absent.
    pub(super) fn members(&self, owner: &Name, errors: &mut Errors) -> Option<Cow<'_, Members>> {
        let members = match &*self.tree {
            Tree::Object(members) => members,
            // A string in `map` is short for an object with that address.
            Tree::Text(_) => {
                let address = Members::from([(Box::from("ip"), self.tree.clone())]);
                return Some(Cow::Owned(address));
            }
            Tree::Null => return None,
            other => {
                errors.add(owner, "map", not_a_subdomain(other));
                return None;
            }
        };
        let map = match members.get("map").map(|map| &**map) {
            Some(Tree::Object(map)) => map,
            _ => return Some(Cow::Borrowed(members)),
        };
        let Some(empty) = map.get("") else {
            return Some(Cow::Borrowed(members));
        };
        let mut all = members.clone();
        let mut add = |key: &str, tree: &Arc<Tree>| {
            if members.get(key).is_none_or(|own| own.is_null()) {
                all.insert(Box::from(key), tree.clone());
            }
        };
        match &**empty {
            Tree::Object(inner) => inner.iter().for_each(|(key, tree)| add(key, tree)),
            Tree::Text(_) => add("ip", empty),
            Tree::Null => {}
            other => errors.add(owner, "map", not_a_subdomain(other)),
        }
        Some(Cow::Owned(all))
    }

    /// How many members, subdomains and imports merging this looks at.
    pub(super) fn size(&self) -> usize {
        let map = match &*self.tree {
            Tree::Object(members) => members.get("map").map(|map| &**map),
            _ => None,
        };
        let in_map = match map {
            Some(Tree::Object(labels)) => {
                labels.len() + labels.get("").map_or(0, |empty| member_count(empty))
            }
            _ => 0,
        };
        member_count(&self.tree) + in_map
    }
}

fn not_a_subdomain(tree: &Tree) -> String {
    format!("a subdomain is an object or a string, not {}", tree.kind())
}

/// The members of an object, and the imports in them.
fn member_count(tree: &Tree) -> usize {
    let Tree::Object(members) = tree else {
        return 1;
    };
    let imports = |key: &str| match members.get(key).map(|tree| &**tree) {
        Some(Tree::Array(elements)) => elements.len(),
        Some(_) => 1,
        None => 0,
    };
    members.len() + imports("import") + imports("delegate")
}
