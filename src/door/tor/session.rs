//! The conversation with one Tor from the moment it knows us: takes over its
//! streams, and turns events and replies into what is to be done. No I/O.

use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::automap::{Automap, SETTINGS};
use super::claims::{claim, mappings};
use super::conversation::{Conversation, Outcome};
use super::event::{
    self, Announcement, Event, ListedStream, StreamEvent, StreamStatus, Target, announcement,
};
use super::isolation::Ids;
use super::list;
use super::stream::{Claim, Do, Existence, Kind};
use super::streams::Streams;
use crate::isolation::IsolationId;
use crate::naming::{Answer, Naming};

/// How long Tor may take to answer a command.
const ANSWER: Duration = Duration::from_secs(30);

/// How long after the option was off streams may be met that Tor has attached.
const AFTERMATH: Duration = Duration::from_secs(30);

/// How long to wait before forged replies make us ask again.
const AGAIN: Duration = Duration::from_millis(20);

/// A circuit that never exists: Tor looks for the stream first, and then says
/// that it knows no such circuit, which changes nothing.
const NO_CIRCUIT: &str = "none";

/// What a command was sent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Settings,
    Events,
    TakeOver,
    List,
    Mappings,
    Probe(u64),
    Settle(u64),
    Redirect(u64),
    /// Whether Tor itself said that the stream waits.
    Attach(u64, bool),
    Close,
}

/// What the session wants of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Streams wait for us from now on.
    TookOver,
    /// Look a name up, under this number.
    Lookup(u64, String, IsolationId),
    /// An answer is not wanted any more.
    Cancel(u64),
    /// Nothing will be asked under this id any more.
    Forget(IsolationId),
    /// Another controller attaches streams, too.
    AnotherController,
    /// The events do not say by what streams are isolated.
    OldTor,
}

/// Why the session cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SessionError {
    /// Tor refuses a command. Holds its words.
    #[error("Tor refuses a command: {0}")]
    Refused(String),
    /// Tor does not answer.
    #[error("Tor does not answer")]
    Silent,
}

/// A session.
pub struct Session {
    naming: Arc<Naming>,
    conversation: Conversation<Purpose>,
    streams: Streams,
    ids: Ids,
    automap: Automap,
    effects: Vec<Effect>,
    /// Commands of the beginning that are to be sent again, and when.
    again: Vec<Purpose>,
    again_at: Option<Instant>,
    /// Whether the option is being set.
    is_taking_over: bool,
    /// When the option was off for a moment: Tor itself attached what came then.
    was_off: Option<Instant>,
    /// Whether it was said to be off meanwhile.
    is_off_again: bool,
    took_over: bool,
    is_warned_of_another: bool,
    is_warned_of_age: bool,
    error: Option<SessionError>,
}

impl Session {
    /// Begins a session with a Tor that has accepted us.
    pub fn new(naming: Arc<Naming>, now: Instant) -> Self {
        let mut session = Self {
            naming,
            conversation: Conversation::default(),
            streams: Streams::default(),
            ids: Ids::new(),
            automap: Automap::default(),
            effects: Vec::new(),
            again: Vec::new(),
            again_at: None,
            is_taking_over: false,
            was_off: None,
            is_off_again: false,
            took_over: false,
            is_warned_of_another: false,
            is_warned_of_age: false,
            error: None,
        };
        session.send(Purpose::Settings, now);
        session.send(Purpose::Events, now);
        session.take_over(now);
        session.conversation.mark(now);
        session
    }

    /// A line has arrived.
    pub fn line(&mut self, line: &[u8], now: Instant) {
        match event::parse(line) {
            Some(Event::Stream(stream)) => self.stream(&stream, now),
            Some(Event::NewNym) => {
                let forgotten = self.ids.forget().map(Effect::Forget);
                self.effects.extend(forgotten);
            }
            Some(Event::LeavesNothing) => {
                self.was_off = Some(now);
                self.take_over(now);
            }
            Some(Event::Settings) => self.later(Purpose::Settings, now),
            Some(Event::Other) => {}
            None => {
                for (purpose, outcome) in self.conversation.line(line) {
                    self.outcome(purpose, outcome, now);
                }
            }
        }
        self.work(now);
    }

    /// A lookup has its answer.
    pub fn answered(&mut self, number: u64, answer: Answer, now: Instant) {
        self.streams.answered(number, answer);
        self.work(now);
    }

    /// Time has passed.
    ///
    /// # Errors
    /// The session cannot go on.
    pub fn tick(&mut self, now: Instant) -> Result<(), SessionError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let since = self.conversation.waits_since();
        if since.is_some_and(|since| now.saturating_duration_since(since) > ANSWER) {
            return Err(SessionError::Silent);
        }
        if self.again_at.is_some_and(|at| at <= now) {
            self.again_at = None;
            for purpose in std::mem::take(&mut self.again) {
                self.send(purpose, now);
            }
        }
        self.streams.tick(now);
        self.work(now);
        Ok(())
    }

    /// When [`Session::tick`] has something to do at the latest.
    pub fn next_tick(&self) -> Option<Instant> {
        let silent = self.conversation.waits_since().map(|since| since + ANSWER);
        let due = [silent, self.again_at, self.streams.next_tick()];
        due.into_iter().flatten().min()
    }

    /// What is to be sent: whatever was decided since the last call, as one
    /// batch.
    pub fn take_output(&mut self, now: Instant) -> Vec<u8> {
        if self.streams.begins_list() {
            self.send(Purpose::List, now);
        }
        self.conversation.mark(now);
        self.conversation.take_output()
    }

    /// What the session wants, in this order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Has the option set; if that is under way, once more afterwards, as Tor may
    /// have done it before the option was off again.
    fn take_over(&mut self, now: Instant) {
        if std::mem::replace(&mut self.is_taking_over, true) {
            self.is_off_again = true;
        } else {
            self.send(Purpose::TakeOver, now);
        }
    }

    /// Sends a command after a pause, once however often it is asked for.
    fn later(&mut self, purpose: Purpose, now: Instant) {
        if !self.again.contains(&purpose) {
            self.again.push(purpose);
        }
        self.again_at.get_or_insert(now + AGAIN);
    }

    fn send(&mut self, purpose: Purpose, now: Instant) {
        let conversation = &mut self.conversation;
        match purpose {
            Purpose::Settings => {
                conversation.question(purpose, format_args!("GETCONF {}", SETTINGS.join(" ")), now);
            }
            Purpose::Events => {
                let events = format_args!("SETEVENTS STREAM SIGNAL CONF_CHANGED");
                conversation.command(purpose, events);
            }
            Purpose::TakeOver => {
                let option = format_args!("SETCONF __LeaveStreamsUnattached=1");
                conversation.command(purpose, option);
            }
            Purpose::List => conversation.question(purpose, format_args!("{}", list::STREAMS), now),
            Purpose::Mappings => {
                conversation.question(purpose, format_args!("{}", list::MAPPINGS), now);
            }
            Purpose::Probe(id) => {
                let probe = format_args!("ATTACHSTREAM {id} {NO_CIRCUIT}");
                conversation.command(purpose, probe);
            }
            Purpose::Settle(_) => conversation.note(purpose),
            Purpose::Attach(id, _) => {
                conversation.command(purpose, format_args!("ATTACHSTREAM {id} 0"));
            }
            // These have more to say than their purpose.
            Purpose::Redirect(_) | Purpose::Close => {}
        }
    }

    fn stream(&mut self, event: &StreamEvent<'_>, now: Instant) {
        match event.status {
            StreamStatus::New | StreamStatus::NewResolve => self.announced(event, now),
            StreamStatus::ControllerWait => {
                self.streams.waits(event.id, event.target, event.fields);
            }
            StreamStatus::Closed => self.streams.closed(event.id),
            StreamStatus::Other => {}
        }
    }

    fn announced(&mut self, event: &StreamEvent<'_>, now: Instant) {
        let announced = announcement(event.fields);
        let is_resolve = event.status == StreamStatus::NewResolve;
        let mut claim = claim(&self.naming, &self.automap, event.target, is_resolve);
        match announced {
            Some(announced) if !announced.is_users => claim.kind = Kind::OfTor,
            Some(announced) if event::fields(announced.rest).is_some() => {
                claim.rest = announced.rest.to_vec();
                claim.client = announced.client.map(<[u8]>::to_vec);
            }
            // A target with spaces makes no fields of what follows it.
            _ => {
                claim.kind = Kind::Bad;
                claim.rest = event.fields.to_vec();
            }
        }
        self.streams.announced(event.id, claim, now);
    }

    fn outcome(&mut self, purpose: Purpose, outcome: Outcome, now: Instant) {
        match (purpose, outcome) {
            (Purpose::Settings, Outcome::Lines(lines)) => match Automap::parse(&lines) {
                Some(automap) => self.automap = automap,
                None => self.later(purpose, now),
            },
            (Purpose::Events | Purpose::TakeOver, Outcome::Unclear) => self.later(purpose, now),
            (Purpose::Events, outcome) => self.require(&outcome),
            (Purpose::TakeOver, outcome) => {
                self.is_taking_over = false;
                self.require(&outcome);
                self.streams.take_over();
                if std::mem::take(&mut self.is_off_again) {
                    self.take_over(now);
                }
                if outcome.is_ok() && !std::mem::replace(&mut self.took_over, true) {
                    self.effects.push(Effect::TookOver);
                }
            }
            (Purpose::List, outcome) => self.listed(&outcome, now),
            (Purpose::Mappings, outcome) => {
                let mappings = match &outcome {
                    Outcome::Lines(lines) => mappings(lines),
                    _ => None,
                };
                let naming = Arc::clone(&self.naming);
                let is_ours = |name: &str| naming.is_ours(name.as_bytes());
                self.streams.mapped(mappings.as_deref(), is_ours, now);
            }
            (Purpose::Probe(id), outcome) => {
                let existence = match &outcome {
                    Outcome::Reply(552, text) if text.starts_with("Unknown circuit") => {
                        Existence::Alive
                    }
                    Outcome::Reply(552, _) => Existence::Gone,
                    _ => Existence::Unclear,
                };
                self.streams.probed(id, existence, now);
            }
            // Whatever was forged, everything before the mark has been read.
            (Purpose::Settle(id), _) => self.streams.settled(id),
            (Purpose::Redirect(id), outcome) => {
                let existence = match &outcome {
                    Outcome::Reply(250, _) => Existence::Alive,
                    Outcome::Reply(552, _) => Existence::Gone,
                    Outcome::Reply(..) => Existence::Refused,
                    _ => Existence::Unclear,
                };
                self.streams.redirected(id, existence, now);
            }
            // Tor closes a stream that it cannot attach, 551, or it was closed
            // before, 552.
            (Purpose::Attach(_, true), Outcome::Reply(555, _)) => {
                let since = self.was_off.map(|at| now.saturating_duration_since(at));
                let is_tors = since.is_some_and(|since| since < AFTERMATH);
                if !is_tors && !std::mem::replace(&mut self.is_warned_of_another, true) {
                    self.effects.push(Effect::AnotherController);
                }
            }
            (Purpose::Attach(..) | Purpose::Close, _) => {}
            // It was a question.
            (Purpose::Settings, _) => self.later(purpose, now),
        }
    }

    fn require(&mut self, outcome: &Outcome) {
        if let Outcome::Reply(code, text) = outcome
            && *code != 250
        {
            let text: String = text.chars().filter(char::is_ascii).take(200).collect();
            self.error = Some(SessionError::Refused(format!("{code} {text}")));
        }
    }

    fn listed(&mut self, outcome: &Outcome, now: Instant) {
        let lines = match outcome {
            Outcome::Lines(lines) => list::items(lines, list::STREAMS_KEY),
            _ => None,
        };
        let streams: Option<Vec<ListedStream<'_>>> =
            lines.map(|lines| lines.filter_map(event::listed).collect());
        let naming = &self.naming;
        let automap = &self.automap;
        let claim = |listed: &ListedStream<'_>| {
            let is_resolve = listed.status == StreamStatus::NewResolve;
            let mut claim = claim(naming, automap, listed.target, is_resolve);
            if event::is_of_tor(listed.target) {
                claim.kind = Kind::OfTor;
            }
            claim
        };
        self.streams.listed(streams.as_deref(), claim, now);
    }

    /// Does what the streams want, until they want nothing more.
    fn work(&mut self, now: Instant) {
        loop {
            let todo = self.streams.take_todo();
            if todo.is_empty() {
                return;
            }
            for what in todo {
                self.act(what, now);
            }
        }
    }

    fn act(&mut self, what: Do, now: Instant) {
        match what {
            Do::Probe(id) => self.send(Purpose::Probe(id), now),
            Do::Settle(id) => self.send(Purpose::Settle(id), now),
            Do::Mappings => self.send(Purpose::Mappings, now),
            Do::Attach(id, waits) => self.send(Purpose::Attach(id, waits), now),
            Do::Redirect(id, host) => {
                let redirect = format_args!("REDIRECTSTREAM {id} {host}");
                self.conversation.command(Purpose::Redirect(id), redirect);
            }
            Do::Close(id, reason) => {
                let close = format_args!("CLOSESTREAM {id} {reason}");
                self.conversation.command(Purpose::Close, close);
            }
            Do::Lookup(id, claim) => self.look_up(id, claim),
            Do::Cancel(id) => self.effects.push(Effect::Cancel(id)),
        }
    }

    fn look_up(&mut self, id: u64, claim: Claim) {
        let announced = Announcement {
            client: claim.client.as_deref(),
            is_users: true,
            rest: &claim.rest,
        };
        let target = Target::parse(&claim.target);
        let traits = target.and_then(|target| self.ids.traits(&target, &announced));
        let is_described = !claim.rest.is_empty();
        if traits.is_none() && is_described && !std::mem::replace(&mut self.is_warned_of_age, true)
        {
            self.effects.push(Effect::OldTor);
        }
        let (isolation, forgotten) = self.ids.of(traits.as_ref());
        self.effects.extend(forgotten.map(Effect::Forget));
        let is_its_own = traits.is_none().then(|| isolation.clone());
        self.effects.push(Effect::Lookup(id, claim.host, isolation));
        self.effects.extend(is_its_own.map(Effect::Forget));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The option is set, and is off again before that was answered.
    #[test]
    fn the_option_is_set_again_if_it_was_off_meanwhile() {
        let naming = Naming::new(Vec::new(), ANSWER, false, &crate::log::Log::silent());
        let now = Instant::now();
        let mut session = Session::new(Arc::new(naming), now);
        let option = "SETCONF __LeaveStreamsUnattached=1";
        let sent = |session: &mut Session| -> Vec<String> {
            let sent = String::from_utf8(session.take_output(now)).unwrap();
            sent.lines().map(str::to_owned).collect()
        };
        let begin = sent(&mut session);
        assert_eq!(begin.iter().filter(|line| *line == option).count(), 1);
        let mut says = |line: &str| session.line(line.as_bytes(), now);
        for command in &begin {
            match command.strip_prefix("GETINFO ") {
                Some(mark) => says(&format!("552 Unrecognized key \"{mark}\"")),
                None => says("250 OK"),
            }
            if command == option {
                says("650-CONF_CHANGED");
                says("650-__LeaveStreamsUnattached=0");
                says("650 OK");
            }
        }
        assert!(sent(&mut session).iter().any(|line| line == option));
    }
}
