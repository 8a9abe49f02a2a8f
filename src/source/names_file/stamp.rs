//! What a file looks like from outside, to notice that it changed.

use std::path::Path;
use std::time::SystemTime;

use crate::platform::FileIdentity;

/// Time, length and identity of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    identity: Option<FileIdentity>,
}

impl Stamp {
    /// Looks at a file; `None` if there is none to look at.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            identity: FileIdentity::of(&metadata),
        })
    }
}
