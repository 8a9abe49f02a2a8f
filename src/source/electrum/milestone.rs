//! A block deep in the verified chain, from which verification can start later.

use super::check;
use super::discovery::DISCOVERED;
use super::sync::Ledger;
use crate::chain::network::{Checkpoint, RETARGET_INTERVAL};
use crate::snapshot::FailureKind;
use crate::source::Bounds;
use crate::source::diagnosis::{Milestone, MilestoneError};

/// How many blocks are on top of it: two weeks of work.
const DEPTH: u32 = RETARGET_INTERVAL;

/// Waits until lookups could rely on the chain, and takes the newest block that
/// is deep enough.
pub(super) fn milestone(ledger: &Ledger, limit: &Bounds) -> Result<Milestone, MilestoneError> {
    check::settle(ledger, limit, check::SILENCE).map_err(|failure| match failure.kind {
        FailureKind::NotReady => MilestoneError::NotReady(failure),
        _ => MilestoneError::Unreachable(failure),
    })?;
    let is_sampled = ledger.is_sampled();
    let operators = ledger.status().operators;
    let headers = ledger.headers();
    let start = headers.checkpoint().height;
    let tip = headers.tip().map_or(start, |(tip, _)| tip);
    let found = tip.checked_sub(DEPTH).and_then(|height| {
        let since = headers.work_up_to(height)?;
        let total = headers.total_work_up_to(height);
        Some(Milestone {
            checkpoint: Checkpoint {
                height,
                hash: headers.hash(height)?,
            },
            work: total.unwrap_or(since),
            work_since: total.is_none().then_some(start),
            is_sampled,
            has_discovered: operators.iter().any(|one| one == DISCOVERED),
            operators,
        })
    });
    found.ok_or(MilestoneError::TooShallow {
        tip,
        checkpoint: start,
        depth: DEPTH,
    })
}
