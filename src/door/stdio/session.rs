//! The state machine of a session: which queries are open, and what to do with
//! each line from the client.
//!
//! It knows neither threads nor time. Lines and verdicts go in, and bytes for the
//! client are appended to a buffer in the order in which they are to be written.
//! So no answer can follow the `CANCELED` of its query.

use std::borrow::Borrow;
use std::collections::HashMap;

use crate::config::settings::MissingIsolation;
use crate::isolation::IsolationId;
use crate::policy::{CachedAnswer, Query, Question, Status, Verdict};

use super::line::{Line, MAX_LINE};
use super::request::{QueryId, Request};
use super::response;

/// The number of a query, unique in a session. The client may reuse a
/// [`QueryId`], but a number is never used again.
pub type QueryNumber = u64;

/// What the caller has to do after a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Look a name up, and pass the verdict to [`Session::answer`].
    Resolve {
        /// The query's number.
        number: QueryNumber,
        /// The query.
        query: Query,
        /// The activity that it belongs to.
        isolation: IsolationId,
    },
    /// Stop looking this query up.
    Cancel(QueryNumber),
}

/// How a session treats queries; see the settings of the same names.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether only onion services may be answered.
    pub only_onion: bool,
    /// What to do with a query without an isolation id.
    pub missing_isolation: MissingIsolation,
}

/// A session with one client.
pub struct Session {
    options: Options,
    unanswered: HashMap<QueryId, QueryNumber>,
    id_of: HashMap<QueryNumber, QueryId>,
    last_number: QueryNumber,
    /// Whether the user has been warned of queries without an isolation id.
    has_warned: bool,
    /// What to write to the client.
    pub out: Vec<u8>,
}

impl Session {
    /// A session without any query.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            unanswered: HashMap::new(),
            id_of: HashMap::new(),
            last_number: 0,
            has_warned: false,
            out: Vec::new(),
        }
    }

    /// Takes a line from the client.
    ///
    /// `cached` may return the finished answer to a question under an isolation
    /// id, which is then written at once. `notice` is called with lines for
    /// stderr, which contain neither names nor isolation ids.
    pub fn line<A: Borrow<CachedAnswer>>(
        &mut self,
        line: Line<'_>,
        cached: impl FnOnce(QueryNumber, &[u8], &Question) -> Option<A>,
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
            Request::Invalid(error) => {
                notice(&format!("a request was skipped: {error}"));
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
                let number = self.last_number + 1;
                if let Some(isolation) = self.isolation_for_cache(isolation)
                    && let Some(question) = Question::new(name, self.options.only_onion)
                    && let Some(answer) = cached(number, isolation, &question)
                {
                    self.last_number = number;
                    let result = answer.borrow().written(result);
                    response::resolved_with(&mut self.out, &id, result);
                    return None;
                }
                self.resolve(id, name, isolation, &mut notice)
            }
        }
    }

    /// Withdraws a query.
    fn cancel(&mut self, id: &QueryId) -> Option<Action> {
        let number = self.unanswered.remove(id);
        if let Some(number) = number {
            self.id_of.remove(&number);
        }
        response::canceled(&mut self.out, id);
        number.map(Action::Cancel)
    }

    /// Opens a query, or answers it at once if nothing needs to be looked up.
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
                self.last_number += 1;
                let number = self.last_number;
                self.unanswered.insert(id, number);
                self.id_of.insert(number, id);
                Some(Action::Resolve {
                    number,
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

    /// The isolation id under which a query's answer may be cached. The shared id
    /// is not used before the user has been warned about it.
    fn isolation_for_cache<'a>(&self, word: Option<&'a [u8]>) -> Option<&'a [u8]> {
        let is_shared = self.options.missing_isolation == MissingIsolation::Shared;
        word.or((is_shared && self.has_warned).then_some(b""))
    }

    /// Answers a query, unless it has been withdrawn or answered.
    pub fn answer(&mut self, number: QueryNumber, verdict: &Verdict) {
        if let Some(id) = self.id_of.remove(&number) {
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
                if !self.has_warned {
                    self.has_warned = true;
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

/// An isolation id of 128 random bits, which no other query has.
fn unique() -> IsolationId {
    let bytes: [u8; 16] = rand::random();
    let text = data_encoding::HEXLOWER.encode(&bytes);
    // Hexadecimal digits are always a valid id.
    IsolationId::parse(text.as_bytes()).unwrap_or_else(|_| IsolationId::shared())
}

fn render(out: &mut Vec<u8>, id: &QueryId, verdict: &Verdict) {
    response::resolved(out, id, verdict.status(), &verdict.text());
}

/// What to write for a verdict after the id of the query.
fn result(verdict: &Verdict) -> Box<[u8]> {
    response::result(verdict.status(), &verdict.text())
}
