//! A branch that may take the place of the newest part of our chain.

use bitcoin::block::Header;
use bitcoin::{BlockHash, Work};

use super::arithmetic;
use super::headers::Headers;
use super::network::Network;
use super::rules::{self, HeaderError};
use super::sealed::SealedHeader;

/// Headers that one branch may have: those of twenty years, 80 MiB.
pub const MAX_LENGTH: usize = 1 << 20;

/// Verified headers that follow a block of our chain.
///
/// Each takes 80 bytes; what proved its work is not kept. Whether they take
/// the place of our own is decided by [`Headers::adopt`].
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
        arithmetic::total(&self.headers)
    }

    /// Verifies a header by every rule, the cheapest first, and adds it.
    /// `ours` is the chain that the branch was made from; `now` is in seconds
    /// of Unix time.
    ///
    /// # Errors
    /// The header breaks a rule, or cannot be judged; nothing was added.
    pub fn push(
        &mut self,
        ours: &Headers,
        sealed: &SealedHeader,
        now: u64,
    ) -> Result<(), HeaderError> {
        let height = self.check(ours, &sealed.header)?;
        rules::check_ahead(&sealed.header, now)?;
        sealed.check_work(self.network, height)?;
        self.add(sealed.header);
        Ok(())
    }

    /// Adds a header of which everything was checked but the AuxPoW.
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
        SealedHeader::check_bare(header, self.network, height)?;
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
