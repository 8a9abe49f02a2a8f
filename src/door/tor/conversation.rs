//! Commands and their replies, which nobody but Tor can give.
//!
//! Programs that may use Tor can put lines of their own into what Tor sends, as
//! Tor does not escape the targets of streams. So every batch of commands has a
//! question for a random key in front of it and behind it, the *mark*, which Tor
//! repeats when it says that it knows no such key. Between the two are as many
//! replies as there are commands in the batch. If there are more, somebody forged
//! some, and none of them counts.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::time::Instant;

use data_encoding::HEXLOWER;

/// The most bytes between two marks. A stream in the list of all has some 300 at
/// most, and Tor has no more than 65,536 of them.
const MAX_COLLECTED: usize = 20 << 20;

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Tor's reply, in one line: its code and text.
    Reply(u16, String),
    /// Tor's reply, as lines with their codes.
    Lines(Vec<Vec<u8>>),
    /// Tor has acted on the command, but somebody forged replies.
    Unclear,
}

impl Outcome {
    /// Whether Tor did what the command says.
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Reply(250, _))
    }
}

/// How many lines the reply to a command has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// None: the command is nothing but a place between marks.
    Nothing,
    /// One.
    Line,
    /// Any number. Such a command has a batch of its own.
    Lines,
}

struct Batch<C> {
    mark: String,
    /// Whether the mark in front of the replies has been read.
    has_begun: bool,
    commands: Vec<(C, Form)>,
    sent: Instant,
}

/// The conversation with one Tor. `C` says what a command was sent for.
pub struct Conversation<C> {
    /// The commands of the next batch, and what they are in bytes.
    open: Vec<(C, Form)>,
    text: Vec<u8>,
    /// Batches that Tor has not answered, the oldest first.
    batches: VecDeque<Batch<C>>,
    /// Lines since the mark that begins a batch.
    collected: Vec<Vec<u8>>,
    collected_bytes: usize,
    /// What is to be sent.
    output: Vec<u8>,
}

impl<C> Default for Conversation<C> {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            text: Vec::new(),
            batches: VecDeque::new(),
            collected: Vec::new(),
            collected_bytes: 0,
            output: Vec::new(),
        }
    }
}

impl<C> Conversation<C> {
    /// A command whose reply is one line.
    pub fn command(&mut self, purpose: C, command: fmt::Arguments<'_>) {
        self.push(purpose, Form::Line);
        self.write(command);
    }

    /// A command whose reply has several lines.
    pub fn question(&mut self, purpose: C, command: fmt::Arguments<'_>, now: Instant) {
        self.mark(now);
        self.push(purpose, Form::Lines);
        self.write(command);
        self.mark(now);
    }

    /// Nothing to Tor: gives `purpose` back once everything that Tor wrote before
    /// now has been read.
    pub fn note(&mut self, purpose: C) {
        self.push(purpose, Form::Nothing);
    }

    /// A command whose reply does not matter.
    pub fn tell(&mut self, command: fmt::Arguments<'_>) {
        // Before the batch, so that the reply is none of it.
        write_line(&mut self.output, command);
    }

    fn push(&mut self, purpose: C, form: Form) {
        self.open.push((purpose, form));
    }

    fn write(&mut self, command: fmt::Arguments<'_>) {
        write_line(&mut self.text, command);
    }

    /// Ends the batch, unless it is empty.
    pub fn mark(&mut self, now: Instant) {
        if self.open.is_empty() {
            return;
        }
        let mark = HEXLOWER.encode(&rand::random::<[u8; 8]>());
        let text = std::mem::take(&mut self.text);
        // Without replies nothing has to be in front of them.
        if !text.is_empty() {
            write_line(&mut self.output, format_args!("GETINFO {mark}"));
        }
        self.output.extend(&text);
        write_line(&mut self.output, format_args!("GETINFO {mark}"));
        self.batches.push_back(Batch {
            mark,
            has_begun: text.is_empty(),
            commands: std::mem::take(&mut self.open),
            sent: now,
        });
    }

    /// What is to be sent now.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// When the oldest batch without an answer was sent.
    pub fn waits_since(&self) -> Option<Instant> {
        self.batches.front().map(|batch| batch.sent)
    }

    /// A line that is no event. Gives the outcomes of a batch, if the line ends
    /// it.
    pub fn line(&mut self, line: &[u8]) -> Vec<(C, Outcome)> {
        let Some(batch) = self.batches.front_mut() else {
            return Vec::new();
        };
        let is_mark = line
            .strip_prefix(b"552 Unrecognized key \"")
            .and_then(|rest| rest.strip_suffix(b"\""))
            .is_some_and(|found| found == batch.mark.as_bytes());
        if !batch.has_begun {
            batch.has_begun = is_mark;
            return Vec::new();
        }
        if !is_mark {
            // What is beyond the bound was forged, and makes the batch unclear.
            if self.collected_bytes < MAX_COLLECTED {
                self.collected_bytes += line.len() + std::mem::size_of::<Vec<u8>>();
                self.collected.push(line.to_vec());
            }
            return Vec::new();
        }
        let Some(batch) = self.batches.pop_front() else {
            return Vec::new();
        };
        let lines = std::mem::take(&mut self.collected);
        let is_whole = self.collected_bytes < MAX_COLLECTED;
        self.collected_bytes = 0;
        outcomes(batch.commands, lines, is_whole)
    }
}

fn write_line(output: &mut Vec<u8>, command: fmt::Arguments<'_>) {
    let mut line = String::new();
    let _ = line.write_fmt(command);
    output.extend(line.as_bytes());
    output.extend(b"\r\n");
}

fn outcomes<C>(commands: Vec<(C, Form)>, lines: Vec<Vec<u8>>, is_whole: bool) -> Vec<(C, Outcome)> {
    let is_one = |form: &Form| *form == Form::Line;
    let expected = commands.iter().filter(|(_, form)| is_one(form)).count();
    let many = commands.iter().any(|(_, form)| *form == Form::Lines);
    let mut replies: Vec<_> = match many {
        true => Vec::new(),
        false => lines.iter().map_while(|line| reply(line)).collect(),
    };
    let is_clear = is_whole && (many || (replies.len() == lines.len() && lines.len() == expected));
    let mut replies = replies.drain(..);
    let mut lines = Some(lines);
    let outcome = |form| match form {
        _ if !is_clear => Outcome::Unclear,
        Form::Nothing => Outcome::Reply(250, String::new()),
        Form::Line => replies.next().unwrap_or(Outcome::Unclear),
        Form::Lines => lines.take().map_or(Outcome::Unclear, Outcome::Lines),
    };
    let mut outcome = outcome;
    let commands = commands.into_iter();
    commands
        .map(|(purpose, form)| (purpose, outcome(form)))
        .collect()
}

/// A reply of one line.
fn reply(line: &[u8]) -> Option<Outcome> {
    let (code, text) = line.split_at_checked(4)?;
    let code = std::str::from_utf8(code).ok()?.strip_suffix(' ')?;
    let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    let code = code.parse().ok().filter(|_| is_code)?;
    Some(Outcome::Reply(
        code,
        String::from_utf8_lossy(text).into_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tor {
        conversation: Conversation<u8>,
    }

    impl Tor {
        fn new() -> Self {
            Self {
                conversation: Conversation::default(),
            }
        }

        fn send(&mut self, purposes: &[u8]) -> Vec<String> {
            for purpose in purposes {
                let command = format_args!("COMMAND {purpose}");
                self.conversation.command(*purpose, command);
            }
            self.conversation.mark(Instant::now());
            let sent = String::from_utf8(self.conversation.take_output()).unwrap();
            sent.lines().map(str::to_owned).collect()
        }

        fn says(&mut self, line: &str) -> Vec<(u8, Outcome)> {
            self.conversation.line(line.as_bytes())
        }
    }

    fn key(sent: &[String]) -> String {
        let mark = sent.last().unwrap().strip_prefix("GETINFO ").unwrap();
        assert_eq!(mark.len(), 16);
        format!("552 Unrecognized key \"{mark}\"")
    }

    fn ok() -> Outcome {
        Outcome::Reply(250, "OK".to_owned())
    }

    #[test]
    fn replies_belong_to_commands_in_their_order() {
        let mut tor = Tor::new();
        let first = key(&tor.send(&[1, 2]));
        let second = key(&tor.send(&[3]));
        assert_ne!(first, second);
        // Whatever comes before the first mark is none of Tor's replies.
        for forged in ["250 OK", "551 x", &second, &first] {
            assert!(tor.says(forged).is_empty());
        }
        for reply in ["250 OK", "552 Unknown stream \"2\""] {
            assert!(tor.says(reply).is_empty());
        }
        let gone = Outcome::Reply(552, "Unknown stream \"2\"".to_owned());
        assert_eq!(tor.says(&first), [(1, ok()), (2, gone)]);
        tor.says(&second);
        tor.says("250 OK");
        assert_eq!(tor.says(&second), [(3, ok())]);
        assert!(tor.says("250 OK").is_empty());
        assert_eq!(tor.conversation.waits_since(), None);
    }

    #[test]
    fn a_batch_with_forged_replies_is_unclear_and_the_next_is_not() {
        for forged in ["250 OK", "551 x", "250+stream-status=", "x", "", "2500 OK"] {
            let mut tor = Tor::new();
            let first = key(&tor.send(&[1]));
            let second = key(&tor.send(&[2]));
            tor.says(&first);
            tor.says(forged);
            tor.says("250 OK");
            // A mark of another batch counts for nothing.
            assert!(tor.says(&second).is_empty());
            assert_eq!(tor.says(&first), [(1, Outcome::Unclear)], "{forged}");
            tor.says(&second);
            tor.says("250 OK");
            assert_eq!(tor.says(&second), [(2, ok())]);
        }
        // A reply alone, which could be the forged one, is none either.
        let mut tor = Tor::new();
        let mark = key(&tor.send(&[1, 2]));
        tor.says(&mark);
        tor.says("250 OK");
        let unclear = [(1, Outcome::Unclear), (2, Outcome::Unclear)];
        assert_eq!(tor.says(&mark), unclear);
    }

    #[test]
    fn questions_get_all_lines_and_notes_come_back_by_themselves() {
        let mut tor = Tor::new();
        let now = Instant::now();
        tor.conversation.note(1);
        tor.conversation.question(2, format_args!("GETINFO x"), now);
        let sent = String::from_utf8(tor.conversation.take_output()).unwrap();
        let sent: Vec<_> = sent.lines().map(str::to_owned).collect();
        // A note alone needs no mark in front.
        assert_eq!(sent.len(), 4);
        assert_eq!(
            tor.says(&key(&sent[..1])),
            [(1, Outcome::Reply(250, String::new()))]
        );
        tor.says(&key(&sent));
        tor.says("250-x=1");
        tor.says("250 OK");
        let lines = vec![b"250-x=1".to_vec(), b"250 OK".to_vec()];
        assert_eq!(tor.says(&key(&sent)), [(2, Outcome::Lines(lines))]);
    }

    #[test]
    fn what_is_only_told_has_no_reply_that_counts() {
        let mut tor = Tor::new();
        tor.conversation.command(1, format_args!("A"));
        tor.conversation.tell(format_args!("B"));
        tor.conversation.mark(Instant::now());
        let sent = String::from_utf8(tor.conversation.take_output()).unwrap();
        let sent: Vec<_> = sent.lines().map(str::to_owned).collect();
        assert_eq!(
            (sent[0].as_str(), sent[2].as_str(), sent.len()),
            ("B", "A", 4)
        );
        let mark = key(&sent);
        for reply in ["552 of B", &mark, "250 OK"] {
            assert!(tor.says(reply).is_empty());
        }
        assert_eq!(tor.says(&mark), [(1, ok())]);
    }

    #[test]
    fn what_is_forged_without_end_costs_bounded_memory() {
        let mut tor = Tor::new();
        let mark = key(&tor.send(&[1]));
        tor.says(&mark);
        let line = "x".repeat(1 << 20);
        for _ in 0..40 {
            tor.says(&line);
        }
        assert!(tor.conversation.collected_bytes <= MAX_COLLECTED + (2 << 20));
        assert_eq!(tor.says(&mark), [(1, Outcome::Unclear)]);
    }
}
