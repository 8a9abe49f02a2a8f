//! Finding servers that give headers: several are tried at once.

use std::collections::HashSet;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::super::servers::Server;
use super::driver::Driver;
use super::peer::{Peer, PeerError, Peers};
use super::race::Race;
use super::sessions::{Session, Sessions};
use crate::platform;
use crate::source::Cancel;

/// How often it is looked whether servers are still wanted.
const GLANCE: Duration = Duration::from_millis(100);

/// What came of an attempt to reach a server.
type Reached<P> = (Server, Result<P, PeerError>);

impl<P: Peers> Driver<P> {
    /// Opens connections until enough operators are there, each server of the
    /// others at most once: `tried` holds those that were tried already.
    /// Whether any came about.
    pub(super) fn gather(
        &mut self,
        sessions: &mut Sessions<P::Peer>,
        tried: &mut HashSet<Server>,
    ) -> bool {
        sessions.drop_lost();
        let there = sessions.operators();
        if there.len() >= self.needed() {
            return false;
        }
        // Discovered servers are tried when the listed ones run short. Those that
        // answered the last time need not wait for all of the dead ones, but do
        // wait for the listed ones that answered.
        let answered = |server: &Server| self.record.is_good(server) || self.peers.is_good(server);
        let known = self.discovery.servers().into_iter();
        let (good, discovered): (Vec<Server>, Vec<Server>) = known.partition(answered);
        let (first, second): (Vec<Server>, Vec<Server>) = self
            .servers
            .iter()
            .cloned()
            .partition(|server| !good.is_empty() && answered(server));
        // Those that lied are the last resort: they might be quicker than all
        // others.
        let mut liars = Vec::new();
        let mut wanted = |servers: Vec<Server>| {
            let servers = servers.into_iter();
            let left = servers
                .filter(|server| !there.contains(&server.operator) && !tried.contains(server));
            let (lied, others) = left.partition(|server| sessions.liars.contains(server));
            liars.extend::<Vec<Server>>(lied);
            others
        };
        let rounds: [Vec<Server>; 3] =
            [first, [second, good].concat(), discovered].map(&mut wanted);
        let before = sessions.open.len();
        for servers in rounds.into_iter().chain([liars]) {
            let rests = |server: &Server| self.peers.rests(server);
            let is_good = |server: &Server| self.peers.is_good(server);
            let order = self
                .record
                .order(&servers, rests, is_good, &mut self.random);
            self.run_race(Race::new(order, Instant::now()), sessions, tried);
        }
        sessions.open.len() > before
    }

    fn run_race(
        &mut self,
        mut race: Race,
        sessions: &mut Sessions<P::Peer>,
        tried: &mut HashSet<Server>,
    ) {
        let peers = self.peers.clone();
        // Set when enough are there: the others are not waited for.
        let enough = Cancel::new();
        let (sender, reached) = mpsc::channel::<Reached<P::Peer>>();
        let mut running = HashSet::new();
        thread::scope(|scope| {
            while !race.is_over() && !self.cancel.is_set() {
                let there = sessions.operators();
                if there.len() >= self.needed() {
                    break;
                }
                race.skip(|server| there.contains(&server.operator));
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
                if sessions.operators().contains(&server.operator) {
                    peer.close();
                } else {
                    sessions.liars.remove(server);
                    sessions.open.push(Session::new(peer));
                }
            }
            Err(error) => {
                self.ledger.missed(&server.operator);
                self.blame(&mut sessions.liars, server, &error);
            }
        }
    }
}
