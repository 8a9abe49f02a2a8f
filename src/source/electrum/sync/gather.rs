//! Finding servers that give headers: several are tried at once.

use std::collections::{BTreeSet, HashSet};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rand::seq::IteratorRandom;

use super::super::servers::{Server, Standing};
use super::driver::Driver;
use super::peer::{Peer, PeerError, Peers};
use super::race::Race;
use super::sessions::{Session, Sessions};
use crate::platform;
use crate::source::Cancel;

/// How often it is looked whether servers are still wanted.
const GLANCE: Duration = Duration::from_millis(100);

/// Discovered servers that are tried in one round.
const MOST_DISCOVERED: usize = 6;

/// What came of an attempt to reach a server.
type Reached<P> = (Server, Result<P, PeerError>);

impl<P: Peers> Driver<P> {
    /// Opens connections until enough listed operators are there, each server of
    /// the others at most once: `tried` holds those that were tried already. When
    /// all have been tried and one operator is there, a discovered server may
    /// be the second. Whether any came about.
    pub(super) fn gather(
        &mut self,
        sessions: &mut Sessions<P::Peer>,
        tried: &mut HashSet<Server>,
    ) -> bool {
        sessions.drop_lost();
        if sessions.listed().len() >= self.needed() {
            return false;
        }
        let before = sessions.open.len();
        let left = self.servers.iter().cloned();
        let left = left.filter(|server| sessions.lacks(server) && !tried.contains(server));
        // Those that lied are the last resort: they might be quicker than all
        // others.
        let (lied, others): (Vec<Server>, Vec<Server>) =
            left.partition(|server| sessions.liars.contains(server));
        for servers in [others, lied] {
            let rests = |server: &Server| self.peers.rests(server);
            let is_good = |server: &Server| self.peers.is_good(server);
            let order = self
                .record
                .order(&servers, rests, is_good, &mut self.random);
            self.run_race(order, sessions, tried, Sessions::listed);
        }
        if sessions.listed().len() == 1 && sessions.operators().len() < self.needed() {
            let drawn = self.draw_discovered(sessions, tried);
            self.run_race(drawn, sessions, tried, Sessions::operators);
        }
        sessions.open.len() > before
    }

    /// Discovered servers to be tried: a few at random, so that none of them can
    /// keep it open for long whether the listed operator is alone.
    fn draw_discovered(
        &mut self,
        sessions: &Sessions<P::Peer>,
        tried: &HashSet<Server>,
    ) -> Vec<Server> {
        let is_discovered = |server: &&Server| server.standing == Standing::Discovered;
        let most = MOST_DISCOVERED.saturating_sub(tried.iter().filter(is_discovered).count());
        let fit = self.discovery.servers().iter().filter(|server| {
            sessions.lacks(server)
                && !tried.contains(*server)
                && !sessions.liars.contains(*server)
                && !self.peers.rests(server)
        });
        fit.cloned().sample(&mut self.random, most)
    }

    /// Tries servers until enough operators are `heard`.
    fn run_race(
        &mut self,
        servers: Vec<Server>,
        sessions: &mut Sessions<P::Peer>,
        tried: &mut HashSet<Server>,
        heard: fn(&Sessions<P::Peer>) -> BTreeSet<String>,
    ) {
        let mut race = Race::new(servers, Instant::now());
        let peers = self.peers.clone();
        // Set when enough are there: the others are not waited for.
        let enough = Cancel::new();
        let (sender, reached) = mpsc::channel::<Reached<P::Peer>>();
        let mut running = HashSet::new();
        thread::scope(|scope| {
            while !race.is_over() && !self.cancel.is_set() {
                if heard(sessions).len() >= self.needed() {
                    break;
                }
                race.skip(|server| !sessions.lacks(server));
                while let Some(server) = race.due(Instant::now()) {
                    running.insert(server.clone());
                    tried.insert(server.clone());
                    self.ledger.tries(&server.operator);
                    let deadline = Instant::now() + self.record.limit(&server);
                    let (sender, peers, enough) = (sender.clone(), &peers, &enough);
                    let trying = platform::thread("reach").spawn_scoped(scope, move || {
                        let peer = peers.open(&server, deadline, enough);
                        drop(sender.send((server, peer)));
                    });
                    if let Err(error) = trying {
                        race.ended(Instant::now());
                        self.ledger
                            .trouble(format!("no thread can be started: {error}"));
                    }
                }
                let now = Instant::now();
                let wait = race.next_start().map_or(GLANCE, |next| {
                    next.saturating_duration_since(now).min(GLANCE)
                });
                match reached.recv_timeout(wait) {
                    Ok((server, peer)) => {
                        race.ended(Instant::now());
                        running.remove(&server);
                        self.reached(&server, peer, sessions);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            enough.set();
        });
        // What was cut short may still be needed, if another cannot be compared.
        tried.retain(|server| !running.contains(server));
        // Those that came about at the last moment are not needed.
        for peer in reached.try_iter().filter_map(|(_, peer)| peer.ok()) {
            peer.close();
        }
    }

    /// Takes note of what came of an attempt. Of each operator one connection
    /// is kept.
    pub(super) fn reached(
        &mut self,
        server: &Server,
        peer: Result<P::Peer, PeerError>,
        sessions: &mut Sessions<P::Peer>,
    ) {
        match peer {
            Ok(peer) => {
                self.record.worked(server);
                self.ledger.met(&server.operator);
                self.log
                    .debug(format_args!("{server}: connected for block headers"));
                if let Ok(newest) = peer.newest() {
                    self.ledger.aim(newest.height);
                }
                if sessions.lacks(server) {
                    sessions.liars.remove(server);
                    sessions.open.push(Session::new(peer));
                } else {
                    peer.close();
                }
            }
            Err(error) => {
                self.ledger.missed(&server.operator);
                self.blame(&mut sessions.liars, server, &error);
            }
        }
    }
}
