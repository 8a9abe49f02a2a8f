//! How far the first synchronisation is, for people who wait for it.

use super::sync::{Held, Ledger, NEWEST};
use crate::chain::sample::SAMPLE;
use crate::source::diagnosis::{Progress, Stage};

/// About what a header with its AuxPoW takes in a reply, in bytes.
const SEALED: u64 = 4_000;

/// How far it is; `None` once lookups can rely on the headers. `bytes` have
/// come in so far.
pub(super) fn progress(ledger: &Ledger, bytes: u64) -> Option<Progress> {
    let status = ledger.status();
    status.obstacle.as_ref()?;
    let held = ledger.gauge.get();
    let headers = Headers::of(ledger, status.target, held);
    let (stage, done, total) = match held {
        Held::Drawn { proven, drawn } => (Stage::Proving, number(proven), number(drawn)),
        Held::Nothing if status.target == 0 => (
            Stage::Searching,
            number(status.met.len().min(status.needed)),
            number(status.needed),
        ),
        Held::Nothing if headers.are_all() => (
            Stage::Comparing,
            number(status.operators.len().min(status.needed)),
            number(status.needed),
        ),
        _ => (Stage::Fetching, headers.there, headers.needed),
    };
    let later = match held {
        Held::Nothing => 0,
        Held::Linked { .. } => number(SAMPLE).saturating_add(NEWEST.into()),
        Held::Drawn { .. } => NEWEST.into(),
    };
    Some(Progress {
        stage,
        done,
        total,
        bytes,
        later: later.saturating_mul(SEALED),
    })
}

/// How many headers there are, and how many there have to be.
struct Headers {
    there: u64,
    needed: u64,
}

impl Headers {
    fn of(ledger: &Ledger, target: u32, held: Held) -> Self {
        let chain = ledger.headers();
        let checkpoint = chain.checkpoint().height;
        let (lowest, tip) = match (chain.lowest(), chain.tip()) {
            (Some(lowest), Some((tip, _))) => (lowest, tip),
            _ => (checkpoint.saturating_add(1), checkpoint),
        };
        let tip = match held {
            Held::Linked { tip: linked } => tip.max(linked),
            _ => tip,
        };
        let target = target.max(tip);
        let base = chain.lowest_needed(target).min(lowest);
        let count =
            |from: u32, to: u32| u64::from(to).saturating_add(1).saturating_sub(from.into());
        Self {
            there: count(lowest, tip),
            needed: count(base, target),
        }
    }

    fn are_all(&self) -> bool {
        self.there >= self.needed
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::headers::Headers;
    use crate::chain::network::Network;
    use crate::chain::testing;

    #[test]
    fn each_stage_counts_its_own() {
        let headers = Headers::new(Network::Regtest, Network::Regtest.checkpoint());
        let ledger = Ledger::new(headers, 2, || 0);
        let told = |bytes| {
            let progress = progress(&ledger, bytes)?;
            assert_eq!(progress.bytes, bytes);
            Some((
                progress.stage,
                progress.done,
                progress.total,
                progress.later,
            ))
        };
        assert_eq!(told(0), Some((Stage::Searching, 0, 2, 0)));
        for operator in ["a", "b", "c"] {
            ledger.met(operator);
        }
        assert_eq!(told(10), Some((Stage::Searching, 2, 2, 0)));
        // The genesis is not there yet.
        ledger.aim(5000);
        assert_eq!(told(20), Some((Stage::Fetching, 0, 5001, 0)));
        let (sample, newest) = (500 * SEALED, 144 * SEALED);
        ledger.gauge.set(Held::Linked { tip: 400 });
        let expected = (Stage::Fetching, 400, 5001, sample + newest);
        assert_eq!(told(30), Some(expected));
        let (proven, drawn) = (25, 487);
        ledger.gauge.set(Held::Drawn { proven, drawn });
        assert_eq!(told(40), Some((Stage::Proving, 25, 487, newest)));
        // Somebody's chain is longer than anybody has said.
        ledger.gauge.set(Held::Linked { tip: u32::MAX });
        let all = u64::from(u32::MAX);
        let expected = (Stage::Fetching, all, all + 1, sample + newest);
        assert_eq!(told(50), Some(expected));
    }

    #[test]
    fn there_is_none_once_lookups_work() {
        let ledger = Ledger::new(testing::regtest(100), 2, || 0);
        let told = || progress(&ledger, 0).map(|one| (one.stage, one.done, one.total));
        ledger.aim(250);
        assert_eq!(told(), Some((Stage::Fetching, 100, 251)));
        ledger.change(|headers| *headers = testing::regtest(251));
        assert_eq!(told(), Some((Stage::Comparing, 0, 2)));
        ledger.answered("a");
        assert_eq!(told(), Some((Stage::Comparing, 1, 2)));
        ledger.answered("b");
        assert_eq!(told(), None);
    }
}
