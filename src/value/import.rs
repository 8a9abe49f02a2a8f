//! The forms of `import` and `delegate` (IFA-0001, "import").

use hickory_proto::rr::Name;

use crate::snapshot::NameKey;

use super::error::{Errors, shorten};
use super::tree::Tree;

/// One importation operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Operation {
    /// The name to import.
    pub key: NameKey,
    /// The subdomain to import, empty for the whole name.
    pub selector: String,
}

/// Reads the forms of `import` and `delegate`.
pub(super) fn operations(
    tree: &Tree,
    owner: &Name,
    item: &str,
    errors: &mut Errors,
) -> Vec<Operation> {
    let mut found = Vec::new();
    let mut take = |parts: &[Tree]| match operation(parts) {
        Ok(operation) => found.push(operation),
        Err(reason) => errors.add(owner, item, reason),
    };
    match tree {
        Tree::Text(_) => take(std::slice::from_ref(tree)),
        Tree::Array(parts) if parts.iter().all(|part| part.as_text().is_some()) => {
            // Two strings are a name and its selector, as in ncdns: names
            // in use depend on it. The text of IFA-0001 has two imports.
            match parts.len() {
                0 => {}
                1 | 2 => take(parts),
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
                    Tree::Array(parts) => take(parts),
                    other => take(std::slice::from_ref(other)),
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

fn operation(parts: &[Tree]) -> Result<Operation, String> {
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
    Ok(Operation { key, selector })
}
