//! The headers at and below the checkpoint. Each commits to the one before it,
//! so hashes are proof enough.

use std::time::{Duration, Instant};

use bitcoin::block::Header;

use super::catch_up::{PATIENCE, is_too_slow, lie};
use super::ledger::Ledger;
use super::peer::{Peer, PeerError};
use crate::source::Cancel;

/// How long a single header may take, for which everything else waits.
const ONE: Duration = Duration::from_secs(15);

/// Fetches the checkpoint's header, and those below it without which the ones
/// above cannot be verified. `told` learns the lowest height that is there,
/// and the one that is needed, after each request.
pub(super) fn anchor(
    ledger: &Ledger,
    peer: &impl Peer,
    batch: u32,
    cancel: &Cancel,
    told: impl FnMut(u32, u32),
) -> Result<(), PeerError> {
    let checkpoint = ledger.headers().checkpoint().height;
    if ledger.headers().tip().is_none() {
        let headers = peer.stripped(checkpoint, 1, checkpoint, Instant::now() + ONE)?;
        let header = headers.first().copied();
        let header = header.ok_or_else(|| PeerError::Lied("no header".into()))?;
        ledger.change(|chain| chain.anchor(header)).map_err(lie)?;
    }
    let base = ledger.headers().lowest_for_rules();
    downwards(ledger, peer, base, batch, cancel, told)
}

/// Fetches what lookups need below the checkpoint; `told` as with [`anchor`].
pub(super) fn complete(
    ledger: &Ledger,
    peer: &impl Peer,
    batch: u32,
    cancel: &Cancel,
    told: impl FnMut(u32, u32),
) -> Result<(), PeerError> {
    let needed = {
        let chain = ledger.headers();
        chain.tip().map(|(tip, _)| chain.lowest_needed(tip))
    };
    match needed {
        Some(needed) => downwards(ledger, peer, needed, batch, cancel, told),
        None => Ok(()),
    }
}

fn downwards(
    ledger: &Ledger,
    peer: &impl Peer,
    needed: u32,
    batch: u32,
    cancel: &Cancel,
    mut told: impl FnMut(u32, u32),
) -> Result<(), PeerError> {
    let checkpoint = ledger.headers().checkpoint().height;
    let (begun, mut fetched) = (Instant::now(), 0);
    loop {
        let lowest = ledger.headers().lowest().unwrap_or(needed);
        if lowest <= needed {
            return Ok(());
        }
        if cancel.is_set() {
            return Err(PeerError::TimedOut);
        }
        if is_too_slow(fetched, begun.elapsed()) {
            return Err(PeerError::Broken("it sends old headers too slowly".into()));
        }
        let count = (lowest - needed).min(batch);
        let start = lowest - count;
        let headers = peer.stripped(start, count, checkpoint, Instant::now() + PATIENCE)?;
        ledger.change(|chain| prepend(chain, &headers))?;
        fetched += headers.len();
        told(start, needed);
    }
}

fn prepend(
    chain: &mut crate::chain::headers::Headers,
    headers: &[Header],
) -> Result<(), PeerError> {
    for header in headers.iter().rev() {
        chain.prepend(*header).map_err(lie)?;
    }
    Ok(())
}
