//! The open queries of one plugin: what to write next, and what each line that
//! it writes means. No I/O; time is an argument.
//!
//! A query waits for its turn, is sent, and may pause before it is sent again, each
//! time under a new number, so that late and duplicate answers match nothing.
//! Isolation ids take turns: while the plugin reads slowly, an id with many
//! queries does not delay another.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::protocol;
use super::reply::Reply;
use crate::isolation::IsolationId;
use crate::naming::answer::Answer;
use crate::scheduler::Ring;

/// The most open queries.
pub const MAX_QUERIES: usize = 10_000;

/// The most open queries of one isolation id.
pub const MAX_QUERIES_PER_ISOLATION: usize = 1_000;

/// The first pause before a query is asked again.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// A query of a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// Whose it is.
    pub asker: u64,
    /// Which of them.
    pub number: u64,
}

/// Answers to give.
pub type Answers = Vec<(Ticket, Answer)>;

/// Identifies an open query.
type Serial = u64;

#[derive(Debug)]
struct Query {
    ticket: Ticket,
    name: String,
    isolation: IsolationId,
    deadline: Instant,
    progress: Progress,
    attempts: u32,
    /// Why the last attempt failed.
    last: Option<String>,
}

#[derive(Debug, Clone, Copy)]
enum Progress {
    /// It waits for its turn.
    Waiting,
    /// The plugin was asked under this number.
    Asked(u64),
    /// It will be asked again then.
    Pausing(Instant),
}

/// The open queries of one plugin.
#[derive(Debug, Default)]
pub struct Queries {
    open: HashMap<Serial, Query>,
    serials: HashMap<Ticket, Serial>,
    /// By the number under which the plugin was asked.
    asked: HashMap<u64, Serial>,
    /// How many each isolation id has.
    counts: HashMap<IsolationId, usize>,
    /// Isolation ids of which a query waits for its turn.
    turns: Ring,
    /// The queries that wait for their turn.
    waiting: HashMap<IsolationId, VecDeque<Serial>>,
    /// Numbers of queries to withdraw.
    cancels: VecDeque<u64>,
    /// Deadlines and the ends of pauses.
    due: BTreeSet<(Instant, Serial)>,
    last: u64,
}

impl Queries {
    /// Takes a query that is to be answered by `deadline`. Returns whether there
    /// was room for it.
    #[must_use]
    pub fn ask(
        &mut self,
        ticket: Ticket,
        name: String,
        isolation: &IsolationId,
        deadline: Instant,
    ) -> bool {
        let count = self.counts.get(isolation).copied().unwrap_or_default();
        if self.open.len() >= MAX_QUERIES || count >= MAX_QUERIES_PER_ISOLATION {
            return false;
        }
        let serial = self.number();
        let query = Query {
            ticket,
            name,
            isolation: isolation.clone(),
            deadline,
            progress: Progress::Waiting,
            attempts: 0,
            last: None,
        };
        self.open.insert(serial, query);
        self.serials.insert(ticket, serial);
        self.counts.insert(isolation.clone(), count + 1);
        self.due.insert((deadline, serial));
        self.enqueue(serial);
        true
    }

    /// Withdraws a query. Unknown ones are ignored.
    pub fn cancel(&mut self, ticket: Ticket) {
        if let Some(serial) = self.serials.get(&ticket).copied() {
            self.close(serial);
        }
    }

    /// Withdraws all queries of an asker.
    pub fn cancel_all(&mut self, asker: u64) {
        let tickets = self.serials.keys().copied();
        let all: Vec<_> = tickets.filter(|ticket| ticket.asker == asker).collect();
        all.into_iter().for_each(|ticket| self.cancel(ticket));
    }

    /// The next line to write, if there is one. Its query counts as sent.
    pub fn next_line(&mut self) -> Option<String> {
        if let Some(number) = self.cancels.pop_front() {
            return Some(protocol::cancel(number));
        }
        let isolation = self.turns.pop()?;
        let waiting = self.waiting.get_mut(&isolation)?;
        let serial = waiting.pop_front()?;
        // Those that still wait go to the end.
        match waiting.is_empty() {
            true => drop(self.waiting.remove(&isolation)),
            false => self.turns.join(&isolation),
        }
        let number = self.number();
        let query = self.open.get_mut(&serial)?;
        query.progress = Progress::Asked(number);
        self.asked.insert(number, serial);
        Some(protocol::resolve(number, &query.name, &query.isolation))
    }

    /// Whether the plugin has been asked under this number and not answered.
    pub fn expects(&self, number: u64) -> bool {
        self.asked.contains_key(&number)
    }

    /// The plugin has answered. Numbers that it was not asked under are ignored.
    pub fn replied(&mut self, number: u64, reply: Reply, now: Instant) -> Option<(Ticket, Answer)> {
        let serial = self.asked.remove(&number)?;
        let query = self.open.get_mut(&serial)?;
        match reply {
            Reply::Again(why) => {
                let doublings = query.attempts.min(16);
                let pause = FIRST_PAUSE.saturating_mul(2u32.saturating_pow(doublings));
                let end = now + pause.min(LONGEST_PAUSE);
                query.attempts = query.attempts.saturating_add(1);
                query.last = Some(why);
                query.progress = Progress::Pausing(end);
                self.due.insert((end, serial));
                None
            }
            Reply::Final(answer) => {
                // It needs no `CANCEL` any more.
                query.progress = Progress::Pausing(now);
                let query = self.close(serial)?;
                Some((query.ticket, answer))
            }
        }
    }

    /// The plugin has ended: sends its open queries again to the next one.
    pub fn restart(&mut self) {
        self.cancels.clear();
        let mut serials: Vec<_> = self.asked.drain().collect();
        // In the order in which they were asked.
        serials.sort_unstable();
        for (_, serial) in serials {
            if let Some(query) = self.open.get_mut(&serial) {
                query.progress = Progress::Waiting;
                self.enqueue(serial);
            }
        }
    }

    /// Lets the time pass: deadlines, and the ends of pauses.
    pub fn tick(&mut self, now: Instant) -> Answers {
        let mut answers = Answers::new();
        while let Some((due, serial)) = self.due.first().copied() {
            if due > now {
                break;
            }
            self.due.pop_first();
            let Some(query) = self.open.get_mut(&serial) else {
                continue;
            };
            if query.deadline <= now {
                let why = query.last.take();
                let was_asked = matches!(query.progress, Progress::Asked(_));
                let why = why.unwrap_or_else(|| match was_asked {
                    true => "the naming plugin did not answer in time".to_owned(),
                    false => "the naming plugin was not ready in time".to_owned(),
                });
                let ticket = query.ticket;
                self.close(serial);
                answers.push((ticket, Answer::NotNow(why)));
            } else if matches!(query.progress, Progress::Pausing(end) if end <= now) {
                query.progress = Progress::Waiting;
                self.enqueue(serial);
            }
        }
        answers
    }

    /// When [`Queries::tick`] is due next.
    pub fn next_tick(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Answers all open queries with `NotNow`.
    pub fn give_up(&mut self, why: &str) -> Answers {
        let open = std::mem::take(self).open;
        let answers = open.into_values().map(|query| {
            let answer = Answer::NotNow(why.to_owned());
            (query.ticket, answer)
        });
        answers.collect()
    }

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Puts a query at the end of those of its isolation id.
    fn enqueue(&mut self, serial: Serial) {
        if let Some(query) = self.open.get(&serial) {
            let waiting = self.waiting.entry(query.isolation.clone()).or_default();
            waiting.push_back(serial);
            self.turns.join(&query.isolation);
        }
    }

    /// Removes a query. If it was sent, the plugin will get a `CANCEL`.
    fn close(&mut self, serial: Serial) -> Option<Query> {
        let query = self.open.remove(&serial)?;
        let isolation = &query.isolation;
        self.serials.remove(&query.ticket);
        self.due.remove(&(query.deadline, serial));
        if let Some(count) = self.counts.get_mut(isolation) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(isolation);
            }
        }
        match query.progress {
            Progress::Pausing(end) => drop(self.due.remove(&(end, serial))),
            Progress::Asked(number) => {
                self.asked.remove(&number);
                self.cancels.push_back(number);
            }
            Progress::Waiting => {
                if let Some(waiting) = self.waiting.get_mut(isolation) {
                    waiting.retain(|other| *other != serial);
                    if waiting.is_empty() {
                        self.waiting.remove(isolation);
                        self.turns.leave(isolation);
                    }
                }
            }
        }
        Some(query)
    }
}

#[cfg(test)]
mod tests;
