//! The fuzz targets' entry into this room.

use std::collections::BTreeMap;

use super::content::Names;
use crate::snapshot::Fetched;

/// The names in a file's content with their entries.
///
/// # Errors
/// The content is not a names file; the text completes "names file …".
pub fn read(content: &[u8]) -> Result<BTreeMap<Box<str>, Result<Fetched, &'static str>>, String> {
    let names = Names::parse(content.to_vec())?;
    let entry = |(key, _): (std::borrow::Cow<'_, str>, _)| {
        // As a lookup finds it.
        let found = names.get(&key);
        (Box::from(key), found.unwrap_or(Err("missing")))
    };
    Ok(names.iter().map(entry).collect())
}
