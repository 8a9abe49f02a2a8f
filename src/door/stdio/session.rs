//! The session's state machine: which ids are unanswered, and what each line
//! of the client leads to.
//!
//! It knows neither threads nor time. Lines and verdicts go in; bytes for the
//! client are appended to a buffer in the order in which they are to be
//! written, so that nothing can follow a `CANCELED` that is behind it.

use std::borrow::Borrow;
use std::collections::HashMap;

use crate::config::settings::MissingIsolation;
use crate::isolation::IsolationId;
use crate::policy::{Answer, Query, Question, Status, Verdict};

use super::line::{Line, MAX_LINE};
use super::request::{QueryId, Request};
use super::response;

/// A query that was taken on, unique in the life of the process; unlike its
/// id, which the client may use again.
pub type Ticket = u64;

/// What a line asks of the rest of the program.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Look a name up, and hand the verdict to [`Session::answer`].
    Resolve {
        /// The query's ticket.
        ticket: Ticket,
        /// What is asked.
        query: Query,
        /// On behalf of which activity.
        isolation: IsolationId,
    },
    /// Nobody waits for this ticket any more.
    Cancel(Ticket),
}

/// What a session does with queries; see the settings of the same names.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Answer with onion services only.
    pub only_onion: bool,
    /// What becomes of a query without an isolation id.
    pub missing_isolation: MissingIsolation,
}

/// A session with one client.
pub struct Session {
    options: Options,
    unanswered: HashMap<QueryId, Ticket>,
    id_of: HashMap<Ticket, QueryId>,
    last_ticket: Ticket,
    warned: bool,
    /// What is to be written to the client, in this order.
    pub out: Vec<u8>,
}

impl Session {
    /// A session at its begin.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            unanswered: HashMap::new(),
            id_of: HashMap::new(),
            last_ticket: 0,
            warned: false,
            out: Vec::new(),
        }
    }

    /// Takes a line of the client. `kept` may know the answer to a question
    /// under an isolation id, both as bytes; it is then given at once, and the
    /// line leads to nothing else. `notice` is called with what belongs on
    /// stderr; it holds neither names nor isolation ids.
    pub fn line<A: Borrow<Answer>>(
        &mut self,
        line: Line<'_>,
        kept: impl FnOnce(&[u8], &[u8]) -> Option<A>,
        mut notice: impl FnMut(&str),
    ) -> Option<Action> {
        let line = match line {
            Line::Complete(line) => line,
            Line::TooLong => {
                notice(&format!("a line longer than {MAX_LINE} bytes was skipped"));
                return None;
            }
        };
        match Request::parse(line) {
            Request::Ignored => None,
            Request::Unusable(reason) => {
                notice(&format!("a request was skipped: {reason}"));
                None
            }
            Request::Cancel { id } => self.cancel(&id),
            Request::ResolveWithoutName { id } => {
                if self.is_free(&id, &mut notice) {
                    self.refuse(&id, "no name was given");
                }
                None
            }
            Request::Resolve {
                id,
                name,
                isolation,
            } => {
                if !self.is_free(&id, &mut notice) {
                    return None;
                }
                if let Some(word) = self.shown(isolation)
                    && let Some(question) = Question::new(name, self.options.only_onion)
                    && let Some(answer) = kept(word, question.octets())
                {
                    let result = answer.borrow().written(result);
                    response::resolved_with(&mut self.out, &id, result);
                    return None;
                }
                self.resolve(id, name, isolation, &mut notice)
            }
        }
    }

    /// Takes a query back.
    fn cancel(&mut self, id: &QueryId) -> Option<Action> {
        let ticket = self.unanswered.remove(id);
        if let Some(ticket) = ticket {
            self.id_of.remove(&ticket);
        }
        response::canceled(&mut self.out, id);
        ticket.map(Action::Cancel)
    }

    /// Takes a query on, or answers it if nothing has to be looked up for that.
    fn resolve(
        &mut self,
        id: QueryId,
        name: &[u8],
        isolation: Option<&[u8]>,
        notice: &mut impl FnMut(&str),
    ) -> Option<Action> {
        let isolation = match self.isolation(isolation, notice) {
            Ok(isolation) => isolation,
            Err(why) => {
                self.refuse(&id, &why);
                return None;
            }
        };
        match Query::parse(name, self.options.only_onion) {
            Ok(query) => {
                self.last_ticket += 1;
                let ticket = self.last_ticket;
                self.unanswered.insert(id, ticket);
                self.id_of.insert(ticket, id);
                Some(Action::Resolve {
                    ticket,
                    query,
                    isolation,
                })
            }
            Err(verdict) => {
                render(&mut self.out, &id, &verdict);
                None
            }
        }
    }

    /// The bytes of the isolation id that a query has, if answers may be kept
    /// for it. Those of the shared id wait until the user has been told of it.
    fn shown<'a>(&self, word: Option<&'a [u8]>) -> Option<&'a [u8]> {
        let is_shared = self.options.missing_isolation == MissingIsolation::Shared;
        word.or((is_shared && self.warned).then_some(b""))
    }

    /// Gives a query its answer, unless it has been cancelled or answered.
    pub fn answer(&mut self, ticket: Ticket, verdict: &Verdict) {
        if let Some(id) = self.id_of.remove(&ticket) {
            self.unanswered.remove(&id);
            render(&mut self.out, &id, verdict);
        }
    }

    /// How many queries are unanswered.
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    fn is_free(&self, id: &QueryId, notice: &mut impl FnMut(&str)) -> bool {
        let free = !self.unanswered.contains_key(id);
        if !free {
            let id = id.as_str();
            notice(&format!(
                "RESOLVE with id {id} was ignored: that id is still being answered"
            ));
        }
        free
    }

    fn refuse(&mut self, id: &QueryId, why: &str) {
        response::resolved(&mut self.out, id, Status::NotRegistered, why);
    }

    fn isolation(
        &mut self,
        word: Option<&[u8]>,
        notice: &mut impl FnMut(&str),
    ) -> Result<IsolationId, String> {
        if let Some(word) = word {
            return IsolationId::parse(word).map_err(|error| error.to_string());
        }
        match self.options.missing_isolation {
            MissingIsolation::Shared => {
                if !self.warned {
                    self.warned = true;
                    notice(
                        "a query came without an isolation id; all such queries share one cache \
                         and can be linked (--missing-isolation)",
                    );
                }
                Ok(IsolationId::shared())
            }
            MissingIsolation::Unique => Ok(unique()),
            MissingIsolation::Refuse => Err("the query has no isolation id".to_owned()),
        }
    }
}

/// An isolation id that no other query has: 128 random bits.
fn unique() -> IsolationId {
    let octets: [u8; 16] = rand::random();
    let text = data_encoding::HEXLOWER.encode(&octets);
    // Hexadecimal digits are always a valid id.
    IsolationId::parse(text.as_bytes()).unwrap_or_else(|_| IsolationId::shared())
}

fn render(out: &mut Vec<u8>, id: &QueryId, verdict: &Verdict) {
    response::resolved(out, id, verdict.status(), &verdict.text());
}

/// What is written of a verdict behind the id of the query.
fn result(verdict: &Verdict) -> Box<[u8]> {
    response::result(verdict.status(), &verdict.text())
}
