//! Downloading many headers without AuxPoW, and accepting them once the work of a
//! random sample has been verified.
//!
//! Until then the headers stay here, and nothing relies on them. What was drawn for
//! an operator's chain stays drawn, on all connections, until it is proven or the
//! chain is given up.

use std::collections::BTreeSet;
use std::time::Instant;

use bitcoin::block::Header;
use rand::seq::SliceRandom;

use super::bulk::side_by_side;
use super::ledger::{Ledger, UnprovenHeaders};
use super::peer::{Peer, PeerError, Peers, REQUEST_TIMEOUT, adopt, is_too_slow, refused, tip};
use super::{Drawn, Driver, NEWEST, Pending, RateLimit, Session, Sessions};
use crate::chain::proof_of_work::FullHeader;
use crate::chain::sample::{LinkedHeaders, ProofError, Sample};
use crate::source::electrum::servers::Server;

/// The fewest headers below those for which a sample is drawn.
pub(super) const FEWEST: u32 = 1008;

/// Headers of 80 bytes in one request. As text they take just less than the 64
/// KiB to which servers pad.
const BARE_BATCH: u32 = 400;

/// Headers of a sample that are asked for at once on a connection.
const PROOF_BATCH: usize = 25;

/// Connections on which an operator may leave proofs of its own chain out.
/// After that all of its headers are verified.
const MAX_WITHHELD: u32 = 3;

/// The outcome of a step with an operator's chain.
enum Step {
    /// There is more to do.
    Continue(Pending),
    /// All that was drawn is proven.
    Proven(Sample),
    /// The chain is of no use for sampling; its server may still be.
    Skipped,
    /// The operator sent headers that it cannot prove.
    Refused(PeerError),
}

impl From<&Step> for UnprovenHeaders {
    fn from(step: &Step) -> Self {
        match step {
            Step::Continue(Pending::Linked(linked)) => Self::Fetched { tip: linked.tip() },
            Step::Continue(Pending::Drawn(drawn)) => Self::Sampled {
                proven: drawn.count.saturating_sub(drawn.sampled.open().count()),
                drawn: drawn.count,
            },
            _ => Self::None,
        }
    }
}

impl<P: Peers> Driver<P> {
    /// Fetches all but the newest headers from servers that leave AuxPoW out,
    /// if there are many.
    pub(super) fn fetch_sampled(&mut self, sessions: &mut Sessions<P::Peer>) {
        let mut left = BTreeSet::new();
        self.sampling.pending.retain(|_, pending| match pending {
            Pending::Linked(linked) => is_current(&self.ledger, linked.fork()),
            Pending::Drawn(drawn) => is_current(&self.ledger, drawn.sampled.fork()),
        });
        if self.provider(sessions, &left).is_none() {
            return;
        }
        self.renew(sessions);
        let (begun, mut rate) = (Instant::now(), RateLimit::new());
        let mut fetched = 0;
        while !self.cancel.is_set() {
            sessions.drop_lost();
            let Some(provider) = self.provider(sessions, &left) else {
                return;
            };
            let pending = self.sampling.pending.remove(&provider.operator);
            let step = match pending {
                Some(Pending::Drawn(drawn)) => self.prove(sessions, &provider, drawn),
                Some(Pending::Linked(linked)) if is_current(&self.ledger, linked.fork()) => {
                    let before = linked.tip();
                    let step = self.link(sessions, &provider, linked);
                    if let Step::Continue(Pending::Linked(linked)) = &step {
                        fetched += linked.tip().saturating_sub(before) as usize;
                        if rate.is_due() {
                            self.log.info(format_args!(
                                "block headers without proof of work are there up to {}",
                                linked.tip()
                            ));
                        }
                    }
                    step
                }
                _ => begin(&self.ledger),
            };
            self.ledger.set_unproven(UnprovenHeaders::from(&step));
            match step {
                Step::Continue(pending) => {
                    self.sampling
                        .pending
                        .insert(provider.operator.clone(), pending);
                }
                Step::Proven(sampled) => self.adopt_sampled(&provider, &sampled),
                Step::Skipped => {
                    left.insert(provider.operator.clone());
                }
                Step::Refused(error) => {
                    self.sampling.refused.insert(provider.operator.clone());
                    self.blame(&mut sessions.liars, &provider, &error);
                }
            }
            if is_too_slow(fetched, begun.elapsed()) {
                left.insert(provider.operator.clone());
            }
        }
    }

    /// A server that has much more than we have and leaves AuxPoW out.
    fn provider(&self, sessions: &Sessions<P::Peer>, left: &BTreeSet<String>) -> Option<Server> {
        let tip = tip(&self.ledger).ok()?;
        let is_far = |session: &Session<P::Peer>| {
            end(session).is_some_and(|end| end.saturating_sub(tip) >= FEWEST)
        };
        let mut open = sessions.open.iter();
        let found = open.find(|session| {
            let operator = &session.peer.server().operator;
            session.peer.is_alive()
                && session.peer.omits_auxpow()
                && self.sampling.uses(operator)
                && !left.contains(operator)
                && is_far(session)
        });
        found.map(|session| session.peer.server().clone())
    }

    /// Fetches the next headers over all connections to their server.
    fn link(
        &mut self,
        sessions: &mut Sessions<P::Peer>,
        provider: &Server,
        mut linked: LinkedHeaders,
    ) -> Step {
        let Sessions { open, liars, .. } = sessions;
        let own = open
            .iter()
            .filter(|one| one.peer.server() == provider && one.peer.is_alive());
        let (peers, ends): (Vec<_>, Vec<_>) = own
            .filter_map(|session| Some((&session.peer, end(session)?)))
            .unzip();
        let end = ends.into_iter().min().unwrap_or(0);
        if linked.tip() >= end {
            // The system's randomness, and only once nothing can change.
            let sampled = linked.sample(&mut rand::rng());
            return Step::Continue(Pending::Drawn(Drawn {
                count: sampled.open().count(),
                sampled,
                unhelpful: BTreeSet::new(),
                withheld: 0,
            }));
        }
        for (peer, fetched) in ranges(&peers, linked.tip().saturating_add(1), end) {
            let error = match fetched {
                Ok(headers) => match self.push(&mut linked, &headers) {
                    Ok(()) if peer.omits_auxpow() => continue,
                    // What does not come without AuxPoW is verified with it,
                    // and where its chain parts from ours, work is compared.
                    Ok(()) => return Step::Skipped,
                    Err(PeerError::Broken(_)) if linked.tip() == linked.fork() => {
                        return Step::Skipped;
                    }
                    Err(error @ PeerError::Lied(_)) => return Step::Refused(error),
                    Err(error) => {
                        peer.close();
                        self.blame(liars, provider, &error);
                        return begin(&self.ledger);
                    }
                },
                Err(error @ PeerError::Lied(_)) => return Step::Refused(error),
                // It refuses such requests.
                Err(PeerError::Broken(_)) if peer.is_alive() => return Step::Skipped,
                Err(error) => error,
            };
            peer.close();
            self.blame(liars, provider, &error);
            break;
        }
        Step::Continue(Pending::Linked(linked))
    }

    fn push(&self, linked: &mut LinkedHeaders, headers: &[Header]) -> Result<(), PeerError> {
        let now = self.ledger.now();
        let chain = self.ledger.headers();
        if headers.is_empty() {
            return Err(PeerError::Broken("it sends no headers".into()));
        }
        for (index, header) in headers.iter().enumerate() {
            linked
                .push(&chain, header, now)
                .map_err(|error| refused(index, error))?;
        }
        Ok(())
    }

    /// Asks for proofs of what was drawn: other operators as long as there are
    /// any that help, else the one that gave the headers.
    fn prove(
        &mut self,
        sessions: &mut Sessions<P::Peer>,
        provider: &Server,
        mut drawn: Drawn,
    ) -> Step {
        let Sessions { open, liars, .. } = sessions;
        let tip = drawn.sampled.tip();
        let (own, others): (Vec<_>, Vec<_>) = open
            .iter()
            .map(|session| &session.peer)
            .filter(|peer| peer.is_alive() && !drawn.unhelpful.contains(&peer.server().operator))
            .filter(|peer| peer.newest().is_ok_and(|newest| newest.height >= tip))
            .partition(|peer| peer.server().operator == provider.operator);
        let asked = if others.is_empty() { own } else { others };
        if asked.is_empty() {
            return Step::Refused(PeerError::Broken("it has left its own chain".into()));
        }
        let mut heights: Vec<u32> = drawn.sampled.open().collect();
        heights.shuffle(&mut rand::rng());
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        // Each connection is asked for other heights.
        let jobs = asked.iter().zip(heights.chunks(PROOF_BATCH));
        let jobs =
            jobs.map(|(&peer, heights)| ((peer, heights), move || peer.proofs(heights, deadline)));
        for ((peer, heights), fetched) in side_by_side("range", jobs.collect()) {
            let server = peer.server();
            let is_own = server.operator == provider.operator;
            match fetched.and_then(|full| check(&mut drawn.sampled, heights, &full)) {
                Ok(true) => {}
                Ok(false) if is_own => {
                    return Step::Refused(PeerError::Lied("another chain than before".into()));
                }
                // That one of two operators has another chain is found out by
                // comparing work, later.
                Ok(false) => {
                    drawn.unhelpful.insert(server.operator.clone());
                }
                Err(error @ PeerError::Lied(_)) if is_own => return Step::Refused(error),
                Err(error) => {
                    peer.close();
                    self.blame(liars, server, &error);
                    if is_own {
                        drawn.withheld += 1;
                    } else {
                        drawn.unhelpful.insert(server.operator.clone());
                    }
                }
            }
        }
        if drawn.sampled.proven().is_some() {
            Step::Proven(drawn.sampled)
        } else if drawn.withheld >= MAX_WITHHELD {
            let what = "it does not prove the headers that it sent";
            Step::Refused(PeerError::Broken(what.into()))
        } else {
            Step::Continue(Pending::Drawn(drawn))
        }
    }

    /// Adopts headers once all that were drawn are proven.
    fn adopt_sampled(&mut self, provider: &Server, sampled: &Sample) {
        let Some(branch) = sampled.proven() else {
            return;
        };
        // First, as somebody may look in between.
        self.ledger.note_sample();
        let (_, count) = adopt(&self.ledger, branch);
        if count > 0 {
            self.log.info(format_args!(
                "{provider}: {count} block headers were verified by a sample of their proofs of work"
            ));
            if let Some(file) = &mut self.file {
                file.note_sample();
            }
            self.save();
        }
    }
}

/// The height up to which a session's headers are fetched without AuxPoW.
fn end<P: Peer>(session: &Session<P>) -> Option<u32> {
    let newest = session.peer.newest().ok()?;
    newest.height.checked_sub(NEWEST)
}

fn begin(ledger: &Ledger) -> Step {
    let linked = tip(ledger)
        .ok()
        .and_then(|tip| LinkedHeaders::new(&ledger.headers(), tip));
    linked.map_or(Step::Skipped, |linked| {
        Step::Continue(Pending::Linked(linked))
    })
}

/// Whether headers that follow our block at `fork` go on from our newest.
fn is_current(ledger: &Ledger, fork: u32) -> bool {
    tip(ledger) == Ok(fork)
}

/// Takes proofs; whether all are of the chain that they were asked for.
fn check(sampled: &mut Sample, heights: &[u32], full: &[FullHeader]) -> Result<bool, PeerError> {
    if full.len() != heights.len() {
        return Err(PeerError::Broken("it leaves headers out".into()));
    }
    for (height, full) in heights.iter().zip(full) {
        match sampled.prove(*height, full) {
            Ok(()) => {}
            Err(ProofError::OtherHeader) => return Ok(false),
            Err(ProofError::Work(error)) => {
                return Err(PeerError::Lied(format!(
                    "a header that is refused: {error}"
                )));
            }
        }
    }
    Ok(true)
}

/// Fetches contiguous ranges from `start` to `end`, one from each connection.
fn ranges<'a, P: Peer>(
    peers: &[&'a P],
    start: u32,
    end: u32,
) -> Vec<(&'a P, Result<Vec<Header>, PeerError>)> {
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    let mut next = start;
    let mut jobs = Vec::new();
    for &peer in peers {
        let start = next;
        if start > end {
            break;
        }
        let count = BARE_BATCH.min(end.saturating_sub(start).saturating_add(1));
        next = start.saturating_add(count);
        jobs.push((peer, move || peer.bare_headers(start, count, end, deadline)));
    }
    side_by_side("range", jobs)
}
