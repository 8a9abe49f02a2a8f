//! The work that the replies of one fetch may cause.

use super::Bogus;

/// Signature verifications for one fetch. A reply takes four at most: the SOA
/// record and three NSEC or NSEC3 records.
const VERIFICATIONS: u32 = 64;

/// Verifications that may fail. Honest zones have none, apart from keys that
/// happen to share their tag; zones that were made to exhaust resolvers have many
/// (KeyTrap, CVE-2023-50387).
const FAILURES: u32 = 8;

/// Blocks that may be hashed for NSEC3 owner names (CVE-2023-50868) and for key
/// digests: a few milliseconds.
const BLOCKS: u32 = 32_768;

/// Bytes in a block of SHA-1 and SHA-256.
const BLOCK: usize = 64;

/// Iterations of NSEC3 hashes that we accept. RFC 9276 section 3.1 recommends 0
/// to zones; section 3.2 lets validators refuse high counts.
const MAX_ITERATIONS: u16 = 150;

/// Bounds the work for the replies of one fetch.
#[derive(Debug, Clone)]
pub struct Work {
    verifications: u32,
    failures: u32,
    blocks: u32,
}

impl Default for Work {
    fn default() -> Self {
        Self::new()
    }
}

impl Work {
    /// The budget of one fetch.
    pub fn new() -> Self {
        Self {
            verifications: VERIFICATIONS,
            failures: FAILURES,
            blocks: BLOCKS,
        }
    }

    /// Takes one verification from the budget. Every one counts as a failure until
    /// [`Work::succeeded`].
    pub(super) fn verify(&mut self) -> Result<(), Bogus> {
        let exhausted = Bogus::TooManySignatures;
        let verifications = self.verifications.checked_sub(1).ok_or(exhausted)?;
        let failures = self.failures.checked_sub(1).ok_or(exhausted)?;
        self.verifications = verifications;
        self.failures = failures;
        Ok(())
    }

    /// The verification that was taken last has succeeded.
    pub(super) fn succeeded(&mut self) {
        self.failures = FAILURES.min(self.failures + 1);
    }

    /// Takes one NSEC3 hash with its iterations from the budget.
    pub(super) fn hash3(&mut self, name: usize, salt: usize, iterations: u16) -> Result<(), Bogus> {
        if iterations > MAX_ITERATIONS {
            return Err(Bogus::TooManyIterations);
        }
        self.hash(name + salt)?;
        for _ in 0..iterations {
            self.hash(20 + salt)?;
        }
        Ok(())
    }

    /// Takes one hash of this many bytes from the budget.
    pub(super) fn hash(&mut self, bytes: usize) -> Result<(), Bogus> {
        // Padding takes nine bytes.
        let blocks = u32::try_from((bytes + 9).div_ceil(BLOCK)).unwrap_or(u32::MAX);
        self.blocks = self
            .blocks
            .checked_sub(blocks)
            .ok_or(Bogus::TooManyHashes)?;
        Ok(())
    }
}
