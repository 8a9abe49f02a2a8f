//! The chain of headers that we believe in, and branches that may take the place of
//! its newest part.

use bitcoin::block::Header;
use bitcoin::{BlockHash, Work};

use super::network::{Checkpoint, Network};
use super::proof_of_work::FullHeader;
use super::rules::{self, HeaderError};
use super::work;

/// A chain of headers around a checkpoint.
///
/// The checkpoint's block is trusted by its hash. It proves the blocks below,
/// as each header commits to the one before; they are added one at a time.
/// Blocks above it have their own proof and come as a [`Candidate`].
#[derive(Debug, Clone)]
pub struct Headers {
    network: Network,
    checkpoint: Checkpoint,
    /// Headers from the block below the checkpoint downwards.
    below: Vec<Header>,
    /// Headers from the checkpoint upwards; empty until its header is known.
    above: Vec<Header>,
    /// The hash of the newest header; that of the checkpoint while there is
    /// none.
    tip_hash: BlockHash,
    work: Work,
}

/// What happened to a branch that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Adoption {
    /// It has no more work than our own blocks, which we keep.
    Kept,
    /// It extends our chain.
    Extended {
        /// Blocks that are new.
        count: u32,
    },
    /// It has more work than some of our blocks and replaced them.
    Replaced {
        /// Blocks of ours that were replaced.
        depth: u32,
        /// Blocks that are new.
        count: u32,
    },
    /// The block that it follows is no longer in our chain; nothing changed.
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
            work: work::zero(),
        }
    }

    /// The network whose rules hold.
    pub fn network(&self) -> Network {
        self.network
    }

    /// The block that is trusted without proof.
    pub fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    /// The newest header and its height.
    pub fn tip(&self) -> Option<(u32, &Header)> {
        let header = self.above.last()?;
        let above = u32::try_from(self.above.len()).ok()?.checked_sub(1)?;
        Some((self.checkpoint.height.checked_add(above)?, header))
    }

    /// The lowest height whose header is known. All from there to the tip are
    /// known.
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
        // The next block has it, and was checked against it.
        Some(self.get(height.checked_add(1)?)?.prev_blockhash)
    }

    /// The header of the checkpoint, once it is known.
    pub(super) fn checkpoint_header(&self) -> Option<&Header> {
        self.above.first()
    }

    /// The headers above the checkpoint, the newest last.
    pub(super) fn above_checkpoint(&self) -> &[Header] {
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
        let blocks = self
            .above_checkpoint()
            .get(..usize::try_from(count).ok()?)?;
        (!blocks.is_empty()).then(|| work::total(blocks))
    }

    /// The work of the whole chain up to a height above the checkpoint, if the
    /// work up to the checkpoint is known too.
    pub fn total_work_up_to(&self, height: u32) -> Option<Work> {
        let below = self.network.work_up_to(self.checkpoint)?;
        let above = self.work_up_to(height)?;
        Some(work::saturating_sum(below, above))
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

    /// Adds the checkpoint's own header, which its hash proves. Does nothing if
    /// it is known.
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

    /// Adds the header just below the lowest one, which commits to it.
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

    /// Replaces our blocks above the fork by a branch that has more work, at
    /// any depth. Blocks that both have in common count neither as replaced nor
    /// as new.
    pub fn adopt(&mut self, candidate: &Candidate) -> Adoption {
        if self.hash(candidate.fork()) != Some(candidate.fork_hash()) {
            return Adoption::Stale;
        }
        let kept = self.length_up_to(candidate.fork());
        let ours = self.above.get(kept..).unwrap_or_default();
        if candidate.work() <= work::total(ours) {
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

    /// Drops the newest `count` headers, but never the checkpoint's, so that
    /// they are fetched again with their proof.
    pub fn give_up_newest(&mut self, count: usize) {
        let kept = self.above.len().saturating_sub(count).max(1);
        self.above.truncate(kept);
        self.update_tip();
    }

    fn update_tip(&mut self) {
        self.work = work::total(self.above_checkpoint());
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

/// The most headers in one branch: those of twenty years, 80 MiB.
pub const MAX_LENGTH: usize = 1 << 20;

/// Verified headers that follow a block of our chain.
///
/// Each takes 80 bytes; the proof of its work is not kept. [`Headers::adopt`]
/// decides whether they replace our own.
#[derive(Debug, Clone)]
pub struct Candidate {
    network: Network,
    fork: u32,
    fork_hash: BlockHash,
    tip_hash: BlockHash,
    headers: Vec<Header>,
}

impl Candidate {
    pub(super) fn new(network: Network, fork: u32, fork_hash: BlockHash) -> Self {
        Self {
            network,
            fork,
            fork_hash,
            tip_hash: fork_hash,
            headers: Vec::new(),
        }
    }

    /// The height of the block of ours that the branch follows.
    pub fn fork(&self) -> u32 {
        self.fork
    }

    /// The hash of the block of ours that the branch follows.
    pub(super) fn fork_hash(&self) -> BlockHash {
        self.fork_hash
    }

    /// The height of the newest header, or that of the fork if there is none.
    pub fn tip(&self) -> u32 {
        u32::try_from(self.headers.len())
            .ok()
            .and_then(|length| self.fork.checked_add(length))
            .unwrap_or(u32::MAX)
    }

    /// The hash of the newest header, or that of the fork if there is none.
    #[cfg(test)]
    pub(super) fn tip_hash(&self) -> BlockHash {
        self.tip_hash
    }

    /// The network whose rules hold.
    pub(super) fn network(&self) -> Network {
        self.network
    }

    /// The header at a height above the fork, if there is one.
    pub(super) fn get(&self, height: u32) -> Option<&Header> {
        let index = height.checked_sub(self.fork)?.checked_sub(1)?;
        self.headers.get(usize::try_from(index).ok()?)
    }

    /// The headers, that after the fork first.
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// The work of all headers.
    pub fn work(&self) -> Work {
        work::total(&self.headers)
    }

    /// Verifies a header by every rule, the cheapest first, and adds it.
    /// `ours` is the chain that the branch was made from; `now` is in seconds
    /// of Unix time.
    ///
    /// # Errors
    /// The header breaks a rule, or cannot be judged; nothing was added.
    pub fn push(&mut self, ours: &Headers, full: &FullHeader, now: u64) -> Result<(), HeaderError> {
        let height = self.check(ours, &full.header)?;
        rules::check_ahead(&full.header, now)?;
        full.check_work(self.network, height)?;
        self.add(full.header);
        Ok(())
    }

    /// Adds a header after checking everything but the AuxPoW.
    ///
    /// # Errors
    /// The header breaks a rule, or cannot be judged; nothing was added.
    pub(super) fn push_linked(
        &mut self,
        ours: &Headers,
        header: &Header,
        now: u64,
    ) -> Result<(), HeaderError> {
        let height = self.check(ours, header)?;
        rules::check_ahead(header, now)?;
        FullHeader::check_bare(header, self.network, height)?;
        self.add(*header);
        Ok(())
    }

    /// Adds a header that was verified by [`push`](Self::push) before it was
    /// recorded. Its link, bits and time are checked again; its work is not,
    /// because the record has no proof of it, and neither is the clock: a
    /// header that was not too far ahead once can only seem so if the clock
    /// was set back.
    ///
    /// # Errors
    /// The header breaks a rule, or cannot be judged; nothing was added.
    pub fn push_recorded(&mut self, ours: &Headers, header: Header) -> Result<(), HeaderError> {
        self.check(ours, &header)?;
        self.add(header);
        Ok(())
    }

    /// Checks all rules that need nothing but headers. Returns the height.
    fn check(&self, ours: &Headers, header: &Header) -> Result<u32, HeaderError> {
        if ours.hash(self.fork) != Some(self.fork_hash) {
            return Err(HeaderError::Stale);
        }
        if self.headers.len() >= MAX_LENGTH {
            return Err(HeaderError::TooLong);
        }
        let height = self.tip().checked_add(1).ok_or(HeaderError::TooLong)?;
        if header.prev_blockhash != self.tip_hash {
            return Err(HeaderError::Link);
        }
        rules::check(self.network, height, header, |height| {
            self.ancestor(ours, height)
        })?;
        Ok(height)
    }

    fn ancestor<'a>(&'a self, ours: &'a Headers, height: u32) -> Option<&'a Header> {
        if height <= self.fork {
            return ours.get(height);
        }
        self.get(height)
    }

    fn add(&mut self, header: Header) {
        self.tip_hash = header.block_hash();
        self.headers.push(header);
    }
}

#[cfg(test)]
mod tests;
