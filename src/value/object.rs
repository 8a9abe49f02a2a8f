//! Domain objects with everything that belongs to them merged in: the items
//! of `map` under the empty label, delegates and imports (IFA-0001,
//! "Abstract Constructs").
//!
//! Merging is lazy: only the imports of the objects that are on the way to the
//! queried name are looked at.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use hickory_proto::rr::Name;

use crate::snapshot::{Absence, Entry, FetchFailure, Fetched, NameKey, Snapshot};

use super::error::{Errors, shorten};
use super::import::{Operation, operations};
use super::misspelt;
use super::tree::{Members, Tree};
use super::work::{Parsed, Work};

/// How many distinct names may take part in one answer
/// (`spec/domain-values.md`).
pub const MAX_NAMES: usize = 16;

/// Steps ([`Work`]) that merging an object and importing one take, whatever is
/// in them.
const MERGE_STEPS: usize = 4;
const IMPORT_STEPS: usize = 32;

/// A domain object after merging.
#[derive(Debug, Clone)]
pub struct Object {
    items: BTreeMap<Box<str>, Arc<Tree>>,
    labels: BTreeMap<Box<str>, Branch>,
}

/// The object of a subdomain, not merged yet.
#[derive(Debug, Clone)]
pub struct Branch {
    tree: Arc<Tree>,
    origin: Origin,
}

impl Branch {
    /// How many members, subdomains and operations are to be looked at.
    fn size(&self) -> usize {
        members_of(&self.tree) + self.map().map_or(0, map_size)
    }

    fn map(&self) -> Option<&Arc<Tree>> {
        match &*self.tree {
            Tree::Object(members) => members.get("map"),
            _ => None,
        }
    }
}

/// The members of an object, and the operations in them.
fn members_of(tree: &Tree) -> usize {
    let Tree::Object(members) = tree else {
        return 1;
    };
    let part = |key: &str| members.get(key).map_or(0, elements);
    members.len() + part("import") + part("delegate")
}

fn elements(tree: &Arc<Tree>) -> usize {
    match &**tree {
        Tree::Array(elements) => elements.len(),
        _ => 1,
    }
}

fn map_size(map: &Arc<Tree>) -> usize {
    match &**map {
        Tree::Object(labels) => labels.len() + labels.get("").map_or(0, |empty| members_of(empty)),
        _ => 0,
    }
}

/// The names whose import led to an object, the queried name first. Importing
/// any of them again closes a circle.
type Origin = Rc<[NameKey]>;

/// The items that are no records themselves.
const STRUCTURE: [&str; 3] = ["delegate", "import", "map"];

/// The items that mean something. Others are left out early: a value can hold
/// hundreds, and imports would merge them again and again.
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

impl Object {
    /// An item's value; `None` if it is absent or `null`.
    pub fn item(&self, key: &str) -> Option<&Tree> {
        self.items
            .get(key)
            .map(|tree| &**tree)
            .filter(|tree| !tree.is_null())
    }

    /// The subdomain with exactly this label, which may be `*`.
    pub fn branch(&self, label: &str) -> Option<&Branch> {
        self.labels.get(label)
    }

    /// The subdomains in the order of their labels.
    pub fn branches(&self) -> impl Iterator<Item = (&str, &Branch)> {
        self.labels.iter().map(|(label, branch)| (&**label, branch))
    }

    /// How many items and subdomains there are.
    fn size(&self) -> usize {
        self.items.len() + self.labels.len()
    }

    /// The keys of all items that are not `null`.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.items
            .iter()
            .filter(|(_, tree)| !tree.is_null())
            .map(|(key, _)| &**key)
    }
}

/// Why an object could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Names are missing from the snapshot; [`Reader::take_needed`] says which.
    Need,
    /// A name could not be fetched for now.
    Transient(FetchFailure),
    /// The answer depends on more names than permitted.
    TooManyImports,
    /// The answer takes more work than permitted ([`Work`]).
    TooComplicated,
}

/// What a name key leads to.
#[derive(Debug, Clone)]
pub enum Root {
    /// A domain object.
    Object(Object),
    /// The name has no value.
    Absent(Absence),
    /// The name has a value that is no domain object.
    NoDomainObject,
}

enum Loaded {
    Tree(Arc<Tree>),
    Absent(Absence),
    NoDomainObject,
}

/// Reads domain objects out of a snapshot for one query, and keeps account of
/// the names and the work it took.
#[derive(Debug)]
pub struct Reader<'a> {
    snapshot: &'a Snapshot,
    names: BTreeSet<NameKey>,
    needed: BTreeSet<NameKey>,
    /// The work so far.
    pub work: Work<'a>,
    /// The errors met on the way.
    pub errors: Errors,
}

impl<'a> Reader<'a> {
    /// A reader for one query, which drops the errors of values.
    pub fn new(snapshot: &'a Snapshot, parsed: &'a mut Parsed) -> Self {
        Self {
            snapshot,
            names: BTreeSet::new(),
            needed: BTreeSet::new(),
            work: Work::new(parsed),
            errors: Errors::dropped(),
        }
    }

    /// A reader for people: it keeps the errors of values.
    pub fn with_errors(snapshot: &'a Snapshot, parsed: &'a mut Parsed) -> Self {
        Self {
            snapshot,
            names: BTreeSet::new(),
            needed: BTreeSet::new(),
            work: Work::for_listing(parsed),
            errors: Errors::kept(),
        }
    }

    /// What is read from.
    pub fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// The names that the snapshot lacks, after [`Stop::Need`].
    pub fn take_needed(&mut self) -> BTreeSet<NameKey> {
        std::mem::take(&mut self.needed)
    }

    /// The top-level object of a name. `owner` is for error messages.
    ///
    /// # Errors
    /// See [`Stop`].
    pub fn root(&mut self, key: &NameKey, owner: &Name) -> Result<Root, Stop> {
        let tree = match self.load(key)? {
            Loaded::Tree(tree) => tree,
            Loaded::Absent(absence) => return Ok(Root::Absent(absence)),
            Loaded::NoDomainObject => return Ok(Root::NoDomainObject),
        };
        let branch = Branch {
            tree,
            origin: Rc::from([key.clone()]),
        };
        match self.merge(&branch, owner)? {
            Some(object) => Ok(Root::Object(object)),
            None => Ok(Root::NoDomainObject),
        }
    }

    /// Merges what belongs to the object of a subdomain. `None` if the branch
    /// is no object (it counts as absent; the error is noted).
    ///
    /// # Errors
    /// See [`Stop`].
    pub fn merge(&mut self, branch: &Branch, owner: &Name) -> Result<Option<Object>, Stop> {
        self.work.take(MERGE_STEPS + branch.size());
        self.work.check()?;
        let members = match &*branch.tree {
            Tree::Object(members) => with_empty_label(members, owner, &mut self.errors),
            // A string in `map` stands for an object with that address.
            Tree::Text(_) => Cow::Owned(Members::from([(Box::from("ip"), branch.tree.clone())])),
            Tree::Null => return Ok(None),
            other => {
                let reason = format!("a subdomain is an object or a string, not {}", other.kind());
                self.errors.add(owner, "map", reason);
                return Ok(None);
            }
        };
        let mut pending = None;

        // `delegate` replaces the whole object, if at least one of its
        // operations succeeds.
        if let Some(tree) = members.get("delegate").filter(|tree| !tree.is_null()) {
            let mut replacement: Option<Object> = None;
            for operation in operations(tree, owner, "delegate", &mut self.errors) {
                match self.import(&operation, &branch.origin, owner, "delegate") {
                    Ok(Some(object)) => match &mut replacement {
                        Some(merged) => {
                            self.work.take(object.size());
                            merge_under(merged, object, false);
                        }
                        None => replacement = Some(object),
                    },
                    Ok(None) => {}
                    Err(stop) => defer(&mut pending, stop)?,
                }
            }
            if let Some(stop) = pending {
                return Err(stop);
            }
            if replacement.is_some() {
                return Ok(replacement);
            }
        }

        let mut object = own(&members, &branch.origin, owner, &mut self.errors);
        if let Some(tree) = members.get("import").filter(|tree| !tree.is_null()) {
            // A `null` map occludes every imported subdomain.
            let occluded = members.get("map").is_some_and(|map| map.is_null());
            for operation in operations(tree, owner, "import", &mut self.errors) {
                match self.import(&operation, &branch.origin, owner, "import") {
                    Ok(Some(imported)) => {
                        self.work.take(imported.size());
                        merge_under(&mut object, imported, occluded);
                    }
                    Ok(None) => {}
                    // The other imports are still looked at, so that all the
                    // names that are needed can be fetched at once.
                    Err(stop) => defer(&mut pending, stop)?,
                }
            }
        }
        match pending {
            Some(stop) => Err(stop),
            None => Ok(Some(object)),
        }
    }

    /// What one operation brings; `None` if it failed for good.
    fn import(
        &mut self,
        operation: &Operation,
        origin: &Origin,
        owner: &Name,
        item: &str,
    ) -> Result<Option<Object>, Stop> {
        self.work.take(IMPORT_STEPS);
        self.work.check()?;
        let name = shorten(operation.key.as_str());
        if origin.contains(&operation.key) {
            self.errors
                .add(owner, item, format!("\"{name}\" is imported in a circle"));
            return Ok(None);
        }
        let tree = match self.load(&operation.key)? {
            Loaded::Tree(tree) => tree,
            Loaded::Absent(_) => {
                self.errors
                    .add(owner, item, format!("\"{name}\" is not registered"));
                return Ok(None);
            }
            Loaded::NoDomainObject => {
                self.errors
                    .add(owner, item, format!("\"{name}\" is no domain object"));
                return Ok(None);
            }
        };
        let mut chain = origin.to_vec();
        chain.push(operation.key.clone());
        let mut branch = Branch {
            tree,
            origin: chain.into(),
        };
        let mut labels = operation.selector.rsplit('.').filter(|l| !l.is_empty());
        loop {
            let Some(object) = self.merge(&branch, owner)? else {
                return Ok(None);
            };
            let Some(label) = labels.next() else {
                return Ok(Some(object));
            };
            match object.branch(label).or_else(|| object.branch("*")) {
                Some(next) => branch = next.clone(),
                None => {
                    let selector = shorten(&operation.selector);
                    self.errors.add(
                        owner,
                        item,
                        format!("\"{name}\" has no subdomain \"{selector}\""),
                    );
                    return Ok(None);
                }
            }
        }
    }

    /// The value of a name as a tree.
    fn load(&mut self, key: &NameKey) -> Result<Loaded, Stop> {
        if !self.names.contains(key) {
            if self.names.len() >= MAX_NAMES {
                return Err(Stop::TooManyImports);
            }
            self.names.insert(key.clone());
        }
        match self.snapshot.get(key) {
            None => {
                self.needed.insert(key.clone());
                Err(Stop::Need)
            }
            Some(Entry::Failed(failure)) => Err(Stop::Transient(failure.clone())),
            Some(Entry::Known(Fetched::Absent(absence))) => Ok(Loaded::Absent(*absence)),
            Some(Entry::Known(Fetched::Value(value))) => Ok(match self.work.tree(key, value)? {
                Some(tree) => Loaded::Tree(tree),
                None => Loaded::NoDomainObject,
            }),
        }
    }
}

/// Keeps the gravest reason to stop; what no further look can change is
/// returned at once.
fn defer(pending: &mut Option<Stop>, stop: Stop) -> Result<(), Stop> {
    match (&pending, &stop) {
        (_, Stop::TooManyImports | Stop::TooComplicated) => return Err(stop),
        (Some(Stop::Transient(_)), _) => {}
        _ => *pending = Some(stop),
    }
    Ok(())
}

/// The members of an object together with those under the empty label of its
/// `map`, which count as its own where it has none of that key.
fn with_empty_label<'m>(
    members: &'m Members,
    owner: &Name,
    errors: &mut Errors,
) -> Cow<'m, Members> {
    let Some(Tree::Object(map)) = members.get("map").map(|map| &**map) else {
        return Cow::Borrowed(members);
    };
    let Some(empty) = map.get("") else {
        return Cow::Borrowed(members);
    };
    let mut effective = members.clone();
    let mut add = |key: &str, tree: &Arc<Tree>| {
        if members.get(key).is_none_or(|own| own.is_null()) {
            effective.insert(Box::from(key), tree.clone());
        }
    };
    match &**empty {
        Tree::Object(inner) => inner.iter().for_each(|(key, tree)| add(key, tree)),
        Tree::Text(_) => add("ip", empty),
        Tree::Null => {}
        other => {
            let reason = format!("a subdomain is an object or a string, not {}", other.kind());
            errors.add(owner, "map", reason);
        }
    }
    Cow::Owned(effective)
}

/// The object with its own items and subdomains only.
fn own(members: &Members, origin: &Origin, owner: &Name, errors: &mut Errors) -> Object {
    let mut object = Object {
        items: BTreeMap::new(),
        labels: BTreeMap::new(),
    };
    for (key, tree) in members {
        match &**key {
            "import" | "delegate" => {}
            "map" => match &**tree {
                Tree::Object(map) => object.labels = own_labels(map, origin, owner, errors),
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
                if let Some(meant) = misspelt::meant(other, ITEMS.into_iter().chain(STRUCTURE)) {
                    errors.add(owner, other, format!("no item; is \"{meant}\" meant?"));
                } else if other.starts_with('_') {
                    errors.add(owner, other, "no item; subdomains stand in \"map\"");
                }
            }
        }
    }
    object
}

fn own_labels(
    map: &Members,
    origin: &Origin,
    owner: &Name,
    errors: &mut Errors,
) -> BTreeMap<Box<str>, Branch> {
    let mut labels = BTreeMap::new();
    for (key, tree) in map {
        if key.is_empty() {
            continue;
        }
        let label = key.to_ascii_lowercase();
        if label != "*" && !super::names::is_label(&label) {
            errors.add(owner, "map", format!("\"{}\" is no label", shorten(key)));
            continue;
        }
        // A key in lower case goes before another spelling of it; it comes
        // later in the order of keys.
        labels.insert(
            label.into_boxed_str(),
            Branch {
                tree: tree.clone(),
                origin: origin.clone(),
            },
        );
    }
    labels
}

/// Adds what is imported where nothing of that key stands yet; `null` stands.
/// Subdomains are merged label by label, as in ncdns.
fn merge_under(object: &mut Object, imported: Object, labels_occluded: bool) {
    for (key, tree) in imported.items {
        object.items.entry(key).or_insert(tree);
    }
    if !labels_occluded {
        for (label, branch) in imported.labels {
            object.labels.entry(label).or_insert(branch);
        }
    }
}
