//! The thread that keeps the headers.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::super::servers::Server;
use super::super::store::HeaderFile;
use super::backward;
use super::catch_up::{DEEP, PATIENCE, catch_up};
use super::ledger::Ledger;
use super::peer::{Announced, MOST_HEADERS, Peer, PeerError, Peers};
use super::stride::{Lane, stride};
use crate::log::Log;
use crate::source::Cancel;

/// Operators whose chains are compared.
pub(in super::super) const OPERATORS: usize = 2;

/// Connections to each server while there is much to fetch. Two circuits also
/// show whether a server has the same key for everybody.
const SESSIONS: usize = 2;

/// A connection that has brought this much is replaced. Servers slow a session
/// down as it goes on, and end it after about 50 MB.
const MOST_OCTETS: u64 = 24 << 20;

/// The fewest headers that are asked for in one request of many.
const FEWEST_HEADERS: u32 = 25;

/// The time for opening a connection through a circuit yet to be built.
const OPENING: Duration = Duration::from_secs(45);

/// How often connections are looked at for news.
const GLANCE: Duration = Duration::from_secs(1);

/// Operators are drawn anew after a day, more or less.
const DAY: std::ops::Range<u64> = 20 * 3600..28 * 3600;

/// The time between attempts to reach a server, in seconds, drawn at random.
/// It grows while attempts fail.
const SHORTEST_BREAK: u64 = 2;
const LONGEST_BREAK: u64 = 60;

/// How often progress is told.
const TOLD: Duration = Duration::from_secs(5);

/// Keeps the headers of a [`Ledger`] the newest, until it is cancelled.
pub(in super::super) struct Driver<P: Peers> {
    pub peers: Arc<P>,
    pub servers: Vec<Server>,
    pub ledger: Arc<Ledger>,
    pub file: Option<HeaderFile>,
    pub cancel: Cancel,
    pub log: Log,
    /// A source of randomness for draws and pauses.
    pub random: StdRng,
}

/// An open connection for headers.
struct Session<P> {
    peer: P,
    /// The newest block of its server's chain when that was last compared with
    /// ours.
    compared: Option<Announced>,
}

impl<P: Peer> Session<P> {
    /// Whether the server has told of a block that was not looked at.
    fn has_news(&self, ledger: &Ledger) -> bool {
        match self.peer.newest(Instant::now()) {
            Ok(newest) if self.compared == Some(newest) => false,
            Ok(newest) => ledger.headers().get(newest.height) != Some(&newest.header),
            Err(_) => self.compared.is_none(),
        }
    }
}

impl<P: Peers> Driver<P> {
    /// Goes on until cancelled.
    pub fn run(mut self) {
        let mut pause = SHORTEST_BREAK;
        let mut sessions = Vec::new();
        let mut drawn = Instant::now();
        let mut day = self.day();
        while !self.cancel.is_set() {
            if drawn.elapsed() >= day {
                // New circuits to new operators; the old answers hold until
                // the new ones have come.
                close_all(&mut sessions);
                (drawn, day) = (Instant::now(), self.day());
            }
            self.gather(&mut sessions);
            self.synchronise(&mut sessions);
            let heard = operators(&sessions);
            if heard.len() >= self.needed() {
                self.ledger.keep_only(&heard);
                pause = SHORTEST_BREAK;
                self.follow(&mut sessions, drawn + day);
            } else {
                let seconds = self.random.random_range(1..=pause);
                pause = (pause * 2).min(LONGEST_BREAK);
                self.wait(Duration::from_secs(seconds));
            }
        }
        close_all(&mut sessions);
    }

    /// How many operators must be heard.
    fn needed(&self) -> usize {
        let all: BTreeSet<_> = self.servers.iter().map(|server| &server.operator).collect();
        all.len().min(OPERATORS)
    }

    fn day(&mut self) -> Duration {
        Duration::from_secs(self.random.random_range(DAY))
    }

    /// Opens connections until enough operators are there. Each operator that
    /// is not there is tried once, in random order.
    fn gather(&mut self, sessions: &mut Vec<Session<P::Peer>>) {
        let mut servers = self.servers.clone();
        servers.shuffle(&mut self.random);
        // A stable sort: at random among onion services and among the others.
        // Those that lied or could not be reached come last.
        servers.sort_by_key(|server| (self.peers.rests(server), !server.address.is_onion()));
        let mut tried = operators(sessions);
        for server in servers {
            if operators(sessions).len() >= self.needed() || self.cancel.is_set() {
                return;
            }
            if tried.insert(server.operator.clone()) {
                self.open(&server, sessions);
            }
        }
    }

    fn open(&mut self, server: &Server, sessions: &mut Vec<Session<P::Peer>>) {
        let deadline = Instant::now() + OPENING;
        match self.peers.open(server, deadline, &self.cancel) {
            Ok(peer) => {
                self.log
                    .debug(format_args!("{server}: connected for block headers"));
                sessions.push(Session {
                    peer,
                    compared: None,
                });
            }
            Err(error) => self.blame(server, &error),
        }
    }

    /// Brings the headers up to what the sessions' servers have.
    fn synchronise(&mut self, sessions: &mut Vec<Session<P::Peer>>) {
        if !self.begin(sessions) {
            return;
        }
        self.fetch_many(sessions);
        self.compare(sessions);
        self.complete(sessions);
    }

    /// Fetches the checkpoint's own header and what is needed below it to
    /// verify those above; whether they are there.
    fn begin(&mut self, sessions: &mut Vec<Session<P::Peer>>) -> bool {
        while let Some(session) = sessions.iter().find(|session| session.peer.is_alive()) {
            match backward::anchor(&self.ledger, &session.peer) {
                Ok(()) => {
                    self.save();
                    return true;
                }
                Err(error) => {
                    let server = session.peer.server().clone();
                    session.peer.close();
                    self.blame(&server, &error);
                }
            }
            drop_dead(sessions);
        }
        // Each server has been blamed for what it did.
        false
    }

    /// Fetches a long way in strides over many sessions.
    fn fetch_many(&mut self, sessions: &mut Vec<Session<P::Peer>>) {
        let mut told = Instant::now();
        // What comes too slowly is asked for in smaller pieces.
        let mut batch = MOST_HEADERS;
        loop {
            self.renew(sessions);
            let mut lanes = Vec::new();
            for session in sessions.iter().filter(|session| session.peer.is_alive()) {
                if let Ok(newest) = session.peer.newest(Instant::now() + PATIENCE) {
                    self.ledger.aim(newest.height);
                    lanes.push(Lane::new(&session.peer, newest.height));
                }
            }
            let mut worn = false;
            // The last stretch is each server's own, where branches are.
            while !worn && !self.cancel.is_set() && is_far(&self.ledger, &lanes) {
                let Ok((added, faults)) = stride(&self.ledger, &mut lanes, batch) else {
                    return;
                };
                for (at, error) in faults {
                    if error == PeerError::TimedOut {
                        batch = (batch / 4).max(FEWEST_HEADERS);
                    }
                    if let Some(lane) = lanes.get(at) {
                        lane.peer.close();
                        self.blame(lane.peer.server(), &error);
                    }
                }
                if added > 0 {
                    self.save();
                }
                if told.elapsed() >= TOLD {
                    told = Instant::now();
                    self.tell();
                }
                worn = lanes.iter().any(|lane| lane.peer.received() > MOST_OCTETS);
            }
            if !worn {
                drop_dead(sessions);
                return;
            }
        }
    }

    /// Replaces sessions that have brought much, and opens further ones while
    /// there is much to fetch.
    fn renew(&mut self, sessions: &mut Vec<Session<P::Peer>>) {
        for session in sessions.iter() {
            if session.peer.received() > MOST_OCTETS {
                session.peer.close();
            }
        }
        let servers: HashSet<Server> = sessions
            .iter()
            .map(|session| session.peer.server().clone())
            .collect();
        drop_dead(sessions);
        for server in servers {
            let open = |sessions: &[Session<P::Peer>]| {
                let same = sessions
                    .iter()
                    .filter(|session| *session.peer.server() == server);
                same.count()
            };
            for _ in open(sessions)..SESSIONS {
                if !self.cancel.is_set() {
                    self.open(&server, sessions);
                }
            }
        }
    }

    /// Compares our chain with each server's.
    fn compare(&mut self, sessions: &mut Vec<Session<P::Peer>>) {
        for session in sessions.iter_mut() {
            if !session.peer.is_alive()
                || (session.compared.is_some() && !session.has_news(&self.ledger))
            {
                continue;
            }
            let caught = catch_up(&self.ledger, &session.peer, &self.cancel, || {});
            self.save();
            match caught {
                Ok(caught) => {
                    session.compared = Some(caught.newest);
                    if caught.depth > DEEP {
                        self.log.warn(format_args!(
                            "{} blocks of the chain were replaced by others with more work, which {} sent",
                            caught.depth,
                            session.peer.server(),
                        ));
                    }
                    self.ledger.answered(&session.peer.server().operator);
                }
                Err(error) => {
                    session.peer.close();
                    self.blame(session.peer.server(), &error);
                }
            }
        }
        drop_dead(sessions);
        // One session for each server is enough from here on.
        let mut kept = HashSet::new();
        sessions.retain(|session| {
            let is_first = kept.insert(session.peer.server().clone());
            if !is_first {
                session.peer.close();
            }
            is_first
        });
    }

    /// Fetches what is still missing below the checkpoint.
    fn complete(&mut self, sessions: &mut Vec<Session<P::Peer>>) {
        for session in sessions.iter() {
            if self.ledger.headers().is_complete() {
                break;
            }
            let server = session.peer.server().clone();
            if let Err(error) = backward::complete(&self.ledger, &session.peer, &self.cancel) {
                session.peer.close();
                self.blame(&server, &error);
            }
        }
        self.save();
        drop_dead(sessions);
        self.tell();
    }

    /// Waits for new blocks until an operator is lost or the day is over.
    fn follow(&mut self, sessions: &mut Vec<Session<P::Peer>>, until: Instant) {
        while !self.cancel.is_set() && Instant::now() < until {
            self.wait(GLANCE);
            for session in sessions.iter() {
                session.peer.keep_alive();
            }
            drop_dead(sessions);
            if sessions
                .iter()
                .any(|session| session.has_news(&self.ledger))
            {
                self.compare(sessions);
            }
            if operators(sessions).len() < self.needed() {
                return;
            }
        }
    }

    /// Says what a server did. A lie is every user's business.
    fn blame(&self, server: &Server, error: &PeerError) {
        let text = format!("{server}: {error}");
        match error {
            PeerError::Lied(_) => {
                self.peers.condemn(server);
                self.log.warn(&text);
            }
            _ => self.log.info(&text),
        }
        self.ledger.trouble(text);
    }

    fn save(&mut self) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = file.save(&self.ledger.headers()) {
            self.log.warn(format_args!(
                "block headers cannot be kept in the state directory: {error}"
            ));
            self.file = None;
        }
    }

    fn tell(&self) {
        let status = self.ledger.status();
        match status.obstacle {
            Some(obstacle) => self.log.info(obstacle),
            None => self.log.info(format_args!(
                "block headers are verified up to {}",
                status.tip.unwrap_or_default()
            )),
        }
    }

    /// Waits, unless cancelled.
    fn wait(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.cancel.is_set() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}

/// Whether more is to be fetched than one request brings.
fn is_far<P: Peer>(ledger: &Ledger, lanes: &[Lane<'_, P>]) -> bool {
    let tip = ledger.headers().tip().map_or(0, |(height, _)| height);
    lanes
        .iter()
        .filter(|lane| !lane.is_out)
        .any(|lane| lane.target.saturating_sub(tip) > MOST_HEADERS)
}

fn operators<P: Peer>(sessions: &[Session<P>]) -> BTreeSet<String> {
    sessions
        .iter()
        .map(|session| session.peer.server().operator.clone())
        .collect()
}

fn drop_dead<P: Peer>(sessions: &mut Vec<Session<P>>) {
    sessions.retain(|session| session.peer.is_alive());
}

fn close_all<P: Peer>(sessions: &mut Vec<Session<P>>) {
    for session in sessions.drain(..) {
        session.peer.close();
    }
}
