//! Downloading many headers with their AuxPoW: consecutive ranges over several
//! connections to each server, verified in order. Connections are replaced before
//! their servers slow them down.

use std::collections::HashMap;
use std::iter::repeat_n;
use std::thread;
use std::time::{Duration, Instant};

use super::ledger::Ledger;
use super::peer::{
    MAX_BATCH, MIN_BATCH, Peer, PeerError, Peers, REQUEST_TIMEOUT, adopt, begin, lie, tip,
};
use super::{Driver, RateLimit, SESSIONS, Session, Sessions};
use crate::chain::proof_of_work::FullHeader;
use crate::platform;
use crate::source::electrum::servers::Server;

/// A connection that has brought this many bytes is replaced. Servers slow down
/// a session that goes on for long, and end it after about 50 MB.
const MAX_SESSION_BYTES: u64 = 24 << 20;

impl<P: Peers> Driver<P> {
    /// Downloads a long stretch over many sessions.
    pub(super) fn fetch_many(&mut self, sessions: &mut Sessions<P::Peer>) {
        let mut rate = RateLimit::new();
        loop {
            self.renew(sessions);
            self.update_target(sessions);
            let mut lanes = Vec::new();
            for session in sessions.open.iter().filter(|one| one.peer.is_alive()) {
                if let Ok(newest) = session.peer.newest() {
                    lanes.push(Lane::new(&session.peer, newest.height));
                }
            }
            let mut some_used_up = false;
            // The last stretch is left to `compare`, because servers may differ
            // there.
            while !some_used_up && !self.cancel.is_set() && is_far(&self.ledger, &lanes) {
                let begun = Instant::now();
                let Ok((added, faults)) = fetch_ranges(&self.ledger, &mut lanes, sessions.batch)
                else {
                    return;
                };
                let is_slow = faults
                    .iter()
                    .any(|(_, error)| *error == PeerError::TimedOut);
                sessions.batch = adapted(sessions.batch, begun.elapsed(), is_slow);
                for (at, error) in faults {
                    if let Some(lane) = lanes.get(at) {
                        lane.peer.close();
                        self.blame(&mut sessions.liars, lane.peer.server(), &error);
                    }
                }
                self.update_target(sessions);
                if added > 0 {
                    self.save();
                }
                if rate.is_due() {
                    self.log_status();
                }
                some_used_up = lanes.iter().any(|lane| is_used_up(lane.peer));
            }
            sessions.drop_lost();
            if !some_used_up {
                return;
            }
        }
    }

    /// Replaces sessions that have brought much, and opens further ones to
    /// servers whose chain is still to be fetched: to those that have much more
    /// than we have, and to those whose key was not seen often enough.
    pub(super) fn renew(&mut self, sessions: &mut Sessions<P::Peer>) {
        let tip = self.ledger.headers().tip().map_or(0, |(height, _)| height);
        let wanted: HashMap<Server, usize> = sessions
            .open
            .iter()
            .filter(|session| !session.is_compared())
            .map(|session| {
                let server = session.peer.server();
                let newest = session.peer.newest().map_or(0, |newest| newest.height);
                let is_far = newest.saturating_sub(tip) > MAX_BATCH;
                let count = match is_far || !self.peers.trusts(server) {
                    true => SESSIONS,
                    false => 1,
                };
                (server.clone(), count)
            })
            .collect();
        for session in sessions.open.iter().filter(|one| is_used_up(&one.peer)) {
            session.peer.close();
        }
        sessions.drop_lost();
        let missing: Vec<Server> = wanted
            .into_iter()
            .flat_map(|(server, count)| {
                let missing = count.saturating_sub(sessions.count(&server));
                repeat_n(server, missing)
            })
            .collect();
        self.open_further(&missing, sessions);
    }

    /// Opens further connections to servers, all at once. If one fails, its
    /// server still has another, which shows whether it is of use.
    fn open_further(&mut self, servers: &[Server], sessions: &mut Sessions<P::Peer>) {
        let (peers, cancel) = (&self.peers, &self.cancel);
        let jobs = servers.iter().map(|server| {
            let deadline = Instant::now() + self.record.limit(server);
            (server, move || peers.open(server, deadline, cancel))
        });
        for (server, peer) in side_by_side("reach", jobs.collect()) {
            match peer {
                Ok(peer) => sessions.open.push(Session::new(peer)),
                Err(error @ PeerError::Lied(_)) => self.blame(&mut sessions.liars, server, &error),
                Err(error) => self.log.info(format_args!("{server}: {error}")),
            }
        }
    }
}

/// Whether a session has brought so much that its server may slow it down.
fn is_used_up(peer: &impl Peer) -> bool {
    peer.received() > MAX_SESSION_BYTES
}

/// How many headers to request at once, after `batch` took this long.
fn adapted(batch: u32, time: Duration, is_slow: bool) -> u32 {
    if is_slow {
        fewer(batch)
    } else if time < REQUEST_TIMEOUT / 4 {
        (batch * 2).min(MAX_BATCH)
    } else {
        batch
    }
}

/// How many headers to request at once, after `batch` came too slowly.
pub(super) fn fewer(batch: u32) -> u32 {
    (batch / 4).max(MIN_BATCH)
}

/// Whether more is to be fetched than one request brings.
fn is_far<P: Peer>(ledger: &Ledger, lanes: &[Lane<'_, P>]) -> bool {
    let tip = ledger.headers().tip().map_or(0, |(height, _)| height);
    lanes
        .iter()
        .filter(|lane| !lane.is_out)
        .any(|lane| lane.target.saturating_sub(tip) > MAX_BATCH)
}

/// A connection that takes part in a parallel download.
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
pub(super) fn fetch_ranges<P: Peer>(
    ledger: &Ledger,
    lanes: &mut [Lane<'_, P>],
    batch: u32,
) -> Result<(u32, Vec<Fault>), PeerError> {
    let from = tip(ledger)?;
    let mut faults = Vec::new();
    let mut added = 0;
    for ((at, start, count), fetched) in fetch(lanes, from, batch) {
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

fn number(headers: &[FullHeader]) -> u32 {
    u32::try_from(headers.len()).unwrap_or(u32::MAX)
}

type Fetched = Result<Vec<FullHeader>, PeerError>;

/// Fetches contiguous ranges after `from`, of at most `batch` headers, each on
/// another lane. Returns them with the lane's index, the first height and the
/// number asked for.
fn fetch<P: Peer>(
    lanes: &[Lane<'_, P>],
    from: u32,
    batch: u32,
) -> Vec<((usize, u32, u32), Fetched)> {
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    let mut next = from.saturating_add(1);
    let mut jobs = Vec::new();
    for (at, lane) in lanes.iter().enumerate() {
        if lane.is_out || lane.target < next {
            continue;
        }
        let start = next;
        let count = batch.min(lane.target - start + 1);
        next = start.saturating_add(count);
        let peer = lane.peer;
        let fetch = move || peer.full_headers(start, count, deadline);
        jobs.push(((at, start, count), fetch));
    }
    side_by_side("range", jobs)
}

/// Runs all jobs at once, each on a thread of its own, and returns each one's
/// result beside its key.
pub(super) fn side_by_side<K, T: Send>(
    thread_name: &str,
    jobs: Vec<(K, impl FnOnce() -> Result<T, PeerError> + Send)>,
) -> Vec<(K, Result<T, PeerError>)> {
    thread::scope(|scope| {
        let mut running = Vec::with_capacity(jobs.len());
        for (key, job) in jobs {
            running.push((key, platform::thread(thread_name).spawn_scoped(scope, job)));
        }
        let ended = running.into_iter().map(|(key, thread)| {
            let result = match thread {
                Ok(thread) => thread
                    .join()
                    .unwrap_or_else(|_| Err(PeerError::Broken("a thread failed".into()))),
                Err(_) => Err(PeerError::Broken("no thread could be started".into())),
            };
            (key, result)
        });
        ended.collect()
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
fn append(ledger: &Ledger, start: u32, headers: &[FullHeader]) -> Result<Appended, PeerError> {
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
