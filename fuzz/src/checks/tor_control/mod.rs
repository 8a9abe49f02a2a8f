//! The door on Tor's control port between a Tor, a victim and an attacker.

mod input;
mod promises;
mod tor;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ncprop279::fuzzing::tor_control::{Effect, Lines, Session, SessionError, Undo};
use ncprop279::isolation::IsolationId;
use ncprop279::log::Log;
use ncprop279::naming::Naming;

use self::input::HOSTS;
use self::promises::{Promises, answer};
use self::tor::{Fields, Owner, State, Tor, is_clean};
use super::input::Input;

/// The most steps, so that nothing is disturbed for 20 seconds.
const STEPS: usize = 600;

/// How often Tor and the door may take turns until everything has settled.
const ROUNDS: usize = 2000;

const PAUSES: [u64; 6] = [0, 5, 20, 100, 1_000, 11_000];

const ATTACKER: Fields = Fields {
    client: Some("127.0.0.9"),
    user: "evil",
    protocol: "SOCKS5",
    epoch: 0,
    group: -4,
    by: "SOCKS_USERNAME,SOCKS_PASSWORD,CLIENTADDR,SESSION_GROUP,NYM_EPOCH",
};

/// Any bytes as what happens at a Tor: two programs open and close streams, one
/// of them with targets that hold lines of its own; Tor and the door read each
/// other in pieces; time passes.
///
/// Whatever the attacker does, the victim's streams go where its own names lead,
/// no name of ours reaches Tor, no id is shared by streams that Tor keeps apart,
/// and in the end no stream waits.
pub fn tor_control(data: &[u8]) {
    let Some((settings, data)) = data.split_first() else {
        return;
    };
    let mut world = World::new(Input(data), *settings);
    for _ in 0..STEPS {
        if world.input.is_empty() {
            break;
        }
        world.step();
    }
    match settings & 1 {
        0 => world.settle(),
        _ => world.leave(),
    }
    world.promises.end(&world.tor);
}

struct World<'a> {
    input: Input<'a>,
    now: Instant,
    tor: Tor,
    /// What Tor has read of a command that is not complete.
    buffer: Vec<u8>,
    naming: Arc<Naming>,
    session: Session,
    lines: Lines,
    lookups: BTreeMap<u64, (String, IsolationId)>,
    promises: Promises,
}

impl<'a> World<'a> {
    fn new(input: Input<'a>, settings: u8) -> Self {
        let timeout = Duration::from_secs(20);
        let naming = Naming::new(Vec::new(), timeout, false, &Log::silent());
        let naming = Arc::new(naming);
        let now = Instant::now();
        let tor = Tor::new(settings & 2 != 0, settings & 4 != 0);
        let mut world = Self {
            input,
            now,
            tor,
            buffer: Vec::new(),
            session: Session::new(Arc::clone(&naming), now),
            naming,
            lines: Lines::default(),
            lookups: BTreeMap::new(),
            promises: Promises::default(),
        };
        // What happened before.
        for _ in 0..settings >> 5 {
            match world.input.below(4) {
                0 if world.tor.has_automap => {
                    let mut name = world.input.raw_host(&world.tor);
                    name.extend(b".auto.bit");
                    world.tor.plant(&name);
                }
                1 if world.tor.has_automap => world.tor.plant(b"x.auto.bit"),
                2 => world.attack(),
                _ => world.open(),
            }
        }
        world.pump();
        world
    }

    fn step(&mut self) {
        match self.input.below(20) {
            0 | 1 => self.open(),
            2 => {
                let fields = self.input.fields(self.tor.epoch);
                self.tor.connect(Owner::Victim, fields);
            }
            3 => {
                if let Some(id) = self.pick(|state| state == State::Connected) {
                    self.request(id);
                }
            }
            4..=6 => self.attack(),
            7 => {
                if let Some(id) = self.pick(|state| state != State::Closed) {
                    self.tor.close(id, "DONE");
                }
            }
            8 => self.tor.flush(),
            9 => self.tor.end_turn(),
            10 => {
                let count = usize::from(self.input.byte());
                self.tor_reads(count);
            }
            11 => self.tor_reads(usize::MAX),
            12 => {
                let count = 4 * usize::from(self.input.byte());
                self.door_reads(count);
            }
            13 => self.door_reads(usize::MAX),
            14 => self.answer(),
            15 => {
                let pause = PAUSES[self.input.below(PAUSES.len())];
                self.pass(Duration::from_millis(pause));
            }
            16 => self.rare(),
            _ => self.round(),
        }
    }

    fn rare(&mut self) {
        match self.input.below(8) {
            0 | 1 => self.tor.new_nym(),
            2 | 3 => self.tor.reload(),
            4 => {
                if let Some(id) = self.pick(|state| state == State::Waiting) {
                    self.tor.attach_for_another(id);
                }
            }
            5 | 6 => {
                let is_there = |state| matches!(state, State::Pending | State::OnCircuit);
                if let Some(id) = self.pick(is_there) {
                    self.tor.circuit(id);
                }
            }
            _ => {
                let id = self.tor.connect(Owner::Tor, ATTACKER);
                self.tor.request(id, b"192.0.2.7.$00AA~x.exit", 9001, false);
            }
        }
    }

    /// A stream in some state.
    fn pick(&mut self, is_fit: impl Fn(State) -> bool) -> Option<u64> {
        let fit = self.tor.streams.iter().filter(|(_, s)| is_fit(s.state));
        let fit: Vec<u64> = fit.map(|(id, _)| *id).collect();
        // The newer ones are of more interest.
        let at = self.input.below(8).min(fit.len().checked_sub(1)?);
        fit.iter().rev().nth(at).copied()
    }

    fn open(&mut self) {
        let fields = self.input.fields(self.tor.epoch);
        let id = self.tor.connect(Owner::Victim, fields);
        self.request(id);
    }

    fn request(&mut self, id: u64) {
        let choice = self.input.byte();
        let mut host = HOSTS[usize::from(choice) % HOSTS.len()];
        // Nobody knows addresses before they are made.
        let mapped = self.tor.mapped(host.as_bytes());
        if host.starts_with("127.192.") && !mapped.is_some_and(is_clean) {
            host = "x.example";
        }
        let is_resolve = choice >= 192;
        let port = if is_resolve { 0 } else { 80 };
        self.tor.request(id, host.as_bytes(), port, is_resolve);
    }

    fn attack(&mut self) {
        let host = self.input.raw_host(&self.tor);
        let is_resolve = self.input.below(4) == 0;
        let fields = Fields {
            by: match self.input.below(4) {
                0 => "SESSION_GROUP,NYM_EPOCH",
                _ => ATTACKER.by,
            },
            ..ATTACKER
        };
        let id = self.tor.connect(Owner::Attacker, fields);
        self.tor.request(id, &host, 80, is_resolve);
    }

    fn tor_reads(&mut self, count: usize) {
        let promises = &mut self.promises;
        let check = |tor: &Tor, line: &[u8]| promises.command(tor, line);
        self.tor.read(&mut self.buffer, count, check);
    }

    fn door_reads(&mut self, count: usize) {
        let count = count.min(self.tor.output.len());
        let bytes: Vec<u8> = self.tor.output.drain(..count).collect();
        let (session, now) = (&mut self.session, self.now);
        self.lines.feed(&bytes, |line| session.line(line, now));
        self.pump();
    }

    /// What the thread of the door does before it waits.
    fn pump(&mut self) {
        match self.session.tick(self.now) {
            Ok(()) => {}
            Err(SessionError::Silent) => panic!("Tor was never silent"),
            Err(SessionError::Refused(why)) => panic!("{why}"),
        }
        loop {
            let effects = self.session.take_effects();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                self.effect(effect);
            }
        }
        let output = self.session.take_output(self.now);
        self.tor.input.extend(output);
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Lookup(id, name, isolation) => {
                self.promises.lookup(&self.tor, id, &name, &isolation);
                let known = self.lookups.insert(id, (name.clone(), isolation));
                assert!(known.is_none(), "two lookups for {id}");
                if name == "now.bit" {
                    self.answer_to(id);
                }
            }
            Effect::Cancel(id) => {
                let state = self.tor.streams.get(&id).map(|stream| stream.state);
                assert_eq!(state, Some(State::Closed), "cancelled: {id}");
                self.lookups.remove(&id);
            }
            Effect::Forget(isolation) => self.promises.forget(&isolation),
            Effect::TookOver | Effect::AnotherController | Effect::OldTor => {}
        }
    }

    fn answer(&mut self) {
        let at = self.input.below(8);
        let id = self.lookups.keys().nth(at).or(self.lookups.keys().next());
        if let Some(id) = id.copied() {
            self.answer_to(id);
            self.pump();
        }
    }

    fn answer_to(&mut self, id: u64) {
        if let Some((name, _)) = self.lookups.remove(&id) {
            self.promises.answered.insert(id);
            self.session.answered(id, answer(&name), self.now);
        }
    }

    /// Nobody is silent: what was sent is read first.
    fn pass(&mut self, pause: Duration) {
        if pause > Duration::from_secs(1) {
            self.round();
            self.round();
        }
        self.now += pause;
        self.pump();
    }

    /// Both read everything.
    fn round(&mut self) {
        self.tor_reads(usize::MAX);
        self.tor.end_turn();
        self.door_reads(usize::MAX);
    }

    fn end_attack(&mut self) {
        let streams = self.tor.streams.iter();
        let streams = streams.filter(|(_, stream)| stream.owner == Owner::Attacker);
        let ids: Vec<u64> = streams.map(|(id, _)| *id).collect();
        for id in ids {
            self.tor.close(id, "DONE");
        }
    }

    /// The attacker goes away, and every lookup is answered.
    fn settle(&mut self) {
        self.end_attack();
        for _ in 0..ROUNDS {
            self.round();
            while let Some(id) = self.lookups.keys().next().copied() {
                self.answer_to(id);
                self.pump();
            }
            let is_quiet = self.tor.input.is_empty() && self.tor.output.is_empty();
            match self.session.next_tick() {
                None if is_quiet => return,
                Some(at) if is_quiet => self.now = self.now.max(at),
                _ => {}
            }
            self.pump();
        }
        panic!("it never settles");
    }

    /// The door goes away, the attacker does not.
    fn leave(&mut self) {
        let naming = Arc::clone(&self.naming);
        let mut undo = Undo::new(naming.suffixes(), self.now);
        for _ in 0..100 {
            self.tor.input.extend(undo.take_output());
            self.tor_reads(usize::MAX);
            self.tor.end_turn();
            let bytes = std::mem::take(&mut self.tor.output);
            let now = self.now;
            self.lines.feed(&bytes, |line| undo.line(line, now));
            if undo.is_done() {
                return;
            }
        }
        panic!("it never leaves");
    }
}
