//! The chain of headers that we believe in.

use bitcoin::block::Header;
use bitcoin::{BlockHash, Work};

use super::arithmetic;
use super::candidate::Candidate;
use super::network::{Checkpoint, Network};
use super::rules::{self, HeaderError};

/// A chain of headers around a checkpoint.
///
/// The checkpoint's block is taken for granted by its hash. Blocks below it
/// are proven by it, as each header commits to the one before; they are added
/// one at a time. Blocks above it carry their own proof and come as a
/// [`Candidate`].
#[derive(Debug, Clone)]
pub struct Headers {
    network: Network,
    checkpoint: Checkpoint,
    /// From the block below the checkpoint downwards.
    below: Vec<Header>,
    /// From the checkpoint upwards; empty until its header is known.
    above: Vec<Header>,
    /// The hash of the newest header; that of the checkpoint while there is
    /// none.
    tip_hash: BlockHash,
    work: Work,
}

/// What became of a branch that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Adoption {
    /// It has no more work than our own blocks, which we keep.
    Kept,
    /// It continues our chain.
    Extended {
        /// Blocks that are new.
        count: u32,
    },
    /// It has more work than some of our blocks and took their place.
    Replaced {
        /// Blocks of ours that were given up.
        depth: u32,
        /// Blocks that are new.
        count: u32,
    },
    /// The block that it follows is no longer ours; nothing was done.
    Stale,
}

impl Headers {
    /// A chain that has nothing yet, not even the checkpoint's header.
    pub fn new(network: Network, checkpoint: Checkpoint) -> Self {
        Self {
            network,
            checkpoint,
            below: Vec::new(),
            above: Vec::new(),
            tip_hash: checkpoint.hash,
            work: arithmetic::zero(),
        }
    }

    /// The network whose rules hold.
    pub fn network(&self) -> Network {
        self.network
    }

    /// The block that is taken for granted.
    pub fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    /// The newest header and its height.
    pub fn tip(&self) -> Option<(u32, &Header)> {
        let header = self.above.last()?;
        let above = u32::try_from(self.above.len()).ok()?.checked_sub(1)?;
        Some((self.checkpoint.height.checked_add(above)?, header))
    }

    /// The lowest height of which the header is known. All from there to the
    /// tip are.
    pub fn lowest(&self) -> Option<u32> {
        if self.above.is_empty() {
            return None;
        }
        let below = u32::try_from(self.below.len()).ok()?;
        self.checkpoint.height.checked_sub(below)
    }

    /// The header at a height, if it is known.
    pub fn get(&self, height: u32) -> Option<&Header> {
        match height.checked_sub(self.checkpoint.height) {
            Some(above) => self.above.get(usize::try_from(above).ok()?),
            None => {
                let below = self.checkpoint.height.checked_sub(height)?;
                self.below.get(usize::try_from(below).ok()?.checked_sub(1)?)
            }
        }
    }

    /// The hash of the block at a height, if its header is known.
    pub fn hash(&self, height: u32) -> Option<BlockHash> {
        let (tip, _) = self.tip()?;
        if height == tip {
            return Some(self.tip_hash);
        }
        self.get(height)?;
        // The next block says it, and was checked to say it rightly.
        Some(self.get(height.checked_add(1)?)?.prev_blockhash)
    }

    /// The header of the checkpoint, once it is known.
    pub(super) fn anchored(&self) -> Option<&Header> {
        self.above.first()
    }

    /// The headers above the checkpoint, the newest last.
    pub(super) fn proven(&self) -> &[Header] {
        self.above.get(1..).unwrap_or_default()
    }

    /// The work of all blocks above the checkpoint.
    pub fn work(&self) -> Work {
        self.work
    }

    /// The work of the blocks above the checkpoint up to a height; `None` if
    /// that is not known or not above the checkpoint.
    pub fn work_up_to(&self, height: u32) -> Option<Work> {
        let count = height.checked_sub(self.checkpoint.height)?;
        let blocks = self.proven().get(..usize::try_from(count).ok()?)?;
        (!blocks.is_empty()).then(|| arithmetic::total(blocks))
    }

    /// The work of the whole chain up to a height above the checkpoint, if the
    /// work up to the checkpoint is known too.
    pub fn total_work_up_to(&self, height: u32) -> Option<Work> {
        let below = self.network.work_up_to(self.checkpoint)?;
        let above = self.work_up_to(height)?;
        Some(arithmetic::saturating_sum(below, above))
    }

    /// The lowest height without which no header above the checkpoint can be
    /// verified.
    pub fn lowest_for_rules(&self) -> u32 {
        rules::lowest_for_rules(self.checkpoint.height)
    }

    /// The lowest height that is needed when the tip is at `tip`: for names
    /// that are not expired, for the first change of the target above the
    /// checkpoint, and for the median of times.
    pub fn lowest_needed(&self, tip: u32) -> u32 {
        tip.saturating_sub(self.network.expiry())
            .min(self.lowest_for_rules())
    }

    /// Whether all headers below the tip that are needed are known.
    pub fn is_complete(&self) -> bool {
        match (self.tip(), self.lowest()) {
            (Some((tip, _)), Some(lowest)) => lowest <= self.lowest_needed(tip),
            _ => false,
        }
    }

    /// Takes the checkpoint's own header, which its hash proves. Once it is
    /// known this does nothing.
    ///
    /// # Errors
    /// The header has another hash, or has bits that no header can have (the
    /// checkpoint itself is wrong then).
    pub fn anchor(&mut self, header: Header) -> Result<(), HeaderError> {
        if header.block_hash() != self.checkpoint.hash
            || !rules::is_possible(self.network, header.bits)
        {
            return Err(HeaderError::Checkpoint);
        }
        if self.above.is_empty() {
            self.above.push(header);
        }
        Ok(())
    }

    /// Takes the header just below the lowest, which commits to it.
    ///
    /// # Errors
    /// It is another header; or the lowest is the genesis; or the
    /// checkpoint's header is not known.
    pub fn prepend(&mut self, header: Header) -> Result<(), HeaderError> {
        let lowest = self
            .lowest()
            .ok_or(HeaderError::Missing(self.checkpoint.height))?;
        let above = self.get(lowest).ok_or(HeaderError::Missing(lowest))?;
        if lowest == 0 || header.block_hash() != above.prev_blockhash {
            return Err(HeaderError::Link);
        }
        self.below.push(header);
        Ok(())
    }

    /// Begins a branch after our block at `fork`. `None` if we have no such
    /// block or it is below the checkpoint.
    pub fn candidate(&self, fork: u32) -> Option<Candidate> {
        if fork < self.checkpoint.height {
            return None;
        }
        Some(Candidate::new(self.network, fork, self.hash(fork)?))
    }

    /// Takes a branch in the place of our blocks above its fork if it has
    /// more work than they have, at any depth. Blocks that both have in
    /// common count neither as given up nor as new.
    pub fn adopt(&mut self, candidate: &Candidate) -> Adoption {
        if self.hash(candidate.fork()) != Some(candidate.fork_hash()) {
            return Adoption::Stale;
        }
        let kept = self.length_up_to(candidate.fork());
        let ours = self.above.get(kept..).unwrap_or_default();
        if candidate.work() <= arithmetic::total(ours) {
            return Adoption::Kept;
        }
        let theirs = candidate.headers();
        let common = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
        let depth = count(ours.len().saturating_sub(common));
        let count = count(theirs.len().saturating_sub(common));
        self.above.truncate(kept);
        self.above.extend_from_slice(theirs);
        self.update_tip();
        if depth == 0 {
            Adoption::Extended { count }
        } else {
            Adoption::Replaced { depth, count }
        }
    }

    /// Gives up the newest headers, as many as asked for but never the
    /// checkpoint's, so that they are fetched again with their proof.
    pub fn give_up_newest(&mut self, count: usize) {
        let kept = self.above.len().saturating_sub(count).max(1);
        self.above.truncate(kept);
        self.update_tip();
    }

    fn update_tip(&mut self) {
        self.work = arithmetic::total(self.proven());
        if let Some(tip) = self.above.last() {
            self.tip_hash = tip.block_hash();
        }
    }

    /// How many of the headers from the checkpoint on are at most this high.
    fn length_up_to(&self, height: u32) -> usize {
        height
            .checked_sub(self.checkpoint.height)
            .and_then(|above| usize::try_from(above).ok()?.checked_add(1))
            .unwrap_or(0)
    }
}

/// A number of blocks, of which there are never more than heights.
fn count(blocks: usize) -> u32 {
    u32::try_from(blocks).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
