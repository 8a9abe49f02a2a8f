//! What is to be done with each stream, in terms of Tor's commands
//! (`spec/tor-control.md`, "The life of a stream"). No I/O, and no commands in
//! words.
//!
//! ```text
//! announced ─ CONTROLLER_WAIT ─> probing ─ it exists ─> settling ─ one claim ─┬─> attached
//!                                                           │                └─> looked up ─> redirected ─> attached
//!                                                           └ two claims ─> contested           └─> closed
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::event::{ListedStream, Target};
use super::handled::Handled;
use super::stream::{Claim, Do, Existence, Kind, State, Stream};
use crate::naming::Answer;

/// The most streams of which something is remembered.
const MAX_STREAMS: usize = 16_384;

/// The most claims for one id: two of them are one too many already.
const MAX_CLAIMS: usize = 4;

/// How long an announced stream may take to wait for a controller. Tor writes both
/// events together.
const ANNOUNCED: Duration = Duration::from_secs(10);

/// How long to wait before something that somebody disturbed is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// Tor's reason "the name cannot be resolved": 4 in SOCKS5, SERVFAIL in the DNS.
const RESOLVE_FAILED: u8 = 2;

/// Tor's reason "it takes too long": 6 in SOCKS5.
const TIMED_OUT: u8 = 7;

/// Tor's reason for everything else: 1 in SOCKS5.
const MISC: u8 = 1;

/// The streams of one Tor.
#[derive(Default)]
pub struct Streams {
    streams: HashMap<u64, Stream>,
    /// Those that are announced, in the order of time.
    announced: VecDeque<(Instant, u64)>,
    handled: Handled,
    /// The announcements of streams up to this id may have been forgotten, or were
    /// made before us.
    forgotten: u64,
    /// Whether the streams that are older than the connection were listed.
    has_all: bool,
    /// Those that wait for a controller although nothing, or everything, is known
    /// of them, and the number of the list that will say.
    unexpected: HashMap<u64, u64>,
    /// The number of the list of which every stream that waits is to be taken over.
    takes_over: Option<u64>,
    /// How many lists were asked for.
    lists: u64,
    /// Whether Tor has not answered the last one yet.
    is_listing: bool,
    /// Whether something was asked since that another has to answer.
    is_list_wanted: bool,
    /// Whether another is wanted after the pause.
    is_list_due: bool,
    /// What to do after the pause.
    again: Vec<Do>,
    again_at: Option<Instant>,
    todo: Vec<Do>,
}

impl Streams {
    /// What is to be done now, in this order.
    pub fn take_todo(&mut self) -> Vec<Do> {
        std::mem::take(&mut self.todo)
    }

    /// When [`Streams::tick`] has something to do.
    pub fn next_tick(&self) -> Option<Instant> {
        self.again_at
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            for again in std::mem::take(&mut self.again) {
                self.todo.push(again);
            }
            self.is_list_wanted |= std::mem::take(&mut self.is_list_due);
        }
    }

    /// Takes over streams that wait already.
    pub fn take_over(&mut self) {
        self.takes_over = Some(self.list());
    }

    /// Has the streams listed; gives the number of the list. One that is under way
    /// says nothing of what happened after Tor wrote it.
    fn list(&mut self) -> u64 {
        self.is_list_wanted = true;
        self.lists + 1
    }

    /// Has the streams listed after a pause; gives the number of the list.
    fn list_later(&mut self, now: Instant) -> u64 {
        self.is_list_due = true;
        self.again_at.get_or_insert(now + AGAIN);
        self.lists + 1
    }

    /// Whether Tor is to be asked for the list of streams now: [`Streams::listed`].
    pub fn begins_list(&mut self) -> bool {
        let begins = self.is_list_wanted && !self.is_listing;
        if begins {
            self.is_list_wanted = false;
            self.is_listing = true;
            self.lists += 1;
        }
        begins
    }

    /// A stream was announced.
    pub fn announced(&mut self, id: u64, claim: Claim, now: Instant) {
        if self.handled.contains(id) {
            return;
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            if !stream.claims.contains(&claim) && stream.claims.len() < MAX_CLAIMS {
                stream.claims.push(claim);
            }
            return;
        }
        self.make_room(now);
        self.announced.push_back((now, id));
        self.insert(id, claim, State::Announced);
    }

    fn insert(&mut self, id: u64, claim: Claim, state: State) {
        let stream = Stream {
            claims: vec![claim],
            state,
            disturbed: None,
            answer: String::new(),
            waits: false,
            is_doubtful: false,
            is_older: false,
            is_asked: false,
            list: 0,
        };
        self.streams.insert(id, stream);
    }

    /// Forgets streams that were announced and never waited: they were forged, or
    /// Tor did not leave them to us. Of the latter a true announcement is lost.
    fn make_room(&mut self, now: Instant) {
        while let Some((since, id)) = self.announced.front().copied() {
            let is_old = now.saturating_duration_since(since) > ANNOUNCED;
            if !is_old && self.announced.len() < MAX_STREAMS {
                return;
            }
            self.announced.pop_front();
            let stream = self.streams.get_mut(&id);
            let Some(stream) = stream.filter(|stream| stream.state == State::Announced) else {
                continue;
            };
            stream.state = State::Fading;
            if self.streams.len() < 2 * MAX_STREAMS {
                self.todo.push(Do::Probe(id));
            } else {
                // Tor does not answer: there is no knowing.
                self.streams.remove(&id);
                self.forgotten = self.forgotten.max(id);
            }
        }
    }

    /// A stream waits for a controller.
    pub fn waits(&mut self, id: u64, target: &[u8], rest: &[u8]) {
        if let Some(stream) = self.streams.get_mut(&id) {
            let matches = |claim: &Claim| claim.target == target && claim.rest == rest;
            let is_announced = matches!(stream.state, State::Announced | State::Fading);
            if is_announced && stream.claims.iter().any(matches) {
                // Its announcement may have been read while it faded, and not counted.
                stream.is_doubtful |= stream.state == State::Fading;
                stream.state = State::Probing;
                stream.waits = true;
                self.todo.push(Do::Probe(id));
                return;
            }
            stream.is_doubtful = true;
            if !is_announced {
                return;
            }
        }
        // A stream whose circuit failed waits again, for one.
        self.expect(id);
    }

    /// Has the list say whether a stream waits.
    fn expect(&mut self, id: u64) {
        if self.unexpected.len() < MAX_STREAMS {
            let list = self.list();
            self.unexpected.insert(id, list);
        }
    }

    /// A stream is over, as somebody says.
    pub fn closed(&mut self, id: u64) {
        // The reply to whatever else is under way says whether it is.
        let stream = self.streams.get_mut(&id);
        if let Some(stream) = stream.filter(|stream| stream.state == State::Resolving)
            && !std::mem::replace(&mut stream.is_asked, true)
        {
            self.todo.push(Do::Probe(id));
        }
    }

    /// Whether a stream exists.
    pub fn probed(&mut self, id: u64, existence: Existence, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        match (existence, stream.state) {
            (Existence::Alive | Existence::Unclear, State::Fading) => {
                self.forgotten = self.forgotten.max(id);
                self.streams.remove(&id);
            }
            (Existence::Alive, State::Probing) => {
                if stream.is_older {
                    self.forgotten = self.forgotten.max(id);
                }
                stream.state = State::Settling;
                stream.disturbed = None;
                self.todo.push(Do::Settle(id));
            }
            (Existence::Gone | Existence::Refused, state) => {
                if state == State::Resolving {
                    self.todo.push(Do::Cancel(id));
                }
                // It may have come since it was asked for.
                let is_new = stream.is_doubtful || stream.claims.len() > 1;
                self.streams.remove(&id);
                if is_new && !self.handled.contains(id) {
                    self.expect(id);
                }
            }
            (Existence::Unclear, _) => self.again(id, Do::Probe(id), now),
            (Existence::Alive, _) => stream.is_asked = false,
        }
    }

    /// Everything that Tor had written when [`Do::Settle`] was done has been
    /// read: since the stream exists, this includes its own announcement.
    pub fn settled(&mut self, id: u64) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        match stream.claims.len() {
            _ if stream.state != State::Settling => {}
            1 if self.has_all && id > self.forgotten && !stream.is_doubtful => self.begin(id),
            _ => {
                let list = self.list();
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.state = State::Contested;
                    stream.list = list;
                }
            }
        }
    }

    /// Does what the one claim of a stream asks for.
    fn begin(&mut self, id: u64) {
        self.handled.insert(id);
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let Some(claim) = stream.claims.first() else {
            return;
        };
        match claim.kind {
            Kind::Ordinary => {
                let attach = Do::Attach(id, stream.waits);
                self.streams.remove(&id);
                self.todo.push(attach);
            }
            Kind::Bad => self.close(id, MISC),
            Kind::OfTor => drop(self.streams.remove(&id)),
            Kind::Virtual => {
                stream.state = State::Mapping;
                self.todo.push(Do::Mappings);
            }
            Kind::Ours | Kind::OursToResolve => {
                stream.state = State::Resolving;
                let lookup = Do::Lookup(id, claim.clone());
                self.todo.push(lookup);
            }
        }
    }

    fn close(&mut self, id: u64, reason: u8) {
        self.streams.remove(&id);
        self.todo.push(Do::Close(id, reason));
    }

    /// Tries something again after a pause, unless that has gone on for too long.
    fn again(&mut self, id: u64, what: Do, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.is_given_up(now) {
            return self.close(id, MISC);
        }
        if !self.again.contains(&what) {
            self.again.push(what);
        }
        self.again_at.get_or_insert(now + AGAIN);
    }

    /// The list of streams; `None` if somebody forged replies.
    ///
    /// `claim` makes a claim of a line.
    pub fn listed(
        &mut self,
        list: Option<&[ListedStream<'_>]>,
        claim: impl Fn(&ListedStream<'_>) -> Claim,
        now: Instant,
    ) {
        self.is_listing = false;
        let Some(list) = list else {
            self.list_later(now);
            return;
        };
        let number = self.lists;
        let mut found: BTreeMap<u64, Vec<&ListedStream<'_>>> = BTreeMap::new();
        for listed in list {
            found.entry(listed.id).or_default().push(listed);
        }
        self.decide_contested(&found, &claim, now);
        let takes_over = self.takes_over.take_if(|wanted| *wanted <= number);
        let takes_over = takes_over.is_some();
        self.has_all |= takes_over;
        let later = |_: &u64, wanted: &mut u64| *wanted <= number;
        let unexpected: HashSet<u64> = self
            .unexpected
            .extract_if(later)
            .map(|(id, _)| id)
            .collect();
        for (id, lines) in found {
            let is_wanted = takes_over || unexpected.contains(&id);
            let state = self.streams.get(&id).map(|stream| stream.state);
            let is_unused = matches!(state, None | Some(State::Announced | State::Fading));
            if !is_wanted || !is_unused {
                continue;
            }
            // Targets can hold lines of the list, so a second one is in doubt.
            let [line] = lines.as_slice() else {
                let next = self.list_later(now);
                self.unexpected.insert(id, next);
                if takes_over {
                    self.takes_over = Some(next);
                }
                continue;
            };
            let claim = claim(line);
            if !line.may_wait {
                // Its announcement was never read, if it exists.
                if takes_over && state.is_none() && !self.handled.contains(id) {
                    self.insert(id, claim, State::Fading);
                    self.todo.push(Do::Probe(id));
                }
                continue;
            }
            match self.handled.contains(id) {
                // It was redirected before, if it was ours.
                true if claim.kind == Kind::Ordinary => self.todo.push(Do::Attach(id, false)),
                true => {}
                false => {
                    self.insert(id, claim, State::Probing);
                    if let Some(stream) = self.streams.get_mut(&id) {
                        stream.is_older = takes_over;
                    }
                    self.todo.push(Do::Probe(id));
                }
            }
        }
    }

    /// Of a contested stream is true what the list says.
    fn decide_contested(
        &mut self,
        found: &BTreeMap<u64, Vec<&ListedStream<'_>>>,
        claim: impl Fn(&ListedStream<'_>) -> Claim,
        now: Instant,
    ) {
        let contested = self.streams.iter();
        let contested = contested
            .filter(|(_, stream)| stream.state == State::Contested && stream.list <= self.lists);
        let ids: BTreeSet<u64> = contested.map(|(id, _)| *id).collect();
        for id in ids {
            let lines = found.get(&id).map(Vec::as_slice).unwrap_or_default();
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            match lines {
                [line] if line.may_wait => {
                    stream.confirm(claim(line), self.has_all && id > self.forgotten);
                    self.begin(id);
                }
                // It is over, or does not wait.
                [] | [_] => drop(self.streams.remove(&id)),
                _ if stream.is_given_up(now) => self.close(id, MISC),
                _ => drop(self.list_later(now)),
            }
        }
    }

    /// The names of virtual addresses; `None` if somebody forged replies.
    /// `is_ours` says which names are.
    pub fn mapped(
        &mut self,
        mappings: Option<&[(IpAddr, String)]>,
        is_ours: impl Fn(&str) -> bool,
        now: Instant,
    ) {
        let waiting = self.streams.iter();
        let waiting = waiting.filter(|(_, stream)| stream.state == State::Mapping);
        let ids: BTreeSet<u64> = waiting.map(|(id, _)| *id).collect();
        for id in ids {
            let Some(mappings) = mappings else {
                self.again(id, Do::Mappings, now);
                continue;
            };
            let Some(claim) = self.streams.get_mut(&id).and_then(|s| s.claims.first_mut()) else {
                continue;
            };
            let address = claim.host.parse::<IpAddr>().ok();
            let names = mappings.iter();
            let mut names = names.filter(|(mapped, _)| Some(*mapped) == address);
            match (names.next(), names.next()) {
                (Some((_, name)), None) if is_ours(name) => {
                    claim.host.clone_from(name);
                    claim.kind = Kind::Ours;
                }
                (Some(_), None) => claim.kind = Kind::Ordinary,
                // Tor refuses an address that it gave to no name. If it did give
                // it to one, and that cannot be seen, the name may be ours.
                (None, _) | (_, Some(_)) => claim.kind = Kind::Bad,
            }
            self.begin(id);
        }
    }

    /// The answer to [`Do::Lookup`].
    pub fn answered(&mut self, id: u64, answer: Answer) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.state != State::Resolving {
            return;
        }
        let kind = stream.claims.first().map(|claim| claim.kind);
        let host = match answer {
            // An onion service has no address.
            Answer::Onion(_) if kind == Some(Kind::OursToResolve) => {
                return self.close(id, RESOLVE_FAILED);
            }
            Answer::Onion(host) | Answer::Host(host) => host,
            Answer::Address(address) => address.to_string(),
            Answer::NoSuchName(_) => return self.close(id, RESOLVE_FAILED),
            Answer::NotNow(_) => return self.close(id, TIMED_OUT),
        };
        // The last gate: nothing that is no host becomes part of a command.
        if Target::parse(format!("{host}:1").as_bytes()).is_none() {
            return self.close(id, MISC);
        }
        stream.state = State::Redirecting;
        stream.disturbed = None;
        stream.answer.clone_from(&host);
        self.todo.push(Do::Redirect(id, host));
    }

    /// What came of [`Do::Redirect`].
    pub fn redirected(&mut self, id: u64, existence: Existence, now: Instant) {
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        match existence {
            Existence::Alive => {
                let attach = Do::Attach(id, stream.waits);
                self.streams.remove(&id);
                self.todo.push(attach);
            }
            Existence::Gone => drop(self.streams.remove(&id)),
            Existence::Refused => self.close(id, MISC),
            Existence::Unclear => {
                let host = stream.answer.clone();
                self.again(id, Do::Redirect(id, host), now);
            }
        }
    }
}

#[cfg(test)]
mod tests;
