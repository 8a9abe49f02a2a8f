//! The open connections for headers.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use super::super::discovery::DISCOVERED;
use super::super::servers::Server;
use super::catch_up::Caught;
use super::ledger::Ledger;
use super::peer::{Announced, MOST_HEADERS, Peer};

/// How long a server's news is left alone after a comparison that brought
/// nothing: at first, and at most. A branch with less work than ours can grow
/// for as long as somebody likes.
const SHORTEST_QUIET: Duration = Duration::from_secs(2);
const LONGEST_QUIET: Duration = Duration::from_secs(600);

/// An open connection for headers.
pub(super) struct Session<P> {
    pub peer: P,
    /// The newest block of its server's chain when that was last compared with
    /// ours.
    compared: Option<Announced>,
    /// Its news is left alone until then.
    quiet_until: Instant,
    quiet: Duration,
    /// Whether its server was asked which others it knows.
    pub is_asked: bool,
}

impl<P: Peer> Session<P> {
    pub fn new(peer: P) -> Self {
        Self {
            peer,
            compared: None,
            quiet_until: Instant::now(),
            quiet: SHORTEST_QUIET,
            is_asked: false,
        }
    }

    /// Whether its server's chain was ever compared with ours.
    pub fn is_compared(&self) -> bool {
        self.compared.is_some()
    }

    /// Notes what a comparison brought.
    pub fn note(&mut self, caught: &Caught) {
        self.compared = Some(caught.newest);
        if caught.was_vain {
            self.quiet_until = Instant::now() + self.quiet;
            self.quiet = (self.quiet * 2).min(LONGEST_QUIET);
        } else if caught.count > 0 {
            self.quiet = SHORTEST_QUIET;
        }
    }

    /// Whether the server has told of a block that was not looked at.
    pub fn has_news(&self, ledger: &Ledger) -> bool {
        let now = Instant::now();
        match self.peer.newest() {
            Ok(newest) if self.compared == Some(newest) => false,
            Ok(newest) => {
                now >= self.quiet_until
                    && ledger.headers().get(newest.height) != Some(&newest.header)
            }
            Err(_) => self.compared.is_none(),
        }
    }
}

/// The open connections for headers, and what was learnt on them.
pub(super) struct Sessions<P> {
    pub open: Vec<Session<P>>,
    /// Servers that told lies: they are asked again only if nobody else is
    /// left.
    pub liars: HashSet<Server>,
    /// How many headers are asked for at once. Fewer, if they come slowly.
    pub batch: u32,
}

impl<P: Peer> Sessions<P> {
    pub fn new() -> Self {
        Self {
            open: Vec::new(),
            liars: HashSet::new(),
            batch: MOST_HEADERS,
        }
    }

    /// The operators to whose servers there is a connection.
    pub fn operators(&self) -> BTreeSet<String> {
        self.open
            .iter()
            .map(|session| session.peer.server().operator.clone())
            .collect()
    }

    /// Those of them that are in the list.
    pub fn listed(&self) -> BTreeSet<String> {
        let mut operators = self.operators();
        operators.remove(DISCOVERED);
        operators
    }

    /// Whether a server's word counts beside those to which there is a
    /// connection.
    pub fn lacks(&self, server: &Server) -> bool {
        let mut open = self.open.iter();
        open.all(|session| server.counts_beside(session.peer.server()))
    }

    /// Closes connections to all servers but these.
    pub fn keep(&mut self, mut is_kept: impl FnMut(&Server) -> bool) {
        self.open.retain(|session| {
            let is_kept = is_kept(session.peer.server());
            if !is_kept {
                session.peer.close();
            }
            is_kept
        });
    }

    /// Connections to a server.
    pub fn count(&self, server: &Server) -> usize {
        let same = self.open.iter().filter(|one| one.peer.server() == server);
        same.count()
    }

    /// Drops what has ended, and all connections to servers that told lies.
    pub fn drop_lost(&mut self) {
        let liars = &self.liars;
        self.open.retain(|session| {
            if liars.contains(session.peer.server()) {
                session.peer.close();
            }
            session.peer.is_alive()
        });
    }

    /// Closes all but one connection to each server.
    pub fn thin_out(&mut self) {
        let mut kept = HashSet::new();
        self.keep(|server| kept.insert(server.clone()));
    }

    pub fn close_all(&mut self) {
        for session in self.open.drain(..) {
            session.peer.close();
        }
    }
}
