//! Leaving: Tor attaches streams by itself again, and those that wait for us are
//! attached or refused.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use super::connection::Connection;
use super::conversation::{Conversation, Outcome};
use super::event::{self, Target};
use super::list;
use crate::naming::Suffixes;

/// Tor's reason "it takes too long": 6 in SOCKS5.
const TIMED_OUT: u8 = 7;

/// How often a list is asked for again because somebody forged replies.
const TRIES: u32 = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// What Tor answered to others before us has been read.
    Begin,
    List,
    Rest,
}

/// The conversation that ends everything.
pub struct Undo<'a> {
    ours: &'a Suffixes,
    conversation: Conversation<Purpose>,
    tries: u32,
    is_done: bool,
}

impl<'a> Undo<'a> {
    /// Begins it.
    pub fn new(ours: &'a Suffixes, now: Instant) -> Self {
        let mut conversation = Conversation::default();
        // Even if this process ends before Tor reads it.
        conversation.tell(format_args!("SETCONF __LeaveStreamsUnattached=0"));
        conversation.note(Purpose::Begin);
        conversation.mark(now);
        Self {
            ours,
            conversation,
            tries: 0,
            is_done: false,
        }
    }

    /// A line has arrived.
    pub fn line(&mut self, line: &[u8], now: Instant) {
        if event::parse(line).is_some() {
            return;
        }
        for (purpose, outcome) in self.conversation.line(line) {
            match (purpose, outcome) {
                (Purpose::Begin, _) => self.ask(now),
                (Purpose::List, Outcome::Lines(lines)) => self.listed(&lines, now),
                (Purpose::List, _) => {}
                (Purpose::Rest, _) => self.is_done = true,
            }
        }
        self.conversation.mark(now);
    }

    fn ask(&mut self, now: Instant) {
        let list = format_args!("{}", list::STREAMS);
        self.conversation.question(Purpose::List, list, now);
    }

    fn listed(&mut self, lines: &[Vec<u8>], now: Instant) {
        let Some(items) = list::items(lines, list::STREAMS_KEY) else {
            self.tries += 1;
            match self.tries > TRIES {
                true => self.is_done = true,
                false => self.ask(now),
            }
            return;
        };
        // Of an id that occurs more than once, at least one line is forged: the
        // stream is refused if any of them has a name of ours.
        let mut refused = BTreeMap::new();
        for stream in items.filter_map(event::listed) {
            if stream.may_wait {
                let target = Target::parse(stream.target);
                let is_refused = match target {
                    Some(target) => self.ours.is_ours(target.host.as_bytes()),
                    None => !event::is_of_tor(stream.target),
                };
                *refused.entry(stream.id).or_insert(false) |= is_refused;
            }
        }
        for (id, is_refused) in refused {
            let command = match is_refused {
                true => format!("CLOSESTREAM {id} {TIMED_OUT}"),
                false => format!("ATTACHSTREAM {id} 0"),
            };
            self.conversation
                .command(Purpose::Rest, format_args!("{command}"));
        }
        self.conversation.note(Purpose::Rest);
    }

    /// What is to be sent.
    pub fn take_output(&mut self) -> Vec<u8> {
        self.conversation.take_output()
    }

    /// Whether Tor has done everything.
    pub fn is_done(&self) -> bool {
        self.is_done
    }
}

/// Leaves Tor as it was.
///
/// # Errors
/// The connection is over, or the time.
pub fn run(connection: &mut Connection, ours: &Suffixes, deadline: Instant) -> io::Result<()> {
    let mut undo = Undo::new(ours, Instant::now());
    while !undo.is_done() {
        connection.write(&undo.take_output())?;
        let ready = connection.wait(None, deadline)?;
        let now = Instant::now();
        if ready.can_read {
            connection.read(|line| undo.line(line, now))?;
        } else if now >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    Ok(())
}
