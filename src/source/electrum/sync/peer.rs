//! One server's chain: what the header thread needs of a connection, and how it
//! follows the chain, from the fork with ours to its newest block, and from the
//! checkpoint downwards.
//!
//! Headers above the checkpoint are verified with their work. Below it hashes are
//! proof enough, as each header commits to the one before it.

use std::time::{Duration, Instant};

use bitcoin::block::Header;
use thiserror::Error;

use super::ledger::Ledger;
use crate::chain::headers::{Adoption, Candidate, Headers};
use crate::chain::proof_of_work::FullHeader;
use crate::chain::rules::HeaderError;
use crate::source::Cancel;
use crate::source::electrum::reply::NamedServer;
use crate::source::electrum::servers::Server;

/// The most headers in one request. A mainnet header with its AuxPoW is about
/// 4 kB as text, and a server that has sent megabytes nobody reads gives up.
pub const MAX_BATCH: u32 = 500;

/// The fewest headers that are asked for in one request of many, and that are
/// worth having.
pub(super) const MIN_BATCH: u32 = 25;

/// Why a request to a server failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PeerError {
    /// The connection broke or could not be opened.
    #[error("{0}")]
    Broken(String),
    /// Nothing came in time, though the connection is open.
    #[error("it did not answer in time")]
    TimedOut,
    /// It sent what no honest server sends.
    #[error("it sent {0}")]
    Lied(String),
}

/// A server's newest block, as it announced it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// The height that the server gives the block.
    pub height: u32,
    /// The block's header, without its AuxPoW.
    pub header: Header,
}

/// A connection on which headers are fetched, and nothing else.
pub trait Peer: Send + Sync {
    /// The server at its other end.
    fn server(&self) -> &Server;

    /// The newest block that the server has announced. This sends no request.
    fn newest(&self) -> Result<Announced, PeerError>;

    /// At most `count` headers from `start` on, with their AuxPoW. At least
    /// one, or an error.
    fn full_headers(
        &self,
        start: u32,
        count: u32,
        deadline: Instant,
    ) -> Result<Vec<FullHeader>, PeerError>;

    /// Exactly `count` headers from `start` on, without AuxPoW where the
    /// server can leave it out: `below` is a height that the server has at or
    /// above them. They are judged by their hashes alone.
    fn bare_headers(
        &self,
        start: u32,
        count: u32,
        below: u32,
        deadline: Instant,
    ) -> Result<Vec<Header>, PeerError>;

    /// Whether the server leaves AuxPoW out in the right places, as far as is
    /// known.
    fn omits_auxpow(&self) -> bool;

    /// The headers at exactly these heights, in their order, with their
    /// AuxPoW.
    fn proofs(&self, heights: &[u32], deadline: Instant) -> Result<Vec<FullHeader>, PeerError>;

    /// The other servers that the server names. That it does not is no fault.
    fn peers(&self, deadline: Instant) -> Result<Vec<NamedServer>, PeerError>;

    /// Bytes that came in on the connection.
    fn received(&self) -> u64;

    /// Whether the connection is still open, as far as is known.
    fn is_alive(&self) -> bool;

    /// Reads what has come without waiting, and keeps the connection from
    /// being closed as idle.
    fn keep_alive(&self);

    /// Ends the connection.
    fn close(&self);
}

/// Opens connections for headers.
pub trait Peers: Send + Sync {
    /// The connections it opens.
    type Peer: Peer;

    /// Opens a connection to a server, over a circuit of its own, and makes
    /// sure that headers come on it. That ends at `deadline`, or when it is
    /// cancelled; the connection does not.
    fn open(
        &self,
        server: &Server,
        deadline: Instant,
        cancel: &Cancel,
    ) -> Result<Self::Peer, PeerError>;

    /// The chain of a discovered server was compared with ours: lookups may use
    /// it from now on, if it can prove who it is.
    fn admit(&self, server: &Server);

    /// Discovered servers that are not among these are not used any more.
    fn keep_discovered(&self, servers: &[Server]);

    /// A server lied: nobody is to use it for a while.
    fn ban(&self, server: &Server);

    /// A server could not be reached, or its connection failed: others are to
    /// be used for a while.
    fn back_off(&self, server: &Server);

    /// Lookups compare the answers of so many operators from now on.
    fn set_operators(&self, operators: usize);

    /// Whether other servers are to be preferred for now.
    fn is_backed_off(&self, server: &Server) -> bool;

    /// Whether a server answered in an earlier run, and was not tried in this
    /// one.
    fn answered_before(&self, _server: &Server) -> bool {
        false
    }

    /// Whether a server can prove who it is, as far as is known.
    fn trusts(&self, server: &Server) -> bool;
}

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
pub struct Caught {
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
            return Err(PeerError::Broken("it sends headers a few at a time".into()));
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

fn is_ours(ledger: &Ledger, height: u32, header: &Header) -> bool {
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
        let known = ledger.headers().get(fork).map(Header::block_hash);
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
/// above cannot be verified. `progress` gets the lowest height that is there,
/// and the one that is needed, after each request.
pub(super) fn fetch_checkpoint(
    ledger: &Ledger,
    peer: &impl Peer,
    batch: u32,
    cancel: &Cancel,
    progress: impl FnMut(u32, u32),
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
    downwards(ledger, peer, base, batch, cancel, progress)
}

/// Fetches what lookups need below the checkpoint; `progress` as with [`fetch_checkpoint`].
pub(super) fn fetch_below(
    ledger: &Ledger,
    peer: &impl Peer,
    batch: u32,
    cancel: &Cancel,
    progress: impl FnMut(u32, u32),
) -> Result<(), PeerError> {
    let needed = {
        let chain = ledger.headers();
        chain.tip().map(|(tip, _)| chain.lowest_needed(tip))
    };
    match needed {
        Some(needed) => downwards(ledger, peer, needed, batch, cancel, progress),
        None => Ok(()),
    }
}

fn downwards(
    ledger: &Ledger,
    peer: &impl Peer,
    needed: u32,
    batch: u32,
    cancel: &Cancel,
    mut progress: impl FnMut(u32, u32),
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
        progress(start, needed);
    }
}

fn prepend(chain: &mut Headers, headers: &[Header]) -> Result<(), PeerError> {
    for header in headers.iter().rev() {
        chain.prepend(*header).map_err(lie)?;
    }
    Ok(())
}
