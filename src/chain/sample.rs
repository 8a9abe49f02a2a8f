//! Verifying many headers by the proofs of work of a few.
//!
//! A header's AuxPoW takes some twenty times the room of the header.
//! [`LinkedHeaders`] come without it. A [`Sample`] fixes them and draws a few at
//! random, whose work must be proven. Only when all of those are proven is there a
//! [`Candidate`]. Nobody can tell in advance which headers are drawn, so that
//! forging a share f of the work passes a sample of k with probability (1 − f)^k.

use std::collections::BTreeSet;

use bitcoin::block::Header;
use rand::{Rng, RngExt};
use thiserror::Error;

use super::headers::{Candidate, Headers};
use super::proof_of_work::{FullHeader, WorkError};
use super::rules::HeaderError;
use super::work;

/// The number of draws. A header that is drawn more than once is proven once.
pub const SAMPLE_SIZE: usize = 500;

/// The precision of works, in bits of the total. Less than 2⁻⁸⁰ of all work is
/// in headers whose work is rounded to 0.
const PRECISION: u32 = 100;

/// Headers that follow a block of ours, by their links, versions, bits and
/// times. Nothing is known of the work of those that are merged mined.
#[derive(Debug)]
pub struct LinkedHeaders(Candidate);

/// Headers that do not change any more, and which of them are still to be
/// proven.
#[derive(Debug)]
pub struct Sample {
    branch: Candidate,
    /// Heights.
    open: BTreeSet<u32>,
}

/// Why a header is not proven.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProofError {
    /// It belongs to another header.
    #[error("the proof of work of another header")]
    OtherHeader,
    /// It breaks a rule.
    #[error("a header that is refused: {0}")]
    Work(#[from] WorkError),
}

impl LinkedHeaders {
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
    pub fn sample(self, random: &mut impl Rng) -> Sample {
        let first = self.0.fork().saturating_add(1);
        let open = draw(self.0.headers(), random)
            .into_iter()
            .filter_map(|index| first.checked_add(u32::try_from(index).ok()?))
            .collect();
        Sample {
            branch: self.0,
            open,
        }
    }
}

impl Sample {
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
    pub fn prove(&mut self, height: u32, full: &FullHeader) -> Result<(), ProofError> {
        if self.branch.get(height) != Some(&full.header) {
            return Err(ProofError::OtherHeader);
        }
        full.check_work(self.branch.network(), height)?;
        self.open.remove(&height);
        Ok(())
    }

    /// The headers, if all that were drawn are proven.
    pub fn proven(&self) -> Option<&Candidate> {
        self.open.is_empty().then_some(&self.branch)
    }
}

/// Draws [`SAMPLE_SIZE`] headers by their place, with replacement.
fn draw(headers: &[Header], random: &mut impl Rng) -> BTreeSet<usize> {
    let shift = work::bits(work::total(headers)).saturating_sub(PRECISION);
    let mut total: u128 = 0;
    let mut last = None;
    // Where the share of each header ends.
    let mut ends = Vec::with_capacity(headers.len());
    for header in headers {
        let work = match last {
            Some((bits, work)) if bits == header.bits => work,
            _ => work::scaled(header.work(), shift),
        };
        last = Some((header.bits, work));
        total = total.saturating_add(work);
        ends.push(total);
    }
    if total == 0 {
        return BTreeSet::new();
    }
    (0..SAMPLE_SIZE)
        .map(|_| {
            let point = random.random_range(0..total);
            ends.partition_point(|&end| end <= point)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use bitcoin::CompactTarget;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::chain::network::{Checkpoint, Network};
    use crate::chain::proof_of_work::AuxPowError;
    use crate::chain::testing::*;

    const NOW: u64 = u32::MAX as u64;

    /// Recorded headers 1 to 250, which are merged mined, on the genesis.
    fn linked() -> (Headers, LinkedHeaders) {
        let ours = regtest(1);
        let mut linked = LinkedHeaders::new(&ours, 0).unwrap();
        for header in &recorded()[1..] {
            linked.push(&ours, header, NOW).unwrap();
        }
        (ours, linked)
    }

    fn random(seed: u8) -> StdRng {
        StdRng::from_seed([seed; 32])
    }

    /// The recorded headers with their proofs.
    fn full() -> Vec<FullHeader> {
        let text = include_str!("../../tests/data/electrum/chain_regtest.hex");
        text.lines()
            .map(|line| {
                let bytes = data_encoding::HEXLOWER.decode(line.as_bytes()).unwrap();
                let (full, rest) = FullHeader::read(&bytes).unwrap();
                assert!(rest.is_empty());
                full
            })
            .collect()
    }

    #[test]
    fn headers_are_believed_once_all_that_were_drawn_are_proven() {
        let full = full();
        let (mut ours, linked) = linked();
        let mut sampled = linked.sample(&mut random(1));
        let drawn: Vec<u32> = sampled.open().collect();
        // 500 of 250: most of them, and some twice.
        assert!((150..250).contains(&drawn.len()), "{}", drawn.len());
        assert!(drawn.iter().all(|height| (1..=250).contains(height)));
        for height in drawn {
            assert!(sampled.proven().is_none());
            let other = &full[height as usize - 1];
            assert_eq!(sampled.prove(height, other), Err(ProofError::OtherHeader));
            sampled.prove(height, &full[height as usize]).unwrap();
        }
        let adoption = ours.adopt(sampled.proven().unwrap());
        assert_eq!(
            adoption,
            super::super::headers::Adoption::Extended { count: 250 }
        );
    }

    #[test]
    fn a_wrong_proof_proves_nothing() {
        let full = full();
        let (_, linked) = linked();
        let mut sampled = linked.sample(&mut random(1));
        let height = sampled.open().next().unwrap();
        let header = full[height as usize].header;
        // The right header with the proof of another one, and with none.
        let mut wrong = full[height as usize + 1].clone();
        wrong.header = header;
        assert_eq!(
            sampled.prove(height, &wrong),
            Err(ProofError::Work(AuxPowError::NoCommitment.into()))
        );
        wrong.auxpow = None;
        assert_eq!(
            sampled.prove(height, &wrong),
            Err(ProofError::Work(WorkError::Announcement))
        );
        assert_eq!(sampled.open().next(), Some(height));
        assert!(sampled.proven().is_none());
    }

    #[test]
    fn links_bits_times_and_versions_are_checked_without_proofs() {
        let ours = regtest(1);
        let recorded = recorded();
        let refused = |change: &dyn Fn(&mut Header), now| {
            let mut linked = LinkedHeaders::new(&ours, 0).unwrap();
            let mut header = recorded[1];
            change(&mut header);
            let error = linked.push(&ours, &header, now).unwrap_err();
            assert_eq!(linked.tip(), 0);
            error
        };
        let link = refused(
            &|header| header.prev_blockhash = recorded[1].block_hash(),
            NOW,
        );
        assert_eq!(link, HeaderError::Link);
        let bits = refused(
            &|header| header.bits = CompactTarget::from_consensus(1),
            NOW,
        );
        assert!(matches!(bits, HeaderError::Bits { .. }));
        let early = refused(&|header| header.time = 0, NOW);
        assert!(matches!(early, HeaderError::Early { .. }));
        assert!(matches!(refused(&|_| {}, 0), HeaderError::Ahead(_)));
        let version = bitcoin::block::Version::from_consensus(0x0002_0104);
        let version = refused(&|header| header.version = version, NOW);
        assert_eq!(version, HeaderError::Work(WorkError::ChainId));
        // What is not merged mined shows its own work.
        let parent = recorded[0];
        let unmined = mine(after(&parent, parent.time + 1), false).header;
        let unmined = refused(&|header| *header = unmined, NOW);
        assert_eq!(unmined, HeaderError::Work(WorkError::Hash));
    }

    #[test]
    fn a_branch_that_ours_has_left_is_stale() {
        let mut ours = regtest(3);
        let mut linked = LinkedHeaders::new(&ours, 2).unwrap();
        let genesis = *ours.get(0).unwrap();
        let other: Vec<Header> = branch(&genesis, 4, 9)
            .iter()
            .map(|one| one.header)
            .collect();
        replace(&mut ours, 0, &other);
        assert_eq!(
            linked.push(&ours, &recorded()[3], NOW),
            Err(HeaderError::Stale)
        );
        let below = Checkpoint {
            height: 5,
            ..Network::Regtest.checkpoint()
        };
        assert!(LinkedHeaders::new(&Headers::new(Network::Regtest, below), 4).is_none());
    }

    fn with_bits(count: usize, bits: u32) -> Vec<Header> {
        vec![first(0, bits); count]
    }

    #[test]
    fn the_same_randomness_draws_the_same() {
        let headers = with_bits(40_000, 0x1d00_ffff);
        assert_eq!(
            draw(&headers, &mut random(1)),
            draw(&headers, &mut random(1))
        );
        assert_ne!(
            draw(&headers, &mut random(1)),
            draw(&headers, &mut random(2))
        );
        assert_eq!(draw(&[], &mut random(1)), BTreeSet::new());
        assert_eq!(draw(&headers[..1], &mut random(1)), BTreeSet::from([0]));
    }

    /// 0.5 % of headers are each 199 times as hard as the others: half of the work.
    #[test]
    fn headers_are_drawn_in_proportion_to_their_work() {
        let mut headers = with_bits(39_800, 0x1d00_c700);
        headers.splice(20_000..20_000, with_bits(200, 0x1d00_0100));
        let hard = headers.iter().filter(|one| one.work() > headers[0].work());
        assert_eq!(hard.count(), 200);
        let mut found = 0;
        for seed in 0..20 {
            let drawn = draw(&headers, &mut random(seed));
            assert!(drawn.iter().all(|&index| index < 40_000));
            // 500 draws with replacement; of the 200 hard ones many come twice.
            let easy = drawn
                .iter()
                .filter(|index| !(20_000..20_200).contains(*index));
            found += easy.count();
        }
        // 20 times 250 in the mean, less a few that were drawn twice.
        assert!((4_700..5_200).contains(&found), "{found}");
    }

    /// Work beyond 2^200, next to hardly any.
    #[test]
    fn extremes_of_work_are_drawn_from() {
        let mut headers = with_bits(1_000, 0x1d00_ffff);
        headers.extend(with_bits(2, 0x0400_ffff));
        let drawn = draw(&headers, &mut random(1));
        assert_eq!(drawn, BTreeSet::from([1_000, 1_001]));
        headers.extend(with_bits(1_000, 0x0100_0001));
        let drawn = draw(&headers, &mut random(1));
        assert!(drawn.iter().all(|&index| index < headers.len()));
    }

    /// The argument of spec/electrum.md, section 3.1.
    #[test]
    fn forged_work_gets_through_as_seldom_as_the_rule_says() {
        let passes = |percent: usize, trials: u32| {
            let headers = with_bits(1_000, 0x1d00_ffff);
            let is_forged = |index: &usize| index % 100 < percent;
            let mut random = random(3);
            (0..trials)
                .filter(|_| !draw(&headers, &mut random).iter().any(is_forged))
                .count()
        };
        // 0.99^500 = 0.66 %; in a thousand trials 6.6.
        let passed = passes(1, 1_000);
        assert!((1..=16).contains(&passed), "{passed}");
        for percent in [5, 10, 50] {
            assert_eq!(passes(percent, 100), 0);
        }
    }
}
