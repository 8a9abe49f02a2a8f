//! Getting to know servers that work and can prove who they are, so that
//! lookups have more to choose from than those that give the headers.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::seq::IndexedRandom;

use super::super::servers::Server;
use super::bulk::SESSIONS;
use super::driver::Driver;
use super::peer::{Peer, Peers};
use super::race::Record;

/// Trusted servers that are enough: those that worked the last time. An onion
/// service needs no certificate, but it may be dead.
const ENOUGH: usize = 8;

/// The time between two looks, in seconds, drawn at random: while lookups are
/// short of operators, and later.
const SHORT: std::ops::Range<u64> = 5..30;
const LONG: std::ops::Range<u64> = 120..600;

impl<P: Peers> Driver<P> {
    /// Looks at a server that is not trusted yet, if it is time to. Times and
    /// draws are the header thread's own: no lookup moves them.
    pub(super) fn survey(&mut self) {
        let now = Instant::now();
        if self.next_survey.is_some_and(|next| now < next) {
            return;
        }
        let is_first = self.next_survey.is_none();
        let (trusted, strangers): (Vec<&Server>, Vec<&Server>) = self
            .servers
            .iter()
            .partition(|server| self.record.is_good(server) && self.peers.trusts(server));
        let operators: HashSet<&str> = trusted.iter().map(|one| one.operator.as_str()).collect();
        let is_short = operators.len() < self.needed();
        let drawn = (trusted.len() < ENOUGH)
            .then(|| {
                draw(
                    &strangers,
                    &operators,
                    is_short,
                    &self.record,
                    &mut self.random,
                )
            })
            .flatten()
            .cloned();
        let gap = if is_short { SHORT } else { LONG };
        self.next_survey = Some(now + Duration::from_secs(self.random.random_range(gap)));
        if let Some(server) = drawn.filter(|_| !is_first || is_short) {
            self.meet(&server);
        }
    }

    /// Opens connections over as many circuits as it takes for a key to count,
    /// one after the other.
    fn meet(&mut self, server: &Server) {
        for _ in 0..SESSIONS {
            if self.cancel.is_set() {
                return;
            }
            let deadline = Instant::now() + self.record.limit(server);
            match self.peers.open(server, deadline, &self.cancel) {
                Ok(peer) => {
                    self.record.worked(server);
                    peer.close();
                }
                Err(error) => {
                    // Nothing depends on it.
                    self.record.failed(server);
                    self.log.debug(format_args!("{server}: {error}"));
                    return;
                }
            }
        }
    }
}

/// Draws a server of those that failed least; if operators are missing, one of
/// another operator.
fn draw<'a>(
    strangers: &[&'a Server],
    operators: &HashSet<&str>,
    is_short: bool,
    record: &Record,
    random: &mut impl rand::Rng,
) -> Option<&'a Server> {
    let mut fit: Vec<&Server> = strangers
        .iter()
        .copied()
        .filter(|server| !is_short || !operators.contains(server.operator.as_str()))
        .collect();
    let least = fit.iter().map(|server| record.failures(server)).min();
    fit.retain(|server| Some(record.failures(server)) == least);
    fit.choose(random).copied()
}
