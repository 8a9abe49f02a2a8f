//! What a file looks like from outside, to notice that it changed.

use std::path::Path;
use std::time::SystemTime;

/// Time, length and identity of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    identity: Option<Identity>,
}

/// Device and inode, and the time of the last change of the inode, which
/// also tells of a file that was put in place with an old time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(unix), allow(dead_code))]
struct Identity {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

impl Stamp {
    /// Looks at a file; `None` if there is none to look at.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            identity: identity(&metadata),
        })
    }
}

#[cfg(unix)]
fn identity(metadata: &std::fs::Metadata) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    Some(Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(not(unix))]
fn identity(_metadata: &std::fs::Metadata) -> Option<Identity> {
    None
}
