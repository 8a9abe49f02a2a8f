//! Following one server's chain: from the fork with ours to its newest block, and
//! from the checkpoint downwards.
//!
//! Headers above the checkpoint are verified with their work. Below it hashes are
//! proof enough, as each header commits to the one before it.

use std::time::{Duration, Instant};

use bitcoin::block::Header;

use super::ledger::Ledger;
use super::peer::{Announced, MIN_BATCH, Peer, PeerError};
use crate::chain::headers::{Adoption, Candidate};
use crate::chain::proof_of_work::FullHeader;
use crate::chain::rules::HeaderError;
use crate::source::Cancel;

/// How long one request for headers may take: two megabytes over a slow
/// circuit.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The fewest headers a second that a branch beside our own chain may come at,
/// and the time in seconds after which they are counted. With fewer, a server
/// could keep the others from being heard until our newest block is too old
/// for lookups; with these it has sent a hundred thousand before.
const MIN_HEADERS_PER_SECOND: u64 = 5;
const GRACE_SECONDS: u64 = 300;

/// The user is warned of a reorganisation that goes deeper.
pub(super) const DEEP_REORG: u32 = 100;

/// The outcome of comparing chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Caught {
    /// How many of our blocks were replaced.
    pub depth: u32,
    /// How many blocks were added.
    pub count: u32,
    /// Whether headers were asked for, and none of them was of use.
    pub was_useless: bool,
    /// The newest block of the server's chain.
    pub newest: Announced,
}

/// Compares our chain with a server's, and adopts the one with more work; at
/// most `batch` headers are requested at once. If it succeeds, the operator
/// counts as heard.
pub(super) fn catch_up(
    ledger: &Ledger,
    peer: &impl Peer,
    batch: u32,
    cancel: &Cancel,
) -> Result<Caught, PeerError> {
    let newest = peer.newest()?;
    ledger.raise_target(newest.height);
    let mut caught = Caught {
        depth: 0,
        count: 0,
        was_useless: false,
        newest,
    };
    if is_ours(ledger, newest.height, &newest.header) {
        return Ok(caught);
    }
    let (mut candidate, mut headers) = fork(ledger, peer, newest.height, batch, cancel)?;
    let mut begun = Instant::now();
    loop {
        push(ledger, &mut candidate, &headers)?;
        let reached = candidate.tip();
        if reached >= newest.height {
            break;
        }
        if headers.len() < few(batch) {
            return Err(PeerError::Broken(
                "it sends headers by dribs and drabs".into(),
            ));
        }
        // What goes on from our newest block counts at once, so that a
        // connection which breaks has not worked for nothing.
        if candidate.fork() == tip(ledger)? {
            caught.count += adopt(ledger, &candidate).1;
            candidate = begin(ledger, tip(ledger)?)?;
            begun = Instant::now();
        }
        if is_too_slow(candidate.headers().len(), begun.elapsed()) {
            return Err(PeerError::Broken("it sends a branch too slowly".into()));
        }
        if cancel.is_set() {
            return Err(PeerError::TimedOut);
        }
        let start = reached.saturating_add(1);
        headers = peer.full_headers(start, batch, Instant::now() + REQUEST_TIMEOUT)?;
    }
    let is_there = has(&candidate, &newest);
    let (depth, count) = adopt(ledger, &candidate);
    if !is_there {
        return Err(PeerError::Broken(
            "its newest block is not in its chain".into(),
        ));
    }
    caught.depth = depth;
    caught.count += count;
    caught.was_useless = caught.count == 0;
    Ok(caught)
}

/// The fewest headers of a request for `batch` that bring us forward.
fn few(batch: u32) -> usize {
    usize::try_from(batch.min(MIN_BATCH)).unwrap_or(usize::MAX)
}

/// Whether so many headers of a branch took too long.
pub(super) fn is_too_slow(headers: usize, time: Duration) -> bool {
    let least = time
        .as_secs()
        .saturating_sub(GRACE_SECONDS)
        .saturating_mul(MIN_HEADERS_PER_SECOND);
    u64::try_from(headers).unwrap_or(u64::MAX) < least
}

fn has(candidate: &Candidate, newest: &Announced) -> bool {
    let above = newest.height.checked_sub(candidate.fork());
    above
        .and_then(|above| usize::try_from(above).ok()?.checked_sub(1))
        .and_then(|index| candidate.headers().get(index))
        == Some(&newest.header)
}

fn is_ours(ledger: &Ledger, height: u32, header: &bitcoin::block::Header) -> bool {
    ledger.headers().get(height) == Some(header)
}

/// Finds the last block that both chains have: the headers after it as far as
/// the server sent them, and a candidate that begins there.
fn fork(
    ledger: &Ledger,
    peer: &impl Peer,
    height: u32,
    batch: u32,
    cancel: &Cancel,
) -> Result<(Candidate, Vec<FullHeader>), PeerError> {
    let checkpoint = ledger.headers().checkpoint().height;
    let mut back = 0;
    loop {
        let ours = tip(ledger)?;
        // The server's newest block is asked for if its chain is the shorter
        // one, as it is not ours.
        let start = ours
            .saturating_add(1)
            .min(height)
            .saturating_sub(back)
            .max(checkpoint.saturating_add(1));
        let headers = peer.full_headers(start, batch, Instant::now() + REQUEST_TIMEOUT)?;
        let previous = headers.first().map(|first| first.header.prev_blockhash);
        let fork = start.saturating_sub(1);
        let known = ledger
            .headers()
            .get(fork)
            .map(bitcoin::block::Header::block_hash);
        if previous.is_some() && previous == known {
            return Ok((begin(ledger, fork)?, headers));
        }
        if fork <= checkpoint {
            return Err(PeerError::Lied(
                "a chain that does not have the checkpoint".into(),
            ));
        }
        if cancel.is_set() {
            return Err(PeerError::TimedOut);
        }
        back = (back * 4).max(4);
    }
}

/// Verifies headers at the end of a candidate.
pub(super) fn push(
    ledger: &Ledger,
    candidate: &mut Candidate,
    headers: &[FullHeader],
) -> Result<(), PeerError> {
    let now = ledger.now();
    let chain = ledger.headers();
    for (index, header) in headers.iter().enumerate() {
        candidate
            .push(&chain, header, now)
            .map_err(|error| refused(index, error))?;
    }
    Ok(())
}

/// The error if the header at this index of a reply is refused.
pub(super) fn refused(index: usize, error: HeaderError) -> PeerError {
    match error {
        // Between two replies even an honest server's chain can change.
        HeaderError::Link if index == 0 => PeerError::Broken("its chain changed meanwhile".into()),
        error => lie(error),
    }
}

/// An error in a server's header, for the user.
pub(super) fn lie(error: HeaderError) -> PeerError {
    match error {
        HeaderError::Missing(_) | HeaderError::Stale | HeaderError::TooLong => {
            PeerError::Broken(error.to_string())
        }
        // Either the server's time is wrong, or ours.
        HeaderError::Ahead(_) => PeerError::Broken(error.to_string()),
        error => PeerError::Lied(format!("a header that is refused: {error}")),
    }
}

/// Adopts a candidate. Returns how many blocks were replaced and how many were
/// added.
pub(super) fn adopt(ledger: &Ledger, candidate: &Candidate) -> (u32, u32) {
    match ledger.adopt(candidate) {
        Adoption::Kept | Adoption::Stale => (0, 0),
        Adoption::Extended { count } => (0, count),
        Adoption::Replaced { depth, count } => (depth, count),
    }
}

/// The height of our newest block; there is one once the checkpoint's header
/// has been fetched.
pub(super) fn tip(ledger: &Ledger) -> Result<u32, PeerError> {
    let tip = ledger.headers().tip().map(|(height, _)| height);
    tip.ok_or_else(|| PeerError::Broken("the checkpoint's header is missing".into()))
}

pub(super) fn begin(ledger: &Ledger, fork: u32) -> Result<Candidate, PeerError> {
    let candidate = ledger.headers().candidate(fork);
    candidate.ok_or_else(|| PeerError::Broken("our chain changed meanwhile".into()))
}

/// How long a single header may take, for which everything else waits.
const SINGLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Fetches the checkpoint's header, and those below it without which the ones
/// above cannot be verified. `told` learns the lowest height that is there,
/// and the one that is needed, after each request.
pub(super) fn fetch_checkpoint(
    ledger: &Ledger,
    peer: &impl Peer,
    batch: u32,
    cancel: &Cancel,
    told: impl FnMut(u32, u32),
) -> Result<(), PeerError> {
    let checkpoint = ledger.headers().checkpoint().height;
    if ledger.headers().tip().is_none() {
        let headers =
            peer.bare_headers(checkpoint, 1, checkpoint, Instant::now() + SINGLE_TIMEOUT)?;
        let header = headers.first().copied();
        let header = header.ok_or_else(|| PeerError::Lied("no header".into()))?;
        ledger.change(|chain| chain.anchor(header)).map_err(lie)?;
    }
    let base = ledger.headers().lowest_for_rules();
    downwards(ledger, peer, base, batch, cancel, told)
}

/// Fetches what lookups need below the checkpoint; `told` as with [`fetch_checkpoint`].
pub(super) fn fetch_below(
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
        let headers =
            peer.bare_headers(start, count, checkpoint, Instant::now() + REQUEST_TIMEOUT)?;
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
