//! Playing the log of headers back.

use bitcoin::BlockHash;
use bitcoin::block::Header;

use super::{RECORD, read_record};
use crate::chain::headers::Headers;
use crate::chain::network::{Checkpoint, Network};

/// The chain that the records read so far make.
pub(super) struct Replay {
    /// The checkpoint and what is below it.
    headers: Headers,
    /// What is above the checkpoint, linked but not verified.
    branch: Vec<Header>,
    /// The hash that the next header of the branch has to link to.
    tip_hash: BlockHash,
    dropped: usize,
}

/// What the log made.
pub(super) struct Replayed {
    pub headers: Headers,
    /// The headers from the checkpoint upwards.
    pub above: Vec<Header>,
    /// Records that were of no use.
    pub dropped: usize,
}

impl Replay {
    pub fn new(network: Network, checkpoint: Checkpoint) -> Self {
        Self {
            headers: Headers::new(network, checkpoint),
            branch: Vec::new(),
            tip_hash: checkpoint.hash,
            dropped: 0,
        }
    }

    /// Takes the next record of the log, or drops it if it does not link.
    pub fn take(&mut self, record: &[u8; RECORD]) {
        let taken = read_record(record)
            .and_then(|(height, header)| self.place(height, header))
            .is_some();
        self.dropped += usize::from(!taken);
    }

    fn place(&mut self, height: u32, header: Header) -> Option<()> {
        let checkpoint = self.headers.checkpoint().height;
        if height > checkpoint {
            return self.put_above(height - checkpoint - 1, header);
        }
        if height == checkpoint {
            return self.headers.anchor(header).ok();
        }
        if self.headers.lowest()? != height.checked_add(1)? {
            return None;
        }
        self.headers.prepend(header).ok()
    }

    /// Puts a header in the place of that at `index` of the branch and of all
    /// behind it, if it links to the one before.
    fn put_above(&mut self, index: u32, header: Header) -> Option<()> {
        let index = usize::try_from(index).ok()?;
        let parent = match self.branch.get(index) {
            Some(replaced) => replaced.prev_blockhash,
            None if index == self.branch.len() => self.tip_hash,
            None => return None,
        };
        if header.prev_blockhash != parent {
            return None;
        }
        self.branch.truncate(index);
        self.branch.push(header);
        self.tip_hash = header.block_hash();
        Some(())
    }

    /// Verifies what the log made, as far as it can be without the proofs of
    /// work. What does not pass is dropped with all above it.
    pub fn finish(mut self) -> Replayed {
        let checkpoint = self.headers.checkpoint().height;
        let mut verified = 0;
        if let Some(mut candidate) = self.headers.candidate(checkpoint) {
            verified = self
                .branch
                .iter()
                .take_while(|header| candidate.push_recorded(&self.headers, **header).is_ok())
                .count();
            let _ = self.headers.adopt(&candidate);
        }
        self.dropped += self.branch.len() - verified;
        let mut above = Vec::with_capacity(verified + 1);
        above.extend(self.headers.get(checkpoint));
        above.extend(self.branch.iter().take(verified));
        Replayed {
            headers: self.headers,
            above,
            dropped: self.dropped,
        }
    }
}
