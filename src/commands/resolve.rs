//! `ncprop279 resolve`: the answer to one query.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::json;

use crate::isolation::IsolationId;
use crate::policy::{self, Query, QuestionTrace, Status, Step, Verdict};
use crate::snapshot::Snapshot;
use crate::source::Source;
use crate::text::ascii_json;

use super::Fetch;
use super::names::{self, Refused};

/// What became of a query.
pub struct Report {
    /// The name that was asked for.
    pub name: String,
    /// The isolation id that it was asked under.
    pub isolation: IsolationId,
    /// The verdict, as the plugin would send it.
    pub verdict: Verdict,
    /// What to say in the place of the verdict's text.
    pub advice: Option<String>,
    /// The names fetched, each with the number of questions that were answered
    /// before one needed it.
    pub fetches: Vec<(usize, Fetch)>,
    /// The questions asked of the engine, in their order.
    pub questions: Vec<QuestionTrace>,
}

impl Report {
    /// The status of the protocol, which is the exit status too.
    pub fn status(&self) -> Status {
        self.verdict.status()
    }

    /// One JSON object in printable ASCII: `name`, `isolation`, `status`, and
    /// `kind` with `answer`, or `error`.
    pub fn to_json(&self) -> String {
        let kind = match &self.verdict {
            Verdict::Onion(_) => Some("onion"),
            Verdict::Address(_) => Some("address"),
            Verdict::Host(_) => Some("host"),
            _ => None,
        };
        let answer = self.answer();
        let name = &self.name;
        let isolation = self.isolation.as_str();
        let status = self.status().code();
        let object = match kind {
            Some(kind) => json!({"name": name, "isolation": isolation, "status": status,
                "kind": kind, "answer": answer}),
            None => json!({"name": name, "isolation": isolation, "status": status,
                "error": answer}),
        };
        ascii_json(&object.to_string()) + "\n"
    }

    /// The answer, or why there is none, in words that may hold anything.
    pub fn answer(&self) -> Cow<'_, str> {
        match &self.advice {
            Some(advice) => advice.into(),
            None => self.verdict.text(),
        }
    }
}

/// Resolves one name, given as `example.bit` or `d/example`. Failures that
/// pass are not tried again.
pub fn run(
    name: &str,
    isolation: IsolationId,
    only_onion: bool,
    timeout: Duration,
    source: &dyn Source,
) -> Report {
    let mut report = Report {
        name: name.to_owned(),
        isolation,
        verdict: Verdict::NotInZone(name.to_owned()),
        advice: None,
        fetches: Vec::new(),
        questions: Vec::new(),
    };
    match names::query(name, only_onion) {
        Ok((name, query)) => {
            report.name = name;
            report.verdict = report.walk(&query, timeout, source);
        }
        Err(Refused { verdict, message }) => {
            report.verdict = verdict;
            report.advice = Some(message);
        }
    }
    report
}

impl Report {
    fn walk(&mut self, query: &Query, timeout: Duration, source: &dyn Source) -> Verdict {
        let deadline = super::deadline(timeout);
        let mut snapshot = Snapshot::new(self.isolation.clone());
        loop {
            self.questions.clear();
            let keys = match policy::explain(query, &snapshot, &mut self.questions) {
                Step::Done(verdict) => return verdict,
                Step::Need(keys) => keys,
            };
            let mut fetched = Vec::new();
            super::fetch(keys, &mut snapshot, source, deadline, &mut fetched);
            let before = self.questions.len();
            self.fetches
                .extend(fetched.into_iter().map(|fetch| (before, fetch)));
        }
    }
}
