//! Believing many headers because of the proofs of work of some.
//!
//! The AuxPoW of a header takes some twenty times the room of the header.
//! [`Linked`] headers come without; [`Sampled`] ones are fixed, and a random
//! few of them are to be proven. Only when all of those are does a
//! [`Candidate`] come out. Nobody can tell beforehand which will be drawn, so
//! that who has forged a share f of the work gets through a sample of k with
//! the probability (1 − f)^k.

use std::collections::BTreeSet;

use bitcoin::block::Header;
use rand::{Rng, RngExt};
use thiserror::Error;

use super::arithmetic;
use super::candidate::Candidate;
use super::headers::Headers;
use super::rules::HeaderError;
use super::sealed::{SealedHeader, WorkError};

/// Headers that are drawn. One that is drawn more than once is proven once.
pub const SAMPLE: usize = 500;

/// The bits that are kept of the greatest work. Less than 2⁻⁸⁰ of all work is
/// in headers that are rounded to nothing, so that they count for nothing.
const PRECISION: u32 = 100;

/// Headers that follow a block of ours, by their links, versions, bits and
/// times. Nothing is known of the work of those that are merged mined.
#[derive(Debug)]
pub struct Linked(Candidate);

/// Headers that do not change any more, and those of them that are still to be
/// proven.
#[derive(Debug)]
pub struct Sampled {
    branch: Candidate,
    /// Heights.
    open: BTreeSet<u32>,
}

/// Why what was sent does not prove a header.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProofError {
    /// It belongs to another header.
    #[error("the proof of work of another header")]
    OtherHeader,
    /// It breaks a rule.
    #[error("a header that is refused: {0}")]
    Work(#[from] WorkError),
}

impl Linked {
    /// No header yet after our block at `fork`. `None` if we have no such
    /// block or it is below the checkpoint.
    pub fn new(ours: &Headers, fork: u32) -> Option<Self> {
        ours.candidate(fork).map(Self)
    }

    /// The height of the newest header, or that of the fork if there is none.
    pub fn tip(&self) -> u32 {
        self.0.tip()
    }

    /// The height of the block of ours that the headers follow.
    pub fn fork(&self) -> u32 {
        self.0.fork()
    }

    /// Adds a header by every rule that needs no AuxPoW. `ours` is the chain
    /// that this was made from; `now` is in seconds of Unix time.
    ///
    /// # Errors
    /// The header breaks a rule, or cannot be judged; nothing was added.
    pub fn push(&mut self, ours: &Headers, header: &Header, now: u64) -> Result<(), HeaderError> {
        self.0.push_linked(ours, header, now)
    }

    /// Draws the headers that are to be proven, each with a probability in
    /// proportion to its work. No header can be added from here on.
    pub fn sample(self, random: &mut impl Rng) -> Sampled {
        let first = self.0.fork().saturating_add(1);
        let open = draw(self.0.headers(), random)
            .into_iter()
            .filter_map(|index| first.checked_add(u32::try_from(index).ok()?))
            .collect();
        Sampled {
            branch: self.0,
            open,
        }
    }
}

impl Sampled {
    /// The heights of the headers that are still to be proven.
    pub fn open(&self) -> impl Iterator<Item = u32> {
        self.open.iter().copied()
    }

    /// The height of the block of ours that the headers follow.
    pub fn fork(&self) -> u32 {
        self.branch.fork()
    }

    /// The height of the newest header.
    pub fn tip(&self) -> u32 {
        self.branch.tip()
    }

    /// Takes the proof of the header at `height`.
    ///
    /// # Errors
    /// It proves nothing; the header is still to be proven.
    pub fn prove(&mut self, height: u32, sealed: &SealedHeader) -> Result<(), ProofError> {
        if self.branch.get(height) != Some(&sealed.header) {
            return Err(ProofError::OtherHeader);
        }
        sealed.check_work(self.branch.network(), height)?;
        self.open.remove(&height);
        Ok(())
    }

    /// The headers, if all that were drawn are proven.
    pub fn proven(&self) -> Option<&Candidate> {
        self.open.is_empty().then_some(&self.branch)
    }
}

/// Draws [`SAMPLE`] headers by their place, with replacement.
fn draw(headers: &[Header], random: &mut impl Rng) -> BTreeSet<usize> {
    let shift = arithmetic::bits(arithmetic::total(headers)).saturating_sub(PRECISION);
    let mut total: u128 = 0;
    let mut last = None;
    // Where the share of each header ends.
    let mut ends = Vec::with_capacity(headers.len());
    for header in headers {
        let work = match last {
            Some((bits, work)) if bits == header.bits => work,
            _ => arithmetic::scaled(header.work(), shift),
        };
        last = Some((header.bits, work));
        total = total.saturating_add(work);
        ends.push(total);
    }
    if total == 0 {
        return BTreeSet::new();
    }
    (0..SAMPLE)
        .map(|_| {
            let point = random.random_range(0..total);
            ends.partition_point(|&end| end <= point)
        })
        .collect()
}

#[cfg(test)]
mod tests;
