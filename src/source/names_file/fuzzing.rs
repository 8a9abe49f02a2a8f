//! What the fuzz targets in `fuzz/` reach of this room; not for use elsewhere.

use std::collections::BTreeMap;

use super::Names;
use crate::snapshot::Fetched;

/// What each name of a file's content has, or why its entry is bad.
///
/// # Errors
/// The content is no names file; the text completes "names file …".
pub fn read(content: &[u8]) -> Result<BTreeMap<Box<str>, Result<Fetched, &'static str>>, String> {
    Names::parse(content).map(|names| names.0.into_iter().collect())
}
