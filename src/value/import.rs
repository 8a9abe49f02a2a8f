//! From a snapshot of values to domain objects with everything that `import` and
//! `delegate` add (IFA-0001, "import" and "delegate").
//!
//! Objects are merged lazily: only the imports of objects on the way to the
//! queried name are read.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use hickory_proto::rr::Name;

use crate::snapshot::{Absence, Entry, Fetched, NameKey, Snapshot};

use super::object::{Branch, Object, Origin};
use super::tree::Tree;
use super::work::{Parsed, Work};
use super::{Errors, EvaluationError, shorten};

/// How many distinct names may contribute to one answer
/// (`spec/domain-values.md`).
pub const MAX_NAMES: usize = 16;

/// Steps ([`Work`]) that merging an object and importing one take, whatever
/// they contain.
const MERGE_STEPS: usize = 4;
const IMPORT_STEPS: usize = 32;

/// Why a name leads to no domain object. Each is an answer, not a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoObject {
    /// The name has no value.
    Absent(Absence),
    /// The name has a value that is no domain object.
    NoDomainObject,
}

/// Reads domain objects from a snapshot during one evaluation, and counts the
/// names and the work that takes.
#[derive(Debug)]
pub struct Reader<'a> {
    snapshot: &'a Snapshot,
    names: BTreeSet<NameKey>,
    /// The work so far.
    pub work: Work<'a>,
    /// The errors found so far.
    pub errors: Errors,
}

impl<'a> Reader<'a> {
    /// A reader for an ordinary query, which ignores errors in values.
    pub fn new(snapshot: &'a Snapshot, parsed: &'a mut Parsed) -> Self {
        Self {
            snapshot,
            names: BTreeSet::new(),
            work: Work::new(parsed),
            errors: Errors::ignored(),
        }
    }

    /// A reader for people who debug a name: it keeps errors, and may work
    /// longer.
    pub fn with_errors(snapshot: &'a Snapshot, parsed: &'a mut Parsed) -> Self {
        Self {
            snapshot,
            names: BTreeSet::new(),
            work: Work::for_listing(parsed),
            errors: Errors::kept(),
        }
    }

    /// The snapshot that is read.
    pub fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// The top-level object of a name. Errors in it are reported at `owner`.
    ///
    /// # Errors
    /// See [`EvaluationError`].
    pub fn root(
        &mut self,
        key: &NameKey,
        owner: &Name,
    ) -> Result<Result<Object, NoObject>, EvaluationError> {
        let tree = match self.load(key)? {
            Ok(tree) => tree,
            Err(none) => return Ok(Err(none)),
        };
        let branch = Branch {
            tree,
            origin: Rc::from([key.clone()]),
        };
        let object = self.merge(&branch, owner)?;
        Ok(object.ok_or(NoObject::NoDomainObject))
    }

    /// The object at a branch with its imports merged in. `None` if the branch
    /// is no object, which counts as absent.
    ///
    /// # Errors
    /// See [`EvaluationError`].
    pub fn merge(
        &mut self,
        branch: &Branch,
        owner: &Name,
    ) -> Result<Option<Object>, EvaluationError> {
        self.work.take(MERGE_STEPS + branch.size());
        self.work.check()?;
        let Some(members) = branch.members(owner, &mut self.errors) else {
            return Ok(None);
        };
        let member = |key: &str| members.get(key).map(|tree| &**tree);

        // `delegate` replaces the whole object, provided that at least one of
        // its imports succeeds.
        if let Some(tree) = member("delegate").filter(|tree| !tree.is_null()) {
            let mut replacement: Option<Object> = None;
            let add = |work: &mut Work<'_>, object: Object| match &mut replacement {
                Some(merged) => {
                    work.take(object.size());
                    merged.merge_under(object, false);
                }
                None => replacement = Some(object),
            };
            self.import_all(tree, &branch.origin, owner, "delegate", add)?;
            if replacement.is_some() {
                return Ok(replacement);
            }
        }

        let mut object = Object::own(&members, &branch.origin, owner, &mut self.errors);
        if let Some(tree) = member("import").filter(|tree| !tree.is_null()) {
            // A `null` map hides every imported subdomain.
            let hides_subdomains = member("map").is_some_and(Tree::is_null);
            let add = |work: &mut Work<'_>, imported: Object| {
                work.take(imported.size());
                object.merge_under(imported, hides_subdomains);
            };
            self.import_all(tree, &branch.origin, owner, "import", add)?;
        }
        Ok(Some(object))
    }

    /// Passes what each import of an item adds to `add`; imports that fail for
    /// good add nothing.
    ///
    /// If one import lacks a name, the others are still read, so that all the
    /// missing names can be fetched at once.
    fn import_all(
        &mut self,
        tree: &Tree,
        origin: &Origin,
        owner: &Name,
        item: &str,
        mut add: impl FnMut(&mut Work<'_>, Object),
    ) -> Result<(), EvaluationError> {
        let mut pending = None;
        for import in imports(tree, owner, item, &mut self.errors) {
            match self.import(&import, origin, owner, item) {
                Ok(Some(object)) => add(&mut self.work, object),
                Ok(None) => {}
                Err(error) => pending = Some(combine(pending, error)?),
            }
        }
        pending.map_or(Ok(()), Err)
    }

    /// What one import adds; `None` if it failed for good.
    fn import(
        &mut self,
        import: &Import,
        origin: &Origin,
        owner: &Name,
        item: &str,
    ) -> Result<Option<Object>, EvaluationError> {
        self.work.take(IMPORT_STEPS);
        self.work.check()?;
        let name = shorten(import.key.as_str());
        let fail = |errors: &mut Errors, reason: String| {
            errors.add(owner, item, reason);
            Ok(None)
        };
        if origin.contains(&import.key) {
            let reason = format!("\"{name}\" is imported in a circle");
            return fail(&mut self.errors, reason);
        }
        let tree = match self.load(&import.key)? {
            Ok(tree) => tree,
            Err(none) => {
                let reason = match none {
                    NoObject::Absent(_) => format!("\"{name}\" is not registered"),
                    NoObject::NoDomainObject => format!("\"{name}\" is no domain object"),
                };
                return fail(&mut self.errors, reason);
            }
        };
        let mut chain = origin.to_vec();
        chain.push(import.key.clone());
        let mut branch = Branch {
            tree,
            origin: chain.into(),
        };
        let mut labels = import.selector.rsplit('.').filter(|l| !l.is_empty());
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
                    let selector = shorten(&import.selector);
                    let reason = format!("\"{name}\" has no subdomain \"{selector}\"");
                    return fail(&mut self.errors, reason);
                }
            }
        }
    }

    /// The value of a name as a tree.
    fn load(&mut self, key: &NameKey) -> Result<Result<Arc<Tree>, NoObject>, EvaluationError> {
        if !self.names.contains(key) {
            if self.names.len() >= MAX_NAMES {
                return Err(EvaluationError::TooManyImports);
            }
            self.names.insert(key.clone());
        }
        match self.snapshot.get(key) {
            None => Err(EvaluationError::Need(BTreeSet::from([key.clone()]))),
            Some(Entry::Failed(failure)) => Err(failure.clone().into()),
            Some(Entry::Known(Fetched::Absent(absence))) => Ok(Err(NoObject::Absent(*absence))),
            Some(Entry::Known(Fetched::Value(value))) => {
                let tree = self.work.tree(key, value)?;
                Ok(tree.ok_or(NoObject::NoDomainObject))
            }
        }
    }
}

/// Combines the errors of several imports of one item into the most serious one;
/// all missing names are collected. Returns an error that no further import can
/// change as the error, so that reading stops.
fn combine(
    pending: Option<EvaluationError>,
    error: EvaluationError,
) -> Result<EvaluationError, EvaluationError> {
    use EvaluationError::{Failed, Need, TooComplicated, TooManyImports};
    match (pending, error) {
        (_, error @ (TooManyImports | TooComplicated)) => Err(error),
        (Some(failed @ Failed(_)), _) => Ok(failed),
        (Some(Need(mut keys)), Need(more)) => {
            keys.extend(more);
            Ok(Need(keys))
        }
        (_, error) => Ok(error),
    }
}

/// One name to import.
struct Import {
    /// The name.
    key: NameKey,
    /// The subdomain of it to import, empty for the whole name.
    selector: String,
}

/// Reads the forms of `import` and `delegate`.
fn imports(tree: &Tree, owner: &Name, item: &str, errors: &mut Errors) -> Vec<Import> {
    let mut found = Vec::new();
    let mut add = |parts: &[Tree]| match parse_import(parts) {
        Ok(import) => found.push(import),
        Err(reason) => errors.add(owner, item, reason),
    };
    match tree {
        Tree::Text(_) => add(std::slice::from_ref(tree)),
        Tree::Array(parts) if parts.iter().all(|part| part.as_text().is_some()) => {
            // Two strings are a name and its selector, as in ncdns: names in use
            // depend on it. By the text of IFA-0001 they would be two imports.
            match parts.len() {
                0 => {}
                1 | 2 => add(parts),
                _ => errors.add(
                    owner,
                    item,
                    "more than two strings; write each import as an array of its own",
                ),
            }
        }
        Tree::Array(parts) => {
            for part in parts {
                match part {
                    Tree::Array(parts) => add(parts),
                    other => add(std::slice::from_ref(other)),
                }
            }
        }
        other => {
            let reason = format!("neither a string nor an array but {}", other.kind());
            errors.add(owner, item, reason);
        }
    }
    found
}

fn parse_import(parts: &[Tree]) -> Result<Import, String> {
    let name = match parts.first() {
        Some(Tree::Text(name)) => name,
        Some(other) => return Err(format!("a name is a string, not {}", other.kind())),
        None => return Err("an import without a name".to_owned()),
    };
    let key = NameKey::new(name).ok_or("a name is empty or longer than 255 bytes")?;
    let selector = match parts.get(1) {
        None => String::new(),
        Some(Tree::Text(selector)) => selector.to_ascii_lowercase(),
        Some(other) => return Err(format!("a selector is a string, not {}", other.kind())),
    };
    if !selector.is_empty() && selector.split('.').any(str::is_empty) {
        return Err(format!(
            "the selector \"{}\" has an empty label",
            shorten(&selector)
        ));
    }
    Ok(Import { key, selector })
}
