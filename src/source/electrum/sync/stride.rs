//! Many headers from several connections at once: each is asked for another
//! range, one request at a time, and what they send is verified in order.

use std::thread;
use std::time::Instant;

use super::catch_up::{PATIENCE, adopt, begin, lie, tip};
use super::ledger::Ledger;
use super::peer::{Peer, PeerError};
use crate::chain::proof_of_work::SealedHeader;
use crate::platform;

/// A connection in a stride.
pub(super) struct Lane<'a, P> {
    pub peer: &'a P,
    /// The height up to which its server has headers.
    pub target: u32,
    /// Whether it is of no use for ranges: broken, or on another branch.
    pub is_out: bool,
}

impl<'a, P: Peer> Lane<'a, P> {
    /// A lane for a connection whose server has headers up to `target`.
    pub fn new(peer: &'a P, target: u32) -> Self {
        Self {
            peer,
            target,
            is_out: false,
        }
    }
}

/// What a lane did wrong, by its place among the lanes.
pub(super) type Fault = (usize, PeerError);

/// Asks each lane for the next `batch` headers, and verifies what comes. Returns how
/// many headers were added to the chain, and the lanes that failed.
pub(super) fn stride<P: Peer>(
    ledger: &Ledger,
    lanes: &mut [Lane<'_, P>],
    batch: u32,
) -> Result<(u32, Vec<Fault>), PeerError> {
    let from = tip(ledger)?;
    let mut faults = Vec::new();
    let mut added = 0;
    for (at, start, count, fetched) in fetch(lanes, from, batch) {
        let Some(lane) = lanes.get_mut(at) else {
            continue;
        };
        // What comes from the others would not link to less than was asked for.
        lane.is_out = fetched
            .as_ref()
            .is_ok_and(|headers| number(headers) < count);
        match fetched {
            Ok(headers) => match append(ledger, start, &headers) {
                Ok(Appended::Headers(count)) => added += count,
                Ok(Appended::Gap) => {}
                // Which branch is right is found out by comparing work, later.
                Ok(Appended::OtherBranch) => lane.is_out = true,
                Err(error) => {
                    lane.is_out = true;
                    faults.push((at, error));
                }
            },
            Err(error) => {
                lane.is_out = true;
                faults.push((at, error));
            }
        }
    }
    Ok((added, faults))
}

type Fetched = Result<Vec<SealedHeader>, PeerError>;

fn number(headers: &[SealedHeader]) -> u32 {
    u32::try_from(headers.len()).unwrap_or(u32::MAX)
}

/// Fetches contiguous ranges after `from`, of `batch` headers at most, each
/// from another lane.
fn fetch<P: Peer>(lanes: &[Lane<'_, P>], from: u32, batch: u32) -> Vec<(usize, u32, u32, Fetched)> {
    let deadline = Instant::now() + PATIENCE;
    let mut next = from.saturating_add(1);
    thread::scope(|scope| {
        let mut ranges = Vec::new();
        for (at, lane) in lanes.iter().enumerate() {
            if lane.is_out || lane.target < next {
                continue;
            }
            let start = next;
            let count = batch.min(lane.target - start + 1);
            next = start.saturating_add(count);
            let peer = lane.peer;
            let fetching = platform::thread("range")
                .spawn_scoped(scope, move || peer.sealed(start, count, deadline));
            ranges.push((at, start, count, fetching));
        }
        ranges
            .into_iter()
            .map(|(at, start, count, fetching)| {
                let fetched = match fetching {
                    Ok(fetching) => fetching
                        .join()
                        .unwrap_or_else(|_| Err(PeerError::Broken("a thread failed".into()))),
                    Err(_) => Err(PeerError::Broken("no thread could be started".into())),
                };
                (at, start, count, fetched)
            })
            .collect()
    })
}

/// What became of a range.
enum Appended {
    /// This many of its headers are on our chain now.
    Headers(u32),
    /// The range before it did not come.
    Gap,
    /// It does not go on from the block that we have before it.
    OtherBranch,
}

/// Verifies headers that go on from our newest block.
fn append(ledger: &Ledger, start: u32, headers: &[SealedHeader]) -> Result<Appended, PeerError> {
    let tip = tip(ledger)?;
    if start != tip.saturating_add(1) {
        return Ok(Appended::Gap);
    }
    let ours = ledger
        .headers()
        .tip()
        .map(|(_, header)| header.block_hash());
    let previous = headers.first().map(|first| first.header.prev_blockhash);
    if previous != ours {
        return Ok(Appended::OtherBranch);
    }
    let mut candidate = begin(ledger, tip)?;
    let now = ledger.now();
    let mut refused = None;
    {
        let chain = ledger.headers();
        for header in headers {
            if let Err(error) = candidate.push(&chain, header, now) {
                refused = Some(error);
                break;
            }
        }
    }
    // What was right before the error is verified, whoever sent it.
    let (_, count) = adopt(ledger, &candidate);
    match refused {
        None => Ok(Appended::Headers(count)),
        Some(error) => Err(lie(error)),
    }
}
