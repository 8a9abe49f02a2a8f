//! `ncprop279 checkpoint`: a verified block from which later runs, or the next
//! release, can start their verification.

use std::time::Duration;

use crate::source::diagnosis::{Diagnose, Milestone, MilestoneError};
use crate::source::{Bounds, Cancel};

/// Finds the block.
///
/// # Errors
/// The source has no block headers, or not yet enough of them.
pub fn run(timeout: Duration, source: &dyn Diagnose) -> Result<Milestone, MilestoneError> {
    let deadline = super::deadline(timeout);
    source.milestone(&Bounds {
        due: deadline,
        deadline,
        cancel: Cancel::new(),
    })
}

/// Two lines: the block as `--checkpoint` takes it, and the work of the chain
/// up to it in hexadecimal.
pub fn text(milestone: &Milestone) -> String {
    let Milestone {
        checkpoint,
        work,
        work_since,
        ..
    } = milestone;
    let work = format!("{work:x}");
    let work = work.trim_start_matches('0');
    match work_since {
        None => format!("{checkpoint}\nwork {work}\n"),
        Some(height) => format!("{checkpoint}\nwork {work} since block {height}\n"),
    }
}

/// What the user should know before relying on the block.
pub fn notes(milestone: &Milestone) -> Vec<String> {
    let alone = match milestone.operators.as_slice() {
        [only] => Some(format!(
            "only {only} answered: its chain was compared with no other"
        )),
        _ => None,
    };
    let sampled = milestone.is_sampled.then(|| {
        "these block headers were verified by a random sample of their proofs of work; \
         --verify-all-headers verifies all of them"
            .to_owned()
    });
    let discovered = milestone.has_discovered.then(|| {
        "one of the two operators is a discovered server, which the other might run".to_owned()
    });
    let notes = alone.into_iter().chain(discovered).chain(sampled);
    notes.collect()
}

#[cfg(test)]
mod tests {
    use bitcoin::Work;

    use super::*;
    use crate::chain::network::Network;

    #[test]
    fn work_is_hexadecimal_and_says_where_it_begins() {
        let mut milestone = Milestone {
            checkpoint: Network::Mainnet.checkpoint(),
            work: Work::from_unprefixed_hex("a88f4530bb8eaceaffde5c50").unwrap(),
            work_since: None,
            is_sampled: false,
            operators: vec!["one".into(), "two".into()],
            has_discovered: false,
        };
        let checkpoint = milestone.checkpoint;
        assert_eq!(
            text(&milestone),
            format!("{checkpoint}\nwork a88f4530bb8eaceaffde5c50\n")
        );
        milestone.work_since = Some(12);
        let end = "\nwork a88f4530bb8eaceaffde5c50 since block 12\n";
        assert!(text(&milestone).ends_with(end));
        assert_eq!(notes(&milestone), [""; 0]);
        milestone.has_discovered = true;
        assert!(notes(&milestone)[0].contains("a discovered server"));
        milestone.has_discovered = false;
        milestone.is_sampled = true;
        milestone.operators.pop();
        assert_eq!(notes(&milestone).len(), 2);
    }
}
